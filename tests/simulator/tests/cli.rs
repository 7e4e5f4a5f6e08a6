//! The program: what it prints, what it writes, and that it ends when it should.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};

const SMALL: [&str; 8] = [
    "--users",
    "60",
    "--days",
    "3",
    "--seed",
    "11",
    "--start",
    "2026-03-04T00:00:00Z",
];

fn simulator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_duo-simulator"));
    command.args(SMALL).args(arguments);
    command
}

fn start(arguments: &[&str]) -> (Child, Value) {
    let mut child = simulator(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

fn get(url: &str, path: &str) -> Value {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut came = String::new();
    stream.read_to_string(&mut came).unwrap();
    serde_json::from_str(came.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn it_says_where_it_is_serves_and_ends_with_its_parent() {
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let ca_text = ca.display().to_string();
    let arguments = [
        "--accounts",
        "acme,globex",
        "--speed",
        "720",
        "--hold",
        "--die-with-parent",
        "--ca-out",
        &ca_text,
    ];
    let (mut child, said) = start(&arguments);
    assert!(
        std::fs::read_to_string(&ca)
            .unwrap()
            .starts_with("-----BEGIN CERTIFICATE-----")
    );
    assert_eq!(said["ca"], ca_text);
    assert_eq!(said["url"], format!("https://{}", said["host"].as_str().unwrap()));
    assert_eq!(
        (&said["from"], &said["start"]),
        (&"2026-03-02T00:00:00Z".into(), &"2026-03-04T00:00:00Z".into())
    );
    let names: Vec<&str> = said["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["acme", "globex"]);
    assert_ne!(said["accounts"][0]["ikey"], said["accounts"][1]["ikey"]);

    let status = get(said["control"].as_str().unwrap(), "/sim/status");
    assert_eq!(
        (&status["now"], &status["held"]),
        (&"2026-03-04T00:00:00Z".into(), &true.into())
    );
    let planted = get(said["control"].as_str().unwrap(), "/sim/planted");
    assert!(
        planted
            .as_array()
            .unwrap()
            .iter()
            .any(|story| story["account"] == "globex" && story["kind"] == "attack")
    );

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_ends_on_sigterm() {
    let (mut child, _) = start(&[]);
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn it_writes_the_same_files_for_the_same_seed() {
    let read = |dir: &Path, name: &str| std::fs::read_to_string(dir.join("acme").join(name)).unwrap();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for dir in &dirs {
        assert!(
            simulator(&["--write", &dir.path().display().to_string()])
                .output()
                .unwrap()
                .status
                .success()
        );
    }
    let names = [
        "authentication.ndjson",
        "activity.ndjson",
        "telephony.ndjson",
        "administrator.ndjson",
        "planted.json",
    ];
    for name in names {
        assert_eq!(read(dirs[0].path(), name), read(dirs[1].path(), name), "{name}");
    }
    let rows = read(dirs[0].path(), names[0]);
    assert!(rows.lines().count() > 100);
    assert!(
        rows.lines()
            .all(|line| serde_json::from_str::<Value>(line).unwrap()["txid"].is_string())
    );
}

/// What is drawn for new things must not move what there was: rules' expectations and the demo rest on these logs.
#[test]
fn the_logs_of_a_seed_are_what_they_always_were() {
    let dir = tempfile::tempdir().unwrap();
    let wrote = simulator(&["--write", &dir.path().display().to_string()])
        .output()
        .unwrap();
    assert!(wrote.status.success());
    for (name, sum) in [
        (
            "authentication.ndjson",
            "af5fb3742dbda4b0bf295413a8ef09abbcec354fe3a921e3ad7a1862f0740a23",
        ),
        (
            "activity.ndjson",
            "5089b1f4eb1edec8835e9be2fee623a2701f664af4c188140f0dd8fa25e86d8b",
        ),
        (
            "telephony.ndjson",
            "01bb65551ba9a1e5bdca32b805302ba7731d19e19197ec97c044265b7464c675",
        ),
        (
            "administrator.ndjson",
            "9ec796c9191d0b7d905947d951c668b8f77b4a6b96d3d9050eb2b1d51b1908c5",
        ),
        (
            "planted.json",
            "befdec55ceb8c81a98b925809449547e2d200b39b7793791377437eb0d8c8e5b",
        ),
    ] {
        let bytes = std::fs::read(dir.path().join("acme").join(name)).unwrap();
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, sum, "{name}");
    }
}

#[test]
fn twins_have_names_and_keys_of_their_own_and_a_parent_lists_them() {
    let arguments = [
        "--accounts",
        "acme,globex",
        "--twins",
        "3",
        "--parent",
        "msp",
        "--backlog",
        "5000",
        "--die-with-parent",
    ];
    let (mut child, said) = start(&arguments);
    let accounts = said["accounts"].as_array().unwrap();
    let names: Vec<&str> = accounts.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["acme", "globex", "acme-0001", "globex-0002", "acme-0003"]);
    for member in ["ikey", "skey", "account_id", "host"] {
        let own: std::collections::BTreeSet<&str> = accounts.iter().map(|one| one[member].as_str().unwrap()).collect();
        assert_eq!(own.len(), 5, "{member}");
    }
    assert_eq!(said["parent"]["name"], "msp");
    assert_eq!(accounts[0]["events"], accounts[2]["events"]);
    let status = get(said["control"].as_str().unwrap(), "/sim/status");
    assert!(
        status["accounts"][2]["feeds"]["authentication"]["rows"]
            .as_u64()
            .unwrap()
            >= 5_000
    );
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_it_cannot_use_it_names() {
    for (argument, told) in [
        ("--fault={\"kind\": \"slow_body\"}", "needs `over_ms`"),
        ("--speed=-1", "--speed"),
        ("--ca-out=/nowhere/ca.pem", "/nowhere/ca.pem"),
    ] {
        let output = simulator(&[argument]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(told), "{said}");
    }
}
