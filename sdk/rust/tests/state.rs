//! What the helpers promise: windows, first-seen sets, last values, sequences, timers; and that splits change nothing.

mod support;

use picket::prelude::*;
use picket_contract::{Batch, RuleAlert};
use proptest::prelude::{Just, Strategy, any, proptest};
use support::{Bench, Line, batch, line};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Anything, with what to do in `event_type`.
#[derive(Event)]
#[event(log = "authentication")]
struct Order<'a> {
    event_type: &'a str,
    user_name: &'a str,
    application_name: Option<&'a str>,
}

#[derive(State)]
struct Memory {
    #[state(keep = "1h", cap = 4)]
    windows: Windows,
    #[state(keep = "16d", cap = 3)]
    firsts: Firsts,
    #[state(keep = "16d")]
    lasts: Lasts,
    #[state(keep = "1d", cap = 2)]
    sequences: Sequences<3>,
}

/// Does what it is told and says what came out.
///
/// # Check
/// - a
/// # Act
/// - b
/// # False positives
/// - c
#[rule(id = "obey", severity = "info", on_timer = rung)]
fn obey(order: Row<Order>, memory: &mut Memory) -> Option<Alert> {
    let (user, value) = (order.user_name, order.application_name.unwrap_or_default());
    let half_hour = Span::from_ms(HOUR / 2);
    let said = match order.event_type {
        "add" => {
            memory.windows.of(user).add_with(&order, value);
            return None;
        }
        "within" => {
            let burst = memory.windows.of(user).within(half_hour);
            let text = format!(
                "{} {} {}",
                burst.len(),
                burst.distinct(),
                memory.windows.of(user).count(half_hour)
            );
            return Some(order.alert(text).evidence(burst));
        }
        "take" => {
            let burst = memory.windows.of(user).take(half_hour);
            return Some(order.alert(format!("{}", burst.len())).evidence(burst));
        }
        "new" => {
            let mut set = memory.firsts.of(user);
            let learned = set.learned(Span::hours(24));
            format!("{} {learned} {}", set.is_new(value), set.values().join(" "))
        }
        "since" => format!("{:?}", memory.firsts.of(user).since().map(Time::as_ms)),
        "swap" => memory.lasts.of(user).swap(order.application_name).to_string(),
        "last" => format!("{:?}", memory.lasts.of(user).get()),
        "timer" => {
            timers::set(user, order.time() + half_hour);
            return None;
        }
        "cancel" => {
            timers::cancel(user);
            return None;
        }
        place => {
            let place = place.parse().ok()?;
            let steps = memory.sequences.of(user).mark(place, &order, &[half_hour, half_hour])?;
            let text = format!(
                "{:?}",
                steps
                    .handles()
                    .iter()
                    .map(|handle| handle.time().as_ms())
                    .collect::<Vec<_>>()
            );
            return Some(order.alert(text).evidence(steps));
        }
    };
    Some(order.alert(said))
}

fn rung(timer: Timer, _: &(), memory: &mut Memory) -> Option<Alert> {
    let burst = memory.windows.of(timer.key()).within(Span::hours(24));
    if burst.is_empty() {
        return None;
    }
    Some(
        timer
            .alert(format!("{} rang at {}", timer.key(), timer.time().as_ms()))
            .evidence(burst),
    )
}

picket::module!(obey);

fn bench() -> Bench {
    Bench::new(&MODULE, "obey")
}

fn titles(alerts: &[RuleAlert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.title.as_str()).collect()
}

#[test]
fn windows_slide_by_event_time() {
    let mut bench = bench();
    let alerts = bench.judge(&[
        line(0, 0, &["add", "ada", "x"]),
        line(0, 10, &["add", "ada", "y"]),
        line(0, 20, &["add", "ada", "x"]),
        line(0, 30, &["add", "bob", "z"]),
        line(0, HOUR / 2, &["within", "ada", ""]),
        line(0, HOUR / 2 + 1, &["within", "ada", ""]),
        line(0, HOUR / 2 + 11, &["take", "ada", ""]),
        line(0, HOUR / 2 + 12, &["within", "ada", ""]),
    ]);
    assert_eq!(titles(&alerts), ["3 2 3", "2 2 2", "1", "0 0 0"]);
    assert_eq!(alerts[0].evidence, [1, 2, 3, 5]);
    assert_eq!(bench.state.entries().count(), 1, "bob's window is left");
}

#[test]
fn windows_keep_what_was_declared() {
    let mut bench = bench();
    let alerts = bench.judge(&[
        line(0, 0, &["add", "ada", "1"]),
        line(0, 1, &["add", "ada", "2"]),
        line(0, 2, &["add", "ada", "3"]),
        line(0, 3, &["add", "ada", "4"]),
        line(0, 4, &["add", "ada", "5"]),
        line(0, 5, &["within", "ada", ""]),
    ]);
    assert_eq!(
        (titles(&alerts), alerts[0].evidence.as_slice()),
        (vec!["4 4 4"], &[2, 3, 4, 5, 6][..])
    );
    bench.judge(&[line(0, 2 * HOUR, &["within", "bob", ""])]);
    assert_eq!(bench.state.entries().count(), 0, "expired");
}

#[test]
fn a_late_row_takes_its_place_in_the_window() {
    let alerts = bench().judge(&[
        line(0, 100, &["add", "ada", ""]),
        line(0, 300, &["add", "ada", ""]),
        line(0, 200, &["add", "ada", ""]),
        line(0, 250, &["within", "ada", ""]),
        line(0, 400, &["within", "ada", ""]),
    ]);
    assert_eq!(titles(&alerts), ["2 0 2", "3 0 3"]);
    assert_eq!(alerts[1].evidence, [1, 3, 2, 5]);
}

#[test]
fn first_seen_sets_learn_and_forget() {
    let slack = DAY; // a sixteenth of 16 days
    let alerts = bench().judge(&[
        line(0, 0, &["since", "ada", ""]),
        line(0, 10, &["new", "ada", "US"]),
        line(0, 20, &["new", "ada", "US"]),
        line(0, 30, &["new", "bob", "BG"]),
        line(0, DAY + 9, &["new", "ada", "BG"]),
        line(0, DAY + 10, &["new", "ada", "RO"]),
        line(0, DAY + 11, &["since", "ada", ""]),
        line(0, DAY + 12, &["new", "ada", "CA"]),
        line(0, 17 * DAY + 9 + slack, &["new", "ada", "RO"]),
        line(0, 17 * DAY + 10 + slack, &["new", "ada", "BG"]),
        line(0, 80 * DAY, &["since", "ada", ""]),
        line(0, 80 * DAY, &["new", "ada", "US"]),
    ]);
    let expected = [
        "None",
        "true false US",
        "false false US",
        "true false BG",
        "true false US BG",
        "true true US BG RO",
        "Some(10)",
        "true true BG RO CA",
        "false true RO CA",
        "true true RO CA BG",
        "None",
        "true false US",
    ];
    assert_eq!(titles(&alerts), expected);
}

#[test]
fn last_values() {
    let alerts = bench().judge(&[
        line(0, 10, &["swap", "ada", "x"]),
        line(0, 20, &["swap", "ada", "x"]),
        line(0, 30, &["swap", "ada", ""]),
        line(0, 40, &["swap", "ada", "y"]),
        line(0, 35, &["swap", "ada", "x"]),
        line(0, 50, &["last", "ada", ""]),
        line(0, 60, &["last", "bob", ""]),
        line(0, 40 + 17 * DAY, &["last", "ada", ""]),
    ]);
    assert_eq!(
        titles(&alerts),
        [
            "false",
            "true",
            "false",
            "false",
            "false",
            "Some(\"y\")",
            "None",
            "None"
        ]
    );
}

#[test]
fn renewing_is_rare() {
    let mut bench = bench();
    let writes = |outcome: picket_contract::Outcome| outcome.changes.entries.len();
    let mut call = |time: i64, what: &str| {
        writes(
            bench
                .call(&batch(&[line(0, time, &[what, "ada", "x"])], 1, time))
                .unwrap(),
        )
    };
    for what in ["new", "swap"] {
        let start = if what == "new" { 0 } else { 100 * DAY };
        assert_eq!(call(start, what), 1, "{what}");
        assert_eq!(call(start + 1, what), 0, "{what}");
        assert_eq!(call(start + DAY - 1, what), 0, "{what}");
        assert_eq!(call(start + DAY, what), 1, "{what}");
        assert_eq!(call(start + DAY + 1, what), 0, "{what}");
        assert_eq!(call(start + 17 * DAY - 1, what), 1, "{what}: still there");
    }
}

#[test]
fn sequences_go_by_event_time_in_any_order_of_arrival() {
    let steps = [
        line(0, 100, &["0", "ada", ""]),
        line(0, 200, &["1", "ada", ""]),
        line(0, 300, &["2", "ada", ""]),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let lines: Vec<Line> = order.iter().map(|index: &usize| steps[*index].clone()).collect();
        let alerts = bench().judge(&lines);
        assert_eq!(titles(&alerts), ["[100, 200, 300]"], "{order:?}");
        assert_eq!(alerts[0].time, 300, "when it was complete, not what raised it");
        assert_eq!(alerts[0].evidence.len(), 3);
    }
}

#[test]
fn sequences_respect_their_spans_and_users() {
    let half = HOUR / 2;
    let none = bench().judge(&[
        line(0, 0, &["0", "ada", ""]),
        line(0, half + 1, &["1", "ada", ""]),
        line(0, half + 2, &["2", "ada", ""]),
        line(0, half + 3, &["0", "bob", ""]),
        line(0, half + 4, &["1", "bob", ""]),
        line(0, half + 5, &["2", "ada", ""]),
    ]);
    assert!(none.is_empty(), "{none:?}");
    let edge = bench().judge(&[
        line(0, 0, &["0", "ada", ""]),
        line(0, half, &["1", "ada", ""]),
        line(0, 2 * half, &["2", "ada", ""]),
        line(0, 2 * half + 1, &["2", "ada", ""]),
    ]);
    assert_eq!(titles(&edge), [format!("[0, {half}, {}]", 2 * half)]);
}

#[test]
fn sequences_look_behind_a_step_that_leads_nowhere() {
    // The later first step is nearest to the second; of the second steps the nearer one has no first step close enough.
    let minute = 60_000;
    let alerts = bench().judge(&[
        line(0, 0, &["0", "ada", ""]),
        line(0, 5 * minute, &["0", "ada", ""]),
        line(0, 20 * minute, &["1", "ada", ""]),
        line(0, 36 * minute, &["1", "ada", ""]),
        line(0, 40 * minute, &["2", "ada", ""]),
    ]);
    assert_eq!(
        titles(&alerts),
        [format!("[{}, {}, {}]", 5 * minute, 20 * minute, 40 * minute)]
    );
}

#[test]
fn timers_ring_between_rows_and_at_the_watermark() {
    let mut bench = bench();
    let half = HOUR / 2;
    let alerts = bench.judge_to(
        &[
            line(0, 0, &["add", "ada", ""]),
            line(0, 0, &["timer", "ada", ""]),
            line(0, 5, &["timer", "bob", ""]),
            line(0, half, &["add", "ada", ""]),
            line(0, half + 1, &["add", "ada", ""]),
        ],
        half + 1,
    );
    assert_eq!(
        titles(&alerts),
        [format!("ada rang at {half}")],
        "rows at a time come before timers at that time"
    );
    assert_eq!(
        (alerts[0].evidence.as_slice(), alerts[0].raised_by, alerts[0].time),
        (&[1, 4][..], 4, half)
    );
    assert_eq!(bench.state.next_timer(), Some(half + 5));
    assert!(bench.judge_to(&[], half + 4).is_empty());
    assert_eq!(bench.state.next_timer(), Some(half + 5));
    assert!(bench.judge_to(&[], half + 5).is_empty(), "bob has no events");
    assert_eq!(bench.state.next_timer(), None);
    bench.judge(&[
        line(0, HOUR, &["timer", "ada", ""]),
        line(0, HOUR + 1, &["cancel", "ada", ""]),
    ]);
    assert_eq!(bench.state.next_timer(), None);
}

fn orders() -> impl Strategy<Value = Vec<Line>> {
    let what = proptest::sample::select(vec![
        "add", "within", "take", "new", "since", "swap", "timer", "cancel", "0", "1", "2",
    ]);
    let user = proptest::sample::select(vec!["ada", "bob"]);
    let value = proptest::sample::select(vec!["", "x", "y", "z", "w"]);
    let step = proptest::prop_oneof![Just(0), 0..HOUR, Just(5 * DAY)];
    proptest::collection::vec((what, user, value, step, any::<bool>()), 1..40).prop_map(|orders| {
        let mut now = 0;
        let mut lines = Vec::new();
        for (what, user, value, step, late) in orders {
            now += step;
            lines.push(line(0, if late { now - HOUR / 4 } else { now }, &[what, user, value]));
        }
        lines
    })
}

proptest! {
    #[test]
    fn splits_change_nothing(lines in orders(), cuts in proptest::collection::vec(any::<bool>(), 40)) {
        // The greatest time so far, less one: more rows of that time may follow, as where a call ends in mid-release.
        let up_to = |lines: &[Line]| lines.iter().map(|line| line.time).max().unwrap_or_default() - 1;
        let last = up_to(&lines);
        let mut whole = bench();
        let expected = whole.judge_to(&lines, last);
        let mut split = bench();
        let mut alerts = Vec::new();
        let mut start = 0;
        for end in 1..=lines.len() {
            if cuts[end - 1] || end == lines.len() {
                // No row that follows may be of a time that is said to be complete.
                let next = lines[end..].iter().map(|line| line.time).min().unwrap_or(i64::MAX);
                alerts.extend(split.judge_to(&lines[start..end], up_to(&lines[..end]).min(next - 1)));
                start = end;
            }
        }
        assert_eq!(alerts, expected);
        assert_eq!(split.state, whole.state);
    }

    #[test]
    fn state_of_any_bytes_is_no_panic(value in proptest::collection::vec(any::<u8>(), 0..64), lines in orders()) {
        let names = ["windows", "firsts", "lasts", "sequences"];
        let entries = names.iter().map(|name| {
            let entry = picket_contract::state::StateEntry { value: value.as_slice().into(), expires_at: i64::MAX };
            (format!("{name}\0ada").into_bytes().into(), entry)
        });
        let mut bench = bench();
        bench.state = picket_contract::RuleState::restore(None, entries, []);
        let outcome = bench.call(&batch(&lines, 1, 0));
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

#[test]
fn an_empty_call_is_nothing() {
    assert!(bench().call(&Batch::default()).unwrap().changes.is_empty());
}
