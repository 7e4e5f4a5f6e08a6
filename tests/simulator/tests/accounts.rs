//! The Accounts API and many accounts in one process, over the wire.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use common::{BEGIN, IKEY, SKEY, account, body, signed_by};
use duo_simulator::clock::Clock;
use duo_simulator::model::Account;
use duo_simulator::server::{Limit, Options, Parent, Reply, Settings, Simulator, Twin};
use serde_json::json;

const NOW: i64 = BEGIN + 3_600_000;
const PARENT: (&str, &str) = ("DIPARENTPARENTPARENT", "parentparentparentparentparentparentparent");
const LOG: &str = "/admin/v1/logs/administrator";

async fn family(twins: usize) -> Simulator {
    let globex = Account {
        name: "globex".into(),
        ikey: "DIGLOBEXGLOBEXGLOBEX".into(),
        skey: "globexglobexglobexglobexglobexglobexglob".into(),
        ..account(3)
    };
    let twin = |number: usize| Twin {
        name: format!("twin-{number}"),
        ikey: format!("DITWIN{number:014}"),
        skey: format!("{number:040}"),
        of: number % 2,
    };
    let options = Options {
        clock: Some(Clock::new(NOW, NOW, 1.0, true)),
        settings: Settings {
            limit: Limit {
                per_minute: None,
                lock_out_s: 0,
            },
            ..Settings::default()
        },
        twins: (0..twins).map(twin).collect(),
        parent: Some(Parent {
            name: "msp".into(),
            ikey: PARENT.0.into(),
            skey: PARENT.1.into(),
        }),
        ..Options::new(vec![account(5), globex])
    };
    Simulator::start(options).await.unwrap()
}

fn get(simulator: &Simulator, keys: (&str, &str), host: &str, path: &str, query: &str) -> Reply {
    simulator.state().answer(&signed_by(keys, host, path, query, NOW), NOW)
}

#[tokio::test]
async fn a_child_is_reached_at_its_own_host_with_its_own_id_and_nowhere_else() {
    let simulator = family(0).await;
    let children = simulator.children();
    assert_eq!((children[0].0.as_str(), children[1].0.as_str()), ("acme", "globex"));
    let ((_, acme, at_acme), (_, globex, at_globex)) = (&children[0], &children[1]);
    let main = simulator.host();
    let status = |keys, host: &str, id: &str| {
        let query = if id.is_empty() {
            String::new()
        } else {
            format!("account_id={id}")
        };
        let reply = get(&simulator, keys, host, LOG, &query);
        (reply.status, body(&reply)["response"].as_array().map_or(0, Vec::len))
    };
    assert_eq!(status(PARENT, at_acme, acme), (200, 5));
    assert_eq!(status(PARENT, at_globex, globex), (200, 3));
    assert_eq!(status(PARENT, at_globex, acme).0, 403, "another child's host");
    assert_eq!(status(PARENT, &main, acme).0, 403, "the parent's host");
    assert_eq!(status(PARENT, at_acme, "DANOBODY").0, 400);
    assert_eq!(status(PARENT, at_acme, "").0, 403, "no account_id");
    assert_eq!(
        status((IKEY, SKEY), &main, ""),
        (200, 5),
        "by its own key at the main host"
    );
    assert_eq!(status((IKEY, SKEY), at_acme, ""), (200, 5), "and at its own");
    assert_eq!(status((IKEY, SKEY), at_globex, "").0, 401, "not at another's");

    simulator.state().control(br#"{"hidden": ["acme"]}"#, NOW).unwrap();
    assert_eq!(status(PARENT, at_acme, acme).0, 400, "no child any more");
    assert_eq!(
        status(PARENT, at_globex, globex),
        (200, 3),
        "one account's trouble is its own"
    );
    let fault = json!({"faults": [{"kind": "internal_error", "account": "globex"}], "hidden": []});
    simulator.state().control(fault.to_string().as_bytes(), NOW).unwrap();
    assert_eq!(
        (status(PARENT, at_acme, acme).0, status(PARENT, at_globex, globex).0),
        (200, 500)
    );
    simulator.stop().await;
}

#[tokio::test]
async fn a_thousand_accounts_share_what_they_have_alike() {
    let simulator = family(1_000).await;
    let children = simulator.children();
    assert_eq!(children.len(), 1_002);
    let hosts: std::collections::BTreeSet<&String> = children.iter().map(|(_, _, host)| host).collect();
    assert_eq!(hosts.len(), 64, "more accounts share hosts in turn");
    for number in [0, 1, 63, 999] {
        let (ikey, skey) = (format!("DITWIN{number:014}"), format!("{number:040}"));
        let reply = get(&simulator, (&ikey, &skey), &simulator.host(), LOG, "");
        let expected = if number % 2 == 0 { 5 } else { 3 };
        assert_eq!(body(&reply)["response"].as_array().unwrap().len(), expected);
        let (_, id, host) = &children[number + 2];
        let reply = get(&simulator, PARENT, host, LOG, &format!("account_id={id}"));
        assert_eq!(body(&reply)["response"].as_array().unwrap().len(), expected);
    }
    simulator.stop().await;
}
