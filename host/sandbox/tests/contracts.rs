//! Modules built against each released contract run for ever.
//!
//! `tests/contracts` holds one module for each released version of `picket:rule`, as bytes. It is never built again.
//! If this test fails, a rule that somebody built then and has lost the source of fails too.

use std::path::Path;
use std::sync::Arc;

use picket_contract::Evaluate;
use picket_sandbox::{Engine, Limits};

/// Every contract that was released: (version, digest of the module that was built against it).
const RELEASED: &[(&str, &str)] = &[
    (
        "1.0.0",
        "sha256:1c5341a0cc17e1cc6ad4eaa6e6745d578535cde6107a241f66c673af40c3fbf1",
    ),
    (
        "1.1.0",
        "sha256:e011c84ba8c5c6200450f4d9f844d1a8819d9fe28ba7a5497a654e06b228cb9b",
    ),
    (
        "1.2.0",
        "sha256:01a4a70a0a652a72fde64cf963ab33c44bd0c69655aaa3bc3d6cfff7379afbec",
    ),
];

#[test]
fn a_module_of_every_released_contract_is_admitted_and_passes_its_own_cases() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/contracts");
    let kept = std::fs::read_dir(&directory).unwrap().flatten();
    let kept = kept.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "wasm"));
    assert_eq!(
        kept.count(),
        RELEASED.len(),
        "a released contract has its module and its line here"
    );

    let engine = Engine::new(Limits {
        concurrency: 2,
        ..Limits::default()
    })
    .unwrap();
    for (version, digest) in RELEASED {
        let bytes = std::fs::read(directory.join(format!("picket-rule-{version}.wasm"))).unwrap();
        assert_eq!(
            Engine::digest(&bytes),
            *digest,
            "{version}: what was released is not changed"
        );
        let module = engine
            .load(&bytes)
            .unwrap_or_else(|rejected| panic!("{version}: {}", rejected.line()));
        let module: Arc<dyn Evaluate> = Arc::new(module);
        let manifest = &engine.load(&bytes).unwrap().manifest;
        for rule in &manifest.rules {
            let report = picket_test::run(rule, &module).unwrap();
            assert!(
                report.failures.is_empty() && report.passed >= 2,
                "{version}: {}\n{report}",
                rule.id
            );
        }
    }
}
