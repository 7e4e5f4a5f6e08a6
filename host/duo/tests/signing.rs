//! Every vector of `signing-vectors.json`: 24 made by Cisco's own client library, 9 that its projects publish as expected
//! values. The counts are checked, so that none is skipped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use picket_duo::Scheme;
use picket_duo::sign::{Signable, canonical_params, signature};
use secrecy::SecretString;
use serde_json::Value;

const VECTORS: &str = include_str!("signing-vectors.json");

fn scheme(vector: &Value) -> Scheme {
    match (vector["sig_version"].as_u64(), vector["hmac"].as_str()) {
        (Some(1), Some("sha1")) => Scheme::V1,
        (Some(2), Some("sha1")) => Scheme::V2Sha1,
        (Some(2), Some("sha512")) => Scheme::V2,
        (Some(4), Some("sha512")) => Scheme::V4,
        (Some(5), Some("sha512")) => Scheme::V5,
        other => panic!("unknown scheme {other:?}"),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Key and value pairs; a list is a repeated key.
fn pairs(object: &Value) -> Vec<(String, String)> {
    let object = object.as_object().expect("an object");
    let flat = object.iter().flat_map(|(key, value)| match value {
        Value::Array(values) => values.iter().map(|value| (key.clone(), text(value))).collect(),
        value => vec![(key.clone(), text(value))],
    });
    flat.collect()
}

fn is_json_body(method: &str, scheme: Scheme) -> bool {
    method == "POST" && matches!(scheme, Scheme::V4 | Scheme::V5)
}

#[test]
fn the_24_generated_vectors_are_met_in_canon_signature_and_header() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    let mut met = 0;
    for vector in vectors {
        let name = vector["name"].as_str().unwrap();
        let input = &vector["input"];
        let scheme = scheme(input);
        let method = input["method"].as_str().unwrap();
        let json_body = is_json_body(method, scheme);
        let params = if json_body { Vec::new() } else { pairs(&input["params"]) };
        let body = if json_body {
            text(&vector["wire"]["body"])
        } else {
            String::new()
        };
        let headers = pairs(&input["x_duo_headers"]);
        let signable = Signable {
            date: input["date"].as_str().unwrap(),
            method,
            host: input["host"].as_str().unwrap(),
            path: input["path"].as_str().unwrap(),
            params: &params,
            body: &body,
            headers: &headers,
        };
        let skey = SecretString::from(text(&input["skey"]));
        let canonical = signable.canonical(scheme);
        assert_eq!(canonical, vector["canonical"].as_str().unwrap(), "{name}");
        assert_eq!(
            signature(scheme, &skey, &canonical),
            vector["signature_hex"].as_str().unwrap(),
            "{name}"
        );
        let authorization = signable.authorization(scheme, input["ikey"].as_str().unwrap(), &skey);
        assert_eq!(authorization, vector["authorization"].as_str().unwrap(), "{name}");
        met += 1;
    }
    assert_eq!(met, 24);
}

#[test]
fn the_9_published_vectors_are_met() {
    let file: Value = serde_json::from_str(VECTORS).unwrap();
    let mut met = 0;
    let mut rebuilt = 0;
    for vector in file["official_vectors"].as_array().unwrap() {
        let scheme = scheme(vector);
        let skey = SecretString::from(text(&vector["skey"]));
        let canonical = vector["canonical"].as_str().unwrap();
        assert_eq!(
            signature(scheme, &skey, canonical),
            vector["signature_hex"].as_str().unwrap(),
            "{vector}"
        );
        met += 1;
        // Seven of them tell the request too, so the canonical form can be rebuilt from it.
        if let Some(method) = vector["method"].as_str() {
            let params = if is_json_body(method, scheme) {
                Vec::new()
            } else {
                pairs(&vector["params"])
            };
            let lines: Vec<&str> = canonical.split('\n').collect();
            let signable = Signable {
                date: lines[0],
                method,
                host: lines[2],
                path: lines[3],
                params: &params,
                body: vector["body"].as_str().unwrap(),
                headers: &pairs(&vector["x_duo_headers"]),
            };
            assert_eq!(signable.canonical(scheme), canonical, "{vector}");
            let authorization = signable.authorization(scheme, vector["ikey"].as_str().unwrap(), &skey);
            assert_eq!(authorization, vector["authorization"].as_str().unwrap(), "{vector}");
            rebuilt += 1;
        }
    }
    assert_eq!((met, rebuilt), (9, 7));
}

#[test]
fn pairs_are_sorted_not_their_joined_text() {
    let params: Vec<(String, String)> = [("a-b", "6"), ("a", "7"), ("é", "4"), ("Z", "")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    assert_eq!(canonical_params(&params), "%C3%A9=4&Z=&a=7&a-b=6");
}
