//! What a change of rules costs.
//!
//! - `swap_pause`: how long judging stands still while another set of rules takes over, as the pipeline reports it, over many
//!   changes while pages keep coming.

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
pub(crate) fn run(stock: &Path, bench_rule: &Path, _picket: &Path, printer: &Printer) -> anyhow::Result<()> {
    say("making a company and loading rules");
    let engine = rules::engine()?;
    let modules = rules::load_all(&engine, stock)?;
    let with = [&modules[..], &[rules::load(&engine, bench_rule)?]].concat();
    let sets = [rules::set(&with, "with")?, rules::set(&modules, "without")?];
    let pages = pipeline::pages(&Company::new())?;

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
                // Over and over: rows that are known cost the journal's look-up, and judging goes on with the marks.
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
    printer.print(
        "reload/swap_pause_ms_p99",
        "ms",
        quantile(pauses, 0.99).as_secs_f64() * 1e3,
    );
    Ok(())
}
