//! Nothing passes from one tenant's rule to another's: neither through what a module remembers, nor through the memory of an
//! instance that another used before.

use std::sync::Arc;

use duo_simulator::company::Options;
use picket_contract::{Call, Evaluate, Outcome, ParamValue, Params, RuleState, Tables};
use picket_hostile::{Answer, Guest, LOG, LOOKUP, PARAMS, STATE, TIMERS, rows};
use picket_sandbox::{Engine, Limits, Module};

use crate::stock;

#[test]
fn one_module_gives_each_of_two_tenants_the_alerts_it_gives_alone() {
    let engine = Engine::new(Limits {
        concurrency: 2,
        ..Limits::default()
    });
    let modules = stock::modules(&engine.unwrap());
    let rules = || stock::rules(&modules, |module| module.clone());
    let tenants: [(&str, _); 2] = [("acme", 1), ("globex", 2)].map(|(name, seed)| {
        let options = Options {
            seed,
            name: name.to_owned(),
            users: 120,
            ..Options::default()
        };
        (name, stock::company(&options))
    });
    let alone = tenants
        .each_ref()
        .map(|(name, logs)| stock::judge(name, rules(), logs, 100).alerts);
    assert!(alone.iter().all(|alerts| alerts.len() > 5) && alone[0] != alone[1]);
    let together = std::thread::scope(|scope| {
        let judge = |(name, logs): &'_ (&'static str, Vec<_>)| {
            let (name, logs) = (*name, logs.clone());
            let rules = rules();
            scope.spawn(move || stock::judge(name, rules, &logs, 100).alerts)
        };
        tenants.each_ref().map(judge).map(|thread| thread.join().unwrap())
    });
    assert_eq!(together, alone);
}

/// What tenant A's rule leaves behind wherever it can, and tenant B's must not find: eight bytes, `CANARY-A`.
const CANARY: &str = "0x412d5952414e4143";
/// Memory that a call writes and searches as a rule, pages.
const PAGES: u32 = 48;
/// With what the guest begins with and what its answer takes, the cap.
const CAP: u32 = 244;

/// One module for both tenants, which behaves as its parameter says: true, and it leaves the canary everywhere; false, and it
/// traps where it finds it. It keeps no canary in its code's data: what it searches for is an immediate of its code.
fn both(pages: u32) -> Guest {
    let canary = format!("(i64.const {CANARY})");
    let items = format!(
        r#"
        (data (i32.const 512) "writes")
        (table $t 64 funcref) (elem declare func $mark) (func $mark)
        (global $g0 (mut i64) (i64.const 0)) (global $g1 (mut i64) (i64.const 0)) (global $g2 (mut f64) (f64.const 0))
        (func $leave (local $at i32)
            (global.set $g0 {canary}) (global.set $g1 {canary}) (global.set $g2 (f64.reinterpret_i64 {canary}))
            (loop $next
                (table.set $t (local.get $at) (ref.func $mark))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const 64))))
            (i64.store (i32.const 600) {canary}) (i64.store (i32.const 608) {canary})
            (drop (call $put (i32.const 600) (i32.const 8) (i32.const 600) (i32.const 16) (i64.const 1) (i64.const 99999)))
            (drop (call $set (i32.const 600) (i32.const 8) (i64.const 99999)))
            (call $log (i32.const 0) (i32.const 600) (i32.const 8))
            (call $log (i32.const 2) (i32.const 600) (i32.const 16))
            (call $find (i32.const 600) (i32.const 8) (i32.const 600) (i32.const 8) (i32.const 600) (i32.const 8) (i32.const 640))
            ;; behind the stack of the answer and before the end of memory, everything
            (local.set $at (i32.const 200000))
            (loop $next
                (i64.store (local.get $at) {canary})
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $next (i32.lt_u (local.get $at) (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8))))))
        (func $must-not (param i32) (if (local.get 0) (then unreachable)))
        (func $probe (local $at i32)
            (call $must-not (i64.ne (global.get $g0) (i64.const 0)))
            (call $must-not (i64.ne (global.get $g1) (i64.const 0)))
            (call $must-not (f64.ne (global.get $g2) (f64.const 0)))
            (loop $next
                (call $must-not (i32.eqz (ref.is_null (table.get $t (local.get $at)))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const 64))))
            ;; what the host hands over comes into memory, which is searched
            (call $scan (i32.const 0) (i32.const 0) (i64.const 2) (i32.const 10000) (i32.const 640))
            (call $must-not (i32.ne (i32.load (i32.const 644)) (i32.const 0)))
            (call $next (i64.const 9223372036854775807) (i32.const 656))
            (call $must-not (i32.load8_u (i32.const 656)))
            (local.set $at (i32.const 0))
            (loop $next
                (call $must-not (i64.eq (i64.load (local.get $at)) {canary}))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $next (i32.lt_u (local.get $at) (i32.mul (memory.size) (i32.const 65536))))))"#
    );
    // The answer of params.get at 560: some, integer, its value.
    let body = Answer::titled(8).body().replace(
        "(local $i i32)",
        &format!(
            "(local $i i32) (local $before i32)
            (local.set $before (memory.grow (i32.const {pages})))
            (call $param (i32.const 512) (i32.const 6) (i32.const 560))
            (if (i32.eqz (i32.load8_u (i32.const 576))) (then (call $probe) (return (i32.const 16))))
            (call $leave)"
        ),
    );
    Guest::new(body)
        .imports([LOG, LOOKUP, PARAMS, STATE, TIMERS].concat())
        .items(items)
        .manifest(MANIFEST)
        .memory(r#"(memory (export "memory") 4)"#)
}

const MANIFEST: &str = r#"{"schema":"picket.manifest/1","rules":[{"id":"t","version":"1.0.0","title":"T","severity":"low",
"params":[{"name":"writes","doc":"Whose side it is on.","type":"boolean","default":false}],
"sources":[{"log":"authentication","fields":[{"path":"user.name","type":"text"}]}]}]}"#;

struct Tenant {
    params: Params,
    state: RuleState,
}

impl Tenant {
    fn new(writes: bool) -> Self {
        Tenant {
            params: Params::from([("writes".to_owned(), ParamValue::Boolean(writes))]),
            state: RuleState::default(),
        }
    }

    fn call(&self, module: &Module) -> Outcome {
        let (batch, tables) = (rows(3, 1), Tables::default());
        let call = Call {
            rule: "t",
            batch: &batch,
            state: &self.state,
            params: &self.params,
            tables: &tables,
        };
        module
            .evaluate(call)
            .unwrap_or_else(|failure| panic!("the probe has found something: {failure}"))
    }
}

/// Alternates as often as this on each of two threads, with a pool of so many instances.
fn alternate(pages: u32, concurrency: u32, times: usize) {
    let engine = Engine::new(Limits {
        concurrency,
        ..Limits::default()
    })
    .unwrap();
    let bytes = both(pages).component();
    // One module for both; and one of the same code that is another module, so that instances change places.
    let one = Arc::new(engine.load(&bytes).unwrap());
    let other = both(pages).items(both(pages).items + "(func)");
    let other = Arc::new(engine.load(&other.component()).unwrap());
    let alone = Tenant::new(false).call(&one);
    assert_eq!(alone.alerts, []);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut writer, prober) = (Tenant::new(true), Tenant::new(false));
                for round in 0..times {
                    let left = writer.call(&one);
                    assert!(left.alerts.len() == 1 && left.log.len() == 2 && left.changes.entries.len() <= 1);
                    writer.state.apply(&left.changes);
                    assert!(left.usage.memory >= u64::from(pages) << 16);
                    let module = if round % 2 == 0 { &one } else { &other };
                    let found = prober.call(module);
                    assert_eq!(
                        (&found.alerts, &found.changes, &found.log),
                        (&alone.alerts, &alone.changes, &alone.log)
                    );
                    assert_eq!(found.usage.fuel, alone.usage.fuel);
                }
                assert_eq!(writer.state.entries().count(), 1, "the writer remembers its own");
            });
        }
    });
}

#[test]
fn a_secret_that_one_tenants_rule_leaves_everywhere_is_found_by_no_probe_of_anothers() {
    // One instance, so that every call comes where the last one was; then two at once.
    alternate(PAGES, 1, 500);
    alternate(PAGES, 2, 500);
    alternate(CAP, 1, 20);
}
