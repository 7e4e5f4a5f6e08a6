//! Windows and baselines beside what they promise, told plainly: a list and a map that are gone through from end to end.

mod support;

use std::collections::BTreeMap;

use picket::prelude::*;
use proptest::prelude::{Just, Strategy, any, proptest};
use support::{Bench, Line, line};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// What is declared of windows, and of amounts. A history of which every hour is too old is still there for a while if it is
/// kept for more than sixteen of them.
const KEEP: i64 = 16 * HOUR;
const KEEP_AMOUNTS: i64 = 48 * HOUR;
const CAP: usize = 4;
/// What windows keep that are told to keep less.
const LESS: i64 = 2 * HOUR;
/// What is asked for: all that is kept, where the last event is now.
const SPAN: i64 = KEEP;

/// Anything, with what to do in `event_type`.
#[derive(Event)]
#[event(log = "authentication")]
struct Order<'a> {
    event_type: &'a str,
    application_name: Option<&'a str>,
}

#[derive(State)]
struct Memory {
    #[state(keep = "16h", cap = 4)]
    windows: Windows,
    #[state(keep = "48h", cap = 4)]
    hourly: Baselines<60>,
}

/// Does what it is told and says what came out.
///
/// # Check
/// - a
/// # Act
/// - b
/// # False positives
/// - c
#[rule(id = "obey", severity = "info")]
fn obey(order: Row<Order>, memory: &mut Memory) -> Option<Alert> {
    let value = order.application_name.unwrap_or_default();
    let mut window = memory.windows.of("ada");
    let span = Span::from_ms(SPAN);
    let burst = match order.event_type {
        "add" => {
            window.add_with(&order, value);
            return None;
        }
        "add, keep less" => {
            window.keep(Span::from_ms(LESS)).add_with(&order, value);
            return None;
        }
        "amount" => {
            memory.hourly.of("ada").add(&order, value.parse().unwrap_or(1));
            return None;
        }
        "amounts" => {
            let hourly = memory.hourly.of("ada");
            let (since, lately) = (
                hourly.since(),
                hourly.between(order.time() - Span::from_ms(SPAN * 2), order.time()),
            );
            let usual = hourly.usual(Span::hours(5)).map(|usual| (usual.buckets, usual.mean));
            let text = format!("{:?} {lately} {} {usual:?}", since.map(Time::as_ms), hourly.now());
            return Some(order.alert(text));
        }
        "take" => window.take(span),
        _ => window.within(span),
    };
    let (start, end) = (burst.start().map(Time::as_ms), burst.end().map(Time::as_ms));
    let (values, left) = (burst.values().join(" "), window.count(span));
    let text = format!("{} {start:?} {end:?} {values:?} {left}", burst.len());
    Some(order.alert(text).evidence(burst))
}

picket::module!(obey);

/// One key's events, by time, then in order of coming.
#[derive(Default)]
struct Window {
    events: Vec<(i64, u64, String)>,
    expires_at: i64,
}

impl Window {
    fn pass(&mut self, clock: i64) {
        if clock >= self.expires_at {
            self.events.clear();
        }
    }

    fn add(&mut self, time: i64, event: u64, value: &str, keep: i64, clock: i64) {
        self.events.push((time, event, value.to_owned()));
        self.events.sort_by_key(|(time, _, _)| *time);
        let newest = self.events.last().map_or(time, |(newest, _, _)| *newest);
        self.events.retain(|(time, _, _)| *time >= newest - keep);
        let surplus = self.events.len().saturating_sub(CAP);
        self.events.drain(..surplus);
        self.expires_at = newest + keep + keep / 16;
        self.pass(clock);
    }

    fn within(&self, now: i64) -> Vec<(i64, u64, String)> {
        let inside = |(time, _, _): &&(i64, u64, String)| (now - SPAN..=now).contains(time);
        self.events.iter().filter(inside).cloned().collect()
    }

    /// What is told of a row, and the rows that it names.
    fn tell(&mut self, now: i64, event: u64, take: bool) -> (String, Vec<u64>) {
        let burst = self.within(now);
        if take {
            self.events.retain(|(time, _, _)| *time > now);
            if let Some((newest, _, _)) = self.events.last() {
                self.expires_at = newest + KEEP + KEEP / 16;
            }
        }
        let left = self.within(now).len();
        let mut values: Vec<&str> = Vec::new();
        for (_, _, value) in burst.iter().filter(|(_, _, value)| !value.is_empty()) {
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        let (start, end) = (burst.first().map(|first| first.0), burst.last().map(|last| last.0));
        let text = format!("{} {start:?} {end:?} {:?} {left}", burst.len(), values.join(" "));
        let named = burst.iter().map(|(_, event, _)| *event).chain([event]);
        (text, named.collect())
    }
}

#[derive(Default)]
struct Hours {
    since: Option<i64>,
    amounts: BTreeMap<i64, u64>,
    expires_at: i64,
}

impl Hours {
    fn pass(&mut self, clock: i64) {
        if clock >= self.expires_at {
            self.amounts.clear();
            self.since = None;
        }
    }

    fn add(&mut self, time: i64, amount: u64, clock: i64) {
        *self.amounts.entry(time.div_euclid(HOUR)).or_default() += amount;
        self.since = Some(self.since.map_or(time, |since| since.min(time)));
        let newest = self.amounts.last_key_value().map_or(0, |(newest, _)| *newest);
        self.amounts.retain(|hour, _| *hour >= newest - KEEP_AMOUNTS / HOUR - 1);
        while self.amounts.len() > CAP {
            self.amounts.pop_first();
        }
        self.expires_at = (newest + 1) * HOUR + KEEP_AMOUNTS + KEEP_AMOUNTS / 16;
        self.pass(clock);
    }

    fn tell(&self, now: i64) -> String {
        let sum = |from: i64, to: i64| self.amounts.range(from..to).map(|(_, amount)| amount).sum::<u64>();
        let hour = now.div_euclid(HOUR);
        let lately = sum((now - SPAN * 2).div_euclid(HOUR), hour);
        let usual = self.since.and_then(|since| {
            let from = (since.div_euclid(HOUR) + 1).max(hour - 5);
            (hour > from).then(|| ((hour - from) as u64, sum(from, hour) as f64 / (hour - from) as f64))
        });
        format!("{:?} {lately} {} {usual:?}", self.since, sum(hour, hour + 1))
    }
}

/// Rows an hour late now and then, and now and then after a long time.
fn orders() -> impl Strategy<Value = Vec<(&'static str, String, i64)>> {
    let what = [
        "add",
        "add",
        "add, keep less",
        "within",
        "take",
        "amount",
        "amount",
        "amounts",
    ];
    let what = proptest::sample::select(what.to_vec());
    let value = proptest::sample::select(vec!["", "0", "3", "200", "70000"]);
    let step = proptest::prop_oneof![
        2 => Just(0),
        3 => 0..20 * MINUTE,
        3 => Just(HOUR),
        2 => 0..3 * HOUR,
        1 => Just(16 * HOUR),
        1 => Just(17 * HOUR + 30 * MINUTE),
        1 => Just(20 * HOUR),
        2 => 49 * HOUR..52 * HOUR,
    ];
    let late = proptest::prop_oneof![8 => Just(0), 1 => 0..2 * HOUR, 1 => 0..30 * HOUR];
    let order = (what, value, step, late);
    proptest::collection::vec(order, 1..60).prop_map(|orders| {
        let mut now = 100 * HOUR;
        let rows = orders.into_iter().map(|(what, value, step, late)| {
            now += step;
            (what, value.to_owned(), now - late)
        });
        rows.collect()
    })
}

proptest! {
    #[test]
    fn helpers_say_what_a_plain_list_says(orders in orders(), size in 1..20_usize, is_split in any::<bool>()) {
        let (mut window, mut hours, mut clock) = (Window::default(), Hours::default(), i64::MIN);
        let mut expected = Vec::new();
        for (event, (what, value, time)) in (1..).zip(&orders) {
            clock = clock.max(*time);
            window.pass(clock);
            hours.pass(clock);
            match *what {
                "add" => window.add(*time, event, value, KEEP, clock),
                "add, keep less" => window.add(*time, event, value, LESS, clock),
                "amount" => hours.add(*time, value.parse().unwrap_or(1), clock),
                "amounts" => expected.push((hours.tell(*time), vec![event])),
                what => expected.push(window.tell(*time, event, what == "take")),
            }
        }
        let lines: Vec<Line> = orders.iter().map(|(what, value, time)| line(0, *time, &[what, value])).collect();
        let mut bench = Bench::new(&MODULE, "obey");
        let mut told = Vec::new();
        for lines in lines.chunks(if is_split { size } else { 100 }) {
            told.extend(bench.judge_to(lines, 0));
        }
        let told: Vec<_> = told.into_iter().map(|alert| (alert.title, alert.evidence)).collect();
        assert_eq!(told, expected);
    }
}
