//! What is wrong, in words that name the next thing to do.

use picket_collect::inventory::StockHealth;
use picket_collect::{LogHealth, Standing};
use picket_judge::RationView;
use serde_json::Value;

use super::fuel;
use crate::daemon::{Daemon, Running, lock};
use crate::when;

/// Duo's lock-outs last four minutes at most, ms.
const PATIENCE_WITH_LIMITS: i64 = 300_000;

/// Something worth a word. Sorted, the worst is first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Trouble {
    /// 0: somebody has to act; 1: Picket tries again; 2: it passes.
    pub(super) rank: u8,
    pub(super) text: String,
}

fn trouble(rank: u8, text: impl Into<String>) -> Trouble {
    Trouble {
        rank,
        text: text.into(),
    }
}

/// Of what the tenants share, and of those that do not run.
pub(super) fn of_daemon(daemon: &Daemon) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for damage in daemon.damage.problems() {
        let text = format!(
            "store: {damage}; it is left out, the rest goes on: restore a backup, or let Duo's 180 days refill it"
        );
        troubles.push(trouble(0, text));
    }
    if let Some(why) = daemon.upkeep.gate.why_all() {
        troubles.push(trouble(0, format!("store: Duo is not asked, nothing is lost: {why}")));
    }
    for (tenant, why) in daemon.upkeep.gate.why_each() {
        troubles.push(trouble(
            0,
            format!("{tenant}: Duo is not asked, nothing is lost: {why}"),
        ));
    }
    for (tenant, broken) in daemon.fleet.broken() {
        let text = format!(
            "{tenant}: not collected, not judged: {}; mend it: it is tried again every minute, and its file is read again at \
             `picket reload`",
            broken.why
        );
        troubles.push(trouble(0, text));
    }
    for (parent, health) in lock(&daemon.parents).iter() {
        if let Some(why) = &health.trouble {
            let text = format!("{parent}: the list of accounts is not read ({why}); those known are collected");
            troubles.push(trouble(0, text));
        }
    }
    for late in daemon.engine.running_late() {
        let text = format!(
            "rule {}: a call has been running for {}; nothing is decided by it, its fuel ends it",
            late.rule,
            when::long(i64::try_from(late.running.as_millis()).unwrap_or(i64::MAX))
        );
        troubles.push(trouble(2, text));
    }
    let reloads = lock(&daemon.reloads).clone();
    if !reloads.refused.is_empty() {
        let text = format!(
            "the configuration in the files is not in force, what was before is: {}",
            reloads.refused.join("; ")
        );
        troubles.push(trouble(1, text));
    }
    for kept in reloads.kept {
        troubles.push(trouble(1, kept));
    }
    troubles
}

/// Of sinks. Alerts that no retry brings anywhere are for somebody to decide.
pub(super) fn of_sinks(sinks: &[Value]) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for sink in sinks {
        let of = |name: &str| sink.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = of("name");
        let dead = sink.get("dead").and_then(Value::as_u64).unwrap_or_default();
        if sink.get("disabled") == Some(&Value::Bool(true)) {
            let text = format!(
                "{name}: nothing is sent: {}; mend it, then: picket outbox retry --sink '{name}'",
                of("trouble")
            );
            troubles.push(trouble(0, text));
        } else if !of("trouble").is_empty() {
            troubles.push(trouble(0, format!("{name}: alerts wait: {}", of("trouble"))));
        }
        for lane in sink.get("lanes").and_then(Value::as_array).into_iter().flatten() {
            let of = |key: &str| lane.get(key).and_then(Value::as_str).unwrap_or_default();
            if !of("trouble").is_empty() {
                let text = format!("{name}: alerts of {} wait: {}", of("tenant"), of("trouble"));
                troubles.push(trouble(0, text));
            }
        }
        if dead > 0 {
            let text = format!(
                "{name}: {dead} {} refused for good: picket outbox list --sink '{name}'",
                if dead == 1 { "alert was" } else { "alerts were" }
            );
            troubles.push(trouble(1, text));
        }
    }
    troubles
}

/// Of a tenant whose rules burn more than they may: they are late, and miss nothing.
pub(super) fn of_fuel(tenant: &str, ration: &RationView) -> Option<Trouble> {
    fuel::words(ration).map(|words| trouble(2, format!("{tenant}: {words}")))
}

/// Of rules and modules.
pub(super) fn of_rules(rules: &[Value]) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for rule in rules {
        let of = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default();
        match of("state") {
            "rejected" => troubles.push(trouble(
                1,
                format!("module {} is refused: {}", of("module"), of("reason")),
            )),
            "shadow" if rule.get("waits") == Some(&Value::Bool(true)) => troubles.push(trouble(
                1,
                format!("a version of module {} waits {}", of("module"), of("reason")),
            )),
            "quarantined" => troubles.push(trouble(
                1,
                format!("rule {} is quarantined: {}", of("id"), of("reason")),
            )),
            _ => {}
        }
    }
    troubles
}

/// Of one tenant's logs. Logs that meet the same are told together: a key is wrong for all of them.
pub(super) fn of_logs(running: &Running, logs: &[LogHealth]) -> Vec<Trouble> {
    let mut grouped: Vec<(u8, String, Vec<&str>)> = Vec::new();
    for health in logs {
        let Some((rank, text)) = of_log(running, health) else {
            continue;
        };
        match grouped
            .iter_mut()
            .find(|(known, words, _)| *known == rank && *words == text)
        {
            Some((_, _, names)) => names.push(health.log.as_str()),
            None => grouped.push((rank, text, vec![health.log.as_str()])),
        }
    }
    let id = &running.id;
    let say =
        |(rank, text, names): (u8, String, Vec<&str>)| trouble(rank, format!("{id}: {}: {text}", names.join(", ")));
    grouped.into_iter().map(say).collect()
}

/// Of what an account's inventory meets. What is not granted is no trouble: it is optional, and its line says so.
pub(super) fn of_inventory(tenant: &str, stock: &[StockHealth]) -> Vec<Trouble> {
    let failing = stock.iter().filter(|kind| kind.standing == Standing::Failing);
    let told = failing.filter_map(|kind| {
        let error = kind.last_error.as_ref()?;
        let rank = u8::from(!error.is_configuration);
        let text = without_place(&error.text);
        Some(trouble(rank, format!("{tenant}: inventory of {}: {text}", kind.kind)))
    });
    told.collect()
}

/// How long a log may be behind before it is worth a word, ms: Duo's two minutes and three polls.
fn patience(running: &Running) -> i64 {
    let interval = i64::try_from(running.config().source.poll_interval).unwrap_or(i64::MAX);
    interval.saturating_mul(3).saturating_add(180_000)
}

/// What is wrong with a log, if anything, and how bad it is.
fn of_log(running: &Running, health: &LogHealth) -> Option<(u8, String)> {
    let error = health
        .last_error
        .as_ref()
        .filter(|error| health.last_success.is_none_or(|success| success < error.at));
    match (health.standing, error) {
        (Standing::NotCollected, _) => None,
        (Standing::Working, None) if health.waits_with.is_some() => {
            let events = health.waits_with.unwrap_or(0);
            let text = format!(
                "is not asked for more: {events} events are in memory until the other logs have come as far; Duo keeps the rest"
            );
            Some((2, text))
        }
        (Standing::Closed, error) => Some((0, error.map_or("closed".to_owned(), |error| without_place(&error.text)))),
        (_, Some(error)) if is_waited_out(health, error) => None,
        (_, Some(error)) if error.is_configuration => Some((0, without_place(&error.text))),
        (_, Some(error)) => Some((1, without_place(&error.text))),
        _ => {
            let lag = health.lag.filter(|lag| *lag > patience(running))?;
            Some((2, format!("is {} behind Duo and catching up", when::long(lag))))
        }
    }
}

/// A rate limit that was met just now is waited out and needs nobody: the log's line counts it.
fn is_waited_out(health: &LogHealth, error: &picket_collect::Trouble) -> bool {
    let since = health.failing_since.unwrap_or(error.at);
    error.text.contains("rate limit") && error.at.saturating_sub(since) < PATIENCE_WITH_LIMITS
}

/// The path says again which log it is; without it, logs that meet the same read alike. The host stays.
fn without_place(text: &str) -> String {
    let Some((place, rest)) = text.split_once(": ") else {
        return text.to_owned();
    };
    match place.split_once('/') {
        Some((host, path)) if !place.contains(' ') && (path.starts_with("admin/") || path.starts_with("auth/")) => {
            format!("{host}: {rest}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_left_out_and_nothing_else() {
        assert_eq!(
            without_place("api-1.duosecurity.com/admin/v2/logs/activity: Duo refuses: try again"),
            "api-1.duosecurity.com: Duo refuses: try again"
        );
        assert_eq!(
            without_place("the journal took nothing: full"),
            "the journal took nothing: full"
        );
        assert_eq!(without_place("closed"), "closed");
    }
}
