//! What a failing rule costs, what late, closed and switched logs do, and a replay from files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use std::sync::Arc;

use common::{Does, Event, Kept, LOGS, NOW, Native, manifest, record, reference, rule, settings, tenant};
use picket_contract::state::StateEntry;
use picket_contract::{Admission, Call, Evaluate, EventRecord, Failure, Key, Mark, Outcome, Params, RawRow, RuleState};
use picket_judge::acquaintance::Acquaintance;
use picket_judge::dedup::Dedup;
use picket_judge::replay::{Rows, replay};
use picket_judge::{JudgedRule, OnPoison, Outcome as Comes, Settings, TenantJudge, Terms, Verdict};

/// An authentication row: second, user, let in.
fn row(number: usize, second: i64, user: u8, word: bool) -> EventRecord {
    record(
        number,
        &Event {
            phase: 0,
            offset: second * 2,
            log: 0,
            user,
            word,
            late: false,
        },
    )
}

fn complete(log: usize, second: i64) -> Mark {
    Mark::Complete {
        log: LOGS[log].into(),
        to: second * 1000,
    }
}

fn entry(first_seq: u64, log: usize, events: Vec<EventRecord>, marks: Vec<Mark>) -> Admission {
    Admission {
        first_seq,
        log: LOGS[log].into(),
        events,
        marks,
    }
}

fn denials(users: &[u8]) -> Vec<EventRecord> {
    users
        .iter()
        .enumerate()
        .map(|(number, user)| row(number, i64::try_from(number).unwrap(), *user, false))
        .collect()
}

fn judge(rules: Vec<JudgedRule>, settings: Settings) -> TenantJudge {
    let nothing: &[Admission] = &[];
    TenantJudge::new(
        tenant(),
        settings,
        1,
        rules,
        Dedup::default(),
        Acquaintance::default(),
        &nothing,
    )
    .unwrap()
}

fn feed(judge: &mut TenantJudge, journal: &[Admission]) -> Verdict {
    judge.feed(0, journal, &journal, NOW).unwrap()
}

#[test]
fn a_poison_row_is_found_by_halving_and_what_went_before_is_kept() {
    // u2 is the row the rule fails on; u0's third denial comes before it, u1's after.
    let journal = [entry(1, 0, denials(&[0, 0, 1, 1, 0, 2, 1]), vec![complete(0, 60)])];
    let mut judge = judge(vec![rule(Does::Fails), rule(Does::Windows)], settings(1000));
    let verdict = feed(&mut judge, &journal);
    assert_eq!(verdict.alerts.iter().filter(|alert| &*alert.rule == "fails").count(), 1);
    assert_eq!(
        verdict.alerts.iter().filter(|alert| &*alert.rule == "windows").count(),
        2,
        "the other goes on"
    );
    let [trouble] = &verdict.troubles[..] else {
        panic!("{:?}", verdict.troubles)
    };
    assert!(
        trouble.event.as_deref() == Some("e5") && trouble.outcome == Comes::Quarantined,
        "{trouble:?}"
    );
    let failed = judge.rules().find(|rule| rule.manifest.id == "fails").unwrap();
    assert_eq!(&*failed.position.released.id, "e4", "right before the poison row");
    let quarantine = failed.standing.quarantine.as_ref().unwrap();
    assert!((NOW + 22_500..=NOW + 30_000).contains(&quarantine.retry_at));
    assert_eq!(
        quarantine.report,
        "rule-error: u2 is more than it can bear\n  row   authentication event e5, row 6 of 7 shown at once"
    );
    let windows = judge.rules().find(|rule| rule.manifest.id == "windows").unwrap();
    assert_eq!(windows.position.released.time, 60_000);
}

#[test]
fn by_policy_the_poison_row_is_skipped_and_the_rest_is_judged() {
    let journal = [entry(1, 0, denials(&[0, 2, 1, 1, 0, 2, 1]), vec![complete(0, 60)])];
    let mut judge = judge(
        vec![JudgedRule {
            terms: Terms {
                on_poison: OnPoison::Skip,
                ..Terms::default()
            },
            ..rule(Does::Fails)
        }],
        settings(1000),
    );
    let verdict = feed(&mut judge, &journal);
    let skipped: Vec<&str> = verdict
        .troubles
        .iter()
        .filter_map(|trouble| trouble.event.as_deref())
        .collect();
    assert_eq!(skipped, ["e1", "e5"]);
    assert!(verdict.troubles.iter().all(|trouble| trouble.outcome == Comes::Skipped));
    assert_eq!(verdict.alerts.len(), 1, "u1's third denial is behind both");
    assert!(judge.rules().all(|rule| rule.standing.quarantine.is_none()));
}

#[test]
fn a_rule_that_recovers_joins_the_others_again() {
    let journal = [
        entry(1, 0, denials(&[0, 2, 0]), vec![complete(0, 5)]),
        entry(5, 0, vec![row(9, 8, 0, false)], vec![complete(0, 20)]),
    ];
    let mut kept = Kept::default();
    let mut judge = kept.judge(&[Does::Fails, Does::Windows], 1000, &&journal[..0]);
    kept.keep(judge.feed(0, &journal, &&journal[..], NOW).unwrap());
    let (position, _, standing) = kept.rules.get_mut("fails").unwrap();
    assert!(standing.quarantine.is_some());
    // The row is gone beyond the position, as if the module had been mended: another module is tried at once.
    position.released = Key::end_of(1000);
    standing.quarantine.as_mut().unwrap().module = "sha256:another".to_owned();
    let mut judge = kept.judge(&[Does::Fails, Does::Windows], 1000, &&journal[..]);
    assert_eq!(judge.readers(), 2);
    let verdict = judge.feed(0, &[], &&journal[..], NOW).unwrap();
    assert_eq!(judge.readers(), 1, "level again");
    assert!(
        verdict
            .commits
            .iter()
            .all(|commit| commit.standing.quarantine.is_none())
    );
    assert_eq!(verdict.alerts.len(), 1);
}

#[test]
fn a_late_row_is_shown_at_once_and_flagged() {
    let journal = [
        entry(1, 0, vec![row(0, 5, 0, false)], vec![complete(0, 10)]),
        entry(
            3,
            0,
            vec![row(1, 20, 0, false), row(2, 4, 0, false), row(3, 3, 1, false)],
            vec![],
        ),
    ];
    let opening = entry(
        1,
        1,
        Vec::new(),
        vec![
            Mark::Feed {
                logical: "admin".into(),
                log: LOGS[1].into(),
                from: i64::MIN,
            },
            Mark::Closed { log: LOGS[1].into() },
            Mark::Closed { log: LOGS[2].into() },
        ],
    );
    let moved = journal.map(|admission| Admission {
        first_seq: admission.first_seq + 1,
        ..admission
    });
    let journal: Vec<Admission> = std::iter::once(opening).chain(moved).collect();
    let mut judge = judge(vec![rule(Does::Lateness)], settings(1000));
    let verdict = feed(&mut judge, &journal);
    let titles: Vec<String> = verdict.alerts.iter().map(|alert| title(&alert.json)).collect();
    assert_eq!(
        titles,
        ["u1 late", "u0 late"],
        "by their time, not as they came; the row to come is not late"
    );
    let json: serde_json::Value = serde_json::from_str(&verdict.alerts[0].json).unwrap();
    assert_eq!(json["delay"]["because"], "a row of the evidence came late");
}

#[test]
fn of_late_rows_that_came_together_all_are_shown_or_none() {
    let journal = [
        entry(1, 0, vec![row(0, 5, 0, false)], vec![complete(0, 10)]),
        entry(
            3,
            0,
            vec![row(1, 4, 2, false), row(2, 3, 0, false), row(3, 2, 0, false)],
            vec![complete(0, 30)],
        ),
    ];
    let mut judge = judge(vec![rule(Does::Fails)], settings(1000));
    let before = judge.feed(0, &journal[..1], &&journal[..], NOW).unwrap();
    let state = judge.rules().next().unwrap().state.clone();
    let verdict = judge.feed(2, &journal[1..], &&journal[..], NOW).unwrap();
    assert_eq!(verdict.troubles[0].event.as_deref(), Some("e1"));
    assert!(
        verdict.alerts.is_empty(),
        "u0's third denial is in the same page, before the row that fails"
    );
    let failed = judge.rules().next().unwrap();
    assert_eq!(failed.state, state);
    let position = |verdict: &Verdict| {
        verdict
            .commits
            .iter()
            .find(|commit| &*commit.rule == "fails")
            .unwrap()
            .position
            .clone()
    };
    assert_eq!(position(&verdict), position(&before), "the page will be read again");
    assert!(
        verdict
            .commits
            .iter()
            .all(|commit| &*commit.rule != "fails" || commit.changes.is_empty())
    );
}

fn title(json: &str) -> String {
    serde_json::from_str::<serde_json::Value>(json).unwrap()["title"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_closed_log_holds_nobody_up_and_a_stalled_one_no_longer() {
    let bypass = record(
        7,
        &Event {
            phase: 0,
            offset: 2,
            log: 1,
            user: 0,
            word: true,
            late: false,
        },
    );
    let feed_mark = Mark::Feed {
        logical: "admin".into(),
        log: LOGS[1].into(),
        from: i64::MIN,
    };
    let journal = |mark: Option<Mark>| {
        let activity = entry(1, 1, vec![bypass.clone()], vec![feed_mark.clone()]);
        let first = entry(3, 0, vec![row(0, 5, 0, true)], vec![complete(0, 10)]);
        let mut all = vec![entry(1, 1, Vec::new(), vec![feed_mark.clone()])];
        all.extend([
            Admission {
                first_seq: 2,
                marks: Vec::new(),
                ..activity
            },
            first,
        ]);
        all.extend(mark.map(|mark| entry(5, 1, Vec::new(), vec![mark])));
        all
    };
    let alerts = |mark: Option<Mark>| {
        feed(&mut judge(vec![rule(Does::Sequences)], settings(1000)), &journal(mark))
            .alerts
            .len()
    };
    assert_eq!(alerts(None), 0, "activity has not said that it is complete");
    assert_eq!(alerts(Some(complete(1, 10))), 1);
    assert_eq!(alerts(Some(Mark::Closed { log: LOGS[1].into() })), 1);
    assert_eq!(
        alerts(Some(Mark::Stalled {
            log: LOGS[1].into(),
            to: 10_000
        })),
        1
    );
}

#[test]
fn the_feed_of_admin_may_change_between_two_entries() {
    let old = serde_json::json!({"action": "bypass_create", "object": "u0", "timestamp": 1, "username": "Harry",
        "description": "{\"user_id\": \"DUu0\", \"count\": 1}"});
    let old = EventRecord {
        id: "old".into(),
        time: 1000,
        raw: old.to_string().into(),
    };
    let new = |number, offset, user| {
        record(
            number,
            &Event {
                phase: 0,
                offset,
                log: 1,
                user,
                word: true,
                late: false,
            },
        )
    };
    let feed_of = |log: &str, from| Mark::Feed {
        logical: "admin".into(),
        log: log.into(),
        from,
    };
    let administrator = |to| Mark::Complete {
        log: "administrator".into(),
        to,
    };
    let journal = [
        entry(1, 0, Vec::new(), vec![feed_of("administrator", i64::MIN)]),
        // Of the first one's time the administrator log is the feed; the second's comes to be the activity log's.
        entry(2, 1, vec![new(1, 4, 1), new(3, 22, 2)], Vec::new()),
        Admission {
            first_seq: 4,
            log: "administrator".into(),
            events: vec![old],
            marks: vec![administrator(9000)],
        },
        entry(6, 1, Vec::new(), vec![feed_of("activity", 9000), complete(1, 60)]),
        entry(7, 1, vec![new(2, 24, 1)], Vec::new()),
        entry(
            8,
            0,
            vec![row(10, 14, 0, true), row(11, 15, 1, true), row(12, 16, 2, true)],
            vec![complete(0, 60)],
        ),
    ];
    let mut judged = judge(vec![rule(Does::Sequences)], settings(1000));
    let verdict = feed(&mut judged, &journal);
    let mut evidence: Vec<serde_json::Value> = Vec::new();
    for alert in &verdict.alerts {
        evidence.push(serde_json::from_str::<serde_json::Value>(&alert.json).unwrap()["events"].clone());
    }
    assert_eq!(
        evidence,
        [
            serde_json::json!(["old", "e10"]),
            serde_json::json!(["e2", "e11"]),
            serde_json::json!(["e3", "e12"])
        ]
    );
    assert_eq!(reference(Does::Sequences, &journal).0.alerts.len(), 3);
}

/// Names a row it was never shown.
#[derive(Debug)]
struct Liar(Native, u64);

impl Evaluate for Liar {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let mut outcome = self.0.evaluate(call)?;
        outcome.alerts.iter_mut().for_each(|alert| alert.evidence.push(self.1));
        Ok(outcome)
    }
}

#[test]
fn evidence_that_the_rule_was_never_shown_is_refused() {
    let sms = record(
        9,
        &Event {
            phase: 0,
            offset: 0,
            log: 2,
            user: 0,
            word: true,
            late: false,
        },
    );
    let journal = [
        entry(1, 2, vec![sms], Vec::new()),
        entry(2, 0, denials(&[0, 0, 0]), vec![complete(0, 60)]),
        entry(6, 0, vec![row(8, 70, 0, false)], vec![]),
    ];
    for number in [1, 6, 99] {
        let liar = Arc::new(Liar(Native(Does::Windows), number));
        let rule = JudgedRule::new(
            Arc::new(manifest(Does::Windows)),
            liar,
            "sha256:liar".into(),
            Arc::new(Params::new()),
        );
        let mut judge = judge(vec![rule], settings(1000));
        let verdict = judge.feed(0, &journal[..2], &&journal[..], NOW).unwrap();
        assert!(verdict.alerts.is_empty(), "row {number}");
        assert!(
            verdict.troubles[0].reason.starts_with("malformed answer"),
            "{}",
            verdict.troubles[0].reason
        );
    }
}

#[test]
fn a_replay_takes_rows_in_any_order_and_gives_the_same_alerts() {
    let of = |log: usize, events: Vec<EventRecord>| Rows {
        log: LOGS[log].into(),
        rows: events.into_iter().map(|event| event.raw).collect(),
    };
    let bypass = serde_json::json!({"activity_id": "a1", "ts": "1970-01-01T00:00:01+00:00", "action": {"name": "bypass_create"},
        "target": {"name": "u0", "key": "DUu0", "type": "user"}});
    let bypass = EventRecord {
        id: "a1".into(),
        time: 1000,
        raw: bypass.to_string().into(),
    };
    let events = vec![
        row(0, 3, 0, false),
        row(1, 4, 0, false),
        row(2, 5, 0, false),
        row(3, 6, 0, true),
        row(4, 60, 1, false),
    ];
    let rules = || [Does::Windows, Does::Sequences, Does::Timers].map(rule).to_vec();
    let ids = |events: Vec<EventRecord>| {
        let logs = [of(0, events), of(1, vec![bypass.clone()])];
        let replayed = replay(tenant(), settings(1000), rules(), &logs, NOW).unwrap();
        assert!(replayed.troubles.is_empty() && replayed.events == 6);
        let mut ids: Vec<String> = replayed.alerts.iter().map(|alert| alert.id.to_string()).collect();
        ids.sort();
        ids
    };
    let mut backwards = events.clone();
    backwards.reverse();
    assert_eq!(ids(events.clone()).len(), 3);
    assert_eq!(ids(events), ids(backwards));
    let bad = [Rows {
        log: LOGS[0].into(),
        rows: vec!["{}".into()],
    }];
    let error = replay(tenant(), settings(1000), rules(), &bad, NOW)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("authentication, row 1: "), "{error}");
    // Rows are read some thousands at a time, and counted over all of them.
    let mut many: Vec<RawRow> = vec![r#"{"isotimestamp": "2026-01-01T00:00:00Z"}"#.into(); 9_000];
    many[8_500] = "{}".into();
    let bad = [Rows {
        log: LOGS[0].into(),
        rows: many,
    }];
    let error = replay(tenant(), settings(1000), rules(), &bad, NOW)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("authentication, row 8501: "), "{error}");
}

#[test]
fn past_the_tenants_quota_who_remembers_most_stands_still_and_loses_nothing() {
    let journal = [
        entry(1, 0, denials(&[0, 0, 1]), vec![complete(0, 10)]),
        entry(5, 0, vec![row(3, 11, 0, false)], vec![complete(0, 60)]),
    ];
    let ballast = StateEntry {
        value: vec![0; 2 << 20].into(),
        expires_at: 5_000,
    };
    let hoarder = || {
        let mut hoarder = rule(Does::Windows);
        hoarder.state = RuleState::restore(Some(0), [(b"ballast".as_slice().into(), ballast.clone())], []).into();
        hoarder
    };
    let start = |rules: Vec<JudgedRule>, state_bytes: u64| {
        let settings = Settings {
            state_bytes,
            ..settings(1000)
        };
        let (dedup, known) = (Dedup::default(), Acquaintance::default());
        TenantJudge::new(tenant(), settings, 1, rules, dedup, known, &&journal[..0]).unwrap()
    };
    let ids = |verdict: &Verdict| verdict.alerts.iter().map(|alert| alert.id.clone()).collect::<Vec<_>>();
    let mut undisturbed = start(vec![hoarder(), rule(Does::Timers)], 4 << 20);
    let expected = undisturbed.feed(0, &journal, &&journal[..], NOW).unwrap();

    let mut tight = start(vec![hoarder(), rule(Does::Timers)], 1 << 20);
    let first = tight.feed(0, &journal[..1], &&journal[..], NOW).unwrap();
    let [trouble] = &first.troubles[..] else {
        panic!("{:?}", first.troubles)
    };
    assert!(
        trouble
            .reason
            .contains("this one would grow to 3 MiB, its share being 1 MiB"),
        "{trouble:?}"
    );
    assert_eq!(
        (&*trouble.rule, &trouble.event, trouble.outcome, trouble.code),
        ("windows", &None, Comes::Quarantined, "state-quota")
    );
    let stands = tight.rules().next().unwrap();
    assert_eq!(
        stands.position.released,
        Key::start(),
        "before the rows that it may not be shown"
    );

    // With more room it is shown the same rows, with the same result; without, it goes on standing.
    for (state_bytes, is_still_full) in [(4 << 20, false), (1 << 20, true)] {
        let mut later = start(tight.rules().cloned().collect(), state_bytes);
        let mut alerts = ids(&first);
        assert_eq!(later.resume(NOW + 3_600_000, true, &&journal[..1]).unwrap(), 1);
        let second = later.feed(4, &journal[1..], &&journal[..], NOW).unwrap();
        alerts.extend(ids(&second));
        assert_eq!(second.troubles.len(), usize::from(is_still_full));
        if !is_still_full {
            alerts.sort();
            let mut expected = ids(&expected);
            expected.sort();
            assert_eq!(alerts, expected);
            let states = |judge: &TenantJudge| judge.rules().map(|rule| rule.state.clone()).collect::<Vec<_>>();
            assert_eq!(states(&later), states(&undisturbed));
        }
    }
}
