//! A real `picket run` under measurement, and what the kernel says of it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How long the daemon may take to start, or to take up a change, before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);
/// `/proc` counts processor time in these: 100 a second on every Linux that Rust runs on.
const TICKS_PER_S: f64 = 100.0;
/// The variable in which the daemon finds the account's secret.
pub(crate) const SECRET: &str = "BENCH_SECRET";

/// A daemon that ends with the value.
pub(crate) struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

/// What a process used since its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time of all its threads and of the children that have ended, s.
    pub(crate) cpu_s: f64,
    /// Resident now, its living children included, MB.
    pub(crate) resident_mb: f64,
    /// The most that it alone was resident so far, MB.
    pub(crate) peak_mb: f64,
}

impl Daemon {
    /// Starts it in the directory of its `picket.yaml` and waits until it says that it runs.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn start(picket: &Path, root: &Path, secret: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(picket)
            .current_dir(root)
            .args(["--config", "picket.yaml", "run"])
            .env(SECRET, secret)
            .env("NO_COLOR", "1")
            .env_remove("PICKET_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be run", picket.display()))?;
        let output = child.stderr.take().context("the daemon has no output")?;
        let (say, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens any more at the end.
                let _ = say.send(line);
            }
        });
        let daemon = Daemon { child, lines };
        daemon.wait_for("picket runs")?;
        Ok(daemon)
    }

    /// Waits for a line of its log.
    ///
    /// # Errors
    /// It does not come.
    pub(crate) fn wait_for(&self, what: &str) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                anyhow::bail!("the daemon did not say “{what}”, but:\n{}", heard.join("\n"));
            };
            if line.contains(what) {
                return Ok(());
            }
            heard.push(line);
        }
    }

    /// What it used so far.
    ///
    /// # Errors
    /// It has ended, or this is no Linux.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        let process = format!("/proc/{}", self.child.id());
        let stat = std::fs::read_to_string(format!("{process}/stat"))?;
        // The name before the parenthesis may hold blanks.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .context("a process has a name")?
            .1
            .split(' ')
            .collect();
        // Of proc(5): utime, stime, cutime, cstime.
        let ticks = fields.get(12..16).context("a process has times")?.iter();
        let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        let children = std::fs::read_to_string(format!("{process}/task/{}/children", self.child.id()));
        let children = children.unwrap_or_default();
        // A child may have ended by now.
        let of_children = children
            .split_whitespace()
            .filter_map(|id| memory(&format!("/proc/{id}"), "VmRSS").ok());
        Ok(Usage {
            cpu_s: ticks / TICKS_PER_S,
            resident_mb: memory(&process, "VmRSS")? + of_children.sum::<f64>(),
            peak_mb: memory(&process, "VmHWM")?,
        })
    }
}

/// A line of a process's `status`, MB.
///
/// # Errors
/// There is no such process or line, or this is no Linux.
pub(crate) fn memory(process: &str, name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .context(name.to_owned())?;
    let kib: f64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse()?;
    Ok(kib * 1024.0 / 1e6)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
