//! The compiler's process: puts up its walls, compiles one module, answers, ends.

use std::io::{self, Read};
use std::process::ExitCode;

use super::frame::{self, Answer, Job};
use super::refusal;
use super::walls::{self, Room};
use crate::Rejected;
use crate::engine::{compatibility, compiler};

/// Longest module, bytes. The parent's own limit is far below.
const MODULE: u64 = 256 << 20;

/// Compiles one module from standard input to standard output and ends.
///
/// A program whose engine is made with [`Compile::Child`](crate::Compile::Child) calls this first thing in `main`, before it
/// starts a thread or opens a file, if its one argument is [`COMPILE_VERB`](crate::COMPILE_VERB).
#[must_use]
pub fn run() -> ExitCode {
    let (input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let (answer, code) = work(input).unwrap_or_else(|error| (Answer::Broken(error.to_string()), Vec::new()));
    match frame::write(&mut output, &answer, &code) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("picket: the compiler's answer cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(mut input: impl Read) -> io::Result<(Answer, Vec<u8>)> {
    let job: Job = frame::head(&mut input)?;
    let put_up = walls::put_up(Room {
        memory_bytes: job.memory_bytes,
        cpu_seconds: job.cpu_seconds,
        output_bytes: job.output_bytes,
    })?;
    let module = frame::body(&mut input, MODULE)?;
    let engine = compiler().map_err(|error| io::Error::other(format!("{error:#}")))?;
    let ours = compatibility(&engine);
    if ours != job.compatibility {
        return Err(io::Error::other(format!(
            "it is another program than the one that asks ({ours}, {})",
            job.compatibility
        )));
    }
    if job.probe {
        return Ok((Answer::Probed(put_up.tried()), Vec::new()));
    }
    Ok(match engine.precompile_component(&module) {
        Ok(code) => (Answer::Compiled, code),
        Err(error) if is_out_of_memory(&error) => (Answer::OutOfMemory(format!("{error:#}")), Vec::new()),
        Err(error) => match refusal(&error) {
            Rejected::Invalid { detail } => (Answer::Invalid(detail), Vec::new()),
            _ => (Answer::Failed(format!("{error:#}")), Vec::new()),
        },
    })
}

fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    // What comes from the kernel is wrapped in errors of several crates; its number is in the words of all of them.
    let number = format!("os error {}", libc::ENOMEM);
    error.chain().any(|cause| {
        let said = cause.to_string();
        said.contains(&number) || said.contains("out of memory")
    })
}
