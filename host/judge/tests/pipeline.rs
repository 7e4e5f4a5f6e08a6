//! One tenant live over a store: what is shared, what follows, what survives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Does, LOGS, NOW, Native, logins, manifest, tenant};
use picket_contract::{Call, Evaluate, Failure, FailureKind, Mark, Outcome, Params, Tables, Usage};
use picket_judge::people::Nobody;
use picket_judge::pipeline::{
    Beginning, Observe, Options, Page, Pipeline, PipelineError, Rows, RuleSet, RuleSpec, SwapReport, first_start,
};
use picket_judge::{Said, Settings, Terms, Trouble};
use picket_store::{AlertFilter, CursorRow, EventFilter, Moment, SqliteStore, Store};

#[derive(Default)]
struct Heard {
    troubles: Mutex<Vec<Trouble>>,
    interrupted: AtomicUsize,
}

impl Observe for Heard {
    fn trouble(&self, _: &str, trouble: &Trouble) {
        self.troubles.lock().unwrap().push(trouble.clone());
    }
    fn said(&self, _: &str, _: &Said) {}
    fn interrupted(&self, _: &str, _: &PipelineError) {
        self.interrupted.fetch_add(1, Ordering::Relaxed);
    }
}

struct House {
    store: Arc<dyn Store>,
    clock: Arc<AtomicI64>,
    heard: Arc<Heard>,
    share_within: Duration,
}

const HOUR: Duration = Duration::from_secs(3600);

impl House {
    fn new(share_within: Duration) -> Self {
        Self::over(Arc::new(SqliteStore::in_memory().unwrap()), share_within)
    }

    fn over(store: Arc<dyn Store>, share_within: Duration) -> Self {
        House {
            store,
            clock: Arc::new(AtomicI64::new(NOW)),
            heard: Arc::default(),
            share_within,
        }
    }

    fn options(&self) -> Options {
        let clock = self.clock.clone();
        Options {
            settings: Settings::default(),
            share_within: self.share_within,
            clock: Arc::new(move || clock.load(Ordering::Relaxed)),
            observer: self.heard.clone(),
            people: Arc::new(Nobody),
            holding: Arc::default(),
            ration: Arc::default(),
        }
    }

    async fn open(&self, set: RuleSet) -> Pipeline {
        let opened = Pipeline::open(tenant(), self.store.clone(), set, self.options()).await;
        let pipeline = opened.unwrap();
        pipeline.settle().await.unwrap();
        pipeline
    }

    fn alerts(&self) -> Vec<(String, u64)> {
        let alerts = self.store.alerts("acme", &AlertFilter::default()).unwrap();
        alerts
            .into_iter()
            .map(|alert| (alert.id.to_string(), alert.repeats))
            .collect()
    }
}

fn spec(evaluator: Arc<dyn Evaluate>, does: Does, module: &str) -> RuleSpec {
    RuleSpec {
        manifest: Arc::new(manifest(does)),
        evaluator,
        module: module.into(),
        attack_version: "19".into(),
        params: Arc::new(Params::new()),
        tables: Arc::new(Tables::default()),
        terms: Terms::default(),
    }
}

fn set(does: &[Does], hash: &str) -> RuleSet {
    let rules = does
        .iter()
        .map(|does| spec(Arc::new(Native(*does)), *does, "sha256:good"))
        .collect();
    RuleSet {
        rules,
        hash: hash.into(),
    }
}

/// A page with its cursor: of the logins as many as there are numbers.
fn page(numbers: std::ops::Range<usize>, rows: &[(i64, u8, bool)], to: i64) -> Page {
    Page {
        cursor: Some(CursorRow {
            log: LOGS[0].into(),
            cursor: format!("{{\"to\":{to}}}"),
        }),
        ..logins::page(numbers.start, &rows[..numbers.len().min(rows.len())], to)
    }
}

const DENIED: [(i64, u8, bool); 3] = [(1, 0, false), (2, 0, false), (3, 0, false)];

/// Swaps, and waits until the new rules have caught up.
async fn replaced(pipeline: &Pipeline, set: RuleSet) -> SwapReport {
    let report = pipeline.replace_rules(set).await.unwrap();
    pipeline.settle().await.unwrap();
    report
}

#[tokio::test]
async fn page_cursor_and_alert_share_one_commit() {
    let house = House::new(HOUR);
    let pipeline = house.open(set(&[Does::Windows], "g1")).await;
    let admitted = pipeline.admit(page(0..3, &DENIED, 10)).await.unwrap();
    assert_eq!((admitted.new, admitted.alerts, admitted.judged_later), (3, 1, false));
    assert_eq!(house.alerts().len(), 1);
    assert_eq!(house.store.cursors("acme").unwrap()[0].cursor, "{\"to\":10}");
    let row = house
        .store
        .rules("acme")
        .unwrap()
        .into_iter()
        .find(|row| &*row.rule == "windows")
        .unwrap();
    assert_eq!(row.position.seq, house.store.last_seq("acme").unwrap());

    let alert = house.store.alerts("acme", &AlertFilter::default()).unwrap().remove(0);
    let json: serde_json::Value = serde_json::from_str(&alert.json).unwrap();
    assert_eq!(json["schema"], "picket.alert/1");
    assert_eq!(json["rule"]["generation"], 1);
    assert_eq!(json["about"]["name"], "u0");
    assert_eq!(json["outcome"], "access_denied");
    assert_eq!(
        json["links"]["user"],
        "https://admin-1234abcd.duosecurity.com/users/DUu0"
    );
    assert_eq!(json["events"], serde_json::json!(["e0", "e1", "e2"]));
    assert_eq!(json["raw"].as_array().unwrap().len(), 3);
    let text = picket_judge::alerts::text(&alert.json, 2);
    assert!(
        text.starts_with("HIGH") && text.contains("u0 denied") && text.contains("2 repeats"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_known_or_double_is_dropped_and_what_cannot_be_read_is_kept() {
    let house = House::new(HOUR);
    let pipeline = house.open(set(&[Does::Windows], "g1")).await;
    pipeline.admit(page(0..2, &DENIED, 2)).await.unwrap();
    let again = || {
        let mut again = page(0..3, &DENIED, 10);
        if let Rows::Received(rows) = &mut again.rows {
            rows.push(rows[2].clone());
            rows.push("{\"txid\": broken".into());
        }
        again
    };
    let admitted = pipeline.admit(again()).await.unwrap();
    assert_eq!(
        (
            admitted.received,
            admitted.known,
            admitted.doubles,
            admitted.new,
            admitted.unreadable
        ),
        (5, 2, 1, 2, 1)
    );
    assert_eq!(admitted.alerts, 1, "the rest goes on");
    let admitted = pipeline.admit(again()).await.unwrap();
    assert_eq!(
        (admitted.new, admitted.known),
        (0, 4),
        "a broken row has an identity too"
    );
    let stored = house.store.search("acme", &EventFilter::default()).unwrap();
    assert!(stored.iter().any(|event| &*event.event.raw == "{\"txid\": broken"));
}

#[tokio::test]
async fn equal_rows_of_a_log_without_ids_are_counted_however_often_they_are_read() {
    let house = House::new(HOUR);
    let pipeline = house.open(set(&[Does::Windows], "g1")).await;
    let deleted = |times: usize| Page {
        log: "administrator".into(),
        rows: vec![r#"{"action":"user_delete","object":"ada","timestamp":9}"#.into(); times].into(),
        ..page(0..0, &[], 10)
    };
    for (rows, new, known) in [(2, 2, 0), (2, 0, 2), (3, 1, 2), (1, 0, 1)] {
        let admitted = pipeline.admit(deleted(rows)).await.unwrap();
        assert_eq!(
            (admitted.new, admitted.known, admitted.doubles),
            (new, known, 0),
            "{rows}"
        );
    }
    let stored = house.store.search("acme", &EventFilter::default()).unwrap();
    assert_eq!(stored.len(), 3);
}

#[tokio::test]
async fn a_verdict_that_is_late_follows_and_is_the_same() {
    let quick = House::new(HOUR);
    let slow = House::new(Duration::ZERO);
    for house in [&quick, &slow] {
        let pipeline = house.open(set(&[Does::Windows, Does::Timers], "g1")).await;
        for second in (0..20).map(|page| page * 3) {
            let rows = [
                (second, 0, second % 2 == 0),
                (second + 1, 1, false),
                (second + 2, 0, false),
            ];
            let first = usize::try_from(second).unwrap();
            pipeline.admit(page(first..first + 3, &rows, second + 2)).await.unwrap();
        }
        pipeline.settle().await.unwrap();
    }
    assert!(!quick.alerts().is_empty());
    assert_eq!(quick.alerts(), slow.alerts());
    assert_eq!(
        quick.store.state("acme", "timers", 1).unwrap(),
        slow.store.state("acme", "timers", 1).unwrap()
    );
}

#[tokio::test]
async fn a_restart_goes_on_where_the_store_stands() {
    let house = House::new(HOUR);
    let pipeline = house.open(set(&[Does::Windows], "g1")).await;
    // The third row is beyond the mark: it waits.
    pipeline.admit(page(0..3, &DENIED, 2)).await.unwrap();
    drop(pipeline);
    assert!(house.alerts().is_empty());
    let pipeline = house.open(set(&[Does::Windows], "g1")).await;
    let nothing = Page {
        rows: Vec::new().into(),
        ..page(0..0, &[], 10)
    };
    assert_eq!(pipeline.admit(nothing).await.unwrap().alerts, 1);
}

/// A house whose disk fails so many times from when it is told.
fn failing() -> (House, Arc<AtomicUsize>) {
    let fail = Arc::new(AtomicUsize::new(0));
    let hook = {
        let fail = fail.clone();
        picket_store::sqlite::Hook(Arc::new(move |_: Moment| {
            let failing = fail
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
            if failing {
                Err(std::io::Error::other("the disk is gone"))
            } else {
                Ok(())
            }
        }))
    };
    let options = picket_store::Options {
        hook: Some(hook),
        ..picket_store::Options::default()
    };
    let store = Arc::new(SqliteStore::in_memory_with(options).unwrap());
    (House::over(store, HOUR), fail)
}

#[tokio::test]
async fn a_failed_commit_is_read_back_and_loses_nothing() {
    let (house, fail) = failing();
    let pipeline = house.open(set(&[Does::Windows], "g1")).await;
    pipeline.admit(page(0..2, &DENIED, 2)).await.unwrap();
    fail.store(1, Ordering::SeqCst);
    assert!(pipeline.admit(page(0..3, &DENIED, 10)).await.is_err());
    // What collection does: it asks again for what was not acknowledged.
    pipeline.admit(page(0..3, &DENIED, 10)).await.unwrap();
    pipeline.settle().await.unwrap();
    assert_eq!(house.alerts().len(), 1);
}

/// Fails until it is mended.
#[derive(Debug)]
struct Mendable {
    broken: Arc<AtomicUsize>,
    good: Native,
}

impl Evaluate for Mendable {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        if self.broken.load(Ordering::SeqCst) > 0 {
            return Err(Failure::new(FailureKind::Trap, "unreachable", Usage::default()));
        }
        self.good.evaluate(call)
    }
}

#[tokio::test]
async fn a_rule_that_fails_stands_aside_and_catches_up_when_its_probe_succeeds() {
    let house = House::new(HOUR);
    let broken = Arc::new(AtomicUsize::new(1));
    let bad = Arc::new(Mendable {
        broken: broken.clone(),
        good: Native(Does::Timers),
    });
    let rules = vec![
        spec(bad, Does::Timers, "sha256:bad"),
        spec(Arc::new(Native(Does::Windows)), Does::Windows, "sha256:good"),
    ];
    let pipeline = house
        .open(RuleSet {
            rules,
            hash: "g1".into(),
        })
        .await;
    pipeline
        .admit(page(0..3, &[(1, 0, true), (2, 1, false), (3, 1, false)], 3))
        .await
        .unwrap();
    pipeline
        .admit(page(3..5, &[(4, 1, false), (30, 1, false)], 30))
        .await
        .unwrap();
    assert_eq!(house.alerts().len(), 1, "the other rule went on");
    let standing = |rule: &'static str| {
        let row = house
            .store
            .rules("acme")
            .unwrap()
            .into_iter()
            .find(|row| &*row.rule == rule)
            .unwrap();
        (row.standing.quarantine, row.position)
    };
    let quarantine = standing("timers").0.expect("quarantined");
    assert!(
        quarantine.event.as_deref().is_some_and(|id| id.starts_with("e0")),
        "{quarantine:?}"
    );
    assert!(quarantine.reason.contains("unreachable") && quarantine.module == "sha256:bad");
    assert_eq!(house.heard.troubles.lock().unwrap().len(), 1);

    pipeline.tick().await.unwrap();
    assert_eq!(standing("timers").0.unwrap().attempts, 0, "not due yet");
    house.clock.fetch_add(60_000, Ordering::SeqCst);
    pipeline.tick().await.unwrap();
    assert_eq!(standing("timers").0.unwrap().attempts, 1, "probed, and failed again");
    broken.store(0, Ordering::SeqCst);
    house.clock.fetch_add(3_600_000, Ordering::SeqCst);
    pipeline.tick().await.unwrap();
    assert_eq!(standing("timers").0, None);
    assert_eq!(standing("timers").1, standing("windows").1, "level again");
    assert_eq!(house.alerts().len(), 2, "nothing was missed");
}

#[tokio::test]
async fn another_module_in_the_place_of_a_failing_one_is_tried_at_once() {
    let house = House::new(HOUR);
    let bad = Arc::new(Mendable {
        broken: Arc::new(AtomicUsize::new(1)),
        good: Native(Does::Timers),
    });
    let rules = vec![spec(bad, Does::Timers, "sha256:bad")];
    let pipeline = house
        .open(RuleSet {
            rules,
            hash: "g1".into(),
        })
        .await;
    pipeline
        .admit(page(0..2, &[(1, 0, true), (30, 1, false)], 30))
        .await
        .unwrap();
    assert!(house.alerts().is_empty());
    let report = replaced(&pipeline, set(&[Does::Timers], "g2")).await;
    assert_eq!((report.generation, report.kept), (2, vec!["timers".to_owned()]));
    assert_eq!(house.alerts().len(), 1);
}

#[tokio::test]
async fn a_swap_keeps_what_a_rule_remembers_and_marks_the_journal() {
    let house = House::new(HOUR);
    let pipeline = house.open(set(&[Does::Windows], "g1")).await;
    pipeline.admit(page(0..2, &DENIED, 2)).await.unwrap();
    let report = replaced(&pipeline, set(&[Does::Windows, Does::Sequences], "g2")).await;
    assert_eq!(report.kept, ["windows"]);
    assert_eq!(report.begun, [("sequences".to_owned(), Beginning::Here)]);
    let third = page(2..3, &DENIED[2..], 10);
    assert_eq!(
        pipeline.admit(third).await.unwrap().alerts,
        1,
        "two denials before the swap, one after"
    );
    let report = replaced(&pipeline, set(&[Does::Windows], "g3")).await;
    assert_eq!((report.generation, report.retired), (3, vec!["sequences".to_owned()]));
    let journal = house.store.read("acme", 0, 1000).unwrap();
    let marks = journal.iter().flat_map(|admission| &admission.marks);
    let generations = marks.filter_map(|mark| match mark {
        Mark::Generation { number, hash, .. } => Some((*number, hash.to_string())),
        _ => None,
    });
    assert_eq!(
        generations.collect::<Vec<(u64, String)>>(),
        [(1, "g1".into()), (2, "g2".into()), (3, "g3".into())]
    );
}

#[tokio::test]
async fn a_rule_that_looks_back_knows_the_past_and_is_silent_about_it() {
    let house = House::new(HOUR);
    house.clock.store(60_000, Ordering::SeqCst);
    let pipeline = house
        .open(RuleSet {
            rules: Vec::new(),
            hash: "g0".into(),
        })
        .await;
    let rows = [
        (1, 0, false),
        (2, 0, false),
        (3, 0, false),
        (20, 1, false),
        (21, 1, false),
    ];
    pipeline.admit(page(0..5, &rows, 21)).await.unwrap();
    let mut looking = set(&[Does::Windows], "g1");
    let mut with_look_back = manifest(Does::Windows);
    with_look_back.state.look_back_ms = 3_600_000;
    looking.rules[0].manifest = Arc::new(with_look_back);
    let report = replaced(&pipeline, looking).await;
    assert_eq!(
        report.begun,
        [("windows".to_owned(), Beginning::LookedBack { historic: 1 })]
    );
    assert!(house.alerts().is_empty());
    pipeline.admit(page(5..6, &[(22, 1, false)], 30)).await.unwrap();
    assert_eq!(house.alerts().len(), 1, "two denials were seen while looking back");
}

/// Says so when it is first called, and waits until it may go on.
#[derive(Debug)]
struct Waits {
    gate: Mutex<Option<(Sender<()>, Receiver<()>)>>,
    then: Native,
}

impl Evaluate for Waits {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        if let Some((called, go)) = self.gate.lock().unwrap().take() {
            called.send(()).unwrap();
            go.recv().unwrap();
        }
        self.then.evaluate(call)
    }
}

#[tokio::test]
async fn a_swap_that_was_not_stored_leaves_nothing_behind() {
    let (house, fail) = failing();
    house.clock.store(60_000, Ordering::SeqCst);
    let pipeline = house.open(set(&[], "g0")).await;
    pipeline
        .admit(page(0..2, &[(20, 1, false), (21, 1, false)], 21))
        .await
        .unwrap();
    let ((called, is_called), (go, may_go)) = (channel(), channel());
    let waits = Waits {
        gate: Mutex::new(Some((called, may_go))),
        then: Native(Does::Windows),
    };
    let mut looking = spec(Arc::new(waits), Does::Windows, "sha256:good");
    let mut with_look_back = manifest(Does::Windows);
    with_look_back.state.look_back_ms = 3_600_000;
    looking.manifest = Arc::new(with_look_back);
    let looking = RuleSet {
        rules: vec![looking],
        hash: "g1".into(),
    };
    let swapping = tokio::spawn({
        let (pipeline, looking) = (pipeline.clone(), looking.clone());
        async move { pipeline.replace_rules(looking).await }
    });
    tokio::task::spawn_blocking(move || is_called.recv().unwrap())
        .await
        .unwrap();
    // While it looks back the journal goes on: it begins behind the journal's end.
    pipeline.admit(page(2..3, &[(22, 2, false)], 22)).await.unwrap();
    fail.store(1, Ordering::SeqCst);
    go.send(()).unwrap();
    assert!(swapping.await.unwrap().is_err());
    pipeline.settle().await.unwrap();
    let report = replaced(&pipeline, looking).await;
    assert_eq!(
        (report.generation, report.begun),
        (2, vec![("windows".to_owned(), Beginning::LookedBack { historic: 0 })]),
        "it has not half begun"
    );
    pipeline.admit(page(3..4, &[(23, 1, false)], 30)).await.unwrap();
    assert_eq!(house.alerts().len(), 1, "and remembers what it looked back on");
}

/// Ends its thread.
#[derive(Debug)]
struct Panics(AtomicUsize);

impl Evaluate for Panics {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) > 0, "the first call ends badly");
        Native(Does::Windows).evaluate(call)
    }
}

#[tokio::test]
async fn a_panic_while_judging_costs_no_event() {
    let house = House::new(HOUR);
    let rules = vec![spec(
        Arc::new(Panics(AtomicUsize::new(0))),
        Does::Windows,
        "sha256:panics",
    )];
    let pipeline = house
        .open(RuleSet {
            rules,
            hash: "g1".into(),
        })
        .await;
    let admitted = pipeline.admit(page(0..3, &DENIED, 10)).await.unwrap();
    assert!(admitted.judged_later);
    assert_eq!(house.heard.interrupted.load(Ordering::SeqCst), 1);
    pipeline.tick().await.unwrap();
    assert_eq!(house.alerts().len(), 1);
}

fn sent(house: &House) -> Vec<String> {
    let rows = house.store.outbox("file", 100).unwrap();
    rows.into_iter().map(|row| row.alert.to_string()).collect()
}

#[tokio::test]
async fn alerts_of_before_the_first_start_are_kept_and_not_sent() {
    let house = House::new(HOUR);
    let pipeline = house.open(set(&[Does::Windows], "1")).await;
    pipeline.begins(LOGS[0].into(), 10_000).await.unwrap();
    pipeline.begins(LOGS[0].into(), 99_000).await.unwrap();
    assert_eq!(
        first_start(&*house.store, "acme").unwrap(),
        Some(10_000),
        "once for ever"
    );

    // One burst before, and one after within the first one's dedup window: nobody was told of that one.
    pipeline.admit(page(0..3, &DENIED, 9)).await.unwrap();
    assert_eq!((house.alerts().len(), sent(&house).len()), (1, 0));
    let restarted = house.open(set(&[Does::Windows], "1")).await;
    let after = [(10, 0, false), (11, 0, false), (12, 0, false)];
    restarted.admit(page(3..6, &after, 20)).await.unwrap();
    let alerts = house.store.alerts("acme", &AlertFilter::default()).unwrap();
    let told: Vec<(i64, bool, u64)> = alerts
        .iter()
        .map(|alert| (alert.time, alert.historic, alert.repeats))
        .collect();
    assert_eq!(told, [(3_000, true, 0), (12_000, false, 0)]);
    assert_eq!(sent(&house), [alerts[1].id.to_string()]);
    let json: serde_json::Value = serde_json::from_str(&alerts[0].json).unwrap();
    assert_eq!(json["historic"], true);
    assert!(
        json["delay"]["because"].as_str().unwrap().starts_with("historic"),
        "{json}"
    );
}

#[tokio::test]
async fn a_store_of_before_first_starts_were_noted_has_nothing_historic() {
    let house = House::new(HOUR);
    let pipeline = house.open(set(&[Does::Windows], "1")).await;
    pipeline.admit(page(0..3, &DENIED, 5)).await.unwrap();
    pipeline.begins(LOGS[0].into(), NOW).await.unwrap();
    assert_eq!(first_start(&*house.store, "acme").unwrap(), None);
    let more = [(21, 1, false), (22, 1, false), (23, 1, false)];
    pipeline.admit(page(3..6, &more, 30)).await.unwrap();
    assert_eq!(sent(&house).len(), 2);
}

#[tokio::test]
async fn a_log_that_is_added_later_has_a_past_of_its_own() {
    let house = House::new(HOUR);
    let pipeline = house.open(set(&[Does::Windows], "1")).await;
    pipeline.begins(LOGS[2].into(), 1_000).await.unwrap();
    pipeline.begins(LOGS[1].into(), 2_000).await.unwrap();
    let note = |log: &str| house.store.note("acme", &format!("first_start:{log}")).unwrap();
    assert_eq!(note(LOGS[1]), None, "all began together");
    pipeline.begins(LOGS[0].into(), 200_000_000).await.unwrap();
    assert_eq!(note(LOGS[0]).as_deref(), Some("200000000"));
    pipeline.admit(page(0..3, &DENIED, 5)).await.unwrap();
    assert_eq!((house.alerts().len(), sent(&house).len()), (1, 0));
}

#[tokio::test]
async fn a_segment_finds_what_the_tenant_never_read_and_touches_nothing_else() {
    let house = House::new(HOUR);
    let rules = || set(&[Does::Windows], "1");
    let pipeline = house.open(rules()).await;
    pipeline
        .admit(page(3..6, &[(101, 1, false), (102, 1, false), (103, 1, true)], 110))
        .await
        .unwrap();
    let before = house.store.rules("acme").unwrap();

    let segment = Pipeline::open_segment(tenant(), house.store.clone(), 1, rules(), house.options());
    let segment = segment.await.unwrap();
    // Of the page, row 3 is the tenant's already; the restart in the middle goes on where the segment stands.
    segment.admit(page(0..2, &DENIED[..2], 2)).await.unwrap();
    let segment = Pipeline::open_segment(tenant(), house.store.clone(), 1, rules(), house.options());
    let segment = segment.await.unwrap();
    let rest = [(3, 0, false), (101, 1, false)];
    let admitted = segment.admit(page(2..4, &rest, 100)).await.unwrap();
    assert_eq!((admitted.new, admitted.known), (1, 1));
    segment.settle().await.unwrap();

    let alerts = house.store.alerts("acme", &AlertFilter::default()).unwrap();
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].historic && sent(&house).is_empty());
    let elsewhere = House::new(HOUR);
    let live = elsewhere.open(rules()).await;
    live.admit(page(0..3, &DENIED, 5)).await.unwrap();
    let ids: Vec<String> = elsewhere.alerts().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, [alerts[0].id.to_string()], "as the tenant would have raised it");
    assert_eq!(house.store.rules("acme").unwrap().len(), before.len());
    for (now, before) in house.store.rules("acme").unwrap().iter().zip(&before) {
        assert_eq!(now.position, before.position, "the tenant's own reading stands still");
    }
    assert_eq!(house.store.tenants().unwrap().len(), 1);

    // A second segment over the same range finds nothing new; the tenant itself still may.
    let second = Pipeline::open_segment(tenant(), house.store.clone(), 2, rules(), house.options());
    let again = second.await.unwrap().admit(page(0..3, &DENIED, 5)).await.unwrap();
    assert_eq!((again.new, again.known), (0, 3));
    assert_eq!(pipeline.admit(page(0..1, &DENIED[..1], 120)).await.unwrap().new, 1);

    house.store.discard(segment.journal()).unwrap();
    assert!(house.store.rules(segment.journal()).unwrap().is_empty());
    let events = house.store.search(segment.journal(), &EventFilter::default()).unwrap();
    assert_eq!(events.len(), 3);
}
