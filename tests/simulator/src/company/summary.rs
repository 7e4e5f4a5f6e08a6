//! A company in a page of text, for whoever debugs a story.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::clock::iso_seconds;
use crate::model::{Account, Feed, Kind};

/// What an account holds: rows by log, shares of the logins, and every story that was planted.
#[must_use]
pub fn describe(account: &Account) -> String {
    let mut by_feed: BTreeMap<Feed, usize> = BTreeMap::new();
    for row in &account.rows {
        *by_feed.entry(row.feed).or_default() += 1;
    }
    let mut out = format!("{}: {} rows", account.name, account.rows.len());
    if let (Some(first), Some(last)) = (account.rows.first(), account.rows.last()) {
        let _ = write!(
            out,
            " from {} to {}",
            iso_seconds(first.time_us),
            iso_seconds(last.time_us)
        );
    }
    out.push('\n');
    for (feed, count) in by_feed {
        let _ = writeln!(out, "  {count:>8} {feed}");
    }
    let shares = shares(account);
    let _ = writeln!(
        out,
        "  {} per mille of logins by a remembered device, {} of prompts not approved",
        shares.remembered, shares.unapproved
    );
    for (kind, title) in [(Kind::Attack, "attacks"), (Kind::LookAlike, "look-alikes")] {
        let told: Vec<_> = account.planted.iter().filter(|planted| planted.kind == kind).collect();
        let _ = writeln!(out, "  {title}: {}", told.len());
        for planted in told {
            let _ = writeln!(
                out,
                "    {} {}: {} ({} rows)",
                iso_seconds(planted.from_us),
                planted.story,
                planted.note,
                planted.events.len()
            );
        }
    }
    out
}

/// Shares in a thousand.
pub(super) struct Shares {
    /// Of successful logins: answered by a remembered device.
    pub(super) remembered: usize,
    /// Of prompts, which a remembered device spares: not approved.
    pub(super) unapproved: usize,
}

pub(super) fn shares(account: &Account) -> Shares {
    let (mut let_in, mut remembered, mut prompts, mut unapproved) = (0, 0, 0, 0);
    for row in account.rows.iter().filter(|row| row.feed == Feed::Authentication) {
        let text = |field: &str| row.json.get(field).and_then(|value| value.as_str()).unwrap_or_default();
        let success = text("result") == "success";
        let by_device = text("factor") == "remembered_device";
        let_in += usize::from(success);
        remembered += usize::from(by_device);
        prompts += usize::from(!by_device);
        unapproved += usize::from(!success);
    }
    Shares {
        remembered: remembered * 1_000 / let_in.max(1),
        unapproved: unapproved * 1_000 / prompts.max(1),
    }
}
