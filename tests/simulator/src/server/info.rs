//! `/admin/v1/info/…`: what is counted over the account and over a stretch of its logs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::answer::ApiError;
use super::archive::{Log, Visibility};
use super::route::Info;
use super::row::Stored;
use super::state::Content;
use super::v1::old_result;
use super::v2::values;
use crate::inventory::Kind;
use crate::json::dumps;
use crate::model::Feed;

const USUAL_S: i64 = 30 * 86_400;
/// What an account is given to begin with.
const CREDITS: u64 = 100_000;

/// The four results, in the order of their marks.
const RESULTS: [&str; 4] = ["ERROR", "FAILURE", "FRAUD", "SUCCESS"];

/// What is counted of a row: the place of an authentication's result, a message's credits, else 0.
pub(super) fn mark(feed: Feed, row: &Value) -> u16 {
    match feed {
        Feed::Authentication => {
            let result = old_result(row);
            let place = RESULTS.iter().position(|known| *known == result);
            place.and_then(|place| u16::try_from(place).ok()).unwrap_or(0)
        }
        Feed::Telephony => {
            let credits = row.get("credits").and_then(Value::as_u64);
            credits.and_then(|credits| u16::try_from(credits).ok()).unwrap_or(0)
        }
        _ => 0,
    }
}

/// The `response`, as JSON text.
pub(super) fn answer(
    info: Info,
    content: &Content,
    parameters: &[(String, String)],
    visibility: &Visibility,
) -> Result<String, ApiError> {
    let now_us = visibility.now_ms.saturating_mul(1_000);
    let now_s = visibility.now_ms.div_euclid(1_000);
    if info == Info::Summary {
        let count = |kind| content.inventory.at(kind, now_us).count();
        let used = credits(content, visibility, 0, now_s);
        return Ok(dumps(&json!({
            "admin_count": count(Kind::Admin), "edition": "BEYOND", "integration_count": count(Kind::Integration),
            "telephony_credits_remaining": CREDITS.saturating_sub(used), "user_count": count(Kind::User),
            "user_pending_deletion_count": 0,
        })));
    }
    let second = |name: &'static str, usual: i64| match values(parameters, name).next().map(str::parse::<i64>) {
        None => Ok(usual),
        Some(Ok(second)) if second >= 0 => Ok(second),
        Some(_) => Err(ApiError::InvalidParameters(name)),
    };
    let max = second("maxtime", now_s)?;
    let min = second("mintime", max.saturating_sub(USUAL_S))?;
    if min > max {
        return Err(ApiError::InvalidParameters("maxtime"));
    }
    let (name, counted) = match info {
        Info::Credits => ("telephony_credits_used", json!(credits(content, visibility, min, max))),
        Info::Attempts => {
            let rows = within(content.log(Feed::Authentication), visibility, min, max);
            let counted = rows.fold([0_u64; 4], |mut counts, row| {
                if let Some(count) = counts.get_mut(usize::from(row.mark)) {
                    *count += 1;
                }
                counts
            });
            ("authentication_attempts", by_result(counted))
        }
        _ => {
            let mut users: BTreeMap<u16, BTreeSet<String>> = BTreeMap::new();
            for row in within(content.log(Feed::Authentication), visibility, min, max) {
                let text = row.text(visibility.now_ms);
                users.entry(row.mark).or_default().insert(user(&text).to_owned());
            }
            let count = |mark| users.get(&mark).map_or(0, |users| users.len() as u64);
            (
                "user_authentication_attempts",
                by_result([count(0), count(1), count(2), count(3)]),
            )
        }
    };
    Ok(dumps(&json!({name: counted, "maxtime": max, "mintime": min})))
}

/// The key of a row's user, quotes and all. Searched for, not parsed: there may be a hundred thousand rows.
fn user(text: &str) -> &str {
    let behind = |text: &'_ str, mark: &str| text.rfind(mark).map(|at| at + mark.len());
    let from = behind(text, "\"user\": {").unwrap_or(0);
    let rest = text.get(from..).unwrap_or_default();
    let key = rest.split_once("\"key\": ").map_or("", |(_, key)| key);
    key.split([',', '}']).next().unwrap_or_default()
}

fn by_result(counts: [u64; 4]) -> Value {
    RESULTS
        .into_iter()
        .zip(counts)
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .collect()
}

fn credits(content: &Content, visibility: &Visibility, min: i64, max: i64) -> u64 {
    within(content.log(Feed::Telephony), visibility, min, max)
        .map(|row| u64::from(row.mark))
        .sum()
}

/// The rows that have appeared, between two seconds, both included.
fn within<'a>(
    log: Option<&'a Log>,
    visibility: &'a Visibility,
    min: i64,
    max: i64,
) -> impl Iterator<Item = &'a Stored> {
    let rows = log.map(Log::rows).unwrap_or_default();
    let from = rows.partition_point(|row| row.second() < min);
    rows.iter()
        .skip(from)
        .take_while(move |row| row.second() <= max)
        .filter(|row| visibility.shows(row))
}
