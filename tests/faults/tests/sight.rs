//! Whether data moves, as machines see it: metrics, readiness, systemd, and how the daemon ends.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use picket_e2e::{Duo, Site, Source, Story};
use serde_json::json;

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;

/// Names that dashboards rest on: they stay.
const LASTING: [&str; 30] = [
    "duo_outbox_pending",
    "duo_outbox_oldest_seconds",
    "duo_outbox_dead_letters",
    "duo_poll_requests",
    "duo_poll_duration_seconds",
    "duo_events_ingested",
    "duo_event_lag_seconds",
    "duo_cursor_age_seconds",
    "duo_rate_limited",
    "duo_stream_up",
    "duo_accounts",
    "duo_rule_evaluations",
    "duo_rule_duration_seconds",
    "duo_rule_state",
    "duo_rule_fuel",
    "duo_alerts",
    "duo_sink_up",
    "duo_sink_deliveries",
    "duo_sink_dead_letters",
    "duo_store_commit_seconds",
    "duo_store_commit_failures",
    "duo_store_bytes",
    "duo_config_last_reload_successful",
    "duo_config_last_reload_timestamp_seconds",
    "duo_config_reloads",
    "duo_ready",
    "duo_first_poll_seconds",
    "duo_build_info",
    "process_resident_memory_bytes",
    "process_open_fds",
];

/// A site that serves its figures, with a user who lets somebody in after ten refusals.
fn site(more: &str) -> Site {
    let story = Story::of("acme").refusals(NOON - 600_000, "jdoe", 6).prompt(
        NOON - 180_000,
        "jdoe",
        "success",
        "user_approved",
    );
    let duo = Duo::start(vec![story.account()], NOON);
    let site = Site::stocked(duo, &[Source::of("acme")]);
    let text = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write(
        "picket.yaml",
        &format!("{}{more}", text.replace("\"off\"", "\"127.0.0.1:0\"")),
    );
    site
}

/// Where the daemon that was started last serves.
fn address(site: &Site) -> String {
    site.wait("an address", || {
        let log = std::fs::read_to_string(site.path("err.log")).unwrap_or_default();
        let line = log.lines().rev().find(|line| line.contains("metrics at http://"))?;
        let after = line.split_once("http://")?.1;
        Some(after.split_once('/')?.0.to_owned())
    })
}

/// Status, content type, text.
fn get(address: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let kind = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "))
        .unwrap_or_default();
    (status, kind.to_owned(), body.to_owned())
}

/// One line with a value.
#[derive(Debug)]
struct Sample {
    labels: BTreeMap<String, String>,
    value: f64,
}

/// By family, then by the sample's own name.
type Families = BTreeMap<String, BTreeMap<String, Vec<Sample>>>;

/// Reads OpenMetrics 1.0 as its grammar has it, and refuses everything else: a family is declared once, with a type and words,
/// before its samples; samples of a family stand together, counters end in `_total`, histograms grow and end at +Inf.
fn parse(text: &str) -> Families {
    let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {text}"));
    let mut families = Families::new();
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut parts = rest.splitn(3, ' ');
            let (what, name, rest) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap_or(""));
            match what {
                "HELP" => {
                    assert!(!rest.is_empty() && !families.contains_key(name), "{line}");
                    families.insert(name.to_owned(), BTreeMap::new());
                    current = name.to_owned();
                }
                "TYPE" => {
                    assert!(
                        current == name && ["counter", "gauge", "histogram", "info"].contains(&rest),
                        "{line}"
                    );
                    assert!(types.insert(name.to_owned(), rest.to_owned()).is_none(), "{line}");
                }
                _ => panic!("{line}"),
            }
            continue;
        }
        let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
        let (name, mut rest) = line.split_at(end);
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "{line}"
        );
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while !rest.starts_with('}') {
                let (label, after) = rest.trim_start_matches(',').split_once("=\"").unwrap();
                let mut value = String::new();
                let mut letters = after.char_indices();
                let end = loop {
                    match letters.next().unwrap_or_else(|| panic!("{line}")) {
                        (at, '"') => break at,
                        (_, '\\') => value.push(letters.next().unwrap().1),
                        (_, letter) => value.push(letter),
                    }
                };
                rest = &after[end + 1..];
                assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            }
            rest = &rest[1..];
        }
        let value = rest
            .strip_prefix(' ')
            .unwrap()
            .parse()
            .unwrap_or_else(|_| panic!("{line}"));
        let suffixes: &[&str] = match types[&current].as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(
            suffixes.iter().any(|suffix| format!("{current}{suffix}") == name),
            "{line} of {current}"
        );
        let sample = Sample { labels, value };
        families
            .get_mut(&current)
            .unwrap()
            .entry(name.to_owned())
            .or_default()
            .push(sample);
    }
    for (family, samples) in &families {
        assert!(types.contains_key(family), "{family} has no type");
        for (name, samples) in samples {
            let sets: BTreeSet<String> = samples.iter().map(|sample| format!("{:?}", sample.labels)).collect();
            assert_eq!(sets.len(), samples.len(), "{name}: the same labels twice");
        }
        if let Some(buckets) = samples.get(&format!("{family}_bucket")) {
            let mut last: BTreeMap<String, (f64, String)> = BTreeMap::new();
            for bucket in buckets {
                let mut labels = bucket.labels.clone();
                let edge = labels.remove("le").unwrap();
                let before = last.insert(format!("{labels:?}"), (bucket.value, edge));
                assert!(
                    before.is_none_or(|(value, _)| value <= bucket.value),
                    "{family}: {bucket:?}"
                );
            }
            assert!(last.values().all(|(_, edge)| edge == "+Inf"), "{family}: {last:?}");
        }
    }
    families
}

/// The sum of a family's values with these labels.
fn sum(families: &Families, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = families.values().find_map(|family| family.get(name));
    let fits = |sample: &&Sample| {
        labels
            .iter()
            .all(|(name, value)| sample.labels.get(*name).is_some_and(|own| own == value))
    };
    samples
        .into_iter()
        .flatten()
        .filter(fits)
        .map(|sample| sample.value)
        .sum()
}

/// Names in the first column of the table in docs/metrics.md.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.split('{').next()?.to_owned()))
        .filter(|name| name.starts_with("duo_") || name.starts_with("process_"))
        .collect()
}

#[test]
fn what_happens_is_counted_under_names_that_stay() {
    let mut site = site("");
    site.run();
    site.duo.set_clock(NOON + 3_600_000);
    site.settle(NOON + 3_600_000 - 121_000);
    let address = address(&site);
    let (status, kind, text) = get(&address, "/metrics");
    assert_eq!(
        (status, kind.starts_with("application/openmetrics-text; version=1.0.0")),
        (200, true)
    );
    let families = parse(&text);
    for name in LASTING {
        assert!(
            families.get(name).is_some_and(|samples| !samples.is_empty()),
            "{name}\n{text}"
        );
    }
    let documented = documented();
    for (family, samples) in &families {
        for name in samples.keys() {
            let name = name
                .trim_end_matches("_bucket")
                .trim_end_matches("_sum")
                .trim_end_matches("_count");
            assert!(
                documented.contains(name),
                "{family}: docs/metrics.md does not know {name}"
            );
        }
    }
    let stored: u64 = site.ndjson(&["status"])[0]["tenants"][0]["events"].as_u64().unwrap();
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    let stored = stored as f64;
    assert_eq!(
        sum(&families, "duo_events_ingested_total", &[("tenant", "acme")]),
        stored
    );
    assert!(
        sum(
            &families,
            "duo_poll_requests_total",
            &[("tenant", "acme"), ("code", "200")]
        ) >= 3.0,
        "{text}"
    );
    assert!(
        sum(&families, "duo_alerts_total", &[("tenant", "acme")]) >= 1.0,
        "{text}"
    );
    assert!(sum(&families, "duo_rule_evaluations_total", &[]) >= 1.0, "{text}");
    assert!(sum(&families, "duo_rule_fuel_total", &[]) > 0.0, "{text}");
    assert!(sum(&families, "duo_store_commit_seconds_count", &[]) >= 1.0, "{text}");
    assert_eq!(sum(&families, "duo_config_last_reload_successful", &[]), 1.0);
    assert_eq!(sum(&families, "duo_ready", &[]), 1.0);
    assert_eq!(sum(&families, "duo_accounts", &[("state", "moving")]), 1.0);
    let taken = [("sink", "stdout"), ("result", "taken")];
    site.wait("deliveries to be counted", || {
        let families = parse(&get(&address, "/metrics").2);
        (sum(&families, "duo_sink_deliveries_total", &taken) >= 1.0).then_some(())
    });
    assert_eq!(sum(&families, "duo_sink_dead_letters_total", &[]), 0.0, "{text}");
    // Who is watched is nobody's business.
    assert!(!text.contains("jdoe") && !text.contains("198.51.100."), "{text}");

    // A file that cannot be taken over is seen, and without tenants' names when nobody wants them.
    let good = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &format!("{good}nonsense: 1\n"));
    site.signal(Signal::SIGHUP);
    let is_in_force = || {
        let families = parse(&get(&address, "/metrics").2);
        sum(&families, "duo_config_last_reload_successful", &[]) > 0.0
    };
    site.wait("a refusal", || (!is_in_force()).then_some(()));
    site.write("picket.yaml", &format!("{good}metrics: {{tenant_label: false}}\n"));
    let _ = site.picket(&["reload"]).with_code(0);
    let families = parse(&get(&address, "/metrics").2);
    assert_eq!(sum(&families, "duo_events_ingested_total", &[]), stored);
    let of_board = &families["duo_events_ingested"]["duo_events_ingested_total"];
    assert!(
        of_board.iter().all(|sample| !sample.labels.contains_key("tenant")),
        "{of_board:?}"
    );
    assert_eq!(sum(&families, "duo_config_last_reload_successful", &[]), 1.0);
    assert!(
        families
            .values()
            .flat_map(BTreeMap::values)
            .flatten()
            .all(|sample| !sample.labels.contains_key("tenant"))
    );

    assert_eq!(get(&address, "/").0, 404);
    site.stop();
}

#[test]
fn ready_means_that_data_moves() {
    let mut site = site("");
    site.run();
    let address = address(&site);
    let is = |site: &Site, status: u16| site.wait("readiness", || (get(&address, "/readyz").0 == status).then_some(()));
    is(&site, 200);
    assert_eq!(
        get(&address, "/livez"),
        (200, "text/plain; charset=utf-8".to_owned(), "alive\n".to_owned())
    );

    // Nothing of Duo's comes any more. The daemon is well; that data does not move is said in its time.
    site.duo.tell(&json!({"fault": {"kind": "portal"}}));
    assert_eq!(get(&address, "/livez").0, 200);
    site.stop();

    // A Duo that does not answer from the start: nothing moves, and it says so.
    std::fs::remove_dir_all(site.path("data")).unwrap();
    site.run();
    let address = self::address(&site);
    site.wait("words", || {
        let (status, _, words) = get(&address, "/readyz");
        (status == 503 && words.contains("Duo has answered for none of 1 account")).then_some(())
    });
    assert_eq!(get(&address, "/livez").0, 200);
    let families = parse(&get(&address, "/metrics").2);
    assert_eq!(sum(&families, "duo_ready", &[]), 0.0);
    site.stop();
}

#[test]
fn a_bad_address_is_refused_and_a_taken_one_is_named() {
    let site = site("");
    let text = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &text.replace("127.0.0.1:0", "localhost"));
    let said = site.picket(&["check", "--offline"]).with_code(2);
    assert!(
        said.all().contains("picket.yaml:3:") && said.all().contains("127.0.0.1:9743"),
        "{said:?}"
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    site.write("picket.yaml", &text.replace("127.0.0.1:0", &address));
    let said = site.picket(&["run"]).with_code(1);
    assert!(
        said.err.contains(&address) && said.err.contains("name an address that is free"),
        "{said:?}"
    );
}

#[test]
fn systemd_hears_that_it_is_ready_reloads_lives_and_stops() {
    let mut site = site("");
    let socket = UnixDatagram::bind(site.path("notify.sock")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let path = site.path("notify.sock").display().to_string();
    site.set("NOTIFY_SOCKET", &path);
    site.set("WATCHDOG_USEC", "2000000");
    site.run();
    let heard = |wanted: &str| {
        let mut bytes = [0; 4096];
        loop {
            let length = socket
                .recv(&mut bytes)
                .unwrap_or_else(|error| panic!("{wanted}: {error}"));
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.lines().any(|line| line.starts_with(wanted)) {
                return text;
            }
        }
    };
    heard("READY=1");
    heard("WATCHDOG=1");
    heard("STATUS=data moves: Duo answers for 1 of 1 account");
    site.signal(Signal::SIGHUP);
    let text = heard("RELOADING=1");
    assert!(text.contains("MONOTONIC_USEC="), "{text}");
    heard("READY=1");
    site.unset("NOTIFY_SOCKET");
    site.stop();
    heard("STOPPING=1");
}

#[test]
fn it_drains_when_it_is_told_to_stop_and_a_second_word_ends_it_at_once() {
    let mut site = site("");
    site.run();
    site.duo.set_clock(NOON + 3_600_000);
    let began = Instant::now();
    site.stop();
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "it took {:?}",
        began.elapsed()
    );
    // Nothing is left to be recovered: the log is folded into the database.
    assert!(!site.path("data/picket.db-wal").exists(), "{}", site.log());
    // What was committed until then has been delivered.
    let alerts = site.ndjson(&["alerts", "--tenant", "acme"]);
    let file = std::fs::read_to_string(site.path("alerts.ndjson")).unwrap_or_default();
    for alert in &alerts {
        assert!(file.contains(alert["id"].as_str().unwrap()), "{alert}");
    }

    // Duo hangs: what is under way would take its time, and nobody has to wait for it.
    site.duo
        .tell(&json!({"fault": {"kind": "slow_body", "over_ms": 60000}}));
    site.run();
    let second = {
        site.signal(Signal::SIGTERM);
        site.wait("its word", || {
            site.log().contains("a second signal ends it at once").then_some(())
        });
        site.signal(Signal::SIGTERM);
        Instant::now()
    };
    let code = site.ends();
    assert!(code == 0 || code == 1, "{code}");
    assert!(second.elapsed() < Duration::from_secs(30));
}

#[test]
fn two_on_one_store_is_one_too_many() {
    let mut site = site("");
    site.run();
    let said = site.picket(&["run"]).with_code(1);
    let words = format!("another picket (process {}) is running on it", site.pid());
    assert!(said.err.contains(&words), "{}", said.err);
    site.stop();
}
