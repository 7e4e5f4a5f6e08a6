//! Syslog receivers that are not ours, Debian's rsyslog and syslog-ng over TLS: what they make of Picket's alerts, by their own
//! parsers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use duo_simulator::company::{Options, generate};
use duo_simulator::model::Account;
use picket_e2e::{Duo, Payload, Received, Receiver, Site, Source, installed, stock};
use picket_sink::{Courier, Framing, Message, SyslogSettings, SyslogSink, Tls, Transport};
use picket_store::conformance::alert;
use picket_store::{AlertRow, SqliteStore, Store as _, Stretch, Transaction};
use serde_json::Value;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The day that `cargo xtask demo` plays: 2026-11-18T00:00:00Z, ms.
const DEMO: i64 = 1_794_960_000_000;
/// Its companies, and what is collected of them.
const COMPANIES: [(&str, &[&str]); 2] = [
    ("acme", &["authentication", "activity", "telephony"]),
    ("globex", &["authentication", "administrator", "telephony"]),
];
const MODULES: [&str; 8] = [
    "admin-actions",
    "bypass",
    "collector",
    "guessing",
    "place-device",
    "push-abuse",
    "takeover",
    "telephony",
];

fn receivers() -> Vec<Receiver> {
    [Receiver::rsyslog(), Receiver::syslog_ng()]
        .into_iter()
        .flatten()
        .collect()
}

/// What the demo's simulator makes of its seed (`xtask/src/demo/simulator.rs`).
fn company(at: u64, name: &str) -> Account {
    generate(&Options {
        seed: 7 + at * 1_000_003,
        name: name.to_owned(),
        users: 330,
        start_us: (DEMO - 42 * DAY) * 1000,
        days: 43,
        target_events: Some(11_000),
        plant: true,
    })
}

/// The demo's installation, whose alerts go to each receiver, in JSON and in CEF.
fn demo(receivers: &[Receiver]) -> Site {
    let accounts = (0..).zip(COMPANIES).map(|(at, (name, _))| company(at, name));
    let mut site = Site::new(Duo::start(accounts.collect(), DEMO)).with_history();
    for name in MODULES {
        site.install(&std::fs::read(stock(name)).unwrap(), &format!("{name}.wasm"));
    }
    let own = std::fs::read(installed("rules-examples/acme-vpn-at-night.wasm")).unwrap();
    site.install(&own, "acme/acme-vpn-at-night.wasm");
    for (account, collect) in COMPANIES {
        site.tenant(&Source {
            collect,
            start: "45d",
            ..Source::of(account)
        });
    }
    let mut config =
        "data_dir: ./data\nrules_dir: ./rules\nhttp: {listen: \"off\"}\nalerts_per_hour: 0\nsinks:\n".to_owned();
    for receiver in receivers {
        for (payload, format) in [(Payload::Json, "json"), (Payload::Cef, "cef")] {
            config.push_str(&format!(
                "  - {{type: syslog, name: {}-{format}, address: \"{}\", format: {format}, ca_file: {}, timeout: 60s}}\n",
                receiver.name,
                receiver.address(payload),
                receiver.ca_file().display()
            ));
        }
    }
    site.write("picket.yaml", &config);
    site
}

/// The alerts that are to be sent, as the store holds them, in the order in which they were committed; by tenant.
fn stored(site: &Site) -> BTreeMap<String, Vec<Value>> {
    let store = site.store();
    let mut stored: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut after = 0;
    loop {
        let rows = store
            .stretch(&Stretch {
                after,
                limit: 1000,
                ..Stretch::default()
            })
            .unwrap();
        let Some(last) = rows.last() else { return stored };
        after = last.number;
        for row in rows {
            stored
                .entry(row.tenant.to_string())
                .or_default()
                .push(serde_json::from_str(&row.json).unwrap());
        }
    }
}

/// Whether everything that Duo shows is in the store.
fn is_read(site: &Site) -> bool {
    let (status, duo) = (site.ndjson(&["status"]), site.duo.status());
    let tenants = status[0]["tenants"].as_array().cloned().unwrap_or_default();
    let accounts = duo["accounts"].as_array().cloned().unwrap_or_default();
    COMPANIES.iter().all(|(name, logs)| {
        let tenant = tenants.iter().find(|tenant| tenant["id"] == *name);
        let account = accounts.iter().find(|account| account["name"] == *name);
        let (Some(tenant), Some(account)) = (tenant, account) else {
            return false;
        };
        let visible = |log: &str| account["feeds"][log]["visible"].as_u64().unwrap();
        logs.iter()
            .all(|log| tenant["events_by_log"][log].as_u64() >= Some(visible(log).max(1)))
    })
}

fn cef_severity(word: &str) -> &'static str {
    match word {
        "critical" => "10",
        "high" => "8",
        "medium" => "5",
        "low" => "3",
        _ => "1",
    }
}

fn syslog_severity(word: &str) -> &'static str {
    match word {
        "critical" => "2",
        "high" => "3",
        "medium" => "4",
        "low" => "5",
        _ => "6",
    }
}

/// One message against the alert that it must be.
fn is_this(receiver: &str, payload: Payload, received: &Received, alert: &Value) {
    let said = |pointer: &str| received.payload.pointer(pointer).and_then(Value::as_str);
    let of = |pointer: &str| alert.pointer(pointer).and_then(Value::as_str);
    let words = || format!("{receiver}: {received:?}\nis to be {alert}");
    let severity = of("/severity").unwrap();
    assert_eq!(received.program, "picket", "{}", words());
    assert_eq!(received.severity, syslog_severity(severity), "{}", words());
    assert_eq!(Some(&*received.alert), of("/id"), "{}", words());
    assert_eq!(Some(&*received.tenant), of("/tenant/id"), "{}", words());
    match payload {
        Payload::Json => {
            for pointer in [
                "/id",
                "/tenant/id",
                "/rule/id",
                "/title",
                "/severity",
                "/time",
                "/about/name",
            ] {
                assert_eq!(said(pointer), of(pointer), "{pointer}: {}", words());
            }
        }
        Payload::Cef => {
            assert_eq!(said("/id"), of("/id"), "{}", words());
            assert_eq!(said("/tenant"), of("/tenant/id"), "{}", words());
            assert_eq!(said("/title"), of("/title").map(str::trim), "{}", words());
            assert_eq!(said("/severity"), Some(cef_severity(severity)), "{}", words());
        }
    }
}

#[test]
fn rsyslog_and_syslog_ng_receive_every_alert_of_the_demo_parsed_and_in_order() {
    let receivers = receivers();
    if receivers.is_empty() {
        return;
    }
    let mut site = demo(&receivers);
    site.run();
    // The six weeks before are what rules learn from.
    site.wait("the past to be read", || is_read(&site).then_some(()));
    site.settle(DEMO - 3 * HOUR);
    for hours in [6, 12, 18, 25] {
        site.duo.set_clock(DEMO + hours * HOUR);
        site.settle(DEMO + (hours - 1) * HOUR);
    }
    let stored = stored(&site);
    let many: usize = stored.values().map(Vec::len).sum();
    assert!(stored.len() == 2 && many > 20, "the day raised {many} alerts");
    // The same that an analyst is shown.
    for (tenant, alerts) in &stored {
        let shown = site.ndjson(&["alerts", "--tenant", tenant]);
        let mut shown: Vec<Value> = shown
            .into_iter()
            .filter(|alert| alert["historic"] != true)
            .map(|alert| alert["id"].clone())
            .collect();
        let mut ids: Vec<Value> = alerts.iter().map(|alert| alert["id"].clone()).collect();
        shown.sort_by_key(Value::to_string);
        ids.sort_by_key(Value::to_string);
        assert_eq!(shown, ids, "{tenant}");
    }
    for receiver in &receivers {
        for payload in [Payload::Json, Payload::Cef] {
            let received = receiver.wait_for(payload, many);
            assert_eq!(received.len(), many, "{}: none twice", receiver.name);
            for (tenant, alerts) in &stored {
                let own: Vec<&Received> = received.iter().filter(|received| received.tenant == *tenant).collect();
                assert_eq!(own.len(), alerts.len(), "{} of {tenant}", receiver.name);
                for (received, alert) in own.into_iter().zip(alerts) {
                    is_this(receiver.name, payload, received, alert);
                }
            }
            println!("{}, {payload:?}: {many} alerts, parsed and in order", receiver.name);
        }
    }
    site.stop();
}

/// Alerts with what is hard to carry in them.
fn odd(numbers: std::ops::Range<usize>) -> impl Iterator<Item = AlertRow> {
    numbers.map(|number| {
        let id = format!("al_{number:016}");
        let title = format!("ü€😀 \"{number}\" ] \\ | = end");
        AlertRow {
            json: serde_json::json!({"id": id, "title": title}).to_string().into(),
            ..alert(&id, "r", "ada", 1_795_341_600_000)
        }
    })
}

fn raise(store: &SqliteStore, alerts: impl Iterator<Item = AlertRow>) {
    let transaction = Transaction {
        alerts: alerts.collect(),
        ..Transaction::default()
    };
    store.transact("acme", transaction).unwrap();
}

fn sink(receiver: &Receiver, ca: &Receiver) -> SyslogSink {
    let ca = std::fs::read(ca.ca_file()).unwrap();
    SyslogSink::new(SyslogSettings {
        address: receiver.address(Payload::Json),
        transport: Transport::Tls(Tls::new(Some(&ca), None, None).unwrap()),
        framing: Framing::OctetCounting,
        message: Message {
            facility: 10,
            hostname: "picket-1".into(),
            cef: false,
        },
        timeout: Duration::from_secs(20),
    })
}

/// Delivers until nothing waits; the last trouble, if it does not come to that.
fn deliver(courier: &mut Courier, store: &SqliteStore, sink: &mut SyslogSink, now: i64) -> Option<String> {
    loop {
        let step = courier.step(store, sink, &|_| true, now).unwrap();
        if step.trouble.is_some() || !step.more {
            return step.trouble;
        }
    }
}

#[test]
fn letters_that_are_hard_to_carry_arrive_and_a_strangers_server_is_not_spoken_to() {
    // More than one batch.
    const ALERTS: usize = 700;
    let receivers = receivers();
    for (receiver, stranger) in receivers.iter().zip(receivers.iter().rev()) {
        let store = SqliteStore::in_memory().unwrap();
        raise(&store, odd(0..ALERTS));
        let mut courier = Courier::open(&store, receiver.name, true).unwrap();
        assert_eq!(deliver(&mut courier, &store, &mut sink(receiver, receiver), 1), None);
        let received = receiver.wait_for(Payload::Json, ALERTS);
        assert_eq!(received.len(), ALERTS);
        for (received, alert) in received.iter().zip(odd(0..ALERTS)) {
            let json: Value = serde_json::from_str(&alert.json).unwrap();
            assert_eq!(
                (&received.alert, &received.payload["title"]),
                (&alert.id.to_string(), &json["title"])
            );
        }
        // Another authority's server.
        if receivers.len() > 1 {
            raise(&store, odd(ALERTS..ALERTS + 1));
            let trouble = deliver(&mut courier, &store, &mut sink(receiver, stranger), 2);
            assert!(trouble.unwrap().contains("certificate"));
            assert_eq!(receiver.received(Payload::Json).len(), ALERTS);
        }
    }
}
