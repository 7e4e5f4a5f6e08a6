//! `picket check --send`: what became of a test alert at each sink, while the daemon runs and while it does not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::io::Read as _;
use std::net::{TcpListener, UdpSocket};

use picket_e2e::{Duo, Hook, Site, Source, Story};
use serde_json::{Value, json};

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN: &str = "hush-hush-token";

/// A site whose sinks are these.
fn site(sinks: &str) -> Site {
    let story = (0..30).fold(Story::of("acme"), |story, index| {
        story.prompt(NOON + index * MINUTE, "bob", "success", "user_approved")
    });
    let duo = Duo::start(
        vec![story.refusals(NOON + MINUTE, "ada", 6).account()],
        NOON + 60 * MINUTE,
    );
    let site = Site::stocked(duo, &[Source::of("acme")]);
    site.secret_file("soc.secret", SECRET);
    site.write("token", &format!("https://127.0.0.1:1/{TOKEN}"));
    site.write(
        "picket.yaml",
        &format!("data_dir: ./data\nrules_dir: ./rules\nhttp: {{listen: \"off\"}}\nsinks:\n{sinks}"),
    );
    site
}

/// The lines about sinks, without what differs from run to run.
fn said(site: &Site, code: i32) -> String {
    let said = site.picket(&["check", "--offline", "--send"]).with_code(code);
    assert!(
        !said.all().contains("MfKQ") && !said.all().contains(TOKEN),
        "{}",
        said.all()
    );
    let mut text = said.out.replace(&site.dir().display().to_string(), "DIR");
    // Where there is no network.
    text = text.replace("Temporary failure in name resolution", "Name or service not known");
    while let Some(at) = text.find("ts_") {
        text.replace_range(at..at + 19, "ID");
    }
    let from = text.lines().position(|line| line.contains("sink "));
    let lines: Vec<&str> = text.lines().skip(from.unwrap_or_default()).collect();
    lines.join("\n")
}

#[test]
fn each_sink_says_what_became_of_the_test_alert() {
    let hook = Hook::new();
    let syslog = TcpListener::bind("127.0.0.1:0").unwrap();
    let syslog_port = syslog.local_addr().unwrap().port();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        syslog.accept().unwrap().0.read_to_string(&mut text).unwrap();
        text
    });
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp_port = udp.local_addr().unwrap().port();
    let answers = ["204", "400", "401", "410", "429", "503"].map(|status| {
        format!(
            "  - {{type: webhook, name: answers {status}, url: \"http://{}/{status}?key={TOKEN}\", secret_file: ./soc.secret}}\n",
            hook.address()
        )
    });
    let sinks = format!(
        "{}  - {{type: webhook, name: nobody listens, url: \"http://127.0.0.1:1/{TOKEN}\", secret_file: ./soc.secret}}\n  \
         - {{type: webhook, name: no such name, url: \"https://soc.invalid/{TOKEN}\", secret_file: ./soc.secret}}\n  \
         - {{type: webhook, name: no secret, url: \"https://soc.invalid/\", secret_file: ./nobody.secret}}\n  \
         - {{type: syslog, name: over tcp, address: \"127.0.0.1:{syslog_port}\", transport: tcp, min_severity: high}}\n  \
         - {{type: syslog, name: over udp, address: \"127.0.0.1:{udp_port}\", transport: udp, format: cef}}\n  \
         - {{type: syslog, name: deaf, address: \"127.0.0.1:1\", transport: tcp}}\n  \
         - {{type: syslog, name: no such host, address: \"soc.invalid:6514\", ca_file: ./ca.pem}}\n  \
         - {{type: file, path: ./alerts.ndjson}}\n  \
         - {{type: stdout}}\n",
        answers.concat()
    );
    let site = site(&sinks);
    insta::assert_snapshot!("sinks", said(&site, 1));
    let posted = hook.posted();
    assert_eq!(posted.len(), 6, "{posted:#?}");
    let taken = posted.iter().find(|posted| posted.status == 204).unwrap();
    let body = &taken.body;
    assert_eq!(
        (&body["id"], &body["test"], &body["kind"]),
        (&json!(taken.id), &json!(true), &json!("test"))
    );
    let text = reader.join().unwrap();
    assert!(
        text.contains("<83>1 ") && text.contains(" test [picket@32473 "),
        "{text}"
    );
    let mut datagram = [0; 4096];
    let bytes = udp.recv(&mut datagram).unwrap();
    let datagram = String::from_utf8_lossy(&datagram[..bytes]);
    assert!(
        datagram.contains("|picket-check|Test of sink over udp: nothing has happened|1|"),
        "{datagram}"
    );
    assert!(!site.path("alerts.ndjson").exists() && !site.path("data/picket.db").exists());

    // One alone, for programs.
    let lines = site
        .picket(&["check", "--offline", "--send", "--sink", "deaf", "--format", "ndjson"])
        .with_code(1)
        .lines();
    assert_eq!(hook.posted().len(), 6);
    let deaf = lines.iter().find(|line| line["sink"] == "deaf").unwrap();
    assert_eq!(
        (&deaf["ok"], &deaf["kind"]),
        (&json!(false), &json!("connection_refused"))
    );
    assert!(deaf["advice"].as_str().unwrap().contains("`address`"), "{deaf}");
    assert!(deaf["sent"].as_str().unwrap().starts_with("ts_"));
    // The others are looked after without being sent to.
    let secret = lines.iter().find(|line| line["sink"] == "no secret").unwrap();
    assert_eq!((&secret["ok"], &secret["sent"]), (&json!(false), &Value::Null));
    let unknown = site.picket(&["check", "--send", "--sink", "nobody"]).with_code(2).err;
    assert!(
        unknown.contains("there is no sink `nobody`; there are: answers 204, "),
        "{unknown}"
    );
    assert_eq!(
        site.picket(&["check", "--sink", "deaf"]).code,
        2,
        "without --send it says nothing"
    );
}

#[test]
fn a_server_that_nobody_vouches_for_is_told_what_to_do_about() {
    let site = site("  - {type: stdout}\n");
    let address = site.duo.host();
    site.duo.tell(&json!({"certificate": "unknown_ca"}));
    let sinks = format!(
        "  - {{type: syslog, name: siem, address: \"{address}\", ca_file: ./ca.pem}}\n  \
         - {{type: webhook, name: soc, url: \"https://{address}/x\", secret_file: ./soc.secret, ca_file: ./ca.pem}}\n"
    );
    let text = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write("picket.yaml", &text.replace("  - {type: stdout}\n", &sinks));
    insta::assert_snapshot!("certificates", said(&site, 1).replace(&address, "SERVER"));
}

#[test]
fn a_file_that_the_daemon_writes_to_is_written_to_by_the_daemon() {
    let mut site = site("  - {type: file, path: ./alerts.ndjson}\n  - {type: stdout, format: ndjson}\n");
    site.run();
    site.settle(NOON + 30 * MINUTE);
    let alerts = site.wait("the alerts to be delivered", || {
        let alerts = site.ndjson(&["alerts"]);
        let text = std::fs::read_to_string(site.path("alerts.ndjson")).unwrap_or_default();
        (!alerts.is_empty() && text.lines().count() == alerts.len()).then_some(alerts.len())
    });
    insta::assert_snapshot!("by_the_daemon", said(&site, 0));
    // Beside it alerts go on.
    site.stop();
    let lines = |site: &Site| -> Vec<Value> {
        let text = std::fs::read_to_string(site.path("alerts.ndjson")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let is_test = |alert: &&Value| alert["test"] == true;
    assert_eq!(
        (lines(&site).len(), lines(&site).iter().filter(is_test).count()),
        (alerts + 1, 1)
    );
    let printed = std::fs::read_to_string(site.path("out.log")).unwrap();
    assert_eq!(
        printed.lines().filter(|line| line.contains("\"test\":true")).count(),
        1,
        "{printed}"
    );
    // Nobody else knows of it.
    assert_eq!(site.ndjson(&["alerts"]).len(), alerts);
    let waits = site.ndjson(&["outbox", "list"]);
    assert!(
        waits.iter().all(|sink| sink["pending"] == 0 && sink["dead"] == 0),
        "{waits:?}"
    );
    // Without the daemon the file is free.
    insta::assert_snapshot!("by_hand", said(&site, 0));
    assert_eq!(lines(&site).iter().filter(is_test).count(), 2);
    site.run();
    site.stop();
    assert_eq!(lines(&site).len(), alerts + 2, "it takes up the file where it is");
}
