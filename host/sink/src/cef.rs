//! Alerts in the Common Event Format, with the keys that Cisco's duo_log_sync uses, so that what a SIEM makes of those it makes
//! of these.
//!
//! `CEF:0|Duo Security|Picket|VERSION|RULE|TITLE|SEVERITY|key=value ...`. In the header `\` and `|` are escaped, in values `\`,
//! `=` and line breaks; a value ends where the next ` key=` begins, so blanks at its end do not count and are left out. There
//! are six `cs` fields, and what has no key of its own is left out: the timeline, the steps, parameters and raw rows are in JSON
//! only.

use picket_contract::Severity;
use picket_store::OutboxRow;
use serde_json::Value;

/// Event ids named; the JSON has all.
const MOST_EVENTS: usize = 20;

/// One alert on one line.
#[must_use]
pub(crate) fn cef(row: &OutboxRow) -> String {
    let alert: Value = serde_json::from_str(&row.json).unwrap_or_default();
    let text = |pointer: &str| match alert.pointer(pointer) {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let millis = |pointer: &str| {
        Some(
            text(pointer)?
                .parse::<jiff::Timestamp>()
                .ok()?
                .as_millisecond()
                .to_string(),
        )
    };
    let entity = |kind: &str| {
        let entities = alert.get("entities").and_then(Value::as_array)?;
        let found = entities
            .iter()
            .find(|entity| entity.get("kind") == Some(&kind.into()))?;
        found.get("value").and_then(Value::as_str).map(str::to_owned)
    };
    let about = |kind: &str| {
        let about = alert.get("about")?;
        let name = about.get("name").and_then(Value::as_str)?;
        (about.get("kind") == Some(&kind.into())).then(|| name.to_owned())
    };
    let facts = alert.get("facts").and_then(Value::as_object).map(|facts| {
        let one = |(name, value): (&String, &Value)| format!("{name}: {}", value.as_str().unwrap_or_default());
        facts.iter().map(one).collect::<Vec<_>>().join("; ")
    });
    let techniques = list(&alert, "/attack/techniques");
    let events = list(&alert, "/events");
    let mut shown = events.iter().take(MOST_EVENTS).cloned().collect::<Vec<_>>().join(",");
    if events.len() > MOST_EVENTS {
        shown.push_str(&format!(",and {} more", events.len() - MOST_EVENTS));
    }
    let numbered = [
        ("cs1", "tenant", Some(row.tenant.to_string())),
        ("cs2", "rule_version", text("/rule/version")),
        ("cs3", "incident", text("/incident/id")),
        ("cs4", "technique", techniques.first().cloned()),
        ("cs5", "event_ids", Some(shown)),
        ("cs6", "url", text("/links/user")),
        ("cn1", "page", Some(u8::from(row.page).to_string())),
    ];
    let mut extension = vec![
        ("externalId", Some(row.alert.to_string())),
        ("rt", millis("/raised").or_else(|| Some(row.raised.to_string()))),
        ("start", millis("/happened/first")),
        ("end", millis("/happened/last")),
        ("cnt", Some(events.len().max(1).to_string())),
        ("src", about("ip").or_else(|| entity("ip"))),
        ("suser", entity("actor")),
        ("duser", about("user").or_else(|| entity("user"))),
        ("outcome", text("/outcome")),
        ("reason", text("/rule/title")),
        ("msg", facts),
        ("cat", techniques.first().cloned()),
        ("deviceExternalId", entity("application")),
    ];
    for (key, label, value) in numbered {
        let value = value.filter(|value| !value.trim().is_empty());
        extension.push((key, value.clone()));
        let key = match key {
            "cs1" => "cs1Label",
            "cs2" => "cs2Label",
            "cs3" => "cs3Label",
            "cs4" => "cs4Label",
            "cs5" => "cs5Label",
            "cs6" => "cs6Label",
            _ => "cn1Label",
        };
        extension.push((key, value.map(|_| label.to_owned())));
    }
    let header = [
        "Duo Security".to_owned(),
        "Picket".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
        row.rule.to_string(),
        text("/title").unwrap_or_else(|| row.alert.to_string()),
        level(row.severity).to_string(),
    ];
    let extension = extension.into_iter().filter_map(|(key, value)| Some((key, value?)));
    line(&header, extension)
}

/// A line of its parts: six of the header, then keys and values.
pub(crate) fn line<'a>(header: &[String], extension: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut line = "CEF:0".to_owned();
    for part in header {
        line.push('|');
        for letter in part.trim().chars() {
            match letter {
                '\\' | '|' => line.extend(['\\', letter]),
                '\n' | '\r' => line.push(' '),
                letter => line.push(letter),
            }
        }
    }
    line.push('|');
    let mut is_first = true;
    for (key, value) in extension {
        let value = value.trim();
        if value.is_empty() {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            line.push(' ');
        }
        line.push_str(key);
        line.push('=');
        for letter in value.chars() {
            match letter {
                '\\' | '=' => line.extend(['\\', letter]),
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                letter => line.push(letter),
            }
        }
    }
    line
}

/// 0 to 10.
fn level(severity: Severity) -> u8 {
    match severity {
        Severity::Info => 1,
        Severity::Low => 3,
        Severity::Medium => 5,
        Severity::High => 8,
        Severity::Critical => 10,
    }
}

fn list(alert: &Value, pointer: &str) -> Vec<String> {
    let items = alert.pointer(pointer).and_then(Value::as_array);
    let items = items.into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As a SIEM reads it: header fields end at a bare `|`; a key is a word before a bare `=`.
    fn parse(line: &str) -> (Vec<String>, Vec<(String, String)>) {
        let mut letters = line.strip_prefix("CEF:0|").unwrap().chars();
        let (mut header, mut field) = (Vec::new(), String::new());
        while header.len() < 6 {
            match letters.next().unwrap() {
                '\\' => field.push(letters.next().unwrap()),
                '|' => header.push(std::mem::take(&mut field)),
                letter => field.push(letter),
            }
        }
        let rest: Vec<char> = letters.collect();
        let mut bare = Vec::new();
        let mut at = 0;
        while at < rest.len() {
            match rest[at] {
                '\\' => at += 1,
                '=' => bare.push(at),
                _ => {}
            }
            at += 1;
        }
        let mut pairs = Vec::new();
        for (index, equals) in bare.iter().enumerate() {
            let start = rest[..*equals]
                .iter()
                .rposition(|letter| *letter == ' ')
                .map_or(0, |at| at + 1);
            let end = bare.get(index + 1).map_or(rest.len(), |next| {
                rest[..*next].iter().rposition(|letter| *letter == ' ').unwrap()
            });
            let mut value = String::new();
            let mut raw = rest[equals + 1..end].iter();
            while let Some(letter) = raw.next() {
                match letter {
                    '\\' => value.push(match raw.next().unwrap() {
                        'n' => '\n',
                        'r' => '\r',
                        other => *other,
                    }),
                    letter => value.push(*letter),
                }
            }
            pairs.push((rest[start..*equals].iter().collect(), value));
        }
        (header, pairs)
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_put_in(
            header in proptest::collection::vec("[^\n\r]{0,20}", 6),
            values in proptest::collection::vec("(?s).{0,30}|[a-z =|\\\\\n\r]{0,20}", 1..6),
        ) {
            const KEYS: [&str; 5] = ["src", "cs1", "cs1Label", "msg", "externalId"];
            let pairs: Vec<(&str, String)> = KEYS.into_iter().zip(values).collect();
            let (read, found) = parse(&line(&header, pairs.clone().into_iter()));
            let trimmed: Vec<&str> = header.iter().map(|part| part.trim()).collect();
            prop_assert_eq!(read, trimmed);
            let kept: Vec<(String, String)> = pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.trim().to_owned()))
                .filter(|(_, value)| !value.is_empty())
                .collect();
            prop_assert_eq!(found, kept);
        }
    }

    #[test]
    fn an_alert_has_duo_log_syncs_keys() {
        let json = serde_json::json!({
            "title": "Ada|Lovelace = tired\\", "raised": "2026-11-22T10:00:00.000Z", "outcome": "access_granted",
            "happened": {"first": "2026-11-22T09:00:00.000Z", "last": "2026-11-22T09:30:00.000Z"},
            "rule": {"version": "1.0.0", "title": "Push harassment"},
            "about": {"kind": "user", "key": "DUADA", "name": "ada"},
            "entities": [{"kind": "ip", "value": "203.0.113.9"}, {"kind": "actor", "value": "root"}],
            "facts": {"prompts": "9", "note": "a=b\nc"}, "attack": {"techniques": ["T1621"]},
            "events": ["authentication/1", "authentication/2"],
        });
        let row = OutboxRow {
            number: 1,
            tenant: "acme".into(),
            alert: "al_1".into(),
            rule: "push".into(),
            severity: Severity::High,
            raised: 1,
            nth: 1,
            summary: false,
            page: false,
            json: json.to_string().into(),
        };
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            cef(&row),
            format!(
                "CEF:0|Duo Security|Picket|{version}|push|Ada\\|Lovelace = tired\\\\|8|externalId=al_1 rt=1795341600000 \
                 start=1795338000000 end=1795339800000 cnt=2 src=203.0.113.9 suser=root duser=ada outcome=access_granted \
                 reason=Push harassment msg=prompts: 9; note: a\\=b\\nc cat=T1621 cs1=acme cs1Label=tenant cs2=1.0.0 \
                 cs2Label=rule_version cs4=T1621 cs4Label=technique cs5=authentication/1,authentication/2 cs5Label=event_ids cn1=0 \
                 cn1Label=page"
            )
        );
    }
}
