//! What a rule did not declare is nowhere in its memory: a guest that searches all of it finds what it declared, and nothing else.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use std::sync::Arc;

use picket_contract::manifest::{Field, RuleManifest};
use picket_contract::{Batch, Call, Evaluate, EventRecord, FailureKind, FieldType, Params, RuleState, Tables};
use picket_event::{Mask, Permission, Plan, RowRef, Selector};
use picket_hostile::{Guest, NOTHING, component, manifest};
use picket_sandbox::{Engine, Limits};

const ROW: &str = r#"{"txid":"tx-undeclared","user":{"name":"name-declared"},"email":"mail-undeclared",
    "auth_device":{"name":"Desk (503-555-0142)"},"access_device":{"ip":"198.51.100.7","hostname":"host-undeclared"}}"#;

/// A guest that traps if eight bytes stand anywhere in its memory. They are in its code alone, which no memory holds.
fn searching(needle: &str) -> Vec<u8> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&needle.as_bytes()[..8]);
    let body = format!(
        "(local $at i32) (local $end i32)
        (local.set $end (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)))
        (loop $next
            (if (i64.eq (i64.load (local.get $at)) (i64.const {})) (then unreachable))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br_if $next (i32.le_u (local.get $at) (local.get $end))))
        {NOTHING}",
        i64::from_le_bytes(bytes)
    );
    component(&Guest::new(body).text())
}

/// The batch of a rule that declares these fields.
fn batch(paths: &[&str], permission: &Permission) -> Batch {
    let manifest: serde_json::Value = serde_json::from_str(&manifest()).unwrap();
    let mut rule: RuleManifest = serde_json::from_value(manifest["rules"][0].clone()).unwrap();
    rule.sources[0].fields = paths
        .iter()
        .map(|path| Field {
            path: (*path).to_owned(),
            kind: FieldType::Text,
            required: false,
        })
        .collect();
    // Another rule reads everything: the page has it all.
    let mut greedy = rule.sources[0].clone();
    greedy.fields = [
        "txid",
        "user.name",
        "email",
        "auth_device.name",
        "access_device",
        "raw.auth_device.name",
    ]
    .map(|path| Field {
        path: path.to_owned(),
        kind: FieldType::Text,
        required: false,
    })
    .into();
    let granted = Permission::default().granting_clear().granting_raw();
    let plan = Plan::of(
        [(&rule.sources[0], permission), (&greedy, &granted)],
        &Mask::substitute(),
    );
    let event = EventRecord {
        id: "1".into(),
        time: 0,
        raw: ROW.into(),
    };
    let page = Arc::new(plan.parse("authentication", "authentication", &[event]));
    let rows = [RowRef::new(page, 0, 1)];
    let selector = Selector::permitted(&rule, &Params::new(), &plan, permission).unwrap();
    selector.select(&rows, 0).batch
}

#[test]
fn no_memory_of_a_guest_holds_what_it_did_not_declare() {
    let engine = Engine::new(Limits {
        concurrency: 1,
        ..Limits::default()
    });
    let engine = engine.unwrap();
    let finds = |needle: &str, batch: &Batch| {
        let module = engine.load(&searching(needle)).unwrap();
        let called = module.evaluate(Call {
            rule: "t",
            batch,
            state: &RuleState::default(),
            params: &Params::new(),
            tables: &Tables::default(),
        });
        match called {
            Ok(_) => false,
            Err(failure) if failure.kind == FailureKind::Trap => true,
            Err(failure) => unreachable!("{failure}"),
        }
    };
    let ordinary = Permission::default();
    let shown = batch(&["user.name", "auth_device.name"], &ordinary);
    assert!(finds("name-declared", &shown), "the search works");
    assert!(finds("Desk (ph", &shown));
    for hidden in [
        "tx-undeclared",
        "mail-undeclared",
        "host-undeclared",
        "198.51.100.7",
        "503-555-0142",
        "+15035550142",
    ] {
        assert!(!finds(hidden, &shown), "{hidden}");
    }
    let denied = batch(
        &["user.name", "email", "access_device"],
        &ordinary.clone().denying("access_device.ip").unwrap(),
    );
    assert!(finds("mail-undeclared", &denied), "declared here");
    for hidden in ["host-undeclared", "198.51.100.7"] {
        assert!(!finds(hidden, &denied), "{hidden} is in an object with a refused field");
    }
    let granted = batch(&["auth_device.name"], &ordinary.granting_clear());
    assert!(finds("503-555-0142", &granted), "clear numbers are granted");
}
