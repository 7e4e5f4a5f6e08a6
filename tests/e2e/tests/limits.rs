//! The defaults fit every stock rule ten times over: its own cases, and a believable company's weeks.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use duo_simulator::company::{Options, generate};
use picket_e2e::{Duo, Site, Source, Story, stock};
use picket_hostile::{Guest, NOTHING, large};

const DAY: i64 = 86_400_000;
/// 2026-11-18T00:00:00Z, ms.
const NOW: i64 = 1_794_960_000_000;

#[test]
fn the_limits_fit_every_stock_rule_ten_times_over() {
    let company = generate(&Options {
        seed: 4,
        name: "acme".to_owned(),
        users: 1000,
        start_us: (NOW - 30 * DAY) * 1000,
        days: 30,
        target_events: Some(60_000),
        plant: true,
    });
    let mut site = Site::stocked(Duo::start(vec![company], NOW), &[Source::of("acme")]);
    for name in ["collector", "guessing"] {
        site.install(&std::fs::read(stock(name)).unwrap(), &format!("{name}.wasm"));
    }
    site.run();
    site.settle(NOW - DAY);
    let rules = site.ndjson(&["rule", "list", "--verbose"]);
    assert!(rules.len() > 16, "{rules:?}");
    let mut largest = 0;
    for rule in &rules {
        let state = rule["state"].as_str().unwrap();
        assert!(["active", "warming"].contains(&state), "{rule}");
        let limits = rule["limits"].as_object().unwrap();
        assert!(!limits.is_empty());
        for (name, limit) in limits {
            let (most, limit) = (rule["highest"][name].as_u64().unwrap(), limit.as_u64().unwrap());
            assert!(most * 10 <= limit, "{}: {name}: {most} of {limit}", rule["id"]);
        }
        let calls = rule["highest"]["calls"].as_u64().unwrap();
        // Nothing went wrong with collecting.
        let has_nothing_to_read = rule["logs"] == serde_json::json!(["collector"]);
        assert!(
            has_nothing_to_read || calls > 0 && rule["highest"]["fuel"].as_u64().unwrap() > 0,
            "{rule}"
        );
        largest = largest.max(rule["highest"]["fuel"].as_u64().unwrap());
        assert!(rule["counts"]["failures"].as_object().unwrap().is_empty(), "{rule}");
    }
    assert!(largest > 500_000, "pages of a thousand rows were judged: {largest}");
    site.stop();
}

/// Rules in JavaScript or Python bring their interpreters along: components of some 20 MB, which the operator allows.
#[test]
fn a_component_as_large_as_an_interpreter_is_admitted_where_the_operator_allows_it() {
    let component = large(&Guest::new(NOTHING).disguised().component(), 20 << 20);
    assert!((20 << 20..21 << 20).contains(&component.len()), "{}", component.len());
    let mut site = Site::new(Duo::start(vec![Story::of("acme").account()], NOW));
    site.install(&component, "large.wasm");
    site.tenant(&Source::of("acme"));
    site.run();
    let rules = site.rules();
    let reason = rules[0]["reason"].as_str().unwrap();
    assert_eq!((rules.len(), rules[0]["state"].as_str()), (1, Some("rejected")));
    assert!(
        reason.starts_with("too-large: ") && reason.contains("at most 8388608 allowed"),
        "{reason}"
    );
    site.stop();

    // Time enough for a machine with other things to do.
    let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
    site.write(
        "picket.yaml",
        &format!("{config}sandbox:\n  compile: {{module_mb: 24, seconds: 120}}\n"),
    );
    site.run();
    let rules = site.rules();
    assert_eq!(
        (rules.len(), rules[0]["state"].as_str()),
        (1, Some("active")),
        "{rules:?}"
    );
    site.stop();
}
