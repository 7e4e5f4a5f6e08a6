//! The inventory's task against a Duo, a clock and a store of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use picket_collect::inventory::{
    DuoInventory, Keep, Listeners, Part, Stock, StockBoard, StockSettings, close_stock, log_of,
};
use picket_collect::{AdmitError, Budget, Clock, Settings, Standing};
use picket_contract::Mark;
use picket_duo::{DuoError, Inventory, InventoryPage};
use picket_store::{CursorRow, InventoryChange, InventoryRow};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

const NOW: i64 = 1_795_330_800_000;
const HOUR: i64 = 3_600_000;

/// Time passes only while somebody sleeps; when it is over, everything ends.
struct TestClock {
    now: AtomicI64,
    end: i64,
    over: CancellationToken,
}

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    async fn sleep(&self, ms: i64) {
        let now = self.now.fetch_add(ms.max(1), Ordering::SeqCst) + ms;
        if now >= self.end {
            self.over.cancel();
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
    }
}

type Answer = Result<InventoryPage, DuoError>;
type Answers = Box<dyn Fn(Inventory, u64, i64) -> Answer + Send + Sync>;

struct Duo {
    clock: Arc<TestClock>,
    answers: Answers,
    calls: Mutex<Vec<(Inventory, u64, i64)>>,
}

impl DuoInventory for Duo {
    async fn inventory(&self, kind: Inventory, offset: u64) -> Answer {
        let now = self.clock.now_ms() - NOW;
        self.calls.lock().unwrap().push((kind, offset, now));
        (self.answers)(kind, offset, now)
    }
}

fn page(rows: &[String], next: Option<u64>, total: Option<u64>) -> InventoryPage {
    InventoryPage {
        rows: rows
            .iter()
            .map(|row| RawValue::from_string(row.clone()).unwrap())
            .collect(),
        next_offset: next,
        total,
        server_date_ms: None,
    }
}

/// A list of objects, in pages of two.
fn paged(rows: &[String], offset: u64) -> Answer {
    let from = usize::try_from(offset).unwrap().min(rows.len());
    let to = (from + 2).min(rows.len());
    let next = (to < rows.len()).then_some(to as u64);
    Ok(page(&rows[from..to], next, Some(rows.len() as u64)))
}

fn users(ids: &[u8], status: &str) -> Vec<String> {
    let user = |id: &u8| format!(r#"{{"user_id":"DU{id}","username":"u{id}","status":"{status}"}}"#);
    ids.iter().map(user).collect()
}

#[derive(Default)]
struct Kept {
    stock: Mutex<BTreeMap<(String, String), InventoryRow>>,
    cursors: Mutex<BTreeMap<String, CursorRow>>,
    parts: Mutex<Vec<Part>>,
    changed: Mutex<Vec<Inventory>>,
    keeps: AtomicUsize,
    /// The keep of this number fails; true: although it is written.
    fail: Option<(usize, bool)>,
}

impl Keep for Kept {
    async fn stock(&self, kind: Inventory) -> Result<Vec<InventoryRow>, AdmitError> {
        let stock = self.stock.lock().unwrap();
        Ok(stock
            .values()
            .filter(|row| *row.kind == *kind.as_str())
            .cloned()
            .collect())
    }

    async fn mark_of(&self, name: &str) -> Result<Option<CursorRow>, AdmitError> {
        Ok(self.cursors.lock().unwrap().get(name).cloned())
    }

    async fn keep(&self, part: Part) -> Result<(), AdmitError> {
        let number = self.keeps.fetch_add(1, Ordering::SeqCst);
        let fails = self.fail.filter(|(at, _)| *at == number);
        if fails.is_none_or(|(_, written)| written) {
            let mut stock = self.stock.lock().unwrap();
            for change in part.inventory.clone() {
                match change {
                    InventoryChange::Put(row) => stock.insert((row.kind.to_string(), row.id.to_string()), row),
                    InventoryChange::Delete { kind, id } => stock.remove(&(kind.to_string(), id.to_string())),
                };
            }
            if let Some(cursor) = &part.cursor {
                self.cursors
                    .lock()
                    .unwrap()
                    .insert(cursor.log.to_string(), cursor.clone());
            }
            self.parts.lock().unwrap().push(part);
        }
        if fails.is_some() {
            return Err(AdmitError("the disk went away".to_owned()));
        }
        Ok(())
    }

    async fn changed(&self, kind: Inventory) {
        self.changed.lock().unwrap().push(kind);
    }
}

impl Kept {
    /// (change, object) of every row of a log, in order.
    fn told(&self, log: &str) -> Vec<(String, String)> {
        let parts = self.parts.lock().unwrap();
        let rows = parts
            .iter()
            .filter(|part| *part.log == *log)
            .flat_map(|part| &part.rows);
        let told = rows.map(|row| {
            let row: Value = serde_json::from_str(row).unwrap();
            let of = |name: &str| row[name].as_str().unwrap().to_owned();
            (of("change"), of("object"))
        });
        told.collect()
    }

    fn marks(&self) -> Vec<Mark> {
        self.parts
            .lock()
            .unwrap()
            .iter()
            .flat_map(|part| part.marks.clone())
            .collect()
    }
}

struct Site {
    duo: Arc<Duo>,
    kept: Arc<Kept>,
    board: Arc<StockBoard>,
}

fn told(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(change, id)| ((*change).to_owned(), (*id).to_owned()))
        .collect()
}

/// Runs for so many hours, over what was kept before.
async fn run(kinds: &[Inventory], hours: i64, kept: Arc<Kept>, listens: &[&str], answers: Answers) -> Site {
    let over = CancellationToken::new();
    let clock = Arc::new(TestClock {
        now: AtomicI64::new(NOW),
        end: NOW + hours * HOUR,
        over: over.clone(),
    });
    let duo = Arc::new(Duo {
        clock: clock.clone(),
        answers,
        calls: Mutex::default(),
    });
    let polling = Settings::new(&"api-00000000.duosecurity.com".parse().unwrap(), 120_000).unwrap();
    let settings = StockSettings {
        kinds: kinds.to_vec(),
        ..StockSettings::new(&polling)
    };
    let budget = Arc::new(Budget::new(&polling));
    let listeners = Listeners::default();
    listeners.set(listens.iter().map(|log| (*log).to_owned()));
    let stock = Stock::new("acme", settings, duo.clone(), kept.clone(), clock, budget).heard_by(listeners);
    let board = stock.board();
    stock.run(over).await;
    Site { duo, kept, board }
}

fn forbidden() -> DuoError {
    DuoError::Forbidden {
        at: "api-00000000.duosecurity.com/admin/v1/admins".to_owned(),
        code: 40301,
        message: "Access forbidden".to_owned(),
    }
}

#[tokio::test]
async fn the_first_snapshot_tells_everything_and_the_next_what_changed() {
    let answers: Answers = Box::new(|_, offset, now| {
        let second = now > HOUR;
        paged(&users(&[1, 2, 3], if second { "bypass" } else { "active" }), offset)
    });
    let site = run(&[Inventory::Users], 11, Arc::default(), &[], answers).await;
    let first = [("first", "DU1"), ("first", "DU2"), ("first", "DU3")];
    let then = [("updated", "DU1"), ("updated", "DU2"), ("updated", "DU3")];
    assert_eq!(site.kept.told("user"), told(&[first, then].concat()));
    assert_eq!(*site.kept.changed.lock().unwrap(), [Inventory::Users; 2]);
    assert_eq!(site.duo.calls.lock().unwrap().len(), 4, "two pages every six hours");
    let mut marks = site.kept.marks();
    marks.retain(|mark| matches!(mark, Mark::Complete { .. }));
    assert_eq!(
        marks.len(),
        2,
        "one with each snapshot, and none that nobody reads: {marks:?}"
    );
    let health = &site.board.status()[0];
    assert_eq!(
        (health.standing, health.objects, health.changes),
        (Standing::Working, Some(3), 6)
    );

    // A restart goes on: nothing is first again, and nothing is asked for before its time.
    let restarted = run(
        &[Inventory::Users],
        11,
        site.kept.clone(),
        &[],
        Box::new(|_, offset, _| paged(&users(&[1, 2, 3, 4], "bypass"), offset)),
    )
    .await;
    assert_eq!(site.kept.told("user").last(), told(&[("created", "DU4")]).last());
    assert!(restarted.duo.calls.lock().unwrap()[0].2 > 0);
}

#[tokio::test]
async fn rows_that_move_between_pages_delete_nobody() {
    // While the second snapshot is walked, DU1 goes: DU3 slips from the second page to the first, which was read already.
    let moved = AtomicUsize::new(0);
    let answers: Answers = Box::new(move |_, offset, now| {
        if now < HOUR || (offset == 0 && moved.fetch_add(1, Ordering::SeqCst) == 0) {
            return paged(&users(&[1, 2, 3, 4], "active"), offset);
        }
        paged(&users(&[2, 3, 4], "active"), offset)
    });
    let site = run(&[Inventory::Users], 13, Arc::default(), &[], answers).await;
    let rows = site.kept.told("user");
    assert_eq!(rows[4..], told(&[("deleted", "DU1")]));
}

#[tokio::test]
async fn a_deletion_is_believed_when_it_is_seen_twice() {
    // DU3 is missing once and comes back; DU1 is missing for good.
    let answers: Answers = Box::new(|_, offset, now| match now {
        ..HOUR => paged(&users(&[1, 2, 3], "active"), offset),
        _ if now < 6 * HOUR + 60_000 => paged(&users(&[2], "active"), offset),
        _ => paged(&users(&[2, 3], "active"), offset),
    });
    let site = run(&[Inventory::Users], 8, Arc::default(), &[], answers).await;
    assert_eq!(site.kept.told("user")[3..], told(&[("deleted", "DU1")]));
    let times: Vec<i64> = site.duo.calls.lock().unwrap().iter().map(|(_, _, now)| *now).collect();
    let (second, third) = (times[2], times[3]);
    assert!((5 * HOUR..=6 * HOUR + 150_000).contains(&second), "{times:?}");
    assert!(third - second <= 15 * 60_000, "the second look comes soon: {times:?}");
}

#[tokio::test]
async fn a_user_who_was_to_be_deleted_is_gone_at_once() {
    let answers: Answers = Box::new(|_, offset, now| match now {
        ..HOUR => paged(&users(&[1], "pending deletion"), offset),
        _ => paged(&[], offset),
    });
    let site = run(&[Inventory::Users], 7, Arc::default(), &[], answers).await;
    assert_eq!(site.kept.told("user"), told(&[("first", "DU1"), ("deleted", "DU1")]));
}

#[tokio::test]
async fn a_kind_that_duo_forbids_is_closed_alone_and_opens_when_it_is_granted() {
    let answers: Answers = Box::new(|kind, offset, now| match kind {
        Inventory::Admins if now < 3 * HOUR => Err(forbidden()),
        Inventory::Admins => Ok(page(
            &[r#"{"admin_id":"DE1","name":"Harry"}"#.to_owned()],
            None,
            Some(1),
        )),
        _ => paged(&users(&[1], "active"), offset),
    });
    let kinds = [Inventory::Admins, Inventory::Users];
    let closed = run(&kinds, 2, Arc::default(), &[], answers).await;
    assert_eq!(closed.kept.told("user"), told(&[("first", "DU1")]));
    let close = Mark::Closed {
        log: "admin_account".into(),
    };
    let closes = closed.kept.marks().iter().filter(|mark| **mark == close).count();
    assert_eq!(closes, 1, "said once");
    let health = closed.board.status();
    let admins = health.iter().find(|health| health.kind == Inventory::Admins).unwrap();
    assert_eq!(admins.standing, Standing::Closed);
    let trouble = admins.last_error.as_ref().unwrap();
    assert!(
        trouble.is_configuration && trouble.text.contains("Grant administrators"),
        "{trouble:?}"
    );
    let asked = closed
        .duo
        .calls
        .lock()
        .unwrap()
        .iter()
        .filter(|call| call.0 == Inventory::Admins)
        .count();
    assert_eq!(asked, 2, "and once an hour");

    let answers: Answers = Box::new(|kind, offset, _| match kind {
        Inventory::Admins => Ok(page(
            &[r#"{"admin_id":"DE1","name":"Harry"}"#.to_owned()],
            None,
            Some(1),
        )),
        _ => paged(&users(&[1], "active"), offset),
    });
    let open = run(&kinds, 2, closed.kept.clone(), &[], answers).await;
    assert_eq!(open.kept.told("admin_account"), told(&[("first", "DE1")]));
    let parts = open.kept.parts.lock().unwrap();
    let opened = parts
        .iter()
        .position(|part| part.marks.iter().any(|mark| matches!(mark, Mark::Open { .. })));
    let rows = parts
        .iter()
        .position(|part| &*part.log == "admin_account" && !part.rows.is_empty());
    assert!(opened.unwrap() < rows.unwrap());
}

#[tokio::test]
async fn kinds_that_are_not_read_are_closed_once() {
    let kept = Arc::new(Kept::default());
    close_stock(&*kept, &[]).await.unwrap();
    close_stock(&*kept, &[]).await.unwrap();
    let logs = Inventory::ALL.into_iter().filter_map(log_of).count();
    assert_eq!((kept.marks().len(), logs), (13, 13));
    assert!(kept.marks().iter().all(|mark| matches!(mark, Mark::Closed { .. })));
    assert_eq!(kept.parts.lock().unwrap().len(), 1, "together");

    // Read after all, the log opens before its rows; and closes again when it is read no more.
    let answers: Answers = Box::new(|_, offset, _| paged(&users(&[1], "active"), offset));
    let read = run(&[Inventory::Users], 1, kept.clone(), &[], answers).await;
    let open = Mark::Open { log: "user".into() };
    assert_eq!(read.kept.marks().iter().filter(|mark| **mark == open).count(), 1);
    assert_eq!(kept.told("user"), told(&[("first", "DU1")]));
    close_stock(&*kept, &[]).await.unwrap();
    close_stock(&*kept, &[]).await.unwrap();
    let close = Mark::Closed { log: "user".into() };
    assert_eq!(kept.marks().iter().filter(|mark| **mark == close).count(), 2);
}

#[tokio::test]
async fn a_log_that_is_listened_to_is_complete_up_to_now() {
    let answers: Answers = Box::new(|kind, offset, _| match kind {
        Inventory::Phones => Err(DuoError::Server {
            at: "x".to_owned(),
            status: 500,
            message: String::new(),
        }),
        _ => paged(&users(&[1], "active"), offset),
    });
    let kinds = [Inventory::Users, Inventory::Phones];
    let site = run(&kinds, 7, Arc::default(), &["user", "phone"], answers).await;
    let of = |log: &str| -> Vec<i64> {
        let marks = site.kept.marks();
        let complete = marks.iter().filter_map(|mark| match mark {
            Mark::Complete { log: of, to } | Mark::Stalled { log: of, to } if **of == *log => Some(*to - NOW),
            _ => None,
        });
        complete.collect()
    };
    let users = of("user");
    assert!(
        users.is_sorted() && users.windows(2).all(|pair| pair[1] - pair[0] <= 5 * 60_000),
        "{users:?}"
    );
    assert!(*users.last().unwrap() > 7 * HOUR - 5 * 60_000);
    let phones = of("phone");
    assert!(
        (480_000..=720_000).contains(&phones[0]),
        "nobody waits for ever for a first snapshot: {phones:?}"
    );
    assert!(
        site.kept
            .marks()
            .iter()
            .all(|mark| !matches!(mark, Mark::Complete { log, .. } if &**log == "phone"))
    );
    // What a snapshot tells lies behind every mark that was written before it.
    let mut marked = i64::MIN;
    for part in site.kept.parts.lock().unwrap().iter() {
        for row in &part.rows {
            let row: Value = serde_json::from_str(row).unwrap();
            let at: i64 = row["id"].as_str().unwrap().split_once('@').unwrap().1.parse().unwrap();
            assert!(at > marked, "{row}");
        }
        for mark in &part.marks {
            if let Mark::Complete { log, to } = mark
                && &**log == "user"
            {
                marked = marked.max(*to);
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_written_later_and_told_once() {
    for written in [false, true] {
        // Closed logs, then the snapshots: three parts and one.
        for at in 0..6 {
            let kept = Arc::new(Kept {
                fail: Some((at, written)),
                ..Kept::default()
            });
            let all: Answers = Box::new(|_, _, now| {
                let user = |id: u32| format!(r#"{{"user_id":"DU{id}","status":"active"}}"#);
                let rows: Vec<String> = (0..if now > HOUR { 1300 } else { 1200 }).map(user).collect();
                Ok(page(&rows, None, Some(rows.len() as u64)))
            });
            let site = run(&[Inventory::Users], 13, kept, &[], all).await;
            let rows = site.kept.told("user");
            assert_eq!(
                rows.iter().filter(|(change, _)| change == "first").count(),
                1200,
                "{at} {written}"
            );
            assert_eq!(
                rows.iter().filter(|(change, _)| change == "created").count(),
                100,
                "{at} {written}"
            );
            let objects: std::collections::BTreeSet<&str> = rows.iter().map(|(_, object)| object.as_str()).collect();
            assert_eq!(
                (objects.len(), rows.len()),
                (1300, 1300),
                "each is told once: {at} {written}"
            );
            assert_eq!(site.kept.stock.lock().unwrap().len(), 1300);
        }
    }
}
