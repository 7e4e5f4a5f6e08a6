//! What is not a rule is refused before it runs, with a message for whoever put it there.
mod support;

use picket_contract::FailureKind;
use picket_sandbox::{Engine, Limits, Rejected, StaticLimits};
use support::{component, component_of, engine, manifest, module, module_describing, module_with, rejected};

const NOTHING: &str = "(i32.const 16)";

#[test]
fn files_that_are_no_component_say_what_they_are() {
    assert_eq!(rejected(b""), Rejected::Empty);
    assert!(rejected(b"#!/bin/sh\necho").to_string().contains("not WebAssembly"));
    assert!(
        rejected(&[0x7f, b'E', b'L', b'F', 0, 1, 2])
            .to_string()
            .contains("7f 45 4c 46")
    );
    assert_eq!(rejected(&wat::parse_str("(module)").unwrap()), Rejected::CoreModule);
    assert!(
        rejected(&wat::parse_str("(module)").unwrap())
            .to_string()
            .contains("cargo xtask rules")
    );
    let whole = component(&module(NOTHING));
    for cut in [5, 9, whole.len() / 3, whole.len() - 1] {
        let refused = rejected(&whole[..cut]);
        assert!(matches!(refused, Rejected::Invalid { .. }), "cut at {cut}: {refused}");
    }
    let mut garbage = whole.clone();
    for byte in garbage.iter_mut().skip(40).step_by(7) {
        *byte ^= 0x55;
    }
    assert!(matches!(rejected(&garbage), Rejected::Invalid { .. }));
}

#[test]
fn a_component_of_another_world_is_refused() {
    let empty = wat::parse_str("(component)").unwrap();
    assert!(
        rejected(&empty)
            .to_string()
            .contains("exports nothing, not picket:rule/detection@1.x")
    );
    let wit = "package acme:plug@1.0.0; interface run { run: func(); } world module { export run; }";
    let other = component_of(r#"(module (func (export "acme:plug/run@1.0.0#run")))"#, wit);
    assert!(rejected(&other).to_string().contains("acme:plug/run@1.0.0"));
    let wit = include_str!("../../../tests/contracts/1.0.0/rule.wit").replace("@1.0.0", "@2.0.0");
    let next = component_of(&module(NOTHING).replace("@1.0.0", "@2.0.0"), &wit);
    assert!(
        rejected(&next)
            .to_string()
            .contains("built for picket:rule 2.0.0, and this host speaks 1.2.0")
    );
}

#[test]
fn an_import_that_no_rule_gets_is_named() {
    let wasi = wat::parse_str(
        r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64))))))"#,
    )
    .unwrap();
    let said = rejected(&wasi).to_string();
    assert!(
        said.contains("imports wasi:clocks/wall-clock@0.2.0") && said.contains("wasm32-unknown-unknown"),
        "{said}"
    );

    // A later minor version with a function that this host lacks.
    let wit = include_str!("../../../tests/contracts/1.0.0/rule.wit")
        .replace("@1.0.0", "@1.3.0")
        .replace("interface timers {", "interface timers { clear: func();");
    let text = module_with(
        r#"(import "picket:rule/timers@1.3.0" "clear" (func $clear))"#,
        "",
        "(call $clear) (i32.const 16)",
    )
    .replace("@1.0.0", "@1.3.0");
    let said = rejected(&component_of(&text, &wit)).to_string();
    assert!(
        said.contains("picket:rule/timers@1.3.0 function clear") && said.contains("later one"),
        "{said}"
    );

    // The same minor version that uses only what there is.
    let text = module(NOTHING).replace("@1.0.0", "@1.3.0");
    assert!(engine().load(&component_of(&text, &wit)).is_ok());
}

#[test]
fn types_that_differ_from_the_contract_are_refused() {
    let wit = include_str!("../../../tests/contracts/1.0.0/rule.wit").replace("watermark: s64", "watermark: u64");
    let refused = rejected(&component_of(&module(NOTHING), &wit));
    assert!(matches!(refused, Rejected::Contract { .. }), "{refused}");
}

/// The code and the sentence of a refusal.
fn refusal(bytes: &[u8]) -> (&'static str, String) {
    let refused = rejected(bytes);
    (refused.code(), refused.to_string())
}

/// A component around a core module that is refused before the world is looked for.
#[allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers as well")]
fn around(module: &str) -> Vec<u8> {
    let component = format!(
        r#"(component
            {module}
            (core instance $i (instantiate $m))
            (core func $f (alias core export $i "f"))
            (func $lifted (canon lift (core func $f)))
            (instance $api (export "describe" (func $lifted)))
            (export "picket:rule/detection@1.0.0" (instance $api)))"#
    );
    wat::parse_str(component).unwrap()
}

#[test]
fn proposals_that_rules_do_not_use_are_refused_by_name() {
    let core: &[(&str, &str)] = &[
        ("memory64", "(memory i64 1)"),
        ("memory64", "(table i64 1 funcref)"),
        ("threads", "(memory 1 1 shared)"),
        ("threads", "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"),
        ("simd", "(func (drop (v128.const i64x2 1 2)))"),
        ("simd", "(global v128 (v128.const i64x2 1 2))"),
        (
            "simd",
            "(func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0))))",
        ),
        ("tail-call", "(func $again (return_call $again))"),
        ("exceptions", "(tag $t) (func (throw $t))"),
        ("exceptions", "(func (block $h (try_table (catch_all $h))))"),
        ("multi-memory", "(memory 1) (memory 1)"),
        (
            "function-references",
            "(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))",
        ),
        (
            "gc",
            "(type $s (struct (field i32))) (func (drop (struct.new_default $s)))",
        ),
        ("gc", "(func (param externref))"),
        ("gc", "(func (drop (ref.i31 (i32.const 1))))"),
        (
            "stack-switching",
            "(type $f (func)) (type $c (cont $f)) (func (param (ref null $c)) (resume $c (local.get 0)))",
        ),
        ("custom-page-sizes", "(memory 1 (pagesize 1))"),
        (
            "wide-arithmetic",
            "(func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))",
        ),
    ];
    for (feature, items) in core {
        let (code, said) = refusal(&around(&format!(r#"(core module $m {items} (func (export "f")))"#)));
        assert_eq!(code, "feature", "{items}: {said}");
        assert!(
            said.starts_with(&format!("uses {feature}, which no rule may: ")),
            "{items}: {said}"
        );
    }

    let component: &[(&str, &str)] = &[
        ("component-async", "(core func (canon task.cancel))"),
        ("component-async", "(type (stream u8))"),
        ("component-async", "(type (future u8))"),
        ("component-async", "(core func (canon backpressure.inc))"),
        ("component-error-context", "(core func (canon error-context.drop))"),
        ("component-threads", "(core func (canon thread.available_parallelism))"),
        ("component-resources", "(type (resource (rep i32)))"),
        (
            "component-resources",
            "(type $r (resource (rep i32))) (core func (canon resource.new $r))",
        ),
        ("component-map", "(type (map u32 u32))"),
        ("component-fixed-length-lists", "(type (list u32 4))"),
    ];
    for (feature, items) in component {
        let text = format!(r#"{items} (core module $m (func (export "f")))"#);
        let (code, said) = refusal(&around(&text));
        assert_eq!(code, "feature", "{items}: {said}");
        assert!(
            said.starts_with(&format!("uses {feature}, which no rule may: ")),
            "{items}: {said}"
        );
    }
}

#[test]
fn a_rule_is_one_component_and_passes_text_as_utf8() {
    let module = r#"(core module $m (memory (export "m") 1) (func (export "f"))
        (func (export "s") (param i32 i32)) (func (export "r") (param i32 i32 i32 i32) (result i32) i32.const 0))"#;
    let cases = [
        (
            "nested-component",
            "code of its own",
            "(component (core module (func)))".to_owned(),
        ),
        (
            "nested-component",
            "lifts or lowers",
            r#"(component (import "f" (func $f)) (core func (canon lower (func $f))))"#.to_owned(),
        ),
        (
            "nested-component",
            "has a component inside",
            "(component (component))".to_owned(),
        ),
        (
            "nested-component",
            "takes more than types",
            r#"(component (import "i" (instance $i (export "f" (func)))) (alias export $i "f" (func)))"#.to_owned(),
        ),
        (
            "nested-component",
            "does more than pass on",
            r#"(component (import "f" (func $f)) (instance (export "f" (func $f))))"#.to_owned(),
        ),
    ];
    for (expected, detail, inside) in cases {
        let (code, said) = refusal(&around(&format!("{inside} {module}")));
        assert_eq!(code, expected, "{inside}: {said}");
        assert!(said.contains(detail), "{inside}: {said}");
    }

    let lifts = |more: &str| {
        around(&format!(
            r#"{module}
            (core instance $j (instantiate $m))
            (core func $g (alias core export $j "s"))
            (alias core export $j "m" (core memory $mem))
            (core func $realloc (alias core export $j "r"))
            {more}"#
        ))
    };
    // What is lifted here is lowered here again, directly or on the way round through an instance.
    let direct = r#"(func $own (param "a" u32) (param "b" u32) (canon lift (core func $g)))
        (core func (canon lower (func $own)))"#;
    assert_eq!(refusal(&lifts(direct)).0, "adapter");
    let round = r#"(func $own (param "a" u32) (param "b" u32) (canon lift (core func $g)))
        (instance $x (export "own" (func $own))) (alias export $x "own" (func $again)) (core func (canon lower (func $again)))"#;
    assert_eq!(refusal(&lifts(round)).0, "adapter");

    for (option, word) in [("utf16", "UTF-16"), ("latin1+utf16", "Latin-1")] {
        let text = format!(
            r#"(func (param "a" string) (canon lift (core func $g) (memory $mem) (realloc $realloc) string-encoding={option}))"#
        );
        let (code, said) = refusal(&lifts(&text));
        assert_eq!(code, "string-encoding", "{said}");
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_rule_exports_its_world_and_nothing_else() {
    let more = r#"(core module $m (func (export "f"))) (core instance $j (instantiate $m))
        (func $g (canon lift (core func $j "f"))) (export "extra" (func $g))"#;
    let (code, said) = refusal(&around(more));
    assert_eq!(code, "export", "{said}");
    assert!(said.contains("exports extra beside"), "{said}");
}

#[test]
fn names_that_a_module_chose_are_cut_and_cleaned() {
    let long = "x".repeat(400);
    let text = format!(r#"(component (import "evil:{long}/y" (instance)))"#);
    let (code, said) = refusal(&wat::parse_str(text).unwrap());
    assert_eq!(code, "import");
    assert!(said.len() < 400 && said.contains('…'), "{said}");
    let (_, said) = refusal(b"\x1b[31m\nred");
    assert!(!said.contains('\u{1b}') && !said.contains('\n'), "{said}");
}

#[test]
fn compile_bombs_are_refused_before_they_are_compiled() {
    let bombs = [
        (
            "locals of all functions",
            (0..50)
                .map(|_| "(func (local".to_owned() + &" i64".repeat(49_999) + "))")
                .collect::<String>(),
        ),
        (
            "loops inside one another",
            format!("(func {} {})", "(loop ".repeat(100), ")".repeat(100)),
        ),
        (
            "targets of branch tables",
            (0..6)
                .map(|_| format!("(func (block (br_table {} (i32.const 0))))", "0 ".repeat(2000)))
                .collect(),
        ),
        ("functions", "(func)".repeat(20_001)),
        (
            "one function has bytes",
            format!("(func {})", "(drop (i32.const 70000))".repeat(70_000)),
        ),
        ("table entries", "(table 1000000 funcref)".to_owned()),
    ];
    for (expected, bomb) in bombs {
        let refused = rejected(&component(&module_with("", &bomb, NOTHING)));
        assert!(matches!(refused, Rejected::TooLarge { .. }), "{expected}: {refused}");
        assert!(refused.to_string().contains(expected), "{expected}: {refused}");
    }
    let memory = module(NOTHING).replace("(memory (export \"memory\") 2)", "(memory (export \"memory\") 60000)");
    assert!(rejected(&component(&memory)).to_string().contains("pages of 64 KiB"));
    let small = Limits {
        module: StaticLimits {
            bytes: 100,
            ..StaticLimits::default()
        },
        ..Limits::default()
    };
    let refused = Engine::new(small)
        .unwrap()
        .load(&component(&module(NOTHING)))
        .unwrap_err();
    assert!(matches!(refused, Rejected::TooLarge { .. }));
}

#[test]
fn a_module_that_fails_in_describe_is_refused() {
    let text = module(NOTHING).replace("(i32.store (i32.const 12)", "unreachable (i32.store (i32.const 12)");
    let Rejected::Describe(failure) = rejected(&component(&text)) else {
        panic!("not refused in describe")
    };
    assert_eq!(failure.kind, FailureKind::Trap);
    let text = module(NOTHING).replace("(i32.store (i32.const 12)", "(loop (br 0)) (i32.store (i32.const 12)");
    let Rejected::Describe(failure) = rejected(&component(&text)) else {
        panic!("not refused in describe")
    };
    assert_eq!(failure.kind, FailureKind::OutOfFuel);
    // What describe asks of the host is not there yet.
    let text = module_with(
        r#"(import "picket:rule/timers@1.0.0" "next" (func $next (param i64 i32)))"#,
        "(func $ask (call $next (i64.const 0) (i32.const 32))) ",
        NOTHING,
    )
    .replace("(i32.store (i32.const 12)", "(call $ask) (i32.store (i32.const 12)");
    assert!(
        rejected(&component(&text))
            .to_string()
            .contains("may be used in evaluate only")
    );
    // A start function that never ends.
    let text = module_with("", "(func $start (loop (br 0))) (start $start)", NOTHING);
    assert!(matches!(rejected(&component(&text)), Rejected::Describe(_)));
}

#[test]
fn a_manifest_that_breaks_the_contract_is_refused_with_all_that_is_wrong() {
    let bad = manifest()
        .replace("\"1.0.0\"", "\"one\"")
        .replace("authentication", "authentications");
    let said = rejected(&component(&module_describing("", "", &bad, NOTHING))).to_string();
    assert!(
        said.contains("not of the form 1.2.3") && said.contains("did you mean `authentication`?"),
        "{said}"
    );
    assert!(
        rejected(&component(&module_describing("", "", "{", NOTHING)))
            .to_string()
            .contains("no JSON")
    );
}

#[test]
fn compiled_code_is_kept_and_never_trusted_blindly() {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("compiled");
    let limits = || Limits {
        concurrency: 1,
        cache: Some(cache.clone()),
        ..Limits::default()
    };
    let bytes = component(&module(NOTHING));
    let engine = Engine::new(limits()).unwrap();
    let loaded = engine.load(&bytes).unwrap();
    let kept = || {
        std::fs::read_dir(&cache)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    assert_eq!(kept().len(), 1);
    let artifact = kept().remove(0);

    // From the cache: the same.
    let again = Engine::new(limits()).unwrap().load(&bytes).unwrap();
    assert_eq!(again.digest, loaded.digest);
    assert!(support::call(&again, &support::rows(3, 1)).is_ok());

    // Damaged: compiled anew.
    let good = std::fs::read(&artifact).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    std::fs::write(&artifact, &bad).unwrap();
    assert!(support::call(&engine.load(&bytes).unwrap(), &support::rows(3, 1)).is_ok());
    assert_eq!(std::fs::read(&artifact).unwrap(), good);

    // Something else under a name that fits: compiled anew.
    let name = artifact.file_name().unwrap().to_str().unwrap().to_owned();
    let (prefix, _) = name.rsplit_once('-').unwrap();
    std::fs::remove_file(&artifact).unwrap();
    let foreign = cache.join(format!("{prefix}-{}.cwasm", blake3::hash(b"foreign").to_hex()));
    std::fs::write(&foreign, b"foreign").unwrap();
    assert!(engine.load(&bytes).is_ok());
    assert_eq!(kept(), [artifact]);

    // A directory that others may enter: refused.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = Engine::new(limits()).unwrap_err().to_string();
    assert!(
        refused.contains("has mode 0755") && refused.contains("mode 0700"),
        "{refused}"
    );
}
