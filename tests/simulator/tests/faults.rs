//! The ways to misbehave, each as a client meets it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use common::{BEGIN, ask, body, signed, state};
use duo_simulator::server::{Gzip, Reply, State};
use serde_json::{Value, json};

const NOW: i64 = BEGIN + 3_600_000;
const ACTIVITY: &str = "/admin/v2/logs/activity";
const LOGS: [&str; 4] = [
    "/admin/v2/logs/authentication",
    ACTIVITY,
    "/admin/v2/logs/telephony",
    "/admin/v1/logs/administrator",
];

fn tell(state: &State, control: Value) {
    state.control(control.to_string().as_bytes(), NOW).unwrap();
}

fn window(more: &str) -> String {
    let end = if more.is_empty() {
        String::new()
    } else {
        format!("&{more}")
    };
    format!("limit=10&maxtime={NOW}&mintime={BEGIN}{end}&sort=ts%3Aasc")
}

/// A log with a fault in force.
fn struck(fault: Value, path: &str, more: &str) -> Reply {
    let state = state(25, NOW);
    tell(&state, json!({"fault": fault}));
    let query = if path.contains("/v1/") {
        String::new()
    } else {
        window(more)
    };
    ask(&state, path, &query, NOW)
}

fn rows(reply: &Reply) -> Vec<Value> {
    let response = &body(reply)["response"];
    let list = response
        .get("authlogs")
        .or_else(|| response.get("items"))
        .unwrap_or(response);
    list.as_array().unwrap().clone()
}

#[test]
fn what_stands_in_for_the_answer_is_the_same_on_every_log() {
    for path in LOGS {
        for (fault, status, code) in [
            (json!({"kind": "internal_error"}), 500, 50001),
            (json!({"kind": "lock_out"}), 429, 42901),
            (json!({"kind": "bad_date"}), 401, 40105),
            (json!({"kind": "rotated_secret"}), 401, 40103),
            (json!({"kind": "deleted_ikey"}), 401, 40102),
            (json!({"kind": "forbidden"}), 403, 40301),
            (json!({"kind": "not_found"}), 404, 40401),
            (json!({"kind": "fail_ok"}), 200, 50001),
        ] {
            let reply = struck(fault.clone(), path, "");
            assert_eq!(
                (reply.status, &body(&reply)["code"]),
                (status, &json!(code)),
                "{path} {fault}"
            );
            assert_eq!(body(&reply)["stat"], "FAIL");
        }
        for (kind, status) in [("bad_gateway", 502), ("portal", 200)] {
            let reply = struck(json!({"kind": kind}), path, "");
            assert_eq!((reply.status, reply.content_type), (status, "text/html"));
        }
        let malformed = struck(json!({"kind": "malformed_json"}), path, "");
        assert_eq!(malformed.status, 200);
        assert!(serde_json::from_str::<Value>(&malformed.body).is_err());
        for (kind, gzip) in [("gzip", Gzip::Whole), ("truncated_gzip", Gzip::Half)] {
            assert_eq!(struck(json!({"kind": kind}), path, "").gzip, gzip);
        }
    }
}

#[test]
fn a_fault_says_more_if_it_is_told_to() {
    let reply = struck(json!({"kind": "lock_out", "retry_after_s": 240}), ACTIVITY, "");
    assert_eq!(reply.retry_after_s, Some(240));
    assert_eq!(
        struck(json!({"kind": "lock_out"}), ACTIVITY, "").retry_after_s,
        None,
        "Duo's says nothing"
    );
    let reply = struck(
        json!({"kind": "forbidden", "detail": "Not in this edition."}),
        ACTIVITY,
        "",
    );
    assert_eq!(body(&reply)["message_detail"], "Not in this edition.");
}

#[test]
fn rows_are_repeated_shuffled_and_inflated() {
    let plain = rows(&ask(&state(25, NOW), ACTIVITY, &window(""), NOW));
    let shuffled = struck(json!({"kind": "shuffled_rows"}), ACTIVITY, "");
    let mut back = rows(&shuffled);
    back.reverse();
    assert_eq!(back, plain);
    let offset = &body(&shuffled)["response"]["metadata"]["next_offset"];
    assert!(
        offset
            .as_str()
            .unwrap()
            .ends_with(plain[9]["activity_id"].as_str().unwrap()),
        "the offset is right"
    );
    let huge = struck(json!({"kind": "huge_row", "bytes": 2_000_000}), ACTIVITY, "");
    assert!(huge.body.len() > 2_000_000);
    assert_eq!(rows(&huge)[0]["activity_id"], plain[0]["activity_id"]);
    let twice = rows(&struck(json!({"kind": "duplicate_rows"}), ACTIVITY, ""));
    assert_eq!((twice.len(), &twice[10]), (11, &plain[0]));
}

#[test]
fn a_page_that_is_sent_twice_has_the_offset_it_had() {
    for (path, sort) in [(ACTIVITY, "ts%3Aasc"), (LOGS[0], "ts%3Aasc"), (ACTIVITY, "ts%3Adesc")] {
        let state = state(25, NOW);
        let ask = |after: &str| {
            let query = format!("limit=10&maxtime={NOW}&mintime={BEGIN}{after}&sort={sort}");
            ask(&state, path, &query, NOW)
        };
        let first = ask("");
        let offset = match &body(&first)["response"]["metadata"]["next_offset"] {
            Value::Array(halves) => format!("{},{}", halves[0].as_str().unwrap(), halves[1].as_str().unwrap()),
            text => text.as_str().unwrap().to_owned(),
        };
        let after = format!("&next_offset={}", offset.replace(',', "%2C"));
        tell(&state, json!({"fault": {"kind": "duplicate_page", "times": 1}}));
        let again = ask(&after);
        assert_eq!(rows(&again), rows(&first));
        assert_eq!(
            body(&again)["response"]["metadata"]["next_offset"],
            body(&first)["response"]["metadata"]["next_offset"]
        );
        assert_ne!(rows(&ask(&after)), rows(&first), "then it goes on");
    }
}

#[test]
fn offsets_are_null_absent_or_lost() {
    let last = format!("next_offset={BEGIN}%2Cz").replace(&BEGIN.to_string(), &(NOW - 1).to_string());
    let member = |kind: &str, path: &str, more: &str| {
        let reply = struck(json!({"kind": kind}), path, more);
        body(&reply)["response"]["metadata"].get("next_offset").cloned()
    };
    for path in [LOGS[0], ACTIVITY] {
        assert_eq!(member("null_offset", path, &last), Some(Value::Null), "{path}");
        assert_eq!(member("absent_offset", path, &last), None, "{path}");
        assert!(
            member("null_offset", path, "").is_some_and(|offset| !offset.is_null()),
            "rows remain"
        );
        assert!(member("absent_offset", path, "").is_some(), "rows remain");
        assert_eq!(member("lost_offset", path, ""), None, "rows remain, and yet");
    }
    let total = struck(json!({"kind": "object_total"}), LOGS[0], "");
    assert_eq!(
        body(&total)["response"]["metadata"]["total_objects"],
        json!({"relation": "eq", "value": 25})
    );
}

#[test]
fn a_v1_page_may_end_in_the_middle_of_a_second() {
    // Steps of 700 microseconds: some 1,428 rows to a second.
    let state = state(2_000, NOW);
    assert_eq!(
        rows(&ask(&state, LOGS[3], "", NOW)).len(),
        1_429,
        "to the end of the second"
    );
    tell(
        &state,
        json!({"fault": {"kind": "cut_second", "feed": "administrator", "times": 1}}),
    );
    let cut = rows(&ask(&state, LOGS[3], "", NOW));
    assert_eq!(cut.len(), 1_000);
    assert_eq!(
        cut[0]["timestamp"], cut[999]["timestamp"],
        "nothing in it leads further"
    );
}

#[test]
fn late_rows_may_each_be_late_by_a_time_of_their_own() {
    let state = state(200, BEGIN);
    tell(
        &state,
        json!({"fault": {"kind": "late_rows", "share": 1.0, "by_s": 970, "spread": true}}),
    );
    let seen = |after_s: i64| {
        let now = BEGIN + after_s * 1_000;
        tell(
            &state,
            json!({"now": jiff::Timestamp::from_millisecond(now).unwrap().to_string()}),
        );
        let query = format!("limit=1000&maxtime={NOW}&mintime={BEGIN}");
        rows(&state.answer(&signed(ACTIVITY, &query, now), NOW)).len()
    };
    assert_eq!(seen(121), 0);
    let half = seen(121 + 485);
    assert!((60..140).contains(&half), "{half}");
    assert_eq!(seen(121 + 970), 200);
}

#[test]
fn a_fault_is_for_whom_and_what_it_names() {
    let state = state(5, NOW);
    let inventory = "/admin/v1/users";
    tell(
        &state,
        json!({"faults": [
            {"kind": "internal_error", "path": inventory, "times": 1},
            {"kind": "forbidden", "feed": "telephony"},
            {"kind": "not_found", "account": "acme", "path": ACTIVITY},
        ]}),
    );
    let status = |path: &str, query: &str| ask(&state, path, query, NOW).status;
    assert_eq!(status(inventory, ""), 500);
    assert_eq!(status(inventory, ""), 200);
    assert_eq!(status(LOGS[2], &window("")), 403);
    assert_eq!(status("/admin/v1/logs/telephony", ""), 403, "whatever its version");
    assert_eq!(status(ACTIVITY, &window("")), 404);
    assert_eq!(status(LOGS[3], ""), 200);
}

#[test]
fn what_is_not_granted_is_forbidden() {
    let state = state(5, NOW);
    tell(
        &state,
        json!({"grant": {"account": "acme", "permissions": ["read_log"]}}),
    );
    let status = |path: &str, query: &str| ask(&state, path, query, NOW).status;
    assert_eq!(status(ACTIVITY, &window("")), 200);
    for path in [
        "/admin/v1/users",
        "/admin/v1/admins",
        "/admin/v1/settings",
        "/admin/v3/integrations",
        "/admin/v1/info/summary",
    ] {
        assert_eq!(status(path, ""), 403, "{path}");
    }
    tell(
        &state,
        json!({"grant": {"account": "acme", "permissions": ["read_resource", "administrators"]}}),
    );
    assert_eq!(
        (status("/admin/v1/users", ""), status("/admin/v1/admins", "")),
        (200, 200)
    );
    assert_eq!(status(ACTIVITY, &window("")), 403);
}

#[test]
fn clocks_may_be_strict_and_signatures_good_once() {
    let state = state(5, NOW);
    let at = |skew_s: i64| {
        let request = signed(ACTIVITY, &window(""), NOW + skew_s * 1_000);
        body(&state.answer(&request, NOW))["code"].clone()
    };
    assert_eq!(at(200), Value::Null);
    tell(&state, json!({"skew_s": 60}));
    assert_eq!((at(59), at(-59), at(70)), (Value::Null, Value::Null, json!(40105)));
    tell(&state, json!({"stale_is_forged": true}));
    assert_eq!(at(70), json!(40103));
    tell(&state, json!({"refuse_replays": true}));
    assert_eq!((at(10), at(10), at(11)), (Value::Null, json!(40103), Value::Null));
}

#[test]
fn the_limit_may_count_simulated_minutes_and_say_how_long_to_wait() {
    let state = state(5, NOW);
    tell(
        &state,
        json!({"rate_limit": 1, "limit_clock": "simulated", "retry_after": true, "speed": 60.0, "clock": "go"}),
    );
    let reply = |wall_ms: i64| ask(&state, ACTIVITY, &window(""), wall_ms);
    assert_eq!(reply(NOW).status, 200);
    let refused = reply(NOW + 100);
    assert_eq!(
        (refused.status, refused.retry_after_s),
        (429, Some(1)),
        "54 simulated seconds are one of the wall's"
    );
    assert_eq!(reply(NOW + 1_000).status, 200, "a simulated minute later");
}
