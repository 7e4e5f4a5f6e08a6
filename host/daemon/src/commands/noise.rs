//! `picket rule list --noise 30d`: who is alerted about most, and which exceptions are of no use or end soon.

use std::collections::BTreeMap;

use comfy_table::{ContentArrangement, Table, presets};
use picket_store::{AlertFilter, SqliteStore, Store as _, SuppressedCount};
use serde_json::{Value, json};

use crate::cli::Format;
use crate::config::{Config, Exception};
use crate::out::out;
use crate::when;

/// Rows on paper; `ndjson` has all.
const MOST_ROWS: usize = 50;
/// An exception that ends within this is told of, ms.
const SOON: i64 = 7 * 86_400_000;

/// Alerts of one rule about one user of one tenant.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    alerts: u64,
    repeats: u64,
    suppressed: u64,
    /// Event time, ms.
    last: i64,
}

impl Count {
    fn sent_and_repeated(self) -> u64 {
        self.alerts + self.repeats
    }
}

/// What an exception did for all tenants that have it.
struct Use<'a> {
    exception: &'a Exception,
    tenants: Vec<&'a str>,
    matched: u64,
    last: Option<i64>,
}

impl Use<'_> {
    /// Everything that is to be said of it.
    fn states(&self, now: i64) -> Vec<&'static str> {
        let until = self.exception.until;
        let is_over = until.is_some_and(|until| until <= now);
        let mut states = Vec::new();
        if self.matched == 0 {
            states.push("never matched");
        }
        if is_over {
            states.push("over");
        } else if until.is_some_and(|until| until - now <= SOON) {
            states.push("ends soon");
        }
        states
    }
}

/// Ranks rules, tenants and users, and goes through the exceptions.
///
/// # Errors
/// A span that is none; the store.
pub(crate) fn run(config: &Config, span: &str, format: Format) -> anyhow::Result<()> {
    let now = when::now();
    let since = when::since(span, now)?;
    let store = super::store(config)?;
    let ranked = ranked(config, &store, since)?;
    let uses = uses(config, &store)?;
    if format == Format::Ndjson {
        for ((rule, tenant, user), count) in &ranked {
            let told = json!({
                "kind": "noise", "rule": rule, "tenant": tenant, "user": user, "alerts": count.alerts, "repeats": count.repeats,
                "suppressed": count.suppressed, "last": when::rfc3339(count.last),
            });
            out!("{told}");
        }
        uses.iter().for_each(|of| out!("{}", told(of, now)));
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["ALERTS", "REPEATS", "SUPPRESSED", "RULE", "TENANT", "USER", "LAST"]);
    for ((rule, tenant, user), count) in ranked.iter().take(MOST_ROWS) {
        table.add_row([
            count.alerts.to_string(),
            count.repeats.to_string(),
            count.suppressed.to_string(),
            rule.clone(),
            tenant.clone(),
            user.clone(),
            when::short(count.last, now),
        ]);
    }
    if ranked.is_empty() {
        out!("no alerts since {}", when::rfc3339(since));
    } else {
        out!("{table}");
    }
    if ranked.len() > MOST_ROWS {
        out!("({} more with --format ndjson)", ranked.len() - MOST_ROWS);
    }
    for of in uses.iter().filter(|of| !of.states(now).is_empty()) {
        let exception = of.exception;
        let until = exception.until.map_or_else(|| "never".to_owned(), when::rfc3339);
        let matched = match of.matched {
            0 => String::new(),
            matched => format!(", matched {matched} times"),
        };
        out!(
            "exception {} ({}): {}, until {until}{matched}; {}",
            exception.name,
            exception.owner,
            of.states(now).join(", "),
            exception.place
        );
    }
    Ok(())
}

/// The most alerted first. Alerts that went nowhere, because they are of the past, are no noise.
#[allow(
    clippy::type_complexity,
    reason = "rule, tenant and user, with what was counted of them"
)]
fn ranked(config: &Config, store: &SqliteStore, since: i64) -> anyhow::Result<Vec<((String, String, String), Count)>> {
    let mut counts: BTreeMap<(String, String, String), Count> = BTreeMap::new();
    for tenant in &config.tenants {
        for suppressed in [false, true] {
            let filter = AlertFilter {
                since: Some(since),
                suppressed,
                ..AlertFilter::default()
            };
            let found = store.alerts(&tenant.id, &filter)?;
            for alert in found.into_iter().filter(|alert| !alert.historic) {
                let key = (alert.rule.to_string(), tenant.id.clone(), alert.about.to_string());
                let count = counts.entry(key).or_default();
                count.last = count.last.max(alert.last_repeat.unwrap_or(alert.time));
                if suppressed {
                    count.suppressed += 1 + alert.repeats;
                } else {
                    count.alerts += 1;
                    count.repeats += alert.repeats;
                }
            }
        }
    }
    let mut ranked: Vec<_> = counts.into_iter().collect();
    ranked.sort_by_key(|(_, count)| std::cmp::Reverse((count.sent_and_repeated(), count.suppressed)));
    Ok(ranked)
}

/// Every exception, by name.
fn uses<'a>(config: &'a Config, store: &SqliteStore) -> anyhow::Result<Vec<Use<'a>>> {
    let mut uses: BTreeMap<&str, Use<'a>> = BTreeMap::new();
    for tenant in config.tenants.iter().filter(|tenant| !tenant.exceptions.is_empty()) {
        let counts: Vec<SuppressedCount> = store.suppressed(&tenant.id)?;
        for exception in &tenant.exceptions {
            let of = uses.entry(&exception.name).or_insert_with(|| Use {
                exception,
                tenants: Vec::new(),
                matched: 0,
                last: None,
            });
            of.tenants.push(&tenant.id);
            if let Some(count) = counts.iter().find(|count| *count.exception == *exception.name) {
                of.matched += count.alerts;
                of.last = of.last.max(Some(count.last));
            }
        }
    }
    Ok(uses.into_values().collect())
}

fn told(of: &Use<'_>, now: i64) -> Value {
    let exception = of.exception;
    json!({
        "kind": "exception",
        "exception": exception.name,
        "rules": exception.rules,
        "tenants": of.tenants,
        "states": of.states(now),
        "matched": of.matched,
        "last": of.last.map(when::rfc3339),
        "until": exception.until.map(when::rfc3339),
        "owner": exception.owner,
        "reason": exception.reason,
        "ticket": exception.ticket,
        "place": exception.place,
    })
}
