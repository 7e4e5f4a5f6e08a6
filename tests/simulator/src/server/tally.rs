//! What has been served so far.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::Feed;

/// One feed of one account.
#[derive(Debug, Default)]
struct Sent {
    /// Which rows were sent at least once, by place.
    seen: Vec<bool>,
    distinct: usize,
    rows: u64,
}

/// Counts for `/sim/status`.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// (account, path, HTTP status); no account where the signature named none.
    requests: BTreeMap<(Option<String>, String, u16), u64>,
    sent: BTreeMap<(String, Feed), Sent>,
}

impl Tally {
    /// A request was answered with that status.
    pub(super) fn request(&mut self, account: Option<&str>, path: &str, status: u16) {
        *self
            .requests
            .entry((account.map(str::to_owned), path.to_owned(), status))
            .or_default() += 1;
    }

    /// These rows of a log of `length` rows were sent.
    pub(super) fn rows(&mut self, account: &str, feed: Feed, length: usize, places: &[usize]) {
        let sent = self.sent.entry((account.to_owned(), feed)).or_default();
        sent.seen.resize(length, false);
        for place in places {
            sent.rows += 1;
            if let Some(seen) = sent.seen.get_mut(*place)
                && !std::mem::replace(seen, true)
            {
                sent.distinct += 1;
            }
        }
    }

    /// How many different rows of a feed were sent, and how many in all, repeats included.
    pub(super) fn sent(&self, account: &str, feed: Feed) -> (usize, u64) {
        self.sent
            .get(&(account.to_owned(), feed))
            .map_or((0, 0), |sent| (sent.distinct, sent.rows))
    }

    /// The requests, one entry for each (account, path, status).
    pub(super) fn requests(&self) -> Value {
        self.requests
            .iter()
            .map(|((account, path, status), count)| {
                json!({"account": account, "path": path, "status": status, "count": count})
            })
            .collect()
    }
}
