//! The fields of every Duo log that a rule may name, as data.
//!
//! The SDK's macros read this catalogue when a rule is compiled, so a misspelt field is a compile error with the nearest
//! name; the host reads it to know which fields are enumerated and which are addresses. A path that is not here still
//! works: it is null until Duo sends it, so a new Duo field needs no new host (the rule must only say that it means it).
//!
//! Three sorts of path:
//!
//! - **Duo's own**: `access_device.ip`, exactly as in the JSON. Below a [`Kind::Json`] field the keys are Duo's too, but
//!   open-ended (`target.details.status`): the usual ones are listed, and [`is_open`] tells that others may exist.
//! - **as received**: `raw.<path>` is the text before normalisation (enumerated fields are otherwise lower case, with
//!   underscores and aliases resolved; addresses are canonical, without ports).
//! - **derived by the host**: `subject.user`, `subject.key`, `access_device.network`, `access_device.ip_hostname`,
//!   `auth_device.number`; and of each field that is a phone number `.country`, `.prefix` and `.tail`.
//!
//! Where phone numbers are, or may stand, is told by [`phone`]: a rule is shown pseudonyms of them unless the operator grants
//! more.
//!
//! This crate depends on nothing and runs inside the compiler.
#![forbid(unsafe_code)]

mod activity;
mod administrator;
mod authentication;
mod collector;
mod inventory;
mod nearest;
mod telephony;
mod trust_monitor;

/// One log and its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// As rules name it: `authentication`.
    pub name: &'static str,
    /// What it tells, in one line.
    pub doc: &'static str,
    /// Its fields, `raw.` ones not listed.
    pub fields: &'static [Field],
}

/// One field of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// `access_device.ip`.
    pub path: &'static str,
    /// `raw.access_device.ip`, for a field of Duo's own.
    pub raw: Option<&'static str>,
    /// What it holds.
    pub kind: Kind,
    /// What it means, in one line.
    pub doc: &'static str,
    /// One of a list of words that Duo may extend: normalised before `when` and rule see it.
    pub enumerated: bool,
    /// An IP address: canonical, without port, before `when` and rule see it.
    pub address: bool,
    /// Whether it is a phone number, or one may stand in it.
    pub phone: Phone,
    /// Who says it.
    pub origin: Origin,
    parts: Option<&'static Parts>,
}

/// How phone numbers come into a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phone {
    /// Not at all.
    Never,
    /// It is one.
    Number,
    /// It is a label, into which people write their number as they like.
    Label,
    /// It is text, or JSON, in which one may stand.
    Within,
}

/// The paths that the host derives from a phone number. They need no grant.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    country: &'static str,
    prefix: &'static str,
    tail: &'static str,
}

/// What the host derives from a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// `.country`: ISO 3166 code, by the calling code.
    Country,
    /// `.prefix`: calling code and the three digits after it.
    Prefix,
    /// `.tail`: pseudonym of the last ten digits, so that national and international spellings join.
    Tail,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Whole number.
    S64,
    /// Floating-point number.
    F64,
    /// True or false; `unknown` is null.
    Bool,
    /// List of texts.
    Texts,
    /// An object, or JSON inside a string: readable by path below it; itself it is text.
    Json,
}

/// Who says what a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// It is in the event as Duo sent it.
    Duo,
    /// The host works it out from the event.
    Host,
}

impl Field {
    const fn new(path: &'static str, raw: &'static str, doc: &'static str, kind: Kind) -> Self {
        Field {
            path,
            raw: Some(raw),
            kind,
            doc,
            enumerated: false,
            address: false,
            phone: match kind {
                Kind::Json => Phone::Within,
                _ => Phone::Never,
            },
            origin: Origin::Duo,
            parts: None,
        }
    }

    /// A phone number.
    const fn phone(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field {
            phone: Phone::Number,
            ..Field::text(path, raw, doc)
        }
    }

    /// A phone number that the host finds.
    const fn derived_phone(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field {
            phone: Phone::Number,
            ..Field::derived(path, raw, doc)
        }
    }

    /// What people call a device or another thing.
    const fn label(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field {
            phone: Phone::Label,
            ..Field::text(path, raw, doc)
        }
    }

    /// Text in which anything may stand.
    const fn prose(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field {
            phone: Phone::Within,
            ..Field::text(path, raw, doc)
        }
    }

    /// A list of texts in which anything may stand.
    const fn proses(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field {
            phone: Phone::Within,
            ..Field::texts(path, raw, doc)
        }
    }

    const fn with_parts(self, parts: &'static Parts) -> Self {
        Field {
            parts: Some(parts),
            ..self
        }
    }

    /// What the host derives from it, if it is a phone number.
    fn derivatives(self) -> impl Iterator<Item = Field> {
        let parts = self.parts.filter(|_| self.phone == Phone::Number);
        let told = |path, doc| Field::derived(path, "", doc);
        parts.into_iter().flat_map(move |parts| {
            [
                told(
                    parts.country,
                    "Country of the number (ISO 3166, two letters), by its calling code.",
                ),
                told(
                    parts.prefix,
                    "The number's calling code and the three digits after it: `+1503`.",
                ),
                told(
                    parts.tail,
                    "Pseudonym of the number's last ten digits: national and international spellings are alike.",
                ),
            ]
        })
    }

    const fn text(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field::new(path, raw, doc, Kind::Text)
    }

    const fn word(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field {
            enumerated: true,
            ..Field::new(path, raw, doc, Kind::Text)
        }
    }

    const fn address(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field {
            address: true,
            ..Field::new(path, raw, doc, Kind::Text)
        }
    }

    const fn s64(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field::new(path, raw, doc, Kind::S64)
    }

    const fn boolean(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field::new(path, raw, doc, Kind::Bool)
    }

    const fn texts(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field::new(path, raw, doc, Kind::Texts)
    }

    const fn json(path: &'static str, raw: &'static str, doc: &'static str) -> Self {
        Field::new(path, raw, doc, Kind::Json)
    }

    const fn derived(path: &'static str, _raw: &'static str, doc: &'static str) -> Self {
        Field {
            raw: None,
            origin: Origin::Host,
            ..Field::new(path, "", doc, Kind::Text)
        }
    }

    /// The field before normalisation, if it is one of Duo's own.
    fn as_received(self) -> Option<Field> {
        let path = self.raw?;
        Some(Field {
            path,
            raw: None,
            // A bool field's `unknown` is text.
            kind: if self.kind == Kind::Bool { Kind::Text } else { self.kind },
            doc: "As received, before normalisation.",
            enumerated: false,
            address: false,
            parts: None,
            ..self
        })
    }
}

/// A table of fields: sort, path, meaning.
macro_rules! fields {
    ($($sort:ident $path:literal $doc:literal;)*) => {
        &[$($crate::Field::$sort($path, concat!("raw.", $path), $doc).with_parts(&$crate::Parts {
            country: concat!($path, ".country"),
            prefix: concat!($path, ".prefix"),
            tail: concat!($path, ".tail"),
        })),*]
    };
}
use fields;

/// Every log that a rule may name, the logical log `admin` included.
#[must_use]
pub const fn logs() -> &'static [Log] {
    &[
        Log {
            name: "authentication",
            doc: "Every attempt to pass Duo: logins and enrolments.",
            fields: authentication::FIELDS,
        },
        Log {
            name: "activity",
            doc: "What administrators, users and Duo itself changed (v2).",
            fields: activity::FIELDS,
        },
        Log {
            name: "administrator",
            doc: "What administrators changed (v1; Duo replaces it by activity).",
            fields: administrator::FIELDS,
        },
        Log {
            name: "admin",
            doc: "Activity's paths, fed by activity or by administrator, whichever the account permits.",
            fields: activity::FIELDS,
        },
        Log {
            name: "telephony",
            doc: "Texts and calls that Duo sent.",
            fields: telephony::FIELDS,
        },
        Log {
            name: "offline_enrollment",
            doc: "Users set up for offline access.",
            fields: administrator::OFFLINE_FIELDS,
        },
        Log {
            name: "trust_monitor",
            doc: "What Duo's Trust Monitor finds odd; a row that changes is a new event.",
            fields: trust_monitor::FIELDS,
        },
        Log {
            name: "collector",
            doc: "What Picket met when it read the account: logs that fail, are refused, fall silent, or move again.",
            fields: collector::FIELDS,
        },
        Log {
            name: "user",
            doc: "What became of users, by comparing snapshots.",
            fields: inventory::USER,
        },
        Log {
            name: "phone",
            doc: "What became of phones and tablets, by comparing snapshots.",
            fields: inventory::PHONE,
        },
        Log {
            name: "endpoint",
            doc: "What became of machines as browsers show them, by comparing snapshots.",
            fields: inventory::ENDPOINT,
        },
        Log {
            name: "registered_device",
            doc: "What became of machines that Duo Desktop registered, by comparing snapshots.",
            fields: inventory::REGISTERED_DEVICE,
        },
        Log {
            name: "token",
            doc: "What became of hardware tokens, by comparing snapshots.",
            fields: inventory::TOKEN,
        },
        Log {
            name: "webauthn_credential",
            doc: "What became of security keys and the like, by comparing snapshots.",
            fields: inventory::WEBAUTHN_CREDENTIAL,
        },
        Log {
            name: "group",
            doc: "What became of groups of users, by comparing snapshots.",
            fields: inventory::GROUP,
        },
        Log {
            name: "bypass_code",
            doc: "What became of bypass codes, never the codes themselves, by comparing snapshots.",
            fields: inventory::BYPASS_CODE,
        },
        Log {
            name: "admin_account",
            doc: "What became of administrators' accounts (`admin` tells what they do), by comparing snapshots.",
            fields: inventory::ADMIN_ACCOUNT,
        },
        Log {
            name: "integration",
            doc: "What became of applications, by comparing snapshots.",
            fields: inventory::INTEGRATION,
        },
        Log {
            name: "policy",
            doc: "What became of policies, by comparing snapshots.",
            fields: inventory::POLICY,
        },
        Log {
            name: "settings",
            doc: "What became of the account's settings, by comparing snapshots.",
            fields: inventory::SETTINGS,
        },
        Log {
            name: "summary",
            doc: "What became of the account's counts, by comparing snapshots.",
            fields: inventory::SUMMARY,
        },
    ]
}

/// Whether a log tells changes of the inventory.
#[must_use]
pub fn is_inventory(name: &str) -> bool {
    inventory::LOGS.contains(&name)
}

/// The log of this name.
#[must_use]
pub fn log(name: &str) -> Option<Log> {
    logs().iter().copied().find(|log| log.name == name)
}

/// The field at a path of a log, `raw.` paths included.
#[must_use]
pub fn find(log_name: &str, path: &str) -> Option<Field> {
    names(log_name).find(|field| field.path == path)
}

/// The field that a Rust identifier stands for: the path with underscores for dots (`access_device_ip`).
#[must_use]
pub fn find_identifier(log_name: &str, identifier: &str) -> Option<Field> {
    let identifier = identifier.strip_prefix("r#").unwrap_or(identifier);
    names(log_name).find(|field| same_identifier(field.path, identifier))
}

/// The Rust identifier of a path.
#[must_use]
pub fn identifier(path: &str) -> String {
    path.replace('.', "_")
}

/// The nearest path to one that is not there, if any is near. Takes a path or an identifier.
#[must_use]
pub fn suggest(log_name: &str, path: &str) -> Option<&'static str> {
    nearest::nearest(names(log_name).map(|field| field.path), path)
}

/// The nearest log name to one that is not there, if any is near.
#[must_use]
pub fn suggest_log(name: &str) -> Option<&'static str> {
    nearest::nearest(logs().iter().map(|log| log.name), name)
}

/// Whether a path lies below a field whose keys are open-ended, so that the catalogue cannot know all of them.
#[must_use]
pub fn is_open(log_name: &str, path: &str) -> bool {
    let path = path.strip_prefix("raw.").unwrap_or(path);
    let below = |field: &Field| path.strip_prefix(field.path).is_some_and(|rest| rest.starts_with('.'));
    log(log_name).is_some_and(|log| log.fields.iter().any(|field| field.kind == Kind::Json && below(field)))
}

/// How phone numbers come into what is at a path of a log, `raw.` paths included. What the catalogue does not know may hold
/// anything.
#[must_use]
pub fn phone(log_name: &str, path: &str) -> Phone {
    if let Some(field) = find(log_name, path) {
        return field.phone;
    }
    match path.rsplit('.').next().unwrap_or(path).trim_matches('"') {
        "phone" | "number" | "phone_number" | "mobile" | "mobile_number" | "phonenumber" => Phone::Number,
        "name" | "label" | "device" | "auth_device" | "object" | "credential_name" => Phone::Label,
        _ => Phone::Within,
    }
}

/// The phone number that a path is derived from, and what of it.
#[must_use]
pub fn part_of<'a>(log_name: &str, path: &'a str) -> Option<(&'a str, Part)> {
    let (number, part) = path.rsplit_once('.')?;
    let part = match part {
        "country" => Part::Country,
        "prefix" => Part::Prefix,
        "tail" => Part::Tail,
        _ => return None,
    };
    let is_number = find(log_name, number).is_some_and(|field| field.phone == Phone::Number && field.parts.is_some());
    (is_number && !number.starts_with("raw.")).then_some((number, part))
}

fn names(log_name: &str) -> impl Iterator<Item = Field> {
    let fields = log(log_name).map_or(&[][..], |log| log.fields);
    let received = fields.iter().filter_map(|field| field.as_received());
    let derived = fields.iter().flat_map(|field| field.derivatives());
    fields.iter().copied().chain(received).chain(derived)
}

fn same_identifier(path: &str, identifier: &str) -> bool {
    let dotless = path.bytes().map(|byte| if byte == b'.' { b'_' } else { byte });
    dotless.eq(identifier.bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_path_and_identifier_is_unique_and_documented() {
        for log in logs() {
            let all: Vec<Field> = names(log.name).collect();
            let paths: BTreeSet<&str> = all.iter().map(|field| field.path).collect();
            let identifiers: BTreeSet<String> = all.iter().map(|field| identifier(field.path)).collect();
            assert_eq!(paths.len(), all.len(), "{}", log.name);
            assert_eq!(identifiers.len(), all.len(), "{}", log.name);
            for field in all {
                assert!(
                    field.doc.len() > 10 && field.doc.ends_with('.'),
                    "{} {}",
                    log.name,
                    field.path
                );
            }
        }
    }

    #[test]
    fn changes_of_the_inventory_read_alike() {
        for log in inventory::LOGS {
            for path in [
                "change",
                "changed",
                "subject.user",
                "before",
                "after",
                "raw.change",
                "user.name",
            ] {
                assert!(find(log, path).is_some(), "{log} {path}");
            }
            assert!(is_inventory(log) && is_open(log, "after.some_new_property"));
        }
        let status = find("user", "after.status").map(|field| (field.kind, field.enumerated));
        assert_eq!(status, Some((Kind::Text, true)));
        assert_eq!(
            find_identifier("user", "before_status").map(|field| field.path),
            Some("before.status")
        );
        assert_eq!(suggest("user", "after.statsu"), Some("after.status"));
        assert!(!is_inventory("admin") && logs().iter().filter(|log| is_inventory(log.name)).count() == 13);
    }

    #[test]
    fn identifiers_find_their_paths() {
        for (log, identifier, path) in [
            ("authentication", "user_name", "user.name"),
            ("authentication", "access_device_ip", "access_device.ip"),
            ("authentication", "event_type", "event_type"),
            ("authentication", "raw_result", "raw.result"),
            ("authentication", "subject_user", "subject.user"),
            ("authentication", "access_device_network", "access_device.network"),
            ("activity", "action_name", "action.name"),
            ("admin", "target_details_status", "target.details.status"),
            ("admin", "access_device_ip_address", "access_device.ip.address"),
            ("telephony", "r#type", "type"),
        ] {
            assert_eq!(
                find_identifier(log, identifier).map(|field| field.path),
                Some(path),
                "{log} {identifier}"
            );
        }
        assert_eq!(find_identifier("authentication", "user_nmae"), None);
    }

    #[test]
    fn phone_numbers_are_known_wherever_they_may_stand() {
        for (log, path, kind) in [
            ("telephony", "phone", Phone::Number),
            ("telephony", "raw.phone", Phone::Number),
            ("telephony", "phone.country", Phone::Never),
            ("telephony", "txid", Phone::Never),
            ("authentication", "auth_device.name", Phone::Label),
            ("authentication", "auth_device.number", Phone::Number),
            ("authentication", "user.name", Phone::Never),
            ("authentication", "isotimestamp", Phone::Never),
            ("admin", "target.details.number", Phone::Number),
            ("admin", "target.details", Phone::Within),
            ("admin", "target.details.shoe size", Phone::Within),
            ("admin", "target.details.backup.phone", Phone::Number),
            ("admin", "target.name", Phone::Label),
            ("administrator", "description", Phone::Within),
            ("administrator", "object", Phone::Label),
            ("user", "after.phones", Phone::Within),
            ("user", "after", Phone::Within),
            ("phone", "before.number", Phone::Number),
            ("phone", "name", Phone::Label),
            ("admin_account", "after.phone", Phone::Number),
            ("no_such_log", "x", Phone::Within),
        ] {
            assert_eq!(phone(log, path), kind, "{log} {path}");
        }
        let tail = find_identifier("telephony", "phone_tail").map(|field| field.path);
        assert_eq!(tail, Some("phone.tail"));
        assert_eq!(part_of("telephony", "phone.tail"), Some(("phone", Part::Tail)));
        assert_eq!(
            part_of("authentication", "auth_device.number.country"),
            Some(("auth_device.number", Part::Country))
        );
        assert_eq!(part_of("authentication", "access_device.location.country"), None);
        assert_eq!(part_of("telephony", "raw.phone.tail"), None);
        assert!(find("telephony", "raw.phone.tail").is_none());
    }

    #[test]
    fn a_misspelt_path_gets_the_nearest_one() {
        assert_eq!(suggest("authentication", "user.nmae"), Some("user.name"));
        assert_eq!(suggest("authentication", "acess_device_ip"), Some("access_device.ip"));
        assert_eq!(suggest("activity", "actor.nam"), Some("actor.name"));
        assert_eq!(suggest("authentication", "quantum.entanglement"), None);
        assert_eq!(suggest_log("authenticaton"), Some("authentication"));
    }

    #[test]
    fn received_spellings_and_open_paths() {
        assert_eq!(
            find("authentication", "result").map(|field| field.enumerated),
            Some(true)
        );
        assert_eq!(
            find("authentication", "raw.result").map(|field| field.enumerated),
            Some(false)
        );
        assert_eq!(find("authentication", "raw.subject.user"), None);
        assert!(is_open("admin", "target.details.some_new_key"));
        assert!(is_open("administrator", "description.Sync Ref. Code"));
        assert!(!is_open("authentication", "user.shoe_size"));
        assert_eq!(find("nothing", "result"), None);
    }
}
