//! Rows that differ in time and id only, kept as one text with holes: how a backlog of hundreds of thousands fits into
//! little memory.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::json::{dumps, dumps_str};
use crate::model::{Backlog, Feed};

/// A row's JSON with holes for `isotimestamp`, `timestamp` and `txid`, which stand in this order.
#[derive(Debug)]
pub(super) struct Template {
    pieces: [Box<str>; 4],
    /// See [`super::info::mark`].
    pub(super) mark: u16,
}

impl Template {
    /// Cuts the holes; none if the row has not all three members.
    fn cut(row: &Value) -> Option<Self> {
        const HOLES: [(&str, &str); 3] = [("isotimestamp", "@iso@"), ("timestamp", "@s@"), ("txid", "@id@")];
        let mark = super::info::mark(Feed::Authentication, row);
        let mut row = row.clone();
        let members = row.as_object_mut()?;
        for (member, hole) in HOLES {
            *members.get_mut(member)? = json!(hole);
        }
        let text = dumps(&row);
        let (first, rest) = text.split_once("\"@iso@\"")?;
        let (second, rest) = rest.split_once("\"@s@\"")?;
        let (third, fourth) = rest.split_once("\"@id@\"")?;
        Some(Self {
            pieces: [first, second, third, fourth].map(Into::into),
            mark,
        })
    }

    /// The row with this time and id.
    pub(super) fn fill(&self, ms: i64, micros: u32, id: &str) -> String {
        let [first, second, third, fourth] = &self.pieces;
        let at = jiff::Timestamp::from_microsecond(ms.saturating_mul(1_000).saturating_add(i64::from(micros)));
        let iso = at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string());
        let iso = dumps_str(&iso.unwrap_or_default());
        let second_of = ms.div_euclid(1_000);
        format!("{first}{iso}{second}{second_of}{third}{}{fourth}", dumps_str(id))
    }
}

/// A backlog's events: time in ms, id, and what they look like.
pub(super) fn events(backlog: &Backlog) -> impl Iterator<Item = (i64, Box<str>, Arc<Template>)> {
    let templates: Vec<Arc<Template>> = backlog
        .examples
        .iter()
        .filter(|row| row.feed == Feed::Authentication)
        .filter_map(|row| Template::cut(&row.json).map(Arc::new))
        .collect();
    let (count, seed) = (backlog.count as u64, backlog.seed);
    let (from_ms, to_ms) = (backlog.from_us.div_euclid(1_000), backlog.to_us.div_euclid(1_000));
    let length = u64::try_from(to_ms.saturating_sub(from_ms)).unwrap_or(0);
    (0..if templates.is_empty() { 0 } else { count }).filter_map(move |number| {
        let along = u128::from(length) * u128::from(number) / u128::from(count.max(1));
        let ms = from_ms.saturating_add(i64::try_from(along).unwrap_or(0));
        let like = templates.get(usize::try_from(number).unwrap_or(0) % templates.len())?;
        Some((ms, id(seed, number), Arc::clone(like)))
    })
}

/// A UUID that follows from seed and number: SplitMix64, twice.
fn id(seed: u64, number: u64) -> Box<str> {
    let mixed = |salt: u64| {
        let mut z = seed
            .wrapping_add(number.wrapping_mul(2).wrapping_add(salt))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let (high, low) = (mixed(0), mixed(1));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
    .into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::Row;

    #[test]
    fn a_backlog_is_as_long_as_asked_and_every_event_is_its_own() {
        let row = |id: &str| Row {
            feed: Feed::Authentication,
            time_us: 0,
            id: id.to_owned(),
            json: json!({"isotimestamp": "x", "timestamp": 0, "txid": id, "user": {"name": id}, "zone": 1}),
        };
        let backlog = Backlog {
            examples: vec![row("ann"), row("bob")],
            count: 5_000,
            from_us: 1_000_000_000,
            to_us: 2_000_000_000,
            seed: 3,
        };
        let made: Vec<_> = events(&backlog).collect();
        let ids: BTreeSet<&str> = made.iter().map(|(_, id, _)| &**id).collect();
        assert_eq!((made.len(), ids.len()), (5_000, 5_000));
        assert!(made.is_sorted_by_key(|(ms, ..)| *ms));
        assert_eq!((made[0].0, made[4_999].0), (1_000_000, 1_999_800));
        let (ms, id, like) = &made[1];
        let text = like.fill(*ms, 7, id);
        let expected = format!(
            r#"{{"isotimestamp": "1970-01-01T00:16:40.200007+00:00", "timestamp": 1000, "txid": "{id}", "user": {{"name": "bob"}}, "zone": 1}}"#
        );
        assert_eq!(text, expected);
    }
}
