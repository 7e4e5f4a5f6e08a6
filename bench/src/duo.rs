//! The simulated Duo in a process of its own, so that what it costs is nobody else's.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

/// A simulator that ends with the value.
pub(crate) struct Duo {
    child: Child,
    /// What it says of itself: see its README.
    told: Value,
}

impl Duo {
    /// Starts `duo-simulator` with these arguments and waits until it serves. Its CA goes to `ca.pem` in that directory.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(simulator: &Path, root: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(simulator)
            .current_dir(root)
            .args(["--die-with-parent", "--ca-out", "ca.pem"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be run", simulator.display()))?;
        let output = child.stdout.take().context("the simulator has no output")?;
        let mut duo = Duo {
            child,
            told: Value::Null,
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        duo.told = serde_json::from_str(&line).context("the simulator did not start")?;
        Ok(duo)
    }

    /// `127.0.0.1:PORT`.
    ///
    /// # Errors
    /// As [`Duo::text`].
    pub(crate) fn host(&self) -> anyhow::Result<&str> {
        self.text("/host")
    }

    /// Something that it said of itself.
    ///
    /// # Errors
    /// It did not say that.
    pub(crate) fn text(&self, pointer: &str) -> anyhow::Result<&str> {
        let text = self.told.pointer(pointer).and_then(Value::as_str);
        text.with_context(|| format!("the simulator does not tell {pointer}"))
    }

    /// What it has done so far.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn status(&self) -> anyhow::Result<Status> {
        let address = self.text("/control")?.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET /sim/status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        Ok(Status(serde_json::from_str(body).context("/sim/status")?))
    }
}

impl Drop for Duo {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `/sim/status`.
pub(crate) struct Status(Value);

impl Status {
    /// Calls answered with any of these HTTP statuses, of one account or of all.
    pub(crate) fn calls(&self, account: Option<&str>, is_wanted: impl Fn(u64) -> bool) -> u64 {
        let requests = self.0.get("requests").and_then(Value::as_array);
        let requests = requests.into_iter().flatten().filter(|request| {
            account.is_none_or(|account| request.get("account").and_then(Value::as_str) == Some(account))
                && request.get("status").and_then(Value::as_u64).is_some_and(&is_wanted)
        });
        requests.filter_map(|request| request.get("count")?.as_u64()).sum()
    }

    /// What was refused, for people: HTTP status, path, count.
    pub(crate) fn refusals(&self) -> String {
        let requests = self.0.get("requests").and_then(Value::as_array);
        let mut refused: BTreeMap<(u64, &str), u64> = BTreeMap::new();
        for request in requests.into_iter().flatten() {
            let status = request.get("status").and_then(Value::as_u64).unwrap_or_default();
            let path = request.get("path").and_then(Value::as_str).unwrap_or_default();
            if status != 200 {
                *refused.entry((status, path)).or_default() +=
                    request.get("count").and_then(Value::as_u64).unwrap_or_default();
            }
        }
        let line = |((status, path), count): (&(u64, &str), &u64)| format!("{count} x {status} {path}");
        refused.iter().map(line).collect::<Vec<_>>().join(", ")
    }

    /// Different rows of a log that were sent, of one account or of all.
    pub(crate) fn served(&self, account: Option<&str>, log: &str) -> u64 {
        let accounts = self.0.get("accounts").and_then(Value::as_array);
        let accounts = accounts
            .into_iter()
            .flatten()
            .filter(|of| account.is_none_or(|account| of.get("name").and_then(Value::as_str) == Some(account)));
        accounts
            .filter_map(|of| of.pointer(&format!("/feeds/{log}/served"))?.as_u64())
            .sum()
    }
}
