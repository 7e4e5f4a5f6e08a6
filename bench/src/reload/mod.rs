//! What a change of rules costs.
//!
//! - `admit_child`, `admit_in_process`: admitting a stock module, with the compiler in a process of its own or here ([`compiler`]).
//! - `live`: from the write of a changed module to its judging, in a real daemon, a shadow run over 10,000 stored events included
//!   ([`live`]).
//! - `swap_pause`: how long judging stands still while changed modules take over the rules' positions and state, as the
//!   pipeline reports it, over many changes of all rules at once while pages keep coming. The commit is on its way to the disk when
//!   judging goes on, and is not waited for in the pause.

mod compiler;
mod live;

use std::path::Path;
use std::time::Duration;

use crate::clockwork::{quantile, say};
use crate::company::Company;
use crate::figure::Printer;
use crate::{pipeline, rules};

const SWAPS: usize = 100;

/// Measures the group.
///
/// # Errors
/// The rules or the store cannot be had or fail.
pub(crate) fn run(stock: &Path, picket: &Path, printer: &Printer) -> anyhow::Result<()> {
    say("making a company and loading rules");
    let engine = rules::engine()?;
    let modules = rules::load_all(&engine, stock)?;
    let sets = [rules::set(&modules, "one")?, rules::set(&modules, "other")?];
    let company = Company::new();
    let pages = pipeline::pages(&company)?;

    say(&format!("{SWAPS} changes of rules while pages come"));
    let directory = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let pauses: Vec<Duration> = runtime.block_on(async {
        let pipeline = pipeline::open(directory.path(), sets[1].clone()).await?;
        let collecting = {
            let pipeline = pipeline.clone();
            tokio::spawn(async move {
                for page in pages {
                    pipeline.admit(page).await?;
                }
                Ok::<(), anyhow::Error>(())
            })
        };
        let mut pauses = Vec::with_capacity(SWAPS);
        for set in sets.iter().cycle().take(SWAPS) {
            pauses.push(pipeline.replace_rules(set.clone()).await?.pause);
        }
        collecting.await??;
        anyhow::Ok(pauses)
    })?;
    let pause = quantile(pauses, 0.99);
    say("compiling in a process of its own, and here");
    compiler::run(stock, picket, printer)?;
    say("changed files under a running daemon");
    let took = runtime.block_on(live::changes(picket, stock, pipeline::pages(&company)?))?;
    printer.print(
        "reload/live_ms_p50",
        "ms",
        quantile(took.clone(), 0.5).as_secs_f64() * 1e3,
    );
    printer.print("reload/live_ms_p99", "ms", quantile(took, 0.99).as_secs_f64() * 1e3);
    printer.print("reload/swap_pause_ms_p99", "ms", pause.as_secs_f64() * 1e3);
    Ok(())
}
