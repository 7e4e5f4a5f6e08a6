//! The status as people read it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::when;

/// Tenants shown whole; of more, those that are not well.
const MOST_TENANTS: usize = 20;
/// Kinds of inventory of which there is one each: no number worth a word.
const SINGLE: [&str; 4] = ["settings", "summary", "telephony_credits", "authentication_attempts"];
/// Troubles listed.
const MOST_TROUBLES: usize = 30;

/// For people. `tenant`: only this one.
pub(crate) fn text(status: &Value, tenant: Option<&str>) -> String {
    let now = when::now();
    let mut lines = vec![of(status, "verdict").to_uppercase()];
    let troubles: Vec<&str> = list(status, "troubles").filter_map(Value::as_str).collect();
    let about = |trouble: &&str| tenant.is_none_or(|tenant| trouble.starts_with(&format!("{tenant}: ")));
    let troubles: Vec<&str> = troubles.into_iter().filter(about).collect();
    for trouble in troubles.iter().take(MOST_TROUBLES) {
        lines.push(format!("  ! {}", trouble.replace('\n', "\n    ")));
    }
    if let Some(more) = troubles.len().checked_sub(MOST_TROUBLES).filter(|more| *more > 0) {
        lines.push(format!("  … and {more} more (--format ndjson has them all)"));
    }
    let all: Vec<&Value> = list(status, "tenants").collect();
    let is_shown = |value: &&&Value| match tenant {
        Some(tenant) => of(value, "id") == tenant,
        None => all.len() <= MOST_TENANTS || value.get("well") == Some(&Value::Bool(false)),
    };
    let shown: Vec<&&Value> = all.iter().filter(is_shown).take(MOST_TENANTS).collect();
    for value in &shown {
        lines.push(String::new());
        account(value, now, &mut lines);
    }
    if tenant.is_none() && shown.len() < all.len() {
        let rest = all
            .iter()
            .filter(|value| !shown.iter().any(|shown| std::ptr::eq(**shown, **value)));
        let rest: Vec<&&Value> = rest.collect();
        let sum = |name: &str| rest.iter().map(|value| number(value, name)).sum::<u64>();
        lines.push(String::new());
        lines.push(format!(
            "{}: {}, {}; `picket status --tenant ID` shows one",
            counted(rest.len() as u64, "more account"),
            counted(sum("events"), "event"),
            counted(sum("alerts"), "alert")
        ));
    }
    if tenant.is_some() {
        return lines.join("\n");
    }
    for parent in list(status, "parents") {
        lines.push(String::new());
        lines.push(accounts(parent, now));
    }
    let sinks: Vec<String> = list(status, "sinks").map(|sink| super::sink_line(sink, now)).collect();
    if !sinks.is_empty() {
        lines.push(String::new());
        lines.extend(sinks);
    }
    if let Some(rules) = status.get("rules") {
        lines.push(String::new());
        let mut parts = vec![format!("{} active", number(rules, "active"))];
        if number(rules, "warming") > 0 {
            parts.push(format!("{} warming (picket rule list)", number(rules, "warming")));
        }
        for state in ["shadow", "paused", "learning"] {
            if number(rules, state) > 0 {
                parts.push(format!(
                    "{} {}{state}",
                    number(rules, state),
                    if state == "shadow" { "in " } else { "" }
                ));
            }
        }
        parts.push(format!(
            "{} quarantined, {} refused, {} off",
            number(rules, "quarantined"),
            number(rules, "rejected"),
            number(rules, "off")
        ));
        lines.push(format!("rules: {}", parts.join(", ")));
    }
    lines.join("\n")
}

fn account(value: &Value, now: i64, lines: &mut Vec<String>) {
    lines.push(format!(
        "{}  {}: {}, {}",
        of(value, "id"),
        of(value, "name"),
        counted(number(value, "events"), "event"),
        counted(number(value, "alerts"), "alert")
    ));
    for log in list(value, "logs") {
        let standing = of(log, "standing");
        if standing != "not_collected" {
            lines.push(format!("    {:<18} {standing:<9} {}", of(log, "log"), how(log, now)));
        }
        let held: Vec<&str> = list(log, "holds_back").filter_map(Value::as_str).collect();
        if !held.is_empty() {
            let rules = counted(held.len() as u64, "rule");
            lines.push(format!("    {:<28} holds back {rules}: {}", "", held.join(", ")));
        }
    }
    inventory(&list(value, "inventory").collect::<Vec<_>>(), now, lines);
}

/// `users` is `user`, `policies` is `policy`.
fn one(many: &str) -> String {
    match many.strip_suffix("ies") {
        Some(stem) => format!("{stem}y"),
        None => many.strip_suffix('s').unwrap_or(many).to_owned(),
    }
}

/// How many there are of what, how old that is, and what the application is not granted.
fn inventory(stock: &[&Value], now: i64, lines: &mut Vec<String>) {
    if stock.is_empty() {
        return;
    }
    let time = |kind: &Value, name: &str| kind.get(name).and_then(Value::as_i64);
    let name = |kind: &Value| of(kind, "kind").replace('_', " ");
    let many = stock.iter().filter(|kind| !SINGLE.contains(&of(kind, "kind").as_str()));
    let counted: Vec<String> = many
        .filter_map(|kind| match kind.get("objects")?.as_u64()? {
            1 => Some(format!("1 {}", one(&name(kind)))),
            count => Some(format!("{count} {}", name(kind))),
        })
        .collect();
    let oldest = stock.iter().filter_map(|kind| time(kind, "taken")).min();
    let mut parts = match (counted.is_empty(), oldest) {
        (false, _) => vec![counted.join(", ")],
        // Taken before the last start: what there is is counted with the next snapshot.
        (true, Some(_)) => Vec::new(),
        (true, None) => vec!["nothing yet".to_owned()],
    };
    parts.extend(oldest.map(|taken| format!("{} old at most", when::long(now - taken))));
    let next = stock.iter().filter_map(|kind| time(kind, "next")).min();
    parts.extend(next.map(|next| format!("next in {}", when::long(next - now))));
    lines.push(format!("    {:<18} {:<9} {}", "inventory", "", parts.join("; ")));
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for kind in stock.iter().filter(|kind| of(kind, "standing") == "closed") {
        refused.entry(of(kind, "permission")).or_default().push(name(kind));
    }
    for (permission, kinds) in refused {
        lines.push(format!(
            "    {:<28} not granted (\"{permission}\"): {}",
            "",
            kinds.join(", ")
        ));
    }
}

/// Cursor, lag, last answer, next poll, how much comes.
fn how(log: &Value, now: i64) -> String {
    let time = |name: &str| log.get(name).and_then(Value::as_i64);
    let mut parts = vec![match (time("live_to"), time("complete_to")) {
        (Some(to), _) | (None, Some(to)) => format!("complete to {}", when::short(to, now)),
        (None, None) => "nothing yet".to_owned(),
    }];
    parts.extend(time("lag").map(|lag| format!("{} behind", when::long(lag))));
    if of(log, "standing") != "working" {
        parts.extend(time("last_success").map(|at| format!("last answer {} ago", when::long(now - at))));
    }
    parts.extend(time("next_poll").map(|next| format!("next poll in {}", when::long(next - now))));
    parts.extend(
        log.get("events_last_hour")
            .and_then(Value::as_u64)
            .map(|events| format!("{events}/h")),
    );
    let limited = number(log, "rate_limited_last_hour");
    if limited > 0 {
        parts.push(format!("{limited} x 429 in the hour"));
    }
    let history = log.get("history").filter(|history| history.is_object());
    parts.extend(history.map(|history| {
        let time = |name: &str| history.get(name).and_then(Value::as_i64).unwrap_or_default();
        let (from, to) = (time("from"), time("to"));
        let read = (time("read_to") - from).clamp(0, (to - from).max(0));
        let percent = read.saturating_mul(100) / (to - from).max(1);
        format!("history since {} read to {percent} %", when::short(from, now))
    }));
    parts.join(", ")
}

fn accounts(parent: &Value, now: i64) -> String {
    let time = |name: &str| parent.get(name).and_then(Value::as_i64);
    let skipped = number(parent, "skipped");
    let mut parts = vec![counted(number(parent, "accounts"), "account")];
    if skipped > 0 {
        parts.push(format!("{skipped} skipped"));
    }
    parts.push(match time("last_success") {
        Some(at) => format!("listed {} ago", when::long(now - at)),
        None => "not listed since the start".to_owned(),
    });
    parts.extend(time("next").map(|next| format!("next in {}", when::long(next - now))));
    format!("{}  {}: {}", of(parent, "id"), of(parent, "host"), parts.join(", "))
}

/// `1 alert`, `2 alerts`.
fn counted(count: u64, one: &str) -> String {
    format!(
        "{count} {}",
        when::plural(usize::try_from(count).unwrap_or(usize::MAX), one)
    )
}

fn of(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tenant(id: &str, is_well: bool, alerts: u64) -> Value {
        json!({"id": id, "name": id, "events": 1, "alerts": alerts, "well": is_well, "logs": [
            {"log": "activity", "standing": "failing", "complete_to": 0, "lag": 61_000, "rate_limited_last_hour": 2,
                "events_last_hour": 7, "holds_back": ["a", "b"]},
            {"log": "trust_monitor", "standing": "not_collected"},
        ], "inventory": [
            {"kind": "users", "standing": "working", "objects": 3, "taken": 0, "next": 0, "permission": "Grant resource - Read"},
            {"kind": "policies", "standing": "working", "objects": 1, "taken": 0, "next": 0, "permission": "Grant resource - Read"},
            {"kind": "settings", "standing": "working", "objects": 1, "taken": 0, "next": 0, "permission": "Grant settings"},
            {"kind": "admins", "standing": "closed", "objects": null, "permission": "Grant administrators - Read"},
        ]})
    }

    #[test]
    fn one_is_no_plural_and_who_waits_is_named() {
        let status =
            json!({"verdict": "needs you", "troubles": ["acme: activity: x"], "tenants": [tenant("acme", false, 1)]});
        let text = text(&status, None);
        for part in [
            "NEEDS YOU\n  ! acme: activity: x\n",
            "1 event, 1 alert\n",
            "61 s behind",
            "2 x 429 in the hour",
            "7/h",
            "holds back 2 rules: a, b",
            "3 users, 1 policy; ",
            "not granted (\"Grant administrators - Read\"): admins",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("trust_monitor"));
    }

    #[test]
    fn of_a_thousand_tenants_those_are_shown_that_are_not_well() {
        let tenants: Vec<Value> = (0..1000)
            .map(|index| tenant(&format!("t{index}"), index > 1, 2))
            .collect();
        let status = json!({"verdict": "needs you", "troubles": [], "tenants": tenants});
        let all = text(&status, None);
        assert!(
            all.contains("t0  t0") && all.contains("t1  t1") && !all.contains("t2  t2"),
            "{all}"
        );
        assert!(all.contains("998 more accounts: 998 events, 1996 alerts"), "{all}");
        assert!(text(&status, Some("t500")).contains("t500  t500"));
    }
}
