//! Two hundred changes of rules under load: what a swap promises, at the pace of the promise.
//!
//! Events are offered at 20,000 a second by the clock, a company's six weeks again and again, each time later and under other
//! ids, in pages as collection brings them, to a tenant's pipeline over a store on the disk with all stock rules. Meanwhile
//! one version of all rules follows the other. Versions differ in what they count to, so that alerts show which one judged; a
//! third of them, at random, runs out of fuel whatever it is shown. Each is shown stored events beside the one before it, and takes over
//! unless it failed there.
//!
//! Then the journal is judged once more, by the versions that it says judged, each from where it took over, and it is counted
//! what the two runs do not have in common.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use picket_contract::{Admission, Call, Evaluate, EventRecord, Failure, Mark, Outcome, ParamValue};
use picket_judge::people::Nobody;
use picket_judge::pipeline::{Page, Pipeline, Rows, RuleSet};
use picket_judge::rejudge::{Journal, Judged, rejudge};
use picket_judge::{Settings, shadow};
use picket_sandbox::{CallLimits, Module};
use picket_store::{AlertFilter, AlertRow, SqliteStore, Store};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Runtime;

use crate::figure::Printer;
use crate::{pipeline, rules};

const RELOADS: u64 = 200;
const EVENTS_PER_S: u64 = 20_000;
const SEED: u64 = 20_261_122;
/// Events that a version is shown before it takes over.
const SHADOW: u64 = 500;
/// Events that are stored before the first change: a version that is shown none has not failed.
const FIRST: u64 = 5000;
/// Fuel with which no call of any rule ends.
const STARVED: u64 = 100;
const DAY: i64 = 86_400_000;

/// Measures it.
///
/// # Errors
/// Something was skipped, judged twice, or judged otherwise; or the store or the sandbox fails.
pub(super) fn run(
    runtime: &Runtime,
    modules: &[Arc<Module>],
    given: Vec<Admission>,
    printer: &Printer,
) -> anyhow::Result<()> {
    let starved = modules.iter().map(|module| {
        let limits = CallLimits {
            fuel: STARVED,
            ..module.limits
        };
        Ok(Arc::new(module.under(limits)?))
    });
    let starved: Vec<Arc<Module>> = starved.collect::<anyhow::Result<_>>()?;
    let versions = Versions {
        stock: rules::set(modules, "")?,
        starved: rules::set(&starved, "")?,
        sets: Mutex::default(),
        shown: Shown::default(),
        bad_calls: Arc::default(),
    };
    let directory = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path())?);
    let offered = runtime.block_on(reloads(&versions, &store, given))?;

    let again = Shown::default();
    let known = |_: u64, hash: &str| {
        let sets = versions.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let set = recorded(sets.get(hash)?, &again, None);
        Some(Judged { set, since: None })
    };
    let tenant = rules::tenant();
    let journal = Journal {
        store: store.clone(),
        tenant: tenant.clone(),
        settings: Settings::default(),
        people: Arc::new(Nobody),
        now: pipeline::NOW,
    };
    let rejudged = rejudge(&journal, known)?;
    ensure!(
        rejudged.substituted.is_empty(),
        "the journal cannot be judged again as it was: {:?}",
        rejudged.substituted
    );
    let alerts = told(&store.alerts(&tenant.id, &AlertFilter::default())?);
    ensure!(alerts.len() > 100, "{} alerts: the run shows little", alerts.len());
    let differences = differences(&alerts, &told(&rejudged.alerts));
    let stored: u64 = store.count(&tenant.id)?.iter().map(|(_, count)| count).sum();
    let (missing, twice) = compared(&versions.shown, &again);
    let skipped = missing + offered.events.abs_diff(stored);
    let bad_calls = versions.bad_calls.load(Ordering::SeqCst);

    #[allow(clippy::cast_precision_loss, reason = "figures")]
    let figures = [
        ("reload/load_events_per_s", "events/s", offered.events_per_s),
        ("reload/load_reloads", "reloads", RELOADS as f64),
        ("reload/load_refused", "reloads", offered.refused as f64),
        ("reload/load_skipped", "events", skipped as f64),
        ("reload/load_twice", "events", twice as f64),
        ("reload/load_alert_differences", "alerts", differences as f64),
        ("reload/bad_calls_outside_shadow", "calls", bad_calls as f64),
    ];
    for (name, unit, value) in figures {
        printer.print(name, unit, value);
    }
    ensure!(
        offered.refused > RELOADS / 10 && offered.refused < RELOADS / 2 + RELOADS / 10,
        "{} of {RELOADS} versions were refused: that is no mixture",
        offered.refused
    );
    ensure!(
        skipped + twice + differences + bad_calls == 0,
        "a reload under load skipped, repeated or changed something (seed {SEED})"
    );
    Ok(())
}

/// What came of the live run.
struct Offered {
    /// New to the journal, in all.
    events: u64,
    /// Between the first change and the last.
    events_per_s: f64,
    /// Versions that did not pass.
    refused: u64,
}

async fn reloads(versions: &Versions, store: &Arc<dyn Store>, given: Vec<Admission>) -> anyhow::Result<Offered> {
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let mut in_force = versions.version(0, false);
    let pipeline = Pipeline::open(
        rules::tenant(),
        store.clone(),
        versions.live(&in_force, false),
        pipeline::options(),
    )
    .await?;
    let (admitted, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let feeding = tokio::spawn(feed(pipeline.clone(), given, admitted.clone(), is_over.clone()));
    while admitted.load(Ordering::SeqCst) < FIRST && !feeding.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (began, before) = (Instant::now(), admitted.load(Ordering::SeqCst));
    let mut refused = 0;
    for number in 1..=RELOADS {
        let is_bad = dice.random_range(0..3) == 0;
        let candidate = versions.version(number, is_bad);
        let (of, old, new) = (store.clone(), in_force.rules.clone(), candidate.rules.clone());
        let ran = tokio::task::spawn_blocking(move || {
            let what = shadow::Run {
                store: &of,
                tenant: &rules::tenant(),
                settings: Settings::default(),
                old: &old,
                new: &new,
                from: i64::MIN,
                most_events: SHADOW,
                most_fuel: u64::MAX,
                now: pipeline::NOW,
            };
            shadow::run(what, || true)
        });
        let ran = ran.await??;
        ensure!(ran.events > 0, "version {number} was shown nothing");
        // Nobody but the shadow run says which versions are bad.
        if ran.new.failures.is_empty() {
            pipeline.replace_rules(versions.live(&candidate, is_bad)).await?;
            in_force = candidate;
        } else {
            refused += 1;
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let events_per_s = (admitted.load(Ordering::SeqCst) - before) as f64 / began.elapsed().as_secs_f64();
    is_over.store(true, Ordering::SeqCst);
    let events = feeding.await??;
    pipeline.settle().await?;
    Ok(Offered {
        events,
        events_per_s,
        refused,
    })
}

/// Offers pages by the clock until it is over; how many events were new.
async fn feed(
    pipeline: Pipeline,
    given: Vec<Admission>,
    admitted: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
) -> anyhow::Result<u64> {
    let times = || given.iter().flat_map(|entry| &entry.events).map(|event| event.time);
    let (first, last) = (times().min(), times().max());
    let span = (last.context("a company")? - first.context("a company")?) / DAY * DAY + 2 * DAY;
    let (began, mut offered) = (Instant::now(), 0);
    for round in 0.. {
        for entry in &given {
            if is_over.load(Ordering::SeqCst) {
                return Ok(admitted.load(Ordering::SeqCst));
            }
            let due = began + Duration::from_micros(offered * 1_000_000 / EVENTS_PER_S);
            tokio::time::sleep_until(due.into()).await;
            offered += entry.events.len() as u64;
            let new = pipeline.admit(later(entry, round, span)).await?.new;
            admitted.fetch_add(new as u64, Ordering::SeqCst);
        }
    }
    Ok(admitted.load(Ordering::SeqCst))
}

/// A page as it comes so many rounds later.
fn later(entry: &Admission, round: i64, span: i64) -> Page {
    let by = round * span;
    let event = |event: &EventRecord| EventRecord {
        id: format!("{}#{round}", event.id).into(),
        time: event.time + by,
        raw: event.raw.clone(),
    };
    let mark = |mark: &Mark| match mark {
        Mark::Complete { log, to } => Some(Mark::Complete {
            log: log.clone(),
            to: to.saturating_add(by),
        }),
        // Who feeds what, and which logs there are, is said once.
        other => (round == 0).then(|| other.clone()),
    };
    Page {
        log: entry.log.clone(),
        rows: Rows::Events {
            events: entry.events.iter().map(event).collect(),
            reading: None,
        },
        marks: entry.marks.iter().filter_map(mark).collect(),
        cursor: None,
        inventory: Vec::new(),
    }
}

/// Which rows each rule was shown by calls that succeeded.
type Shown = Arc<Mutex<BTreeMap<String, Vec<u64>>>>;

/// All versions of the rules, and what they did live.
struct Versions {
    stock: RuleSet,
    /// The same, none of which can end a call.
    starved: RuleSet,
    /// By hash, those that took over.
    sets: Mutex<BTreeMap<String, RuleSet>>,
    shown: Shown,
    bad_calls: Arc<AtomicU64>,
}

impl Versions {
    /// One version, as it is shown stored events.
    fn version(&self, number: u64, is_bad: bool) -> RuleSet {
        let mut set = if is_bad {
            self.starved.clone()
        } else {
            self.stock.clone()
        };
        set.hash = format!("version {number}").into();
        for rule in &mut set.rules {
            rule.module = format!("sha256:{number}").into();
            let mut params = rule.params.as_ref().clone();
            if let Some(ParamValue::Integer(count)) = params.get_mut("count") {
                *count += i64::try_from(number % 3).unwrap_or_default();
            }
            rule.params = Arc::new(params);
        }
        set
    }

    /// The same as it judges live, where what it is shown is written down.
    fn live(&self, set: &RuleSet, is_bad: bool) -> RuleSet {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.insert(set.hash.to_string(), set.clone());
        recorded(set, &self.shown, is_bad.then(|| self.bad_calls.clone()))
    }
}

fn recorded(set: &RuleSet, shown: &Shown, bad_calls: Option<Arc<AtomicU64>>) -> RuleSet {
    let mut set = set.clone();
    for rule in &mut set.rules {
        rule.evaluator = Arc::new(Recorded {
            version: rule.evaluator.clone(),
            shown: shown.clone(),
            bad_calls: bad_calls.clone(),
        });
    }
    set
}

/// A rule whose calls are written down.
#[derive(Debug)]
struct Recorded {
    version: Arc<dyn Evaluate>,
    shown: Shown,
    /// Of a version that is bad.
    bad_calls: Option<Arc<AtomicU64>>,
}

impl Evaluate for Recorded {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        if let Some(bad_calls) = &self.bad_calls {
            bad_calls.fetch_add(1, Ordering::SeqCst);
        }
        let groups = call.batch.groups.iter();
        let rows: Vec<u64> = groups.flat_map(|group| group.events.iter().copied()).collect();
        let rule = call.rule.to_owned();
        let outcome = self.version.evaluate(call)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.entry(rule).or_default().extend(rows);
        Ok(outcome)
    }
}

/// What is stored of alerts: by id, everything else of them.
fn told(alerts: &[AlertRow]) -> BTreeMap<String, (String, String, u64)> {
    let of = |row: &AlertRow| {
        let whole = (row.severity.as_str().to_owned(), row.json.to_string(), row.repeats);
        (row.id.to_string(), whole)
    };
    alerts.iter().map(of).collect()
}

/// Alerts that only one of them has, or has otherwise.
fn differences<T: PartialEq>(one: &BTreeMap<String, T>, other: &BTreeMap<String, T>) -> u64 {
    let differ = one.iter().filter(|(id, alert)| other.get(*id) != Some(*alert)).count();
    let gained = other.keys().filter(|id| !one.contains_key(*id)).count();
    (differ + gained) as u64
}

/// Rows that a rule was to be shown and was not; and those that it was shown twice, or never was to be.
fn compared(live: &Shown, again: &Shown) -> (u64, u64) {
    let sorted = |shown: &Shown| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        shown.values_mut().for_each(|rows| rows.sort_unstable());
        shown
    };
    let (mut live, mut again) = (sorted(live), sorted(again));
    let rules: Vec<String> = live.keys().chain(again.keys()).cloned().collect();
    let (mut missing, mut twice) = (0, 0);
    for rule in rules {
        let (mut live, again) = (
            live.remove(&rule).unwrap_or_default(),
            again.remove(&rule).unwrap_or_default(),
        );
        let all = live.len();
        live.dedup();
        twice += (all - live.len()) as u64;
        missing += again.iter().filter(|row| live.binary_search(row).is_err()).count() as u64;
        twice += live.iter().filter(|row| again.binary_search(row).is_err()).count() as u64;
    }
    (missing, twice)
}
