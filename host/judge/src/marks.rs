//! What the marks read so far say: which log feeds which, up to when each is complete, and which does not count.

use std::sync::Arc;

use picket_contract::{Mark, RuleManifest};

/// The logical log with two feeds.
const ADMIN: &str = "admin";
const ADMIN_FEEDS: [&str; 2] = ["activity", "administrator"];

/// Which marks a reader waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Basis {
    /// Live and complete marks, whichever go further: for rules that keep no state. Rows of history come late to them.
    Live,
    /// Complete marks alone: for rules to which the order of rows matters.
    Complete,
}

/// Of the logs that a reader reads and no others: every reader of every tenant has its own.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    /// Few, and found by looking at each.
    logs: Box<[(Arc<str>, LogState)]>,
    /// What fed [`ADMIN`], in the order of time.
    feeds: Vec<Feed>,
}

/// After `from`, up to the next one's, this log feeds.
#[derive(Debug, Clone)]
struct Feed {
    from: i64,
    log: Arc<str>,
}

/// The greatest of each kind: so it does not matter in which order they came, nor which were merged.
#[derive(Debug, Clone, Copy, Default)]
struct LogState {
    complete: Option<i64>,
    live: Option<i64>,
    stalled: Option<i64>,
    closed: bool,
}

impl Basis {
    pub(crate) fn of(rule: &RuleManifest) -> Self {
        if rule.keeps_state() {
            Basis::Complete
        } else {
            Basis::Live
        }
    }
}

impl LogState {
    fn to(&self, basis: Basis) -> Option<i64> {
        let known = self.complete.max(self.stalled);
        match basis {
            Basis::Live => known.max(self.live),
            // While history is being read, a log that is stalled is stalled live: history is not given up for that.
            Basis::Complete if self.live > self.complete => self.complete,
            Basis::Complete => known,
        }
    }
}

impl Marks {
    /// Nothing is known yet of these logs, as rules name them, and of what may feed them.
    pub(crate) fn of(logs: &[Arc<str>]) -> Self {
        let feeds = ADMIN_FEEDS.map(Arc::from);
        let is_fed = logs.iter().any(|log| is_fed(log));
        let feeds = feeds.into_iter().filter(|feed| is_fed && !logs.contains(feed));
        let all = logs.iter().cloned().chain(feeds);
        Marks {
            logs: all.map(|log| (log, LogState::default())).collect(),
            feeds: Vec::new(),
        }
    }

    pub(crate) fn apply(&mut self, mark: &Mark) {
        match mark {
            Mark::Complete { log, to } => self.raise(log, *to, |state| &mut state.complete),
            Mark::Live { log, to } => self.raise(log, *to, |state| &mut state.live),
            Mark::Stalled { log, to } => self.raise(log, *to, |state| &mut state.stalled),
            Mark::Closed { log } => self.change(log, |state| state.closed = true),
            Mark::Open { log } => self.change(log, |state| state.closed = false),
            Mark::Feed { logical, log, from } if is_fed(logical) => {
                self.feeds.retain(|feed| feed.from < *from);
                let (log, from) = (log.clone(), *from);
                self.feeds.push(Feed { from, log });
            }
            Mark::Feed { .. } | Mark::Generation { .. } | Mark::Takeover { .. } => {}
        }
    }

    fn raise(&mut self, log: &str, to: i64, of: impl Fn(&mut LogState) -> &mut Option<i64>) {
        self.change(log, |state| {
            let known = of(state);
            *known = (*known).max(Some(to));
        });
    }

    fn change(&mut self, log: &str, change: impl FnOnce(&mut LogState)) {
        if let Some((_, state)) = self.logs.iter_mut().find(|(known, _)| **known == *log) {
            change(state);
        }
    }

    /// Whether rows of Duo's log `duo` may be rows of the log that rules call `named`; see [`Marks::is_fed_by`].
    pub(crate) fn may_feed(duo: &str, named: &str) -> bool {
        duo == named || (named == ADMIN && ADMIN_FEEDS.contains(&duo))
    }

    /// Whether the row of this time (ms) in Duo's log `duo` is a row of the log that rules call `named`: of `admin`'s two
    /// feeds only one is shown for any time. Of a row that may be released it can be said.
    pub(crate) fn is_fed_by(&self, duo: &str, named: &str, time: i64) -> bool {
        if !is_fed(named) {
            return duo == named;
        }
        self.feeds
            .iter()
            .rev()
            .find(|feed| feed.from < time)
            .is_some_and(|feed| *feed.log == *duo)
    }

    /// Up to when rows of these logs may be released. None: not yet.
    pub(crate) fn watermark(&self, logs: &[Arc<str>], basis: Basis) -> Option<i64> {
        let states = || logs.iter().map(|log| self.state(log));
        if states().all(|state| state.closed) {
            return states().filter_map(|state| state.to(basis)).max();
        }
        states()
            .filter(|state| !state.closed)
            .map(|state| state.to(basis))
            .min()
            .flatten()
    }

    fn state(&self, named: &str) -> LogState {
        let of = |log: &str| {
            let known = self.logs.iter().find(|(known, _)| **known == *log);
            known.map(|(_, state)| *state).unwrap_or_default()
        };
        if let Some(feed) = self.feeds.last().filter(|_| is_fed(named)) {
            let feed = of(&feed.log);
            return LogState {
                closed: feed.closed || of(named).closed,
                ..feed
            };
        }
        let own = of(named);
        let unfed = named == ADMIN && ADMIN_FEEDS.iter().all(|feed| of(feed).closed);
        LogState {
            closed: own.closed || unfed,
            ..own
        }
    }
}

/// Duo's logs whose rows may be rows of the log that rules call `named`.
pub(crate) fn duo_logs(named: &str) -> impl Iterator<Item = &str> {
    let feeds = ADMIN_FEEDS.into_iter().filter(move |_| is_fed(named));
    std::iter::once(named).chain(feeds)
}

/// Whether a log is a logical one with several feeds.
pub(crate) fn is_fed(named: &str) -> bool {
    named == ADMIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(log: &str, to: i64) -> Mark {
        Mark::Complete { log: log.into(), to }
    }

    fn watermark(marks: &[Mark], logs: &[&str]) -> Option<i64> {
        by(Basis::Complete, marks, logs)
    }

    fn by(basis: Basis, marks: &[Mark], logs: &[&str]) -> Option<i64> {
        let logs: Vec<Arc<str>> = logs.iter().map(|log| Arc::from(*log)).collect();
        let mut read = Marks::of(&logs);
        marks.iter().for_each(|mark| read.apply(mark));
        read.watermark(&logs, basis)
    }

    #[test]
    fn while_history_is_read_the_two_bases_differ() {
        let live = |to| Mark::Live {
            log: "authentication".into(),
            to,
        };
        let stalled = |to| Mark::Stalled {
            log: "authentication".into(),
            to,
        };
        let logs = ["authentication"];
        let both = |marks: &[Mark]| (by(Basis::Live, marks, &logs), by(Basis::Complete, marks, &logs));
        assert_eq!(both(&[live(100)]), (Some(100), None));
        let reading = [live(100), complete("authentication", 40), live(110)];
        assert_eq!(both(&reading), (Some(110), Some(40)));
        let given_up = [live(100), complete("authentication", 40), stalled(130)];
        assert_eq!(
            both(&given_up),
            (Some(130), Some(40)),
            "history is not given up with live"
        );
        let done = [live(100), complete("authentication", 100), stalled(130)];
        assert_eq!(both(&done), (Some(130), Some(130)));
        // The order in which they were written is of no matter: they may be merged.
        for marks in [&reading[..], &given_up, &done] {
            let turned: Vec<Mark> = marks.iter().rev().cloned().collect();
            assert_eq!(both(&turned), both(marks));
        }
    }

    #[test]
    fn the_slowest_open_log_decides() {
        let marks = [complete("authentication", 10), complete("telephony", 7)];
        assert_eq!(watermark(&marks, &["authentication", "telephony"]), Some(7));
        assert_eq!(watermark(&marks, &["authentication"]), Some(10));
        assert_eq!(
            watermark(&marks, &["activity", "authentication"]),
            None,
            "a log without a mark holds"
        );
    }

    #[test]
    fn a_closed_log_is_not_waited_for_until_it_opens() {
        let closed = Mark::Closed {
            log: "telephony".into(),
        };
        let open = Mark::Open {
            log: "telephony".into(),
        };
        let logs = ["authentication", "telephony"];
        assert_eq!(
            watermark(&[complete("authentication", 10), closed.clone()], &logs),
            Some(10)
        );
        assert_eq!(
            watermark(&[complete("authentication", 10), closed.clone(), open], &logs),
            None
        );
        assert_eq!(
            watermark(&[complete("telephony", 4), closed], &["telephony"]),
            Some(4),
            "what is known is released"
        );
    }

    #[test]
    fn a_stalled_log_counts_as_complete() {
        let stalled = Mark::Stalled {
            log: "telephony".into(),
            to: 9,
        };
        assert_eq!(watermark(&[complete("telephony", 4), stalled], &["telephony"]), Some(9));
    }

    #[test]
    fn the_last_feed_decides_for_the_logical_log() {
        let feed_from = |log: &str, from| Mark::Feed {
            logical: "admin".into(),
            log: log.into(),
            from,
        };
        let feed = |log: &str| feed_from(log, i64::MIN);
        assert_eq!(
            watermark(&[complete("activity", 5)], &["admin"]),
            None,
            "no feed was named yet"
        );
        assert_eq!(
            watermark(&[feed("activity"), complete("activity", 5)], &["admin"]),
            Some(5)
        );
        let both = [
            complete("activity", 5),
            complete("administrator", 3),
            feed("activity"),
            feed("administrator"),
        ];
        assert_eq!(watermark(&both, &["admin"]), Some(3));
        let none = [
            Mark::Closed { log: "activity".into() },
            Mark::Closed {
                log: "administrator".into(),
            },
        ];
        assert_eq!(
            watermark(
                &[&none[..], &[complete("authentication", 8)]].concat(),
                &["admin", "authentication"]
            ),
            Some(8)
        );

        let mut marks = Marks::of(&["activity".into(), "admin".into()]);
        marks.apply(&feed("administrator"));
        assert!(marks.is_fed_by("administrator", "admin", 5) && !marks.is_fed_by("activity", "admin", 5));
        assert!(marks.is_fed_by("activity", "activity", 5));
        marks.apply(&feed_from("activity", 10));
        marks.apply(&feed_from("administrator", 20));
        let shown: Vec<i64> = [5, 10, 11, 20, 21]
            .into_iter()
            .filter(|time| marks.is_fed_by("activity", "admin", *time))
            .collect();
        assert_eq!(shown, [11, 20], "each time has one feed");
        assert!(marks.is_fed_by("administrator", "admin", 10) && marks.is_fed_by("administrator", "admin", 21));
    }
}
