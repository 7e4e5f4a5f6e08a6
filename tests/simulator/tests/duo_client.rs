//! Cisco's own Python client reads the simulator: 2,500 authentication events over several pages, both versions.
//!
//! The test sets itself up once, in `target/venv-duo-client`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

mod common;

use std::path::Path;

use common::python::{VERSION, python};
use common::{BEGIN, IKEY, SKEY, account};
use duo_simulator::clock::Clock;
use duo_simulator::server::{Limit, Options, Settings, Simulator};
use serde_json::{Value, json};

const NOW: i64 = BEGIN + 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn duo_client_reads_2500_events_over_several_pages() {
    let python = python();
    let settings = Settings {
        limit: Limit {
            per_minute: None,
            lock_out_s: 0,
        },
        ..Settings::default()
    };
    let clock = Some(Clock::new(0, NOW, 1.0, true));
    let options = Options {
        clock,
        settings,
        ..Options::new(vec![account(2_500)])
    };
    let simulator = Simulator::start(options).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, simulator.ca_pem()).unwrap();
    let host = simulator.host();
    let port = host.rsplit(':').next().unwrap();

    let output = tokio::process::Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/duo_client_reads.py"))
        .arg(port)
        .arg(&ca)
        .args([IKEY, SKEY, &BEGIN.to_string(), &NOW.to_string()])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(read["version"], VERSION);
    let walked = json!({"rows": 2500, "distinct": 2500, "pages": 3});
    assert_eq!(read["v2_list"], walked);
    assert_eq!(read["v2_comma"], walked, "signed with v2");
    assert_eq!(read["v1"]["rows"], 2500);
    let first = &read["v1"]["first"];
    assert_eq!(
        (&first["username"], &first["factor"]),
        (&json!("ann"), &json!("Duo Push"))
    );
    assert_eq!(
        (&first["eventtype"], &first["result"]),
        (&json!("authentication"), &json!("SUCCESS"))
    );
    assert_eq!((&read["activity"], &read["telephony"]), (&json!(2500), &json!(2500)));
    assert_eq!(read["administrator"], 1429, "one page, to the end of its last second");
    assert_eq!(
        read["wrong_key"],
        "Received 401 Invalid signature in request credentials"
    );
    simulator.stop().await;
}
