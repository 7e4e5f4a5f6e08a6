//! A backlog is served as if every event of it had been written out.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use std::collections::BTreeSet;

use common::{body, signed_by};
use duo_simulator::clock::Clock;
use duo_simulator::company::{Options, backlog};
use duo_simulator::model::Feed;
use duo_simulator::server::{Limit, Settings, State};
use serde_json::Value;

const DAY_US: i64 = 86_400_000_000;

#[test]
fn every_event_of_a_backlog_comes_once_with_its_own_time_and_id() {
    let options = Options {
        users: 60,
        days: 4,
        target_events: None,
        plant: false,
        ..Options::default()
    };
    let account = backlog(&options, 20_000);
    let (ikey, skey) = (account.ikey.clone(), account.skey.clone());
    let start_ms = options.start_us / DAY_US * DAY_US / 1_000;
    let (last_day, now) = (start_ms + 3 * DAY_US / 1_000, start_ms + 5 * DAY_US / 1_000);
    let settings = Settings {
        limit: Limit {
            per_minute: None,
            lock_out_s: 0,
        },
        ..Settings::default()
    };
    let state = State::new(vec![account], Clock::new(now, now, 1.0, true), settings);
    let (mut ids, mut users) = (BTreeSet::new(), BTreeSet::new());
    let (mut rows, mut offset) = (0, String::new());
    loop {
        let query = format!(
            "limit=1000&maxtime={}&mintime={start_ms}{offset}&sort=ts%3Aasc",
            last_day - 1
        );
        let request = signed_by(
            (&ikey, &skey),
            "127.0.0.1:1",
            "/admin/v2/logs/authentication",
            &query,
            now,
        );
        let page = body(&state.answer(&request, now));
        let logs = page["response"]["authlogs"].as_array().unwrap();
        if logs.is_empty() {
            break;
        }
        for row in logs {
            let at: jiff::Timestamp = row["isotimestamp"].as_str().unwrap().parse().unwrap();
            assert_eq!(row["timestamp"], Value::from(at.as_second()));
            assert!((start_ms..last_day).contains(&at.as_millisecond()));
            ids.insert(row["txid"].as_str().unwrap().to_owned());
            users.insert(row["user"]["name"].as_str().unwrap().to_owned());
        }
        rows += logs.len();
        let next = &page["response"]["metadata"]["next_offset"];
        offset = format!(
            "&next_offset={}%2C{}",
            next[0].as_str().unwrap(),
            next[1].as_str().unwrap()
        );
    }
    assert_eq!((rows, ids.len()), (20_000, 20_000));
    assert!(users.len() > 40, "told by examples of many people");
    let told: BTreeSet<String> = state
        .rows(&options.name, Feed::Authentication)
        .into_iter()
        .map(|(id, _)| id)
        .collect();
    assert!(ids.is_subset(&told));
}
