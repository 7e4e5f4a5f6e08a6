//! Components that are within the limits of an operator who raised them: one of the size of a JavaScript or Python interpreter,
//! and one that keeps the compiler busy until it is stopped.

use wasm_encoder::{
    CodeSection, ConstExpr, CustomSection, DataSection, Encode as _, Function, FunctionSection, MemorySection,
    MemoryType, Module, TypeSection, ValType,
};

use crate::Guest;

/// Functions of a large component: more than a small one may have.
const FUNCTIONS: u32 = 25_000;
const PAGE: usize = 65_536;

/// A component with some two megabytes of code, and data and names in equal parts up to this size, beside what it was.
///
/// # Panics
/// It is to be smaller than its code.
#[must_use]
pub fn large(component: &[u8], bytes: usize) -> Vec<u8> {
    let (mut types, mut declared, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([ValType::I64], [ValType::I64]);
    for number in 0..FUNCTIONS {
        declared.function(0);
        let mut function = Function::new([]);
        let mut body = function.instructions();
        body.local_get(0);
        for step in 0..8 {
            body.i64_const(i64::from(number) * 31 + step)
                .i64_add()
                .local_get(0)
                .i64_mul();
        }
        body.end();
        code.function(&function);
    }
    let rest = bytes.checked_sub(component.len() + code.byte_len()).unwrap();
    let half = rest / 2;
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: half.div_ceil(PAGE) as u64,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(0), noise(half));
    let names = noise(half);
    let ballast = CustomSection {
        name: "ballast".into(),
        data: names.as_slice().into(),
    };
    let mut module = Module::new();
    module
        .section(&types)
        .section(&declared)
        .section(&memories)
        .section(&code)
        .section(&data);
    module.section(&ballast);
    beside(component, &module.finish())
}

/// A rule with branch tables that are a fourth more than any module may have by default: within the limits that grow with the
/// largest file that an operator can admit, and more than the compiler has time for. No two numbers give the same bytes.
#[must_use]
pub fn slow_to_compile(number: usize) -> Vec<u8> {
    let (blocks, tables) = (1_900, 42);
    let targets: String = (1..=blocks).map(|target| format!("{target} ")).collect();
    let table = format!("(if (local.get 0) (then (br_table {targets} (local.get 0))))");
    let items = format!(
        r#"(data (i32.const 600) "{number}") (func (param i32) {} {} {})"#,
        "(block ".repeat(blocks),
        table.repeat(tables),
        "(local.set 0 (i32.add (local.get 0) (i32.const 1))))".repeat(blocks)
    );
    Guest::new(crate::NOTHING).items(items).disguised().component()
}

/// Rules that no compiler is done with in the time that any has: what the study found, and more of it. The first takes a minute
/// on any machine.
#[must_use]
pub fn endless_to_compile() -> Vec<(&'static str, Vec<u8>)> {
    let (mut types, mut declared, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..20_000 {
        declared.function(0);
        let mut function = Function::new([(49_999, ValType::I64)]);
        function.instructions().end();
        code.function(&function);
    }
    let mut unused = Module::new();
    unused.section(&types).section(&declared).section(&code);

    let locals = 50;
    let touch: String = (0..locals)
        .map(|local| {
            let next = (local + 1) % locals;
            format!("(local.set {local} (i64.add (local.get {local}) (local.get {next})))")
        })
        .collect();
    let loops = format!(
        "(func (local{}) {} {})",
        " i64".repeat(locals),
        format!("(loop {touch}").repeat(900),
        "(br_if 0 (i64.eqz (local.get 0))))".repeat(900)
    );
    vec![
        (
            "locals-1000-million",
            beside(&Guest::new(crate::NOTHING).component(), &unused.finish()),
        ),
        (
            "loops-900-deep-each-over-50-locals",
            Guest::new(crate::NOTHING).items(loops).component(),
        ),
        ("branch-tables-42-of-1900-in-one-function", slow_to_compile(0)),
    ]
}

/// The component with a core module at its end, which is compiled though nothing instantiates it.
fn beside(component: &[u8], core: &[u8]) -> Vec<u8> {
    let mut all = component.to_vec();
    all.push(1);
    core.encode(&mut all);
    all
}

/// Bytes that say nothing and are not alike.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}
