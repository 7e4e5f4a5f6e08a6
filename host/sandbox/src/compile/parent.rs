//! Starts the compiler's process, waits for it no longer than it may take, and tells what came of it.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::frame::{self, Answer, Job};
use super::walls::Walls;
use super::{COMPILE_VERB, CompileLimits};
use crate::rejected::CompileLimit;
use crate::{Rejected, text};

/// How often the child is looked at, at first and later.
const GLANCE: Duration = Duration::from_millis(1);
const GLANCE_LATER: Duration = Duration::from_millis(5);
/// Most that is read of what the child wrote to standard error, bytes.
const WORDS: u64 = 4096;
/// Time for trying the walls, and room beside the code in an answer.
const PROBE: Duration = Duration::from_secs(10);
const HEAD_ROOM: u64 = 1 << 20;

/// Compiles a module in a process of its own.
///
/// # Errors
/// What is wrong with the module, or which wall stopped the compiler, or that it could not be run.
pub(super) fn compile(
    program: &Path,
    limits: &CompileLimits,
    compatibility: &str,
    module: &[u8],
) -> Result<Vec<u8>, Rejected> {
    let ended = run(program, &job(limits, compatibility, false), limits.time, module).map_err(unavailable)?;
    verdict(ended, limits)
}

/// Has a child try its walls.
///
/// # Errors
/// It cannot be run, or is another program.
pub(crate) fn probe(program: &Path, limits: &CompileLimits, compatibility: &str) -> Result<Walls, String> {
    let limits = CompileLimits { time: PROBE, ..*limits };
    let ended =
        run(program, &job(&limits, compatibility, true), limits.time, &[]).map_err(|error| error.to_string())?;
    match ended.how {
        How::Answered(Answer::Probed(walls), _) => Ok(walls),
        How::Answered(Answer::Broken(why), _) => Err(why),
        other => Err(format!("it ended unexpectedly ({other:?}): {}", ended.words)),
    }
}

fn job(limits: &CompileLimits, compatibility: &str, probe: bool) -> Job {
    let seconds = limits.time.as_secs() + u64::from(limits.time.subsec_nanos() > 0);
    Job {
        compatibility: compatibility.to_owned(),
        memory_bytes: limits.memory_bytes,
        cpu_seconds: seconds.max(1),
        output_bytes: limits.output_bytes.saturating_add(HEAD_ROOM),
        probe,
    }
}

/// A child that is no more.
struct Ended {
    how: How,
    /// What it wrote to standard error, cut and cleaned.
    words: String,
    took: Duration,
    /// Processor time, where it could still be asked for.
    cpu: Option<Duration>,
}

#[derive(Debug)]
enum How {
    /// It answered, with code perhaps.
    Answered(Answer, Vec<u8>),
    /// It ended without an answer.
    Died(ExitStatus),
    /// It took too long, and we ended it.
    Late,
}

fn run(program: &Path, job: &Job, time: Duration, module: &[u8]) -> std::io::Result<Ended> {
    let mut input = in_memory(c"picket-module")?;
    frame::write(&mut input, job, module)?;
    input.rewind()?;
    let mut output = in_memory(c"picket-compiled")?;
    let mut words = in_memory(c"picket-words")?;
    let began = Instant::now();
    // An empty environment holds no secrets. The group makes that whatever it could start ends with it.
    let mut child = Command::new(std::path::absolute(program)?)
        .arg(COMPILE_VERB)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(output.try_clone()?))
        .stderr(Stdio::from(words.try_clone()?))
        .process_group(0)
        .spawn()?;
    let (status, cpu) = wait(&mut child, began + time)?;
    let took = began.elapsed();
    let how = match status {
        None => How::Late,
        Some(status) if status.success() => {
            output.rewind()?;
            let answer = frame::head(&mut output)?;
            let code = frame::body(&mut output, job.output_bytes)?;
            How::Answered(answer, code)
        }
        Some(status) => How::Died(status),
    };
    words.rewind()?;
    let mut said = Vec::new();
    words.take(WORDS).read_to_end(&mut said)?;
    Ok(Ended {
        how,
        words: text::clean(String::from_utf8_lossy(&said).trim(), 300),
        took,
        cpu,
    })
}

/// A file that has no name, and is gone with its last descriptor.
fn in_memory(name: &std::ffi::CStr) -> std::io::Result<File> {
    Ok(File::from(memfd_create(name, MFdFlags::MFD_CLOEXEC)?))
}

/// Waits until the child has ended, or ends it with its group at the deadline. A child that is looked at from time to time is
/// still ours when it is killed; its number is nobody else's.
fn wait(child: &mut Child, deadline: Instant) -> std::io::Result<(Option<ExitStatus>, Option<Duration>)> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((Some(status), None));
        }
        let now = Instant::now();
        if now >= deadline {
            let cpu = cpu_time(child.id());
            if let Ok(group) = i32::try_from(child.id()) {
                let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
            }
            child.kill()?;
            child.wait()?;
            return Ok((None, cpu));
        }
        let glance = if now - began < Duration::from_millis(200) {
            GLANCE
        } else {
            GLANCE_LATER
        };
        std::thread::sleep(glance.min(deadline - now));
    }
}

/// Processor time of a process, from `/proc/PID/stat`: fields 14 and 15, in hundredths of a second.
fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in brackets, may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

fn verdict(ended: Ended, limits: &CompileLimits) -> Result<Vec<u8>, Rejected> {
    let killed = |limit, detail: String| {
        Err(Rejected::Killed {
            limit,
            detail: text::clean(&detail, 300),
        })
    };
    let memory = format!("it wanted more than {} MB", limits.memory_bytes >> 20);
    let time = format!("it was not done in {} s", limits.time.as_secs_f64());
    let words = ended.words;
    match ended.how {
        How::Answered(Answer::Compiled, code) if code.len() as u64 <= limits.output_bytes => Ok(code),
        How::Answered(Answer::Compiled, _) => killed(CompileLimit::Output, output(limits)),
        How::Answered(Answer::Invalid(detail), _) => Err(Rejected::Invalid {
            detail: text::clean(&detail, 400),
        }),
        How::Answered(Answer::Failed(detail), _) => Err(Rejected::Compile {
            detail: text::clean(&detail, 400),
        }),
        How::Answered(Answer::OutOfMemory(_), _) => killed(CompileLimit::Memory, memory),
        How::Answered(Answer::Broken(why), _) => Err(unavailable(why)),
        How::Answered(Answer::Probed(_), _) => Err(unavailable("it tried its walls instead of compiling")),
        // Time on the wall is the module's fault only if the compiler had the processor meanwhile.
        How::Late if ended.cpu.is_some_and(|cpu| cpu < limits.time / 2) => killed(
            CompileLimit::Starved,
            format!(
                "in {:.1} s it had the processor for {:.1} s, and is tried again at the next reload",
                ended.took.as_secs_f64(),
                ended.cpu.unwrap_or_default().as_secs_f64()
            ),
        ),
        How::Late => killed(CompileLimit::Time, time),
        How::Died(status) => match status.signal() {
            Some(libc::SIGXCPU) => killed(CompileLimit::Time, time),
            Some(libc::SIGXFSZ) => killed(CompileLimit::Output, output(limits)),
            // Rust's words before it aborts.
            Some(libc::SIGABRT) if words.contains("memory allocation of") => killed(CompileLimit::Memory, memory),
            Some(libc::SIGKILL) => Err(unavailable(
                "it was killed from outside (the kernel's out-of-memory killer?)",
            )),
            // A compiler that crashes does so again.
            _ => Err(Rejected::Compile {
                detail: text::clean(&format!("the compiler crashed ({status}): {words}"), 400),
            }),
        },
    }
}

fn output(limits: &CompileLimits) -> String {
    format!("its code has more than {} MB", limits.output_bytes >> 20)
}

fn unavailable(why: impl ToString) -> Rejected {
    Rejected::Unavailable {
        detail: text::clean(&why.to_string(), 300),
    }
}
