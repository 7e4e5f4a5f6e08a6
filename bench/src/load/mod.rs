//! Two hundred changes of rules under load: what a swap promises, at the pace of the promise.
//!
//! Events are offered at 20,000 a second by the clock, a company's six weeks again and again, each time later and under other
//! ids, in pages as collection brings them, to a tenant's pipeline over a store on the disk with all stock rules. Meanwhile
//! one version of all rules follows the other, one a second at most. Versions differ in what they count to, so that alerts show which one judged; a
//! third of them, at random, runs out of fuel whatever it is shown. Each is shown stored events beside the one before it, and takes over
//! unless it failed there.
//!
//! Then the journal is judged once more, by the versions that it says judged, each from where it took over, and it is counted
//! what the two runs do not have in common. Nothing that grows with the journal is kept of either but a bit for each row that a
//! rule was shown, and of each alert its id, its repeats and a digest.
//!
//! - `load_offered_per_s`: what the clock asked for between the first change and the last; `load_events_per_s`: what the pipeline
//!   took of it. `load_judged_after_s`: how long judging went on when the last change was made and nothing was offered any more.
//! - `load_reloads`, `load_refused`: versions in all, and those that the shadow run turned away.
//! - `load_skipped`, `load_twice`, `load_alert_differences`, `bad_calls_outside_shadow`: what must be nothing.
//! - `load_again_per_s`: events of the journal judged again in a second, on one thread.
//! - `load_live_mb`: resident when the live run was over; `load_peak_mb`: the most that was resident in all.

mod alerts;
mod feed;
mod shown;
mod versions;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use picket_contract::Admission;
use picket_judge::people::Nobody;
use picket_judge::pipeline::Pipeline;
use picket_judge::rejudge::{Journal, Judged, rejudge};
use picket_judge::{Settings, replay, shadow};
use picket_store::{SqliteStore, Store};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tokio::time::MissedTickBehavior;

use self::alerts::Told;
use self::feed::{Progress, feed};
use self::shown::Shown;
use self::versions::{Versions, recorded};
use crate::clockwork::say;
use crate::company::Company;
use crate::daemon::memory;
use crate::figure::Printer;
use crate::{pipeline, rules};

const EVENTS_PER_S: u64 = 20_000;
const SEED: u64 = 20_261_122;
/// Events that a version is shown before it takes over.
const SHADOW: u64 = 500;
/// Events that are stored before the first change: a version that is shown none has not failed.
const FIRST: u64 = 5000;
/// From one change to the next at the least: so that each version judges the company's six weeks once, and its alerts show it.
const PACE: Duration = Duration::from_secs(1);
/// How often it is said how far things are.
const EVERY: Duration = Duration::from_secs(10);

/// Measures the group. `reloads`: how many versions follow one another.
///
/// # Errors
/// Something was skipped, judged twice, or judged otherwise; or the store or the sandbox fails.
pub(crate) fn run(stock: &Path, reloads: u64, printer: &Printer) -> anyhow::Result<()> {
    say("making a company and loading rules");
    let engine = rules::engine()?;
    let versions = Versions::of(&rules::load_all(&engine, stock)?)?;
    let given = replay::admissions(&pipeline::rows(&Company::new()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let directory = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path())?);
    say(&format!("{reloads} changes of rules, good and bad, under load"));
    let live = runtime.block_on(changes(&versions, &store, given, reloads))?;
    let live_mb = resident("VmRSS")?;

    say("judging the journal again, by the versions that judged it");
    let again = Arc::new(Shown::default());
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
    let (mut heard, mut said, began) = (Told::default(), Instant::now(), Instant::now());
    let rejudged = rejudge(&journal, known, |found| {
        heard.hear(&found);
        if said.elapsed() >= EVERY {
            said = Instant::now();
            let megabytes = resident("VmRSS").unwrap_or_default();
            let (events, alerts) = (found.events, heard.len());
            eprintln!(
                "bench:   {events} events of {}, {alerts} alerts, {megabytes:.0} MB",
                live.events
            );
        }
    })?;
    let again_s = began.elapsed().as_secs_f64();
    ensure!(
        rejudged.substituted.is_empty(),
        "the journal cannot be judged again as it was: {:?}",
        rejudged.substituted
    );
    let told = Told::stored(&*store, &tenant.id, &versions.stock)?;
    ensure!(told.len() > 100, "{} alerts: the run shows little", told.len());
    let differences = told.differences(&heard);
    let stored: u64 = store.count(&tenant.id)?.iter().map(|(_, count)| count).sum();
    let (missing, twice) = versions.shown.compared(&again);
    let skipped = missing + live.events.abs_diff(stored);
    let bad_calls = versions.bad_calls.load(Ordering::SeqCst);
    eprintln!(
        "bench:   {} events in all, {} alerts, rows shown to rules: {}",
        live.events,
        told.len(),
        versions.shown.count()
    );

    #[allow(clippy::cast_precision_loss, reason = "figures")]
    let figures = [
        ("reload/load_offered_per_s", "events/s", EVENTS_PER_S as f64),
        ("reload/load_events_per_s", "events/s", live.events_per_s),
        ("reload/load_judged_after_s", "s", live.judged_after.as_secs_f64()),
        ("reload/load_reloads", "reloads", reloads as f64),
        ("reload/load_refused", "reloads", live.refused as f64),
        ("reload/load_skipped", "events", skipped as f64),
        ("reload/load_twice", "events", twice as f64),
        ("reload/load_alert_differences", "alerts", differences as f64),
        ("reload/bad_calls_outside_shadow", "calls", bad_calls as f64),
        ("reload/load_again_per_s", "events/s", live.events as f64 / again_s),
        ("reload/load_live_mb", "MB", live_mb),
        ("reload/load_peak_mb", "MB", resident("VmHWM")?),
    ];
    for (name, unit, value) in figures {
        printer.print(name, unit, value);
    }
    ensure!(
        live.refused > reloads / 10 && live.refused < reloads / 2 + reloads / 10,
        "{} of {reloads} versions were refused: that is no mixture",
        live.refused
    );
    ensure!(
        skipped + twice + differences + bad_calls == 0,
        "a reload under load skipped, repeated or changed something (seed {SEED})"
    );
    Ok(())
}

/// What came of the live run.
struct Live {
    /// New to the journal, in all.
    events: u64,
    /// Between the first change and the last.
    events_per_s: f64,
    /// Versions that did not pass.
    refused: u64,
    /// What judging needed when nothing was offered any more.
    judged_after: Duration,
}

async fn changes(
    versions: &Versions,
    store: &Arc<dyn Store>,
    given: Vec<Admission>,
    reloads: u64,
) -> anyhow::Result<Live> {
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let mut in_force = versions.version(0, false);
    let first = versions.live(&in_force, false);
    let pipeline = Pipeline::open(rules::tenant(), store.clone(), first, pipeline::options()).await?;
    let (progress, is_over) = (Arc::new(Progress::default()), Arc::new(AtomicBool::new(false)));
    let feeding = tokio::spawn(feed(pipeline.clone(), given, progress.clone(), is_over.clone()));
    while progress.admitted() < FIRST && !feeding.is_finished() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (began, before) = (Instant::now(), progress.admitted());
    let (mut refused, mut said) = (0, Instant::now());
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1..=reloads {
        pace.tick().await;
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
        if said.elapsed() >= EVERY || number == reloads {
            said = Instant::now();
            eprintln!(
                "bench:   {number} of {reloads} versions, {refused} refused; {}, {:.0} MB",
                progress.words(),
                resident("VmRSS")?
            );
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let events_per_s = (progress.admitted() - before) as f64 / began.elapsed().as_secs_f64();
    is_over.store(true, Ordering::SeqCst);
    feeding.await??;
    let over = Instant::now();
    pipeline.settle().await?;
    Ok(Live {
        events: progress.admitted(),
        events_per_s,
        refused,
        judged_after: over.elapsed(),
    })
}

/// Of this process, MB.
fn resident(name: &str) -> anyhow::Result<f64> {
    memory("/proc/self", name)
}
