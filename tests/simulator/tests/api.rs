//! The log endpoints as a client meets them, short of the wire.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use common::{BEGIN, IKEY, account, ask, body, signed, state};
use duo_simulator::clock::Clock;
use duo_simulator::server::{Manner, Reply, Settings, State};
use serde_json::{Value, json};

const HOUR: i64 = 3_600_000;
const NOW: i64 = BEGIN + HOUR;
const AUTHENTICATION: &str = "/admin/v2/logs/authentication";
const ACTIVITY: &str = "/admin/v2/logs/activity";

fn window(from: i64, to: i64) -> String {
    format!("maxtime={to}&mintime={from}")
}

/// All parameters, encoded and sorted as they are signed.
fn query(pairs: &[(&str, &str)]) -> String {
    let mut encoded: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={}", value.replace(':', "%3A").replace(',', "%2C")))
        .collect();
    encoded.sort();
    encoded.join("&")
}

fn rows(reply: &Reply) -> Vec<Value> {
    let response = &body(reply)["response"];
    let list = response
        .get("authlogs")
        .or_else(|| response.get("items"))
        .unwrap_or(response);
    list.as_array().unwrap().clone()
}

/// The ids of a whole walk, as a collector walks: until no offset or no rows.
fn walk(state: &State, path: &str, id: &str, sort: &str, limit: usize) -> Vec<String> {
    let (from, to, limit) = (BEGIN.to_string(), NOW.to_string(), limit.to_string());
    let mut ids = Vec::new();
    let mut offset: Option<String> = None;
    loop {
        let mut pairs = vec![
            ("limit", limit.as_str()),
            ("maxtime", &to),
            ("mintime", &from),
            ("sort", sort),
        ];
        if let Some(offset) = &offset {
            pairs.push(("next_offset", offset));
        }
        let reply = ask(state, path, &query(&pairs), NOW);
        assert_eq!(reply.status, 200, "{}", reply.body);
        let page = rows(&reply);
        ids.extend(page.iter().map(|row| row[id].as_str().unwrap().to_owned()));
        let next = &body(&reply)["response"]["metadata"]["next_offset"];
        offset = match next {
            Value::Array(halves) => Some(
                halves
                    .iter()
                    .map(|half| half.as_str().unwrap())
                    .collect::<Vec<_>>()
                    .join(","),
            ),
            Value::String(text) => Some(text.clone()),
            _ => None,
        };
        if page.is_empty() || offset.is_none() {
            return ids;
        }
    }
}

#[test]
fn paging_to_the_end_gives_every_row_once_whatever_the_limit() {
    let state = state(731, NOW);
    for (path, id, feed) in [
        (AUTHENTICATION, "txid", 1),
        (ACTIVITY, "activity_id", 2),
        ("/admin/v2/logs/telephony", "telephony_id", 3),
    ] {
        let mut expected: Vec<(i64, String)> = (0..731)
            .map(|at| {
                (
                    (BEGIN * 1_000 + at * 700) / 1_000,
                    format!("{feed:08x}-0000-4000-8000-{:012x}", 731 - at),
                )
            })
            .collect();
        expected.sort();
        let ascending: Vec<String> = expected.into_iter().map(|(_, id)| id).collect();
        let descending: Vec<String> = ascending.iter().rev().cloned().collect();
        for limit in [1, 7, 100, 365, 730, 731, 732, 1000] {
            assert_eq!(walk(&state, path, id, "ts:asc", limit), ascending, "{path} by {limit}");
            assert_eq!(
                walk(&state, path, id, "ts:desc", limit),
                descending,
                "{path} by {limit}, newest first"
            );
        }
    }
}

#[test]
fn offsets_have_the_shapes_of_their_feeds() {
    let state = state(3, NOW);
    let page = |path, limit: &str, to: i64| {
        let pairs = [
            ("limit", limit),
            ("maxtime", &to.to_string()),
            ("mintime", &BEGIN.to_string()),
            ("sort", "ts:asc"),
        ];
        body(&ask(&state, path, &query(&pairs), NOW))["response"]["metadata"].clone()
    };
    let id = "00000001-0000-4000-8000-000000000001";
    assert_eq!(
        page(AUTHENTICATION, "1000", NOW),
        json!({"next_offset": [(BEGIN + 1).to_string(), id], "total_objects": 3}),
        "an array, even on the last page"
    );
    assert_eq!(
        page(ACTIVITY, "1", NOW),
        json!({"next_offset": format!("{BEGIN},00000002-0000-4000-8000-000000000002"), "total_objects": 3}),
        "one text while more rows remain: of two in a millisecond the lesser id comes first"
    );
    assert_eq!(page(ACTIVITY, "3", NOW), json!({"total_objects": 3}), "none at the end");
    let nothing = query(&[
        ("maxtime", &(BEGIN - 1).to_string()),
        ("mintime", &(BEGIN - 10).to_string()),
    ]);
    assert_eq!(
        ask(&state, AUTHENTICATION, &nothing, NOW).body,
        r#"{"response": {"authlogs": [], "metadata": {"next_offset": null, "total_objects": 0}}, "stat": "OK"}"#
    );
    assert_eq!(
        ask(&state, ACTIVITY, &nothing, NOW).body,
        r#"{"response": {"items": [], "metadata": {"total_objects": 0}}, "stat": "OK"}"#
    );
}

#[test]
fn a_row_appears_two_minutes_after_it_happened() {
    let seen = |now: i64| rows(&ask(&state(1, now), ACTIVITY, &window(BEGIN - HOUR, now + HOUR), now)).len();
    assert_eq!(seen(BEGIN + 119_999), 0);
    assert_eq!(seen(BEGIN + 120_000), 1);
    let v1 = |now: i64| rows(&ask(&state(1, now), "/admin/v1/logs/administrator", "mintime=0", now)).len();
    assert_eq!((v1(BEGIN + 119_999), v1(BEGIN + 120_000)), (0, 1));
}

#[test]
fn filters_of_the_authentication_log_hold() {
    let state = state(100, NOW);
    let page = |filter: &str| {
        rows(&ask(
            &state,
            AUTHENTICATION,
            &format!("{}&{filter}", window(BEGIN, NOW)),
            NOW,
        ))
        .len()
    };
    assert_eq!(page("results=denied"), 10);
    assert_eq!(page("results=denied&results=success"), 100);
    assert_eq!(page("users=DU2"), 0);
}

#[test]
fn v1_pages_finish_their_second_and_lead_to_the_end_by_last_timestamp() {
    // 700 µs apart: 1429 rows to a second.
    let state = state(3_000, NOW);
    for path in [
        "/admin/v1/logs/administrator",
        "/admin/v1/logs/authentication",
        "/admin/v1/logs/telephony",
    ] {
        let page = |from: i64| rows(&ask(&state, path, &format!("mintime={from}"), NOW));
        let begin = BEGIN / 1_000;
        assert_eq!(page(0).len(), 1429, "{path}: more than 1000, to the end of the second");
        assert_eq!(page(begin + 1).len(), 1429);
        assert_eq!(page(begin + 2).len(), 142);
        assert_eq!(page(begin + 3).len(), 0);
    }
    let row = &rows(&ask(&state, "/admin/v1/logs/telephony", "mintime=0", NOW))[0];
    assert_eq!(
        *row,
        json!({"context": "authentication", "credits": 1, "isotimestamp": "2026-09-21T11:26:40+00:00",
            "phone": "+32470000001", "timestamp": BEGIN / 1_000, "type": "sms"})
    );
}

#[test]
fn refusals_are_duos_byte_for_byte() {
    let state = state(1, NOW);
    let good = signed(AUTHENTICATION, &window(BEGIN, NOW), NOW);
    let without = |name: &str| {
        let mut request = good.clone();
        request.headers.retain(|(known, _)| known != name);
        state.answer(&request, NOW)
    };
    let with = |name: &str, value: &str| {
        let mut request = good.clone();
        for (known, old) in &mut request.headers {
            if known == name {
                value.clone_into(old);
            }
        }
        state.answer(&request, NOW)
    };
    let is = |reply: Reply, status: u16, body: &str| assert_eq!((reply.status, reply.body.as_str()), (status, body));
    assert_eq!(state.answer(&good, NOW).status, 200);

    is(
        without("authorization"),
        401,
        r#"{"code": 40101, "message": "Missing request credentials", "stat": "FAIL"}"#,
    );
    is(
        with("authorization", "Basic RElPVEhFUjphYmNk"),
        401,
        r#"{"code": 40102, "message": "Invalid integration key in request credentials", "stat": "FAIL"}"#,
    );
    is(
        with("host", "api-elsewhere.example.com"),
        401,
        r#"{"code": 40103, "message": "Invalid signature in request credentials", "stat": "FAIL"}"#,
    );
    is(
        without("date"),
        401,
        r#"{"code": 40104, "message": "Missing request timestamp", "stat": "FAIL"}"#,
    );
    is(
        with("date", "yesterday"),
        401,
        r#"{"code": 40105, "message": "Bad request timestamp", "stat": "FAIL"}"#,
    );
    is(
        ask(&state, AUTHENTICATION, "maxtime=1", NOW),
        400,
        r#"{"code": 40001, "message": "Missing required request parameters", "stat": "FAIL"}"#,
    );
    is(
        ask(&state, AUTHENTICATION, &window(BEGIN / 1_000, NOW), NOW),
        400,
        r#"{"code": 40002, "message": "Invalid request parameters", "message_detail": "'mintime' must be a timestamp in milliseconds", "stat": "FAIL"}"#,
    );
    is(
        ask(&state, "/admin/v1/nonsense", "", NOW),
        404,
        r#"{"code": 40401, "message": "Resource not found", "stat": "FAIL"}"#,
    );
    let mut posted = good.clone();
    posted.method = "POST".into();
    is(
        state.answer(&posted, NOW),
        405,
        r#"{"code": 40501, "message": "Method not allowed", "stat": "FAIL"}"#,
    );
}

#[test]
fn a_date_may_be_five_minutes_off_and_no_more() {
    let state = state(1, NOW);
    let status = |off_s: i64| {
        state
            .answer(&signed(ACTIVITY, &window(BEGIN, NOW), NOW + off_s * 1_000), NOW)
            .status
    };
    assert_eq!([-301, -300, 0, 300, 301].map(status), [401, 200, 200, 200, 401]);
}

#[test]
fn dates_by_the_wall_or_by_the_fast_clock_are_good() {
    let settings = Settings::default();
    let state = State::new(vec![account(1)], Clock::new(0, BEGIN, 720.0, false), settings);
    // A minute of the wall later it is half a day later at Duo.
    let (wall, sim) = (60_000, BEGIN + 43_200_000);
    assert_eq!(state.date_ms(wall), sim);
    let status = |date: i64| state.answer(&signed(ACTIVITY, &window(BEGIN, sim), date), wall).status;
    assert_eq!(status(wall), 200);
    assert_eq!(status(sim - HOUR), 200, "five seconds of the wall behind");
    assert_eq!(status(wall + 8 * HOUR), 401);
}

#[test]
fn two_requests_a_minute_unless_told_otherwise() {
    let state = State::new(vec![account(1)], Clock::new(NOW, NOW, 1.0, false), Settings::default());
    let status = |s: i64| ask(&state, ACTIVITY, &window(BEGIN, NOW), NOW + s * 1_000).status;
    assert_eq!([0, 1, 2, 61].map(status), [200, 200, 429, 200]);
    state.control(br#"{"rate_limit": null}"#, NOW).unwrap();
    assert_eq!([62, 62, 62].map(status), [200, 200, 200]);
}

#[test]
fn faults_strike_as_told_and_end() {
    let state = state(5, NOW);
    let get = |path: &str| ask(&state, path, &window(BEGIN, NOW), NOW);
    let fault = |json: &str| {
        state
            .control(format!(r#"{{"faults": [{json}]}}"#).as_bytes(), NOW)
            .unwrap()
    };

    fault(r#"{"kind": "forbidden", "feed": "activity"}"#);
    assert_eq!(
        get(ACTIVITY).body,
        r#"{"code": 40301, "message": "Access forbidden", "stat": "FAIL"}"#
    );
    assert_eq!(get(AUTHENTICATION).status, 200);

    fault(r#"{"kind": "internal_error", "after": 1, "times": 1}"#);
    assert_eq!(
        [get(ACTIVITY).status, get(ACTIVITY).status, get(ACTIVITY).status],
        [200, 500, 200]
    );

    fault(r#"{"kind": "bad_gateway"}"#);
    let reply = get(ACTIVITY);
    assert_eq!((reply.status, reply.content_type), (502, "text/html"));

    fault(r#"{"kind": "reset"}"#);
    assert_eq!(get(ACTIVITY).manner, Manner::Reset);
    fault(r#"{"kind": "rotated_secret"}"#);
    assert_eq!(body(&get(ACTIVITY))["code"], 40103);
    fault(r#"{"kind": "lock_out"}"#);
    assert_eq!(body(&get(ACTIVITY))["code"], 42901);

    fault(r#"{"kind": "truncated_json"}"#);
    assert!(serde_json::from_str::<Value>(&get(ACTIVITY).body).is_err());
    fault(r#"{"kind": "duplicate_rows"}"#);
    let page = rows(&get(ACTIVITY));
    assert_eq!((page.len(), page.first() == page.last()), (6, true));
    fault(r#"{"kind": "unknown_fields"}"#);
    assert!(rows(&get(ACTIVITY))[0].get("never_heard_of").is_some());
    fault(r#"{"kind": "unknown_values"}"#);
    assert_eq!(rows(&get(AUTHENTICATION))[0]["factor"], "carrier_pigeon");

    let administrator = |state: &State| rows(&ask(state, "/admin/v1/logs/administrator", "mintime=0", NOW));
    assert_eq!(administrator(&state)[0]["action"], "never_heard_of");

    fault(r#"{"kind": "empty_page", "times": 1}"#);
    let reply = get(AUTHENTICATION);
    assert!(rows(&reply).is_empty() && body(&reply)["response"]["metadata"]["next_offset"].is_array());

    fault(r#"{"kind": "repeated_offset"}"#);
    let asked = format!("{BEGIN},00000002-0000-4000-8000-000000000005");
    let pairs = [
        ("maxtime", &*NOW.to_string()),
        ("mintime", &BEGIN.to_string()),
        ("next_offset", &asked),
        ("sort", "ts:asc"),
    ];
    let reply = ask(&state, ACTIVITY, &query(&pairs), NOW);
    assert_eq!(body(&reply)["response"]["metadata"]["next_offset"], asked);

    fault(r#"{"kind": "late_rows", "share": 1, "by_s": 7200}"#);
    assert!(rows(&get(ACTIVITY)).is_empty());
    fault("");
    assert_eq!(rows(&get(ACTIVITY)).len(), 5);
}

#[test]
fn a_skewed_clock_shows_in_the_date_and_refuses_true_dates() {
    let state = state(1, NOW);
    state
        .control(br#"{"fault": {"kind": "clock_skew", "by_s": -900}}"#, NOW)
        .unwrap();
    assert_eq!(state.date_ms(NOW), NOW - 900_000);
    let status = |date: i64| state.answer(&signed(ACTIVITY, &window(BEGIN, NOW), date), NOW).status;
    assert_eq!((status(NOW), status(NOW - 900_000)), (401, 200));
}

#[test]
fn a_rotated_key_is_the_only_good_one() {
    let state = state(1, NOW);
    state
        .control(br#"{"rotate": {"account": "acme", "skey": "new"}}"#, NOW)
        .unwrap();
    assert_eq!(body(&ask(&state, ACTIVITY, &window(BEGIN, NOW), NOW))["code"], 40103);
}

#[test]
fn status_tells_rows_seen_and_served() {
    let state = state(5, NOW);
    let _ = ask(&state, ACTIVITY, &format!("limit=2&{}", window(BEGIN, NOW)), NOW);
    let _ = ask(&state, ACTIVITY, &format!("limit=3&{}", window(BEGIN, NOW)), NOW);
    let status = state.status(NOW);
    assert_eq!(status["now"], "2026-09-21T12:26:40Z");
    assert_eq!(status["accounts"][0]["ikey"], IKEY);
    assert_eq!(
        status["accounts"][0]["feeds"]["activity"],
        json!({"rows": 5, "visible": 5, "served": 3, "sent": 5})
    );
    assert_eq!(
        status["requests"],
        json!([{"account": "acme", "path": ACTIVITY, "status": 200, "count": 2}])
    );
    assert!(!status.to_string().contains(common::SKEY));
}

#[test]
fn the_door_is_for_loopback_and_says_what_is_wrong() {
    let state = state(1, NOW);
    let request = |method: &str, path: &str, body: &str, peer: [u8; 4]| {
        let mut request = signed(path, "", NOW);
        request.method = method.into();
        request.body = body.as_bytes().to_vec();
        request.peer = peer.into();
        state.answer(&request, NOW)
    };
    let home = [127, 0, 0, 1];
    assert_eq!(request("GET", "/sim/status", "", [192, 0, 2, 1]).status, 403);
    assert_eq!(
        body(&request("GET", "/sim/planted", "", home))[0]["story"],
        "push-fatigue"
    );
    assert_eq!(body(&request("GET", "/sim/planted", "", home))[0]["account"], "acme");
    assert_eq!(
        body(&request(
            "POST",
            "/sim/control",
            r#"{"clock": "go", "speed": 720}"#,
            home
        ))["speed"],
        720.0
    );
    for (wrong, told) in [
        (r#"{"sped": 2}"#, "unknown field `sped`"),
        (r#"{"now": "noon"}"#, "RFC 3339"),
        (r#"{"fault": {"kind": "slow_body"}}"#, "needs `over_ms`"),
        (
            r#"{"fault": {"kind": "reset", "account": "nobody"}}"#,
            "no account `nobody`",
        ),
    ] {
        let reply = request("POST", "/sim/control", wrong, home);
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains(told), "{wrong}: {}", reply.body);
    }
    assert_eq!(
        state.status(NOW)["faults"],
        json!([]),
        "a wrong control changes nothing"
    );
}
