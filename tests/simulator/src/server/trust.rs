//! Trust Monitor events: a window in ms, an opaque `offset`, and rows that change after they were sent.

use super::answer::ApiError;
use super::archive::{Log, Visibility};
use super::row::Stored;
use super::spoilt::Spoilt;
use super::v2::{RETENTION_MS, spoil, times, values};
use crate::json::dumps_str;
use crate::model::Feed;

const LARGEST: usize = 200;
const USUAL: usize = 50;
/// Offsets look like row numbers of a large table, and mean nothing to anybody else.
const FIRST: usize = 1_591_014;

/// A request that has been understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    min: i64,
    max: i64,
    limit: usize,
    /// The place behind the last page.
    from: Option<usize>,
    kind: Option<&'static str>,
}

impl Query {
    /// Reads the parameters, or says what is wrong with them.
    pub(super) fn read(parameters: &[(String, String)], now_ms: i64) -> Result<Self, ApiError> {
        let first = |name| values(parameters, name).next();
        let invalid = ApiError::InvalidParameters;
        let (min, max) = times(parameters)?;
        let from = match first("offset").map(str::parse::<usize>) {
            None => None,
            Some(Ok(offset)) if offset >= FIRST => Some(offset - FIRST),
            Some(_) => return Err(invalid("offset")),
        };
        if from.is_none() && min < now_ms.saturating_sub(RETENTION_MS) {
            return Err(invalid("mintime must be within the past 180 days"));
        }
        let limit = match first("limit").map(str::parse::<usize>) {
            None => USUAL,
            Some(Ok(limit @ 1..=LARGEST)) => limit,
            Some(_) => return Err(invalid("limit")),
        };
        let kind = match first("type") {
            None => None,
            Some("auth") => Some("auth"),
            // The filter's word is not the event's.
            Some("bypass_status_enabled") => Some("bypass_status"),
            Some("device_registration") => Some("device_registration"),
            Some(_) => return Err(invalid("type")),
        };
        Ok(Self {
            min,
            max,
            limit,
            from,
            kind,
        })
    }

    /// The `response`, as JSON text, and the places of its rows.
    pub(super) fn answer(&self, log: &Log, visibility: &Visibility, spoilt: Spoilt) -> (String, Vec<usize>) {
        let wanted = self.kind.map(|kind| format!("\"type\": {}", dumps_str(kind)));
        let shown = |row: &Stored| {
            let wants = |kind: &String| row.text(visibility.now_ms).contains(kind.as_str());
            (self.min..=self.max).contains(&row.ms) && visibility.shows(row) && wanted.as_ref().is_none_or(wants)
        };
        let all = || {
            log.rows()
                .iter()
                .enumerate()
                .filter(|(_, row)| shown(row))
                .map(|(at, _)| at)
        };
        let start = self.from.unwrap_or(0);
        let mut places: Vec<usize> = all().skip_while(|at| *at < start).take(self.limit + 1).collect();
        let mut more = places.len() > self.limit;
        places.truncate(self.limit);
        let mut next = places.last().filter(|_| more).map(|last| last + 1);
        if let (true, Some(from)) = (spoilt.duplicate_page, self.from) {
            let earlier: Vec<usize> = all().take_while(|at| *at < from).collect();
            places = earlier
                .get(earlier.len().saturating_sub(self.limit)..)
                .unwrap_or_default()
                .to_vec();
            (more, next) = (true, Some(from));
        }
        if spoilt.empty {
            places.clear();
            (more, next) = (true, Some(start));
        }
        if spoilt.repeated_offset && self.from.is_some() {
            (more, next) = (true, self.from);
        }
        let rows = places.iter().filter_map(|at| log.get(*at));
        let texts = rows
            .map(|row| spoil(Feed::TrustMonitor, &row.text(visibility.now_ms), spoilt))
            .collect();
        let offset = next.map(|next| format!("\"{}\"", FIRST + next));
        let metadata = spoilt.next_offset(offset, more);
        let metadata = metadata.trim_end_matches(", ");
        let rows = spoilt.rows(texts).join(", ");
        (
            format!("{{\"events\": [{rows}], \"metadata\": {{{metadata}}}}}"),
            places,
        )
    }
}
