//! 2 and 3: imports that no rule gets, exports that no host calls.

use super::Cases;
use crate::{Guest, NOTHING, STATE, Shell, WIT, component_of, other_component};

pub(super) fn cases(cases: &mut Cases) {
    imports(cases);
    exports(cases);
}

/// A good component that imports this as well.
fn importing(import: &str) -> Shell {
    Shell {
        before: format!("(import {import})"),
        ..Shell::new(NOTHING)
    }
}

fn imports(cases: &mut Cases) {
    let unknown = [
        ("function", r#""grant-me" (func)"#),
        (
            "wasi-clock",
            r#""wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64))))"#,
        ),
        ("wasi-sockets", r#""wasi:sockets/tcp@0.2.0" (instance)"#),
        (
            "wasi-command-line",
            r#""wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result (list string)))))"#,
        ),
        (
            "interface-of-ours-that-is-none",
            r#""picket:rule/files@1.0.0" (instance)"#,
        ),
        ("state-of-the-next-major", r#""picket:rule/state@2.0.0" (instance)"#),
        ("state-without-a-version", r#""picket:rule/state" (instance)"#),
        ("look-alike-package", r#""picket:rules/state@1.0.0" (instance)"#),
        ("the-export-as-an-import", r#""picket:rule/detection@1.0.0" (instance)"#),
        ("resource", r#""r" (type (sub resource))"#),
        ("component", r#""c" (component)"#),
        (
            "core-module-by-name",
            r#""m" (core module (export "memory" (memory 1)))"#,
        ),
        ("url", r#""url=<https://example.com/evil.wasm>" (component)"#),
        ("locked-dependency", r#""unlocked-dep=<a:b>" (component)"#),
    ];
    for (name, import) in unknown {
        cases.refused(2, format!("import-{name}"), importing(import), "import");
    }
    let disguised = [
        ("log-as-a-function", r#""picket:rule/log@1.1.0" (func)"#),
        ("log-as-a-component", r#""picket:rule/log@1.1.0" (component)"#),
        (
            "log-as-a-core-module",
            r#""picket:rule/log@1.1.0" (core module (export "memory" (memory 1)))"#,
        ),
        (
            "function-of-a-later-minor",
            r#""picket:rule/timers@1.9.0" (instance (export "clear" (func)))"#,
        ),
    ];
    for (name, import) in disguised {
        cases.refused(2, format!("import-{name}"), importing(import), "import");
    }
    let handle = r#""picket:rule/timers@1.9.0" (instance (export "handle" (type (sub resource))))"#;
    cases.refused(2, "import-resource-in-an-interface", importing(handle), "contract");
    // Nothing but the type differs: an argument is signed, a list is of words, a result is bare.
    for (name, from, to) in [
        (
            "argument-of-another-type",
            "get: func(key: list<u8>, now: s64)",
            "get: func(key: list<u8>, now: u64)",
        ),
        (
            "one-argument-more",
            "delete: func(key: list<u8>, now: s64)",
            "delete: func(key: list<u8>, now: s64, more: s64)",
        ),
        (
            "result-of-another-type",
            "expires-at: s64) -> bool",
            "expires-at: s64) -> u8",
        ),
    ] {
        assert!(WIT.contains(from), "{from}");
        let text = match name {
            "one-argument-more" => Guest::new(NOTHING).imports(STATE.replace(
                r#""delete" (func $delete (param i32 i32 i64))"#,
                r#""delete" (func $delete (param i32 i32 i64 i64))"#,
            )),
            _ => Guest::new(NOTHING).imports(STATE),
        };
        let bytes = component_of(&text.text(), &WIT.replace(from, to));
        cases.refused(2, format!("import-{name}"), bytes, "contract");
    }
    let many: String = (0..1200)
        .map(|number| format!(r#"(import "many-{number}" (func))"#))
        .collect();
    let shell = Shell {
        before: many,
        ..Shell::new(NOTHING)
    };
    cases.refused(2, "imports-by-the-thousand", shell, "import");
}

fn exports(cases: &mut Cases) {
    cases.refused(3, "other-world", other_component(), "no-detection");
    cases.refused(
        3,
        "export-of-a-look-alike",
        renamed("acme:rule/detection@1.0.0").as_str(),
        "no-detection",
    );
    cases.refused(
        3,
        "export-without-a-version",
        renamed("picket:rule/detection").as_str(),
        "version",
    );
    cases.refused(
        3,
        "export-of-the-next-major",
        renamed("picket:rule/detection@2.0.0").as_str(),
        "version",
    );
    cases.refused(
        3,
        "export-of-the-major-before",
        renamed("picket:rule/detection@0.9.0").as_str(),
        "version",
    );
    let wit = WIT.replace("@1.0.0", "@7.0.0");
    let text = Guest::new(NOTHING).text().replace("@1.0.0", "@7.0.0");
    cases.refused(3, "world-of-the-future", component_of(&text, &wit), "version");
    for (name, export) in [
        ("function", r#"(export "picket:rule/detection@1.0.0" (func $describe))"#),
        (
            "component",
            r#"(component $c) (export "picket:rule/detection@1.0.0" (component $c))"#,
        ),
        (
            "core-module",
            r#"(core module $c) (export "picket:rule/detection@1.0.0" (core module $c))"#,
        ),
        (
            "empty-instance",
            r#"(instance $none) (export "picket:rule/detection@1.0.0" (instance $none))"#,
        ),
        (
            "instance-without-evaluate",
            r#"(instance $half (export "describe" (func $describe))) (export "picket:rule/detection@1.0.0" (instance $half))"#,
        ),
        (
            "instance-without-describe",
            r#"(instance $half (export "evaluate" (func $evaluate))) (export "picket:rule/detection@1.0.0" (instance $half))"#,
        ),
        (
            "functions-in-each-others-place",
            r#"(instance $half (export "evaluate" (func $describe)) (export "describe" (func $evaluate)))
               (export "picket:rule/detection@1.0.0" (instance $half))"#,
        ),
    ] {
        let text = Shell::new(NOTHING).text();
        let text = text.replace(
            r#"(export "picket:rule/detection@1.0.0" (instance $detection))"#,
            export,
        );
        let code = if name == "component" {
            "compile-failed"
        } else {
            "contract"
        };
        cases.refused(3, format!("export-of-a-{name}"), text.as_str(), code);
    }
    let twice = Shell {
        after: r#"(export "picket:rule/detection@1.0.0" (instance $detection))"#.to_owned(),
        ..Shell::new(NOTHING)
    };
    cases.refused(3, "export-twice", twice, "invalid");
    for (name, from, to) in [
        ("watermark-unsigned", "watermark: s64", "watermark: u64"),
        ("events-signed", "events: list<u64>", "events: list<s64>"),
        ("field-missing", "    late: list<u8>,\n", ""),
        (
            "alert-with-a-field-more",
            "raised-by: u64,",
            "raised-by: u64,\n    grant: bool,",
        ),
        (
            "describe-in-bytes",
            "describe: func() -> string",
            "describe: func() -> list<u8>",
        ),
        ("severity-of-six", "critical }", "critical, apocalyptic }"),
    ] {
        assert!(WIT.contains(from), "{from}");
        let bytes = component_of(&Guest::new(NOTHING).text(), &WIT.replace(from, to));
        cases.refused(3, format!("export-types-{name}"), bytes, "contract");
    }
}

/// A good component whose export is called otherwise.
fn renamed(name: &str) -> String {
    let own = r#"(export "picket:rule/detection@1.0.0""#;
    Shell::new(NOTHING).text().replace(own, &format!(r#"(export "{name}""#))
}
