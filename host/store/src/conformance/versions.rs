//! Versions of modules, and where a time is in the journal.

use std::sync::Arc;

use super::suite::{admit, ok};
use super::{admission, complete};
use crate::{MOST_STEPS, MOST_VERSIONS, StepOutcome, StepRow, Store, VersionRow, VersionState};

fn version(file: &str, digest: &str, state: VersionState, since: i64) -> VersionRow {
    VersionRow {
        file: file.into(),
        digest: digest.into(),
        state,
        since,
        reason: "it \"had\" to be; ünïcode too".into(),
        rules: vec![("r".to_owned(), "1.0.0".to_owned())],
    }
}

fn step(file: &str, digest: &str, time: i64) -> StepRow {
    StepRow {
        file: file.into(),
        digest: digest.into(),
        time,
        step: "shadow".into(),
        outcome: StepOutcome::Waits,
        reason: "two alerts more".into(),
        detail: (time % 2 == 0).then(|| Arc::from(r#"{"gained":2}"#)),
    }
}

pub(super) fn a_version_is_one_row_and_its_steps_are_told_in_order(store: &dyn Store) {
    let keep = |versions: &[VersionRow], steps: &[StepRow]| {
        store
            .keep_versions(versions.to_vec(), steps.to_vec())
            .expect("versions can be kept");
    };
    assert_eq!(store.versions().expect("versions"), []);
    let (first, second) = (
        version("a.wasm", "sha256:1", VersionState::Live, 1),
        version("a.wasm", "sha256:2", VersionState::Waiting, 2),
    );
    keep(&[first.clone(), second.clone()], &[step("a.wasm", "sha256:1", 1)]);
    keep(&[], &[step("b.wasm", "sha256:1", 2), step("a.wasm", "sha256:2", 3)]);
    assert_eq!(store.versions().expect("versions"), [first.clone(), second.clone()]);
    let replaced = VersionRow {
        state: VersionState::Replaced,
        since: 4,
        ..first
    };
    let live = VersionRow {
        state: VersionState::Live,
        ..second
    };
    keep(&[replaced.clone(), live.clone()], &[step("a.wasm", "sha256:2", 4)]);
    assert_eq!(store.versions().expect("versions"), [replaced, live]);
    let of = |file: &str| store.version_steps(file).expect("steps");
    assert_eq!(
        of("a.wasm"),
        [
            step("a.wasm", "sha256:1", 1),
            step("a.wasm", "sha256:2", 3),
            step("a.wasm", "sha256:2", 4)
        ]
    );
    assert_eq!(of("b.wasm"), [step("b.wasm", "sha256:1", 2)]);
    assert_eq!(of("c.wasm"), []);
}

pub(super) fn what_is_kept_of_versions_is_bounded(store: &dyn Store) {
    let live = version("a.wasm", "sha256:live", VersionState::Live, 0);
    let in_shadow = version("a.wasm", "sha256:shadow", VersionState::Shadow, 0);
    store
        .keep_versions(
            vec![live.clone(), in_shadow.clone()],
            vec![step("b.wasm", "sha256:1", 0)],
        )
        .expect("versions");
    let many = i64::try_from(MOST_STEPS).expect("few") + 7;
    for time in 1..=many {
        let refused = version("a.wasm", &format!("sha256:{time}"), VersionState::Refused, time);
        let steps = vec![step("a.wasm", "sha256:live", time)];
        store.keep_versions(vec![refused], steps).expect("versions");
    }
    let kept = store.versions().expect("versions");
    assert_eq!(kept.len(), MOST_VERSIONS + 2);
    assert!(
        kept.contains(&live) && kept.contains(&in_shadow),
        "what judges is never forgotten"
    );
    assert_eq!(kept.last().map(|row| row.since), Some(many));
    let steps = store.version_steps("a.wasm").expect("steps");
    assert_eq!((steps.len(), steps[0].time), (MOST_STEPS, 8));
    assert_eq!(store.version_steps("b.wasm").expect("steps").len(), 1);
}

pub(super) fn a_time_is_found_in_the_journal(store: &dyn Store) {
    let since = |from, most| store.since("acme", from, most).expect("since");
    let earliest = |logs: &[&str]| store.earliest("acme", logs).expect("earliest");
    assert_eq!((since(0, 10), earliest(&["a"])), (0, None));
    ok(
        store,
        "acme",
        admit([
            admission(1, "a", &[("1", 10), ("2", 20)], &[]),
            admission(3, "b", &[("3", 15)], &[complete("b", 15)]),
            admission(5, "a", &[], &[complete("a", 20)]),
            admission(6, "a", &[("4", 30), ("5", 31)], &[]),
            // Late: the walk by arrival must not end before it.
            admission(8, "b", &[("6", 12)], &[]),
        ]),
    );
    assert_eq!(since(i64::MIN, 100), 0);
    assert_eq!(since(20, 100), 0, "an admission is never cut");
    assert_eq!(since(21, 100), 5);
    assert_eq!(since(32, 100), 8, "nothing is so late");
    assert_eq!(since(0, 3), 5, "the last three");
    assert_eq!(since(0, 4), 2);
    assert_eq!(since(0, 1), 7);
    assert_eq!(
        (earliest(&["a"]), earliest(&["b"]), earliest(&["a", "b"])),
        (Some(10), Some(12), Some(10))
    );
    assert_eq!((earliest(&["c"]), earliest(&[])), (None, None));
}
