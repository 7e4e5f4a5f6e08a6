//! The simulated Duo: started, asked and told what to do at its own door, plain HTTP on loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

use super::children::Program;

/// The day that is played: a Wednesday. The same for everybody, so that a seed tells the same story on every machine.
pub(super) const DAY: &str = "2026-11-18T00:00:00Z";
/// People in each account.
const USERS: &str = "330";
/// Rows of an account's last day, at least.
const EVENTS: &str = "11000";
/// Days of logs, the last included: longer than any rule learns.
const DAYS: &str = "43";

/// The running simulator.
#[derive(Debug)]
pub(super) struct Simulator {
    pub(super) program: Program,
    pub(super) greeting: Greeting,
}

/// What it says when it is ready.
#[derive(Debug, Deserialize)]
pub(super) struct Greeting {
    /// `127.0.0.1:PORT`, as picket calls it.
    pub(super) host: String,
    control: String,
    pub(super) accounts: Vec<Keys>,
}

/// The keys of one account.
#[derive(Debug, Deserialize)]
pub(super) struct Keys {
    pub(super) name: String,
    pub(super) ikey: String,
    pub(super) skey: String,
}

/// The arguments that decide what happens: equal for the server and for the files.
fn arguments(command: &mut Command, seed: u64) -> &mut Command {
    command.args(["--accounts", "acme,globex", "--users", USERS, "--events", EVENTS]);
    command.args(["--days", DAYS, "--start", DAY, "--seed", &seed.to_string()])
}

impl Simulator {
    /// Starts it with its clock held at the day's midnight.
    pub(super) fn start(binary: &Path, seed: u64, ca: &Path, log: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        arguments(&mut command, seed)
            .args(["--hold", "--no-rate-limit", "--ca-out"])
            .arg(ca);
        let mut program = Program::start("duo-simulator", &mut command, log, true)?;
        let mut line = String::new();
        BufReader::new(program.output()?).read_line(&mut line)?;
        let greeting = serde_json::from_str(&line).context("duo-simulator did not start")?;
        Ok(Simulator { program, greeting })
    }

    /// Writes the same logs to `DIR/ACCOUNT/LOG.ndjson`.
    pub(super) fn write(binary: &Path, seed: u64, directory: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(binary);
        let output = arguments(&mut command, seed).arg("--write").arg(directory).output()?;
        if !output.status.success() {
            bail!("duo-simulator --write: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Its clock and its counts.
    pub(super) fn status(&self) -> anyhow::Result<Status> {
        Ok(serde_json::from_value(self.ask("GET", "/sim/status", "")?)?)
    }

    /// What was planted, attacks and look-alikes.
    pub(super) fn planted(&self) -> anyhow::Result<Vec<Planted>> {
        Ok(serde_json::from_value(self.ask("GET", "/sim/planted", "")?)?)
    }

    /// Tells it something.
    pub(super) fn control(&self, control: &Value) -> anyhow::Result<()> {
        self.ask("POST", "/sim/control", &control.to_string()).map(drop)
    }

    fn ask(&self, verb: &str, path: &str, body: &str) -> anyhow::Result<Value> {
        let address = self
            .greeting
            .control
            .trim_start_matches("http://")
            .trim_end_matches('/');
        let mut stream = TcpStream::connect(address).context("duo-simulator does not answer")?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let length = body.len();
        write!(
            stream,
            "{verb} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("duo-simulator gave no answer")?;
        if !head.starts_with("HTTP/1.1 200") {
            bail!("duo-simulator: {verb} {path}: {body}");
        }
        serde_json::from_str(body).with_context(|| format!("duo-simulator: {path} is not JSON"))
    }
}

/// `/sim/status`, as far as the demo wants to know.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    /// The simulated time, RFC 3339.
    pub(super) now: String,
    accounts: Vec<Counts>,
}

#[derive(Debug, Deserialize)]
struct Counts {
    name: String,
    feeds: std::collections::BTreeMap<String, Feed>,
}

#[derive(Debug, Deserialize)]
struct Feed {
    rows: u64,
    visible: u64,
}

impl Status {
    /// Rows that have appeared in a log.
    pub(super) fn visible(&self, account: &str, log: &str) -> u64 {
        self.feed(account, log).map_or(0, |feed| feed.visible)
    }

    /// Whether all of a log has appeared.
    pub(super) fn is_over(&self, account: &str, log: &str) -> bool {
        self.feed(account, log).is_some_and(|feed| feed.visible == feed.rows)
    }

    fn feed(&self, account: &str, log: &str) -> Option<&Feed> {
        self.accounts
            .iter()
            .find(|counts| counts.name == account)?
            .feeds
            .get(log)
    }

    /// Hours of the simulated day that have passed; the day after goes on from 24.
    pub(super) fn hours(&self) -> f64 {
        let part = |from: usize, to: usize| -> f64 {
            let digits = self.now.get(from..to).and_then(|digits| digits.parse::<u32>().ok());
            f64::from(digits.unwrap_or(0))
        };
        let days = if self.now.get(..10) == DAY.get(..10) { 0.0 } else { 24.0 };
        days + part(11, 13) + part(14, 16) / 60.0
    }
}

/// A story of `/sim/planted`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Planted {
    pub(super) account: String,
    pub(super) story: String,
    pub(super) user: Option<String>,
    pub(super) kind: Kind,
    pub(super) from_us: i64,
    pub(super) to_us: i64,
    /// Ids of its events.
    pub(super) events: Vec<String>,
    pub(super) note: String,
}

/// Whether somebody ought to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Yes.
    Attack,
    /// No.
    LookAlike,
}
