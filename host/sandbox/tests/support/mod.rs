//! Engines to load modules into, and calls of them. How modules are crafted stands in `picket-hostile`.
#![allow(dead_code, unused_imports, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "tests fail by panicking, in their helpers as well")]

use picket_contract::{Batch, Call, Evaluate, Failure, Outcome, Params, RuleState, Tables};
use picket_hostile::{Answer, Guest};
pub(crate) use picket_hostile::{component, component_of, manifest, rows};
use picket_sandbox::{Engine, Limits, Module, Rejected};

/// The text of a module around the body of `evaluate`: see [`Guest::evaluate`].
pub(crate) fn module(body: &str) -> String {
    Guest::new(body).text()
}

/// The same with imports and further items.
pub(crate) fn module_with(imports: &str, items: &str, body: &str) -> String {
    Guest::new(body).imports(imports).items(items).text()
}

/// The same with another manifest.
pub(crate) fn module_describing(imports: &str, items: &str, manifest: &str, body: &str) -> String {
    Guest::new(body).imports(imports).items(items).manifest(manifest).text()
}

/// With the limits of production, but memory for a few calls only.
pub(crate) fn engine() -> Engine {
    Engine::new(Limits {
        concurrency: 2,
        ..Limits::default()
    })
    .unwrap()
}

/// A module, loaded.
pub(crate) fn loaded(text: &str) -> Module {
    engine().load(&component(text)).unwrap()
}

/// Why bytes are not admitted.
pub(crate) fn rejected(bytes: &[u8]) -> Rejected {
    engine().load(bytes).unwrap_err()
}

/// One call on a batch, with nothing remembered.
pub(crate) fn call(module: &Module, batch: &Batch) -> Result<Outcome, Failure> {
    call_on(module, batch, &RuleState::default())
}

/// One call.
pub(crate) fn call_on(module: &Module, batch: &Batch, state: &RuleState) -> Result<Outcome, Failure> {
    let (params, tables) = (Params::new(), Tables::default());
    module.evaluate(Call {
        rule: "t",
        batch,
        state,
        params: &params,
        tables: &tables,
    })
}

/// Items and body of a module that answers with `count` alerts, each titled `title`, with evidence `evidence`, raised by
/// `raised_by`.
pub(crate) fn alerts(count: u32, title: &str, evidence: u64, raised_by: u64) -> (String, String) {
    let length = title.replace("\\1b", "\u{1b}").len();
    let answer = Answer {
        raised_by,
        ..Answer::titled(u32::try_from(length).unwrap()).times(count)
    };
    let proof = format!("(i64.store (i32.const 512) (i64.const {evidence}))");
    let body = answer
        .body()
        .replace("(i64.store (i32.const 512) (i64.const 1))", &proof);
    (format!(r#"(data (i32.const 600) "{title}")"#), body)
}
