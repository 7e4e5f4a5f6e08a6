//! 4 and 5: modules that are large, or that become large in a compiler. Figures are those of the study that the limits come
//! from: 19 KiB of locals cost eight seconds, 233 KiB of branch tables half a minute.

use std::fmt::Write as _;

use wasm_encoder::{CodeSection, Function, FunctionSection, Instruction, Module, TypeSection, ValType};

use super::Cases;
use crate::{Guest, LOG, NOTHING, Shell, manifest, spliced};

pub(super) fn cases(cases: &mut Cases) {
    large(cases);
    manifests(cases);
    bombs(cases);
    for (name, bytes) in compile_bombs() {
        cases.refused(5, name, bytes, "too-large");
    }
}

/// A good component with a custom section at its end.
fn with_section(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = Guest::new(NOTHING).component();
    bytes.push(0);
    leb(&mut bytes, leb_size(name.len()) + name.len() + data.len());
    leb(&mut bytes, name.len());
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(data);
    bytes
}

fn leb(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn leb_size(value: usize) -> usize {
    let mut bytes = Vec::new();
    leb(&mut bytes, value);
    bytes.len()
}

fn many(count: usize, item: impl Fn(usize) -> String) -> String {
    (0..count).map(item).collect()
}

fn large(cases: &mut Cases) {
    cases.refused(
        4,
        "file-of-9-mib",
        with_section(b"ballast", &vec![0; 9 << 20]),
        "too-large",
    );
    cases.harmless(
        4,
        "custom-section-of-1-mib",
        with_section(b"ballast", &vec![0; 1 << 20]),
    );
    cases.harmless(
        4,
        "component-names-that-are-garbage",
        with_section(b"component-name", &[0xff; 1 << 16]),
    );
    cases.refused(
        4,
        "section-name-that-is-no-text",
        with_section(b"\xff\xfe\xfd", b""),
        "invalid",
    );
    let exports = many(2000, |number| format!(r#"(func (export "e{number}"))"#));
    cases.refused(4, "exports-2000", Guest::new(NOTHING).items(exports), "too-large");
    let functions = "(func)".repeat(50_000);
    cases.refused(4, "functions-50-000", Guest::new(NOTHING).items(functions), "too-large");
    let imports = format!("(core module $wide {})", r#"(import "a" "b" (func))"#.repeat(10_000));
    let wide = Shell {
        between: imports,
        ..Shell::new(NOTHING)
    };
    cases.refused(4, "core-imports-10-000", wide, "too-large");
    let name = "n".repeat(64 << 10);
    let long = format!(r#"(func (export "{name}"))"#);
    cases.refused(4, "export-name-of-64-kib", Guest::new(NOTHING).items(long), "too-large");
    let named = format!("(func ${name} unreachable)");
    cases.fails(
        4,
        "function-name-of-64-kib-that-traps",
        Guest::new(format!("(call ${name}) {NOTHING}")).items(named),
        "unreachable",
    );
    let ansi = r#"(func $"a\1b]0;owned\07\1b[2J\u{202e}z" unreachable)"#;
    let body = format!(r#"(call $"a\1b]0;owned\07\1b[2J\u{{202e}}z") {NOTHING}"#);
    cases.fails(
        4,
        "function-name-for-terminals-that-traps",
        Guest::new(body).items(ansi),
        "unreachable",
    );

    let before = |text: String| Shell {
        before: text,
        ..Shell::new(NOTHING)
    };
    // Each type holds the one before twice: 40 of them are 2^40 fields to whoever unfolds them.
    let mut doubling = "(type $t0 (tuple u8 u8))".to_owned();
    for level in 1..40 {
        let _ = write!(doubling, "(type $t{level} (tuple $t{} $t{}))", level - 1, level - 1);
    }
    cases.refused(4, "types-that-double", before(doubling), "invalid");
    let mut deep = "(type $t0 u8)".to_owned();
    for level in 1..3000 {
        let _ = write!(deep, "(type $t{level} (option $t{}))", level - 1);
    }
    cases.refused(4, "types-3000-deep", before(deep), "invalid");
    cases.refused(4, "types-200-000", before("(type u8)".repeat(200_000)), "too-large");
    let nested = format!("{}{}", "(component ".repeat(90), ")".repeat(90));
    cases.refused(4, "components-90-deep", before(nested), "nested-component");
    cases.refused(
        4,
        "components-20-000",
        before("(component)".repeat(20_000)),
        "too-large",
    );
    cases.refused(
        4,
        "core-modules-20-000",
        before("(core module)".repeat(20_000)),
        "too-large",
    );
    let aliases = format!(
        "(core module $m) {}",
        "(alias outer 0 $m (core module))".repeat(100_000)
    );
    cases.refused(4, "aliases-100-000", before(aliases), "too-large");
    let instances = format!("(core module $m) {}", "(core instance (instantiate $m))".repeat(1000));
    cases.refused(4, "core-instances-1000", before(instances), "too-large");
    // Each component instantiates the one before ten times.
    let mut doubling = r#"(component $c0 (core module $m) (core instance (instantiate $m)))"#.to_owned();
    for level in 1..12 {
        let inner = format!("(alias outer 1 $c{} (component $c))", level - 1);
        let _ = write!(
            doubling,
            "(component $c{level} {inner} {})",
            "(instance (instantiate $c))".repeat(10)
        );
    }
    doubling.push_str("(instance (instantiate $c11))");
    cases.refused(4, "instances-10-to-the-11", before(doubling), "nested-component");
}

/// What `describe` answers.
fn manifests(cases: &mut Cases) {
    let of = |manifest: String| {
        Guest::new(NOTHING)
            .manifest(manifest)
            .memory(r#"(memory (export "memory") 128)"#)
    };
    cases.refused(4, "manifest-empty", of(String::new()), "manifest");
    cases.refused(4, "manifest-of-brackets", of("[".repeat(200_000)), "manifest");
    cases.refused(4, "manifest-of-spaces", of(" ".repeat(1 << 20)), "manifest");
    cases.refused(
        4,
        "manifest-of-a-schema-to-come",
        of(manifest().replace("manifest/1", "manifest/2")),
        "manifest",
    );
    cases.refused(4, "manifest-that-goes-on", of(manifest() + "{}"), "manifest");
    let rule = |id: String| manifest().replace("\"t\"", &format!("\"{id}\""));
    let ansi = manifest().replace("\"T\"", "\"\\u001b[2Jrm -rf\\u202e\"");
    cases.refused(4, "manifest-title-for-terminals", of(ansi), "manifest");
    cases.refused(4, "manifest-id-of-64-kib", of(rule("x".repeat(64 << 10))), "manifest");
    cases.refused(
        4,
        "manifest-id-that-is-a-path",
        of(rule("../../etc/passwd".to_owned())),
        "manifest",
    );
    let one = manifest();
    let rules = &one[one.find('[').unwrap() + 1..one.rfind(']').unwrap()];
    let all: Vec<String> = (0..20_000)
        .map(|number| rules.replace("\"t\"", &format!("\"t{number}\"")))
        .collect();
    let flood = format!(r#"{{"schema":"picket.manifest/1","rules":[{}]}}"#, all.join(","));
    cases.refused(4, "manifest-of-20-000-rules", of(flood), "manifest");
    let not = "{\"not\":".repeat(5000) + "{\"all\":[]}" + &"}".repeat(5000);
    let deep = manifest().replace("\"fields\"", &format!("\"when\":{not},\"fields\""));
    cases.refused(4, "manifest-condition-5000-deep", of(deep), "manifest");
    // What it says lies elsewhere: past the memory, or in bytes that are no text.
    let points = |at: &str, length: &str| {
        Guest::new(NOTHING)
            .text()
            .replace("(i32.const 8))\n", &format!("(i32.store (i32.const 8) (i32.const {at})) (i32.store (i32.const 12) (i32.const {length})) (i32.const 8))\n"))
    };
    cases.unborn(4, "manifest-outside-the-memory", points("131072", "1"), "malformed");
    cases.unborn(4, "manifest-of-4-gib", points("1", "-1"), "malformed");
    let no_text = Guest::new(NOTHING).describe(r"(memory.fill (i32.const 1024) (i32.const 255) (i32.const 600))");
    cases.unborn(4, "manifest-that-is-no-text", no_text, "malformed");
    let flood = Guest::new(NOTHING).memory(r#"(memory (export "memory") 256)"#).text();
    let flood = flood.replace(
        "(i32.const 8))\n",
        "(i32.store (i32.const 12) (i32.const 16000000)) (i32.const 8))\n",
    );
    cases.unborn(4, "manifest-of-16-mb", flood, "malformed");
}

/// Bombs in what is not a function's body.
fn bombs(cases: &mut Cases) {
    let calls = many(2000, |_| {
        "(call $log (i32.const 0) (i32.const 0) (i32.const 0))".to_owned()
    });
    cases.harmless(5, "function-of-2000-calls", Guest::new(calls + NOTHING).imports(LOG));
    let segments = r#"(data (i32.const 600) "x")"#.repeat(90_000);
    cases.refused(
        5,
        "data-segments-90-000",
        Guest::new(NOTHING).items(segments),
        "too-large",
    );
    let elements = format!(
        "(table 1 funcref) (func $f) {}",
        "(elem (i32.const 0) $f)".repeat(90_000)
    );
    cases.refused(
        5,
        "element-segments-90-000",
        Guest::new(NOTHING).items(elements),
        "too-large",
    );
    let globals = "(global (mut i64) (i64.const 1))".repeat(90_000);
    cases.refused(5, "globals-90-000", Guest::new(NOTHING).items(globals), "too-large");
    let types = many(200_000, |number| {
        format!(
            "(type (func (param {})))",
            ["i32 i64", "i64 i32", "f32", "f64"][number % 4]
        )
    });
    cases.refused(
        5,
        "function-types-200-000",
        Guest::new(NOTHING).items(types),
        "too-large",
    );
    let parameters = format!("(func (param {}))", "i64 ".repeat(1000));
    cases.refused(
        5,
        "function-of-1000-parameters",
        Guest::new(NOTHING).items(parameters),
        "too-large",
    );
}

/// Bodies that cost a compiler far more than they weigh: those that the static limits must refuse. Without the limits, the
/// compiler has to be stopped. The first five are those of the study that the limits come from.
#[must_use]
pub fn compile_bombs() -> Vec<(&'static str, Vec<u8>)> {
    // Beside a good rule, and brought up with it: `wit-component` would not take most of them.
    let of = |items: String| {
        let between = format!("(core module $bomb {items}) (core instance (instantiate $bomb))");
        Shell {
            between,
            ..Shell::new(NOTHING)
        }
        .component()
    };
    let nested = |loops: usize, locals: usize| {
        let set = many(locals, |local| {
            format!("(local.set {local} (i64.add (local.get {local}) (local.get 0)))")
        });
        format!(
            "(func (local{}) {}{set}{})",
            " i64".repeat(locals),
            "(loop ".repeat(loops),
            ")".repeat(loops)
        )
    };
    let table = format!(
        "(func (param i32) (block (br_table {}(local.get 0))))",
        "0 ".repeat(2000)
    );
    vec![
        (
            "locals-100-million",
            spliced(&of(String::new()), 1, &unused_locals(2000, 49_999)),
        ),
        ("loops-900-deep-over-50-locals", of(nested(900, 50))),
        ("branch-tables-60-of-2000", of(table.repeat(60))),
        (
            "functions-50-000-tiny",
            of("(func (result i32) (i32.const 1))".repeat(50_000)),
        ),
        (
            "chain-of-200-000-operators",
            of(format!(
                "(func (result i64) (i64.const 1) {})",
                "(i64.add (i64.const 3))".repeat(200_000)
            )),
        ),
        (
            "function-of-7-mb",
            of(format!("(func {})", "(drop (i32.const 70000))".repeat(7_654_321 / 5))),
        ),
        (
            "blocks-30-000-deep",
            of(format!("(func {} {})", "(block ".repeat(30_000), ")".repeat(30_000))),
        ),
        (
            "loops-2000-beside-each-other-over-500-locals",
            of(format!(
                "(func (local{}) {})",
                " i64".repeat(500),
                "(loop (local.set 1 (i64.add (local.get 1) (local.get 2))))".repeat(2000)
            )),
        ),
    ]
}

/// A core module of so many functions, each with so many locals that nobody uses: ten bytes a function.
fn unused_locals(functions: u32, locals: u32) -> Vec<u8> {
    let (mut types, mut declared, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..functions {
        declared.function(0);
        let mut function = Function::new([(locals, ValType::I64)]);
        function.instruction(&Instruction::End);
        code.function(&function);
    }
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&code);
    module.finish()
}
