//! `picket rule test`: the timed cases that travel in a module, in the production sandbox.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use picket_contract::Evaluate;
use serde_json::json;

use crate::cli::Format;
use crate::commands::replay::modules;
use crate::out::out;

/// Runs them all and reports each rule; true: all passed.
///
/// # Errors
/// A module that is refused.
pub(crate) fn run(paths: &[PathBuf], format: Format) -> anyhow::Result<bool> {
    let mut failed = 0;
    for path in paths {
        for (file, module) in modules(path)? {
            for rule in &module.manifest.rules {
                let evaluator: Arc<dyn Evaluate> = module.clone();
                let (passed, failures, said, principals) = match picket_test::run(rule, &evaluator) {
                    Ok(report) => {
                        let said = report.to_string();
                        (report.passed, report.failures.len(), said, report.principals)
                    }
                    Err(why) => (0, 1, format!("  {why}"), BTreeSet::new()),
                };
                failed += failures;
                match format {
                    Format::Text => out!("{} in {}\n{said}", rule.id, file.display()),
                    Format::Ndjson => out!(
                        "{}",
                        json!({"rule": rule.id, "module": file, "passed": passed, "failed": failures, "report": said,
                            "principals": principals})
                    ),
                }
            }
        }
    }
    Ok(failed == 0)
}
