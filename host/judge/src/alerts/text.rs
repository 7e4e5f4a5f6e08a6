//! The alert as a first-tier analyst reads it: what, whether they got in, who, from where, how, what to do.

use std::fmt::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use picket_event::clean;
use serde_json::Value;

use super::person;

/// Most numbers that are explained on paper; the JSON has them all.
const MOST_PHONES: usize = 6;
/// Most alerts on paper whose place it takes; the JSON has them all.
const MOST_RELATED: usize = 5;
/// Most lines of the timeline on paper; the JSON has them all.
const MOST_LINES: usize = 12;

/// Renders an alert's JSON, with its repeats, as plain text that no terminal obeys.
#[must_use]
pub fn text(json: &str, repeats: u64) -> String {
    let alert: Value = serde_json::from_str(json).unwrap_or_default();
    let alert = Alert(&alert);
    let mut text = String::new();
    alert.head(&mut text);
    alert.access(&mut text);
    alert.suppressed(&mut text);
    alert.part_of(&mut text);
    alert.who(&mut text);
    alert.user(&mut text);
    alert.phones(&mut text);
    alert.whence(&mut text);
    alert.timeline(&mut text);
    alert.steps("check", "check", &mut text);
    alert.steps("act", "act", &mut text);
    alert.steps("benign", "false_positives", &mut text);
    alert.why(&mut text);
    if repeats > 0 {
        line(
            &mut text,
            "again",
            &format!("{repeats} {} since", if repeats == 1 { "repeat" } else { "repeats" }),
        );
    }
    text
}

struct Alert<'a>(&'a Value);

fn line(text: &mut String, label: &str, content: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{:<9} {}", clean(label), clean(content));
}

impl Alert<'_> {
    fn at(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn list(&self, name: &str) -> &[Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// `07:16:41` where the tenant is.
    fn local(&self, time: &str, form: &str) -> Option<String> {
        let zone = TimeZone::get(self.at("/tenant/timezone")).unwrap_or(TimeZone::UTC);
        let time: Timestamp = time.parse().ok()?;
        Some(time.to_zoned(zone).strftime(form).to_string())
    }

    fn head(&self, text: &mut String) {
        let (id, name) = (self.at("/tenant/id"), self.at("/tenant/name"));
        let tenant = if name.is_empty() || name == id {
            id.to_owned()
        } else {
            format!("{id} ({name})")
        };
        let title = format!("{tenant}  {}  {}", self.at("/title"), self.at("/id"));
        line(text, &self.at("/severity").to_uppercase(), &title);
    }

    fn access(&self, text: &mut String) {
        let to: Vec<&str> = self.list("outcome_to").iter().filter_map(Value::as_str).collect();
        let to = if to.is_empty() {
            String::new()
        } else {
            format!(": {}", to.join(", "))
        };
        let outcome = match self.at("/outcome") {
            "access_granted" => format!("GOT IN{to}, "),
            "access_denied" => format!("not let in{to}, "),
            _ => String::new(),
        };
        let last = self.at("/happened/last");
        let zone = self.at("/tenant/timezone");
        let place = zone.rsplit('/').next().unwrap_or(zone).replace('_', " ");
        let when = match self.local(last, "%F %H:%M") {
            Some(local) if !zone.is_empty() && zone != "UTC" => {
                format!("{local} {place} / {}Z", last.get(11..16).unwrap_or_default())
            }
            Some(local) => format!("{local}Z"),
            None => last.to_owned(),
        };
        let raised = match self.0.pointer("/delay/seconds").and_then(Value::as_i64) {
            Some(seconds) => format!("  Raised {} later ({}).", span(seconds), self.at("/delay/because")),
            None => String::new(),
        };
        line(text, "", &format!("{outcome}{when}.{raised}"));
    }

    /// Why nobody was told.
    fn suppressed(&self, text: &mut String) {
        if self.0.get("suppressed").is_none() {
            return;
        }
        let of = |name: &str| self.at(&format!("/suppressed/{name}"));
        let ticket = match of("ticket") {
            "" => String::new(),
            ticket => format!(", {ticket}"),
        };
        let until = match of("until") {
            "" => "for good".to_owned(),
            until => format!("until {}Z", until.get(..16).unwrap_or(until).replace('T', " ")),
        };
        let told = format!(
            "not sent: exception {} of {}, {until}{ticket}: {}",
            of("exception"),
            of("owner"),
            of("reason")
        );
        line(text, "", &told);
    }

    /// Of what else it is a part, and what took whose place.
    fn part_of(&self, text: &mut String) {
        let incident = self.at("/incident/id");
        if !incident.is_empty() && incident != self.at("/id") {
            let told = format!("incident {incident}, {}", self.at("/incident/severity").to_uppercase());
            line(text, "part of", &told);
        }
        for related in self.list("related").iter().take(MOST_RELATED) {
            let of = |name: &str| related.get(name).and_then(Value::as_str).unwrap_or_default();
            line(text, "replaces", &format!("{} ({})", of("alert"), of("rule")));
        }
        if self.0.get("superseded_by").is_some_and(Value::is_string) {
            line(text, "replaced", &format!("by {}", self.at("/superseded_by")));
        }
    }

    fn who(&self, text: &mut String) {
        let named: Vec<String> = self
            .list("entities")
            .iter()
            .filter_map(|entity| match entity.get("kind")?.as_str()? {
                "user" => Some(value(entity).to_owned()),
                "actor" => Some(format!("by {}", value(entity))),
                "device" => Some(format!("with {}", value(entity))),
                _ => None,
            })
            .collect();
        let about = format!("{} {}", self.at("/about/kind"), self.at("/about/name"));
        let who = if named.is_empty() {
            about.trim().to_owned()
        } else {
            short(&named)
        };
        if !who.is_empty() {
            line(text, "who", &who);
        }
    }

    fn user(&self, text: &mut String) {
        if let Some(user) = self.0.get("user").filter(|user| user.is_object()) {
            line(text, "user", &person::line(user));
        }
    }

    /// What may be seen of the numbers behind pseudonyms.
    fn phones(&self, text: &mut String) {
        let phones = self.0.get("phones").and_then(Value::as_object).into_iter().flatten();
        for (pseudonym, shown) in phones.take(MOST_PHONES) {
            line(text, "phone", &format!("{pseudonym} is {}", plain(shown)));
        }
    }

    fn whence(&self, text: &mut String) {
        for (label, kind) in [("from", "ip"), ("to", "application")] {
            let entities = self
                .list("entities")
                .iter()
                .filter(|entity| entity.get("kind").and_then(Value::as_str) == Some(kind));
            for entity in entities.take(5) {
                let of = |name: &str| entity.get(name).and_then(Value::as_str);
                let mut told = value(entity).to_owned();
                if let Some(place) = of("place").or_else(|| of("country")) {
                    let _ = write!(told, ", {place}");
                }
                let user = match self.at("/about/name") {
                    "" => "the user",
                    name => name,
                };
                match (of("for_user"), of("in_tenant")) {
                    (Some("never seen"), Some("never seen")) => {
                        let _ = write!(told, ": never seen for {user}, nor for anybody else");
                    }
                    (Some("never seen"), Some(since)) => {
                        let _ = write!(told, ": never seen for {user}; others {}", date(since));
                    }
                    (Some(since), _) => {
                        let _ = write!(told, ": {user} {}", date(since));
                    }
                    (None, Some("never seen")) => told.push_str(": never seen"),
                    (None, Some(since)) => {
                        let _ = write!(told, ": known {}", date(since));
                    }
                    (None, None) => {}
                }
                line(text, label, &told);
            }
        }
    }

    fn timeline(&self, text: &mut String) {
        let lines = self.list("timeline");
        let left_out = lines.len().saturating_sub(MOST_LINES);
        let head = if left_out == 0 { lines.len() } else { MOST_LINES / 2 };
        for (index, entry) in lines.iter().enumerate() {
            if index == head && left_out > 0 {
                line(text, "", &format!("({left_out} more)"));
            }
            if index >= head && index < head + left_out {
                continue;
            }
            let time = entry
                .get("time")
                .and_then(Value::as_str)
                .and_then(|time| self.local(time, "%H:%M:%S"));
            let told = entry.get("text").and_then(Value::as_str).unwrap_or_default();
            let raised = entry.get("raised") == Some(&Value::Bool(true));
            line(
                text,
                if raised { "       >" } else { "" },
                &format!("{}  {told}", time.unwrap_or_else(|| " ".repeat(8))),
            );
        }
    }

    fn steps(&self, label: &str, name: &str, text: &mut String) {
        let steps: Vec<&str> = self.list(name).iter().filter_map(Value::as_str).collect();
        for (index, step) in steps.iter().enumerate() {
            let number = if steps.len() > 1 {
                format!("{} ", index + 1)
            } else {
                String::new()
            };
            line(text, if index == 0 { label } else { "" }, &format!("{number}{step}"));
        }
    }

    fn why(&self, text: &mut String) {
        let pairs = |name: &str| -> Vec<String> {
            let object = self.0.get(name).and_then(Value::as_object);
            object
                .into_iter()
                .flatten()
                .map(|(name, value)| format!("{name} {}", plain(value)))
                .collect()
        };
        let generation = self
            .0
            .pointer("/rule/generation")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let rule = format!(
            "rule {} {}, generation {generation}",
            self.at("/rule/id"),
            self.at("/rule/version")
        );
        let mut why = pairs("facts");
        why.push(rule);
        line(text, "why", &why.join("; "));
        let parameters = pairs("parameters");
        if !parameters.is_empty() {
            line(text, "with", &parameters.join(", "));
        }
        let techniques: Vec<&str> = self
            .0
            .pointer("/attack/techniques")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !techniques.is_empty() {
            line(
                text,
                "ATT&CK",
                &format!("{} (version {})", techniques.join(", "), self.at("/attack/version")),
            );
        }
        let link = self.at("/links/user");
        if !link.is_empty() {
            line(text, "link", link);
        }
    }
}

fn value(entity: &Value) -> &str {
    entity.get("value").and_then(Value::as_str).unwrap_or_default()
}

fn short(names: &[String]) -> String {
    let shown = names.iter().take(6).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 6 {
        format!("{shown} and {} more", names.len() - 6)
    } else {
        shown
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `since 2026-10-01T07:00:00.000Z` without its hours.
fn date(since: &str) -> &str {
    since.split('T').next().unwrap_or(since)
}

fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::text;

    #[test]
    fn no_terminal_obeys_what_an_attacker_wrote_into_an_alert() {
        const NASTY: &str = "a\u{1b}[2J\u{9b}31m\r\nb\u{202e}c\u{7}";
        let alert = json!({
            "id": NASTY, "title": NASTY, "severity": "high", "outcome": "access_granted", "outcome_to": [NASTY],
            "tenant": {"id": NASTY, "name": NASTY, "timezone": NASTY}, "about": {"kind": NASTY, "name": NASTY},
            "happened": {"first": NASTY, "last": NASTY}, "delay": {"seconds": 1, "because": NASTY},
            "entities": [
                {"kind": "user", "value": NASTY},
                {"kind": "actor", "value": NASTY},
                {"kind": "ip", "value": NASTY, "place": NASTY, "for_user": NASTY, "in_tenant": NASTY},
                {"kind": "application", "value": NASTY, "country": NASTY},
            ],
            "timeline": [{"time": NASTY, "text": NASTY}], "check": [NASTY], "act": [NASTY], "false_positives": [NASTY],
            "facts": {NASTY: NASTY}, "parameters": {NASTY: [NASTY]}, "rule": {"id": NASTY, "version": NASTY},
            "attack": {"version": NASTY, "techniques": [NASTY]}, "links": {"user": NASTY},
        });
        let told = text(&alert.to_string(), 1);
        let obeyed = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
        assert!(!told.contains(obeyed), "{}", told.escape_debug());
        assert!(told.lines().count() < 20, "no line of an attacker's own: {told}");
        assert!(told.contains("\\u{1b}[2J"));
    }
}
