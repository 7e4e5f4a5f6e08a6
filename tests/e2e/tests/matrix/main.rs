//! Every fault at every log: nothing is lost, nothing is there twice, the other logs and the other accounts go on, and `picket
//! status` says what to do next.
//!
//! One simulator, one daemon, one account for each [`knobs::Knob`] and one that nothing befalls, all with the same rows. In each
//! phase all knobs are turned at one log, which has some pages of rows just then; Duo's clock, which else stands, goes on; and
//! when everybody else has read up to it and all errors are told, the knobs are turned back. So time decides nothing here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking, in their helpers as well, and this one prints what it found"
)]

mod books;
mod content;
mod knobs;

use std::time::{Duration, Instant};

use content::{LATE, LOGS, Log, MINUTE, NOON, account, begin, full};
use jiff::Timestamp;
use knobs::{KNOBS, Knob};
use picket_e2e::{Duo, Site};
use serde_json::{Value, json};

/// The account that nothing befalls.
const QUIET: &str = "undisturbed";
/// How long a step may take on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Seconds. Pauses shrink with it.
const POLL_INTERVAL: f64 = 1.0;
/// What is read again, s: what is late at most, and as much as a daemon may take Duo's clock to be ahead of what it is. That clock
/// stands here and the daemon's own goes on: on a slow machine it reads on some seconds after it heard last what time it is.
const OVERLAP: i64 = LATE / 1000 + 40;
/// What a log may be behind Duo's clock and yet be level, ms: Duo's two minutes, and what an answer was under way.
const LEVEL: i64 = 125_000;

/// The status of every log of every account.
struct Look(Vec<Value>);

impl Look {
    fn at(site: &Site) -> Self {
        let status = site.ndjson(&["status"]).remove(0);
        Look(status["tenants"].as_array().cloned().unwrap_or_default())
    }

    fn log(&self, tenant: &str, log: &str) -> &Value {
        let tenant = self.0.iter().find(|of| of["id"] == tenant).expect("the tenant runs");
        let logs = tenant["logs"].as_array().unwrap();
        logs.iter().find(|of| of["log"] == log).expect("every log is shown")
    }

    /// Whether live polling has come up to Duo's clock.
    fn is_level(&self, tenant: &str, log: &str, clock: i64) -> bool {
        let log = self.log(tenant, log);
        let to = log["complete_to"].as_i64().max(log["live_to"].as_i64());
        to.is_some_and(|to| to >= clock - LEVEL)
    }

    /// The log's last error, if it is not older than this (ms by our clock).
    fn error(&self, tenant: &str, log: &str, since: i64) -> Option<String> {
        let error = &self.log(tenant, log)["last_error"];
        let is_new = error["at"].as_i64().is_some_and(|at| at >= since);
        is_new.then(|| error["text"].as_str().unwrap().to_owned())
    }
}

/// What became of the knobs at one log.
struct Column {
    log: Log,
    /// By knob: what it came to.
    cells: Vec<String>,
    wrong: Vec<String>,
}

struct Matrix {
    site: Site,
    columns: Vec<Column>,
    wrong: Vec<String>,
    clock: i64,
}

impl Matrix {
    /// Sets Duo's clock and the faults in one go.
    fn go(&mut self, to: i64, faults: Vec<Value>) {
        self.clock = to;
        let now = Timestamp::from_millisecond(to).unwrap().to_string();
        self.site.duo.tell(&json!({"now": now, "faults": faults}));
    }

    /// Looks until nothing is missing, or for too long; then what is missing is wrong.
    fn until(&mut self, what: &str, missing: impl Fn(&Look, i64) -> Vec<String>) {
        let began = Instant::now();
        loop {
            let missing = missing(&Look::at(&self.site), self.clock);
            if missing.is_empty() {
                break;
            }
            if began.elapsed() > PATIENCE {
                println!("{what}: {missing:#?}\n{}", self.site.log());
                self.wrong
                    .extend(missing.into_iter().map(|missing| format!("{what}: {missing}")));
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("{:>6.1} s  {what}", began.elapsed().as_secs_f64());
    }
}

fn tenants() -> impl Iterator<Item = (&'static str, Option<&'static Knob>)> {
    KNOBS.iter().map(|knob| (knob.name, Some(knob))).chain([(QUIET, None)])
}

/// Which logs are collected in a phase.
fn collected(phase: usize) -> Vec<Log> {
    let is_old = phase == LOGS.len() - 1;
    let is_in = |log: &&Log| log.journal != "telephony" || (log.name == "telephony_v1") == is_old;
    LOGS.iter().filter(is_in).copied().collect()
}

fn configure(site: &Site, phase: usize) {
    let logs: Vec<&str> = collected(phase).iter().map(|log| log.collect).collect();
    let version = if phase == LOGS.len() - 1 { 1 } else { 2 };
    for (name, knob) in tenants() {
        let (ikey, skey) = site.duo.keys(name);
        site.secret_file(&format!("{name}.secret"), skey);
        let text = format!(
            "source:\n  type: duo\n  api_hostname: \"{host}\"\n  integration_key: {ikey}\n  secret_key_file: ./{name}.secret\n  \
             ca_file: ./ca.pem\n  poll_interval: {POLL_INTERVAL}\n  start: 1h\n  overlap: {OVERLAP}s\n  telephony_version: {version}\n  timeout: {timeout}\n  \
             collect: [{logs}]\n",
            host = site.duo.host(),
            timeout = knob.map_or("30s", Knob::timeout),
            logs = logs.join(", "),
        );
        site.write(&format!("tenants.d/{name}.yaml"), &text);
    }
}

/// Logs that have not come up to Duo's clock.
fn behind(look: &Look, clock: i64, logs: &[Log], but: impl Fn(&Log, Option<&Knob>) -> bool) -> Vec<String> {
    let mut missing = Vec::new();
    for (tenant, knob) in tenants() {
        for log in logs.iter().filter(|log| !but(log, knob)) {
            if !look.is_level(tenant, log.name, clock) {
                missing.push(format!(
                    "{tenant}: {} is behind: {}",
                    log.name,
                    look.log(tenant, log.name)
                ));
            }
        }
    }
    missing
}

/// Turns all knobs at one log and back again. Who was struck may be catching up still when the next phase begins.
fn run_phase(matrix: &mut Matrix, phase: usize) {
    let (log, logs) = (LOGS[phase], collected(phase));
    let since = Timestamp::now().as_millisecond();
    let faults: Vec<Value> = KNOBS.iter().map(|knob| knob.fault(&log)).collect();
    let is_struck = |of: &Log, knob: Option<&Knob>| of.name == log.name && knob.is_some_and(|knob| knob.is_error(of));
    let others = |look: &Look, clock| behind(look, clock, &logs, is_struck);

    matrix.go(full(phase), faults);
    matrix.until(
        &format!("{}: errors are told, others go on", log.name),
        |look, clock| {
            let mut missing = others(look, clock);
            for knob in KNOBS.iter().filter(|knob| knob.is_error(&log)) {
                let said = look.error(knob.name, log.name, since);
                let wanted = knob.says(&log).into_iter();
                let unsaid = wanted.filter(|words| said.as_ref().is_none_or(|said| !said.contains(words)));
                missing.extend(unsaid.map(|words| format!("{}: nothing of {words:?} in {said:?}", knob.name)));
            }
            missing
        },
    );
    // What comes late comes now; and then time goes on far beyond what is read again.
    for to in [full(phase) + LATE, begin(phase) + 60 * MINUTE] {
        let faults: Vec<Value> = matrix.site.duo.status()["faults"].as_array().unwrap().clone();
        matrix.go(to, faults);
        matrix.until(&format!("{}: others go on", log.name), others);
    }
    // Nobody else was bothered, and who was struck has not read on.
    let look = Look::at(&matrix.site);
    let before = phase.checked_sub(1).map_or("", |before| LOGS[before].name);
    let mut cells = Vec::new();
    let mut wrong = Vec::new();
    for (tenant, knob) in tenants() {
        for of in logs.iter().filter(|of| of.name != before) {
            match look.error(tenant, of.name, since) {
                Some(error) if !is_struck(of, knob) => wrong.push(format!("{tenant}: {}: {error}", of.name)),
                _ if is_struck(of, knob) && look.is_level(tenant, of.name, matrix.clock) => {
                    wrong.push(format!("{tenant}: {} was read all the same", of.name));
                }
                _ => {}
            }
        }
        let unread = look.log(tenant, log.name)["unidentified"].as_u64().unwrap_or(0);
        if knob.is_some_and(|knob| knob.tells == knobs::Tells::Huge) != (unread > 0) {
            wrong.push(format!("{tenant}: {}: {unread} unreadable rows", log.name));
        }
        let standing = look.log(tenant, log.name)["standing"].as_str().unwrap_or_default();
        cells.extend(knob.map(|knob| {
            if knob.is_error(&log) {
                standing.to_owned()
            } else {
                "read".to_owned()
            }
        }));
    }
    matrix.columns.push(Column { log, cells, wrong });
}

#[test]
fn every_fault_at_every_log() {
    let began = Instant::now();
    let names: Vec<&str> = KNOBS.iter().map(|knob| knob.name).collect();
    let site = Site::new(Duo::twins(account(QUIET), &names, NOON));
    configure(&site, 0);
    let mut matrix = Matrix {
        site,
        columns: Vec::new(),
        wrong: Vec::new(),
        clock: NOON,
    };
    matrix.site.run();
    let first = collected(0);
    matrix.until("the first start", |look, clock| {
        behind(look, clock, &first, |_, _| false)
    });
    for phase in 0..LOGS.len() {
        if phase == LOGS.len() - 1 {
            matrix.site.stop();
            configure(&matrix.site, phase);
            matrix.site.run();
        }
        run_phase(&mut matrix, phase);
    }
    matrix.go(begin(LOGS.len()), Vec::new());
    let last = collected(LOGS.len() - 1);
    matrix.until("the end: all are well", |look, clock| {
        let mut missing = behind(look, clock, &last, |_, _| false);
        for (tenant, _) in tenants() {
            let unwell = last
                .iter()
                .map(|log| look.log(tenant, log.name))
                .filter(|log| log["standing"] != "working");
            missing.extend(unwell.map(|log| format!("{tenant}: {log}")));
        }
        missing
    });
    matrix.site.stop();
    let audits: Vec<books::Audit> = tenants()
        .map(|(tenant, knob)| books::audit(&matrix.site, tenant, knob))
        .collect();

    println!("\n{:18}{}", "", LOGS.map(|log| format!("{:>20}", log.name)).concat());
    for (at, knob) in KNOBS.iter().enumerate() {
        let cells: Vec<String> = matrix
            .columns
            .iter()
            .map(|column| format!("{:>20}", column.cells[at]))
            .collect();
        println!("{:18}{}   {} rows", knob.name, cells.concat(), audits[at].rows);
    }
    let mut wrong = matrix.wrong;
    for column in matrix.columns {
        wrong.extend(
            column
                .wrong
                .into_iter()
                .map(|wrong| format!("{}: {wrong}", column.log.name)),
        );
    }
    wrong.extend(audits.iter().flat_map(|audit| audit.wrong.clone()));
    let rows: usize = audits.iter().map(|audit| audit.rows).sum();
    println!(
        "{} faults at {} logs: {} cells, {rows} rows in {} accounts, {:.1} s",
        KNOBS.len(),
        LOGS.len(),
        KNOBS.len() * LOGS.len(),
        audits.len(),
        began.elapsed().as_secs_f64()
    );
    assert!(
        wrong.is_empty(),
        "{} things are wrong: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(60)]
    );
}
