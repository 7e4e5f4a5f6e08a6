//! Versions of stock rules in the real sandbox, over a real store, while pages come: what a swap promises, measured against the
//! journal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use duo_simulator::company::{Options as CompanyOptions, generate};
use duo_simulator::json::dumps;
use duo_simulator::model::{Account, Feed};
use picket_contract::{Call, Evaluate, Failure, Mark, Outcome, ParamValue, RawRow, params};
use picket_e2e::{Story, stock};
use picket_event::Mask;
use picket_hostile::Guest;
use picket_judge::people::Nobody;
use picket_judge::pipeline::{Logged, Options, Page, Pipeline, Rows, RuleSet, RuleSpec};
use picket_judge::rejudge::{Alerts, Journal, Judged, rejudge};
use picket_judge::replay::{self, admissions};
use picket_judge::shadow;
use picket_judge::{Settings, Tenant, Terms};
use picket_sandbox::{Engine, Limits, Module};
use picket_store::{AlertFilter, SqliteStore, Store};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const BURST: &str = "mfa-fatigue-denied-burst";

fn tenant() -> Arc<Tenant> {
    Arc::new(Tenant {
        id: "acme".into(),
        name: "Acme".into(),
        timezone: "UTC".into(),
        panel: None,
        mask: Mask::substitute(),
    })
}

fn options(now: i64) -> Options {
    Options {
        settings: Settings::default(),
        share_within: Duration::from_secs(3600),
        clock: Arc::new(move || now),
        observer: Arc::new(Logged),
        people: Arc::new(Nobody),
        holding: Arc::default(),
        ration: Arc::default(),
    }
}

fn store(directory: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(directory).unwrap())
}

fn module(engine: &Engine, name: &str) -> Arc<Module> {
    Arc::new(engine.load(&std::fs::read(stock(name)).unwrap()).unwrap())
}

fn specs(module: &Arc<Module>) -> Vec<RuleSpec> {
    let spec = |rule: &picket_contract::RuleManifest| RuleSpec {
        manifest: Arc::new(rule.clone()),
        evaluator: module.clone(),
        module: module.digest.clone(),
        attack_version: "19".into(),
        params: Arc::new(params::resolve(rule, &BTreeMap::new()).unwrap()),
        tables: Arc::default(),
        terms: Terms::default(),
    };
    module.manifest.rules.iter().map(spec).collect()
}

/// Pages of an account's rows, some events each.
fn pages(account: &Account, events: usize) -> Vec<Page> {
    let rows = [Feed::Authentication, Feed::Activity, Feed::Telephony].map(|feed| {
        let of_feed = account.rows.iter().filter(|row| row.feed == feed);
        replay::Rows {
            log: feed.name().into(),
            rows: of_feed.map(|row| dumps(&row.json).into()).collect(),
        }
    });
    let mut pages = Vec::new();
    for entry in admissions(&rows).unwrap() {
        let mut rest = entry.events;
        loop {
            let more = rest.split_off(events.min(rest.len()));
            let is_last = more.is_empty();
            pages.push(Page {
                log: entry.log.clone(),
                rows: Rows::Events {
                    events: rest,
                    reading: None,
                },
                marks: if is_last { entry.marks.clone() } else { Vec::new() },
                cursor: None,
                inventory: Vec::new(),
            });
            if is_last {
                break;
            }
            rest = more;
        }
    }
    pages
}

/// Which rows each rule was shown by calls that succeeded.
type Shown = Arc<Mutex<BTreeMap<String, Vec<u64>>>>;

/// A version as it judges live: what it is shown is written down.
#[derive(Debug)]
struct Live {
    version: Arc<dyn Evaluate>,
    shown: Shown,
    is_bad: bool,
    bad_calls: Arc<AtomicU64>,
}

impl Evaluate for Live {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        if self.is_bad {
            self.bad_calls.fetch_add(1, Ordering::SeqCst);
        }
        let rows: Vec<u64> = call
            .batch
            .groups
            .iter()
            .flat_map(|group| group.events.iter().copied())
            .collect();
        let rule = call.rule.to_owned();
        let outcome = self.version.evaluate(call)?;
        self.shown.lock().unwrap().entry(rule).or_default().extend(rows);
        Ok(outcome)
    }
}

/// A module that traps whatever it is shown, in the place of any rule.
#[derive(Debug)]
struct Traps(Arc<Module>);

impl Evaluate for Traps {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        self.0.evaluate(Call { rule: "t", ..call })
    }
}

/// Version `number` of all rules: those with a `count` want more or fewer of what they count, so that it shows which version
/// judged what. Those of a bad one trap.
fn version(modules: &[Arc<Module>], traps: &Arc<Module>, number: usize, is_bad: bool) -> RuleSet {
    let mut rules: Vec<RuleSpec> = modules.iter().flat_map(specs).collect();
    for rule in &mut rules {
        rule.module = format!("sha256:{number}").into();
        let mut params = rule.params.as_ref().clone();
        if let Some(ParamValue::Integer(count)) = params.get_mut("count") {
            *count += i64::try_from(number % 3).unwrap();
        }
        rule.params = Arc::new(params);
        if is_bad {
            rule.evaluator = Arc::new(Traps(traps.clone()));
        }
    }
    RuleSet {
        rules,
        hash: format!("version {number}").into(),
    }
}

fn live(set: &RuleSet, shown: &Shown, is_bad: bool, bad_calls: &Arc<AtomicU64>) -> RuleSet {
    let mut set = set.clone();
    for rule in &mut set.rules {
        rule.evaluator = Arc::new(Live {
            version: rule.evaluator.clone(),
            shown: shown.clone(),
            is_bad,
            bad_calls: bad_calls.clone(),
        });
    }
    set
}

/// What is stored of alerts: id, severity, JSON, repeats.
fn told(alerts: &[picket_store::AlertRow]) -> BTreeMap<String, (String, String, u64)> {
    let of = |row: &picket_store::AlertRow| {
        let whole = (row.severity.as_str().to_owned(), row.json.to_string(), row.repeats);
        (row.id.to_string(), whole)
    };
    alerts.iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_while_pages_come_judge_every_event_once_as_the_journal_says() {
    const RELOADS: usize = 200;
    let seed = 20_261_122;
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    let engine = Engine::new(Limits::default()).unwrap();
    let modules: Vec<Arc<Module>> = ["push-abuse", "bypass", "guessing"]
        .iter()
        .map(|name| module(&engine, name))
        .collect();
    let traps = Arc::new(engine.load(&Guest::new("unreachable").component()).unwrap());
    let account = generate(&CompanyOptions {
        target_events: Some(5000),
        ..CompanyOptions::default()
    });
    let pages = pages(&account, 20);
    let now = account.rows.last().unwrap().time_us / 1000;
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let (shown, bad_calls) = (Shown::default(), Arc::new(AtomicU64::new(0)));
    let sets: Arc<Mutex<BTreeMap<String, RuleSet>>> = Arc::default();
    let first = version(&modules, &traps, 0, false);
    sets.lock().unwrap().insert(first.hash.to_string(), first.clone());
    let opened = live(&first, &shown, false, &bad_calls);
    let pipeline = Pipeline::open(tenant(), store.clone(), opened, options(now))
        .await
        .unwrap();

    // Pages as fast as they are taken, from the first reload to the last.
    let reloads = Arc::new(AtomicUsize::new(0));
    let feeding = tokio::spawn({
        let (pipeline, reloads, total) = (pipeline.clone(), reloads.clone(), pages.len());
        async move {
            let mut events = 0;
            for (number, page) in pages.into_iter().enumerate() {
                let due = |done: usize| number <= total / 20 + total * done / RELOADS;
                while !due(reloads.load(Ordering::SeqCst)) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                events += pipeline.admit(page).await.unwrap().new;
            }
            events
        }
    });
    // A version that was shown nothing in shadow has not failed there.
    while shown.lock().unwrap().values().all(Vec::is_empty) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (mut in_force, mut swaps, mut refused) = (first, 1, 0);
    for number in 1..=RELOADS {
        let is_bad = dice.random_range(0..3) == 0;
        let candidate = version(&modules, &traps, number, is_bad);
        let (store, old, new) = (store.clone(), in_force.rules.clone(), candidate.rules.clone());
        let ran = tokio::task::spawn_blocking(move || {
            let what = shadow::Run {
                store: &store,
                tenant: &tenant(),
                settings: Settings::default(),
                old: &old,
                new: &new,
                from: i64::MIN,
                most_events: 150,
                most_fuel: u64::MAX,
                now,
            };
            shadow::run(what, || true).unwrap()
        });
        let ran = ran.await.unwrap();
        assert!(
            ran.events > 0 && ran.old.failures.is_empty(),
            "version {number}: {:?}",
            ran.old.failures
        );
        assert_eq!(ran.new.failures.is_empty(), !is_bad, "version {number}: {ran:?}");
        if !is_bad {
            let set = live(&candidate, &shown, is_bad, &bad_calls);
            sets.lock()
                .unwrap()
                .insert(candidate.hash.to_string(), candidate.clone());
            pipeline.replace_rules(set).await.unwrap();
            in_force = candidate;
            swaps += 1;
        } else {
            refused += 1;
        }
        reloads.fetch_add(1, Ordering::SeqCst);
    }
    let events = feeding.await.unwrap();
    pipeline.settle().await.unwrap();
    assert!(refused > 20 && swaps > 100, "{refused} refused, {swaps} taken over");

    // The journal says who judged what; judged again so, it gives the same.
    let again = Shown::default();
    let known = |_: u64, hash: &str| {
        let set = sets.lock().unwrap().get(hash).cloned()?;
        Some(Judged {
            set: live(&set, &again, false, &Arc::default()),
            since: None,
        })
    };
    let journal = Journal {
        store: store.clone(),
        tenant: tenant(),
        settings: Settings::default(),
        people: Arc::new(Nobody),
        now,
    };
    let mut found = Alerts::default();
    let rejudged = rejudge(&journal, known, |now| found.keep(now.alerts, &now.repeats)).unwrap();
    assert_eq!(rejudged.substituted, Vec::<String>::new());
    assert_eq!(rejudged.generations, swaps);
    let (alerts, same) = (
        told(&store.alerts("acme", &AlertFilter::default()).unwrap()),
        told(&found.into_rows()),
    );
    assert!(alerts.len() > 10, "{} alerts", alerts.len());
    assert_eq!(alerts.keys().collect::<Vec<_>>(), same.keys().collect::<Vec<_>>());
    for (id, alert) in &alerts {
        assert_eq!(alert, &same[id], "{id}");
    }
    let generations: BTreeSet<String> = alerts
        .values()
        .map(|(_, json, _)| serde_json::from_str::<serde_json::Value>(json).unwrap()["rule"]["generation"].to_string())
        .collect();
    assert!(
        generations.len() > 2,
        "alerts of {generations:?} alone: the test shows little"
    );

    // Every row once: none skipped, none twice; and no bad version was ever shown one outside shadow.
    let sorted = |shown: &Shown| {
        let mut shown = shown.lock().unwrap().clone();
        shown.values_mut().for_each(|rows| rows.sort_unstable());
        shown
    };
    let (live, again) = (sorted(&shown), sorted(&again));
    for (rule, rows) in &live {
        assert!(
            rows.windows(2).all(|pair| pair[0] < pair[1]),
            "{rule} was shown a row twice"
        );
    }
    assert_eq!(live, again);
    assert_eq!(bad_calls.load(Ordering::SeqCst), 0);
    let counted: u64 = store.count("acme").unwrap().into_iter().map(|(_, count)| count).sum();
    assert_eq!(counted, events as u64);
    for row in store.rules("acme").unwrap() {
        let Some(rule) = rejudged.rules.iter().find(|rule| *rule.manifest.id == *row.rule) else {
            continue;
        };
        assert_eq!(row.position, rule.position, "{}", row.rule);
        assert_eq!(row.standing.quarantine, None);
        let state = store.state("acme", &row.rule, row.state_version).unwrap();
        let entries: Vec<_> = state.entries().collect();
        let same = rule.state.state().expect("it is at hand");
        assert_eq!(entries, same.entries().collect::<Vec<_>>(), "{}", row.rule);
    }
}

/// Denied prompts of one user, a minute apart, as a page each, complete up to where they are.
fn denials(minutes: std::ops::Range<i64>) -> Vec<Page> {
    let story = minutes.fold(Story::of("acme"), |story, minute| {
        story.prompt(NOON + minute * MINUTE, "ada", "denied", "user_cancelled")
    });
    let account = story.account();
    let page = |row: &duo_simulator::model::Row| Page {
        log: "authentication".into(),
        rows: vec![RawRow::from(dumps(&row.json))].into(),
        marks: vec![Mark::Complete {
            log: "authentication".into(),
            to: row.time_us / 1000,
        }],
        cursor: None,
        inventory: Vec::new(),
    };
    account.rows.iter().map(page).collect()
}

/// A module's rules, and the same with another state version of some.
fn state_versions(module: &Arc<Module>, is_new: impl Fn(&str) -> bool) -> (RuleSet, RuleSet) {
    let old = RuleSet {
        rules: specs(module),
        hash: "old".into(),
    };
    let mut new = old.clone();
    new.hash = "new".into();
    for rule in new.rules.iter_mut().filter(|rule| is_new(&rule.manifest.id)) {
        let mut manifest = rule.manifest.as_ref().clone();
        manifest.state.version += 1;
        rule.manifest = Arc::new(manifest);
    }
    (old, new)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_state_version_in_the_middle_of_an_attack_still_alerts_and_a_rollback_resumes() {
    let engine = Engine::new(Limits::default()).unwrap();
    let push_abuse = module(&engine, "push-abuse");
    let (old, mut new) = state_versions(&push_abuse, |id| id == BURST);
    for rule in new.rules.iter_mut().filter(|rule| rule.manifest.id == BURST) {
        rule.module = "sha256:new".into();
    }
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let now = NOON + 10 * MINUTE;
    let pipeline = Pipeline::open(tenant(), store.clone(), old.clone(), options(now))
        .await
        .unwrap();
    for page in denials(0..3) {
        pipeline.admit(page).await.unwrap();
    }
    let report = pipeline.replace_rules(new).await.unwrap();
    assert!(report.begun.iter().any(|(rule, _)| rule == BURST), "{report:?}");
    // It wanted to look back further than the journal goes.
    assert!(
        report
            .learning
            .iter()
            .any(|(rule, until)| rule == BURST && *until > now),
        "{report:?}"
    );
    let noted = picket_judge::pipeline::learning(&*store, "acme").unwrap();
    assert!(noted.keys().any(|(rule, _)| rule == BURST));
    for page in denials(3..4) {
        pipeline.admit(page).await.unwrap();
    }
    // Back in the middle of it: the old version goes on from what it remembered, and is shown what came meanwhile.
    pipeline.settle().await.unwrap();
    let of_burst = || {
        let filter = AlertFilter {
            rule: Some(BURST.to_owned()),
            ..AlertFilter::default()
        };
        store.alerts("acme", &filter).unwrap()
    };
    assert_eq!(of_burst().len(), 0);
    let mut newer = old.clone();
    newer.hash = "old again".into();
    let report = pipeline.replace_rules(newer).await.unwrap();
    assert!(report.kept.contains(&BURST.to_owned()), "{report:?}");
    for page in denials(4..5) {
        pipeline.admit(page).await.unwrap();
    }
    pipeline.settle().await.unwrap();
    let alerts = of_burst();
    assert_eq!(alerts.len(), 1, "three before, one under the new version, one after");
    let json: serde_json::Value = serde_json::from_str(&alerts[0].json).unwrap();
    assert_eq!(json["events"].as_array().unwrap().len(), 5);

    // And forward once more, with the alert stored: it is not told again.
    let mut forward = old.clone();
    forward.hash = "forward".into();
    for rule in forward.rules.iter_mut().filter(|rule| rule.manifest.id == BURST) {
        let mut manifest = rule.manifest.as_ref().clone();
        manifest.state.version += 2;
        rule.manifest = Arc::new(manifest);
    }
    pipeline.replace_rules(forward).await.unwrap();
    for page in denials(5..6) {
        pipeline.admit(page).await.unwrap();
    }
    pipeline.settle().await.unwrap();
    let again = of_burst();
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].repeats, 1, "looking back counts nothing, going on does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_state_version_alone_alerts_on_an_attack_that_began_before_it() {
    let engine = Engine::new(Limits::default()).unwrap();
    let push_abuse = module(&engine, "push-abuse");
    let (old, new) = state_versions(&push_abuse, |_| true);
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let pipeline = Pipeline::open(tenant(), store.clone(), old, options(NOON + 10 * MINUTE))
        .await
        .unwrap();
    for page in denials(0..4) {
        pipeline.admit(page).await.unwrap();
    }
    pipeline.replace_rules(new).await.unwrap();
    for page in denials(4..5) {
        pipeline.admit(page).await.unwrap();
    }
    pipeline.settle().await.unwrap();
    let alerts = store.alerts("acme", &AlertFilter::default()).unwrap();
    let burst: Vec<_> = alerts.iter().filter(|alert| &*alert.rule == BURST).collect();
    assert_eq!(burst.len(), 1);
    let json: serde_json::Value = serde_json::from_str(&burst[0].json).unwrap();
    assert_eq!(json["events"].as_array().unwrap().len(), 5);
}
