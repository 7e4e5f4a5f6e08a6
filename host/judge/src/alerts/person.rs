//! Who the alert's user is, by the inventory.

use picket_contract::About;
use serde_json::Value;

use super::{Proof, Teller};
use crate::people::Person;

/// Most groups and factors on the line; the JSON has more.
const MOST: usize = 4;

impl Teller<'_> {
    /// The user that the alert is about, else the only one of its evidence.
    pub(super) fn person(&self, about: Option<&About>, proofs: &[Proof<'_>]) -> Option<Person> {
        let key = |key: &str| Some(key.to_owned()).filter(|key| key.starts_with("DU"));
        let (key, name) = match about.filter(|about| about.kind == "user") {
            Some(about) => (key(&about.key), about.name.clone()),
            None => {
                let mut users = proofs
                    .iter()
                    .filter_map(|proof| Some((proof.told.user.as_deref()?, proof)));
                let (name, first) = users.next()?;
                if users.any(|(other, _)| other != name) {
                    return None;
                }
                (first.told.user_key.clone(), name.to_owned())
            }
        };
        self.people.find(key.as_deref(), Some(name.as_str()))
    }
}

/// `Ada Lovelace, ada@acme.example, active; groups VPN, Staff; factors phone •••0142 (Apple iOS), Security Key`.
pub(super) fn line(user: &Value) -> String {
    let of = |name: &str| user.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let day = |name: &str| Some(of(name)?.split('T').next().unwrap_or_default());
    let who: Vec<&str> = ["real_name", "email", "status"].into_iter().filter_map(of).collect();
    let mut parts = vec![who.join(", ")];
    parts.extend(
        listed(user, "groups", |group| group.as_str().map(str::to_owned)).map(|groups| format!("groups {groups}")),
    );
    match listed(user, "factors", factor) {
        Some(factors) => parts.push(format!("factors {factors}")),
        None => parts.push("no factors".to_owned()),
    }
    parts.extend(day("last_login").map(|day| format!("last login {day}")));
    parts.extend(
        of("factors_changed").map(|at| format!("factors changed by {}Z", at.get(..16).unwrap_or(at).replace('T', " "))),
    );
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

fn listed(user: &Value, name: &str, told: impl Fn(&Value) -> Option<String>) -> Option<String> {
    let list = user.get(name)?.as_array()?;
    let mut all: Vec<String> = list.iter().filter_map(told).collect();
    let more = all.len().saturating_sub(MOST);
    all.truncate(MOST);
    if more > 0 {
        all.push(format!("{more} more"));
    }
    (!all.is_empty()).then(|| all.join(", "))
}

fn factor(factor: &Value) -> Option<String> {
    let of = |name: &str| factor.get(name).and_then(Value::as_str);
    let (sort, name) = (of("type"), of("name"));
    Some(match of("kind")? {
        "phone" => {
            let platform = of("platform")
                .map(|platform| format!(" ({platform})"))
                .unwrap_or_default();
            format!(
                "{} {}{platform}",
                sort.unwrap_or("phone").to_lowercase(),
                name.unwrap_or("without number")
            )
        }
        "webauthn" => sort.or(name).unwrap_or("security key").to_owned(),
        _ => format!("token {}", name.or(sort).unwrap_or_default())
            .trim_end()
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_fits_on_a_line() {
        let user = json!({
            "key": "DUADA", "name": "ada", "real_name": "Ada Lovelace", "email": "ada@acme.example", "status": "active",
            "groups": ["a", "b", "c", "d", "e", "f"],
            "factors": [
                {"kind": "phone", "type": "Mobile", "platform": "Apple iOS", "name": "•••0142"},
                {"kind": "webauthn", "type": "Security Key", "name": "blue"},
                {"kind": "token", "type": "h6", "name": "•••4567"},
            ],
            "last_login": "2026-11-20T07:00:00.000Z", "factors_changed": "2026-11-21T09:30:00.000Z",
        });
        assert_eq!(
            line(&user),
            "Ada Lovelace, ada@acme.example, active; groups a, b, c, d, 2 more; factors mobile •••0142 (Apple iOS), \
             Security Key, token •••4567; last login 2026-11-20; factors changed by 2026-11-21 09:30Z"
        );
        assert_eq!(line(&json!({"status": "bypass", "factors": []})), "bypass; no factors");
    }
}
