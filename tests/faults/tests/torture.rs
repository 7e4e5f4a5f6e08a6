//! Nothing lost, nothing twice, whatever is killed. `cargo xtask torture --kills 1000` is the same for longer.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking, in their helpers as well"
)]

use picket_failpoint::Point;
use picket_faults::oracle::Oracle;
use picket_faults::torture::{Plan, torture};
use picket_faults::world::World;

#[test]
fn fifty_kills_lose_nothing_and_double_nothing() {
    let plan = Plan {
        kills: 50,
        seed: 41,
        failpoint: None,
    };
    let world = World::new(plan.seed, 3, 2_000);
    let report = torture(&plan, &world, &Oracle::ask(&world), |_, _| {});
    assert!(report.verdict.is_good(), "{report:#?}");
    assert_eq!(report.kills, 50);
    assert!(
        report.verdict.events > 6_000 && report.verdict.alerts > 30,
        "{report:#?}"
    );
}

#[test]
fn a_kill_at_each_failpoint_changes_nothing() {
    let world = World::new(42, 2, 600);
    let oracle = Oracle::ask(&world);
    for point in Point::ALL {
        // Whether somebody is at the point when it is armed is up to chance where little comes by: then once more.
        let mut died_there = 0;
        for seed in 42..47 {
            let plan = Plan {
                kills: 2,
                seed,
                failpoint: Some(*point),
            };
            let report = torture(&plan, &world, &oracle, |_, _| {});
            assert!(report.verdict.is_good(), "{}: {report:#?}", point.name());
            died_there += report.at_failpoint;
            if died_there > 0 {
                break;
            }
        }
        assert!(died_there > 0, "{}", point.name());
    }
}
