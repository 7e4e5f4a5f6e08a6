//! The inventory from Duo to the alert: snapshots, changes that rules read, tables that they look up, users that alerts tell.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::collections::BTreeMap;

use duo_simulator::company::{Options, generate};
use duo_simulator::inventory::Kind;
use duo_simulator::model::Account;
use picket_contract::Mark;
use picket_e2e::{Duo, Site, Source, Story, installed};
use picket_store::{EventFilter, Store as _};
use serde_json::{Value, json};

/// 2026-11-18T12:00:00Z, ms.
const NOON: i64 = 1_795_003_200_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// When Ada logs in again, hours after noon.
const HOURS: std::ops::Range<i64> = 2..12;

fn user(status: &str) -> Value {
    json!({"user_id": "DUADA000000000000000", "username": "ada", "realname": "Ada Lovelace", "email": "ada@acme.example",
        "status": status, "is_enrolled": true, "aliases": {}, "last_login": null,
        "groups": [{"group_id": "DG1", "name": "VPN"}],
        "phones": [{"phone_id": "DP1", "number": "+13125558544", "type": "Mobile", "platform": "Apple iOS"}],
        "tokens": [], "webauthncredentials": []})
}

/// Ada logs in at noon, and every hour from two o'clock on; at one she is put into bypass.
fn account() -> Account {
    let noon = Story::of("acme").login(NOON + MINUTE, "ada", "duo_push", "success", "user_approved");
    let story = HOURS.fold(noon, |story, hour| {
        story.login(NOON + hour * HOUR, "ada", "bypass_code", "success", "bypass_user")
    });
    let mut account = story.account();
    let inventory = &mut account.inventory;
    inventory.put(
        Kind::User,
        "DUADA000000000000000",
        i64::MIN,
        &["DP1"],
        Some(&user("active")),
    );
    inventory.put(
        Kind::User,
        "DUADA000000000000000",
        (NOON + HOUR) * 1000,
        &["DP1"],
        Some(&user("bypass")),
    );
    let phone = json!({"phone_id": "DP1", "number": "+13125558544", "type": "Mobile", "platform": "Apple iOS",
        "activation_url": "https://m-1.duosecurity.com/activate/hushhush",
        "users": [{"user_id": "DUADA000000000000000", "username": "ada"}]});
    inventory.put(Kind::Phone, "DP1", i64::MIN, &["DUADA000000000000000"], Some(&phone));
    let application =
        json!({"integration_key": "DIAPP", "name": "VPN", "type": "websdk", "secret_key": "hushhushhush"});
    inventory.put(Kind::Integration, "DIAPP", i64::MIN, &[], Some(&application));
    account
}

fn changes(site: &Site, log: &str) -> Vec<Value> {
    let filter = EventFilter {
        logs: vec![log.to_owned()],
        ..EventFilter::default()
    };
    let rows = site.store().search("acme", &filter).unwrap();
    rows.iter()
        .map(|row| serde_json::from_str(&row.event.raw).unwrap())
        .collect()
}

#[test]
fn a_change_of_a_user_is_told_looked_up_and_named_in_alerts() {
    let mut site = Site::new(Duo::start(vec![account()], NOON + 10 * MINUTE));
    let module = std::fs::read(installed("rules-examples/acme-bypass.wasm")).unwrap();
    site.install(&module, "acme-bypass.wasm");
    let source = Source {
        collect: &["authentication", "inventory"],
        more: "  inventory_interval: 1s\n",
        ..Source::of("acme")
    };
    site.tenant(&source);
    site.run();
    site.wait("the first snapshots", || {
        let users = changes(&site, "user");
        (!users.is_empty() && !changes(&site, "phone").is_empty() && !changes(&site, "integration").is_empty())
            .then_some(())
    });
    let first = &changes(&site, "user")[0];
    assert_eq!(
        (&first["change"], &first["after"]["status"]),
        (&json!("first"), &json!("active"))
    );

    // An hour later she is in bypass, and logs in.
    site.duo.set_clock(NOON + HOUR + 10 * MINUTE);
    let set = site.wait("the change of the user", || {
        site.alerts("acme", "acme-bypass-set").pop()
    });
    let updated = changes(&site, "user").pop().unwrap();
    assert_eq!(
        (&updated["change"], &updated["changed"]),
        (&json!("updated"), &json!(["status"]))
    );
    assert_eq!(set["title"], "ada was put into bypass");
    assert_eq!(set["about"]["key"], "DUADA000000000000000");
    assert_eq!(set["user"]["real_name"], "Ada Lovelace");
    let number = set["user"]["factors"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(set["phones"][&number], "+1 •••8544");

    // New tables follow a snapshot within a second or two: one of her next logins is judged with them.
    for (seen, hour) in (2..).zip(HOURS) {
        site.duo.set_clock(NOON + hour * HOUR + 10 * MINUTE);
        site.wait("her next login", || {
            (changes(&site, "authentication").len() >= seen).then_some(())
        });
        if !site.alerts("acme", "acme-bypass-used").is_empty() {
            break;
        }
    }
    let used = site.wait("the login in bypass", || site.alerts("acme", "acme-bypass-used").pop());
    assert_eq!(used["facts"]["groups"], "VPN");
    assert_eq!(used["events"].as_array().unwrap().len(), 1, "not the login before");
    assert_eq!(used["user"]["status"], "bypass");
    let shown = site
        .picket(&["alerts", "show", used["id"].as_str().unwrap()])
        .with_code(0);
    let line =
        format!("user      Ada Lovelace, ada@acme.example, bypass; groups VPN; factors mobile {number} (Apple iOS)");
    assert!(shown.out.lines().any(|read| read.trim_end() == line), "{}", shown.out);

    // What opens doors is nowhere: not in the store, not in a log, not in an alert.
    site.stop();
    let store = site.store();
    let objects = store.inventory("acme", None).unwrap();
    assert!(objects.iter().any(|object| &*object.kind == "integrations"));
    let all: Vec<String> = objects.iter().map(|object| object.json.to_string()).collect();
    let events = store.search("acme", &EventFilter::default()).unwrap();
    let all = [all, events.iter().map(|event| event.event.raw.to_string()).collect()].concat();
    assert!(all.iter().all(|text| !text.contains("hushhush")), "{all:?}");
    assert!(!site.log().contains("hushhush"));
}

#[test]
fn an_inventory_that_is_not_read_is_waited_for_by_nobody() {
    let mut site = Site::new(Duo::start(vec![account()], NOON + 10 * MINUTE));
    let module = std::fs::read(installed("rules-examples/acme-bypass.wasm")).unwrap();
    site.install(&module, "acme-bypass.wasm");
    site.tenant(&Source {
        collect: &["authentication"],
        ..Source::of("acme")
    });
    site.run();
    let closed = |site: &Site| -> usize {
        let admissions = site.store().read("acme", 0, usize::MAX).unwrap();
        let marks = admissions.iter().flat_map(|admission| &admission.marks);
        let logs = marks.filter_map(|mark| match mark {
            Mark::Closed { log } => Some(log.to_string()),
            _ => None,
        });
        let inventory = ["user", "phone", "token", "admin_account", "summary"];
        logs.filter(|log| inventory.contains(&log.as_str())).count()
    };
    site.wait("the logs of changes to be closed", || {
        (closed(&site) == 5).then_some(())
    });
    site.duo.set_clock(NOON + 3 * HOUR);
    site.wait("the rule that looks up to go on", || {
        let rules = site.store().rules("acme").unwrap();
        let used = rules.iter().find(|row| &*row.rule == "acme-bypass-used")?;
        (used.position.released.time > NOON + 2 * HOUR).then_some(())
    });
    assert_eq!(changes(&site, "user"), Vec::<Value>::new());
    assert_eq!(
        site.alerts("acme", "acme-bypass-used"),
        Vec::<Value>::new(),
        "no table, no alert"
    );
    site.stop();
}

/// When the kinds with a log were read last, ms by Duo's clock.
fn taken(site: &Site) -> Vec<i64> {
    let cursors = site.store().cursors("acme").unwrap();
    let kinds = cursors.iter().filter(|cursor| cursor.log.starts_with("inventory:"));
    let taken = kinds.filter_map(|cursor| serde_json::from_str::<Value>(&cursor.cursor).unwrap()["taken"].as_i64());
    taken.collect()
}

/// Change of every row of the inventory's logs, counted.
fn told(site: &Site) -> BTreeMap<String, usize> {
    let rows = site.store().search("acme", &EventFilter::default()).unwrap();
    let mut told = BTreeMap::new();
    for row in rows.iter().filter(|row| tells_changes(&row.log)) {
        let json: Value = serde_json::from_str(&row.event.raw).unwrap();
        let change = json["change"].as_str().unwrap();
        *told.entry(format!("{} {change}", row.log)).or_default() += 1;
    }
    told
}

fn tells_changes(log: &str) -> bool {
    !["authentication", "activity", "telephony", "administrator"].contains(&log)
}

#[test]
fn a_company_at_rest_changes_nothing_and_one_at_work_does() {
    let start = NOON - 10 * 24 * HOUR;
    let company = generate(&Options {
        seed: 7,
        name: "acme".to_owned(),
        users: 700,
        start_us: start * 1000,
        days: 10,
        target_events: Some(3_000),
        plant: true,
    });
    let mut site = Site::new(Duo::start(vec![company], NOON - 9 * 24 * HOUR));
    site.tenant(&Source {
        collect: &["inventory", "telephony"],
        more: "  inventory_interval: 1s\n",
        ..Source::of("acme")
    });
    site.run();
    let first = site.wait("every kind to be read", || {
        Some(taken(&site)).filter(|taken| taken.len() == 15)
    });
    let after = |what: &str, time: &dyn Fn(usize) -> i64| {
        site.wait(what, || {
            let now = taken(&site);
            let all = now.iter().enumerate().all(|(place, now)| *now > time(place));
            all.then_some(now)
        })
    };
    after("every kind to be read again", &|place| first[place]);
    let at_rest = told(&site);
    assert!(at_rest.keys().all(|change| change.ends_with(" first")), "{at_rest:?}");
    assert!(at_rest["user first"] > 600, "{at_rest:?}");

    site.duo.set_clock(NOON);
    let later = after("every kind to be read at noon", &|_| NOON - 1);
    // What was half read when the clock was moved is behind us with the next.
    after("every kind to be read once more", &|place| later[place]);
    let at_work = told(&site);
    assert!(
        at_work["user updated"] > 0 && at_work["phone created"] > 0,
        "{at_work:?}"
    );
    site.stop();
}
