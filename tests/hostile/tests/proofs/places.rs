//! What the author of a rule that the SDK built is told of each way in which it can fail: file and line of their own source among
//! it. The rule is `tests/hostile/traps`, built with line tables.

use std::sync::Arc;

use picket_contract::Evaluate;
use picket_sandbox::{Engine, Limits};

const SOURCE: &str = include_str!("../../traps/src/lib.rs");
const FILE: &str = "tests/hostile/traps/src/lib.rs";

/// Where the source says that it goes wrong: lines from 1.
fn line_of(way: &str) -> usize {
    let marked = format!("// here: {way}");
    SOURCE.lines().position(|line| line.ends_with(&marked)).unwrap() + 1
}

/// The report that `picket rule test` prints of a case in which the rule is told to fail in this way.
fn report(rule: &Arc<dyn Evaluate>, manifest: &picket_contract::RuleManifest, way: &str) -> String {
    let cases = format!(
        r#"
rule: traps
given:
  authentication: {{user.name: bob, user.key: DUBOB}}
tests:
  - test: does as it is told
    steps: [{{at: "09:00", authentication: {{reason: nothing}}}}, {{at: "09:01", authentication: {{reason: {way}}}}}]
    expect: [{{}}]
  - test: is silent
    steps: [{{at: "09:00", authentication: {{}}}}]
    expect: none
"#
    );
    let report = picket_test::run_yaml(&cases, manifest, rule).unwrap();
    assert_eq!((report.passed, report.failures.len()), (1, 1), "{way}: {report}");
    report.to_string()
}

/// Without what another compiler, another directory or another wasmtime would write otherwise.
fn stable(report: &str) -> String {
    let mut lines = Vec::new();
    for line in report.lines() {
        let mut line = line.to_owned();
        // The end of a symbol is a hash.
        let is_hash = |at: &usize| {
            let hash = line.get(at + 3..at + 19);
            hash.is_some_and(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        let hashes: Vec<usize> = line.match_indices("::h").map(|(at, _)| at).filter(is_hash).collect();
        for at in hashes.into_iter().rev() {
            line.replace_range(at..at + 19, "");
        }
        if let Some(at) = line.find(FILE) {
            let from = line[..at].rfind(' ').map_or(0, |space| space + 1);
            line.replace_range(from..at, "");
        }
        // The line itself is looked at by itself.
        if line.trim_start().starts_with("at    ")
            && let Some(colon) = line.rfind(':')
        {
            line.replace_range(colon + 1.., "LINE");
        }
        // How much more was wanted depends on how the allocator grows.
        if let (Some(from), Some(to)) = (line.find(": wanted "), line.find(" bytes of memory")) {
            line.replace_range(from + 9..to, "N");
        }
        // What was used: of fuel, unless it is all there was.
        for (name, unit) in [("fuel ", ""), ("memory ", " MiB")] {
            let used = format!("  used  {name}");
            let from = line.find(&used).map(|at| at + used.len());
            let from = from.or_else(|| {
                line.contains("  used  ")
                    .then(|| line.find(name).map(|at| at + name.len()))
                    .flatten()
            });
            let Some(from) = from else { continue };
            let Some(to) = line[from..].find(" of ").map(|at| from + at) else {
                continue;
            };
            let given = line[to + 4..].split(", ").next().unwrap_or_default();
            if name == "memory " || line[from..to] != *given {
                line.replace_range(from..to, &format!("N{unit}"));
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[test]
fn an_author_is_told_of_every_failure_in_the_same_words_with_file_and_line() {
    let engine = Engine::new(Limits {
        concurrency: 2,
        ..Limits::default()
    })
    .unwrap();
    let bytes = std::fs::read(picket_e2e::installed("rules-hostile/traps.wasm")).unwrap();
    let module = Arc::new(engine.load(&bytes).unwrap());
    let manifest = module.manifest.rules[0].clone();
    let rule: Arc<dyn Evaluate> = module;
    // What fuel or stack runs out on is somewhere in the loop, or where the function begins; an instruction of the library's is
    // told by the nearest line before it.
    for (way, code, near) in [
        ("trap", "unreachable", 3),
        ("loop", "out-of-fuel", 2),
        ("recursion", "stack-overflow", 4),
        ("arrays", "out-of-bounds", 5),
        ("memory", "out-of-memory", 3),
        ("index", "panic", 0),
    ] {
        let report = report(&rule, &manifest, way);
        assert!(report.contains(&format!("  {code}: ")), "{way}: {report}");
        let place = report
            .lines()
            .find_map(|line| line.trim().strip_prefix("at    "))
            .unwrap_or_default();
        let (file, line) = place.rsplit_once(':').unwrap_or_default();
        assert!(file.ends_with(FILE), "{way}: {report}");
        let line: usize = line.parse().unwrap();
        assert!(
            line.abs_diff(line_of(way)) <= near,
            "{way}: line {line}, and it is {}:\n{report}",
            line_of(way)
        );
        insta::assert_snapshot!(way, stable(&report));
    }
    for way in ["error", "flood"] {
        insta::assert_snapshot!(way, stable(&report(&rule, &manifest, way)));
    }
}
