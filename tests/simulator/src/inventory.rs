//! What an account has besides logs (users, phones, keys, administrators, settings), each object with all it ever was.
//!
//! An object is a list of versions; which of them is shown follows from the simulated clock alone, so a server needs to
//! remember nothing and a clock set back shows the past again. Texts may hold *marks* for what moves with every login:
//! `"@last:KEY"` is the last time noted for that key in seconds, or null; `"@seen:KEY"` the same as an ISO time without a
//! zone, or an empty text.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use crate::json::dumps;

/// What kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "they are the Admin API's own words")]
pub enum Kind {
    User,
    Phone,
    Token,
    WebauthnCredential,
    U2fToken,
    BypassCode,
    Group,
    Endpoint,
    RegisteredDevice,
    DesktopAuthenticator,
    DesktopToken,
    Integration,
    Policy,
    Admin,
    AdministrativeUnit,
    /// Links by which somebody becomes an administrator.
    Activation,
    /// One object: the account's settings.
    Settings,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::User,
        Self::Phone,
        Self::Token,
        Self::WebauthnCredential,
        Self::U2fToken,
        Self::BypassCode,
        Self::Group,
        Self::Endpoint,
        Self::RegisteredDevice,
        Self::DesktopAuthenticator,
        Self::DesktopToken,
        Self::Integration,
        Self::Policy,
        Self::Admin,
        Self::AdministrativeUnit,
        Self::Activation,
        Self::Settings,
    ];

    /// The member of its JSON that identifies it.
    #[must_use]
    pub fn id_field(self) -> &'static str {
        match self {
            Self::User => "user_id",
            Self::Phone => "phone_id",
            Self::Token => "token_id",
            Self::WebauthnCredential => "webauthnkey",
            Self::U2fToken => "registration_id",
            Self::BypassCode => "bypass_code_id",
            Self::Group => "group_id",
            Self::Endpoint => "epkey",
            Self::RegisteredDevice => "compkey",
            Self::DesktopAuthenticator => "dakey",
            Self::DesktopToken => "desktoptoken_id",
            Self::Integration => "integration_key",
            Self::Policy => "policy_key",
            Self::Admin => "admin_id",
            Self::AdministrativeUnit => "admin_unit_id",
            Self::Activation => "admin_activation_id",
            Self::Settings => "name",
        }
    }
}

/// What an object is from some time on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    from_us: i64,
    /// Its JSON as Duo writes it, marks and all; none: it is gone.
    text: Option<Box<str>>,
    /// Ids of what it belongs to or holds: a phone's users, a user's groups.
    links: Box<[Box<str>]>,
}

/// An object as it is at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its JSON, marks and all; see [`Inventory::text`].
    pub template: &'a str,
    links: &'a [Box<str>],
}

impl Shown<'_> {
    /// Whether it is linked with the object of this id.
    #[must_use]
    pub fn is_of(&self, id: &str) -> bool {
        self.links.iter().any(|link| &**link == id)
    }
}

/// One kind's objects: in the order in which they came to be, and where each is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Shelf {
    objects: Vec<(Box<str>, Vec<Version>)>,
    places: HashMap<Box<str>, usize>,
}

/// All objects of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    shelves: BTreeMap<Kind, Shelf>,
    /// For each key the times noted, in seconds, ascending.
    times: HashMap<Box<str>, Vec<i64>>,
}

impl Inventory {
    /// What an object is from a time on (microseconds since the epoch; `i64::MIN`: has always been); `None`: it is gone.
    ///
    /// Must be called in order of time for each object.
    pub fn put(&mut self, kind: Kind, id: &str, from_us: i64, links: &[&str], json: Option<&Value>) {
        let shelf = self.shelves.entry(kind).or_default();
        let place = *shelf.places.entry(id.into()).or_insert(shelf.objects.len());
        if place == shelf.objects.len() {
            shelf.objects.push((id.into(), Vec::with_capacity(1)));
        }
        if let Some((_, versions)) = shelf.objects.get_mut(place) {
            versions.push(Version {
                from_us,
                text: json.map(|json| dumps(json).into()),
                links: links.iter().map(|link| (*link).into()).collect(),
            });
        }
    }

    /// Notes a time (seconds) for a key. Must be called in order of time for each key.
    pub fn note(&mut self, key: &str, second: i64) {
        match self.times.get_mut(key) {
            Some(times) => times.push(second),
            None => {
                self.times.insert(key.into(), vec![second]);
            }
        }
    }

    /// The objects of a kind that exist at a time (microseconds), oldest first.
    pub fn at(&self, kind: Kind, now_us: i64) -> impl Iterator<Item = Shown<'_>> {
        let objects = self.shelves.get(&kind).map(|shelf| shelf.objects.iter());
        objects
            .into_iter()
            .flatten()
            .filter_map(move |(id, versions)| shown(id, versions, now_us))
    }

    /// One object, if it exists at that time.
    #[must_use]
    pub fn one(&self, kind: Kind, id: &str, now_us: i64) -> Option<Shown<'_>> {
        let shelf = self.shelves.get(&kind)?;
        let (id, versions) = shelf.objects.get(*shelf.places.get(id)?)?;
        shown(id, versions, now_us)
    }

    /// The object's JSON at that time, marks filled in.
    #[must_use]
    pub fn text(&self, shown: &Shown<'_>, now_us: i64) -> String {
        let mut out = String::with_capacity(shown.template.len() + 32);
        let mut rest = shown.template;
        while let Some((before, after)) = rest.split_once("\"@") {
            out.push_str(before);
            rest = after;
            let filled = after.split_once('"').and_then(|(mark, behind)| {
                let (what, key) = mark.split_once(':')?;
                let value = filled(what, self.last(key, now_us))?;
                Some((value, behind))
            });
            match filled {
                Some((value, behind)) => {
                    out.push_str(&value);
                    rest = behind;
                }
                None => out.push_str("\"@"),
            }
        }
        out.push_str(rest);
        out
    }

    /// The last time noted for a key up to `now_us`, in seconds.
    fn last(&self, key: &str, now_us: i64) -> Option<i64> {
        let times = self.times.get(key)?;
        let now_s = now_us.div_euclid(1_000_000);
        let behind = times.partition_point(|time| *time <= now_s);
        times.get(behind.checked_sub(1)?).copied()
    }
}

fn shown<'a>(id: &'a str, versions: &'a [Version], now_us: i64) -> Option<Shown<'a>> {
    let behind = versions.partition_point(|version| version.from_us <= now_us);
    let version = versions.get(behind.checked_sub(1)?)?;
    Some(Shown {
        id,
        template: version.text.as_deref()?,
        links: &version.links,
    })
}

/// What stands for a mark; none if it is no mark.
fn filled(what: &str, second: Option<i64>) -> Option<String> {
    match what {
        "last" => Some(second.map_or("null".to_owned(), |second| second.to_string())),
        "seen" => {
            let at = second.and_then(|second| jiff::Timestamp::from_second(second).ok());
            let iso = at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S").to_string());
            Some(format!("\"{}\"", iso.unwrap_or_default()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_what_the_clock_says() {
        let mut inventory = Inventory::default();
        inventory.put(Kind::User, "DU1", i64::MIN, &[], Some(&json!({"status": "active"})));
        inventory.put(Kind::User, "DU2", 5, &["DG1"], Some(&json!({"status": "active"})));
        inventory.put(Kind::User, "DU1", 10, &[], Some(&json!({"status": "bypass"})));
        inventory.put(Kind::User, "DU1", 20, &[], None);
        let at = |now| -> Vec<(String, String)> {
            let users = inventory.at(Kind::User, now);
            users
                .map(|user| (user.id.to_owned(), user.template.to_owned()))
                .collect()
        };
        let user = |id: &str, status: &str| (id.to_owned(), format!("{{\"status\": \"{status}\"}}"));
        assert_eq!(at(4), [user("DU1", "active")]);
        assert_eq!(at(5), [user("DU1", "active"), user("DU2", "active")]);
        assert_eq!(at(10), [user("DU1", "bypass"), user("DU2", "active")]);
        assert_eq!(at(20), [user("DU2", "active")]);
        assert!(inventory.one(Kind::User, "DU1", 20).is_none());
        assert!(inventory.one(Kind::User, "DU2", 20).unwrap().is_of("DG1"));
    }

    #[test]
    fn marks_move_with_the_clock_and_nothing_else_is_taken_for_one() {
        let mut inventory = Inventory::default();
        inventory.note("DU1", 1_789_990_000);
        inventory.note("DU1", 1_789_990_100);
        let json =
            json!({"a": "@last:DU1", "b": "@seen:DU1", "c": "@last:DU2", "d": "@seen:DU2", "e": "@handle", "f": "x@y"});
        inventory.put(Kind::User, "DU1", i64::MIN, &[], Some(&json));
        let at = |second: i64| {
            let shown = inventory.one(Kind::User, "DU1", second * 1_000_000).unwrap();
            serde_json::from_str::<Value>(&inventory.text(&shown, second * 1_000_000)).unwrap()
        };
        assert_eq!(at(1_789_990_099)["a"], 1_789_990_000);
        let later =
            json!({"a": 1_789_990_100, "b": "2026-09-21T11:28:20", "c": null, "d": "", "e": "@handle", "f": "x@y"});
        assert_eq!(at(1_789_990_100), later);
        assert_eq!(at(0)["a"], Value::Null);
    }
}
