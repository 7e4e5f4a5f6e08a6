//! Who compiles, and how it is kept from doing harm.
//!
//! A few kilobytes of module can keep a compiler busy for minutes or take gigabytes, and the compiler's authors say that this
//! is not theirs to prevent. [`StaticLimits`](crate::StaticLimits) refuse the shapes that are known; what nobody
//! thought of yet must be stopped from outside. So the daemon and the command line do not compile at all (their engine has no
//! compiler: [`Compile::Child`]). They run their own binary once more, which
//!
//! - has nothing: no environment, no descriptor but the three it is given, no files (Landlock, deny all), no sockets
//!   (Landlock's network rights and a filter of system calls), no other processes, no new privileges, no core dumps;
//! - has little: [`CompileLimits`] of memory, of processor time and on the wall clock, and room for an answer of bounded size;
//! - has no rush: it is niced, so that judging comes first.
//!
//! What each wall is made of, and what is left on a kernel that lacks one, stands in [`walls`]; the way of the bytes in
//! [`frame`].
//!
//! # Why its answer is trusted
//!
//! The answer is machine code, which the daemon will run. It is trusted because it is what *our own binary* made of the
//! module: the program is `/proc/self/exe`, so it is the very file that runs here, even while a package
//! manager replaces it; what it reads are our bytes, and nobody else can write into the unnamed files it reads and writes. The
//! module is hostile, but it is data to the compiler, and the compiler is trusted to confine what it compiles: so
//! it would be in this process as well. The walls are therefore not against wrong code (a flaw of the compiler
//! that lets code out of the sandbox is met by the second wall that is to come, rules in a process of their own),
//! but against everything else that a compiler under attack could do: eat, hang, crash, read, and talk. Kept
//! code carries its hash ([`crate::artifact`]), so that it is the same code that comes back.

mod child;
mod frame;
mod parent;
mod walls;

use std::path::PathBuf;
use std::time::Duration;

pub use child::run as compile_child;
pub(crate) use parent::probe;
pub use walls::Walls;

use crate::{Rejected, text};

/// The one argument that makes a binary the compiler's process; see [`compile_child`].
pub const COMPILE_VERB: &str = "compile-module";

/// Who compiles.
#[derive(Debug, Clone, Default)]
pub enum Compile {
    /// This process, without limits: for tests, benchmarks and tools, whose modules are their own.
    #[default]
    InProcess,
    /// A process of its own for each module.
    Child {
        /// A program that calls [`compile_child`] when its one argument is [`COMPILE_VERB`]. `/proc/self/exe` is the
        /// running program itself.
        program: PathBuf,
        /// What it may take.
        limits: CompileLimits,
    },
}

impl Compile {
    /// The running program, compiling.
    #[must_use]
    pub fn with_this_program(limits: CompileLimits) -> Compile {
        Compile::Child {
            program: PathBuf::from("/proc/self/exe"),
            limits,
        }
    }
}

/// What compiling one module may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the compiler's process, bytes: its code and stack included, some 60 MB.
    pub memory_bytes: u64,
    /// Time on the wall clock, and as much on the processor.
    pub time: Duration,
    /// Size of the compiled code, bytes.
    pub output_bytes: u64,
}

impl Default for CompileLimits {
    fn default() -> Self {
        CompileLimits {
            memory_bytes: 512 << 20,
            time: Duration::from_secs(10),
            output_bytes: 128 << 20,
        }
    }
}

impl CompileLimits {
    /// What a refusal because of these limits is kept under: with others it is tried again.
    pub(crate) fn key(&self) -> String {
        format!(
            "{}k{}ms{}k",
            self.memory_bytes >> 10,
            self.time.as_millis(),
            self.output_bytes >> 10
        )
    }
}

/// Compiles a component. `compatibility` is what compiled code depends on besides it, as this process sees it.
///
/// # Errors
/// What is wrong with the module, or which wall stopped the compiler, or that it could not be run.
pub(crate) fn compile(
    engine: &wasmtime::Engine,
    compile: &Compile,
    compatibility: &str,
    bytes: &[u8],
) -> Result<Vec<u8>, Rejected> {
    match compile {
        Compile::InProcess => engine.precompile_component(bytes).map_err(|error| refusal(&error)),
        Compile::Child { program, limits } => parent::compile(program, limits, compatibility, bytes),
    }
}

/// What the compiler said, as a refusal.
fn refusal(error: &wasmtime::Error) -> Rejected {
    let detail = text::clean(&format!("{error:#}"), 400);
    match error.downcast_ref::<wasmparser::BinaryReaderError>() {
        Some(_) => Rejected::Invalid { detail },
        None => Rejected::Compile { detail },
    }
}
