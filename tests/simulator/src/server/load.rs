//! From an account's rows to logs that can be served.

use std::collections::BTreeMap;

use super::archive::Log;
use super::row::{Stored, Text};
use super::{info, template};
use crate::json;
use crate::model::{Account, Feed, Later};

/// Sorts an account's rows into logs. Every feed has one, if an empty one.
pub(super) fn logs(account: &mut Account) -> BTreeMap<Feed, Log> {
    let mut logs: BTreeMap<Feed, Vec<Stored>> = Feed::ALL.into_iter().map(|feed| (feed, Vec::new())).collect();
    for row in std::mem::take(&mut account.rows) {
        let text = Text::Own(json::dumps(&row.json).into());
        let mark = info::mark(row.feed, &row.json);
        let stored = Stored::new(row.time_ms(), row.id.into(), text, mark);
        logs.entry(row.feed).or_default().push(stored);
    }
    if let Some(backlog) = account.backlog.take() {
        let rows = template::events(&backlog).map(|(ms, id, like)| {
            let mark = like.mark;
            Stored::new(ms, id, Text::Like(like), mark)
        });
        logs.entry(Feed::Authentication).or_default().extend(rows);
    }
    let later = std::mem::take(&mut account.later);
    for (feed, rows) in &mut logs {
        rows.sort_by(|a, b| a.key().cmp(&b.key()));
        grow(rows, *feed, &later);
    }
    logs.into_iter().map(|(feed, rows)| (feed, Log::of(rows))).collect()
}

/// Tells rows what they become.
fn grow(rows: &mut [Stored], feed: Feed, later: &[Later]) {
    let mut versions: BTreeMap<&str, Vec<(i64, Box<str>)>> = BTreeMap::new();
    for change in later.iter().filter(|change| change.feed == feed) {
        let text = json::dumps(&change.json).into();
        let from_ms = change.from_us.div_euclid(1_000);
        versions.entry(&change.id).or_default().push((from_ms, text));
    }
    if versions.is_empty() {
        return;
    }
    for row in rows {
        if let Some(mut versions) = versions.remove(&*row.id) {
            versions.sort();
            row.later = versions.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Row;

    #[test]
    fn a_row_may_become_another() {
        let row = Row {
            feed: Feed::TrustMonitor,
            time_us: 1_000_000,
            id: "SE1".into(),
            json: json!({"state": "new"}),
        };
        let later = |from_us, state: &str| Later {
            feed: Feed::TrustMonitor,
            id: "SE1".into(),
            from_us,
            json: json!({"state": state}),
        };
        let mut account = Account {
            rows: vec![row],
            later: vec![later(9_000_000, "closed"), later(5_000_000, "processed")],
            ..Account::default()
        };
        let logs = logs(&mut account);
        let row = logs[&Feed::TrustMonitor].get(0).unwrap();
        for (now_ms, state) in [
            (4_999, "new"),
            (5_000, "processed"),
            (8_999, "processed"),
            (9_000, "closed"),
        ] {
            assert_eq!(row.text(now_ms), format!("{{\"state\": \"{state}\"}}"));
        }
    }
}
