//! Every target for a few seconds, by a fixed seed: no crash, no hang, no limit that does not hold.

use std::time::Duration;

use picket_fuzz::{NAMES, Options, fuzz};

#[test]
fn nothing_is_found_in_half_a_minute() {
    let reports = fuzz(&Options {
        targets: NAMES.map(str::to_owned).into(),
        time: Duration::from_secs(25),
        seed: 2026,
        directory: None,
        tell: |line| println!("{line}"),
    });
    let reports = reports.expect("the targets can be run");
    assert_eq!(reports.len(), NAMES.len());
    for report in reports {
        assert!(report.finding.is_none(), "{}: {:?}", report.target, report.finding);
        assert!(report.executions > 0 && report.interesting > 3, "{report:?}");
    }
}
