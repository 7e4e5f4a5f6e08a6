//! Runs rules natively, through the host's own idea of state: for `cargo test` in a rule's crate, and for benches.
//!
//! What is the same as in the sandbox: columns, state, timers, parameters, tables, alerts. What is not: limits (a rule that
//! loops for ever loops for ever) and isolation. So `picket rule test` runs the same cases again in the production sandbox.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use picket_contract as contract;
use picket_contract::state::{ENTRY_COST, StateLimits, TIMER_COST};
use picket_contract::{Call, Failure, FailureKind, LogLine, Outcome, ParamValue, RuleAlert, StateOverlay, Usage};

use crate::alert::{Alert, Severity};
use crate::columns::{Batch, Column, Group};
use crate::define::{Module, Rule};
use crate::host::native::install;
use crate::host::{Entries, Host, Level, Puts, Room, TableRow, Value};

/// A module's rules, compiled natively.
#[derive(Debug)]
pub struct Native {
    rules: Vec<&'static Rule>,
}

impl Native {
    /// The rules of a module.
    #[must_use]
    pub fn new(module: &'static Module) -> Self {
        Native {
            rules: module.rules().to_vec(),
        }
    }

    /// One rule.
    #[must_use]
    pub fn of(rule: &'static Rule) -> Self {
        Native { rules: vec![rule] }
    }
}

/// Runs the cases that a rule names with `tests = "..."`.
///
/// # Panics
/// If a case fails, with the report.
#[allow(clippy::panic, reason = "it is called by tests only, and this is how a test fails")]
pub fn check_cases(rule: &'static Rule) {
    let manifest = crate::describe::manifest(&[rule]);
    if let Err(report) = picket_test::run_native(rule.tests, &manifest, Arc::new(Native::of(rule))) {
        panic!("\n{report}");
    }
}

impl contract::Evaluate for Native {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let Some(rule) = self.rules.iter().find(|rule| rule.id == call.rule) else {
            return Err(failure(
                FailureKind::Malformed,
                format!("there is no rule `{}`", call.rule),
            ));
        };
        let services = Rc::new(RefCell::new(Services {
            params: call.params.clone(),
            tables: call.tables.clone(),
            ..Services::of_state(call.state.clone(), StateLimits::default())
        }));
        let outer = install(Some(Box::new(services.clone())));
        let answer = catch_unwind(AssertUnwindSafe(|| (rule.evaluate)(view(call.batch))));
        install(outer);
        let alerts = match answer {
            Ok(Ok(alerts)) => alerts,
            Ok(Err(message)) => return Err(failure(FailureKind::RuleError, message)),
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or(panic.downcast_ref::<&str>().copied());
                return Err(failure(
                    FailureKind::Trap,
                    text.unwrap_or("the rule panicked").to_owned(),
                ));
            }
        };
        let alerts: Result<Vec<RuleAlert>, String> = alerts.into_iter().map(alert).collect();
        let alerts = alerts.map_err(|message| failure(FailureKind::RuleError, message))?;
        let Some(services) = Rc::into_inner(services).map(RefCell::into_inner) else {
            return Err(failure(FailureKind::Host, "the host is still in use".to_owned()));
        };
        Ok(Outcome {
            alerts,
            changes: services.state.finish(),
            usage: Usage::default(),
            log: services.log,
        })
    }
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure::new(kind, message, Usage::default())
}

/// Borrows a host's batch as the SDK reads it.
fn view(batch: &contract::Batch) -> Batch<'_> {
    let groups = batch.groups.iter().map(|group| Group {
        source: group.source,
        events: &group.events,
        times: &group.times,
        late: &group.late,
        dictionary: &group.dictionary,
        offsets: &group.offsets,
        columns: group.columns.iter().map(column).collect(),
    });
    Batch {
        groups: groups.collect(),
        order: &batch.order,
        watermark: batch.watermark,
    }
}

fn column(column: &contract::Column) -> Column<'_> {
    match column {
        contract::Column::Text(codes) => Column::Text(codes),
        contract::Column::S64 { values, valid } => Column::S64(values, valid),
        contract::Column::F64 { values, valid } => Column::F64(values, valid),
        contract::Column::Bool(values) => Column::Bool(values),
        contract::Column::Texts { offsets, codes } => Column::Texts(offsets, codes),
    }
}

fn alert(alert: Alert) -> Result<RuleAlert, String> {
    let (proof, raised_by) = alert.proof()?;
    Ok(RuleAlert {
        time: proof.last().unwrap_or(&raised_by).time.as_ms(),
        evidence: proof.iter().map(|handle| handle.event).collect(),
        raised_by: raised_by.event,
        title: alert.title,
        dedup_key: alert.dedup_key,
        severity: alert.severity.map(|severity| match severity {
            Severity::Info => contract::Severity::Info,
            Severity::Low => contract::Severity::Low,
            Severity::Medium => contract::Severity::Medium,
            Severity::High => contract::Severity::High,
            Severity::Critical => contract::Severity::Critical,
        }),
        about: alert.about.map(|(kind, key, name)| contract::About { kind, key, name }),
        facts: alert.facts,
    })
}

/// The host services of one call.
pub(crate) struct Services {
    pub(crate) state: StateOverlay<'static>,
    params: contract::Params,
    tables: contract::Tables,
    log: Vec<LogLine>,
}

impl Services {
    /// Of a rule without parameters and tables.
    pub(crate) fn of_state(state: contract::RuleState, limits: StateLimits) -> Self {
        Services {
            state: StateOverlay::owned(state, limits),
            params: contract::Params::default(),
            tables: contract::Tables::default(),
            log: Vec::new(),
        }
    }
}

impl Host for Rc<RefCell<Services>> {
    fn get_entry(&mut self, key: &[u8], now: i64) -> Option<(Vec<u8>, i64)> {
        let mut services = self.borrow_mut();
        let entry = services.state.entry(key, now)?;
        Some((entry.value.to_vec(), entry.expires_at))
    }
    fn get_entries(&mut self, keys: &[u8], ends: &[u32], now: i64, most: u32) -> Entries {
        let (mut found, mut start) = (Entries::default(), 0);
        for end in ends {
            let end = *end as usize;
            let entry = self.get_entry(keys.get(start..end).unwrap_or_default(), now);
            let (value, expires_at) = entry.unwrap_or((Vec::new(), i64::MIN));
            if found.values.len() + value.len() > most as usize {
                break;
            }
            found.values.extend(value);
            found.ends.push(u32::try_from(found.values.len()).unwrap_or(u32::MAX));
            found.expires_at.push(expires_at);
            start = end;
        }
        found
    }
    fn put_entry(&mut self, key: &[u8], value: &[u8], now: i64, expires_at: i64) -> Option<i64> {
        self.borrow_mut().state.put(key, value, now, expires_at).ok()
    }
    fn get_room(&mut self) -> Room {
        let room = self.borrow().state.room();
        let cap = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Room {
            bytes: room.bytes as u64,
            entries: room.entries as u64,
            entry_bytes: cap(ENTRY_COST.max(TIMER_COST)),
            key_bytes: cap(room.limits.key_bytes),
            value_bytes: cap(room.limits.value_bytes),
            life: room.limits.life_ms,
            clock: room.clock.unwrap_or(i64::MIN),
        }
    }
    fn put_entries(&mut self, puts: &Puts, now: i64) -> bool {
        let (mut key_start, mut value_start, mut all_kept) = (0, 0, true);
        let ends = puts.key_ends.iter().zip(&puts.value_ends);
        for ((key_end, value_end), expires_at) in ends.zip(&puts.expires_at) {
            let (key_end, value_end) = (*key_end as usize, *value_end as usize);
            let key = puts.keys.get(key_start..key_end).unwrap_or_default();
            let value = puts.values.get(value_start..value_end).unwrap_or_default();
            match *expires_at {
                i64::MIN => self.delete(key, now),
                expires_at => all_kept &= self.put_entry(key, value, now, expires_at).is_some(),
            }
            (key_start, value_start) = (key_end, value_end);
        }
        all_kept
    }
    fn delete(&mut self, key: &[u8], now: i64) {
        self.borrow_mut().state.delete(key, now);
    }
    fn set_timer(&mut self, key: &[u8], at: i64) -> bool {
        self.borrow_mut().state.set_timer(key, at).is_ok()
    }
    fn cancel_timer(&mut self, key: &[u8]) {
        self.borrow_mut().state.cancel_timer(key);
    }
    fn next_timer(&mut self, before: i64) -> Option<(Vec<u8>, i64)> {
        self.borrow_mut()
            .state
            .next_timer(before)
            .map(|(key, at)| (key.to_vec(), at))
    }
    fn first_timer(&mut self) -> Option<i64> {
        self.borrow_mut().state.first_timer()
    }
    fn find(&mut self, table: &str, index: &str, key: &str) -> Option<Vec<TableRow>> {
        self.borrow().tables.find(table, index, key)
    }
    fn param(&mut self, name: &str) -> Option<Value> {
        Some(match self.borrow().params.get(name)?.clone() {
            ParamValue::Boolean(flag) => Value::Boolean(flag),
            ParamValue::Integer(number) => Value::Integer(number),
            ParamValue::Number(number) => Value::Number(number),
            ParamValue::Text(text) => Value::Text(text),
            ParamValue::Texts(texts) => Value::Texts(texts),
        })
    }
    fn log(&mut self, level: Level, message: &str) {
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        };
        self.borrow_mut().log.push(LogLine {
            level: level.to_owned(),
            message: message.to_owned(),
        });
    }
}
