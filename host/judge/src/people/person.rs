//! A user as the inventory has them, made fit to leave the house: phone numbers by their pseudonyms, serial numbers by their tail,
//! nothing that a terminal obeys.

use picket_event::{Mask, clean, mask_numbers, rfc3339};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// Most groups and factors that are named; who has more is told by the first of them.
const MOST: usize = 20;

/// A Duo user. What is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Person {
    /// `DU...`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// User name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_name: Option<String>,
    /// E-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// `active`, `bypass`, `disabled`, `locked out`, `pending deletion`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Whether they have a second factor at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrolled: Option<bool>,
    /// Names of the groups: all of them, though only the first are told.
    #[serde(serialize_with = "first")]
    pub groups: Vec<String>,
    /// What they can authenticate with.
    pub factors: Vec<Factor>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_login: Option<String>,
    /// When a snapshot last found other factors than the one before, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factors_changed: Option<String>,
}

/// Something to authenticate with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Factor {
    /// `phone`, `token`, `webauthn`.
    pub kind: &'static str,
    /// Of a phone `Mobile`, `Landline`; of a token `h6`, ...; of a WebAuthn credential `Security Key`, `Touch ID`, ...
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub sort: Option<String>,
    /// A phone's platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The number's pseudonym, the serial's tail, the credential's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Person {
    /// From a row of the inventory's users. None: it is no object. `mask`: what the tenant's phone numbers are masked with.
    #[must_use]
    pub fn read(json: &str, mask: &Mask) -> Option<Self> {
        let row: Map<String, Value> = serde_json::from_str(json).ok()?;
        let text = |row: &Map<String, Value>, name: &str| text(row, name, mask);
        let seconds = |name: &str| {
            let seconds = row.get(name)?.as_i64().filter(|seconds| *seconds > 0)?;
            Some(rfc3339(seconds.checked_mul(1000)?))
        };
        let groups = list(&row, "groups").filter_map(|group| text(group, "name"));
        let phones = list(&row, "phones").map(|phone| Factor {
            kind: "phone",
            sort: text(phone, "type"),
            platform: text(phone, "platform"),
            name: text(phone, "number").or_else(|| text(phone, "name")),
        });
        let tokens = list(&row, "tokens").map(|token| Factor {
            kind: "token",
            sort: text(token, "type"),
            platform: None,
            name: serial(token),
        });
        let credentials = list(&row, "webauthncredentials").map(|credential| Factor {
            kind: "webauthn",
            sort: text(credential, "label"),
            platform: None,
            name: text(credential, "credential_name"),
        });
        Some(Person {
            key: text(&row, "user_id"),
            name: text(&row, "username"),
            real_name: text(&row, "realname"),
            email: text(&row, "email"),
            status: text(&row, "status"),
            enrolled: row.get("is_enrolled").and_then(Value::as_bool),
            groups: groups.collect(),
            factors: phones.chain(tokens).chain(credentials).take(MOST).collect(),
            created: seconds("created"),
            last_login: seconds("last_login"),
            factors_changed: None,
        })
    }
}

fn first<S: Serializer>(groups: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(groups.iter().take(MOST))
}

fn list<'a>(row: &'a Map<String, Value>, name: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    let list = row.get(name).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_object)
}

fn text(row: &Map<String, Value>, name: &str, mask: &Mask) -> Option<String> {
    let text = row.get(name)?.as_str()?.trim();
    let text = match name {
        // Keys are no numbers, and must stay searchable.
        "user_id" | "username" | "email" => clean(text).into_owned(),
        "number" => clean(&mask.number(text)).into_owned(),
        _ => clean(&mask.label(text)).into_owned(),
    };
    (!text.is_empty()).then_some(text)
}

fn serial(token: &Map<String, Value>) -> Option<String> {
    let text = clean(&mask_numbers(token.get("serial")?.as_str()?.trim())).into_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_without_numbers() {
        let row = r#"{"user_id":"DUADA","username":"ada","realname":"Ada Lovelace","email":"ada@acme.example","status":"active",
            "is_enrolled":true,"created":1489612729,"last_login":0,"groups":[{"group_id":"DG1","name":"VPN"},{"name":""}],
            "phones":[{"phone_id":"DP1","number":"+15035550142","type":"Mobile","platform":"Apple iOS"}],
            "tokens":[{"serial":"1234567","type":"h6"}],
            "webauthncredentials":[{"credential_name":"blue \u001b[31mkey","label":"Security Key"}]}"#;
        let person = Person::read(row, &Mask::substitute()).unwrap();
        let json = serde_json::to_value(&person).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "key": "DUADA", "name": "ada", "real_name": "Ada Lovelace", "email": "ada@acme.example", "status": "active",
                "enrolled": true, "created": "2017-03-15T21:18:49.000Z", "groups": ["VPN"],
                "factors": [
                    {"kind": "phone", "type": "Mobile", "platform": "Apple iOS", "name": Mask::substitute().number("+15035550142")},
                    {"kind": "token", "type": "h6", "name": "•••4567"},
                    {"kind": "webauthn", "type": "Security Key", "name": "blue \\u{1b}[31mkey"},
                ],
            })
        );
    }

    #[test]
    fn odd_rows_are_told_as_far_as_they_go() {
        let person = Person::read(
            r#"{"username":"ada","groups":null,"phones":[7,{"number":null}],"last_login":"x"}"#,
            &Mask::substitute(),
        )
        .unwrap();
        assert_eq!(
            (person.groups.len(), person.factors.len(), person.last_login),
            (0, 1, None)
        );
        assert_eq!(Person::read("[]", &Mask::substitute()), None);
    }
}
