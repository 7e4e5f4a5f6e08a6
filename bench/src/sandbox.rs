//! What the sandbox costs: the same rule, compiled natively and as a module, on the same columns.
//!
//! - **Rows.** Logins of the simulator's company, already columns, so that only the call is measured: host columns into a
//!   fresh instance, the rule over every row, the answer and the state changes out again. Native calls go through the SDK's
//!   native host, and cost what the SDK costs without a boundary.
//! - **The stateless rule** is `bench/rule`: four text columns, a condition that holds for every row, no alert. (The
//!   conditions of the stock rules without state leave a handful of rows of a day.)
//! - **The stateful rule** is the stock `mfa-fatigue-then-success`, with what it remembers after the whole company's six
//!   weeks, over rows of the last weeks. Only rows that pass its condition are counted.
//! - Each figure is the median of many rounds over several batches, native and sandboxed in turn.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use picket::testing::Native;
use picket_contract::{Batch, Call, Evaluate, EventRecord, Params, RuleManifest, RuleState, Tables};
use picket_event::{Plan, RowRef, Selector};
use picket_sandbox::Module;

use crate::clockwork::{medians, say};
use crate::company::Company;
use crate::figure::Printer;
use crate::rules;

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
    say("a stateless rule, natively and in the sandbox");
    let [by_native, by_1000, by_100] = medians(
        ROUNDS,
        [
            &mut || rule.call(&native, &thousands),
            &mut || rule.call(&*module, &thousands),
            &mut || rule.call(&*module, &hundreds),
        ],
    )?
    .map(|seconds| seconds * 1e9 / EVENTS as f64);
    printer.print("sandbox/native_ns_per_event", "ns", by_native);
    printer.print("sandbox/fresh_batch100_ns_per_event", "ns", by_100);
    printer.print("sandbox/fresh_batch1000_ns_per_event", "ns", by_1000);
    printer.print("sandbox/fresh_batch1000_times_native", "times", by_1000 / by_native);

    let module = rules::load(&engine, &stock.join("push-abuse.wasm"))?;
    let mut rule = Subject::new(&module, "mfa-fatigue-then-success", &events)?;
    let batches = rule.batches(1000)?;
    rule.remember(&*module)?;
    say(&format!(
        "a rule that remembers {} things",
        rule.state.entries().count()
    ));
    let [stateful] = medians(ROUNDS, [&mut || rule.call(&*module, &batches)])?;
    printer.print("sandbox/stateful_ns_per_event", "ns", stateful * 1e9 / EVENTS as f64);
    Ok(())
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
            let of_page = (0..events.len() as u32).map(|row| RowRef {
                page: page.clone(),
                row,
                seq: first + u64::from(row),
                late: false,
            });
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

    fn call(&self, evaluator: &dyn Evaluate, batches: &[Batch]) -> anyhow::Result<()> {
        for batch in batches {
            std::hint::black_box(evaluator.evaluate(self.call_of(std::hint::black_box(batch)))?);
        }
        Ok(())
    }
}
