//! What a hostile rule costs while it is judged: itself, from the row on that it fails on; and whoever waits beside it is served in turn.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use picket_contract::{Call, Evaluate, Params, RuleState, Tables};
use picket_hostile::{Guest, NOTHING, rows};
use picket_judge::replay::{Rows, replay};
use picket_judge::{JudgedRule, OnPoison, Settings, Tenant};
use picket_sandbox::{Engine, Limits, Module};

/// One alert for each row, proven by it, until the row whose text is `poison`: there it traps.
fn poisoned() -> Guest {
    let mut body = String::from(
        "(local $i i32) (local $count i32) (local $events i32) (local $codes i32) (local $at i32) (local $dictionary i32) (local $offsets i32)
        (local.set $events (i32.load offset=4 (local.get $groups)))
        (local.set $count (i32.load offset=8 (local.get $groups)))
        (local.set $dictionary (i32.load offset=28 (local.get $groups)))
        (local.set $offsets (i32.load offset=36 (local.get $groups)))
        ;; the first column, which is of text: its case, then pointer and length
        (local.set $codes (i32.load offset=4 (i32.load offset=44 (local.get $groups))))
        (drop (memory.grow (i32.const 8)))
        (memory.fill (i32.const 262144) (i32.const 0) (i32.const 262144))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $i) (local.get $count)))
            ;; the four letters that a text begins with
            (if (i32.eq (i32.const 0x73696f70) (i32.load (i32.add (local.get $dictionary)
                    (i32.load (i32.add (local.get $offsets) (i32.mul (i32.const 4)
                        (i32.load (i32.add (local.get $codes) (i32.mul (i32.const 4) (local.get $i)))))))))) (then unreachable))
            (local.set $at (i32.add (i32.const 262144) (i32.mul (local.get $i) (i32.const 88))))",
    );
    let _ = write!(
        body,
        "   (i32.store (local.get $at) (i32.const 600)) (i32.store offset=4 (local.get $at) (i32.const 4))
            (i64.store offset=24 (local.get $at) (i64.load (i32.add (i32.load offset=12 (local.get $groups)) (i32.mul (local.get $i) (i32.const 8)))))
            (i32.store offset=68 (local.get $at) (i32.add (local.get $events) (i32.mul (local.get $i) (i32.const 8))))
            (i32.store offset=72 (local.get $at) (i32.const 1))
            (i64.store offset=80 (local.get $at) (i64.load (i32.add (local.get $events) (i32.mul (local.get $i) (i32.const 8)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (i32.store (i32.const 20) (i32.const 262144)) (i32.store (i32.const 24) (local.get $count))
        {NOTHING}"
    );
    Guest::new(body).items(r#"(data (i32.const 600) "Seen")"#)
}

fn engine(concurrency: u32) -> Engine {
    let limits = Limits {
        concurrency,
        ..Limits::default()
    };
    Engine::new(limits).unwrap()
}

/// Ids of the rows that alerts name, and of those that are reported as poison.
fn judged(policy: OnPoison, poison: &[usize], batch_rows: usize) -> (Vec<String>, Vec<String>) {
    let module = engine(2).load(&poisoned().component()).unwrap();
    let manifest = Arc::new(module.manifest.rules[0].clone());
    let digest = module.digest.clone();
    let mut rule = JudgedRule::new(manifest, Arc::new(module), digest, Arc::new(Params::new()));
    let row = |number: usize| {
        let name = if poison.contains(&number) { "poison" } else { "harmless" };
        // A user each, so that nobody's alert is a repeat of another's.
        serde_json::json!({"txid": format!("e{number}"), "timestamp": 1_795_000_000 + number, "isotimestamp": null,
            "result": "success", "user": {"name": name, "key": format!("DU{number}")}})
        .to_string()
        .into()
    };
    let rows = Rows {
        log: "authentication".into(),
        rows: (0..20).map(row).collect(),
    };
    let tenant = Arc::new(Tenant {
        id: "acme".into(),
        name: "acme".into(),
        timezone: "UTC".into(),
        panel: None,
        mask: picket_event::Mask::substitute(),
    });
    rule.terms.on_poison = policy;
    let settings = Settings {
        batch_rows,
        ..Settings::default()
    };
    let replayed = replay(tenant, settings, vec![rule], &[rows], 1_800_000_000_000).unwrap();
    let mut seen: Vec<String> = replayed
        .alerts
        .iter()
        .flat_map(|alert| {
            let json: serde_json::Value = serde_json::from_str(&alert.json).unwrap();
            json["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    seen.sort_by_key(|id| id[1..].parse::<usize>().unwrap());
    let troubles = replayed.troubles.iter();
    (
        seen,
        troubles
            .filter_map(|trouble| Some(own_id(trouble.event.as_deref()?)))
            .collect(),
    )
}

/// An authentication row's id in the journal is its own and a hash.
fn own_id(id: &str) -> String {
    picket_event::own_id("authentication", id).to_owned()
}

fn ids(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("e{number}")).collect()
}

#[test]
fn of_a_call_that_traps_on_one_row_the_rows_before_it_count_and_no_row_counts_twice() {
    for batch_rows in [1, 3, 7, 20, 1000] {
        for poison in [0, 1, 9, 18, 19] {
            let (seen, troubles) = judged(OnPoison::Quarantine, &[poison], batch_rows);
            assert_eq!(seen, ids(0..poison), "row {poison}, {batch_rows} a call");
            assert_eq!(troubles, ids(poison..=poison));
        }
        let (seen, troubles) = judged(OnPoison::Skip, &[0, 8, 9, 19], batch_rows);
        assert_eq!(
            seen,
            ids((1..19).filter(|row| ![8, 9].contains(row))),
            "{batch_rows} a call"
        );
        assert_eq!(troubles, ids([0, 8, 9, 19].into_iter()));
    }
}

/// Five hundred calls that each spend nearly all they have, on one thread, and as many small ones on another, with one place for
/// both: the small ones are done long before.
#[test]
fn a_slow_rule_leaves_others_their_turn() {
    const CALLS: usize = 500;
    let slow = "(local $i i64) (loop $more (local.set $i (i64.add (local.get $i) (i64.const 1)))
        (br_if $more (i64.lt_u (local.get $i) (i64.const 300000)))) (i32.const 16)";
    let limits = Limits {
        concurrency: 1,
        fuel: 3_000_000,
        ..Limits::default()
    };
    let engine = Engine::new(limits).unwrap();
    let load = |body: &str| engine.load(&Guest::new(body).component()).unwrap();
    let (slow, quick) = (load(slow), load(NOTHING));
    let (batch, params, state, tables) = (rows(1, 1), Params::new(), RuleState::default(), Tables::default());
    let call = |module: &Module| {
        let called = module.evaluate(Call {
            rule: "t",
            batch: &batch,
            state: &state,
            params: &params,
            tables: &tables,
        });
        called.unwrap().usage.fuel
    };
    assert!(call(&slow) > 100 * call(&quick));
    let slow_calls = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..CALLS {
                call(&slow);
                slow_calls.fetch_add(1, Ordering::Relaxed);
            }
        });
        while slow_calls.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        for number in 1..=CALLS / 5 {
            call(&quick);
            // One of the others at most goes before each; some, while this thread was not awake.
            let gone = slow_calls.load(Ordering::Relaxed);
            assert!(
                gone < CALLS || number > CALLS / 10,
                "after {number} small calls all of the slow ones are done"
            );
        }
    });
}
