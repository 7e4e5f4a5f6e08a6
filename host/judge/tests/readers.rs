//! The promises of reading a journal, against the reference: however it is cut, whatever comes first, wherever it stops.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use common::{ALL, Dice, Does, Event, KEEPING, Kept, LOGS, NOW, journal, journal_of_first_start, reference, tidy};
use picket_contract::{Admission, Key};
use proptest::prelude::*;

fn event() -> impl Strategy<Value = Event> {
    (
        0..4_i64,
        0..40_i64,
        0..3_usize,
        0..3_u8,
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(phase, offset, log, user, word, late)| Event {
            phase,
            offset,
            log,
            user,
            word,
            late,
        })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Users of the rule that fails come rarely, or nothing but failure would be tested.
    let calm = |event: Event| Event {
        user: if event.user == 2 && event.offset % 4 != 0 {
            1
        } else {
            event.user
        },
        ..event
    };
    prop::collection::vec(event().prop_map(calm), 0..40).prop_map(tidy)
}

/// Reads a journal in pieces; `piece` says how many entries come next.
fn read(does: &[Does], journal: &[Admission], batch_rows: usize, mut piece: impl FnMut() -> usize) -> Kept {
    let mut kept = Kept::default();
    let mut judge = kept.judge(does, batch_rows, &journal);
    let (mut from, mut after) = (0, 0);
    while from < journal.len() {
        let to = (from + piece()).min(journal.len());
        let verdict = judge.feed(after, &journal[from..to], &journal, NOW).unwrap();
        kept.keep(verdict);
        after = journal[to - 1].last_seq();
        from = to;
    }
    kept
}

/// Everything that must be equal, for one rule.
fn assert_like_reference(does: Does, judged: &Kept, journal: &[Admission]) {
    let (expected, stopped) = reference(does, journal);
    let id = format!("{does:?}").to_lowercase();
    let (position, state, standing) = &judged.rules[&id];
    let (expected_position, expected_state, _) = &expected.rules[&id];
    assert_eq!(state, expected_state, "{id}: state");
    let quarantined = standing.quarantine.as_ref().map(|quarantine| quarantine.event.clone());
    assert_eq!(quarantined, stopped, "{id}: where it stopped");
    if quarantined.is_none() {
        assert_eq!(position, expected_position, "{id}: position");
    } else {
        // Between two rows there are many keys; how many of the rows read lie before is what counts.
        let read = expected_position.seq;
        let rows = || {
            journal
                .iter()
                .filter(|admission| *admission.log == *LOGS[0] && admission.first_seq <= read)
                .flat_map(|admission| &admission.events)
        };
        let before = |released: &Key| {
            rows()
                .filter(|event| (event.time, LOGS[0], &*event.id) <= (released.time, &*released.log, &*released.id))
                .count()
        };
        assert_eq!(
            before(&position.released),
            before(&expected_position.released),
            "{id}: released"
        );
    }
    for (alert, told) in &expected.alerts {
        assert_eq!(judged.alerts.get(alert), Some(told), "{id}: alert");
    }
}

fn assert_like_references(judged: &Kept, journal: &[Admission]) {
    let mut expected = 0;
    for does in ALL {
        assert_like_reference(does, judged, journal);
        expected += reference(does, journal).0.alerts.len();
    }
    assert_eq!(judged.alerts.len(), expected, "no alert beyond the reference's");
}

/// Reads a journal, ending anywhere, before or after what was judged is committed, and going on from what was kept.
fn read_with_crashes(journal: &[Admission], batch_rows: usize, ends: u64) -> Kept {
    let mut dice = Dice(ends);
    let mut kept = Kept::default();
    let (mut judge, mut admitted) = (kept.judge(&ALL, batch_rows, &&journal[..0]), 0);
    loop {
        // What stands in the journal beyond the positions was admitted alone, and is read first.
        let head = journal[..admitted].last().map_or(0, Admission::last_seq);
        let (after, from) = match judge.behind(head) {
            Some(after) => (
                after,
                journal.partition_point(|admission| admission.last_seq() <= after),
            ),
            None => (head, admitted),
        };
        if from == journal.len() {
            return kept;
        }
        let to = (from + 1 + dice.below(3)).min(journal.len());
        let verdict = judge.feed(after, &journal[from..to], &journal, NOW).unwrap();
        // 0: it ends before anything is stored. 1: after the page was admitted alone. 2: after everything. 3: it goes on.
        let fate = dice.below(4);
        if fate > 0 {
            admitted = admitted.max(to);
        }
        if fate > 1 {
            kept.keep(verdict);
        }
        if fate < 3 {
            judge = kept.judge(&ALL, batch_rows, &&journal[..admitted]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Splitting the same released rows into calls differently changes no alert, id or state.
    #[test]
    fn split(events in events(), seed: u64, batch_rows in prop::sample::select(vec![1, 2, 3, 7, 1000]), pieces: u64) {
        let mut dice = Dice(pieces);
        for journal in [journal(&events, seed), journal_of_first_start(&events, seed)] {
            let judged = read(&ALL, &journal, batch_rows, || 1 + dice.below(9));
            assert_like_references(&judged, &journal);
        }
    }

    /// Nor does it change in which order alerts are raised, and so what incident each belongs to, and whom it wakes; nor does the
    /// order in which rules are called.
    #[test]
    fn order(events in events(), seed: u64, batch_rows in prop::sample::select(vec![1, 2, 3, 7, 1000]), pieces: u64) {
        let mut dice = Dice(pieces);
        // A rule that fails stands still, and goes on when somebody says so.
        let mut sound: Vec<Does> = ALL.into_iter().filter(|does| *does != Does::Fails).collect();
        for journal in [journal(&events, seed), journal_of_first_start(&events, seed)] {
            let one_by_one = read(&sound, &journal, 1000, || 1).raised;
            dice.shuffle(&mut sound);
            let judged = read(&sound, &journal, batch_rows, || 1 + dice.below(9)).raised;
            prop_assert_eq!(judged, one_by_one);
        }
    }

    /// Pages, polls and logs arriving in another interleaving, within the lateness bound, change no alert and no state. Rows
    /// that are late in both change none either.
    #[test]
    fn interleaving(events in events(), seeds: [u64; 2]) {
        let [one, other] = seeds.map(|seed| journal(&events, seed));
        // State names journal numbers, which differ between journals; alerts name events.
        let alerts = |journal: &[Admission]| read(&ALL, journal, 1000, || 1).alerts;
        prop_assert_eq!(alerts(&one), alerts(&other));
        assert_like_references(&read(&ALL, &other, 1000, || 1), &other);
    }

    /// However far live is ahead while history is being read, rules that keep state say the same.
    #[test]
    fn history(events in events(), seeds: [u64; 2]) {
        let [one, other] = seeds.map(|seed| journal_of_first_start(&events, seed));
        let alerts = |journal: &[Admission]| read(&KEEPING, journal, 1000, || 1).alerts;
        prop_assert_eq!(alerts(&one), alerts(&other));
    }

    /// Without late rows it is even as if there had been no history, but one walk from the beginning.
    #[test]
    fn history_in_order(events in events(), seeds: [u64; 2]) {
        let events: Vec<Event> = events.into_iter().map(|event| Event { late: false, ..event }).collect();
        let alerts = |journal: &[Admission]| read(&KEEPING, journal, 1000, || 1).alerts;
        prop_assert_eq!(alerts(&journal_of_first_start(&events, seeds[0])), alerts(&journal(&events, seeds[1])));
    }

    /// Ending anywhere, before or after what was judged is committed, and going on from what was kept changes nothing.
    #[test]
    fn crash(events in events(), seed: u64, batch_rows in prop::sample::select(vec![1, 3, 1000]), ends: u64) {
        for journal in [journal(&events, seed), journal_of_first_start(&events, seed)] {
            assert_like_references(&read_with_crashes(&journal, batch_rows, ends), &journal);
        }
    }
}
