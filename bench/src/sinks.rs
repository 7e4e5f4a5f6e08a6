//! A sink that is down for six hours at 5,000 alerts a second, and what it costs.
//!
//! A courier, as the daemon has it, over the SQLite store on disk; its sink is a syslog receiver over TCP with octet counting. For
//! [`OFFERED`] seconds of the wall clock 5,000 alerts of 3 kB are committed each second, of eight tenants in turn, while the clock
//! that the courier is given runs through six hours: it is 180 times as fast. So failures, waits and what is written down of them
//! are those of six hours, and the alerts are those of two minutes: those of six hours would be 108 million, or 350 GB of disk. What is in
//! memory does not depend on how many there are, which is the point of the figures. Nobody listens on the receiver's
//! port; then somebody does, and the backlog is drained while nothing more is offered. Beside it a second courier has a sink that
//! takes everything, as one whose receiver is well.
//!
//! Summaries in place of floods (`alerts_per_hour`) are off: with them 800 of these alerts would be sent in an hour.
//!
//! - `offered_alerts_per_s`: by the wall clock; below 5,000 the disk was slower than that. `down_alerts`: how many waited.
//!   `down_hours`: by the courier's clock. `attempts`: how often it tried in vain.
//! - `resident_mb_before`: of this whole process, after a tenth of the alerts, when caches are filled. `resident_mb_after`: when
//!   all wait. `resident_mb_most`: the greatest of a look every 100 ms, the draining included.
//! - `store_bytes_per_alert`: on disk, when all wait.
//! - `drain_alerts_per_s`: from the first that the receiver reads to the last.
//! - `out_of_order`, `missing`: alerts of a tenant that came before one that was raised earlier; that did not come. The group
//!   fails unless both are 0. `repeats`: that came twice.
//! - `other_sink_behind`: alerts that the second sink had not got at the worst of looks every 100 ms.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use picket_contract::Severity;
use picket_sink::{Courier, Delivery, Framing, Message, Sink, SyslogSettings, SyslogSink, Transport};
use picket_store::{AlertRow, HOUR_MS, OutboxRow, SqliteStore, Store, Transaction, Wake};

use crate::clockwork::say;
use crate::figure::Printer;

/// Alerts a second.
const RATE: u64 = 5_000;
/// Of one commit: ten in a second.
const AT_ONCE: u64 = 500;
/// Seconds of the wall clock.
const OFFERED: u64 = 120;
/// Seconds of the courier's clock in one of the wall's: six hours in all.
const FASTER: u64 = 6 * 3600 / OFFERED;
const TENANTS: u64 = 8;
/// An alert's JSON, bytes: what a stock rule's comes to.
const BYTES: usize = 3_000;
/// When it begins, wall clock, ms.
const BEGINS: i64 = 1_795_003_200_000;
const LOOK: Duration = Duration::from_millis(100);
/// The draining may take so long.
const PATIENCE: Duration = Duration::from_secs(300);

/// A clock that runs faster.
#[derive(Clone, Copy)]
struct FastClock(Instant);

impl FastClock {
    fn now(self) -> i64 {
        BEGINS.saturating_add(millis(self.0.elapsed()).saturating_mul(i64::try_from(FASTER).unwrap_or(1)))
    }

    /// How long until then, by the wall clock.
    fn until(self, then: i64) -> Duration {
        Duration::from_millis(u64::try_from(then.saturating_sub(self.now())).unwrap_or(0) / FASTER)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Measures the group.
///
/// # Errors
/// The store or a port cannot be had; alerts are missing or out of order.
pub(crate) fn run(printer: &Printer) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(directory.path())?);
    // A port that nobody listens on: taken, and given up.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let clock = FastClock(Instant::now());
    let wakes: Arc<Mutex<Vec<SyncSender<()>>>> = Arc::default();
    let woken = wakes.clone();
    store.on_alerts(Wake(Arc::new(move || {
        let wakes = woken.lock().unwrap_or_else(PoisonError::into_inner);
        // Who has been woken already needs no second word.
        for wake in &*wakes {
            let _ = wake.try_send(());
        }
    })));
    let begin = |name: &'static str, sink: Box<dyn Sink>| -> anyhow::Result<Carrier> {
        let (wake, woken) = sync_channel(1);
        wakes.lock().unwrap_or_else(PoisonError::into_inner).push(wake);
        Carrier::begin(name, store.clone(), sink, clock, woken)
    };
    let down = begin("siem", Box::new(syslog(address)))?;
    let counted: Arc<AtomicU64> = Arc::default();
    let other = begin("other", Box::new(Counting(counted.clone())))?;

    say(&format!(
        "{RATE} alerts a second for {OFFERED} s, six hours by the clock of a sink that is down"
    ));
    let memory = Memory::watch(counted.clone());
    let offered = offer(&*store, &memory)?;
    let took = clock.0.elapsed().as_secs_f64();
    let hours = (clock.now() - BEGINS) as f64 / HOUR_MS as f64;
    let (after, attempts) = (resident()?, down.failed.load(Ordering::Relaxed));
    let disk = size(directory.path())?;
    printer.print("sinks/offered_alerts_per_s", "alerts/s", offered as f64 / took);
    printer.print("sinks/down_alerts", "alerts", offered as f64);
    printer.print("sinks/down_hours", "h", hours);
    printer.print("sinks/attempts", "", attempts as f64);
    printer.print(
        "sinks/resident_mb_before",
        "MB",
        megabytes(memory.before.load(Ordering::Relaxed)),
    );
    printer.print("sinks/resident_mb_after", "MB", megabytes(after));
    printer.print("sinks/store_bytes_per_alert", "B", disk as f64 / offered as f64);

    say("the receiver is there again");
    let read = receive(address, offered)?;
    printer.print("sinks/drain_alerts_per_s", "alerts/s", read.rate);
    printer.print(
        "sinks/resident_mb_most",
        "MB",
        megabytes(memory.most.load(Ordering::Relaxed)),
    );
    printer.print("sinks/out_of_order", "alerts", read.out_of_order as f64);
    printer.print("sinks/missing", "alerts", offered.saturating_sub(read.known) as f64);
    printer.print("sinks/repeats", "alerts", read.repeats as f64);
    printer.print(
        "sinks/other_sink_behind",
        "alerts",
        memory.behind.load(Ordering::Relaxed) as f64,
    );
    for carrier in [down, other] {
        carrier.end()?;
    }
    ensure!(
        read.out_of_order == 0 && read.known == offered,
        "{} alerts came out of order, {} did not come",
        read.out_of_order,
        offered.saturating_sub(read.known)
    );
    Ok(())
}

fn syslog(address: SocketAddr) -> SyslogSink {
    SyslogSink::new(SyslogSettings {
        address: address.to_string(),
        transport: Transport::Tcp,
        framing: Framing::OctetCounting,
        message: Message {
            facility: 10,
            hostname: "picket".to_owned(),
            cef: false,
        },
        timeout: Duration::from_secs(10),
    })
}

/// A sink that takes everything.
struct Counting(Arc<AtomicU64>);

impl Sink for Counting {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        self.0.fetch_add(rows.len() as u64, Ordering::Relaxed);
        Delivery::taken(rows.len())
    }
}

/// A courier on a thread of its own, as the daemon has it.
struct Carrier {
    thread: JoinHandle<anyhow::Result<()>>,
    ends: Arc<AtomicBool>,
    failed: Arc<AtomicU64>,
}

impl Carrier {
    fn begin(
        name: &'static str,
        store: Arc<dyn Store>,
        mut sink: Box<dyn Sink>,
        clock: FastClock,
        woken: Receiver<()>,
    ) -> anyhow::Result<Self> {
        let mut courier = Courier::open(&*store, name, true)?;
        let (ends, failed) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (ending, failing) = (ends.clone(), failed.clone());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let step = courier.step(&*store, &mut sink, &|_| true, clock.now())?;
                failing.fetch_add(u64::from(step.trouble.is_some()), Ordering::Relaxed);
                if !step.more {
                    let pause = step
                        .next
                        .map_or(LOOK, |next| clock.until(next).max(Duration::from_millis(1)));
                    // Woken, or in time: all the same.
                    let _ = woken.recv_timeout(pause.min(LOOK));
                }
            }
            Ok(())
        })?;
        Ok(Carrier { thread, ends, failed })
    }

    fn end(self) -> anyhow::Result<()> {
        self.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("a courier panicked"))?
    }
}

/// Looks at this process's memory until it is dropped.
struct Memory {
    before: AtomicU64,
    most: Arc<AtomicU64>,
    /// Alerts that are committed.
    committed: Arc<AtomicU64>,
    behind: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
}

impl Memory {
    fn watch(counted: Arc<AtomicU64>) -> Self {
        let memory = Memory {
            before: AtomicU64::new(0),
            most: Arc::default(),
            committed: Arc::default(),
            behind: Arc::default(),
            ends: Arc::default(),
        };
        let (most, committed) = (memory.most.clone(), memory.committed.clone());
        let (behind, ends) = (memory.behind.clone(), memory.ends.clone());
        std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                most.fetch_max(resident().unwrap_or(0), Ordering::Relaxed);
                let late = committed
                    .load(Ordering::Relaxed)
                    .saturating_sub(counted.load(Ordering::Relaxed));
                behind.fetch_max(late, Ordering::Relaxed);
                std::thread::sleep(LOOK);
            }
        });
        memory
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

/// Commits alerts at the rate; how many there were.
fn offer(store: &dyn Store, memory: &Memory) -> anyhow::Result<u64> {
    let began = Instant::now();
    let all = RATE * OFFERED;
    let filler = "0123456789abcdef".repeat(BYTES / 16);
    for (commit, first) in (0_u64..).zip((0..all).step_by(usize::try_from(AT_ONCE)?)) {
        let due = Duration::from_millis(commit * 1000 * AT_ONCE / RATE);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let alerts = (first..first + AT_ONCE).map(|number| alert(number, &filler)).collect();
        let transaction = Transaction {
            alerts,
            ..Transaction::default()
        };
        store.transact(&format!("tenant-{}", commit % TENANTS), transaction)?;
        memory.committed.store(first + AT_ONCE, Ordering::Relaxed);
        if first + AT_ONCE == all / 10 {
            memory.before.store(resident()?, Ordering::Relaxed);
        }
    }
    Ok(all)
}

fn alert(number: u64, filler: &str) -> AlertRow {
    let id = format!("al_{number:016}");
    let raised = BEGINS + i64::try_from(number / RATE * FASTER * 1000).unwrap_or_default();
    AlertRow {
        json: format!(r#"{{"id":"{id}","filler":"{filler}"}}"#).into(),
        id: id.into(),
        rule: "mfa-fatigue-denied-burst".into(),
        severity: Severity::High,
        time: raised,
        raised,
        dedup_key: "".into(),
        dedup_until: raised,
        about: "ada".into(),
        repeats: 0,
        last_repeat: None,
        historic: false,
        shadow: false,
        suppressed: None,
        incident: None,
    }
}

/// What the receiver read.
#[derive(Default)]
struct Read {
    /// Different alerts.
    known: u64,
    repeats: u64,
    out_of_order: u64,
    /// Alerts a second.
    rate: f64,
}

/// Listens until so many different alerts have come.
fn receive(address: SocketAddr, all: u64) -> anyhow::Result<Read> {
    let listener = TcpListener::bind(address).context("the receiver's port was taken by somebody else meanwhile")?;
    let (mut read, mut last) = (Read::default(), BTreeMap::<String, u64>::new());
    let mut seen = vec![false; usize::try_from(all)?];
    let mut first: Option<Instant> = None;
    let began = Instant::now();
    while read.known < all {
        ensure!(began.elapsed() < PATIENCE, "{} of {all} came in time", read.known);
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::with_capacity(1 << 20, stream);
        while read.known < all
            && let Some(message) = frame(&mut reader)?
        {
            first.get_or_insert_with(Instant::now);
            let parameter = |name: &str| {
                let (_, rest) = message.split_once(name)?;
                rest.split('"').next().map(str::to_owned)
            };
            let tenant = parameter("tenant=\"").context("a message without its tenant")?;
            let id = parameter("alert_id=\"al_").context("a message without its id")?;
            let number: u64 = id.parse()?;
            let place = seen
                .get_mut(usize::try_from(number)?)
                .context("an alert that nobody raised")?;
            if std::mem::replace(place, true) {
                read.repeats += 1;
                continue;
            }
            read.known += 1;
            let before = last.insert(tenant, number);
            read.out_of_order += u64::from(before.is_some_and(|before| before > number));
        }
    }
    let took = first.map_or(f64::INFINITY, |first| first.elapsed().as_secs_f64());
    read.rate = read.known as f64 / took;
    Ok(read)
}

/// One message with its length before it (RFC 6587 3.4.1). None: the connection has ended.
fn frame(reader: &mut BufReader<TcpStream>) -> anyhow::Result<Option<String>> {
    let mut length = Vec::new();
    if reader.read_until(b' ', &mut length)? == 0 {
        return Ok(None);
    }
    let length: usize = std::str::from_utf8(&length)?.trim().parse()?;
    let mut message = vec![0; length];
    reader.read_exact(&mut message)?;
    Ok(Some(String::from_utf8(message)?))
}

/// Resident memory of this process, bytes.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kilobytes: u64 = kilobytes
        .context("this system does not say how much memory there is")?
        .trim()
        .parse()?;
    Ok(kilobytes << 10)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Of all files of a directory, bytes.
fn size(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let metadata = entry?.metadata()?;
        bytes += if metadata.is_file() { metadata.len() } else { 0 };
    }
    Ok(bytes)
}
