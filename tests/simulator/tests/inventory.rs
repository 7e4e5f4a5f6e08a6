//! The inventory as a client meets it, short of the wire: it is the company's, and it changes as the company's day goes on.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{body, signed_by};
use duo_simulator::clock::Clock;
use duo_simulator::company::{Options, generate};
use duo_simulator::model::{Account, Feed, Row};
use duo_simulator::server::{Limit, Reply, Settings, State};
use serde_json::Value;

const DAY_US: i64 = 86_400_000_000;

struct Duo {
    state: State,
    rows: Vec<Row>,
    keys: (String, String),
    start_ms: i64,
}

fn duo(seed: u64) -> Duo {
    let options = Options {
        seed,
        users: 90,
        days: 6,
        target_events: Some(1_500),
        ..Options::default()
    };
    let account: Account = generate(&options);
    let (rows, keys) = (account.rows.clone(), (account.ikey.clone(), account.skey.clone()));
    let start_ms = options.start_us / DAY_US * DAY_US / 1_000;
    let settings = Settings {
        limit: Limit {
            per_minute: None,
            lock_out_s: 0,
        },
        ..Settings::default()
    };
    let state = State::new(vec![account], Clock::new(0, start_ms, 1.0, true), settings);
    Duo {
        state,
        rows,
        keys,
        start_ms,
    }
}

impl Duo {
    /// Asks when the simulated clock shows `now_ms`.
    fn ask(&self, path: &str, query: &str, now_ms: i64) -> Reply {
        let now = jiff::Timestamp::from_millisecond(now_ms).unwrap().to_string();
        self.state
            .control(format!("{{\"now\": \"{now}\"}}").as_bytes(), 0)
            .unwrap();
        let keys = (self.keys.0.as_str(), self.keys.1.as_str());
        self.state
            .answer(&signed_by(keys, "127.0.0.1:8443", path, query, now_ms), 0)
    }

    fn list(&self, path: &str, now_ms: i64) -> Vec<Value> {
        let mut all = Vec::new();
        let mut offset = Some(0);
        while let Some(from) = offset {
            let page = body(&self.ask(path, &format!("limit=100&offset={from}"), now_ms));
            all.extend(page["response"].as_array().unwrap().iter().cloned());
            offset = page["metadata"]["next_offset"].as_u64();
        }
        all
    }

    fn end_ms(&self) -> i64 {
        self.start_ms + 6 * DAY_US / 1_000
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn by_id(list: Vec<Value>, id: &str) -> BTreeMap<String, Value> {
    list.into_iter().map(|one| (text(&one, id).to_owned(), one)).collect()
}

#[test]
fn who_and_what_the_logs_name_is_in_the_inventory() {
    for seed in 1..4 {
        let duo = duo(seed);
        // Whoever logs in is there at that time, under that name, and so is the application.
        let users = by_id(duo.list("/admin/v1/users", duo.start_ms), "/user_id");
        let later = by_id(duo.list("/admin/v1/users", duo.end_ms()), "/user_id");
        let applications = by_id(duo.list("/admin/v3/integrations", duo.start_ms), "/integration_key");
        let admins = by_id(duo.list("/admin/v1/admins", duo.start_ms), "/admin_id");
        let groups: BTreeSet<String> = by_id(duo.list("/admin/v1/groups", duo.end_ms()), "/name")
            .into_keys()
            .collect();
        for row in duo.rows.iter().filter(|row| row.feed == Feed::Authentication) {
            let user = text(&row.json, "/user/key");
            // Who has no account has no key, only a name that was tried.
            if user.is_empty() {
                continue;
            }
            let known = users.get(user).or_else(|| later.get(user));
            let known = known.unwrap_or_else(|| panic!("{}", row.json));
            assert_eq!(text(known, "/username"), text(&row.json, "/user/name"));
            assert!(applications.contains_key(text(&row.json, "/application/key")));
            let named = row.json["user"]["groups"].as_array().unwrap();
            assert!(named.iter().all(|group| groups.contains(group.as_str().unwrap())));
        }
        let acting = duo.rows.iter().filter(|row| text(&row.json, "/actor/type") == "admin");
        for row in acting {
            let admin = &admins[text(&row.json, "/actor/key")];
            assert_eq!(text(admin, "/name"), text(&row.json, "/actor/name"));
        }
    }
}

#[test]
fn the_inventory_changes_when_the_logs_say_so() {
    let (mut deleted, mut created, mut codes, mut enrolled) = (0, 0, 0, 0);
    for seed in 1..9 {
        let duo = duo(seed);
        for row in &duo.rows {
            let (before, after) = (row.time_ms() - 1_000, row.time_ms() + 1);
            let target = text(&row.json, "/target/key");
            let user = format!("/admin/v1/users/{target}");
            match (row.feed, text(&row.json, "/action/name")) {
                (Feed::Activity, "user_delete") => {
                    assert_eq!(duo.ask(&user, "", before).status, 200);
                    assert_eq!(duo.ask(&user, "", after).status, 404);
                    deleted += 1;
                }
                (Feed::Activity, "user_create") => {
                    assert_eq!(duo.ask(&user, "", before).status, 404);
                    assert_eq!(
                        text(&body(&duo.ask(&user, "", after)), "/response/username"),
                        text(&row.json, "/target/name")
                    );
                    created += 1;
                }
                (Feed::Activity, "bypass_create") => {
                    let path = format!("/admin/v1/users/{target}/bypass_codes");
                    let count = |now| body(&duo.ask(&path, "", now))["response"].as_array().unwrap().len();
                    assert_eq!(count(after), count(before) + 1);
                    codes += 1;
                }
                _ if text(&row.json, "/event_type") == "enrollment" => {
                    let path = format!("/admin/v1/users/{}/phones", text(&row.json, "/user/key"));
                    let phones = duo.list(&path, after);
                    let key = text(&row.json, "/auth_device/key");
                    assert!(
                        phones.iter().any(|phone| text(phone, "/phone_id") == key),
                        "{path} {key}"
                    );
                    enrolled += 1;
                }
                _ => {}
            }
        }
    }
    assert!(
        deleted > 8 && created > 0 && codes > 3 && enrolled > 8,
        "{deleted} {created} {codes} {enrolled}"
    );
}

#[test]
fn who_is_let_in_without_being_asked_has_the_status_that_does_it() {
    let mut seen = 0;
    for seed in 1..6 {
        let duo = duo(seed);
        for row in duo
            .rows
            .iter()
            .filter(|row| text(&row.json, "/reason") == "bypass_user")
        {
            let path = format!("/admin/v1/users/{}", text(&row.json, "/user/key"));
            assert_eq!(
                text(&body(&duo.ask(&path, "", row.time_ms())), "/response/status"),
                "bypass"
            );
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn the_last_login_is_the_last_one_so_far() {
    let duo = duo(2);
    let logins: Vec<&Row> = duo
        .rows
        .iter()
        .filter(|row| row.feed == Feed::Authentication && text(&row.json, "/result") == "success")
        .filter(|row| text(&row.json, "/event_type") == "authentication")
        .collect();
    let row = logins[logins.len() / 2];
    let path = format!("/admin/v1/users/{}", text(&row.json, "/user/key"));
    let last = |now| body(&duo.ask(&path, "", now))["response"]["last_login"].clone();
    assert_eq!(last(row.time_s() * 1_000), Value::from(row.time_s()));
    assert_ne!(last(row.time_s() * 1_000 - 1), Value::from(row.time_s()));
}

#[test]
fn lists_are_paged_with_their_metadata_beside_them() {
    let duo = duo(1);
    let ask = |query: &str| duo.ask("/admin/v1/users", query, duo.start_ms);
    let page = |query: &str| body(&ask(query));
    let total = page("limit=300")["metadata"]["total_objects"].as_u64().unwrap();
    let first = ask("limit=40");
    assert!(
        first
            .body
            .starts_with("{\"metadata\": {\"next_offset\": 40, \"total_objects\": "),
        "{}",
        first.body
    );
    let last = page("limit=40&offset=80");
    assert_eq!(last["metadata"].get("next_offset"), None);
    assert_eq!(last["metadata"]["prev_offset"], 40);
    assert_eq!(last["response"].as_array().unwrap().len() as u64, total - 80);
    for (query, detail) in [
        ("limit=301", "limit"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("offset=-1", "offset"),
    ] {
        assert_eq!(page(query)["message_detail"], detail, "{query}");
    }
    let phones = duo.ask("/admin/v1/phones", "limit=500", duo.start_ms);
    assert_eq!(phones.status, 200, "others go to 500");
    let user = &page("limit=1")["response"][0];
    let name = text(user, "/username").replace('@', "%40");
    assert_eq!(
        page(&format!("username={name}"))["response"].as_array().unwrap().len(),
        1
    );
    assert_eq!(duo.ask("/admin/v1/users/DUNOBODY", "", duo.start_ms).status, 404);
}

#[test]
fn integrations_come_with_their_secret_keys_as_duos_do() {
    let duo = duo(1);
    let integrations = by_id(duo.list("/admin/v3/integrations", duo.start_ms), "/integration_key");
    assert_eq!(
        text(&integrations[&duo.keys.0], "/secret_key"),
        duo.keys.1,
        "our own among them"
    );
    assert!(integrations.values().all(|one| text(one, "/secret_key").len() == 40));
}
