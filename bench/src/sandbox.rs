//! What the sandbox costs: the same rule, compiled natively and as a module, on the same columns.
//!
//! - **Rows.** Logins of the simulator's company, already columns, so that only the call is measured: host columns into a
//!   fresh instance, the rule over every row, the answer and the state changes out again. Native calls go through the SDK's
//!   native host, and cost what the SDK costs without a boundary.
//! - **The stateless rule** is `bench/rule`: four text columns, a condition that holds for every row, no alert. (The
//!   conditions of the stock rules without state leave a handful of rows of a day.)
//! - **The stateful rule** is the stock `mfa-fatigue-then-success`, with what it remembers after the whole company's six
//!   weeks, over rows of the last weeks. Only rows that pass its condition are counted.
//! - **Bare wasmtime** ([`bare`](crate::bare)) makes the same calls over the same rows with an engine of the same settings. What
//!   the sandbox takes over it is `overhead_vs_bare_wasmtime`, in batches of 1000, and `overhead_vs_bare_wasmtime_batch100`.
//! - **On two threads** the calls are made by two threads at once; the figure is what an event costs each of them by the clock
//!   on the wall, since waiting for each other counts. So it needs two cores that are free.
//! - **`without_pagemap_scan`**: the same where the kernel (before Linux 6.7) does not tell which memory a call used.
//! - `rules171`: see [`many`](crate::many).
//! - Each figure is the median of many rounds over several batches; what is compared takes turns.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use picket::testing::Native;
use picket_contract::{Batch, Call, Evaluate, EventRecord, Params, RuleManifest, RuleState, Tables};
use picket_event::{Plan, RowRef, Selector};
use picket_sandbox::Module;

use crate::bare::{self, Bare};
use crate::clockwork::{medians, quantile, say};
use crate::company::Company;
use crate::figure::Printer;
use crate::{many, rules};

/// How many rounds; a round of the longest takes some milliseconds.
const ROUNDS: usize = 201;
/// How many events a round is over.
const EVENTS: usize = 8_000;

/// Measures the group.
///
/// # Errors
/// The rules cannot be had or fail.
pub(crate) fn run(stock: &Path, bench_rule: &Path, printer: &Printer) -> anyhow::Result<()> {
    say("making a company and loading rules");
    let engine = rules::engine()?;
    let events = Company::new().authentication()?;

    let module = rules::load(&engine, bench_rule)?;
    let rule = Subject::new(&module, "bench-odd-attempt", &events)?;
    let native = Native::new(&bench_rule::MODULE);
    let thousands = rule.batches(1000)?;
    let hundreds = rule.batches(100)?;
    let bare = Bare::new(bench_rule)?;
    let in_its_form = |batches: &[Batch]| -> Vec<bare::Shown> { batches.iter().map(bare::shown).collect() };
    let (bare_thousands, bare_hundreds) = (in_its_form(&thousands), in_its_form(&hundreds));
    say("a stateless rule, natively, in bare wasmtime and in the sandbox");
    let [by_native, by_1000, by_100, bare_1000, bare_100] = medians(
        ROUNDS,
        [
            &mut || rule.call(&native, &thousands),
            &mut || rule.call(&*module, &thousands),
            &mut || rule.call(&*module, &hundreds),
            &mut || rule.call_bare(&bare, &bare_thousands),
            &mut || rule.call_bare(&bare, &bare_hundreds),
        ],
    )?
    .map(by_event);
    printer.print("sandbox/native_ns_per_event", "ns", by_native);
    printer.print("sandbox/fresh_batch100_ns_per_event", "ns", by_100);
    printer.print("sandbox/fresh_batch1000_ns_per_event", "ns", by_1000);
    printer.print("sandbox/fresh_batch1000_times_native", "times", by_1000 / by_native);
    printer.print("sandbox/bare_wasmtime_batch100_ns_per_event", "ns", bare_100);
    printer.print("sandbox/bare_wasmtime_batch1000_ns_per_event", "ns", bare_1000);
    printer.print("sandbox/overhead_vs_bare_wasmtime", "times", by_1000 / bare_1000);
    printer.print("sandbox/overhead_vs_bare_wasmtime_batch100", "times", by_100 / bare_100);

    say("the same on two threads");
    for (name, batches) in [
        ("sandbox/fresh_batch100_per_thread_on_two_ns_per_event", &hundreds),
        ("sandbox/fresh_batch1000_per_thread_on_two_ns_per_event", &thousands),
    ] {
        let seconds = on_two(|| rule.call(&*module, batches))?;
        printer.print(name, "ns", by_event(seconds));
    }
    if let Some(engine) = rules::engine_without_scan(&engine)? {
        say("the same without PAGEMAP_SCAN");
        let module = rules::load(&engine, bench_rule)?;
        let [by_1000, by_100] = medians(
            ROUNDS,
            [&mut || rule.call(&*module, &thousands), &mut || {
                rule.call(&*module, &hundreds)
            }],
        )?
        .map(by_event);
        printer.print("sandbox/fresh_batch100_without_pagemap_scan_ns_per_event", "ns", by_100);
        printer.print(
            "sandbox/fresh_batch1000_without_pagemap_scan_ns_per_event",
            "ns",
            by_1000,
        );
    }
    let stateless = module;

    let module = rules::load(&engine, &stock.join("push-abuse.wasm"))?;
    let mut rule = Subject::new(&module, "mfa-fatigue-then-success", &events)?;
    let batches = rule.batches(1000)?;
    rule.remember(&*module)?;
    say(&format!(
        "a rule that remembers {} things",
        rule.state.entries().count()
    ));
    let [stateful] = medians(ROUNDS, [&mut || rule.call(&*module, &batches)])?;
    printer.print("sandbox/stateful_ns_per_event", "ns", by_event(stateful));

    many::run(&engine, stock, &stateless, &events, printer)
}

/// What an event costs, ns, of a round that took so many seconds.
fn by_event(seconds: f64) -> f64 {
    seconds * 1e9 / EVENTS as f64
}

/// How long a round takes two threads that begin it together, seconds on the wall: the median over both.
fn on_two(round: impl Fn() -> anyhow::Result<()> + Sync) -> anyhow::Result<f64> {
    let together = Barrier::new(2);
    let thread = || -> anyhow::Result<Vec<Duration>> {
        let mut took = Vec::with_capacity(ROUNDS);
        let mut done = Ok(());
        for _ in 0..ROUNDS {
            together.wait();
            let began = Instant::now();
            // A thread that left would leave the other waiting.
            done = done.and(round());
            took.push(began.elapsed());
        }
        done.map(|()| took)
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(thread);
        (thread(), one.join())
    });
    let mut took = one?;
    took.extend(other.map_err(|_| anyhow::anyhow!("a thread of the bench panicked"))??);
    Ok(quantile(took, 0.5).as_secs_f64())
}

/// A rule with its rows.
struct Subject {
    manifest: RuleManifest,
    params: Params,
    state: RuleState,
    selector: Selector,
    rows: Vec<RowRef>,
}

impl Subject {
    fn new(module: &Arc<Module>, id: &str, events: &[EventRecord]) -> anyhow::Result<Self> {
        let manifest = module.manifest.rules.iter().find(|rule| rule.id == id);
        let manifest = manifest.with_context(|| format!("there is no rule {id}"))?.clone();
        let params = rules::defaults(&manifest)?;
        let plan = Plan::new(&manifest.sources);
        let selector = Selector::new(&manifest, &params, &plan)?;
        let mut rows = Vec::new();
        for events in events.chunks(1000) {
            let page = Arc::new(plan.parse("authentication", "authentication", events));
            let first = rows.len() as u64 + 1;
            let of_page = (0..events.len() as u32).map(|row| RowRef::new(page.clone(), row, first + u64::from(row)));
            rows.extend(of_page);
        }
        let picked = selector.select(&rows, i64::MIN).picked;
        let rows = picked
            .iter()
            .filter_map(|index| rows.get(*index as usize).cloned())
            .collect();
        Ok(Subject {
            manifest,
            params,
            state: RuleState::default(),
            selector,
            rows,
        })
    }

    /// The last rows in batches of this many.
    fn batches(&self, size: usize) -> anyhow::Result<Vec<Batch>> {
        let from = self
            .rows
            .len()
            .checked_sub(EVENTS)
            .context("the company has too few events")?;
        let rows = self.rows.get(from..).unwrap_or_default();
        Ok(rows
            .chunks(size)
            .map(|rows| self.selector.select(rows, i64::MIN).batch)
            .collect())
    }

    /// Shows the rule all rows once, so that it knows what it would know.
    fn remember(&mut self, evaluator: &dyn Evaluate) -> anyhow::Result<()> {
        for rows in self.rows.chunks(1000) {
            let batch = self.selector.select(rows, i64::MIN).batch;
            let outcome = evaluator.evaluate(self.call_of(&batch))?;
            self.state.apply(&outcome.changes);
        }
        Ok(())
    }

    fn call_of<'a>(&'a self, batch: &'a Batch) -> Call<'a> {
        static NO_TABLES: std::sync::LazyLock<Tables> = std::sync::LazyLock::new(Tables::default);
        Call {
            rule: &self.manifest.id,
            batch,
            state: &self.state,
            params: &self.params,
            tables: &NO_TABLES,
        }
    }

    fn call_bare(&self, bare: &Bare, batches: &[bare::Shown]) -> anyhow::Result<()> {
        let mut batches = batches.iter();
        batches.try_for_each(|batch| bare.call(&self.manifest.id, std::hint::black_box(batch)))
    }

    fn call(&self, evaluator: &dyn Evaluate, batches: &[Batch]) -> anyhow::Result<()> {
        for batch in batches {
            std::hint::black_box(evaluator.evaluate(self.call_of(std::hint::black_box(batch)))?);
        }
        Ok(())
    }
}
