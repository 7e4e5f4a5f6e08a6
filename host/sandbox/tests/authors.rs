//! What a rule's author is told of a failure, and what its operator is told of its use.
mod support;

use std::time::Duration;

use picket_contract::{FailedRow, Failure};
use picket_hostile::{Guest, LOG, STATE, WIT, component};
use picket_sandbox::{CallLimits, Engine, Limits};
use support::{call, loaded, rows};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// A component whose core module carries line tables of this text, as `rule.wat`.
#[allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers as well")]
fn with_lines(text: &str) -> Vec<u8> {
    let mut parser = wat::Parser::new();
    parser.generate_dwarf(wat::GenerateDwarf::Lines);
    let mut core = parser.parse_str(Some("src/rule.wat".as_ref()), text).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("rule.wit", WIT).unwrap();
    let world = resolve.select_world(&[package], Some("module")).unwrap();
    wit_component::embed_component_metadata(&mut core, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .unwrap()
        .encode()
        .unwrap()
}

#[allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers as well")]
fn failing(component: &[u8]) -> Failure {
    let module = support::engine().load(component).unwrap();
    call(&module, &rows(3, 1)).unwrap_err()
}

/// The line (from 1) of the text that holds a word.
#[allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers as well")]
fn line_of(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.contains(word)).unwrap() + 1
}

#[test]
fn line_tables_give_file_and_line_of_a_trap_that_is_no_panic() {
    // The line that is looked for is marked.
    for (body, code) in [
        (
            "(drop (i32.const 1))\n(drop (i32.div_u (i32.const 1) (i32.const 0))) ;; here\n(i32.const 16)",
            "divide-by-zero",
        ),
        (
            "(drop (i32.const 1))\n(drop (i32.load (i32.const -8))) ;; here\n(i32.const 16)",
            "out-of-bounds",
        ),
        (
            "(loop\n (drop (i32.const 7)) ;; here\n (br 0))\n(i32.const 16)",
            "out-of-fuel",
        ),
        ("(drop (i32.const 1))\nunreachable ;; here\n", "unreachable"),
    ] {
        let text = Guest::new(body).text();
        let failure = failing(&with_lines(&text));
        assert_eq!(failure.code, code, "{failure}");
        let location = failure.location.as_deref().unwrap_or_default();
        let (file, line) = location.rsplit_once(':').unwrap_or_default();
        let line: usize = line.parse().unwrap_or_default();
        assert!(file.ends_with("src/rule.wat"), "{failure:?}");
        // What fuel runs out on is anywhere in the loop.
        let near = if code == "out-of-fuel" { 1 } else { 0 };
        assert!(
            line_of(&text, ";; here").abs_diff(line) <= near,
            "{location}, not {}",
            line_of(&text, ";; here")
        );
        // Without the tables the same failure, without a place.
        assert_eq!(failing(&component(&text)).location, None);
    }
}

#[test]
fn line_tables_that_are_broken_cost_the_place_and_nothing_else() {
    let text = Guest::new("(drop (i32.div_u (i32.const 1) (i32.const 0))) (i32.const 16)").text();
    let whole = with_lines(&text);
    let at = whole.windows(11).position(|window| window == b".debug_line").unwrap() + 11;
    // Every byte of the tables, each overwritten with what is likely to hurt.
    for offset in 0..whole.len().min(at + 200) - at {
        for with in [0x00, 0xff, 0x7f] {
            let mut broken = whole.clone();
            broken[at + offset] = with;
            let Ok(module) = support::engine().load(&broken) else {
                continue;
            };
            assert_eq!(call(&module, &rows(1, 1)).unwrap_err().code, "divide-by-zero");
        }
        if offset > 60 {
            break;
        }
    }
}

#[test]
fn a_report_says_everything() {
    let items = r#"(data (i32.const 600) "panicked at src/lib.rs:7:5: index out of bounds")
        (func $judge_row (call $log (i32.const 0) (i32.const 600) (i32.const 47)) unreachable)"#;
    let guest = Guest::new("(call $judge_row) (i32.const 16)").imports(LOG).items(items);
    let failure = call(&loaded(&guest.text()), &rows(3, 1)).unwrap_err();
    let row = FailedRow {
        log: "authentication".into(),
        event: "e4".into(),
        number: 3,
        of: 7,
    };
    let report = failure.report(Some(&row));
    let (before, used) = report.rsplit_once("\n  used  fuel ").unwrap();
    assert_eq!(
        before,
        "panic: panicked at src/lib.rs:7:5: index out of bounds (in judge_row)\n  at    src/lib.rs:7\n  row   authentication event e4, row 3 of 7 shown at once"
    );
    assert!(used.contains(" of 200,000,000, memory 0.1 MiB of 16 MiB"), "{used}");
    let endless = call(&loaded(&Guest::new("(loop (br 0)) (i32.const 16)").text()), &rows(3, 1)).unwrap_err();
    let report = endless.report(None);
    assert!(
        report.starts_with("out-of-fuel: spent its budget of 200000000 fuel")
            && report.contains("fuel 200,000,000 of 200,000,000"),
        "{report}"
    );
}

/// The words are what authors and runbooks rest on. Fuel is told by the million: what exactly a call costs is not theirs.
#[test]
fn every_kind_of_failure_is_reported_in_the_same_words() {
    let panic = r#"(data (i32.const 600) "panicked at src/lib.rs:7:5: index out of bounds: the len is 2 but the index is 2")
        (func $judge (call $log (i32.const 0) (i32.const 600) (i32.const 81)) unreachable)"#;
    let table = "(table 1 funcref) (type $none (func)) (func $other (param i32)) (elem (i32.const 0) $other)";
    let empty = "(table 1 funcref) (type $none (func))";
    let own = r#"(data (i32.const 600) "the lookup table is missing")"#;
    let error = "(i32.store8 (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 600))
        (i32.store (i32.const 24) (i32.const 27)) (i32.const 16)";
    let (title, unseen) = support::alerts(1, "T", 1, 99);
    let calls = |item: &str, body: &str| Guest::new(format!("{body} (i32.const 16)")).items(item);
    let ways = [
        ("panic", calls(panic, "(call $judge)").imports(LOG)),
        ("unreachable", Guest::new("unreachable")),
        ("out-of-fuel", calls("", "(loop (br 0))")),
        ("out-of-memory", calls("", "(drop (memory.grow (i32.const 1000)))")),
        ("stack-overflow", calls("(func $deep (call $deep))", "(call $deep)")),
        ("out-of-bounds", calls("", "(drop (i32.load (i32.const -8)))")),
        (
            "divide-by-zero",
            calls("", "(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        ),
        (
            "integer-overflow",
            calls("", "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))"),
        ),
        (
            "float-to-integer",
            calls("", "(drop (i32.trunc_f64_s (f64.const nan)))"),
        ),
        (
            "indirect-call-type",
            calls(table, "(call_indirect (type $none) (i32.const 0))"),
        ),
        (
            "indirect-call-to-null",
            calls(empty, "(call_indirect (type $none) (i32.const 0))"),
        ),
        (
            "table-out-of-bounds",
            calls(empty, "(call_indirect (type $none) (i32.const 9))"),
        ),
        ("malformed", Guest::new(unseen).items(title)),
        ("rule-error", Guest::new(error).items(own)),
    ];
    let row = FailedRow {
        log: "authentication".into(),
        event: "92141773-899d-42a7-bf90-62dd4de348a3".into(),
        number: 3,
        of: 7,
    };
    let mut reports = Vec::new();
    for (code, guest) in ways {
        let mut failure = failing(&guest.component());
        assert_eq!(failure.code, code, "{failure}");
        failure.usage.fuel = (failure.usage.fuel + 500_000) / 1_000_000 * 1_000_000;
        reports.push(failure.report(Some(&row)));
    }
    insta::assert_snapshot!(reports.join("\n\n"));
}

#[test]
fn one_module_may_have_limits_of_its_own() {
    let grows = Guest::new("(drop (memory.grow (i32.const 320))) (i32.const 16)").component();
    let engine = Engine::new(Limits {
        concurrency: 2,
        pool_memory_bytes: 64 << 20,
        ..Limits::default()
    })
    .unwrap();
    let ordinary = engine.load(&grows).unwrap();
    assert_eq!(call(&ordinary, &rows(1, 1)).unwrap_err().code, "out-of-memory");
    let generous = CallLimits {
        memory_bytes: 64 << 20,
        ..ordinary.limits
    };
    let generous = engine.load_under(&grows, generous).unwrap();
    let outcome = call(&generous, &rows(1, 1)).unwrap();
    let highest = generous.highest("t");
    assert_eq!(
        (highest.calls, highest.fuel, highest.memory),
        (1, outcome.usage.fuel, outcome.usage.memory)
    );
    assert_ne!(ordinary.allowed(), generous.allowed());
    assert_eq!(engine.fingerprint(), engine.clone().fingerprint());

    let loops = Guest::new("(loop (br 0)) (i32.const 16)").component();
    let tight = CallLimits {
        fuel: 1_000_000,
        ..ordinary.limits
    };
    let failure = call(&engine.load_under(&loops, tight).unwrap(), &rows(1, 1)).unwrap_err();
    assert_eq!(failure.given.unwrap().fuel, 1_000_000);
    assert!(
        failure.usage.fuel <= 1_000_000 && failure.message.contains("1000000"),
        "{failure}"
    );
    assert_eq!(engine.load_under(&loops, tight).unwrap().highest("t").fuel, 0);
}

#[test]
fn a_call_that_is_late_is_seen_while_it_runs_and_decides_nothing() {
    let engine = Engine::new(Limits {
        concurrency: 1,
        fuel: 10_000_000_000,
        late_after: Duration::from_millis(10),
        ..Limits::default()
    })
    .unwrap();
    let module = engine
        .load(&Guest::new("(loop (br 0)) (i32.const 16)").component())
        .unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| call(&module, &rows(1, 1)).unwrap_err());
        while engine.running_late().is_empty() && !running.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(
            engine.running_late().first().map(|late| late.rule.clone()),
            Some("t".to_owned())
        );
        assert_eq!(
            running.join().unwrap().code,
            "out-of-fuel",
            "it spent its budget all the same"
        );
    });
    assert_eq!(engine.late_calls().get("t"), Some(&1));
}

/// On a thread of the size that the daemon gives: the deepest recursion, with host calls at its end, is a trap.
#[test]
fn a_thread_of_the_daemons_size_fits_the_guests_stack_and_the_hosts() {
    let imports = format!("{LOG}{}", STATE);
    let items = "(func $deep (param i64) (result i64)
        (call $log (i32.const 1) (i32.const 1024) (i32.const 64))
        (call $scan (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 10) (i32.const 32))
        (call $deep (i64.add (local.get 0) (i64.const 1))))";
    let guest = Guest::new("(drop (call $deep (i64.const 0))) (i32.const 16)")
        .imports(imports)
        .items(items)
        .component();
    for stack_bytes in [64 << 10, 256 << 10, 1 << 20] {
        let limits = Limits {
            stack_bytes,
            fuel: 1_000_000_000,
            concurrency: 1,
            ..Limits::default()
        };
        let size = limits.thread_stack_bytes();
        let engine = Engine::new(limits).unwrap();
        let module = engine.load(&guest).unwrap();
        let thread = std::thread::Builder::new().stack_size(size);
        let failure = thread
            .spawn(move || call(&module, &rows(1, 1)).unwrap_err())
            .unwrap()
            .join()
            .unwrap();
        assert_eq!(failure.code, "stack-overflow", "{failure}");
    }
}
