//! What an exception looks at of an alert: one being raised, or one that was stored.

use std::cell::OnceCell;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use picket_contract::RawRow;
use picket_event::{Glance, Mask, Told, narrate, rfc3339_to_ms};
use serde_json::Value;

use super::Kind;
use crate::rule::Tenant;

/// An alert, as far as an exception looks at it. The evidence is read when it is first asked for.
#[derive(Debug)]
pub struct Matter<'a> {
    mask: &'a Arc<Mask>,
    timezone: &'a str,
    /// Event time, ms.
    time: i64,
    /// Duo's own log and the row, each piece of evidence.
    rows: Vec<(Arc<str>, RawRow)>,
    /// What it says of itself, by name; facts are `facts.<name>`.
    own: Vec<(String, String)>,
    told: OnceCell<Vec<Told>>,
    local: OnceCell<Option<Zoned>>,
}

impl<'a> Matter<'a> {
    pub(crate) fn new(
        tenant: &'a Tenant,
        time: i64,
        rows: Vec<(Arc<str>, RawRow)>,
        own: Vec<(String, String)>,
    ) -> Self {
        Matter {
            mask: &tenant.mask,
            timezone: &tenant.timezone,
            time,
            rows,
            own,
            told: OnceCell::new(),
            local: OnceCell::new(),
        }
    }

    /// Of an alert as it was stored. `mask`: what the tenant's phone numbers are masked with. None: it is no alert.
    #[must_use]
    pub fn stored(alert: &'a Value, mask: &'a Arc<Mask>) -> Option<Self> {
        let text = |pointer: &str| alert.pointer(pointer).and_then(Value::as_str);
        let own = [
            ("about.key", "/about/key"),
            ("about.name", "/about/name"),
            ("dedup_key", "/dedup_key"),
            ("severity", "/severity"),
            ("outcome", "/outcome"),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, pointer)| Some((name.to_owned(), text(pointer)?.to_owned())));
        let facts = alert.get("facts").and_then(Value::as_object).into_iter().flatten();
        let facts = facts.filter_map(|(name, value)| Some((format!("facts.{name}"), value.as_str()?.to_owned())));
        let rows = alert.get("raw").and_then(Value::as_array).into_iter().flatten();
        let rows = rows.filter_map(|row| {
            let log = row.get("log")?.as_str()?;
            // What is no JSON is kept as the text that it is.
            let raw = match row.get("row")? {
                Value::String(text) => text.as_str().into(),
                row => row.to_string().into(),
            };
            Some((log.into(), raw))
        });
        Some(Matter {
            mask,
            timezone: text("/tenant/timezone").unwrap_or("UTC"),
            time: rfc3339_to_ms(text("/time")?)?,
            rows: rows.collect(),
            own: own.chain(facts).collect(),
            told: OnceCell::new(),
            local: OnceCell::new(),
        })
    }

    /// When it happened, event time, ms.
    #[must_use]
    pub fn time(&self) -> i64 {
        self.time
    }

    /// The values of a field, each once: of the alert itself, or of every piece of evidence that has it.
    #[must_use]
    pub fn field(&self, path: &str) -> Vec<String> {
        let mut values: Vec<String> = if super::is_of_alert(path) {
            let own = self.own.iter().filter(|(name, _)| name == path);
            own.map(|(_, value)| value.clone()).collect()
        } else {
            let glance = Glance::at([path], self.mask);
            let looked = self.rows.iter().flat_map(|(log, raw)| glance.look(log, raw));
            looked.flatten().collect()
        };
        values.sort();
        values.dedup();
        values
    }

    /// Everybody or everything of a kind in the evidence, each by all its names.
    #[must_use]
    pub fn entities(&self, kind: Kind) -> Vec<Vec<String>> {
        let names = |told: &Told| -> Vec<String> {
            let names = match kind {
                Kind::User => [told.user.clone(), told.user_key.clone()],
                // Who does something to themselves is no other.
                Kind::Actor => [told.actor.clone(), None],
                Kind::Address => [told.ip.clone(), None],
                Kind::Country => [told.country.clone(), None],
                Kind::Application => [told.application.clone(), None],
                Kind::Device => [told.device.clone(), None],
            };
            names.into_iter().flatten().collect()
        };
        let mut entities: Vec<Vec<String>> = self
            .told()
            .iter()
            .map(names)
            .filter(|names| !names.is_empty())
            .collect();
        entities.sort();
        entities.dedup();
        entities
    }

    /// Key and name of every user of the evidence; of none, whom the alert is about.
    pub(super) fn users(&self) -> Vec<(Option<String>, Option<String>)> {
        let told = self
            .told()
            .iter()
            .map(|told| (told.user_key.clone(), told.user.clone()));
        let mut users: Vec<_> = told.filter(|user| *user != (None, None)).collect();
        if users.is_empty() {
            let own = |name: &str| self.field(name).pop();
            users.extend(own("about.key").map(|key| (Some(key), own("about.name"))));
        }
        users.sort();
        users.dedup();
        users
    }

    /// The tenant's own time; none where there is no such time zone.
    pub(super) fn local(&self) -> Option<&Zoned> {
        let local = || {
            let zone = TimeZone::get(self.timezone).ok()?;
            Some(Timestamp::from_millisecond(self.time).ok()?.to_zoned(zone))
        };
        self.local.get_or_init(local).as_ref()
    }

    fn told(&self) -> &[Told] {
        let tell = |(log, raw): &(Arc<str>, RawRow)| narrate(log, raw, self.mask);
        self.told.get_or_init(|| self.rows.iter().map(tell).collect())
    }
}
