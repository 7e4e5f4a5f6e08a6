//! The programs that the demo runs beside itself. Whatever becomes of the demo, they end with it.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// A program that is killed when this is dropped.
///
/// A demo that is itself killed drops nothing, so each program has a minder: a shell that waits on a pipe from us and kills
/// the program when the pipe breaks.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    child: Option<Child>,
    minder: Option<Child>,
}

impl Program {
    /// Starts it; what it says to standard error (and to standard output, unless that is a pipe already) goes to `log`.
    pub(super) fn start(name: &'static str, command: &mut Command, log: &Path, is_piped: bool) -> anyhow::Result<Self> {
        let file = append(log)?;
        let out = if is_piped {
            Stdio::piped()
        } else {
            file.try_clone()?.into()
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let minder = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\"", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("sh cannot be started")?;
        Ok(Program {
            name,
            child: Some(child),
            minder: Some(minder),
        })
    }

    /// Its standard output, if that is a pipe.
    pub(super) fn output(&mut self) -> anyhow::Result<std::process::ChildStdout> {
        let child = self.child.as_mut();
        child
            .and_then(|child| child.stdout.take())
            .with_context(|| format!("{} has no output", self.name))
    }

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// An error if it has ended.
    pub(super) fn must_run(&mut self) -> anyhow::Result<()> {
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            bail!("{} ended by itself ({status})", self.name);
        }
        Ok(())
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        // The minder goes first: a process id may be given to another as soon as its owner was waited for.
        for child in [self.minder.take(), self.child.take()].into_iter().flatten() {
            end(child);
        }
    }

    /// Asks it to end in good order, and insists after a while.
    pub(super) fn stop(&mut self) {
        if let Some(mut minder) = self.minder.take() {
            let _ = minder.kill();
            let _ = minder.wait();
        }
        let Some(mut child) = self.child.take() else { return };
        let id = i32::try_from(child.id()).map(nix::unistd::Pid::from_raw);
        if let Ok(id) = id {
            let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        }
        let end_at = Instant::now() + Duration::from_secs(12);
        while Instant::now() < end_at {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        end(child);
    }

    /// Lets it run on after us.
    pub(super) fn leave(&mut self) {
        if let Some(minder) = self.minder.take() {
            end(minder);
        }
        self.child = None;
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn append(path: &Path) -> anyhow::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_ends_with_its_owner_and_its_end_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut sleep = Command::new("sleep");
        let mut program = Program::start("sleep", sleep.arg("600"), &log, false).unwrap();
        program.must_run().unwrap();
        let id = nix::unistd::Pid::from_raw(i32::try_from(program.id()).unwrap());
        drop(program);
        assert!(nix::sys::signal::kill(id, None).is_err());

        let mut program = Program::start("true", &mut Command::new("true"), &log, false).unwrap();
        while program.must_run().is_ok() {}
        assert!(program.must_run().unwrap_err().to_string().contains("true ended"));
    }
}
