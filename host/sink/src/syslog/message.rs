//! One alert as an RFC 5424 message.

use std::fmt::Write as _;

use picket_contract::Severity;
use picket_store::OutboxRow;
use serde_json::Value;

use crate::cef::cef;
use crate::events::EVENT_SCHEMA;
use crate::lines::line;

/// What every receiver of UDP datagrams must take (RFC 5426 3.2), bytes.
pub(super) const UDP_BYTES: usize = 2048;
/// The enterprise number of examples (RFC 5612): Picket has none of its own.
const ID: &str = "picket@32473";

/// What messages look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// 0 to 23; 10 is `authpriv`.
    pub facility: u8,
    /// This machine's name.
    pub hostname: String,
    /// The payload: CEF, or the alert's JSON.
    pub cef: bool,
}

impl Message {
    /// The whole message, of one line. `truncated`: it says that it will be cut.
    #[must_use]
    pub(super) fn of(&self, row: &OutboxRow, truncated: bool) -> String {
        let priority = u32::from(self.facility.min(23)) * 8 + level(row.severity);
        let time = jiff::Timestamp::from_millisecond(row.raised).unwrap_or_default();
        let alert: Value = serde_json::from_str(&row.json).unwrap_or_default();
        let is_event = alert.get("schema").and_then(Value::as_str) == Some(EVENT_SCHEMA);
        let kind = if is_event {
            "event"
        } else if row.summary {
            "summary"
        } else if alert.get("kind").and_then(Value::as_str) == Some("test") {
            "test"
        } else {
            "alert"
        };
        let mut message = format!(
            "<{priority}>1 {time:.3} {} picket {} {kind} [{ID}",
            printable(&self.hostname, 255),
            std::process::id(),
        );
        let incident = alert.pointer("/incident/id").and_then(Value::as_str);
        let mut parameters = vec![("tenant", &*row.tenant)];
        if is_event {
            parameters.extend([("event_id", &*row.alert), ("log", &*row.rule)]);
        } else {
            parameters.extend([
                ("alert_id", &*row.alert),
                ("rule", &*row.rule),
                ("severity", row.severity.as_str()),
            ]);
        }
        parameters.extend(incident.map(|incident| ("incident", incident)));
        if truncated {
            parameters.push(("truncated", "1"));
        }
        for (name, value) in parameters {
            // Writing to a String cannot fail.
            let _ = write!(message, " {name}=\"{}\"", escaped(value));
        }
        message.push_str("] ");
        message.push_str(&if self.cef { cef(row) } else { line(row) });
        message
    }
}

/// Cut between two letters, to at most so many bytes.
pub(super) fn cut(mut message: String, most: usize) -> String {
    let mut end = most.min(message.len());
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.truncate(end);
    message
}

/// In a parameter's value `"`, `\` and `]` are escaped (RFC 5424 6.3.3); a line break would end the message.
pub(super) fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '"' | '\\' | ']' => text.extend(['\\', letter]),
            letter if letter.is_control() => text.push(' '),
            letter => text.push(letter),
        }
    }
    text
}

/// Printable ASCII alone; `-` where nothing is left.
fn printable(text: &str, most: usize) -> String {
    let kept: String = text.chars().filter(char::is_ascii_graphic).take(most).collect();
    if kept.is_empty() { "-".to_owned() } else { kept }
}

fn level(severity: Severity) -> u32 {
    match severity {
        Severity::Critical => 2,
        Severity::High => 3,
        Severity::Medium => 4,
        Severity::Low => 5,
        Severity::Info => 6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(tenant: &str, json: String) -> OutboxRow {
        OutboxRow {
            number: 1,
            tenant: tenant.into(),
            alert: "al_1".into(),
            rule: "push".into(),
            severity: Severity::Critical,
            raised: 1_795_341_600_123,
            nth: 1,
            summary: false,
            page: false,
            json: json.into(),
        }
    }

    fn message(cef: bool) -> Message {
        Message {
            facility: 10,
            hostname: "host 1".to_owned(),
            cef,
        }
    }

    /// Structured data and message of an RFC 5424 line.
    fn parse(text: &str) -> (Vec<String>, Vec<(String, String)>, String) {
        let (head, rest) = text.split_once(" [").unwrap();
        let mut letters = rest.chars();
        let id: String = letters.by_ref().take_while(|letter| *letter != ' ').collect();
        assert_eq!(id, ID);
        let mut parameters = Vec::new();
        loop {
            let name: String = letters.by_ref().take_while(|letter| *letter != '=').collect();
            assert_eq!(letters.next(), Some('"'));
            let mut value = String::new();
            loop {
                match letters.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(letters.next().unwrap()),
                    letter => value.push(letter),
                }
            }
            parameters.push((name, value));
            match letters.next() {
                Some(' ') => {}
                Some(']') => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(letters.next(), Some(' '));
        (
            head.split(' ').map(str::to_owned).collect(),
            parameters,
            letters.collect(),
        )
    }

    proptest! {
        #[test]
        fn what_is_read_back_is_what_was_put_in(tenant in "\\PC{0,30}|[\\]\\\\\" =]{0,10}", title in "(?s).{0,40}") {
            let json = serde_json::json!({"id": "al_1", "title": title}).to_string();
            let (head, parameters, text) = parse(&message(false).of(&row(&tenant, json.clone()), false));
            prop_assert_eq!(&head[..2], ["<82>1", "2026-11-22T10:00:00.123Z"]);
            prop_assert_eq!(&head[2], "host1");
            let expected = tenant.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
            prop_assert_eq!(&parameters[0], &("tenant".to_owned(), expected.collect::<String>()));
            prop_assert_eq!(&parameters[3].1, "critical");
            prop_assert_eq!(text, json);
        }

        #[test]
        fn an_event_says_that_it_is_one(log in "[a-z_]{1,12}") {
            let json = serde_json::json!({"schema": EVENT_SCHEMA, "id": "ev_1", "event": {"kind": "test"}}).to_string();
            let row = OutboxRow { alert: "ev_1".into(), rule: log.as_str().into(), ..row("acme", json.clone()) };
            let (head, parameters, text) = parse(&message(false).of(&row, false));
            prop_assert_eq!(&head[5], "event");
            let expected = [("tenant", "acme"), ("event_id", "ev_1"), ("log", log.as_str())];
            let parameters: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (&**name, &**value)).collect();
            prop_assert_eq!(parameters, expected);
            prop_assert_eq!(text, json);
        }

        #[test]
        fn a_message_is_one_line_in_either_form(title in "(?s).{0,40}", cef in any::<bool>()) {
            let json = serde_json::json!({"id": "al_1", "title": title, "incident": {"id": "al_0"}}).to_string();
            let text = message(cef).of(&row("acme", json), false);
            prop_assert!(!text.contains(['\n', '\r']));
            let has_incident = text.contains("incident=\"al_0\"");
            prop_assert!(has_incident);
        }

        #[test]
        fn a_datagram_is_cut_between_letters_and_says_so(title in "[aü€😀]{600,900}") {
            let json = serde_json::json!({"id": "al_1", "title": title}).to_string();
            let whole = message(false).of(&row("acme", json), true);
            let text = cut(whole.clone(), UDP_BYTES);
            prop_assert!(text.len() <= UDP_BYTES && (text.len() > UDP_BYTES - 4 || whole.len() <= UDP_BYTES));
            prop_assert!(whole.starts_with(&text) && text.contains("truncated=\"1\""));
        }
    }
}
