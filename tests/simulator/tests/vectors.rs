//! Every signing vector, made by Duo's own clients, through the verifier.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, its helpers too"
)]

use std::collections::BTreeSet;
use std::path::Path;

use duo_simulator::signature::{Form, Signed, credentials, verify};
use serde_json::Value;

/// The vectors live with the client that signs by them.
fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/duo/tests/signing-vectors.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn all() -> BTreeSet<Form> {
    BTreeSet::from(Form::ALL)
}

fn form(vector: &Value) -> Option<Form> {
    match (
        vector["sig_version"].as_u64().unwrap(),
        vector["hmac"].as_str().unwrap(),
    ) {
        (5, _) => Some(Form::V5),
        (2, "sha512") => Some(Form::V2Sha512),
        (2, _) => Some(Form::V2Sha1),
        _ => None,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn x_duo(headers: &Value) -> Vec<(String, String)> {
    let headers = headers.as_object().into_iter().flatten();
    headers
        .filter(|(name, _)| name.to_lowercase().starts_with("x-duo-"))
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

fn check(name: &str, signed: &Signed, skey: &str, digest: &str, expected: Option<Form>) {
    assert_eq!(verify(signed, skey, digest, &all()), expected, "{name}");
    assert_eq!(
        verify(signed, "another key", digest, &all()),
        None,
        "{name} under another key"
    );
    let changed = Signed {
        path: format!("{}x", signed.path),
        ..signed.clone()
    };
    assert_eq!(verify(&changed, skey, digest, &all()), None, "{name} with another path");
    if let Some(form) = expected {
        let others: BTreeSet<Form> = all().into_iter().filter(|other| *other != form).collect();
        assert_eq!(
            verify(signed, skey, digest, &others),
            None,
            "{name} where {form:?} is switched off"
        );
    }
}

#[test]
fn what_duo_client_puts_on_the_wire_is_verified_from_the_wire_alone() {
    let vectors = vectors();
    let list = vectors["vectors"].as_array().unwrap();
    assert_eq!(list.len(), 24);
    for vector in list {
        let (input, wire) = (&vector["input"], &vector["wire"]);
        let target = text(&wire["request_target"]);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let (ikey, digest) = credentials(wire["headers"]["Authorization"].as_str().unwrap()).unwrap();
        assert_eq!(ikey, text(&input["ikey"]));
        let signed = Signed {
            date: text(&input["date"]),
            method: text(&wire["method"]),
            host: format!("{}:443", text(&input["host"])),
            path: path.to_owned(),
            query: query.to_owned(),
            body: text(&wire["body"]).into_bytes(),
            x_duo: x_duo(&wire["headers"]),
        };
        check(
            &text(&vector["name"]),
            &signed,
            &text(&input["skey"]),
            &digest,
            form(input),
        );
    }
}

#[test]
fn duos_own_published_signatures_are_verified() {
    let vectors = vectors();
    let list = vectors["official_vectors"].as_array().unwrap();
    assert_eq!(list.len(), 9);
    for vector in list {
        let canonical = text(&vector["canonical"]);
        let lines: Vec<&str> = canonical.split('\n').collect();
        let signed = Signed {
            date: lines[0].to_owned(),
            method: lines[1].to_owned(),
            host: lines[2].to_owned(),
            path: lines[3].to_owned(),
            query: lines[4].to_owned(),
            body: text(&vector["body"]).into_bytes(),
            x_duo: x_duo(&vector["x_duo_headers"]),
        };
        let digest = text(&vector["signature_hex"]);
        check(&canonical, &signed, &text(&vector["skey"]), &digest, form(vector));
    }
}
