//! The walls around the compiler's process. It puts them up itself, while it has one thread and has read nothing but its
//! orders, and none of them can be taken down again.
//!
//! | wall | needs | without it |
//! | --- | --- | --- |
//! | memory, processor time, size of its answer, no core dump (`setrlimit`) | any kernel | it does not compile |
//! | no descriptor but three, no further one (`RLIMIT_NOFILE`) | any kernel | it does not compile |
//! | no new privileges, not to be traced (`prctl`) | any kernel | it does not compile |
//! | ends with its parent (`PR_SET_PDEATHSIG`), low priority | any kernel | it goes on |
//! | no files, sockets, signals to others (Landlock, all rights that the kernel knows) | Linux 5.13; network 6.7, scopes 6.12 | the other walls stand |
//! | none but some thirty system calls (seccomp) | x86-64, aarch64, riscv64 | the other walls stand |
//!
//! Which of them hold is not believed but tried, once when an engine starts ([`Walls::tried`]): a child tries to open a file, to
//! make a socket and to start a thread. What it gets away with is said in the log.

use std::collections::BTreeMap;
use std::io;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use serde::{Deserialize, Serialize};
use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};

/// Of 0 (least) to 99: nice 10, a tenth of what an ordinary process gets where processors are scarce.
const PRIORITY: u8 = 22;

/// What the compiler's process cannot do. On a good machine all of it is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// Landlock holds, with every right this program knows of.
    pub landlock: bool,
    /// The filter of system calls holds.
    pub filter: bool,
    /// It can open no file.
    pub files: bool,
    /// It can make no socket.
    pub network: bool,
    /// It can start no thread and no process.
    pub processes: bool,
    /// It has no environment.
    pub environment: bool,
    /// It has no descriptors but the three it was given.
    pub descriptors: bool,
    /// It comes after everybody else.
    pub priority: bool,
}

impl Walls {
    /// What is lost on this machine, in words.
    pub(crate) fn losses(&self) -> Vec<&'static str> {
        let walls = [
            (
                self.landlock,
                "the kernel has no Landlock, or an older one (Linux 6.12 has all of it; the boot parameter `lsm=` must name it): \
                 the compiler of rules is confined by its limits and the filter of system calls alone",
            ),
            (
                self.filter,
                "system calls of the compiler of rules are not filtered (seccomp: x86-64, aarch64 or riscv64): \
                 it is confined by its limits and Landlock alone",
            ),
            (self.files, "the compiler of rules could open files"),
            (self.network, "the compiler of rules could make sockets"),
            (self.processes, "the compiler of rules could start threads or processes"),
            (self.environment, "the compiler of rules has an environment"),
            (
                self.descriptors,
                "the compiler of rules has descriptors that are not its own",
            ),
            (
                self.priority,
                "the compiler of rules runs at ordinary priority: compiling a large module may slow judging down",
            ),
        ];
        walls
            .into_iter()
            .filter(|(holds, _)| !holds)
            .map(|(_, loss)| loss)
            .collect()
    }

    /// Tries what must not go, behind the walls.
    fn tried(put_up: PutUp) -> Walls {
        let spawned = std::thread::Builder::new().spawn(|| ());
        Walls {
            landlock: put_up.landlock,
            filter: put_up.filter,
            files: std::fs::File::open("/proc/self/status").is_err() && std::fs::read_dir("/").is_err(),
            network: std::net::UdpSocket::bind("127.0.0.1:0").is_err()
                && std::os::unix::net::UnixDatagram::unbound().is_err(),
            processes: spawned.is_err(),
            environment: std::env::vars_os().next().is_none(),
            descriptors: put_up.descriptors,
            priority: put_up.priority,
        }
    }
}

/// What could be put up.
#[derive(Debug, Clone, Copy)]
pub(super) struct PutUp {
    landlock: bool,
    filter: bool,
    descriptors: bool,
    priority: bool,
}

impl PutUp {
    /// Tries the walls.
    pub(super) fn tried(self) -> Walls {
        Walls::tried(self)
    }
}

/// How much there is within the walls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) memory_bytes: u64,
    pub(super) cpu_seconds: u64,
    pub(super) output_bytes: u64,
}

/// Puts the walls up around this process, for good.
///
/// # Errors
/// A wall that every kernel has does not stand, or there is more than one thread already.
pub(super) fn put_up(room: Room) -> io::Result<PutUp> {
    // Landlock and the filter hold for the thread that asks for them, and those it starts later.
    if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() != 1) {
        return Err(io::Error::other("there is more than one thread already"));
    }
    // A parent that is gone has no use for the answer.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    prctl::set_dumpable(false)?;
    let priority = ThreadPriorityValue::try_from(PRIORITY)
        .is_ok_and(|value| set_current_thread_priority(ThreadPriority::Crossplatform(value)).is_ok());
    let descriptors = close_all_but_three();
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    setrlimit(Resource::RLIMIT_FSIZE, room.output_bytes, room.output_bytes)?;
    // The first stops it with a signal that tells, the second for good.
    setrlimit(
        Resource::RLIMIT_CPU,
        room.cpu_seconds,
        room.cpu_seconds.saturating_add(1),
    )?;
    prctl::set_no_new_privs()?;
    let landlock = landlock();
    // After Landlock, which needs one.
    setrlimit(Resource::RLIMIT_NOFILE, 3, 3)?;
    setrlimit(Resource::RLIMIT_AS, room.memory_bytes, room.memory_bytes)?;
    let filter = filter();
    Ok(PutUp {
        landlock,
        filter,
        descriptors,
        priority,
    })
}

/// Everything is opened to be closed at exec, so this finds nothing; it holds for what comes to be linked in one day.
fn close_all_but_three() -> bool {
    let Ok(listed) = std::fs::read_dir("/proc/self/fd") else {
        return false;
    };
    let open: Vec<i32> = listed
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    // The listing's own descriptor is among them, and closed by now: closing it again does nothing.
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        let _ = nix::unistd::close(descriptor);
    }
    true
}

/// Denies everything that this kernel's Landlock can deny; true if that is everything we know of.
fn landlock() -> bool {
    let enforce = || -> Result<RulesetStatus, landlock::RulesetError> {
        let status = Ruleset::default()
            .handle_access(AccessFs::from_all(ABI::V6))?
            .handle_access(AccessNet::from_all(ABI::V6))?
            .scope(Scope::from_all(ABI::V6))?
            .create()?
            .restrict_self()?;
        Ok(status.ruleset)
    };
    enforce().is_ok_and(|status| status == RulesetStatus::FullyEnforced)
}

/// Lets pass what computing with the memory one has needs, and ending; everything else fails with EPERM.
fn filter() -> bool {
    let calls = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        calls.into_iter().map(|call| (call, Vec::new())).collect();
    let program = || -> Option<BpfProgram> {
        let arch = TargetArch::try_from(std::env::consts::ARCH).ok()?;
        let otherwise = SeccompAction::Errno(u32::try_from(libc::EPERM).ok()?);
        SeccompFilter::new(rules, otherwise, SeccompAction::Allow, arch)
            .ok()?
            .try_into()
            .ok()
    };
    program().is_some_and(|program| seccompiler::apply_filter(&program).is_ok())
}
