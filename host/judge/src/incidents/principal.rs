//! Whom an alert is about, so far as others belong to it: one word.
//!
//! | the alert is | its principal |
//! | --- | --- |
//! | of a rule that reads only what administrators do | `admin:` and the name of who did it, as its row tells; where that was the user itself, or nobody is named, as below |
//! | about a user | `user:` and the name, in lower case |
//! | about an address: a spray, by many names from one place | `ip:` and the address |
//! | about anything else: a phone number, an application, a log | its kind, and its key |
//! | about nothing | none: it is an incident by itself |
//!
//! A user's name, not the key: the older logs have no keys, and one account has each name once. A rule that reads logins beside
//! what administrators do (a bypass code that is made and then used) is about the user: the administrator may have meant well.

use picket_contract::{About, RuleManifest};

/// Logs that tell what administrators do.
const ADMINISTRATION: [&str; 3] = ["admin", "activity", "administrator"];

/// The principal of an alert of a rule. `actor`: who did what raised it, where that is somebody else than the user.
pub(crate) fn principal(rule: &RuleManifest, about: Option<&About>, actor: Option<&str>) -> Option<String> {
    let is_administration = rule
        .sources
        .iter()
        .all(|source| ADMINISTRATION.contains(&source.log.as_str()));
    let actor = actor
        .map(str::trim)
        .filter(|actor| is_administration && !actor.is_empty());
    if let Some(actor) = actor {
        return Some(format!("admin:{}", actor.to_lowercase()));
    }
    let about = about?;
    let (kind, name) = match about.kind.as_str() {
        "user" => ("user", about.name.to_lowercase()),
        "admin" | "actor" => ("admin", about.name.to_lowercase()),
        "ip" | "address" => ("ip", about.key.clone()),
        kind => (kind, about.key.clone()),
    };
    (!name.trim().is_empty()).then(|| format!("{kind}:{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use picket_contract::{Source, When};

    fn reading(logs: &[&str]) -> RuleManifest {
        let source = |log: &&str| Source {
            log: (*log).to_owned(),
            name: String::new(),
            fields: Vec::new(),
            when: When::always(),
        };
        RuleManifest {
            sources: logs.iter().map(source).collect(),
            ..crate::acquaintance::manifest()
        }
    }

    fn about(kind: &str, key: &str, name: &str) -> Option<About> {
        Some(About {
            kind: kind.to_owned(),
            key: key.to_owned(),
            name: name.to_owned(),
        })
    }

    fn of(logs: &[&str], about: Option<About>, actor: Option<&str>) -> Option<String> {
        principal(&reading(logs), about.as_ref(), actor)
    }

    #[test]
    fn a_users_alerts_share_the_user_whatever_log_names_them() {
        let with_key = of(&["authentication"], about("user", "DUADA", "Ada"), None);
        let without = of(&["administrator"], about("user", "ada", "ada"), None);
        assert_eq!((with_key.as_deref(), &without), (Some("user:ada"), &with_key));
    }

    #[test]
    fn what_an_administrator_does_is_the_administrators() {
        let ada = || about("user", "DUADA", "ada");
        assert_eq!(of(&["admin"], ada(), Some("Harry ")).as_deref(), Some("admin:harry"));
        assert_eq!(of(&["admin"], None, Some("Harry")).as_deref(), Some("admin:harry"));
        assert_eq!(
            of(&["admin"], ada(), None).as_deref(),
            Some("user:ada"),
            "she did it herself"
        );
        let both = of(&["admin", "authentication"], ada(), Some("Harry"));
        assert_eq!(both.as_deref(), Some("user:ada"));
    }

    #[test]
    fn a_spray_is_its_addresss_and_anything_else_its_own() {
        let ip = about("ip", "203.0.113.9", "203.0.113.9");
        assert_eq!(of(&["authentication"], ip, None).as_deref(), Some("ip:203.0.113.9"));
        let application = about("application", "DIVPN", "VPN");
        assert_eq!(
            of(&["authentication"], application, None).as_deref(),
            Some("application:DIVPN")
        );
        assert_eq!(of(&["authentication"], None, None), None);
        assert_eq!(of(&["authentication"], about("user", "", ""), None), None);
    }
}
