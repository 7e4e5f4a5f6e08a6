//! Against something that behaves like Duo: every log and every inventory of a simulated company, walked to its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use duo_simulator::clock::Clock;
use duo_simulator::company::{self, generate};
use duo_simulator::inventory::Kind;
use duo_simulator::model::{Account, Feed};
use duo_simulator::server::{Limit, Options, Parent, Settings, Simulator};
use picket_duo::{Client, ClientConfig, DuoError, Inventory, Log, Query, Shape, Transport, TransportConfig};
use serde_json::Value;

const DAY: i64 = 86_400_000;

struct Company {
    account: Account,
    start: i64,
    now: i64,
    duo: Simulator,
    transport: Transport,
}

async fn company() -> Company {
    let options = company::Options {
        seed: 3,
        users: 400,
        days: 6,
        target_events: Some(6_000),
        ..company::Options::default()
    };
    let account = generate(&options);
    let start = options.start_us.div_euclid(1_000) - DAY;
    let now = start + 9 * DAY;
    let duo = Simulator::start(Options {
        clock: Some(Clock::new(picket_duo::system_now(), now, 1.0, true)),
        settings: Settings {
            limit: Limit {
                per_minute: None,
                lock_out_s: 0,
            },
            ..Settings::default()
        },
        parent: Some(Parent {
            name: "parent".into(),
            ikey: "DIPARENTPARENTPARENT".into(),
            skey: "parentparentparentparentparentparentpare".into(),
        }),
        ..Options::new(vec![account.clone()])
    })
    .await
    .unwrap();
    let transport = Transport::new(TransportConfig {
        ca_pem: Some(duo.ca_pem().as_bytes().to_vec()),
        ..TransportConfig::default()
    })
    .unwrap();
    Company {
        account,
        start,
        now,
        duo,
        transport,
    }
}

impl Company {
    /// A client whose clock stands an hour wrong, which it finds out by itself.
    fn client(&self, host: &str, keys: (&str, &str), account_id: Option<String>) -> Client {
        let mut config = ClientConfig::new(host.parse().unwrap(), keys.0, keys.1.to_owned().into());
        let now = self.now - 3_600_000;
        config.now = Arc::new(move || now);
        config.account_id = account_id;
        Client::over(config, &self.transport).unwrap()
    }

    fn own(&self) -> Client {
        self.client(&self.duo.host(), (&self.account.ikey, &self.account.skey), None)
    }

    fn rows(&self, feed: Feed) -> usize {
        self.account.rows.iter().filter(|row| row.feed == feed).count()
    }
}

fn time_s(row: &Value) -> i64 {
    row["timestamp"].as_i64().unwrap()
}

/// A log from the company's first day to the last, as a collector would walk it.
async fn walk(client: &Client, log: Log, (from, to): (i64, i64)) -> Vec<Value> {
    let mut query = Query {
        mintime: from,
        maxtime: to,
        limit: 1000,
        offset: None,
    };
    let mut rows: Vec<Value> = Vec::new();
    loop {
        let page = client.page(log, &query).await.unwrap();
        assert_eq!(page.odd_rows(), 0);
        let parsed: Vec<Value> = page.rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
        if log.shape() == Shape::FromSecond {
            // What was cut is asked for again, from its second on.
            rows.retain(|row| time_s(row) * 1000 < query.mintime);
            let last = parsed.last().map_or(0, time_s) * 1000;
            rows.extend(parsed);
            if last <= query.mintime {
                return rows;
            }
            query.mintime = last;
            continue;
        }
        let is_last = page.next_offset.is_none() || parsed.is_empty();
        rows.extend(parsed);
        if is_last {
            return rows;
        }
        query.offset = page.next_offset;
    }
}

fn distinct(rows: &[Value]) -> usize {
    rows.iter().map(Value::to_string).collect::<BTreeSet<_>>().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_log_is_walked_to_its_end() {
    let company = company().await;
    let client = company.own();
    for (log, feed) in [
        (Log::Authentication, Feed::Authentication),
        (Log::Activity, Feed::Activity),
        (Log::Telephony, Feed::Telephony),
        (Log::Administrator, Feed::Administrator),
        (Log::OfflineEnrollment, Feed::OfflineEnrollment),
        (Log::TrustMonitor, Feed::TrustMonitor),
        (Log::TelephonyV1, Feed::Telephony),
    ] {
        let rows = walk(&client, log, (company.start, company.now)).await;
        assert_eq!(rows.len(), company.rows(feed), "{log}");
        assert!(!rows.is_empty(), "{log}");
        if log.shape() != Shape::FromSecond {
            assert_eq!(distinct(&rows), rows.len(), "{log}");
        }
    }
    assert!(
        client.skew_ms().is_some_and(|skew| (skew - 3_600_000).abs() < 60_000),
        "{:?}",
        client.skew_ms()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_inventory_is_walked_to_its_end_and_no_secret_comes_with_it() {
    let company = company().await;
    let client = company.own();
    let inventory = &company.account.inventory;
    let now_us = company.now * 1_000;
    let mut all = String::new();
    let mut pages = 0;
    for kind in Inventory::ALL {
        let mut rows = Vec::new();
        let mut offset = Some(0);
        while let Some(from) = offset {
            let page = client.inventory(kind, from).await.unwrap();
            pages += 1;
            offset = page.next_offset;
            rows.extend(page.rows);
        }
        all.extend(rows.iter().map(|row| row.get()));
        let Some(id_field) = kind.id_field() else {
            assert_eq!(rows.len(), 1, "{kind}");
            continue;
        };
        let id = |text: &str| {
            serde_json::from_str::<Value>(text).unwrap()[id_field]
                .as_str()
                .unwrap()
                .to_owned()
        };
        let found: BTreeSet<String> = rows.iter().map(|row| id(row.get())).collect();
        let known = Kind::ALL
            .into_iter()
            .find(|known| known.id_field() == id_field)
            .unwrap();
        let expected: BTreeSet<String> = inventory
            .at(known, now_us)
            .map(|one| id(&inventory.text(&one, now_us)))
            .collect();
        assert_eq!((found.len(), &found), (rows.len(), &expected), "{kind}");
    }
    assert!(pages > Inventory::ALL.len(), "some take more than one page");
    let mut secrets = 0;
    for one in inventory.at(Kind::Integration, now_us) {
        let row: Value = serde_json::from_str(&inventory.text(&one, now_us)).unwrap();
        let secret = row["secret_key"].as_str().unwrap();
        assert!(!secret.is_empty() && !all.contains(secret), "{row}");
        secrets += 1;
    }
    assert!(secrets > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parents_key_reads_a_child_at_the_childs_own_host() {
    let company = company().await;
    let keys = ("DIPARENTPARENTPARENT", "parentparentparentparentparentparentpare");
    let parent = company.client(&company.duo.host(), keys, None);
    let children = parent.accounts().await.unwrap();
    assert_eq!(children.len(), 1);
    let child = company.client(&children[0].api_hostname, keys, Some(children[0].account_id.clone()));
    let rows = walk(&child, Log::Telephony, (company.start, company.now)).await;
    assert_eq!(rows.len(), company.rows(Feed::Telephony));
    // The parent's own key is no key to another account.
    let stranger = company.client(&children[0].api_hostname, keys, Some("DAXXXXXXXXXXXXXXXXXX".into()));
    let query = Query {
        mintime: company.start,
        maxtime: company.now,
        limit: 1,
        offset: None,
    };
    let error = stranger.activity(&query).await.unwrap_err();
    assert!(
        matches!(error, DuoError::Forbidden { .. } | DuoError::BadRequest { .. }),
        "{error}"
    );
}
