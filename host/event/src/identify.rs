//! Which event a row is, and when it happened.
//!
//! | log | id | order time |
//! | --- | --- | --- |
//! | authentication | `txid`, `~`, a hash of `isotimestamp`, `factor` and `result` | `isotimestamp`, else `timestamp` |
//! | activity | `activity_id` | `ts` |
//! | telephony | `telephony_id`, `~`, a hash of `txid` (v1: none of its own) | `ts`, else `isotimestamp`, else `timestamp` |
//! | administrator, offline_enrollment | none of its own | `timestamp`, else `isotimestamp` |
//! | trust_monitor | `sekey`, `~`, a hash of its state | the state's change, else when it surfaced |
//! | any other | `id`, else none of its own | `ts`, `isotimestamp`, `timestamp` |
//!
//! Duo promises neither that a `txid` is unique nor that one is there, hence the hash behind it; [`own_id`] takes it off again for
//! people and for SIEMs. Where Duo gives no id, it is `sha256:` and the digest of the row's canonical JSON: keys sorted at
//! every level, no white space. Two rows that are equal to the byte after that have one id, until [`crate::Occurrences`] counts them.
//!
//! Times are ms since the Unix epoch, floored. `timestamp` counts seconds in every log; a number too great for that counts ms.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::occurrence::is_hash;
use crate::repair::repaired;
use crate::scan::{Key, Members, Scan, Text, Unusual};
use crate::shape::Shape;
use crate::time::{epoch_to_ms, rfc3339_to_ms};
use crate::{MAX_EVENT_BYTES, rare};

/// Which event a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Unique within (tenant, log).
    pub id: Arc<str>,
    /// Order time, ms since the Unix epoch.
    pub time: i64,
}

/// Why a row cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not JSON.
    #[error("not a JSON object: {0}")]
    NotJson(String),
    /// It is too long to be an event.
    #[error("the row has {0} bytes; an event has at most {MAX_EVENT_BYTES}")]
    TooLong(usize),
    /// It does not say when.
    #[error("no readable time: a row of {log} tells it in {fields}")]
    NoTime {
        /// The log.
        log: String,
        /// Where it should be.
        fields: &'static str,
    },
}

thread_local! {
    /// Rows are identified one after the other, mostly of one log.
    static SHAPE: RefCell<Shape> = RefCell::default();
}

/// The id and order time of a row of one of Duo's logs.
///
/// # Errors
/// [`Problem`]: the row is to be kept as it came and counted.
pub fn identify(log: &str, raw: &str) -> Result<Identity, Problem> {
    if raw.len() > MAX_EVENT_BYTES {
        return Err(Problem::TooLong(raw.len()));
    }
    let read = if is_common(log) { read } else { rare::read };
    match read(log, raw) {
        Err(Problem::NotJson(problem)) => {
            repaired(raw).map_or(Err(Problem::NotJson(problem)), |repaired| read(log, &repaired))
        }
        identified => identified,
    }
}

/// Whether a few members at a row's top tell which event it is.
pub(crate) fn is_common(log: &str) -> bool {
    matches!(
        log,
        "authentication" | "activity" | "telephony" | "administrator" | "offline_enrollment"
    )
}

fn read(log: &str, raw: &str) -> Result<Identity, Problem> {
    let head = Head::of(raw).map_err(|error| Problem::NotJson(error.to_string()))?;
    placed(log, raw, &head)
}

/// The id and order time that a row's head tells.
pub(crate) fn placed(log: &str, raw: &str, head: &Head<'_>) -> Result<Identity, Problem> {
    let time = head.time(log).ok_or_else(|| Problem::NoTime {
        log: log.to_owned(),
        fields: time_fields(log),
    })?;
    let own: Option<Arc<str>> = match log {
        "authentication" => head
            .txid
            .text()
            .map(|id| suffixed(id, [&head.isotimestamp, &head.factor, &head.result].map(or_empty))),
        "activity" => head.activity_id.text().map(Arc::from),
        "telephony" => head.telephony_id.text().map(|id| suffixed(id, [or_empty(&head.txid)])),
        _ => None,
    };
    let id = match own {
        Some(id) => id,
        None => digest(raw)?.into(),
    };
    Ok(Identity { id, time })
}

/// Duo's own part of an id: what an analyst searches for elsewhere.
#[must_use]
pub fn own_id<'a>(log: &str, id: &'a str) -> &'a str {
    match log {
        "authentication" | "telephony" | "trust_monitor" if !is_hash(id) => {
            id.rsplit_once('~').map_or(id, |(own, _)| own)
        }
        _ => id,
    }
}

fn time_fields(log: &str) -> &'static str {
    match log {
        "authentication" => "isotimestamp or timestamp",
        "activity" => "ts",
        "telephony" => "ts, isotimestamp or timestamp",
        "administrator" | "offline_enrollment" => "timestamp or isotimestamp",
        _ => "ts, isotimestamp or timestamp",
    }
}

fn or_empty<'a>(scalar: &'a Scalar<'_>) -> &'a str {
    scalar.text().unwrap_or("")
}

/// An id, `~`, and a hash of what else tells rows of this id apart.
pub(crate) fn suffixed<const N: usize>(id: &str, rest: [&str; N]) -> Arc<str> {
    // FNV-1a, folded: it need not resist attack, only tell rows of one transaction apart, the same for ever.
    const PRIME: u64 = 0x0100_0000_01b3;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in rest {
        for byte in part.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        }
        // A zero ends each.
        hash = hash.wrapping_mul(PRIME);
    }
    let folded = (hash ^ (hash >> 32)) as u32;
    let mut suffix = *b"~00000000";
    for (place, digit) in suffix.iter_mut().skip(1).enumerate() {
        *digit = match folded >> (28 - 4 * place) & 0xf {
            value @ 0..10 => b'0' + value as u8,
            value => b'a' + (value - 10) as u8,
        };
    }
    // Duo's ids have 36 characters: the id is made in place, and copied once.
    let mut made = [0_u8; 64];
    let length = id.len() + suffix.len();
    if let Some(text) = made.get_mut(..length)
        && let Some((own, end)) = text.split_at_mut_checked(id.len())
    {
        own.copy_from_slice(id.as_bytes());
        end.copy_from_slice(&suffix);
        if let Ok(text) = std::str::from_utf8(text) {
            return text.into();
        }
    }
    [id, std::str::from_utf8(&suffix).unwrap_or_default()].concat().into()
}

/// `sha256:` and the digest of the row's canonical JSON.
pub(crate) fn digest(raw: &str) -> Result<String, Problem> {
    let value: Value = serde_json::from_str(raw).map_err(|error| Problem::NotJson(error.to_string()))?;
    let mut canonical = String::with_capacity(raw.len());
    write_canonical(&value, &mut canonical);
    let mut id = String::from("sha256:");
    for byte in Sha256::digest(canonical.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    Ok(id)
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<(&String, &Value)> = map.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (place, (key, member)) in members.into_iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(member, out);
            }
            out.push('}');
        }
        Value::Array(elements) => {
            out.push('[');
            for (place, element) in elements.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { "," });
                write_canonical(element, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// A top-level member that identity needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Txid,
    ActivityId,
    TelephonyId,
    Factor,
    Result,
    Ts,
    IsoTimestamp,
    Timestamp,
}

impl Told {
    /// What a key at a row's top tells; none: nothing of its identity.
    pub(crate) fn by(key: &str) -> Option<Told> {
        Some(match key {
            "txid" => Told::Txid,
            "activity_id" => Told::ActivityId,
            "telephony_id" => Told::TelephonyId,
            "factor" => Told::Factor,
            "result" => Told::Result,
            "ts" => Told::Ts,
            "isotimestamp" => Told::IsoTimestamp,
            "timestamp" => Told::Timestamp,
            _ => return None,
        })
    }
}

/// The top-level members that identity needs.
#[derive(Default)]
pub(crate) struct Head<'a> {
    txid: Scalar<'a>,
    activity_id: Scalar<'a>,
    telephony_id: Scalar<'a>,
    factor: Scalar<'a>,
    result: Scalar<'a>,
    ts: Scalar<'a>,
    isotimestamp: Scalar<'a>,
    timestamp: Scalar<'a>,
}

impl<'a> Head<'a> {
    fn of(raw: &'a str) -> Result<Self, serde_json::Error> {
        let mut head = Head::default();
        if SHAPE
            .with_borrow_mut(|shape| Scan::whole(raw, Some(shape), &mut head))
            .is_ok()
        {
            return Ok(head);
        }
        let mut json = serde_json::Deserializer::from_str(raw);
        let head = json.deserialize_map(Head::default())?;
        json.end().map(|()| head)
    }

    pub(crate) fn place(&mut self, told: Told) -> &mut Scalar<'a> {
        match told {
            Told::Txid => &mut self.txid,
            Told::ActivityId => &mut self.activity_id,
            Told::TelephonyId => &mut self.telephony_id,
            Told::Factor => &mut self.factor,
            Told::Result => &mut self.result,
            Told::Ts => &mut self.ts,
            Told::IsoTimestamp => &mut self.isotimestamp,
            Told::Timestamp => &mut self.timestamp,
        }
    }

    fn time(&self, log: &str) -> Option<i64> {
        let ts = || self.ts.text().and_then(rfc3339_to_ms);
        let iso = || self.isotimestamp.text().and_then(rfc3339_to_ms);
        let seconds = || epoch_to_ms(self.timestamp.seconds()?);
        match log {
            "authentication" => iso().or_else(seconds),
            "activity" => ts(),
            "administrator" | "offline_enrollment" => seconds().or_else(iso),
            _ => ts().or_else(iso).or_else(seconds),
        }
    }
}

impl<'a> Members<'a> for Head<'a> {
    fn member(&mut self, key: Key<'a>, scan: &mut Scan<'a, '_>) -> Result<(), Unusual> {
        let Some(told) = Told::by(key.text) else {
            return scan.skip_value(&key);
        };
        *self.place(told) = match scan.peek() {
            Some(b'"') => Scalar::Text(match scan.text()? {
                Text::Plain(text) => text.into(),
                Text::Escaped(text) => Text::unescaped(text)?.into(),
            }),
            Some(b'-' | b'0'..=b'9') => Scalar::Number(scan.whole_number()?),
            _ => {
                scan.skip()?;
                Scalar::None
            }
        };
        Ok(())
    }
}

impl<'de> Visitor<'de> for Head<'de> {
    type Value = Self;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(key) = map.next_key_seed(Scalar::None)? {
            match key.text().and_then(Told::by) {
                Some(told) => *self.place(told) = map.next_value_seed(Scalar::None)?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(self)
    }
}

/// A text or a whole number; anything else is none.
#[derive(Default)]
pub(crate) enum Scalar<'a> {
    #[default]
    None,
    Text(Cow<'a, str>),
    Number(i64),
}

impl Scalar<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Scalar::Text(text) => Some(text).filter(|text| !text.is_empty()).map(AsRef::as_ref),
            _ => None,
        }
    }

    fn seconds(&self) -> Option<i64> {
        match self {
            Scalar::Number(number) => Some(*number),
            Scalar::Text(text) => text.trim().parse().ok(),
            Scalar::None => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Scalar<'de> {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Scalar<'de> {
    type Value = Self;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self, E> {
        Ok(i64::try_from(number).map_or(Scalar::None, Scalar::Number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self, E> {
        // A float counts whole seconds too; the cast saturates and times stay far below 2^53.
        Ok(Scalar::Number(number.floor() as i64))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Scalar::None)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Scalar::None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_times_by_log() {
        for (log, raw, own, time) in [
            (
                "authentication",
                r#"{"txid":"t1","isotimestamp":"2023-11-01T08:42:33.314482+00:00","timestamp":1}"#,
                "t1",
                1_698_828_153_314,
            ),
            (
                "authentication",
                r#"{"txid":"t1","timestamp":1698828153}"#,
                "t1",
                1_698_828_153_000,
            ),
            (
                "activity",
                r#"{"activity_id":"a1","ts":"2023-11-01T08:42:33.314482+00:00"}"#,
                "a1",
                1_698_828_153_314,
            ),
            (
                "telephony",
                r#"{"telephony_id":"p1","txid":"t1","ts":"2023-11-01T08: 42: 33+00: 00"}"#,
                "p1",
                1_698_828_153_000,
            ),
        ] {
            let identity = identify(log, raw).unwrap();
            assert_eq!((own_id(log, &identity.id), identity.time), (own, time), "{raw}");
        }
    }

    #[test]
    fn rows_without_an_id_are_told_by_their_content_whatever_the_order_of_keys() {
        let one = identify(
            "administrator",
            r#"{"timestamp": 9, "description": "{}", "object": {"b":1, "a":2}}"#,
        )
        .unwrap();
        let other = identify(
            "administrator",
            r#"{"object":{"a":2,"b":1},"timestamp":9,"description":"{}"}"#,
        )
        .unwrap();
        assert_eq!(one, other);
        assert_eq!((one.time, one.id.len()), (9000, 71));
        assert_ne!(
            one.id,
            identify("administrator", r#"{"timestamp": 9, "description": "{ }"}"#)
                .unwrap()
                .id
        );
        let unnamed = identify("authentication", r#"{"txid":null,"timestamp":1}"#).unwrap();
        assert!(unnamed.id.starts_with("sha256:"));
    }

    #[test]
    fn rows_of_one_transaction_stay_apart() {
        let of = |result: &str| {
            identify(
                "authentication",
                &format!(r#"{{"txid":"t","timestamp":1,"result":"{result}"}}"#),
            )
            .unwrap()
            .id
        };
        assert_ne!(of("denied"), of("success"));
        assert_eq!(of("denied"), of("denied"));
    }

    #[test]
    fn problems_name_what_is_wrong() {
        assert!(matches!(identify("activity", "[1]"), Err(Problem::NotJson(_))));
        assert!(matches!(
            identify("activity", r#"{"ts":"x"} x"#),
            Err(Problem::NotJson(_))
        ));
        assert!(matches!(identify("activity", ""), Err(Problem::NotJson(_))));
        let problem = identify("activity", r#"{"activity_id":"a","ts":7}"#).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "no readable time: a row of activity tells it in ts"
        );
        assert!(matches!(
            identify("activity", &" ".repeat(MAX_EVENT_BYTES + 1)),
            Err(Problem::TooLong(_))
        ));
    }
}
