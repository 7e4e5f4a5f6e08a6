//! What the demo says while it works: lines for people, or one JSON object a line.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::verdict::Verdict;

/// Where the demo's words go.
#[derive(Debug)]
pub(super) struct Show {
    ndjson: bool,
    began: Instant,
}

impl Show {
    /// Begins to count the time.
    pub(super) fn new(ndjson: bool) -> Self {
        Show {
            ndjson,
            began: Instant::now(),
        }
    }

    fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    fn stamp(&self) -> String {
        let seconds = self.seconds();
        format!("{:>3}:{:02}", seconds / 60, seconds % 60)
    }

    /// What happens now.
    pub(super) fn step(&self, text: &str) {
        if self.ndjson {
            println!("{}", json!({"progress": text, "seconds": self.seconds()}));
        } else {
            println!("{}  {text}", self.stamp());
        }
    }

    /// How far the day has come.
    pub(super) fn progress(&self, clock: &str, events: u64, alerts: usize) {
        if self.ndjson {
            println!(
                "{}",
                json!({"clock": clock, "events": events, "alerts": alerts, "seconds": self.seconds()})
            );
        } else {
            let clock = clock.get(11..16).unwrap_or(clock);
            println!(
                "{}  {clock}  {} events collected and judged, {alerts} alerts",
                self.stamp(),
                grouped(events)
            );
        }
    }

    /// An alert, as it came out of the sink.
    pub(super) fn alert(&self, alert: &Value) {
        let of = |path: &str| alert.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let (severity, tenant, title, time) = (of("/severity"), of("/tenant/id"), of("/title"), of("/time"));
        let outcome = of("/outcome");
        if self.ndjson {
            let line = json!({
                "alert": of("/id"), "tenant": tenant, "rule": of("/rule/id"), "severity": severity, "time": time,
                "title": title, "outcome": outcome,
            });
            println!("{line}");
            return;
        }
        let time = time.get(11..16).unwrap_or(time);
        let mut line = format!("{:>12}  {:<8}  {tenant}: {title}", time, severity.to_uppercase());
        let to: Vec<&str> = alert
            .get("outcome_to")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        match outcome {
            "access_granted" => line.push_str(&format!(". GOT IN: {}", to.join(", "))),
            "access_denied" => line.push_str(". Not let in"),
            _ => {}
        }
        println!("{line}");
    }

    /// What was planted against what was found.
    pub(super) fn table(&self, verdict: &Verdict) {
        if self.ndjson {
            for (story, row) in &verdict.stories {
                println!(
                    "{}",
                    json!({"story": story, "rule": row.rule, "planted": row.planted, "found": row.found})
                );
            }
            for one in &verdict.look_alikes {
                println!(
                    "{}",
                    json!({"look_alike": one.story, "tenant": one.tenant, "silent": one.raised.is_empty()})
                );
            }
            return;
        }
        println!(
            "\n  {:<42} {:<26} planted  found",
            "what intruders did", "the rule that must say so"
        );
        for (story, row) in &verdict.stories {
            let mark = if row.found == row.planted { "" } else { "  <- missed" };
            println!(
                "  {story:<42} {:<26} {:>7} {:>6}{mark}",
                row.rule, row.planted, row.found
            );
        }
        println!("\n  {:<58} tenants  silent", "what only looked like it");
        let mut by_story: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for one in &verdict.look_alikes {
            let (all, silent) = by_story.entry(&one.story).or_default();
            *all += 1;
            *silent += usize::from(one.raised.is_empty());
        }
        for (story, (all, silent)) in by_story {
            let mark = if all == silent { "yes" } else { "NO" };
            println!("  {story:<58} {all:>7}  {mark}");
        }
        println!();
    }

    /// The last line.
    pub(super) fn last(&self, result: &Value) {
        if self.ndjson {
            println!("{result}");
        }
    }

    /// Words that only people want.
    pub(super) fn aside(&self, text: &str) {
        if !self.ndjson {
            println!("{text}");
        }
    }
}

/// 24118 as 24,118.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn digits_are_grouped_by_three() {
        let told: Vec<String> = [0, 999, 1000, 24_118, 1_234_567].into_iter().map(grouped).collect();
        assert_eq!(told, ["0", "999", "1,000", "24,118", "1,234,567"]);
    }
}
