//! Trust Monitor as a client meets it, short of the wire: opaque offsets, and rows that change after they were sent.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use common::{BEGIN, IKEY, SKEY, ask, body};
use duo_simulator::clock::Clock;
use duo_simulator::model::{Account, Feed, Later, Row};
use duo_simulator::server::{Limit, Settings, State};
use serde_json::{Value, json};

const PATH: &str = "/admin/v1/trust_monitor/events";
const NOW: i64 = BEGIN + 3_600_000;

/// `count` events, one a second; the first is triaged when the hour is over.
fn state(count: i64) -> State {
    let event = |at: i64, state: &str| {
        let kind = if at % 3 == 0 { "bypass_status" } else { "auth" };
        json!({"sekey": format!("SE{at:018}"), "state": state, "surfaced_timestamp": BEGIN + at * 1_000, "type": kind})
    };
    let row = |at: i64| Row {
        feed: Feed::TrustMonitor,
        time_us: (BEGIN + at * 1_000) * 1_000,
        id: format!("SE{at:018}"),
        json: event(at, "new"),
    };
    let account = Account {
        name: "acme".into(),
        ikey: IKEY.into(),
        skey: SKEY.into(),
        rows: (0..count).map(row).collect(),
        later: vec![Later {
            feed: Feed::TrustMonitor,
            id: format!("SE{:018}", 0),
            from_us: NOW * 1_000,
            json: event(0, "processed"),
        }],
        ..Account::default()
    };
    let settings = Settings {
        limit: Limit {
            per_minute: None,
            lock_out_s: 0,
        },
        ..Settings::default()
    };
    State::new(vec![account], Clock::new(NOW, NOW - 1, 1.0, true), settings)
}

fn page(state: &State, more: &str) -> Value {
    // As signed: encoded and sorted by name.
    let mut parts = vec![format!("maxtime={NOW}"), format!("mintime={BEGIN}")];
    parts.extend(more.split('&').filter(|part| !part.is_empty()).map(str::to_owned));
    parts.sort();
    body(&ask(state, PATH, &parts.join("&"), NOW))
}

fn walk(state: &State, more: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut offset = String::new();
    loop {
        let page = page(state, &format!("{more}{offset}"));
        events.extend(page["response"]["events"].as_array().unwrap().iter().cloned());
        match page["response"]["metadata"].get("next_offset") {
            Some(next) => offset = format!("&offset={}", next.as_str().unwrap()),
            None => return events,
        }
    }
}

#[test]
fn a_walk_by_offset_gives_every_event_once() {
    let state = state(431);
    for limit in [1, 7, 199, 200] {
        let events = walk(&state, &format!("limit={limit}"));
        assert_eq!(events.len(), 431, "by {limit}");
        assert!(events.is_sorted_by(|a, b| a["sekey"].as_str() < b["sekey"].as_str()));
    }
    assert_eq!(
        page(&state, "")["response"]["events"].as_array().unwrap().len(),
        50,
        "by default"
    );
    assert_eq!(
        page(&state, "limit=200&offset=1591444")["response"]["metadata"],
        json!({}),
        "the end"
    );
}

#[test]
fn events_are_of_a_type_if_one_is_asked_for() {
    let state = state(30);
    let of = |kind: &str| walk(&state, &format!("limit=4&type={kind}")).len();
    assert_eq!(
        (of("auth"), of("bypass_status_enabled")),
        (20, 10),
        "the filter's word is not the event's"
    );
}

#[test]
fn an_event_is_another_after_it_was_sent_and_no_window_brings_it_back() {
    let state = state(3);
    assert_eq!(walk(&state, "")[0]["state"], "new");
    let now = jiff::Timestamp::from_millisecond(NOW).unwrap().to_string();
    state.control(json!({"now": now}).to_string().as_bytes(), NOW).unwrap();
    assert_eq!(walk(&state, "")[0]["state"], "processed");
    let later = body(&ask(&state, PATH, &format!("maxtime={}&mintime={NOW}", NOW + 1), NOW));
    assert_eq!(
        later["response"]["events"],
        json!([]),
        "the window is on surfaced_timestamp"
    );
}

#[test]
fn what_is_wrong_is_named() {
    let state = state(3);
    for (more, detail) in [
        ("limit=201", "limit"),
        ("limit=0", "limit"),
        ("offset=1", "offset"),
        ("offset=x", "offset"),
        ("type=bypass_status", "type"),
    ] {
        assert_eq!(page(&state, more)["message_detail"], detail, "{more}");
    }
}
