//! The events that are measured with: a company of the simulator's, as in the demo.

use duo_simulator::company::{Options, generate};
use duo_simulator::json::dumps;
use duo_simulator::model::Feed;
use picket_contract::{EventRecord, RawRow};
use picket_event::identify;

/// Six weeks of three hundred people, the last day of which is full: the mix of logs that the demo has, some 1.4 kB an event.
pub(crate) struct Company {
    /// Of the logs that are collected: the events as Duo writes them, one a line, in order of time.
    pub(crate) logs: Vec<(Feed, RawRow)>,
}

impl Company {
    /// The same every time. The administrator log is left out: it repeats activity, and feeds no rule where activity does.
    pub(crate) fn new() -> Self {
        let account = generate(&Options {
            target_events: Some(20_000),
            ..Options::default()
        });
        let logs = [Feed::Authentication, Feed::Activity, Feed::Telephony].map(|feed| {
            let rows = account.rows.iter().filter(|row| row.feed == feed);
            (feed, rows.map(|row| dumps(&row.json) + "\n").collect::<String>().into())
        });
        Company { logs: logs.into() }
    }

    /// How many events.
    pub(crate) fn events(&self) -> usize {
        self.logs.iter().map(|(_, text)| text.lines().count()).sum()
    }

    /// The authentication log as events of a journal.
    ///
    /// # Errors
    /// An event cannot be placed.
    pub(crate) fn authentication(&self) -> anyhow::Result<Vec<EventRecord>> {
        let log = self.logs.iter().find(|(feed, _)| *feed == Feed::Authentication);
        let lines = log.map_or("", |(_, text)| text).lines();
        let record = |line: &str| {
            let identity = identify(Feed::Authentication.name(), line)?;
            Ok(EventRecord {
                id: identity.id,
                time: identity.time,
                raw: line.into(),
            })
        };
        lines.map(record).collect()
    }
}
