//! Distinct counts, joins, silences and baselines: what they promise, and that no helper outgrows its bounds.

mod support;

use std::collections::BTreeMap;

use picket::prelude::*;
use picket_contract::{RuleAlert, RuleState};
use proptest::prelude::{Just, Strategy, any, proptest};
use support::{Bench, Line, batch, line};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
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
    #[state(keep = "1h", cap = 3)]
    few: Distincts,
    #[state(keep = "1h", cap = 3000)]
    many: Distincts,
    #[state(keep = "1h", cap = 2)]
    joins: Joins,
    #[state(keep = "1h", cap = 2)]
    silences: Silences,
    #[state(keep = "16h")]
    beats: Silences,
    #[state(keep = "10d")]
    hourly: Baselines<60>,
    #[state(keep = "1h", cap = 3000)]
    windows: Windows,
    #[state(keep = "1h", cap = 3000)]
    firsts: Firsts,
}

const WITHIN: Within = Within {
    before: Span::from_ms(MINUTE),
    after: Span::from_ms(10 * MINUTE),
};

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
    match order.event_type {
        "add" => memory.few.of(user).add(&order, value),
        "add many" => memory.many.of(user).add(&order, value),
        "window" => memory.windows.of(user).add_with(&order, value),
        "first" => _ = memory.firsts.of(user).is_new(value),
        "within" => {
            let few = memory.few.of(user);
            let values = few.within(half_hour);
            let text = format!(
                "{values} {} {}",
                few.count(half_hour),
                values.values().collect::<Vec<_>>().join(" ")
            );
            return Some(order.alert(text).evidence(values));
        }
        side @ ("left" | "right") => {
            let mut join = memory.joins.of(user);
            let pair = if side == "left" {
                join.left(&order, value, WITHIN)
            } else {
                join.right(&order, value, WITHIN)
            }?;
            let text = format!(
                "{} {} {}",
                pair.left.value,
                pair.right.value,
                pair.apart().as_ms() / MINUTE
            );
            return Some(order.alert(text).evidence(pair));
        }
        "expect" => memory.silences.of(user).expect(&order, value, WITHIN),
        "came" => memory.silences.of(user).came(&order),
        "beat" => _ = memory.beats.of(user).beat(&order, Span::from_ms(16 * MINUTE)),
        "count" => memory.hourly.of(user).add(&order, value.parse().ok()?),
        "usual" => {
            let hourly = memory.hourly.of(user);
            let usual = hourly
                .usual(Span::hours(24))
                .map(|usual| (usual.buckets, usual.mean, usual.deviation));
            let lately = hourly.between(order.time() - Span::hours(2), order.time());
            return Some(order.alert(format!("{} {lately} {usual:?}", hourly.now())));
        }
        _ => {}
    }
    None
}

fn rung(timer: Timer, _: &(), memory: &mut Memory) -> Option<Alert> {
    if let Some(beat) = memory.beats.rang(&timer) {
        let title = format!("{} went silent at {}", beat.key(), timer.time().as_ms() / MINUTE);
        return Some(timer.alert(title).evidence(beat));
    }
    let silent = memory.silences.rang(&timer)?;
    let waited = silent.values().collect::<Vec<_>>().join(" ");
    let title = format!(
        "{} waited in vain: {waited}, at {}",
        silent.key(),
        timer.time().as_ms() / MINUTE
    );
    Some(timer.alert(title).evidence(silent))
}

picket::module!(obey);

fn bench() -> Bench {
    Bench::new(&MODULE, "obey")
}

fn titles(alerts: &[RuleAlert]) -> Vec<&str> {
    alerts.iter().map(|alert| alert.title.as_str()).collect()
}

fn at(minutes: i64, words: [&str; 3]) -> Line {
    line(0, minutes * MINUTE, &words)
}

#[test]
fn values_are_counted_once_and_slide_by_their_last_row() {
    let alerts = bench().judge(&[
        at(0, ["add", "ada", "x"]),
        at(1, ["add", "ada", "y"]),
        at(2, ["add", "ada", ""]),
        at(10, ["add", "ada", "x"]),
        at(9, ["add", "ada", "x"]),
        at(30, ["within", "ada", ""]),
        at(31, ["within", "ada", ""]),
        at(32, ["within", "ada", ""]),
        at(40, ["within", "ada", ""]),
        at(41, ["within", "ada", ""]),
        at(41, ["within", "bob", ""]),
    ]);
    assert_eq!(
        titles(&alerts),
        ["2 2 y x", "2 2 y x", "1 1 x", "1 1 x", "0 0 ", "0 0 "]
    );
    assert_eq!(alerts[0].evidence, [2, 4, 6], "the last row of each");
}

#[test]
fn past_the_cap_it_is_at_least_so_many_as_long_as_that_may_be() {
    let alerts = bench().judge(&[
        at(0, ["add", "ada", "a"]),
        at(5, ["add", "ada", "b"]),
        at(6, ["add", "ada", "c"]),
        at(7, ["within", "ada", ""]),
        at(8, ["add", "ada", "d"]),
        at(9, ["within", "ada", ""]),
        at(30, ["within", "ada", ""]),
        at(31, ["within", "ada", ""]),
    ]);
    let expected = ["3 3 a b c", "at least 3 3 b c d", "at least 3 3 b c d", "3 3 b c d"];
    assert_eq!(titles(&alerts), expected);
}

#[test]
fn a_pair_is_found_in_whatever_order_its_events_happen_and_come() {
    for (left, right, apart) in [
        (0, 10, Some(10)),
        (1, 0, Some(-1)),
        (0, 11, None),
        (2, 0, None),
        (0, 0, Some(0)),
    ] {
        let lines = [at(left, ["left", "ada", "l"]), at(right, ["right", "ada", "r"])];
        for turned in [false, true] {
            let mut lines = lines.to_vec();
            if turned {
                lines.reverse();
            }
            let alerts = bench().judge(&lines);
            let expected: Vec<String> = apart.iter().map(|apart| format!("l r {apart}")).collect();
            assert_eq!(titles(&alerts), expected, "{left} {right} {turned}");
        }
    }
    let nearest = bench().judge(&[
        at(0, ["left", "ada", "a"]),
        at(4, ["left", "ada", "b"]),
        at(5, ["right", "bob", "x"]),
        at(5, ["left", "ada", "c"]),
        at(7, ["right", "ada", "r"]),
    ]);
    assert_eq!((titles(&nearest), &nearest[0].evidence), (vec!["c r 2"], &vec![4, 5]));
    // Two of a side are kept.
    assert!(
        bench()
            .judge(&[
                at(0, ["left", "ada", "a"]),
                at(20, ["left", "ada", "b"]),
                at(20, ["left", "ada", "c"]),
                at(5, ["right", "ada", "r"]),
            ])
            .is_empty()
    );
}

#[test]
fn what_did_not_come_is_told_once_its_time_is_over() {
    let mut bench = bench();
    let lines = [
        at(0, ["expect", "ada", "a"]),
        at(1, ["expect", "bob", "b"]),
        at(3, ["expect", "ada", "c"]),
        at(11, ["came", "bob", ""]),
    ];
    let alerts = bench.judge_to(&lines, 12 * MINUTE);
    assert_eq!(titles(&alerts), ["ada waited in vain: a, at 10"]);
    assert_eq!(
        (&alerts[0].evidence, alerts[0].raised_by, alerts[0].time),
        (&vec![1], 1, 0)
    );
    assert_eq!(titles(&bench.judge_to(&[], 13 * MINUTE - 1)), [""; 0]);
    assert_eq!(
        titles(&bench.judge_to(&[], 13 * MINUTE)),
        ["ada waited in vain: c, at 13"]
    );
    assert_eq!(bench.state.next_timer(), None);
    bench.judge_to(&[], 2 * DAY);
    // The clock stands where the last row or timer left it; what is left of bob goes when it is passed.
    bench.judge_to(&[at(3 * 1440, ["within", "bob", ""])], 3 * DAY);
    assert_eq!(bench.state.entries().count(), 0);
}

#[test]
fn what_came_first_or_is_known_first_counts() {
    // A minute before, by another log's clock; late; at the very end; and too late.
    for (awaits, comes, is_told) in [
        (5, 4, false),
        (5, 3, true),
        (5, 5, false),
        (5, 15, false),
        (5, 16, true),
    ] {
        for turned in [false, true] {
            let mut lines = vec![at(awaits, ["expect", "ada", "a"]), at(comes, ["came", "ada", ""])];
            // A row that comes behind the watermark can only be met in time if the timer has not rung.
            if turned {
                lines.reverse();
            }
            lines.sort_by_key(|line| if turned { 0 } else { line.time });
            let alerts = bench().judge_to(&lines, HOUR);
            assert_eq!(alerts.len(), usize::from(is_told), "{awaits} {comes} {turned}");
        }
    }
}

#[test]
fn signs_of_life_put_the_timer_off_seldom() {
    let mut bench = bench();
    let mut writes = 0;
    for minute in 0..64 {
        let outcome = bench
            .call(&batch(&[line(0, minute * MINUTE / 4, &["beat", "vpn", ""])], 1, 0))
            .unwrap();
        writes += outcome.changes.entries.len() + outcome.changes.timers.len();
    }
    assert_eq!(writes, 2 * 16, "once in a sixteenth, an entry and a timer");
    // The last sign was at 15:45; it was noted at 15:00.
    assert!(bench.judge_to(&[], 32 * MINUTE - 1).is_empty());
    assert_eq!(titles(&bench.judge_to(&[], 32 * MINUTE)), ["vpn went silent at 32"]);
    assert!(bench.judge_to(&[], DAY).is_empty(), "once");
    assert_eq!(
        bench.judge_to(&[line(0, DAY, &["beat", "vpn", ""])], 2 * DAY).len(),
        1,
        "and again"
    );
}

#[test]
fn what_is_usual_is_of_whole_hours_before() {
    let mut lines = vec![
        at(30, ["usual", "a", ""]),
        at(30, ["count", "a", "100"]),
        at(40, ["usual", "a", ""]),
    ];
    for hour in 1..=4 {
        lines.push(at(hour * 60, ["count", "a", "2"]));
        lines.push(at(hour * 60 + 59, ["count", "a", if hour == 4 { "6" } else { "0" }]));
    }
    lines.push(at(6 * 60 + 10, ["count", "a", "7"]));
    lines.push(at(6 * 60 + 10, ["usual", "a", ""]));
    lines.push(at(6 * 60 + 10, ["count", "a", "1"]));
    lines.push(at(6 * 60 + 10, ["usual", "a", ""]));
    // Late: into its own hour.
    lines.push(at(5 * 60, ["count", "a", "5"]));
    lines.push(at(6 * 60 + 10, ["usual", "a", ""]));
    let alerts = bench().judge(&lines);
    let usual = |sums: &[f64]| {
        let mean = sums.iter().sum::<f64>() / sums.len() as f64;
        let square = sums.iter().map(|sum| sum * sum).sum::<f64>() / sums.len() as f64 - mean * mean;
        format!("{:?}", Some((sums.len() as u64, mean, square.sqrt())))
    };
    let before = usual(&[2.0, 2.0, 2.0, 8.0, 0.0]);
    assert_eq!(
        titles(&alerts),
        [
            "0 0 None".to_owned(),
            "100 0 None".to_owned(),
            format!("7 8 {before}"),
            format!("8 8 {before}"),
            format!("8 13 {}", usual(&[2.0, 2.0, 2.0, 8.0, 5.0])),
        ]
    );
}

#[test]
fn long_names_push_nothing_beyond_what_is_kept() {
    // A value of the host's is 64 KiB at most; were an entry refused for that, the rule would be blind from there on.
    let name = |number: i64| format!("{number:04}{}", "x".repeat(300));
    for what in ["add many", "window", "first", "left", "expect"] {
        let mut bench = bench();
        for number in 0..600 {
            let outcome = bench
                .call(&batch(
                    &[line(0, number * 1000, &[what, "ada", &name(number)])],
                    u64::try_from(number).unwrap() + 1,
                    0,
                ))
                .unwrap();
            assert!(outcome.log.is_empty(), "{what} {number}: {:?}", outcome.log);
        }
        let (_, entry) = bench.state.entries().next().unwrap();
        assert!(entry.value.len() <= 60 << 10, "{what}: {}", entry.value.len());
        let last = name(599);
        let is_last = |window: &[u8]| window == &last.as_bytes()[..255];
        assert!(entry.value.windows(255).any(is_last), "{what}: the newest is kept");
    }
}

const ORDERS: [&str; 11] = [
    "add", "within", "left", "right", "expect", "came", "beat", "count", "usual", "add many", "first",
];

fn orders() -> impl Strategy<Value = Vec<Line>> {
    let what = proptest::sample::select(ORDERS.to_vec());
    let user = proptest::sample::select(vec!["ada", "bob"]);
    let value = proptest::sample::select(vec!["", "1", "2", "x", "y"]);
    let step = proptest::prop_oneof![Just(0), 0..5 * MINUTE, 0..HOUR, Just(2 * DAY)];
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
    fn told_again_nothing_is_written(lines in orders()) {
        // The same row again, as a helper may be asked twice of one row: of values, pairs and silences that is no news.
        let again = ["add", "came", "beat", "add many", "first"];
        for line in lines.iter().filter(|line| again.contains(&line.fields[0].as_deref().unwrap())) {
            let mut bench = bench();
            bench.call(&batch(std::slice::from_ref(line), 1, line.time - 1)).unwrap();
            let outcome = bench.call(&batch(std::slice::from_ref(line), 1, line.time - 1)).unwrap();
            assert!(outcome.changes.entries.is_empty() && outcome.changes.timers.is_empty(), "{outcome:?}");
        }
    }

    #[test]
    fn distinct_counts_are_exact_below_the_cap(rows in proptest::collection::vec((0..5_usize, 0..20 * MINUTE), 1..60)) {
        let mut now = 0;
        let mut lines = Vec::new();
        let mut last: BTreeMap<usize, i64> = BTreeMap::new();
        let mut expected = Vec::new();
        for (value, step) in rows {
            now += step;
            // Three of the cap are the most that there are.
            let value = value % 3;
            lines.push(line(0, now, &["add", "ada", ["x", "y", "z"][value]]));
            lines.push(line(0, now, &["within", "ada", ""]));
            last.insert(value, now);
            expected.push(last.values().filter(|time| **time >= now - HOUR / 2).count());
        }
        let alerts = bench().judge(&lines);
        let counted: Vec<usize> = alerts.iter().map(|alert| alert.title.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(counted, expected);
    }

    #[test]
    fn state_of_any_bytes_is_no_panic(value in proptest::collection::vec(any::<u8>(), 0..80), lines in orders()) {
        let names = ["few", "many", "joins", "silences", "beats", "hourly", "windows", "firsts"];
        let entries = names.iter().map(|name| {
            let entry = picket_contract::state::StateEntry { value: value.as_slice().into(), expires_at: i64::MAX };
            (format!("{name}\0ada").into_bytes().into(), entry)
        });
        let timers = names.iter().map(|name| (format!("{name}\0ada").into_bytes().into(), 5));
        let mut bench = bench();
        bench.state = RuleState::restore(None, entries, timers);
        let outcome = bench.call(&batch(&lines, 1, 0));
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}
