//! What `/metrics` says: each family by name, with what it is.
//!
//! Gauges and counters that others keep are read here, at the moment they are asked for; docs/metrics.md has them all, and a test
//! holds the two together. With `metrics: {tenant_label: false}` tenants are one: counters are added up, and of how far behind
//! somebody is the worst stands.

use std::collections::BTreeMap;
use std::fmt;

use picket_collect::Standing;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use serde_json::Value;

use super::{Labels, readiness};
use crate::daemon::{Daemon, lock};
use crate::{rules_view, status, when};

/// How the values of tenants that are not told apart are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joined {
    Sum,
    Worst,
}

/// One name, and its values by labels.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    joined: Joined,
    values: BTreeMap<Labels, f64>,
}

/// All of them, in order.
#[derive(Debug, Default)]
struct Facts {
    families: Vec<Family>,
    by_tenant: bool,
}

impl Facts {
    fn counter(&mut self, name: &'static str, help: &'static str) -> Values<'_> {
        self.family(name, help, MetricType::Counter, Joined::Sum)
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, joined: Joined) -> Values<'_> {
        self.family(name, help, MetricType::Gauge, joined)
    }

    fn family(&mut self, name: &'static str, help: &'static str, kind: MetricType, joined: Joined) -> Values<'_> {
        let by_tenant = self.by_tenant;
        let at = self
            .families
            .iter()
            .position(|family| family.name == name)
            .unwrap_or_else(|| {
                self.families.push(Family {
                    name,
                    help,
                    kind,
                    joined,
                    values: BTreeMap::new(),
                });
                self.families.len() - 1
            });
        Values {
            family: self.families.get_mut(at),
            by_tenant,
        }
    }
}

/// Where values of a family are put.
struct Values<'a> {
    family: Option<&'a mut Family>,
    by_tenant: bool,
}

impl Values<'_> {
    fn put(self, labels: &[(&'static str, &str)], value: f64) {
        let Some(family) = self.family else { return };
        let kept = labels.iter().filter(|(name, _)| self.by_tenant || *name != "tenant");
        let labels: Labels = kept.map(|(name, value)| (*name, (*value).to_owned())).collect();
        let joined = family.joined;
        let known = family
            .values
            .entry(labels)
            .or_insert(if joined == Joined::Sum { 0.0 } else { f64::MIN });
        *known = match joined {
            Joined::Sum => *known + value,
            Joined::Worst => known.max(value),
        };
    }
}

impl Collector for Facts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.families {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.values {
                let mut one = metric.encode_family(labels)?;
                match family.kind {
                    MetricType::Counter => one.encode_counter::<NoLabelSet, _, f64>(value, None)?,
                    _ => one.encode_gauge(value)?,
                }
            }
        }
        Ok(())
    }
}

/// Everything, as text.
///
/// # Errors
/// The store's.
pub(super) fn text(daemon: &Daemon) -> anyhow::Result<String> {
    let mut own = Facts {
        by_tenant: daemon.config().tenant_label,
        ..Facts::default()
    };
    collection(daemon, &mut own);
    rules(daemon, &mut own)?;
    delivery(daemon, &mut own)?;
    deliveries(daemon, &mut own);
    event_deliveries(daemon, &mut own);
    whole(daemon, &mut own);
    let mut registry = Registry::with_prefix("duo");
    registry.register_collector(Box::new(own));
    let mut text = String::new();
    encode_registry(&mut text, &daemon.sight.registry())?;
    encode_registry(&mut text, &registry)?;
    let mut process = Facts::default();
    process_facts(daemon, &mut process);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(process));
    encode_registry(&mut text, &registry)?;
    encode_eof(&mut text)?;
    Ok(text)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "figures for graphs: beyond 2^53 nobody reads the last digit"
)]
fn figure(value: u64) -> f64 {
    value as f64
}

#[allow(clippy::cast_precision_loss, reason = "spans of years in ms are far below 2^53")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn collection(daemon: &Daemon, facts: &mut Facts) {
    let now = when::now();
    for tenant in &daemon.fleet.running() {
        for log in tenant.board.status(now) {
            if log.standing == Standing::NotCollected {
                continue;
            }
            let labels = [("tenant", &*tenant.id), ("stream", log.log.as_str())];
            facts
                .counter("events_ingested", "Events that the journal took, each once")
                .put(&labels, figure(log.events));
            facts
                .counter(
                    "events_unidentified",
                    "Of these, rows without id or time: kept, and shown to no rule",
                )
                .put(&labels, figure(log.unidentified));
            facts
                .counter("rate_limited", "How often Duo said 429")
                .put(&labels, figure(log.rate_limited));
            facts
                .gauge("stream_up", "1: Duo's last answer was a page", Joined::Sum)
                .put(&labels, if log.standing == Standing::Working { 1.0 } else { 0.0 });
            let skew = log.clock_skew.unwrap_or(0);
            if let Some(newest) = log.last_event {
                facts
                    .gauge(
                        "event_lag_seconds",
                        "Since the newest event, by Duo's clock",
                        Joined::Worst,
                    )
                    .put(&labels, seconds(now.saturating_add(skew).saturating_sub(newest)));
            }
            if let Some(lag) = log.lag {
                facts
                    .gauge(
                        "cursor_age_seconds",
                        "How far collection is behind Duo's clock; two minutes and a poll interval are normal",
                        Joined::Worst,
                    )
                    .put(&labels, seconds(lag));
            }
            if let Some(skew) = log.clock_skew {
                facts
                    .gauge("clock_skew_seconds", "Duo's clock less ours", Joined::Worst)
                    .put(&labels, seconds(skew));
            }
        }
        let ration = tenant.pipeline.ration();
        facts
            .gauge(
                "rules_held_back",
                "Rules that wait because the tenant's fuel is burnt",
                Joined::Sum,
            )
            .put(&[("tenant", &*tenant.id)], figure(ration.held.len() as u64));
    }
    let (moving, all) = readiness::of(daemon).moving;
    let count = facts.gauge(
        "accounts",
        "Accounts that are configured, by whether Duo answers",
        Joined::Sum,
    );
    count.put(&[("state", "moving")], figure(moving as u64));
    let count = facts.gauge("accounts", "", Joined::Sum);
    count.put(&[("state", "silent")], figure(all.saturating_sub(moving) as u64));
}

fn rules(daemon: &Daemon, facts: &mut Facts) -> anyhow::Result<()> {
    for (rule, counts) in daemon.counts.all() {
        let labels = [("rule", &*rule)];
        facts
            .counter("rule_fuel", "Fuel burnt: how much computing a rule costs")
            .put(&labels, figure(counts.fuel));
        facts
            .counter(
                "rule_quarantines",
                "How often a rule was stopped, failed probes among them",
            )
            .put(&labels, figure(counts.quarantined));
        facts
            .counter("rule_rows_skipped", "Rows that a rule fails on and was not shown")
            .put(&labels, figure(counts.skipped));
        facts
            .counter(
                "rule_gaps",
                "How often a rule went on behind events that were forgotten meanwhile",
            )
            .put(&labels, figure(counts.gaps));
        facts
            .counter("rule_log_lines_dropped", "Lines logged past the limit")
            .put(&labels, figure(counts.log_dropped));
        for (kind, count) in &counts.failures {
            facts
                .counter(
                    "rule_faults",
                    "Failures of a rule that stopped it or cost it a row, by code",
                )
                .put(&[("rule", &*rule), ("kind", kind)], figure(*count));
        }
    }
    for (rule, count) in daemon.engine.late_calls() {
        facts
            .counter(
                "rule_late_calls",
                "Calls that took longer than `late_after` on the wall clock",
            )
            .put(&[("rule", &rule)], figure(count));
    }
    for rule in rules_view::of(daemon, false)? {
        let of = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        facts
            .gauge(
                "rule_state",
                "1 for the state that a rule is in: active, shadow, warming, learning, paused, quarantined, rejected, off",
                Joined::Worst,
            )
            .put(&[("rule", &of("id")), ("module", &of("module")), ("state", &of("state"))], 1.0);
    }
    Ok(())
}

fn delivery(daemon: &Daemon, facts: &mut Facts) -> anyhow::Result<()> {
    let now = when::now();
    for sink in status::sinks(&daemon.config(), &*daemon.store)? {
        let of = |name: &str| sink.get(name).and_then(Value::as_str);
        let number = |name: &str| figure(sink.get(name).and_then(Value::as_u64).unwrap_or(0));
        let name = of("name").unwrap_or_default();
        let labels = [("sink", name)];
        let works = of("trouble").is_none() && sink.get("disabled") != Some(&Value::Bool(true));
        facts
            .gauge("sink_up", "1: the sink took what it was given last", Joined::Sum)
            .put(&labels, if works { 1.0 } else { 0.0 });
        facts
            .gauge(
                "outbox_pending",
                "Alerts that are still to be delivered; counting ends at 100,000",
                Joined::Sum,
            )
            .put(&labels, number("pending"));
        let oldest = of("oldest").and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let waits = oldest.map_or(0, |oldest| now.saturating_sub(oldest.as_millisecond()).max(0));
        facts
            .gauge(
                "outbox_oldest_seconds",
                "How long the oldest of them has waited",
                Joined::Worst,
            )
            .put(&labels, seconds(waits));
        facts
            .gauge(
                "outbox_dead_letters",
                "Alerts that the sink refused for good, and nobody has looked after",
                Joined::Sum,
            )
            .put(&labels, number("dead"));
    }
    Ok(())
}

/// What sinks did since they began.
fn deliveries(daemon: &Daemon, facts: &mut Facts) {
    for (sink, results) in daemon.delivery.tallies() {
        for (result, count) in results {
            facts
                .counter(
                    "sink_deliveries",
                    "Alerts that a sink took or refused for good, and tries that came to nothing",
                )
                .put(&[("sink", &sink), ("result", result)], figure(count));
            if result == "refused" {
                facts
                    .counter("sink_dead_letters", "Alerts that a sink refused for good")
                    .put(&[("sink", &sink)], figure(count));
            }
        }
    }
}

/// What sinks that get events did with them.
fn event_deliveries(daemon: &Daemon, facts: &mut Facts) {
    for (sink, results, lost) in daemon.delivery.event_tallies() {
        for (result, count) in results {
            facts
                .counter(
                    "sink_events",
                    "Events that a sink took or refused for good, and tries that came to nothing",
                )
                .put(&[("sink", &sink), ("result", result)], figure(count));
        }
        facts
            .counter(
                "sink_events_lost",
                "Events that were given up before the sink took them",
            )
            .put(&[("sink", &sink)], figure(lost));
    }
}

/// Of the installation as a whole.
fn whole(daemon: &Daemon, facts: &mut Facts) {
    let config = daemon.config();
    for (file, name) in [("database", "picket.db"), ("log", "picket.db-wal")] {
        let bytes = std::fs::metadata(config.data_dir.join(name)).map_or(0, |metadata| metadata.len());
        facts
            .gauge("store_bytes", "Size of the store's files", Joined::Sum)
            .put(&[("file", file)], figure(bytes));
    }
    let reloads = lock(&daemon.reloads).clone();
    let last = reloads.last.unwrap_or_default();
    let is_good = last.get("in_force").and_then(Value::as_bool).unwrap_or(true);
    facts
        .gauge(
            "config_last_reload_successful",
            "1: what stands in the files is in force",
            Joined::Sum,
        )
        .put(
            &[],
            if is_good && reloads.refused.is_empty() {
                1.0
            } else {
                0.0
            },
        );
    let at = last
        .get("time")
        .and_then(Value::as_str)
        .and_then(|time| time.parse::<jiff::Timestamp>().ok());
    facts
        .gauge(
            "config_last_reload_timestamp_seconds",
            "When files were last read",
            Joined::Sum,
        )
        .put(&[], seconds(at.map_or(daemon.started, jiff::Timestamp::as_millisecond)));
    facts
        .counter("config_reloads", "How often they were read again")
        .put(&[], figure(reloads.count));
    let found = readiness::of(daemon);
    facts
        .gauge("ready", "1: data moves, as /readyz has it", Joined::Sum)
        .put(&[], if found.wrong.is_empty() { 1.0 } else { 0.0 });
    if let Some(after) = daemon.sight.first_poll() {
        facts
            .gauge(
                "first_poll_seconds",
                "From the start of the process to the first poll",
                Joined::Sum,
            )
            .put(&[], after.as_secs_f64());
    }
    facts
        .gauge("build_info", "What runs", Joined::Sum)
        .put(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
}

/// Of the process, by the names that everybody's have.
fn process_facts(daemon: &Daemon, facts: &mut Facts) {
    facts
        .gauge("process_start_time_seconds", "When it started", Joined::Sum)
        .put(&[], seconds(daemon.started));
    // Linux alone has these.
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return;
    };
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = resident.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    if let Some(kilobytes) = kilobytes {
        facts
            .gauge("process_resident_memory_bytes", "Memory that it takes", Joined::Sum)
            .put(&[], figure(kilobytes.saturating_mul(1024)));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        facts
            .gauge(
                "process_open_fds",
                "Files and connections that it holds open",
                Joined::Sum,
            )
            .put(&[], figure(open.count() as u64));
    }
}
