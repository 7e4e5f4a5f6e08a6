//! What the tests share: an account with rows of every feed, and a client that signs.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod python;
pub(crate) mod truth;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use duo_simulator::clock::Clock;
use duo_simulator::model::{Account, Feed, Kind, Planted, Row};
use duo_simulator::server::{Limit, Reply, Request, Settings, State};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

pub(crate) const IKEY: &str = "DITESTTESTTESTTEST00";
pub(crate) const SKEY: &str = "testtesttesttesttesttesttesttesttesttest";
/// 2026-09-21T11:26:40Z: when the rows begin, ms.
pub(crate) const BEGIN: i64 = 1_789_990_000_000;

/// `rows` rows of every feed, some of them in one millisecond.
pub(crate) fn account(rows: i64) -> Account {
    let mut all = Vec::new();
    for at in 0..rows {
        // Steps of 700 µs: one or two rows to a millisecond, many to a second.
        let time_us = BEGIN * 1_000 + at * 700;
        let at_time = Timestamp::from_microsecond(time_us).unwrap();
        let ts = at_time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string();
        // Ids fall while times rise, so that order within a millisecond is not that of arrival.
        let id = |feed: u32| format!("{feed:08x}-0000-4000-8000-{:012x}", rows - at);
        let mut put = |feed, id: String, json| {
            all.push(Row {
                feed,
                time_us,
                id,
                json,
            })
        };
        let txid = id(1);
        put(
            Feed::Authentication,
            txid.clone(),
            json!({
                "access_device": {"browser": "Chrome", "ip": "198.51.100.7", "location": {"city": "Île", "country": null}},
                "application": {"key": "DIAPP", "name": "VPN"}, "auth_device": {"name": "+32 470 00 00 01"},
                "email": "ann@example.com", "event_type": "authentication", "factor": "duo_push", "isotimestamp": ts,
                "reason": "user_approved", "result": if at % 10 == 0 { "denied" } else { "success" },
                "timestamp": at_time.as_second(), "txid": txid, "user": {"groups": [], "key": "DU1", "name": "ann"},
            }),
        );
        put(
            Feed::Activity,
            id(2),
            json!({"action": {"details": null, "name": "user_update"}, "activity_id": id(2), "ts": ts}),
        );
        put(
            Feed::Telephony,
            id(3),
            json!({"context": "authentication", "credits": 1, "phone": "+32470000001", "telephony_id": id(3), "ts": ts,
                "txid": id(1), "type": "sms"}),
        );
        put(
            Feed::Administrator,
            id(4),
            json!({"action": "user_update", "description": "{}", "isotimestamp": ts, "object": "ann",
                "timestamp": at_time.as_second(), "username": "root"}),
        );
    }
    let planted = Planted {
        story: "push-fatigue".into(),
        user: Some("ann".into()),
        kind: Kind::Attack,
        from_us: BEGIN * 1_000,
        to_us: BEGIN * 1_000 + 700,
        events: vec!["a".into()],
        note: "Two of them.".into(),
    };
    Account {
        name: "acme".into(),
        ikey: IKEY.into(),
        skey: SKEY.into(),
        rows: all,
        planted: vec![planted],
        ..Account::default()
    }
}

/// The account behind no socket; the clock stands at `now_ms` and there is no rate limit.
pub(crate) fn state(rows: i64, now_ms: i64) -> State {
    let limit = Limit {
        per_minute: None,
        lock_out_s: 0,
    };
    State::new(
        vec![account(rows)],
        Clock::new(now_ms, now_ms, 1.0, true),
        Settings {
            limit,
            ..Settings::default()
        },
    )
}

/// A request signed with v5 at `date_ms`. The query must already be as signed: encoded and sorted.
pub(crate) fn signed(path: &str, query: &str, date_ms: i64) -> Request {
    signed_by((IKEY, SKEY), "127.0.0.1:8443", path, query, date_ms)
}

/// The same with other keys, sent to another host.
pub(crate) fn signed_by(keys: (&str, &str), host: &str, path: &str, query: &str, date_ms: i64) -> Request {
    let (ikey, skey) = keys;
    let at = Timestamp::from_millisecond(date_ms).unwrap();
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
    let empty: String = Sha512::digest(b"").iter().map(|byte| format!("{byte:02x}")).collect();
    let text = [&date, "GET", "127.0.0.1", path, query, &empty, &empty].join("\n");
    let mac = Hmac::<Sha512>::new_from_slice(skey.as_bytes())
        .unwrap()
        .chain_update(text.as_bytes());
    let digest: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let authorization = format!("Basic {}", STANDARD.encode(format!("{ikey}:{digest}")));
    let headers = [
        ("host", host.to_owned()),
        ("date", date),
        ("authorization", authorization),
    ];
    Request {
        method: "GET".into(),
        path: path.into(),
        query: query.into(),
        headers: headers
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        body: Vec::new(),
        peer: [127, 0, 0, 1].into(),
    }
}

/// Asks at `wall_ms`, signed then.
pub(crate) fn ask(state: &State, path: &str, query: &str, wall_ms: i64) -> Reply {
    state.answer(&signed(path, query, wall_ms), wall_ms)
}

pub(crate) fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap()
}
