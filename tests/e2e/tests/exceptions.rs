//! What an analyst excepts is not sent for as long as they said, who did so is written down, and what no longer applies is told.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use picket_e2e::{Duo, Site, Source, Story, stock};
use serde_json::Value;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const BURST: &str = "mfa-fatigue-denied-burst";

/// Exceptions are given a span from now on, so events are told by the wall clock here.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    i64::try_from(now).unwrap() / MINUTE * MINUTE
}

/// Lets Duo's clock go to this time (ms) and the rules see all of it.
fn advance(site: &Site, to: i64) {
    site.duo.set_clock(to + 2 * MINUTE + 1000);
    site.settle(to);
}

fn about(alerts: &[Value]) -> Vec<&str> {
    alerts
        .iter()
        .map(|alert| alert["about"]["name"].as_str().unwrap_or_default())
        .collect()
}

#[test]
fn an_analysts_exception_stops_alerts_then_expires() {
    let base = now() - 2 * HOUR;
    let story = Story::of("acme")
        .refusals(base, "ada", 5)
        // While the exception holds.
        .refusals(base + HOUR, "ada", 5)
        .refusals(base + HOUR, "bob", 5)
        // When it is over.
        .refusals(base + 6 * HOUR, "ada", 5);
    let mut site = Site::new(Duo::start(vec![story.account()], base));
    site.install(&std::fs::read(stock("push-abuse")).unwrap(), "push-abuse.wasm");
    site.tenant(&Source {
        more: "rules:\n  mfa-fatigue-denied-burst: {dedup: 30m, severity: critical}\n",
        ..Source::of("acme")
    });
    site.run();
    advance(&site, base + 10 * MINUTE);
    let first = site.alerts("acme", BURST);
    assert_eq!(about(&first), ["ada"]);
    assert_eq!(first[0]["severity"], "critical", "the operator's word");
    let id = first[0]["id"].as_str().unwrap();

    let refused = site
        .picket(&["except", id, "--field", "planet", "--for", "3h", "--reason", "noise"])
        .with_code(2);
    assert!(
        refused
            .err
            .contains("has no `planet`; it has user, address, country, application"),
        "{refused:?}"
    );
    assert!(
        !site.path("exceptions.d").exists() || std::fs::read_dir(site.path("exceptions.d")).unwrap().next().is_none()
    );

    let arguments = [
        "except",
        id,
        "--field",
        "user",
        "--field",
        "application.name",
        "--for",
        "3h",
        "--reason",
        "ada tests her phone",
        "--ticket",
        "SEC-7",
        "--name",
        "adas phone",
    ];
    let said = site.picket(&arguments).with_code(0);
    assert!(said.out.contains("would have suppressed 1 of the 1 alert"), "{said:?}");
    assert!(said.out.contains(id) && said.out.ends_with("in force\n"), "{said:?}");
    let written = std::fs::read_to_string(site.path("exceptions.d/adas-phone.yaml")).unwrap();
    assert!(
        written.contains(r#""user": ["ada"]"#) && written.contains(r#""application.name": ["VPN"]"#),
        "{written}"
    );
    let again = site.picket(&arguments).with_code(2);
    assert!(again.err.contains("is there already"), "{again:?}");

    advance(&site, base + HOUR + 10 * MINUTE);
    assert_eq!(about(&site.alerts("acme", BURST)), ["ada", "bob"]);
    let kept = site.ndjson(&["alerts", "--suppressed"]);
    assert_eq!(about(&kept), ["ada"]);
    assert_eq!(kept[0]["suppressed"]["exception"], "adas phone");
    assert_eq!(kept[0]["suppressed"]["ticket"], "SEC-7");
    let shown = site
        .picket(&["alerts", "show", kept[0]["id"].as_str().unwrap()])
        .with_code(0);
    assert!(shown.out.contains("not sent: exception adas phone of"), "{shown:?}");

    let noise = site.ndjson(&["rule", "list", "--noise", "30d"]);
    let of = |user: &str| {
        noise
            .iter()
            .find(|row| row["kind"] == "noise" && row["user"] == user)
            .unwrap()
    };
    assert_eq!((&of("ada")["alerts"], &of("ada")["suppressed"]), (&1.into(), &1.into()));
    let exception = noise.iter().find(|row| row["kind"] == "exception").unwrap();
    assert_eq!(
        (&exception["matched"], &exception["states"][0]),
        (&1.into(), &"ends soon".into())
    );

    // Over by the events' own time.
    advance(&site, base + 6 * HOUR + 10 * MINUTE);
    assert_eq!(about(&site.alerts("acme", BURST)), ["ada", "bob", "ada"]);
    assert_eq!(site.ndjson(&["alerts", "--suppressed"]).len(), 1);
    let sent = site.wait("three deliveries", || {
        let sent = std::fs::read_to_string(site.path("alerts.ndjson")).unwrap_or_default();
        (sent.lines().count() >= 3).then_some(sent)
    });
    assert!(sent.lines().count() == 3 && !sent.contains("su_"), "{sent}");

    // Who did it, and what judged when.
    let audit = site.ndjson(&["audit"]);
    let entry = audit
        .iter()
        .find(|row| row["what"] == "exceptions.d/adas-phone.yaml: exceptions[adas phone]")
        .unwrap();
    let own = nix::unistd::User::from_uid(nix::unistd::Uid::current())
        .unwrap()
        .unwrap()
        .name;
    assert_eq!((&entry["who"], &entry["before"]), (&own.into(), &Value::Null));
    assert_eq!(
        (&entry["reason"], &entry["after"]["ticket"]),
        (&"ada tests her phone".into(), &"SEC-7".into())
    );
    let in_force = site.ndjson(&["rule", "list", "--at", "2099-01-01"]);
    let rule = in_force.iter().find(|rule| rule["id"] == BURST).unwrap();
    assert_eq!(
        (&rule["dedup_ms"], &rule["severity"]),
        (&1_800_000.into(), &"critical".into())
    );
    assert_eq!(rule["exceptions"][0]["exception"], "adas phone");
    assert!(site.ndjson(&["rule", "list", "--at", "2001-01-01"]).is_empty());
    site.stop();
}

#[test]
fn what_no_longer_applies_is_told_and_stops_nobody() {
    let base = now() - HOUR;
    let story = Story::of("acme").refusals(base, "ada", 5);
    let mut site = Site::new(Duo::start(vec![story.account()], base + 20 * MINUTE));
    site.install(&std::fs::read(stock("push-abuse")).unwrap(), "push-abuse.wasm");
    site.tenant(&Source {
        more: "rules:
  mfa-fatigue-denied-burst: {cuont: 3}
  mfa-fatigue-denied-burts: {mode: shadow}
exceptions:
  - {name: old, rules: mfa-fatigue-denied-burst, fields: {acess_device.ip: 203.0.113.9}, owner: jane, reason: x, until: never}
",
        ..Source::of("acme")
    });
    let sentences = [
        "mfa-fatigue-denied-burst 0.1.0 has no parameter `cuont`; it has: count, window; did you mean `count`?",
        "there is no rule `mfa-fatigue-denied-burts`; did you mean `mfa-fatigue-denied-burst`?",
        "exception `old`: rule mfa-fatigue-denied-burst has no field `acess_device.ip`, so it holds for nothing of it; did you \
         mean `access_device.ip`?",
    ];
    let check = site.picket(&["check", "--offline"]).with_code(0);
    for sentence in sentences {
        assert!(check.all().contains(sentence), "{sentence}: {check:?}");
    }
    assert!(check.all().contains("acme.yaml:11:"), "{check:?}");
    site.run();
    advance(&site, base + 10 * MINUTE);
    assert_eq!(about(&site.alerts("acme", BURST)), ["ada"], "it judges");
    let text = std::fs::read_to_string(site.path("err.log")).unwrap();
    let rules = site.rules();
    let rule = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap();
    assert_eq!(rule(BURST)["does_not_apply"].as_array().unwrap().len(), 2, "{rules:?}");
    assert_eq!(rule("mfa-fatigue-denied-burts")["state"], "off");
    for sentence in sentences {
        assert!(text.contains(sentence), "{sentence}: {text}");
        assert!(
            rules
                .iter()
                .any(|rule| rule["reason"].as_str().unwrap().contains(sentence)),
            "{sentence}"
        );
    }
    site.stop();
}
