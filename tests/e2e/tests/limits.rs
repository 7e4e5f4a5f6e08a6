//! The defaults fit every stock rule ten times over: its own cases, and a believable company's weeks.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use duo_simulator::company::{Options, generate};
use picket_e2e::{Duo, Site, Source};

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
    site.run();
    site.settle(NOW - DAY);
    let rules = site.ndjson(&["rule", "list", "--verbose"]);
    assert!(rules.len() > 10, "{rules:?}");
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
        assert!(calls > 0 && rule["highest"]["fuel"].as_u64().unwrap() > 0, "{rule}");
        largest = largest.max(rule["highest"]["fuel"].as_u64().unwrap());
        assert!(rule["counts"]["failures"].as_object().unwrap().is_empty(), "{rule}");
    }
    assert!(largest > 500_000, "pages of a thousand rows were judged: {largest}");
    site.stop();
}
