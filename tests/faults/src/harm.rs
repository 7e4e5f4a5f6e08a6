//! Harm that is done to a running daemon from outside: its system calls fail, its disk is full, its clock jumps.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use picket_e2e::{Site, skipped, tool, unpacked};

/// System calls of a process fail as long as this lives.
pub struct Failing {
    strace: Child,
}

impl Failing {
    /// From now on these calls fail with this error. None: there is no strace, or it may not trace; it has said so.
    ///
    /// # Panics
    /// strace is there, may trace, and does not take hold.
    #[must_use]
    pub fn calls(site: &Site, calls: &str, error: &str) -> Option<Failing> {
        let mut strace = Command::new(tool("strace")?)
            .args([
                "-f",
                "-qq",
                "-e",
                &format!("trace={calls}"),
                "-e",
                &format!("inject={calls}:error={error}"),
            ])
            .args(["-o", "/dev/null", "-p", &site.pid().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while !is_traced(site.pid()) {
            if strace.try_wait().unwrap().is_some() {
                let said = strace.wait_with_output().unwrap().stderr;
                skipped(&format!(
                    "strace may not trace here: {}",
                    String::from_utf8_lossy(&said)
                ));
                return None;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "strace does not take hold");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(Failing { strace })
    }
}

/// Every thread of it.
fn is_traced(pid: i32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

impl Drop for Failing {
    fn drop(&mut self) {
        // Not -9: it must let go of what it holds.
        let pid = Pid::from_raw(i32::try_from(self.strace.id()).unwrap());
        let _ = kill(pid, Signal::SIGTERM);
        let _ = self.strace.wait();
    }
}

/// A disk of its own for a site's data, as large as it is told to be.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// So many MB at this directory. None: only root may mount; it has said so.
    #[must_use]
    pub fn at(directory: &Path, megabytes: u32) -> Option<Disk> {
        if !nix::unistd::geteuid().is_root() {
            skipped("only root may mount a disk of a limited size");
            return None;
        }
        std::fs::create_dir_all(directory).unwrap();
        let size = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(directory)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            skipped("a tmpfs cannot be mounted here");
            return None;
        }
        Some(Disk {
            at: directory.to_owned(),
        })
    }

    /// It has so many MB from now on.
    ///
    /// # Panics
    /// It cannot be changed.
    pub fn resize(&self, megabytes: u32) {
        let size = format!("remount,size={megabytes}m");
        let status = Command::new("mount").args(["-o", &size]).arg(&self.at).status();
        assert!(status.unwrap().success());
    }

    /// Somebody else fills it to the last byte.
    pub fn fill(&self) {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.at.join("somebody-elses")).unwrap();
        let chunk = vec![b'x'; 1 << 16];
        while file.write_all(&chunk).is_ok() {}
        while file.write_all(b"x").is_ok() {}
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// A wall clock that can be set while a daemon runs; the one that nobody sets goes on.
pub struct WallClock {
    file: PathBuf,
}

impl WallClock {
    /// Programs of this site that are started from now on live by it. None: there is no libfaketime; it has said so.
    #[must_use]
    pub fn of(site: &mut Site) -> Option<WallClock> {
        let library = unpacked("libfaketime", "usr/lib/*/faketime/libfaketimeMT.so.1")?;
        let clock = WallClock {
            file: site.path("clock"),
        };
        clock.set("+0");
        site.set("LD_PRELOAD", &library.display().to_string());
        site.set("FAKETIME_TIMESTAMP_FILE", &clock.file.display().to_string());
        site.set("FAKETIME_NO_CACHE", "1");
        site.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        site.set("FAKETIME_DONT_RESET", "1");
        Some(clock)
    }

    /// From now on it is off by this, as `-6y`, `+10y`, `+0`.
    ///
    /// # Panics
    /// The file cannot be written.
    pub fn set(&self, offset: &str) {
        // In one go: it is read with every look at the clock.
        let next = self.file.with_extension("next");
        std::fs::write(&next, format!("{offset}\n")).unwrap();
        std::fs::rename(next, &self.file).unwrap();
    }
}
