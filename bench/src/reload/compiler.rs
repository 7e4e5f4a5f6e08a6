//! What a compiler's process costs over compiling in this one: every stock module admitted both ways, in turn, without a
//! cache. The difference is starting the binary, its walls, carrying the bytes there and back, and that it has one thread.

use std::path::Path;
use std::time::{Duration, Instant};

use picket_sandbox::{Compile, CompileLimits, Engine, Limits};

use crate::clockwork::quantile;
use crate::figure::Printer;

const ROUNDS: usize = 5;

/// Measures it, on the wall clock.
///
/// # Errors
/// The sandbox cannot be had, or a module is refused.
pub(super) fn run(stock: &Path, picket: &Path, printer: &Printer) -> anyhow::Result<()> {
    let limits = || Limits {
        concurrency: 1,
        ..Limits::default()
    };
    let child = Compile::Child {
        program: picket.to_owned(),
        limits: CompileLimits::default(),
    };
    let engines = [Engine::compiling(limits(), child)?, Engine::new(limits())?];
    let mut modules = Vec::new();
    for entry in stock.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            modules.push(std::fs::read(path)?);
        }
    }
    let mut took: [Vec<Duration>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for module in &modules {
            for (engine, took) in engines.iter().zip(&mut took) {
                let began = Instant::now();
                engine.load(module)?;
                took.push(began.elapsed());
            }
        }
    }
    let names = ["reload/admit_child_ms_p50", "reload/admit_in_process_ms_p50"];
    for (name, took) in names.into_iter().zip(took) {
        printer.print(name, "ms", quantile(took, 0.5).as_secs_f64() * 1e3);
    }
    Ok(())
}
