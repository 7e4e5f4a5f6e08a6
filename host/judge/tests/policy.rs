//! What is done with a rule that fails, that burns much, or that the operator has put in shadow or paused; and what an alert
//! may name.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::logins::{denied, page};
use common::{Does, LOGS, NOW, Native, manifest, tenant};
use picket_contract::{Call, Evaluate, Failure, FailureKind, Outcome, Params, RuleAlert, Tables, Usage};
use picket_judge::people::Nobody;
use picket_judge::pipeline::{Observe, Options, Pipeline, PipelineError, RuleSet, RuleSpec};
use picket_judge::{Mode, OnPoison, Outcome as Comes, Ration, Said, Settings, Tenant, Terms, Trouble};
use picket_store::{AlertFilter, AlertRow, Fate, Old, RuleRow, SqliteStore, Store};

#[derive(Default)]
struct Heard(Mutex<Vec<Trouble>>);

impl Observe for Heard {
    fn trouble(&self, _: &str, trouble: &Trouble) {
        self.0.lock().unwrap().push(trouble.clone());
    }
    fn said(&self, _: &str, _: &Said) {}
    fn interrupted(&self, _: &str, error: &PipelineError) {
        panic!("{error}");
    }
}

struct House {
    store: Arc<dyn Store>,
    tenant: Arc<Tenant>,
    clock: Arc<AtomicI64>,
    heard: Arc<Heard>,
    settings: Settings,
    ration: Arc<Ration>,
}

impl House {
    fn new() -> Self {
        House {
            store: Arc::new(SqliteStore::in_memory().unwrap()),
            tenant: tenant(),
            clock: Arc::new(AtomicI64::new(NOW)),
            heard: Arc::default(),
            settings: Settings::default(),
            ration: Arc::default(),
        }
    }

    async fn open(&self, rules: Vec<RuleSpec>) -> Pipeline {
        let clock = self.clock.clone();
        let options = Options {
            settings: self.settings,
            share_within: Duration::from_secs(3600),
            clock: Arc::new(move || clock.load(Ordering::SeqCst)),
            observer: self.heard.clone(),
            people: Arc::new(Nobody),
            holding: Arc::default(),
            ration: self.ration.clone(),
        };
        let hash = format!("{:?}", rules.iter().map(|rule| &rule.terms).collect::<Vec<_>>()).into();
        let set = RuleSet { rules, hash };
        let opened = Pipeline::open(self.tenant.clone(), self.store.clone(), set, options).await;
        let pipeline = opened.unwrap();
        pipeline.catch_up().await.unwrap();
        pipeline
    }

    fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }

    fn alerts(&self, shadow: bool) -> Vec<AlertRow> {
        let filter = AlertFilter {
            shadow,
            ..AlertFilter::default()
        };
        self.store.alerts(&self.tenant.id, &filter).unwrap()
    }

    fn row(&self, rule: &str) -> RuleRow {
        let rows = self.store.rules(&self.tenant.id).unwrap();
        rows.into_iter().find(|row| &*row.rule == rule).unwrap()
    }

    fn troubles(&self) -> Vec<Trouble> {
        self.heard.0.lock().unwrap().clone()
    }
}

fn spec(does: Does, evaluator: Arc<dyn Evaluate>, terms: Terms) -> RuleSpec {
    RuleSpec {
        manifest: Arc::new(manifest(does)),
        evaluator,
        module: "sha256:one".into(),
        attack_version: "19".into(),
        params: Arc::new(Params::new()),
        tables: Arc::new(Tables::default()),
        terms,
    }
}

fn native(does: Does, mode: Mode) -> RuleSpec {
    let terms = Terms {
        mode,
        ..Terms::default()
    };
    spec(does, Arc::new(Native(does)), terms)
}

/// Notes how many rows each call shows, fails where it is told to, and burns so much for each row.
#[derive(Debug)]
struct Watched {
    good: Native,
    calls: Mutex<Vec<usize>>,
    broken: AtomicBool,
    /// Fuel.
    burns: u64,
}

impl Watched {
    fn new(does: Does, burns: u64) -> Arc<Self> {
        Arc::new(Watched {
            good: Native(does),
            calls: Mutex::default(),
            broken: AtomicBool::new(false),
            burns,
        })
    }

    fn taken(&self) -> Vec<usize> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

impl Evaluate for Watched {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let rows = call.batch.order.len();
        self.calls.lock().unwrap().push(rows);
        let usage = Usage {
            fuel: self.burns,
            ..Usage::default()
        };
        // As the flat budget has it: one row at a time fits.
        if self.burns > 0 && rows > 1 {
            return Err(Failure::new(FailureKind::OutOfFuel, "more than one row", usage));
        }
        if self.broken.load(Ordering::SeqCst) {
            return Err(Failure::new(FailureKind::Trap, "unreachable", usage));
        }
        let outcome = self.good.evaluate(call)?;
        Ok(Outcome { usage, ..outcome })
    }
}

#[tokio::test]
async fn a_probe_shows_the_row_alone_first_and_a_failed_one_is_one_call() {
    let house = House::new();
    let watched = Watched::new(Does::Windows, 0);
    watched.broken.store(true, Ordering::SeqCst);
    let pipeline = house
        .open(vec![spec(Does::Windows, watched.clone(), Terms::default())])
        .await;
    let rows: Vec<(i64, u8, bool)> = (1..=64).map(|second| (second, 0, false)).collect();
    pipeline.admit(page(0, &rows, 100)).await.unwrap();
    assert_eq!(
        watched.taken(),
        [64, 32, 16, 8, 4, 2, 1, 1],
        "halved down to the first row"
    );
    let poison = |fate| {
        let rows = house.store.poison("acme").unwrap();
        let rows: Vec<_> = rows.iter().map(|row| (&*row.event, &*row.code, row.fate)).collect();
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert!(
            rows[0].0.starts_with("e0") && rows[0].1 == "trap" && rows[0].2 == fate,
            "{rows:?}"
        );
    };
    poison(Fate::Held);
    for attempt in 1..=3 {
        house.pass(3_600_000);
        pipeline.tick().await.unwrap();
        assert_eq!(watched.taken(), [1], "half open");
        assert_eq!(house.row("windows").standing.quarantine.unwrap().attempts, attempt);
    }
    watched.broken.store(false, Ordering::SeqCst);
    house.pass(3_600_000);
    pipeline.tick().await.unwrap();
    assert_eq!(watched.taken(), [1, 63], "on full duty");
    assert_eq!(house.row("windows").standing.quarantine, None);
    poison(Fate::Judged);
    let whole = House::new();
    let undisturbed = whole.open(vec![native(Does::Windows, Mode::Active)]).await;
    undisturbed.admit(page(0, &rows, 100)).await.unwrap();
    let ids = |house: &House| {
        house
            .alerts(false)
            .into_iter()
            .map(|alert| (alert.id, alert.repeats))
            .collect::<Vec<_>>()
    };
    assert!(!ids(&whole).is_empty());
    assert_eq!(ids(&house), ids(&whole), "nothing was missed, and nothing is otherwise");
}

#[tokio::test]
async fn probes_are_spread_and_a_second_run_does_the_same() {
    let mut waits = Vec::new();
    for (name, again) in [("acme", false), ("acme", true), ("globex", false), ("initech", false)] {
        let mut house = House::new();
        house.tenant = Arc::new(Tenant {
            id: name.into(),
            ..(*tenant()).clone()
        });
        let pipeline = house.open(vec![native(Does::Fails, Mode::Active)]).await;
        pipeline.admit(page(0, &[(1, 2, false)], 10)).await.unwrap();
        let wait = house.row("fails").standing.quarantine.unwrap().retry_at - NOW;
        assert!((22_500..=30_000).contains(&wait), "{wait}");
        if again {
            assert_eq!(waits.pop(), Some(wait));
        }
        waits.push(wait);
    }
    waits.dedup();
    assert!(waits.len() > 1, "{waits:?}");
}

#[tokio::test]
async fn a_rule_in_shadow_judges_tells_nobody_and_swallows_nothing() {
    let house = House::new();
    let pipeline = house.open(vec![native(Does::Windows, Mode::Shadow)]).await;
    pipeline.admit(page(0, &denied(1, 0), 5)).await.unwrap();
    let shadow = house.alerts(true);
    assert_eq!((shadow.len(), house.alerts(false).len()), (1, 0));
    assert!(shadow[0].id.starts_with("sh_") && shadow[0].json.contains(r#""shadow":true"#));
    assert!(house.store.outbox("file", 10).unwrap().is_empty());
    // Within the dedup period of the one in shadow.
    pipeline.admit(page(3, &denied(6, 0), 9)).await.unwrap();
    assert_eq!(house.alerts(true)[0].repeats, 1);
    drop(pipeline);
    let pipeline = house.open(vec![native(Does::Windows, Mode::Active)]).await;
    pipeline.admit(page(6, &denied(10, 0), 14)).await.unwrap();
    let live = house.alerts(false);
    assert_eq!((live.len(), live[0].repeats, house.alerts(true)[0].repeats), (1, 0, 1));
    assert!(live[0].id.starts_with("al_"));
    assert_eq!(house.store.outbox("file", 10).unwrap().len(), 1);
    drop(pipeline);
    // And the other way round: what went out is not repeated by what does not.
    let pipeline = house.open(vec![native(Does::Windows, Mode::Shadow)]).await;
    pipeline.admit(page(9, &denied(15, 0), 20)).await.unwrap();
    assert_eq!((house.alerts(false)[0].repeats, house.alerts(true)[0].repeats), (0, 2));
}

#[tokio::test]
async fn a_paused_rule_stands_where_it_is_and_catches_up() {
    let house = House::new();
    let both = |mode| vec![native(Does::Windows, mode), native(Does::Timers, Mode::Active)];
    let pipeline = house.open(both(Mode::Active)).await;
    pipeline.admit(page(0, &denied(1, 0)[..2], 2)).await.unwrap();
    drop(pipeline);
    let before = house.row("windows").position;
    let pipeline = house.open(both(Mode::Paused)).await;
    pipeline
        .admit(page(2, &[(3, 0, false), (4, 1, true)], 30))
        .await
        .unwrap();
    house.pass(3_600_000);
    pipeline.tick().await.unwrap();
    assert_eq!(house.row("windows").position, before);
    assert!(house.row("timers").position.seq > before.seq, "the other goes on");
    drop(pipeline);
    let windows = || {
        house
            .alerts(false)
            .iter()
            .filter(|alert| &*alert.rule == "windows")
            .count()
    };
    assert_eq!(windows(), 0);
    let pipeline = house.open(both(Mode::Active)).await;
    pipeline.settle().await.unwrap();
    assert_eq!(windows(), 1);
    assert_eq!(house.row("windows").position, house.row("timers").position);
}

#[tokio::test]
async fn what_was_forgotten_while_a_rule_stood_still_is_a_gap_told_once() {
    let house = House::new();
    let pipeline = house.open(vec![native(Does::Windows, Mode::Active)]).await;
    pipeline.admit(page(0, &denied(1, 0)[..2], 2)).await.unwrap();
    drop(pipeline);
    let pipeline = house.open(vec![native(Does::Windows, Mode::Paused)]).await;
    pipeline.admit(page(2, &denied(100, 0), 110)).await.unwrap();
    pipeline.admit(page(5, &denied(200, 0), 210)).await.unwrap();
    assert_eq!(house.store.forget("acme", LOGS[0], &Old::than(150_000)).unwrap(), 5);
    drop(pipeline);
    for _ in 0..2 {
        let pipeline = house.open(vec![native(Does::Windows, Mode::Active)]).await;
        pipeline.tick().await.unwrap();
        let gaps = house.row("windows").standing.gaps;
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!((gaps[0].from, gaps[0].to, gaps[0].found), (Some(2000), 102_000, NOW));
    }
    let troubles = house.troubles();
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert!(troubles[0].outcome == Comes::Missed && troubles[0].reason.contains("were forgotten"));
    assert_eq!(house.alerts(false).len(), 1, "what is left is judged");
    // What is forgotten behind a rule that has been shown it is no gap.
    house.store.forget("acme", LOGS[0], &Old::than(i64::MAX)).unwrap();
    house.open(vec![native(Does::Windows, Mode::Active)]).await;
    assert_eq!(house.row("windows").standing.gaps.len(), 1);
}

#[tokio::test]
async fn rows_left_out_by_policy_are_recorded() {
    let house = House::new();
    let terms = Terms {
        on_poison: OnPoison::Skip,
        ..Terms::default()
    };
    let pipeline = house
        .open(vec![spec(Does::Fails, Arc::new(Native(Does::Fails)), terms)])
        .await;
    pipeline
        .admit(page(0, &[(1, 0, false), (2, 2, false), (3, 1, true)], 10))
        .await
        .unwrap();
    let poison = house.store.poison("acme").unwrap();
    assert_eq!(poison.len(), 1);
    assert_eq!(
        (&*poison[0].rule, &*poison[0].code, poison[0].fate),
        ("fails", "rule-error", Fate::Skipped)
    );
    assert!(poison[0].event.starts_with("e1") && poison[0].reason.contains("u2 is more"));
    assert_eq!(house.row("fails").standing.quarantine, None);
}

#[tokio::test]
async fn a_tenant_whose_rules_burn_much_waits_and_misses_nothing_and_nobody_waits_for_it() {
    let rows: Vec<(i64, u8, bool)> = (1..=500).map(|second| (second, 0, false)).collect();
    let mut heavy = House::new();
    heavy.settings.fuel_at_once = 1000;
    heavy.ration = Arc::new(Ration::new(3000));
    let watched = Watched::new(Does::Windows, 99);
    let pipeline = heavy
        .open(vec![
            spec(Does::Windows, watched.clone(), Terms::default()),
            native(Does::Timers, Mode::Active),
        ])
        .await;
    pipeline.admit(page(0, &rows, 600)).await.unwrap();
    let end = heavy.row("timers").position;
    assert_eq!(end.released.time, 600_000, "the tenant's light rule goes on");
    let reached = heavy.row("windows").position;
    assert!(reached.released.time < 600_000, "the heavy one stands back");
    assert_eq!(pipeline.ration().held, [Arc::from("windows")]);

    // Before long the purse is empty, and then no tick moves it.
    for _ in 0..3 {
        pipeline.tick().await.unwrap();
    }
    let view = pipeline.ration();
    assert!(view.empty_until.is_some_and(|until| until > NOW), "{view:?}");
    assert_eq!(view.heaviest.as_ref().map(|(rule, _)| &**rule), Some("windows"));
    let stuck = heavy.row("windows").position;
    pipeline.tick().await.unwrap();
    assert_eq!(heavy.row("windows").position, stuck);

    // Meanwhile another tenant's page is judged within its own commit.
    let light = House::new();
    let other = light.open(vec![native(Does::Windows, Mode::Active)]).await;
    let admitted = other.admit(page(0, &rows, 600)).await.unwrap();
    assert!(admitted.alerts > 0 && !admitted.judged_later);

    let mut ticks = 0;
    while heavy.row("windows").position != end {
        heavy.pass(60_000);
        pipeline.tick().await.unwrap();
        ticks += 1;
        assert!(ticks < 1000, "{:?}", heavy.row("windows").position);
    }
    assert!(ticks > 5, "it took its minutes: {ticks}");
    let ids = |house: &House| {
        let alerts = house
            .alerts(false)
            .into_iter()
            .filter(|alert| &*alert.rule == "windows");
        alerts.map(|alert| (alert.id, alert.repeats)).collect::<Vec<_>>()
    };
    assert_eq!(ids(&heavy), ids(&light));
}

/// Raises one alert that names what it is told to, on each call with rows.
#[derive(Debug)]
struct Names(Vec<u64>);

impl Evaluate for Names {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let last = call.batch.groups.iter().flat_map(|group| &group.events).max();
        let alert = last.map(|last| RuleAlert {
            title: "named".to_owned(),
            dedup_key: None,
            severity: None,
            time: 0,
            about: None,
            facts: Vec::new(),
            evidence: self.0.clone(),
            raised_by: *last,
        });
        Ok(Outcome {
            alerts: alert.into_iter().collect(),
            ..Outcome::default()
        })
    }
}

#[tokio::test]
async fn an_alert_names_only_rows_that_the_rule_may_have_been_shown() {
    // In the journal, from 1 on (the generation's mark stands first): two rows shown, one that waits for its mark.
    for (names, may) in [
        (vec![2], true),
        (vec![2, 3], true),
        (vec![4], false),
        // No event's number: it proves nothing, and shows nothing.
        (vec![5], true),
        (vec![1], true),
        (vec![99], false),
        ((1000..3000).collect(), false),
    ] {
        let house = House::new();
        let rule = spec(Does::Timers, Arc::new(Names(names.clone())), Terms::default());
        let pipeline = house.open(vec![rule]).await;
        pipeline
            .admit(page(0, &[(1, 0, true), (2, 1, true), (50, 2, true)], 10))
            .await
            .unwrap();
        let quarantine = house.row("timers").standing.quarantine;
        assert_eq!(quarantine.is_none(), may, "{:?}: {quarantine:?}", &names[..1]);
        if let Some(quarantine) = quarantine {
            assert_eq!(quarantine.code, "malformed");
        }
    }
}
