//! Normalisation: what a rule sees of a text, computed once for each distinct text of a page.
//!
//! Version 1 ([`VERSION`]). The received spelling stays readable at `raw.<path>`.
//!
//! **Null words** become null:
//!
//! | where | words |
//! | --- | --- |
//! | every text | empty, or white space alone |
//! | `hostname`, `ood_software` | `null` |
//! | `*.location.city`, `.country`, `.state` | `-` |
//! | `alias`, `email`, `security_agents`, `management_agents` | `unknown` |
//! | `browser`, `browser_version`, `os`, `os_version` | `unknown`, `-` |
//! | `factor` | `n/a` |
//! | every bool field | `unknown` |
//! | every address | what is no address; `0.0.0.0` and `::` |
//!
//! (in any case; `trusted_endpoint_status` keeps `unknown`, which is one of its values).
//!
//! **Enumerated fields** (those the catalogue marks) lose white space at the ends, become lower case with underscores for
//! spaces, and then:
//!
//! | field | received | becomes |
//! | --- | --- | --- |
//! | `result` | `failure`, `failed` | `denied` |
//! | `result` | `marked_as_fraud` | `fraud` |
//! | `reason` | `touchid_disabled` | `touch_id_disabled` |
//! | `reason` | `user_canceled` | `user_cancelled` |
//! | `reason` | `marked_fraud`, `user_marked_as_fraud` | `user_marked_fraud` |
//! | `factor`, `remembered_factor` | `yubikey_passcode` | `yubikey_code` |
//!
//! Duo's own misspelling `admin_rectivates_duo_push` stays, as rules and other products know it so.
//!
//! **Addresses** are canonical, without port ([`crate::canonical_address`]).

use picket_catalogue::Kind;

use crate::address::{canonical_address, network};
use crate::v1;

/// Version of the tables above. Part of what judges.
pub const VERSION: u32 = 1;

/// How the texts of one field are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mapping {
    /// Null words only.
    Plain(NullWords),
    /// Enumerated.
    Word(Aliases),
    /// Canonical address.
    Address,
    /// The address's network.
    Network,
    /// Administrator v1's action under activity's name.
    V1Action,
    /// Administrator v1's `username` as activity's `actor.type`.
    V1ActorType,
    /// Administrator v1's `action` as activity's `target.type`.
    V1TargetType,
    /// Administrator v1's `action` as activity's `outcome.result`.
    V1Outcome,
}

/// Which words mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NullWords {
    Empty,
    Null,
    Dash,
    Unknown,
    UnknownOrDash,
}

/// Which words mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Aliases {
    None,
    Result,
    Reason,
    Factor,
}

/// What becomes of a text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    Same,
    Null,
    Text(String),
}

impl Mapping {
    /// How a field is read, by the catalogue and the tables above.
    pub(crate) fn of(log: &str, path: &str) -> Self {
        let last = path.rsplit('.').next().unwrap_or(path);
        match picket_catalogue::find(log, path) {
            Some(field) if field.enumerated => Mapping::Word(match last {
                "result" => Aliases::Result,
                "reason" => Aliases::Reason,
                "factor" | "remembered_factor" => Aliases::Factor,
                _ => Aliases::None,
            }),
            Some(field) if field.address => Mapping::Address,
            Some(field) if field.kind == Kind::Bool => Mapping::Plain(NullWords::Unknown),
            _ => Mapping::Plain(match last {
                "hostname" | "ood_software" => NullWords::Null,
                "city" | "country" | "state" if path.contains("location.") => NullWords::Dash,
                "alias" | "email" | "security_agents" | "management_agents" => NullWords::Unknown,
                "browser" | "browser_version" | "os" | "os_version" => NullWords::UnknownOrDash,
                _ => NullWords::Empty,
            }),
        }
    }

    pub(crate) fn apply(self, text: &str) -> Mapped {
        match self {
            Mapping::Plain(words) if words.holds(text) => Mapped::Null,
            Mapping::Plain(_) => Mapped::Same,
            Mapping::Word(aliases) => aliases.apply(text),
            Mapping::Address => Mapped::from(canonical_address(text)),
            Mapping::Network => Mapped::from(network(text)),
            Mapping::V1Action => Mapped::from(word(text).map(|action| v1::action(&action).to_owned())),
            Mapping::V1ActorType => Mapped::Text(v1::actor_type(text).to_owned()),
            Mapping::V1TargetType => Mapped::from(
                word(text)
                    .and_then(|action| v1::target_type(&action))
                    .map(str::to_owned),
            ),
            Mapping::V1Outcome => Mapped::from(word(text).and_then(|action| v1::outcome(&action)).map(str::to_owned)),
        }
    }
}

impl From<Option<String>> for Mapped {
    fn from(text: Option<String>) -> Self {
        text.map_or(Mapped::Null, Mapped::Text)
    }
}

impl NullWords {
    fn holds(self, text: &str) -> bool {
        let text = text.trim();
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        text.is_empty()
            || match self {
                NullWords::Empty => false,
                NullWords::Null => is("null"),
                NullWords::Dash => is("-"),
                NullWords::Unknown => is("unknown"),
                NullWords::UnknownOrDash => is("unknown") || is("-"),
            }
    }
}

impl Aliases {
    fn apply(self, text: &str) -> Mapped {
        let Some(word) = word(text) else { return Mapped::Null };
        let alias = match (self, word.as_str()) {
            (Aliases::Result, "failure" | "failed") => "denied",
            (Aliases::Result, "marked_as_fraud") => "fraud",
            (Aliases::Reason, "touchid_disabled") => "touch_id_disabled",
            (Aliases::Reason, "user_canceled") => "user_cancelled",
            (Aliases::Reason, "marked_fraud" | "user_marked_as_fraud") => "user_marked_fraud",
            (Aliases::Factor, "yubikey_passcode") => "yubikey_code",
            (Aliases::Factor, "n/a") => return Mapped::Null,
            _ => return if word == text { Mapped::Same } else { Mapped::Text(word) },
        };
        Mapped::Text(alias.to_owned())
    }
}

/// Lower case, underscores for spaces. None: empty.
pub(crate) fn word(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_lowercase().replace(char::is_whitespace, "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        for (log, path, received, expected) in [
            ("authentication", "result", "FRAUD", Some("fraud")),
            ("authentication", "result", "FAILURE", Some("denied")),
            ("authentication", "result", "success", Some("success")),
            ("authentication", "result", " ", None),
            ("authentication", "reason", "Anonymous IP", Some("anonymous_ip")),
            (
                "authentication",
                "reason",
                "User marked fraud",
                Some("user_marked_fraud"),
            ),
            (
                "authentication",
                "reason",
                "touchid_disabled",
                Some("touch_id_disabled"),
            ),
            (
                "authentication",
                "factor",
                "WebAuthn Chrome Touch ID",
                Some("webauthn_chrome_touch_id"),
            ),
            ("authentication", "factor", "Yubikey Passcode", Some("yubikey_code")),
            ("authentication", "factor", "n/a", None),
            (
                "authentication",
                "trusted_endpoint_status",
                "not trusted",
                Some("not_trusted"),
            ),
            ("authentication", "trusted_endpoint_status", "unknown", Some("unknown")),
            ("authentication", "access_device.hostname", "null", None),
            ("authentication", "user.name", "null", Some("null")),
            ("authentication", "access_device.location.city", "-", None),
            (
                "authentication",
                "access_device.location.country",
                "Bulgaria",
                Some("Bulgaria"),
            ),
            ("authentication", "alias", "unknown", None),
            ("authentication", "email", "", None),
            ("authentication", "access_device.browser", "Unknown", None),
            ("authentication", "access_device.is_password_set", "unknown", None),
            ("authentication", "access_device.ip", "1.2.3.4:5", Some("1.2.3.4")),
            ("authentication", "access_device.ip", "0.0.0.0", None),
            (
                "activity",
                "action.name",
                "admin_rectivates_duo_push",
                Some("admin_rectivates_duo_push"),
            ),
            ("activity", "outcome.result", "FAILURE", Some("denied")),
            ("activity", "outcome.result", "SUCCESS", Some("success")),
            ("admin", "target.details.status", "Bypass", Some("bypass")),
            (
                "telephony",
                "context",
                "administrator login",
                Some("administrator_login"),
            ),
            ("authentication", "some.new.field", "As It Is", Some("As It Is")),
        ] {
            let mapped = match Mapping::of(log, path).apply(received) {
                Mapped::Same => Some(received.to_owned()),
                Mapped::Null => None,
                Mapped::Text(text) => Some(text),
            };
            assert_eq!(mapped.as_deref(), expected, "{log} {path} {received:?}");
        }
    }
}
