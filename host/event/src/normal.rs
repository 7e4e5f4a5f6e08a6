//! Normalisation: what a rule sees of a text, computed once for each distinct text of a page.
//!
//! Version 3 ([`VERSION`]). The received spelling stays readable at `raw.<path>`. What a text becomes stays as it is when it is
//! normalised once more.
//!
//! **Null words** become null:
//!
//! | where | words |
//! | --- | --- |
//! | every text | empty, or white space alone |
//! | `hostname`, `ood_software`, `epkey`, `location` and below, `auth_device.name`, `flash_version`, `java_version`, every enumerated field | `null`, `-` |
//! | `hostname`, `ood_software`, `location` and below, `alias`, `email`, `browser`, `browser_version`, `os`, `os_version`, `security_agents`, `management_agents`, every bool field | `null`, `-`, `unknown` |
//! | `factor` | `n/a` |
//! | every address | what is no address; `0.0.0.0` and `::` |
//!
//! (in any case; `trusted_endpoint_status` keeps `unknown`, which is one of its values, and a user may be called `null`).
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
//! | `factor`, `remembered_factor` | `webauthn_touch_id`, `webauthn_chrome_touchid` | `webauthn_chrome_touch_id` |
//! | `factor`, `remembered_factor` | `verified_push` | `verified_duo_push` |
//! | activity's `action.name` | `admin_reactivates_duo_push` | `admin_rectivates_duo_push` |
//! | administrator's `action` | `admin_rectivates_duo_push` | `admin_reactivates_duo_push` |
//! | trust_monitor's `type` | `bypass_status_enabled` | `bypass_status` |
//!
//! Duo's own misspelling stays in the log where Duo has it, as rules and other products know it so.
//!
//! **Addresses** are canonical, without port ([`crate::canonical_address`]). What stands in their place and is no address may be
//! a host name: `access_device.ip_hostname`.
//!
//! **Phone numbers** (`phone`, `number`, what the catalogue calls one) are canonical and then a pseudonym ([`crate::Mask`]), and
//! so is each that stands in a label, in JSON or in text where one may stand; `auth_device.number` is the one number inside a
//! device's name. Derived of a number are `.country`, `.prefix` and `.tail`.
//!
//! **Times** (`ts`, `isotimestamp`) lose stray white space; a number is told as RFC 3339.

use picket_catalogue::{Kind, Part, Phone};

use crate::address::{canonical_address, host_name, is_canonical_ipv4, network};
use crate::number;
use crate::phone::Mask;
use crate::time::{epoch_to_ms, joined, rfc3339, rfc3339_to_ms};
use crate::v1;

/// Version of the tables above. Part of what judges.
pub const VERSION: u32 = 3;

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
    /// What is no address, if it may be a host name.
    Host,
    /// A phone number.
    Phone(Shown),
    /// The phone number inside a device's name.
    Inside(Shown),
    /// Text in which phone numbers may stand, each by its pseudonym.
    Holds(NullWords, Phone),
    /// RFC 3339.
    Time,
    /// Administrator v1's action under activity's name.
    V1Action,
    /// Administrator v1's `username` as activity's `actor.type`.
    V1ActorType,
    /// Administrator v1's `action` as activity's `target.type`.
    V1TargetType,
    /// Administrator v1's `action` as activity's `outcome.result`.
    V1Outcome,
}

/// What of a phone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Shown {
    Pseudonym,
    Clear,
    Part(Part),
}

/// Which words mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NullWords {
    Empty,
    /// `null`, `-`.
    Null,
    /// `null`, `-`, `unknown`.
    Unknown,
}

/// Which words mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Aliases {
    None,
    Result,
    Reason,
    Factor,
    /// `action.name` of activity and `admin`.
    Action,
    /// `action` of administrator.
    V1Action,
    /// `type` of trust_monitor.
    Surfaced,
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
            Some(field) if field.enumerated => Mapping::Word(match (log, last) {
                ("administrator", "action") => Aliases::V1Action,
                ("trust_monitor", "type") => Aliases::Surfaced,
                (_, "result") => Aliases::Result,
                (_, "reason") => Aliases::Reason,
                (_, "factor" | "remembered_factor") => Aliases::Factor,
                _ if path == "action.name" => Aliases::Action,
                _ => Aliases::None,
            }),
            Some(field) if field.address => Mapping::Address,
            Some(field) if field.kind == Kind::Bool => Mapping::Plain(NullWords::Unknown),
            _ => match last {
                "ts" | "isotimestamp" => Mapping::Time,
                "hostname" | "ood_software" | "location" | "alias" | "email" | "browser" | "browser_version" | "os"
                | "os_version" | "security_agents" | "management_agents" => Mapping::Plain(NullWords::Unknown),
                "city" | "country" | "state" if path.contains("location.") => Mapping::Plain(NullWords::Unknown),
                "epkey" | "flash_version" | "java_version" => Mapping::Plain(NullWords::Null),
                "name" if path.ends_with("auth_device.name") => Mapping::Plain(NullWords::Null),
                _ => Mapping::Plain(NullWords::Empty),
            },
        }
        .guarded(log, path)
    }

    /// The same with phone numbers masked, if the catalogue says that they are or may stand at the path.
    pub(crate) fn guarded(self, log: &str, path: &str) -> Self {
        match (picket_catalogue::phone(log, path), self) {
            (Phone::Number, _) => Mapping::Phone(Shown::Pseudonym),
            (phone @ (Phone::Label | Phone::Within), Mapping::Plain(words)) => Mapping::Holds(words, phone),
            _ => self,
        }
    }

    /// The same with phone numbers in clear.
    pub(crate) fn clear(self) -> Self {
        match self {
            Mapping::Phone(Shown::Pseudonym) => Mapping::Phone(Shown::Clear),
            Mapping::Inside(Shown::Pseudonym) => Mapping::Inside(Shown::Clear),
            Mapping::Holds(words, _) => Mapping::Plain(words),
            other => other,
        }
    }

    /// Of a phone number what the host derives from it.
    pub(crate) fn part(self, part: Part) -> Self {
        match self {
            Mapping::Inside(_) => Mapping::Inside(Shown::Part(part)),
            _ => Mapping::Phone(Shown::Part(part)),
        }
    }

    /// Whether it hides phone numbers from what reads numbers.
    pub(crate) fn hides_digits(self) -> bool {
        matches!(self, Mapping::Phone(shown) | Mapping::Inside(shown) if shown != Shown::Clear)
    }

    /// Whether it is for texts alone: what is no text in the JSON is as it is.
    pub(crate) fn is_for_texts(self) -> bool {
        matches!(self, Mapping::Holds(_, Phone::Within))
    }

    pub(crate) fn apply(self, text: &str, mask: &Mask) -> Mapped {
        match self {
            Mapping::Plain(words) if words.holds(text) => Mapped::Null,
            Mapping::Plain(_) => Mapped::Same,
            Mapping::Word(aliases) => aliases.apply(text),
            Mapping::Address if is_canonical_ipv4(text) => Mapped::Same,
            Mapping::Address => Mapped::from(canonical_address(text)),
            Mapping::Network => Mapped::from(network(text)),
            Mapping::Host => Mapped::from(host_name(text)),
            Mapping::Phone(_) if NullWords::Unknown.holds(text) => Mapped::Null,
            Mapping::Phone(shown) => shown.of(text, mask),
            Mapping::Inside(shown) => {
                number::inside(text)
                    .or_else(|| mask.pseudonym_in(text))
                    .map_or(Mapped::Null, |number| match shown.of(&number, mask) {
                        Mapped::Same => Mapped::Text(number),
                        other => other,
                    })
            }
            Mapping::Holds(words, _) if words.holds(text) => Mapped::Null,
            Mapping::Holds(_, phone) => match mask.text(phone, text) {
                masked if masked == text => Mapped::Same,
                masked => Mapped::Text(masked),
            },
            Mapping::Time => time(text),
            Mapping::V1Action => Mapped::from(word(text).map(|action| v1::action(&action).to_owned())),
            Mapping::V1ActorType => Mapped::from(v1::actor_type(text).map(str::to_owned)),
            Mapping::V1TargetType => Mapped::from(
                word(text)
                    .and_then(|action| v1::target_type(&action))
                    .map(str::to_owned),
            ),
            Mapping::V1Outcome => Mapped::from(word(text).and_then(|action| v1::outcome(&action)).map(str::to_owned)),
        }
    }
}

impl Shown {
    fn of(self, text: &str, mask: &Mask) -> Mapped {
        match self {
            Shown::Pseudonym => Mapped::Text(mask.number(text)),
            Shown::Clear => number::canonical(text).map_or(Mapped::Same, Mapped::Text),
            Shown::Part(part) => Mapped::from(mask.part(text, part)),
        }
    }
}

impl From<Option<String>> for Mapped {
    fn from(text: Option<String>) -> Self {
        text.map_or(Mapped::Null, Mapped::Text)
    }
}

impl NullWords {
    pub(crate) fn holds(self, text: &str) -> bool {
        let text = text.trim();
        let is = |word: &str| text.eq_ignore_ascii_case(word);
        text.is_empty()
            || match self {
                NullWords::Empty => false,
                NullWords::Null => is("null") || is("-"),
                NullWords::Unknown => is("null") || is("-") || is("unknown"),
            }
    }
}

impl Aliases {
    fn apply(self, text: &str) -> Mapped {
        let Some(word) = word(text).filter(|word| !NullWords::Null.holds(word)) else {
            return Mapped::Null;
        };
        let alias = match (self, word.as_str()) {
            (Aliases::Result, "failure" | "failed") => "denied",
            (Aliases::Result, "marked_as_fraud") => "fraud",
            (Aliases::Reason, "touchid_disabled") => "touch_id_disabled",
            (Aliases::Reason, "user_canceled") => "user_cancelled",
            (Aliases::Reason, "marked_fraud" | "user_marked_as_fraud") => "user_marked_fraud",
            (Aliases::Factor, "yubikey_passcode") => "yubikey_code",
            (Aliases::Factor, "webauthn_touch_id" | "webauthn_chrome_touchid") => "webauthn_chrome_touch_id",
            (Aliases::Factor, "verified_push") => "verified_duo_push",
            (Aliases::Factor, "n/a") => return Mapped::Null,
            (Aliases::Action, "admin_reactivates_duo_push") => "admin_rectivates_duo_push",
            (Aliases::V1Action, "admin_rectivates_duo_push") => "admin_reactivates_duo_push",
            (Aliases::Surfaced, "bypass_status_enabled") => "bypass_status",
            _ => return if word == text { Mapped::Same } else { Mapped::Text(word) },
        };
        Mapped::Text(alias.to_owned())
    }
}

/// Lower case, one underscore for each run of white space. None: empty.
pub(crate) fn word(text: &str) -> Option<String> {
    let mut parts = text.split_whitespace();
    let mut word = parts.next()?.to_lowercase();
    for part in parts {
        word.push('_');
        word.push_str(&part.to_lowercase());
    }
    Some(word)
}

/// RFC 3339 as it came, but for stray white space; a number told as RFC 3339; what is neither, as it is.
fn time(text: &str) -> Mapped {
    if text.trim().is_empty() {
        return Mapped::Null;
    }
    if let Ok(number) = text.trim().parse() {
        return epoch_to_ms(number).map_or(Mapped::Same, |ms| Mapped::Text(rfc3339(ms)));
    }
    match joined(text) {
        Some(joined) if rfc3339_to_ms(&joined).is_some() => Mapped::Text(joined),
        _ => Mapped::Same,
    }
}

#[cfg(test)]
mod tests;
