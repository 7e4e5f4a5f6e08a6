//! Applications that fall silent on the last day: one whose server no longer finds Duo and lets everybody in, and one that is
//! under maintenance for some hours.
//!
//! Which application can play the part is seen only once the ordinary days are written: it has to be one that people use all
//! through the day, every week, or nobody would notice. What it would have asked Duo that day is then taken out again. In a
//! company that is small or young no application is in such use, and the story is not told.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::{DAY, HOUR, MINUTE};
use super::dice::Dice;
use super::stage::{Mark, planted};
use super::stories::SILENT;
use super::{Application, Company, Span};
use crate::model::{Feed, Kind, Planted, Row};

/// Weeks before the last day in which it must have been in steady use.
const WEEKS: i64 = 3;
/// For how long its use is looked at.
const LONG: i64 = 6 * HOUR;
/// In steady use: so many logins within that time, of which no two are closer than [`APART`].
const STEADY: usize = 9;
const APART: i64 = 25 * MINUTE;

/// An application that does not ask Duo for a while.
#[derive(Debug)]
pub(crate) struct Quiet {
    kind: Kind,
    /// Its key.
    application: String,
    name: &'static str,
    from: i64,
    until: i64,
    /// How many logins it would have asked for.
    unasked: usize,
}

impl Quiet {
    /// Whether a login to this application falls into it.
    pub(crate) fn covers(&self, application: &str, time_us: i64) -> bool {
        self.application == application && (self.from..self.until).contains(&time_us)
    }

    /// What was planted, once all rows are written.
    pub(crate) fn told(&self, rows: &[Row]) -> Option<Planted> {
        let mut marks = self.marks(rows, self.from - HOUR, self.from);
        let (story, note) = match self.kind {
            Kind::Attack => (
                SILENT,
                format!(
                    "the server of {} no longer finds Duo and lets everybody in, {} times unasked",
                    self.name, self.unasked
                ),
            ),
            Kind::LookAlike => {
                marks.extend(self.marks(rows, self.until, self.until + HOUR));
                let minutes = (self.until - self.from) / MINUTE;
                (
                    "an application is under maintenance",
                    format!("{} was under maintenance for {minutes} minutes", self.name),
                )
            }
        };
        planted(self.kind, story, None, &marks, note)
    }

    /// Its logins of a span.
    fn marks(&self, rows: &[Row], from: i64, until: i64) -> Vec<Mark> {
        let is_its = |row: &&Row| {
            (from..until).contains(&row.time_us) && application(row).is_some_and(|key| key == self.application)
        };
        let logins = rows.iter().filter(is_its).map(|row| Mark {
            time_us: row.time_us,
            id: row.id.clone(),
        });
        logins.collect()
    }
}

/// Keys of the applications that stories are told with, by the rows there are before the ordinary days are written.
pub(crate) fn used(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().filter_map(application).map(str::to_owned).collect()
}

/// Lets one application fall silent until the day ends, and another for some hours; takes out what they would have asked.
pub(crate) fn fall(company: &Company, span: &Span, on_stage: &BTreeSet<String>, rows: &mut Vec<Row>) -> Vec<Quiet> {
    if span.start > span.last - WEEKS * 7 * DAY {
        return Vec::new();
    }
    let mut logins: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for row in rows.iter() {
        if let Some(key) = application(row) {
            logins.entry(key).or_default().push(row.time_us);
        }
    }
    logins.values_mut().for_each(|times| times.sort_unstable());
    let mut dice = Dice::new(company.seed, "silence", 0);
    let mut free: Vec<(&Application, Vec<i64>)> = company
        .applications
        .iter()
        .filter(|application| !on_stage.contains(&application.key))
        .filter_map(|application| Some((application, logins.remove(application.key.as_str())?)))
        .collect();
    let length = dice.between(2 * HOUR, 3 * HOUR);
    let mut quiet = Vec::new();
    for kind in [Kind::Attack, Kind::LookAlike] {
        let mut stops = stops(span, &free);
        let comes_back = |(number, from): &(usize, i64)| {
            let times = free.get(*number).map_or(&[][..], |(_, times)| times);
            visited(times, from + length, from + length + HOUR)
        };
        if kind == Kind::LookAlike {
            stops.retain(comes_back);
        }
        if stops.is_empty() {
            continue;
        }
        let (number, from) = *dice.pick(&stops);
        let (application, times) = free.remove(number);
        let until = match kind {
            Kind::Attack => span.end,
            Kind::LookAlike => from + length,
        };
        quiet.push(Quiet {
            kind,
            application: application.key.clone(),
            name: application.name,
            from,
            until,
            unasked: times.iter().filter(|time| (from..until).contains(time)).count(),
        });
    }

    // With the logins go the messages that were for them.
    let unasked =
        |row: &Row| application(row).is_some_and(|key| quiet.iter().any(|quiet| quiet.covers(key, row.time_us)));
    let gone: BTreeSet<String> = rows
        .iter()
        .filter(|row| unasked(row))
        .map(|row| row.id.clone())
        .collect();
    rows.retain(|row| match row.feed {
        Feed::Authentication => !gone.contains(&row.id),
        Feed::Telephony => !row
            .json
            .get("txid")
            .and_then(|txid| txid.as_str())
            .is_some_and(|txid| gone.contains(txid)),
        _ => true,
    });
    quiet
}

/// Full hours of the last day's working time at which an application that is in steady use might stop: numbers of `free`, with
/// the time.
fn stops(span: &Span, free: &[(&Application, Vec<i64>)]) -> Vec<(usize, i64)> {
    let mut stops = Vec::new();
    for (number, (_, times)) in free.iter().enumerate() {
        for hour in 7..=15 {
            let at = span.last + hour * HOUR;
            let is_steady = (1..=WEEKS).all(|week| {
                let from = at - HOUR - week * 7 * DAY;
                visits(times, from, from + LONG) >= STEADY
            });
            if is_steady && visited(times, at - 30 * MINUTE, at) {
                stops.push((number, at));
            }
        }
    }
    stops
}

/// How many of these times lie in the span, of which each is well after the one that was counted before.
fn visits(times: &[i64], from: i64, until: i64) -> usize {
    let (mut count, mut before) = (0, i64::MIN / 2);
    for time in times.iter().filter(|time| (from..until).contains(time)) {
        if time - before >= APART {
            (count, before) = (count + 1, *time);
        }
    }
    count
}

fn visited(times: &[i64], from: i64, until: i64) -> bool {
    times.iter().any(|time| (from..until).contains(time))
}

/// The key of the application that a row is a login to.
fn application(row: &Row) -> Option<&str> {
    let is_login = row.feed == Feed::Authentication && row.json.get("event_type")? == "authentication";
    is_login
        .then(|| row.json.pointer("/application/key")?.as_str())
        .flatten()
}
