//! Rules in native code, and journals made up of small integers.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod logins;

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::manifest::{Field, StateManifest, StateStore};
use picket_contract::when::Test;
use picket_contract::{
    Admission, Batch, Call, Column, Evaluate, EventRecord, Failure, FailureKind, FieldType, Mark, Op, Outcome, Params,
    RuleAlert, RuleManifest, RuleState, Severity, Source, StateOverlay, Usage, When,
};
use picket_judge::acquaintance::Acquaintance;
use picket_judge::dedup::Dedup;
use picket_judge::{JudgedRule, Rebuild, Settings, Tenant, TenantJudge, Verdict, alerts};
use picket_store::{DedupRow, Standing};

pub(crate) const LOGS: [&str; 3] = ["authentication", "activity", "telephony"];
pub(crate) const NOW: i64 = 1_800_000_000_000;

/// What a native rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    /// Three denials of one user within 10 s; names all three.
    Windows,
    /// A bypass code for a user and then a success of theirs within 60 s. Two logs.
    Sequences,
    /// A success that nothing follows within 7 s: a timer.
    Timers,
    /// Like `Windows`, and fails on rows of user `u2`.
    Fails,
    /// Like `Timers`, and runs out of fuel above two rows a call.
    Greedy,
    /// Every late row, with the rows before it in memory. Three logs.
    Lateness,
}

pub(crate) const ALL: [Does; 6] = [
    Does::Windows,
    Does::Sequences,
    Does::Timers,
    Does::Fails,
    Does::Greedy,
    Does::Lateness,
];

/// Those that say that they keep state, and so wait for history. The others are shown its rows late.
pub(crate) const KEEPING: [Does; 4] = [Does::Windows, Does::Sequences, Does::Timers, Does::Fails];

fn store() -> StateStore {
    StateStore {
        name: "held".to_owned(),
        kind: "windows".to_owned(),
        keep_ms: 60_000,
        cap: 0,
    }
}

#[derive(Debug)]
pub(crate) struct Native(pub Does);

struct Shown<'a> {
    source: u32,
    event: u64,
    time: i64,
    late: bool,
    user: &'a str,
    word: &'a str,
}

fn rows(batch: &Batch) -> Vec<Shown<'_>> {
    let mut next = vec![0; batch.groups.len()];
    let mut rows = Vec::new();
    for group in &batch.order {
        let (index, group) = (&mut next[*group as usize], &batch.groups[*group as usize]);
        let text = |column: usize| match &group.columns[column] {
            Column::Text(codes) => group.text(codes[*index]).unwrap_or(""),
            _ => panic!("all columns are text"),
        };
        let (user, word) = (text(0), text(1));
        let (event, time, late) = (group.events[*index], group.times[*index], group.late[*index] == 1);
        rows.push(Shown {
            source: group.source,
            event,
            time,
            late,
            user,
            word,
        });
        *index += 1;
    }
    rows
}

fn alert(title: String, time: i64, evidence: Vec<u64>, raised_by: u64, key: &str) -> RuleAlert {
    let dedup_key = Some(key.to_owned());
    RuleAlert {
        title,
        dedup_key,
        severity: None,
        time,
        about: None,
        facts: Vec::new(),
        evidence,
        raised_by,
    }
}

/// (time, number) pairs as bytes.
fn unpack(bytes: &[u8]) -> Vec<(i64, u64)> {
    let of = |chunk: &[u8]| {
        (
            i64::from_le_bytes(chunk[..8].try_into().unwrap()),
            u64::from_le_bytes(chunk[8..].try_into().unwrap()),
        )
    };
    bytes.chunks(16).map(of).collect()
}

fn pack(pairs: &[(i64, u64)]) -> Vec<u8> {
    pairs
        .iter()
        .flat_map(|(time, number)| [time.to_le_bytes(), number.to_le_bytes()].concat())
        .collect()
}

impl Native {
    fn row(&self, row: &Shown<'_>, state: &mut StateOverlay<'_>, alerts: &mut Vec<RuleAlert>) -> Result<(), String> {
        let (key, now) = (row.user.as_bytes(), row.time);
        let mut held = state.get(key, now).map(|bytes| unpack(&bytes)).unwrap_or_default();
        match self.0 {
            Does::Fails if row.user == "u2" => return Err("u2 is more than it can bear".to_owned()),
            Does::Windows | Does::Fails if row.word == "denied" => {
                held.push((now, row.event));
                held.retain(|(time, _)| now - time < 10_000);
                if held.len() >= 3 {
                    let evidence = held.iter().map(|(_, number)| *number).collect();
                    alerts.push(alert(
                        format!("{} denied", row.user),
                        now,
                        evidence,
                        row.event,
                        row.user,
                    ));
                    held.clear();
                }
                state.put(key, &pack(&held), now, now + 10_000).unwrap();
            }
            Does::Sequences if row.source == 0 => {
                state.put(key, &pack(&[(now, row.event)]), now, now + 60_000).unwrap();
            }
            Does::Sequences if row.word == "success" => {
                if let Some((_, number)) = held.pop() {
                    alerts.push(alert(
                        format!("{} bypassed", row.user),
                        now,
                        vec![number, row.event],
                        row.event,
                        row.user,
                    ));
                    state.delete(key, now);
                }
            }
            Does::Timers | Does::Greedy if row.word == "success" => {
                state.put(key, &pack(&[(now, row.event)]), now, now + 100_000).unwrap();
                state.set_timer(key, now + 7000).unwrap();
            }
            Does::Timers | Does::Greedy => state.cancel_timer(key),
            Does::Lateness => {
                if row.late {
                    let evidence = held.iter().map(|(_, number)| *number).chain([row.event]).collect();
                    alerts.push(alert(format!("{} late", row.user), now, evidence, row.event, ""));
                }
                held.push((now, row.event));
                let from = held.len().saturating_sub(3);
                state.put(key, &pack(&held[from..]), now, now + 30_000).unwrap();
            }
            _ => {}
        }
        Ok(())
    }

    fn timers(&self, before: i64, state: &mut StateOverlay<'_>, alerts: &mut Vec<RuleAlert>) {
        while let Some((key, at)) = state.next_timer(before) {
            let Some(held) = state.get(&key, at) else { continue };
            let number = unpack(&held)[0].1;
            let user = String::from_utf8_lossy(&key).into_owned();
            alerts.push(alert(format!("{user} silent"), at, vec![number], number, &user));
        }
    }
}

impl Evaluate for Native {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let fail = |kind, message: &str| Failure::new(kind, message, Usage::default());
        let rows = rows(call.batch);
        if self.0 == Does::Greedy && rows.len() > 2 {
            return Err(fail(FailureKind::OutOfFuel, "more than two rows"));
        }
        let mut state = StateOverlay::new(call.state, Default::default());
        let mut alerts = Vec::new();
        for row in &rows {
            self.timers(row.time, &mut state, &mut alerts);
            self.row(row, &mut state, &mut alerts)
                .map_err(|message| fail(FailureKind::RuleError, &message))?;
        }
        self.timers(call.batch.watermark.saturating_add(1), &mut state, &mut alerts);
        Ok(Outcome {
            alerts,
            changes: state.finish(),
            ..Outcome::default()
        })
    }
}

fn source(log: &str, paths: [&str; 2], when: When) -> Source {
    let field = |path: &str| Field {
        path: path.to_owned(),
        kind: FieldType::Text,
        required: false,
    };
    Source {
        log: log.to_owned(),
        name: String::new(),
        fields: paths.map(field).to_vec(),
        when,
    }
}

fn is(field: &str, value: &str) -> When {
    When::Test(Test {
        field: field.to_owned(),
        op: Op::In,
        values: vec![value.to_owned()],
        param: None,
    })
}

pub(crate) fn manifest(does: Does) -> RuleManifest {
    let authentication = source("authentication", ["user.name", "result"], When::always());
    let admin = source(
        "admin",
        ["target.name", "action.name"],
        is("action.name", "bypass_create"),
    );
    let telephony = source("telephony", ["phone", "type"], When::always());
    let sources = match does {
        Does::Sequences => vec![admin, authentication],
        Does::Lateness => vec![
            authentication,
            source("admin", ["target.name", "action.name"], When::always()),
            telephony,
        ],
        _ => vec![authentication],
    };
    RuleManifest {
        id: format!("{does:?}").to_lowercase(),
        version: "1.0.0".to_owned(),
        title: "A rule of the tests".to_owned(),
        description: String::new(),
        severity: Severity::High,
        attack: vec!["T1621".to_owned()],
        check: vec!["Ask.".to_owned()],
        act: vec!["Act.".to_owned()],
        false_positives: Vec::new(),
        sources,
        params: Vec::new(),
        state: StateManifest {
            version: 1,
            stores: if KEEPING.contains(&does) {
                vec![store()]
            } else {
                Vec::new()
            },
            ..StateManifest::default()
        },
        dedup_period_ms: if does == Does::Windows { 15_000 } else { 0 },
        supersedes: Vec::new(),
        tests: String::new(),
    }
}

pub(crate) fn rule(does: Does) -> JudgedRule {
    let module = format!("sha256:{does:?}");
    JudgedRule::new(
        Arc::new(manifest(does)),
        Arc::new(Native(does)),
        module.into(),
        Arc::new(Params::new()),
    )
}

pub(crate) fn tenant() -> Arc<Tenant> {
    Arc::new(Tenant {
        id: "acme".into(),
        name: "Acme Bank".into(),
        timezone: "America/New_York".into(),
        panel: Some("admin-1234abcd.duosecurity.com".into()),
        mask: picket_event::Mask::substitute(),
    })
}

pub(crate) fn settings(batch_rows: usize) -> Settings {
    Settings {
        batch_rows,
        ..Settings::default()
    }
}

/// An event as small integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Event {
    /// Of four, 20 s each.
    pub(crate) phase: i64,
    /// In half seconds.
    pub(crate) offset: i64,
    pub(crate) log: usize,
    pub(crate) user: u8,
    pub(crate) word: bool,
    /// Comes in the next phase.
    pub(crate) late: bool,
}

pub(crate) fn time(event: &Event) -> i64 {
    event.phase * 20_000 + event.offset * 500
}

pub(crate) fn record(number: usize, event: &Event) -> EventRecord {
    let (time, user) = (time(event), format!("u{}", event.user));
    let raw = match LOGS[event.log] {
        "authentication" => {
            let result = if event.word { "success" } else { "denied" };
            serde_json::json!({"txid": format!("e{number}"), "timestamp": time / 1000, "result": result, "factor": "duo_push",
                "user": {"name": user, "key": format!("DU{user}")}, "application": {"name": "VPN"},
                "access_device": {"ip": format!("192.0.2.{}", event.user), "location": {"country": "Austria"}}})
        }
        "activity" => {
            let action = if event.word { "bypass_create" } else { "user_update" };
            serde_json::json!({"activity_id": format!("e{number}"), "action": {"name": action},
                "actor": {"name": "Harry Helpdesk", "type": "admin"},
                "target": {"name": user, "key": format!("DU{user}"), "type": "user"}})
        }
        _ => serde_json::json!({"telephony_id": format!("e{number}"), "phone": user, "type": "sms"}),
    };
    EventRecord {
        id: format!("e{number}").into(),
        time,
        raw: raw.to_string().into(),
    }
}

/// A stream of choices.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.below(index + 1));
        }
    }
}

/// Log, rows, marks.
type Entry = (Arc<str>, Vec<EventRecord>, Vec<Mark>);

/// A journal of these events: pages, logs and marks in an order that the seed decides. What is late in one is late in all.
pub(crate) fn journal(events: &[Event], seed: u64) -> Vec<Admission> {
    let mut dice = Dice(seed);
    let mut entries = vec![feed()];
    for phase in 0..5 {
        entries.extend(in_phase(events, phase, &mut dice, complete));
    }
    numbered(entries)
}

/// The same events as a first start reads them: the first two phases are history, read while the next two are live already;
/// the last is read when the two walks have become one. For rules that keep state it is the same as any other order.
pub(crate) fn journal_of_first_start(events: &[Event], seed: u64) -> Vec<Admission> {
    let mut dice = Dice(seed);
    // A row of history that only live would bring is late or not as the two walks happen to stand.
    let punctual = |event: &Event| Event {
        late: event.late && event.phase != 1,
        ..*event
    };
    let events: &[Event] = &events.iter().map(punctual).collect::<Vec<_>>();
    let mut entries = vec![feed()];
    let of_all = |mark: fn(&str, i64) -> Mark, to: i64| -> Vec<Entry> {
        let each = LOGS
            .iter()
            .map(|log| (Arc::from(*log), Vec::new(), vec![mark(log, to)]));
        each.collect()
    };
    entries.extend(of_all(live, 39_999));
    let mut history: Vec<Entry> = (0..2)
        .flat_map(|phase| in_phase(events, phase, &mut dice, complete))
        .collect();
    let mut now: Vec<Entry> = (2..4)
        .flat_map(|phase| {
            let mut entries = in_phase(events, phase, &mut dice, live);
            if dice.below(3) == 0 {
                let log = LOGS[dice.below(LOGS.len())];
                let to = phase * 20_000 - 1;
                let stalled = Mark::Stalled { log: log.into(), to };
                entries.push((log.into(), Vec::new(), vec![stalled]));
            }
            entries
        })
        .collect();
    history.reverse();
    now.reverse();
    while !history.is_empty() || !now.is_empty() {
        let next = if dice.below(2) == 0 { history.pop() } else { now.pop() };
        entries.extend(next);
    }
    entries.extend(of_all(complete, 79_999));
    entries.extend(in_phase(events, 4, &mut dice, complete));
    numbered(entries)
}

fn complete(log: &str, to: i64) -> Mark {
    Mark::Complete { log: log.into(), to }
}

fn live(log: &str, to: i64) -> Mark {
    Mark::Live { log: log.into(), to }
}

fn feed() -> Entry {
    let mark = Mark::Feed {
        logical: "admin".into(),
        log: "activity".into(),
        from: i64::MIN,
    };
    ("activity".into(), Vec::new(), vec![mark])
}

fn in_phase(events: &[Event], phase: i64, dice: &mut Dice, mark: fn(&str, i64) -> Mark) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let of = |late: bool, log: usize| -> Vec<EventRecord> {
        let due = |event: &Event| event.log == log && event.late == late && event.phase + i64::from(late) == phase;
        events
            .iter()
            .enumerate()
            .filter(|(_, event)| due(event))
            .map(|(number, event)| record(number, event))
            .collect()
    };
    // One page of late rows a phase: which of two came first would show.
    if let Some(log) = (0..LOGS.len()).find(|log| !of(true, *log).is_empty()) {
        let mut late = of(true, log);
        dice.shuffle(&mut late);
        entries.push((LOGS[log].into(), late, Vec::new()));
    }
    let mut pages: Vec<Vec<Entry>> = Vec::new();
    for (log, name) in LOGS.iter().enumerate() {
        let mut rows = of(false, log);
        dice.shuffle(&mut rows);
        let mut of_log = Vec::new();
        while !rows.is_empty() {
            let rest = rows.split_off((1 + dice.below(4)).min(rows.len()));
            of_log.push((Arc::from(*name), std::mem::replace(&mut rows, rest), Vec::new()));
        }
        let mark = mark(name, (phase + 1) * 20_000 - 1);
        match of_log.last_mut() {
            Some((_, _, marks)) if dice.below(2) == 0 => marks.push(mark),
            _ => of_log.push(((*name).into(), Vec::new(), vec![mark])),
        }
        of_log.reverse();
        pages.push(of_log);
    }
    while pages.iter().any(|pages| !pages.is_empty()) {
        let log = dice.below(pages.len());
        entries.extend(pages[log].pop());
    }
    entries
}

fn numbered(entries: Vec<Entry>) -> Vec<Admission> {
    let mut next = 1;
    let numbered = entries.into_iter().map(|(log, events, marks)| {
        let admission = Admission {
            first_seq: next,
            log,
            events,
            marks,
        };
        next = admission.last_seq() + 1;
        admission
    });
    numbered.collect()
}

/// Removes late rows of all but one log in each phase, as `journal` has room for one late page.
pub(crate) fn tidy(mut events: Vec<Event>) -> Vec<Event> {
    for phase in 0..4 {
        let first = (0..LOGS.len()).find(|log| {
            events
                .iter()
                .any(|event| event.late && event.phase == phase && event.log == *log)
        });
        events.retain(|event| !event.late || event.phase != phase || Some(event.log) == first);
    }
    events
}

/// What a judge left behind, as a store would keep it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    pub(crate) rules: BTreeMap<String, (picket_contract::Position, RuleState, Standing)>,
    pub(crate) known: Option<(picket_contract::Position, RuleState)>,
    /// By id: title, evidence, repeats.
    pub(crate) alerts: BTreeMap<String, (String, Vec<String>, u64)>,
    pub(crate) dedup: Vec<DedupRow>,
    /// In the order raised: id and incident.
    pub(crate) raised: Vec<(String, serde_json::Value)>,
}

impl Kept {
    pub(crate) fn keep(&mut self, verdict: Verdict) {
        for commit in verdict.commits {
            if *commit.rule == *picket_judge::acquaintance::RULE {
                let known = self
                    .known
                    .get_or_insert_with(|| (commit.position.clone(), RuleState::default()));
                known.0 = commit.position;
                known.1.apply(&commit.changes);
                continue;
            }
            let (position, state, standing) = self
                .rules
                .entry(commit.rule.to_string())
                .or_insert_with(|| (commit.position.clone(), RuleState::default(), Standing::default()));
            *position = commit.position;
            *standing = commit.standing;
            state.apply(&commit.changes);
        }
        for alert in verdict.alerts {
            let json: serde_json::Value = serde_json::from_str(&alert.json).unwrap();
            let events = json["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_str().unwrap().to_owned())
                .collect();
            self.raised.push((alert.id.to_string(), json["incident"].clone()));
            let told = (json["title"].as_str().unwrap().to_owned(), events, 0);
            assert!(
                self.alerts.insert(alert.id.to_string(), told).is_none(),
                "{} came twice",
                alert.id
            );
            self.dedup.push(DedupRow {
                rule: alert.rule,
                key: alert.dedup_key,
                alert: alert.id,
                time: alert.time,
                until: alert.dedup_until,
                shadow: alert.shadow,
            });
        }
        for repeat in verdict.repeats {
            self.alerts.get_mut(&*repeat.id).expect("a repeat of what was raised").2 += repeat.count;
        }
    }

    pub(crate) fn judge(&self, does: &[Does], batch_rows: usize, journal: &dyn Rebuild) -> TenantJudge {
        let restored = |does: &Does| {
            let mut rule = rule(*does);
            if let Some((position, state, standing)) = self.rules.get(&rule.manifest.id).cloned() {
                (rule.position, rule.state, rule.standing) = (position, state.into(), standing);
            }
            rule
        };
        let rules = does.iter().map(restored).collect();
        let known = self
            .known
            .as_ref()
            .map_or_else(Acquaintance::default, |(position, state)| {
                Acquaintance::restore(position.clone(), state)
            });
        let dedup = Dedup::restore(self.dedup.clone());
        TenantJudge::new(tenant(), settings(batch_rows), 1, rules, dedup, known, journal).unwrap()
    }
}

/// What the reference makes of a journal.
pub(crate) fn reference(does: Does, journal: &[Admission]) -> (Kept, Option<Option<String>>) {
    let mut reference = picket_judge::reference::Reference::new(rule(does));
    journal.iter().for_each(|admission| reference.feed(admission));
    let mut kept = Kept::default();
    let manifest = manifest(does);
    kept.rules.insert(
        manifest.id.clone(),
        (
            reference.position().clone(),
            reference.state().clone(),
            Standing::default(),
        ),
    );
    let mut opened: Vec<(String, i64, String)> = Vec::new();
    for alert in &reference.alerts {
        let mut evidence: Vec<(i64, &str, &str)> = Vec::new();
        for admission in journal {
            for (number, event) in (admission.first_seq..).zip(&admission.events) {
                if alert.evidence.contains(&number) {
                    evidence.push((event.time, &admission.log, &event.id));
                }
            }
        }
        evidence.sort_unstable();
        let key = alert.dedup_key.clone().unwrap();
        let id = alerts::id("acme", &manifest.id, &key, evidence[0].2).to_string();
        let of_key = || opened.iter().filter(|(of, _, _)| *of == key);
        let near = |(_, time, _): &&(String, i64, String)| (alert.time - time).abs() < manifest.dedup_period_ms;
        let same = of_key().find(|(_, _, opened)| *opened == id);
        if let Some((_, _, alert)) = same.or_else(|| of_key().filter(near).min_by_key(|(_, time, _)| *time)) {
            kept.alerts.get_mut(alert).unwrap().2 += 1;
            continue;
        }
        let events = evidence.iter().map(|(_, _, id)| (*id).to_owned()).collect();
        opened.push((key, alert.time, id.clone()));
        kept.alerts.insert(id, (alert.title.clone(), events, 0));
    }
    (
        kept,
        reference.stopped.map(|(event, _)| event.map(|event| event.to_string())),
    )
}
