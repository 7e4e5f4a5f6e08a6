//! A Duo, a journal and a clock, all in memory, deterministic, and as faulty as asked.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "a module that several tests share, of which each uses a part"
)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use picket_collect::{Admit, AdmitError, Admitted, Clock, Collector, DuoLogs, Intake, Rows, Settings};
use picket_contract::{EventRecord, Mark, RawRow};
use picket_duo::{DuoError, Log, Offset, Page, Query, Shape, TransportKind};
use picket_event::Identity;
use picket_store::CursorRow;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub const T0: i64 = 1_782_896_400_000;
pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;

/// Pseudo-random numbers (splitmix64): the same for a seed, for ever.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: i64) -> i64 {
        (self.next() % n as u64) as i64
    }

    pub fn percent(&mut self, p: i64) -> bool {
        self.below(100) < p
    }
}

/// A clock that stands still until it is moved on.
pub struct TestClock {
    now: AtomicI64,
    /// How far somebody has set the wall clock off, ms.
    pub off: AtomicI64,
    /// How often somebody went to sleep.
    pub sleeps: AtomicI64,
    sleepers: Mutex<BTreeMap<i64, Arc<Notify>>>,
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.now() + self.off.load(Ordering::SeqCst)
    }

    fn steady_ms(&self) -> i64 {
        self.now() - T0
    }

    async fn sleep(&self, ms: i64) {
        let until = self.now() + ms.max(1);
        self.sleeps.fetch_add(1, Ordering::Relaxed);
        let bell = self.sleepers.lock().unwrap().entry(until).or_default().clone();
        bell.notified().await;
    }
}

impl TestClock {
    pub fn new() -> Arc<Self> {
        Arc::new(TestClock {
            now: AtomicI64::new(T0),
            off: AtomicI64::new(0),
            sleeps: AtomicI64::new(0),
            sleepers: Mutex::default(),
        })
    }

    pub fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    /// Lets everybody run until all sleep, then moves on to the next who wakes, for so long.
    pub async fn run(&self, ms: i64) {
        let end = self.now() + ms;
        loop {
            for _ in 0..96 {
                tokio::task::yield_now().await;
            }
            let next = self
                .sleepers
                .lock()
                .unwrap()
                .first_key_value()
                .map(|(at, _)| *at)
                .filter(|at| *at <= end);
            let Some(at) = next else { break };
            self.now.store(at, Ordering::SeqCst);
            let bell = self.sleepers.lock().unwrap().remove(&at);
            if let Some(bell) = bell {
                bell.notify_waiters();
            }
        }
        self.now.store(end, Ordering::SeqCst);
    }
}

#[derive(Clone)]
pub struct Row {
    pub log: Log,
    pub time: i64,
    pub id: String,
    /// How much later than Duo's two minutes it appears, ms.
    pub late: i64,
    /// When it changes, once it was given.
    pub changes: Option<i64>,
}

impl Row {
    fn raw(&self, now: i64) -> String {
        let (id, time) = match self.changes.filter(|at| at + 120_000 <= now) {
            Some(at) => (format!("{}@processed", self.id), at),
            None => (self.id.clone(), self.time),
        };
        format!(r#"{{"id":"{id}","time":{time}}}"#)
    }
}

/// How Duo misbehaves: chances in percent.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    pub throttle: i64,
    pub fail: i64,
    pub stale_offset: i64,
    pub repeat_row: i64,
    pub odd_row: i64,
    pub short_page: i64,
    pub offset_at_end: i64,
    pub no_date: i64,
}

pub struct FakeDuo {
    pub clock: Arc<TestClock>,
    pub rows: Mutex<Vec<Row>>,
    pub faults: Mutex<Faults>,
    pub dice: Mutex<Dice>,
    pub refused: Mutex<HashMap<Log, DuoError>>,
    pub asked: Mutex<Vec<(i64, Log, Query)>>,
    /// Duo's clock less ours.
    pub skew: AtomicI64,
    /// How long an answer takes, ms.
    pub slow: AtomicI64,
}

impl FakeDuo {
    pub fn new(clock: &Arc<TestClock>, seed: u64) -> Arc<Self> {
        Arc::new(FakeDuo {
            clock: clock.clone(),
            rows: Mutex::default(),
            faults: Mutex::default(),
            dice: Mutex::new(Dice(seed)),
            refused: Mutex::default(),
            asked: Mutex::default(),
            skew: AtomicI64::new(0),
            slow: AtomicI64::new(0),
        })
    }

    pub fn now(&self) -> i64 {
        self.clock.now() + self.skew.load(Ordering::SeqCst)
    }

    pub fn add(&self, log: Log, time: i64, id: &str, late: i64) {
        self.rows.lock().unwrap().push(Row {
            log,
            time,
            id: id.to_owned(),
            late,
            changes: None,
        });
    }

    /// A row that changes at a time.
    pub fn add_changing(&self, log: Log, time: i64, id: &str, changes: i64) {
        self.add(log, time, id, 0);
        self.rows.lock().unwrap().last_mut().unwrap().changes = Some(changes);
    }

    pub fn refuse(&self, log: Log, error: Option<DuoError>) {
        let mut refused = self.refused.lock().unwrap();
        match error {
            Some(error) => refused.insert(log, error),
            None => refused.remove(&log),
        };
    }

    pub fn requests(&self, log: Log) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|(_, asked, _)| *asked == log)
            .count()
    }

    fn answer(&self, log: Log, query: &Query) -> Result<Page, DuoError> {
        let at = log.path().to_owned();
        self.asked.lock().unwrap().push((self.clock.now(), log, query.clone()));
        // As Duo does: a first window that was made by a clock long behind its own.
        if query.mintime < self.now() - 181 * 24 * HOUR {
            return Err(DuoError::BadRequest {
                at,
                code: 40002,
                message: "mintime must be within the past 180 days".into(),
            });
        }
        if let Some(error) = self.refused.lock().unwrap().get(&log) {
            return Err(error.clone());
        }
        let faults = *self.faults.lock().unwrap();
        let mut dice = self.dice.lock().unwrap();
        if dice.percent(faults.throttle) {
            return Err(DuoError::RateLimited { at, retry_after: None });
        }
        if dice.percent(faults.fail) {
            return Err(match dice.below(4) {
                0 => DuoError::Server {
                    at,
                    status: 502,
                    message: "<html>".into(),
                },
                1 => DuoError::Malformed {
                    at,
                    why: "it ends too early".into(),
                },
                2 => DuoError::NotJson {
                    at,
                    status: 200,
                    start: "<html>".into(),
                },
                _ => DuoError::Transport {
                    at,
                    kind: TransportKind::Timeout,
                    detail: String::new(),
                },
            });
        }
        let now = self.now();
        let is_v1 = log.shape() == Shape::FromSecond;
        let unit = if is_v1 { 1000 } else { 1 };
        let seen = |row: &&Row| row.log == log && row.time + 120_000 + row.late <= now;
        let from = query.mintime.div_euclid(unit) * unit;
        let mut rows: Vec<Row> = self.rows.lock().unwrap().iter().filter(seen).cloned().collect();
        rows.retain(|row| row.time >= from && (is_v1 || row.time <= query.maxtime));
        rows.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
        if let Some(offset) = &query.offset {
            let opaque = offset.as_str().trim_start_matches("after:");
            assert_eq!(opaque.len() < offset.as_str().len(), log.shape() == Shape::Opaque);
            let (time, id) = opaque.split_once(',').unwrap();
            let after = (time.parse::<i64>().unwrap(), id.to_owned());
            rows.retain(|row| (row.time, row.id.clone()) > after);
        }
        let mut size = usize::from(query.limit);
        if !is_v1 && dice.percent(faults.short_page) {
            size = 1 + dice.below(4) as usize;
        }
        let is_more = rows.len() > size;
        rows.truncate(size);
        let prefix = if log.shape() == Shape::Opaque { "after:" } else { "" };
        let mut next_offset = rows
            .last()
            .map(|row| Offset::new(format!("{prefix}{},{}", row.time, row.id)));
        if !is_more {
            next_offset = match dice.percent(faults.offset_at_end) {
                true => next_offset.or_else(|| query.offset.clone()),
                false => None,
            };
        }
        if query.offset.is_some() && !rows.is_empty() && dice.percent(faults.stale_offset) {
            next_offset = query.offset.clone();
        }
        let mut raws: Vec<String> = rows.iter().map(|row| row.raw(now)).collect();
        if !raws.is_empty() && !is_v1 && dice.percent(faults.repeat_row) {
            raws.push(raws[raws.len() - 1].clone());
        }
        if dice.percent(faults.odd_row) {
            raws.insert(0, "\"odd\"".to_owned());
        }
        let date = now.div_euclid(1000) * 1000;
        Ok(Page {
            rows: raws.into_iter().map(RawRow::from).collect(),
            next_offset: next_offset.filter(|_| !is_v1),
            server_date_ms: (!dice.percent(faults.no_date)).then_some(date),
        })
    }
}

impl DuoLogs for FakeDuo {
    async fn page(&self, log: Log, query: &Query) -> Result<Page, DuoError> {
        let answer = self.answer(log, query);
        let slow = self.slow.load(Ordering::SeqCst);
        if slow > 0 {
            self.clock.sleep(slow).await;
        }
        answer
    }

    /// Whatever was answered, its head had the time.
    fn skew_ms(&self) -> Option<i64> {
        let is_asked = !self.asked.lock().unwrap().is_empty();
        is_asked.then(|| self.now() - self.clock.now_ms())
    }
}

#[derive(Debug, Clone)]
pub enum Entry {
    Event(String, EventRecord),
    Mark(Mark),
}

/// A journal in memory.
#[derive(Default)]
pub struct FakeJournal {
    pub entries: Mutex<Vec<Entry>>,
    pub cursors: Mutex<BTreeMap<String, CursorRow>>,
    ids: Mutex<BTreeSet<(String, String)>>,
    /// In percent: fails without writing, fails after writing.
    pub failing: Mutex<(i64, i64)>,
    /// Events in memory that wait for other logs.
    pub waiting: AtomicUsize,
    dice: Mutex<Option<Dice>>,
}

impl FakeJournal {
    pub fn new(seed: u64) -> Arc<Self> {
        Arc::new(FakeJournal {
            dice: Mutex::new(Some(Dice(seed))),
            ..FakeJournal::default()
        })
    }

    fn fails(&self, percent: i64) -> Result<(), AdmitError> {
        let is_failing = self
            .dice
            .lock()
            .unwrap()
            .as_mut()
            .is_some_and(|dice| dice.percent(percent));
        if is_failing {
            Err(AdmitError("disk full".into()))
        } else {
            Ok(())
        }
    }

    pub fn ids(&self, log: Log) -> Vec<String> {
        let entries = self.entries.lock().unwrap();
        let ids = entries.iter().filter_map(|entry| match entry {
            Entry::Event(of, event) if of == log.journal() => Some(event.id.to_string()),
            _ => None,
        });
        ids.collect()
    }

    /// The rows of a log, as they stand in the journal.
    pub fn rows(&self, log: &str) -> Vec<serde_json::Value> {
        let entries = self.entries.lock().unwrap();
        let rows = entries.iter().filter_map(|entry| match entry {
            Entry::Event(of, event) if of == log => serde_json::from_str(&event.raw).ok(),
            _ => None,
        });
        rows.collect()
    }

    /// A log's cursor.
    pub fn cursor_of(&self, log: Log) -> picket_collect::Cursor {
        picket_collect::Cursor::read(self.cursors.lock().unwrap().get(log.as_str())).unwrap()
    }

    pub fn marks(&self) -> Vec<Mark> {
        let entries = self.entries.lock().unwrap();
        entries
            .iter()
            .filter_map(|entry| {
                if let Entry::Mark(mark) = entry {
                    Some(mark.clone())
                } else {
                    None
                }
            })
            .collect()
    }
}

impl Admit for FakeJournal {
    fn read(&self, _log: Log, texts: Vec<RawRow>) -> Rows {
        let identify = |raw: &RawRow| {
            let row: serde_json::Value = serde_json::from_str(raw).ok()?;
            Some(Identity {
                id: row.get("id")?.as_str()?.into(),
                time: row.get("time")?.as_i64()?,
            })
        };
        Rows {
            identities: texts.iter().map(identify).collect(),
            texts,
            reading: None,
        }
    }

    fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    async fn cursor(&self, log: &str) -> Result<Option<CursorRow>, AdmitError> {
        self.fails(self.failing.lock().unwrap().0)?;
        Ok(self.cursors.lock().unwrap().get(log).cloned())
    }

    async fn admit(&self, intake: Intake) -> Result<Admitted, AdmitError> {
        let (before, after) = *self.failing.lock().unwrap();
        self.fails(before)?;
        let mut entries = self.entries.lock().unwrap();
        let mut ids = self.ids.lock().unwrap();
        let mut admitted = Admitted::default();
        for event in intake.events {
            if ids.insert((intake.log.to_string(), event.id.to_string())) {
                admitted.new += 1;
                entries.push(Entry::Event(intake.log.to_string(), event));
            } else {
                admitted.known += 1;
            }
        }
        entries.extend(intake.marks.into_iter().map(Entry::Mark));
        if let Some(cursor) = intake.cursor {
            self.cursors.lock().unwrap().insert(cursor.log.to_string(), cursor);
        }
        self.fails(after)?;
        Ok(admitted)
    }
}

/// All logs but the other form of one.
pub const LOGS: [Log; 6] = [
    Log::Authentication,
    Log::Activity,
    Log::Telephony,
    Log::Administrator,
    Log::OfflineEnrollment,
    Log::TrustMonitor,
];

pub fn settings() -> Settings {
    Settings {
        stagger: 0,
        ..Settings::new(&"127.0.0.1".parse().unwrap(), 120_000).unwrap()
    }
}

/// A collector under way.
pub struct Running {
    pub board: Arc<picket_collect::Board>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

pub fn start(logs: &[Log], settings: Settings, duo: &Arc<FakeDuo>, journal: &Arc<FakeJournal>) -> Running {
    start_as("acme", logs, settings, duo, journal)
}

pub fn start_as(
    tenant: &str,
    logs: &[Log],
    settings: Settings,
    duo: &Arc<FakeDuo>,
    journal: &Arc<FakeJournal>,
) -> Running {
    let collector = Collector::new(tenant, logs, settings, duo.clone(), journal.clone(), duo.clock.clone());
    let stop = CancellationToken::new();
    let board = collector.board();
    Running {
        board,
        stop: stop.clone(),
        task: tokio::spawn(collector.run(stop)),
    }
}

impl Running {
    /// Breaks it off where it stands.
    pub async fn kill(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}
