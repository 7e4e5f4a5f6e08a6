//! Which Duo user an event is about.
//!
//! | log | `subject.user` | `subject.key` |
//! | --- | --- | --- |
//! | authentication | `user.name` | `user.key` |
//! | offline_enrollment | `username` | null |
//! | changes of the inventory (`user`, `phone`, ...) | `user.name`: whose the object is | `user.key` |
//! | trust_monitor | whose login surfaced, else whose bypass was turned on | their key |
//! | activity, administrator, admin: the target is a user | its name | its key, if it is a `DU...` |
//! | ... else its details name a user (`uname`, `username`, `user_id`), and it is no administrator | that | that |
//! | ... else the inventory knows the target's owner | the owner | null |
//! | ... else the actor is a user | the actor | the actor's key |
//! | ... else, telephony and collector | null | null |
//!
//! The target is a user if its type is `user`, `user_bypass` or another `user_...` (not `user_bulk...`: that is many), or, where
//! it has no type, if the action's name says so (`user_delete`, `bypass_create`).
//!
//! The name joins the logs, since activity often has nothing else; the key survives a renaming.

use picket_contract::manifest::Field;
use picket_contract::{FieldType, NULL, Source, When};

use crate::Plan;
use crate::dictionary::Dictionary;
use crate::plan::Enrichment;
use crate::single::Readers;
use crate::v1;

/// The Duo user an event is about: a name, a key, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `DU...`, where known.
    pub key: Option<String>,
    /// User name, where known.
    pub name: Option<String>,
}

/// The Duo user that one event of a log (Duo's own, or `admin`) is about, without an inventory.
#[must_use]
pub fn subject(log: &str, raw_json: &str) -> Option<Subject> {
    const PATHS: [&str; 2] = ["subject.user", "subject.key"];
    static READERS: Readers = Readers::new(|| {
        let sources: Vec<Source> = picket_catalogue::logs()
            .iter()
            .map(|log| texts(log.name, &PATHS))
            .collect();
        Plan::new(&sources)
    });
    let [name, key] = READERS.read(log, log, raw_json, |row, _| {
        PATHS.map(|path| row.text(path).map(str::to_owned))
    });
    (name.is_some() || key.is_some()).then_some(Subject { key, name })
}

/// A source that reads these paths as text.
pub(crate) fn texts(log: &str, paths: &[&str]) -> Source {
    let field = |path: &&str| Field {
        path: (*path).to_owned(),
        kind: FieldType::Text,
        required: false,
    };
    Source {
        log: log.to_owned(),
        name: String::new(),
        fields: paths.iter().map(field).collect(),
        when: When::always(),
    }
}

/// What an administrative event says, by code.
pub(crate) struct Acted {
    pub(crate) action: u32,
    pub(crate) target_type: u32,
    pub(crate) target_name: u32,
    pub(crate) target_key: u32,
    pub(crate) details_user: u32,
    pub(crate) details_key: u32,
    pub(crate) actor_type: u32,
    pub(crate) actor_name: u32,
    pub(crate) actor_key: u32,
}

/// Codes of the user's name and key.
pub(crate) fn about(acted: &Acted, dictionary: &mut Dictionary, enrichment: &Enrichment) -> (u32, u32) {
    let text = |code: u32| dictionary.text(code);
    let user_key = |code: u32| {
        if text(code).is_some_and(|key| key.starts_with("DU")) {
            code
        } else {
            NULL
        }
    };
    let or = |one: u32, other: u32| if one == NULL { other } else { one };
    let target_type = text(acted.target_type).or_else(|| v1::target_type(text(acted.action)?));
    let sort = target_type.unwrap_or("");
    let details_key = user_key(acted.details_key);
    if sort == "user" || (sort.starts_with("user_") && !sort.starts_with("user_bulk")) {
        let user = (
            or(acted.target_name, acted.details_user),
            or(user_key(acted.target_key), details_key),
        );
        if user != (NULL, NULL) {
            return user;
        }
    }
    let detailed = (acted.details_user, details_key);
    if detailed != (NULL, NULL) && !sort.starts_with("admin") {
        return detailed;
    }
    if !enrichment.owners.is_empty() {
        let mut names = [acted.target_key, acted.target_name].into_iter().filter_map(text);
        if let Some(owner) = names.find_map(|name| enrichment.owners.get(name)) {
            return (dictionary.intern(owner), NULL);
        }
    }
    if text(acted.actor_type) == Some("user") {
        return (acted.actor_name, acted.actor_key);
    }
    (NULL, NULL)
}

#[cfg(test)]
mod tests {
    use picket_contract::EventRecord;

    use super::*;

    fn named(name: Option<&str>, key: Option<&str>) -> Option<Subject> {
        Some(Subject {
            key: key.map(str::to_owned),
            name: name.map(str::to_owned),
        })
    }

    #[test]
    fn whom_events_are_about() {
        for (log, raw, expected) in [
            (
                "authentication",
                r#"{"user":{"name":"ada","key":"DUADA"}}"#,
                named(Some("ada"), Some("DUADA")),
            ),
            ("authentication", r#"{"user":{"name":"","key":null}}"#, None),
            (
                "activity",
                r#"{"action":{"name":"bypass_create"},"actor":{"type":"admin","name":"Harry"},"target":{"type":"user_bypass","name":"ada","key":"BC1"}}"#,
                named(Some("ada"), None),
            ),
            (
                "activity",
                r#"{"action":{"name":"user_update"},"target":{"type":"user","name":"ada","key":"DUADA"}}"#,
                named(Some("ada"), Some("DUADA")),
            ),
            (
                "activity",
                r#"{"action":{"name":"bypass_create"},"target":{"name":"ada"}}"#,
                named(Some("ada"), None),
            ),
            (
                "activity",
                r#"{"action":{"name":"webauthncredential_create"},"actor":{"type":"user","name":"ada","key":"DUADA"},"target":{"type":"webauthn_credential"}}"#,
                named(Some("ada"), Some("DUADA")),
            ),
            (
                "activity",
                r#"{"action":{"name":"phone_delete"},"actor":{"type":"admin","name":"Harry"},"target":{"type":"phone","name":"+1 555 0100","details":"{\"user_id\":\"DUADA\",\"username\":\"ada\"}"}}"#,
                named(Some("ada"), Some("DUADA")),
            ),
            (
                "activity",
                r#"{"action":{"name":"admin_create"},"actor":{"type":"admin","name":"Harry"},"target":{"type":"admin","name":"Eve","details":"{\"uname\":\"eve\"}"}}"#,
                None,
            ),
            (
                "administrator",
                r#"{"action":"bypass_create","username":"Harry","object":"ada","description":"{\"user_id\":\"DUADA\"}"}"#,
                named(Some("ada"), Some("DUADA")),
            ),
            (
                "administrator",
                r#"{"action":"admin_login","username":"Harry","object":null}"#,
                None,
            ),
            (
                "administrator",
                r#"{"action":"user_bulk_enroll","username":"Harry","object":"12 users"}"#,
                None,
            ),
            ("offline_enrollment", r#"{"username":"ada"}"#, named(Some("ada"), None)),
            ("telephony", r#"{"phone":"+15035550100"}"#, None),
            (
                "trust_monitor",
                r#"{"type":"auth","surfaced_auth":{"user":{"name":"ada","key":"DUADA"}}}"#,
                named(Some("ada"), Some("DUADA")),
            ),
            (
                "trust_monitor",
                r#"{"type":"bypass_status","enabled_by":{"name":"Harry"},"enabled_for":{"name":"ada","key":"DUADA"}}"#,
                named(Some("ada"), Some("DUADA")),
            ),
            ("collector", r#"{"log":"telephony","event":"gap"}"#, None),
            (
                "phone",
                r#"{"change":"deleted","user":{"key":"DUADA","name":"ada"},"before":{"phone_id":"DP1"}}"#,
                named(Some("ada"), Some("DUADA")),
            ),
            ("policy", r#"{"change":"updated","user":null}"#, None),
            ("telephony", "broken", None),
        ] {
            assert_eq!(subject(log, raw), expected, "{raw}");
        }
    }

    #[test]
    fn an_owner_is_found_by_the_phones_key() {
        let plan = Plan::new(&[texts("activity", &["subject.user"])]).enriched(Enrichment {
            owners: [("DPX1".to_owned(), "ada".to_owned())].into(),
        });
        let raw = r#"{"action":{"name":"phone_delete"},"actor":{"type":"user","name":"eve"},"target":{"type":"phone","key":"DPX1"}}"#;
        let page = plan.parse(
            "activity",
            "activity",
            &[EventRecord {
                id: "1".into(),
                time: 0,
                raw: raw.into(),
            }],
        );
        assert_eq!(page.text(0, "subject.user"), Some("ada"));
    }
}
