//! What an event costs from its JSON text to an alert, with every stock rule in the sandbox.
//!
//! - `json_to_alert`: one thread, in memory. Lines of text are cut, identified, sorted into a journal, parsed into columns,
//!   selected, judged by all rules, and alerts are written: all of `picket replay` but reading the file and loading modules.
//!   Median of the rounds, and `json_to_alert_best` the best of them.
//! - `identify`, `columns`: what of it would go into finding every event's id and time, and into reading the fields that the rules
//!   want, by event.
//! - `durable`: the same events in pages of up to 1000 through a tenant's pipeline over the SQLite store on disk, each page one
//!   transaction. The store's writer has a thread of its own. Median of fewer rounds.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use picket_contract::{Admission, RawRow};
use picket_event::Plan;
use picket_judge::people::Nobody;
use picket_judge::pipeline::{Logged, Options, Pipeline, RuleSet};
use picket_judge::replay::{Rows, admissions, lines, replay};
use picket_judge::{Settings, pipeline};
use picket_store::SqliteStore;

use crate::clockwork::{in_turn, medians, quantile, say};
use crate::company::Company;
use crate::figure::Printer;
use crate::rules;

const ROUNDS: usize = 15;
const DURABLE_ROUNDS: usize = 5;
/// When alerts are said to have been raised, ms: nothing here reads a clock.
pub(crate) const NOW: i64 = 1_795_000_000_000;

/// Measures the group.
///
/// # Errors
/// The rules or the store cannot be had or fail.
pub(crate) fn run(stock: &Path, printer: &Printer) -> anyhow::Result<()> {
    say("making a company and loading rules");
    let engine = rules::engine()?;
    let set = rules::set(&rules::load_all(&engine, stock)?, "bench")?;
    let company = Company::new();
    let events = company.events() as f64;

    say(&format!("{events} events through {} rules, in memory", set.rules.len()));
    let mut alerts = 0;
    let [took] = in_turn(
        ROUNDS,
        [&mut || {
            let replayed = replay(
                rules::tenant(),
                Settings::default(),
                rules::judged(&set),
                &rows(&company),
                NOW,
            )?;
            alerts = replayed.alerts.len();
            anyhow::ensure!(replayed.troubles.is_empty(), "rules failed: {:?}", replayed.troubles);
            Ok(())
        }],
    )?;
    anyhow::ensure!(alerts > 0, "not one alert: something is not measured");
    for (name, share) in [
        ("pipeline/json_to_alert_events_per_s", 0.5),
        ("pipeline/json_to_alert_best_events_per_s", 0.0),
    ] {
        let seconds = quantile(took.clone(), share).as_secs_f64();
        printer.print(name, "events/s", events / seconds);
    }

    let given = rows(&company);
    let events_of = admissions(&given)?;
    let plan = Plan::new(set.rules.iter().flat_map(|rule| &rule.manifest.sources));
    let [identify, columns] = medians(
        ROUNDS,
        [
            &mut || {
                for Rows { log, rows } in &given {
                    for row in rows {
                        black_box(picket_event::identify(log, row)?);
                    }
                }
                Ok(())
            },
            &mut || {
                for Admission { log, events, .. } in &events_of {
                    let named = if **log == *"activity" { "admin" } else { log };
                    black_box(plan.parse(named, log, events));
                }
                Ok(())
            },
        ],
    )?;
    printer.print("pipeline/identify_ns_per_event", "ns", identify * 1e9 / events);
    printer.print("pipeline/columns_ns_per_event", "ns", columns * 1e9 / events);
    drop((given, events_of));

    say("the same through the store");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let mut took = Vec::new();
    for _ in 0..DURABLE_ROUNDS {
        let directory = tempfile::tempdir()?;
        took.push(runtime.block_on(durable(directory.path(), set.clone(), pages(&company)?))?);
    }
    let seconds = quantile(took, 0.5).as_secs_f64();
    printer.print("pipeline/durable_events_per_s", "events/s", events / seconds);
    Ok(())
}

/// Lines of text as rows: cutting them is part of what is measured.
pub(crate) fn rows(company: &Company) -> Vec<Rows> {
    let of_log = |(feed, text): &(duo_simulator::model::Feed, RawRow)| Rows {
        log: feed.name().into(),
        rows: lines(text).filter(|line| !line.is_empty()).collect(),
    };
    company.logs.iter().map(of_log).collect()
}

/// The same rows as pages of collection, with the marks that go with them.
///
/// # Errors
/// A row cannot be placed.
pub(crate) fn pages(company: &Company) -> anyhow::Result<Vec<pipeline::Page>> {
    let page = |admission: Admission| pipeline::Page {
        log: admission.log,
        rows: admission.events.into_iter().map(|event| event.raw).collect(),
        marks: admission.marks,
        cursor: None,
        inventory: Vec::new(),
    };
    Ok(admissions(&rows(company))?.into_iter().map(page).collect())
}

/// A tenant's pipeline as the daemon opens it, but for the clock.
///
/// # Errors
/// The store cannot be had.
pub(crate) async fn open(directory: &Path, set: RuleSet) -> anyhow::Result<Pipeline> {
    let store = Arc::new(SqliteStore::open(directory)?);
    Ok(Pipeline::open(rules::tenant(), store, set, options()).await?)
}

/// What a pipeline is given here.
pub(crate) fn options() -> Options {
    Options {
        settings: Settings::default(),
        share_within: Duration::from_millis(200),
        clock: Arc::new(|| NOW),
        observer: Arc::new(Logged),
        people: Arc::new(Nobody),
        holding: Arc::default(),
        ration: Arc::default(),
    }
}

async fn durable(directory: &Path, set: RuleSet, pages: Vec<pipeline::Page>) -> anyhow::Result<Duration> {
    let pipeline = open(directory, set).await?;
    let began = std::time::Instant::now();
    for page in pages {
        pipeline.admit(page).await?;
    }
    pipeline.settle().await?;
    Ok(began.elapsed())
}
