//! The v2 logs: what a request asks for, and the page that answers it.

use serde_json::{Value, json};

use super::answer::ApiError;
use super::archive::{Cursor, Log, Page, Visibility, Window};
use super::row::Stored;
use super::settings::{EmptyAuth, Settings, TotalObjects};
use super::spoilt::Spoilt;
use crate::json::{dumps, dumps_str};
use crate::model::Feed;

pub(super) const RETENTION_MS: i64 = 180 * 86_400_000;

/// The authentication log's filters that are understood, and the member each looks at. Others are ignored.
const FILTERS: [(&str, &str); 6] = [
    ("applications", "/application/key"),
    ("users", "/user/key"),
    ("event_types", "/event_type"),
    ("factors", "/factor"),
    ("results", "/result"),
    ("reasons", "/reason"),
];

/// A request that has been understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    window: Window,
    /// JSON pointer and the values of which the member must have one.
    filters: Vec<(&'static str, Vec<String>)>,
}

impl Query {
    /// Reads the parameters, or says as Duo does what is wrong with them.
    pub(super) fn read(feed: Feed, parameters: &[(String, String)], now_ms: i64) -> Result<Self, ApiError> {
        let first = |name| values(parameters, name).next();
        let invalid = ApiError::InvalidParameters;
        let (min, max) = times(parameters)?;
        let after = cursor(&values(parameters, "next_offset").collect::<Vec<_>>())?;
        if after.is_none() && min < now_ms.saturating_sub(RETENTION_MS) {
            return Err(invalid("mintime must be within the past 180 days"));
        }
        let limit = match first("limit").map(str::parse::<usize>) {
            None => 100,
            Some(Ok(limit @ 1..=1000)) => limit,
            Some(_) => return Err(invalid("limit")),
        };
        let descending = match first("sort") {
            None | Some("ts:desc") => true,
            Some("ts:asc") => false,
            Some(_) => return Err(invalid("sort")),
        };
        let filters = match feed {
            Feed::Authentication => FILTERS
                .into_iter()
                .map(|(name, member)| (member, values(parameters, name).map(str::to_owned).collect::<Vec<_>>()))
                .filter(|(_, wanted)| !wanted.is_empty())
                .collect(),
            _ => Vec::new(),
        };
        Ok(Self {
            window: Window {
                min,
                max,
                descending,
                limit,
                after,
            },
            filters,
        })
    }

    /// The rows that answer it.
    pub(super) fn page(&self, log: &Log, visibility: &Visibility, spoilt: Spoilt) -> Page {
        let keep = |row: &Stored| visibility.shows(row) && self.wants(row);
        let mut page = log.page(&self.window, keep);
        if spoilt.duplicate_page && self.window.after.is_some() {
            page.rows = log.page_before(&self.window, keep);
            page.more = true;
        }
        page
    }

    fn wants(&self, row: &Stored) -> bool {
        if self.filters.is_empty() {
            return true;
        }
        let row: Value = serde_json::from_str(&row.text(i64::MAX)).unwrap_or_default();
        self.filters.iter().all(|(member, wanted)| {
            row.pointer(member)
                .and_then(Value::as_str)
                .is_some_and(|value| wanted.iter().any(|one| one == value))
        })
    }

    /// The `response` for a page, as JSON text.
    pub(super) fn render(&self, feed: Feed, log: &Log, page: &Page, settings: &Settings, spoilt: Spoilt) -> String {
        let mut rows: Vec<&Stored> = page.rows.iter().filter_map(|at| log.get(*at)).collect();
        let mut next = rows.last().map(|row| Cursor {
            ms: row.ms,
            id: row.id.to_string(),
        });
        if spoilt.empty {
            rows.clear();
            next = Some(self.window.after.clone().unwrap_or_else(|| self.outermost()));
        }
        if (spoilt.repeated_offset || spoilt.duplicate_page) && self.window.after.is_some() {
            next.clone_from(&self.window.after);
        }
        let texts = rows
            .iter()
            .map(|row| spoil(feed, &row.text(i64::MAX), spoilt))
            .collect();
        let texts = spoilt.rows(texts).join(", ");
        let more = page.more || spoilt.empty || spoilt.repeated_offset;
        let (name, offset) = if feed == Feed::Authentication {
            ("authlogs", self.pair(next.as_ref(), settings))
        } else {
            let text = |cursor: &Cursor| dumps_str(&format!("{},{}", cursor.ms, cursor.id));
            ("items", next.filter(|_| more).as_ref().map(text))
        };
        let offset = spoilt.next_offset(offset, more);
        let object =
            spoilt.object_total || (feed != Feed::Authentication && settings.total_objects == TotalObjects::Object);
        let total = match object {
            true => format!("{{\"relation\": \"eq\", \"value\": {}}}", page.total),
            false => page.total.to_string(),
        };
        format!("{{\"{name}\": [{texts}], \"metadata\": {{{offset}\"total_objects\": {total}}}}}")
    }

    /// The authentication log's offset: an array of two texts whenever the page has rows.
    fn pair(&self, next: Option<&Cursor>, settings: &Settings) -> Option<String> {
        let echo = self
            .window
            .after
            .as_ref()
            .filter(|_| settings.empty_auth == EmptyAuth::Echo);
        match next.or(echo) {
            Some(cursor) => Some(format!("[\"{}\", {}]", cursor.ms, dumps_str(&cursor.id))),
            None if settings.empty_auth == EmptyAuth::Absent => None,
            None => Some("null".to_owned()),
        }
    }

    /// A cursor in front of the whole window.
    fn outermost(&self) -> Cursor {
        if self.window.descending {
            Cursor {
                ms: self.window.max,
                id: "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
            }
        } else {
            Cursor {
                ms: self.window.min,
                id: "00000000-0000-0000-0000-000000000000".to_owned(),
            }
        }
    }
}

/// The row's text as the faults leave it.
pub(super) fn spoil(feed: Feed, text: &str, spoilt: Spoilt) -> String {
    if !spoilt.unknown_fields && !spoilt.unknown_values {
        return text.to_owned();
    }
    let mut row: Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(members) = row.as_object_mut() {
        if spoilt.unknown_fields {
            members.insert(
                "never_heard_of".to_owned(),
                json!({"list": [1, null, {"deep": true}], "text": "x"}),
            );
        }
        if spoilt.unknown_values {
            let (name, value) = match feed {
                Feed::Authentication => ("factor", json!("carrier_pigeon")),
                Feed::Telephony => ("type", json!("telegram")),
                Feed::Activity => ("action", json!({"details": null, "name": "never_heard_of"})),
                Feed::Administrator | Feed::OfflineEnrollment => ("action", json!("never_heard_of")),
                Feed::TrustMonitor => ("state", json!("never_heard_of")),
            };
            members.insert(name.to_owned(), value);
        }
    }
    dumps(&row)
}

/// The values of a parameter, in the order sent.
pub(super) fn values<'a>(parameters: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    parameters
        .iter()
        .filter(move |(known, _)| known == name)
        .map(|(_, value)| value.as_str())
}

/// `mintime` and `maxtime` of a window in ms: both required.
pub(super) fn times(parameters: &[(String, String)]) -> Result<(i64, i64), ApiError> {
    let first = |name| values(parameters, name).next();
    let (Some(min), Some(max)) = (first("mintime"), first("maxtime")) else {
        return Err(ApiError::MissingParameters);
    };
    let invalid = ApiError::InvalidParameters;
    let min = milliseconds(min).ok_or(invalid("'mintime' must be a timestamp in milliseconds"))?;
    let max = milliseconds(max).ok_or(invalid("'maxtime' must be a timestamp in milliseconds"))?;
    if min >= max {
        return Err(invalid("maxtime"));
    }
    Ok((min, max))
}

/// A Unix time in milliseconds: at least 13 digits, nothing else.
fn milliseconds(text: &str) -> Option<i64> {
    let digits = text.len() >= 13 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// `ms,id` in one value or in two. Two arrive in either order, as the clients' signing rules sort them.
fn cursor(sent: &[&str]) -> Result<Option<Cursor>, ApiError> {
    let halves = match sent {
        [] => return Ok(None),
        [one] => one.split_once(','),
        [ms, id] if milliseconds(ms).is_some() => Some((*ms, *id)),
        [id, ms] => Some((*ms, *id)),
        _ => None,
    };
    let cursor = halves.and_then(|(ms, id)| {
        Some(Cursor {
            ms: milliseconds(ms)?,
            id: id.to_owned(),
        })
    });
    cursor
        .filter(|cursor| !cursor.id.is_empty())
        .map(Some)
        .ok_or(ApiError::InvalidParameters("next_offset"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::pairs;

    const NOW: i64 = 1_790_000_000_000;

    fn read(query: &str) -> Result<Query, ApiError> {
        Query::read(Feed::Authentication, &pairs(query.as_bytes()), NOW)
    }

    fn detail(query: &str) -> &'static str {
        match read(query) {
            Err(ApiError::InvalidParameters(detail)) => detail,
            other => panic!("{query}: {other:?}"),
        }
    }

    #[test]
    fn defaults_are_duos() {
        let query = read("mintime=1789990000000&maxtime=1789999999999").unwrap();
        assert_eq!((query.window.limit, query.window.descending), (100, true));
        assert_eq!(
            (query.window.min, query.window.max),
            (1_789_990_000_000, 1_789_999_999_999)
        );
    }

    #[test]
    fn what_is_wrong_is_named_as_duo_names_it() {
        let times = "mintime=1789990000000&maxtime=1789999999999";
        assert_eq!(read("mintime=1789990000000"), Err(ApiError::MissingParameters));
        assert_eq!(read("maxtime=1789990000000"), Err(ApiError::MissingParameters));
        assert_eq!(
            detail("mintime=1789990000&maxtime=1789999999999"),
            "'mintime' must be a timestamp in milliseconds"
        );
        assert_eq!(
            detail("mintime=1789990000000&maxtime=soon"),
            "'maxtime' must be a timestamp in milliseconds"
        );
        assert_eq!(detail("mintime=1789990000000&maxtime=1789990000000"), "maxtime");
        assert_eq!(
            detail("mintime=1700000000000&maxtime=1789990000000"),
            "mintime must be within the past 180 days"
        );
        for limit in ["0", "1001", "-1", "many", ""] {
            assert_eq!(detail(&format!("{times}&limit={limit}")), "limit");
        }
        assert_eq!(detail(&format!("{times}&sort=asc")), "sort");
        for offset in [
            "",
            "1789990000000",
            "x,y",
            "1789990000000,",
            "a&next_offset=b",
            "1&next_offset=2&next_offset=3",
        ] {
            assert_eq!(detail(&format!("{times}&next_offset={offset}")), "next_offset");
        }
    }

    #[test]
    fn the_cursor_comes_in_one_value_or_in_two_in_either_order() {
        let times = "mintime=1789990000000&maxtime=1789999999999";
        let expected = Some(Cursor {
            ms: 1_789_990_000_123,
            id: "ab-1".to_owned(),
        });
        for offset in [
            "next_offset=1789990000123%2Cab-1",
            "next_offset=1789990000123&next_offset=ab-1",
            "next_offset=ab-1&next_offset=1789990000123",
        ] {
            assert_eq!(read(&format!("{times}&{offset}")).unwrap().window.after, expected);
        }
    }
}
