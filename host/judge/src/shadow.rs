//! A shadow run: a version of rules, and the one it is to replace, over the same stretch of the stored journal.
//!
//! Both begin with nothing in memory, a look-back before what is compared, so that neither is on better footing than the other;
//! then the same rows are shown to both in the same way. What each raises, burns and fails on is compared: by the alerts' ids,
//! which do not depend on the version, and by what they say. Nothing of it is stored, and the tenant's fuel is not touched; the
//! new version may burn so much and no more.
//!
//! A live shadow ([`Shadow`]) is the same run, begun at the journal's end and taken on as the journal grows.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{Admission, Mark, Severity};
use picket_store::{AlertRow, Repeat, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::evidence::InJournal;
use crate::pipeline::RuleSpec;
use crate::rule::Tenant;
use crate::stretch::Stretch;
use crate::verdict::{JudgeError, Outcome, Settings, Verdict};

/// How much of a look-back is read before what is compared, in multiples of the events compared: the rest of it matters little
/// to a comparison, since neither version has it.
const WARM_UP: u64 = 10;
/// Events read at once.
const PIECE: usize = 1000;
/// Alerts kept of one version: past it the run is over, since nobody would read more.
const MOST_ALERTS: usize = 20_000;

/// What is run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The tenant's journal, which is only read.
    pub store: &'a Arc<dyn Store>,
    /// Whose.
    pub tenant: &'a Arc<Tenant>,
    /// How rules are judged.
    pub settings: Settings,
    /// The version that judges; empty: there is none.
    pub old: &'a [RuleSpec],
    /// The version that is to.
    pub new: &'a [RuleSpec],
    /// Order time from which on events are compared, ms by Duo's clock.
    pub from: i64,
    /// Events compared at most, the latest.
    pub most_events: u64,
    /// Fuel that the new version may burn in all.
    pub most_fuel: u64,
    /// Wall clock, ms.
    pub now: i64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadowed {
    /// Events that both were compared on.
    pub events: u64,
    /// Order time of the earliest and of the latest of them, ms; none: there were none.
    pub span: Option<(i64, i64)>,
    /// What the version before did.
    pub old: Side,
    /// What the new version did.
    pub new: Side,
    /// It was stopped before its end.
    pub stopped: Option<Stopped>,
}

/// Why a run was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    /// Whoever asked for it wants it no more.
    Cancelled,
    /// The new version has burnt what it might.
    Fuel,
    /// One of the versions raises alerts without end.
    Alerts,
}

/// What one version did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Fuel burnt, by rule; that of the look-back too.
    pub fuel: BTreeMap<String, u64>,
    /// What its rules failed on.
    pub failures: Vec<Failed>,
    /// Alerts on the events compared, in the order raised.
    pub alerts: Vec<Told>,
}

/// A rule failed on a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The rule's id.
    pub rule: String,
    /// The failure's code.
    pub code: String,
    /// In words.
    pub reason: String,
    /// With everything that its author needs, on several lines.
    pub report: String,
    /// Id of the row that fails alone.
    pub event: Option<String>,
}

/// An alert, as far as it is compared and told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its id, which it has whichever version raises it.
    pub id: String,
    /// The rule's id.
    pub rule: String,
    /// Event time, ms.
    pub time: i64,
    /// How bad.
    pub severity: Severity,
    /// The rule's title.
    pub title: String,
    /// The subject's name.
    pub about: String,
    /// Ids of the evidence.
    pub events: Vec<String>,
    /// How often it was repeated.
    pub repeats: u64,
}

/// How what two versions raise differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Only the new version raises these.
    pub gained: Vec<Told>,
    /// Only the version before raises these.
    pub lost: Vec<Told>,
    /// Both raise these, with another severity, title or evidence: as it was, and as it is.
    pub changed: Vec<(Told, Told)>,
    /// How many both raise alike.
    pub same: u64,
}

impl Difference {
    /// Whether both raise the same.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.gained.is_empty() && self.lost.is_empty() && self.changed.is_empty()
    }
}

impl Side {
    /// Of all its rules.
    #[must_use]
    pub fn all_fuel(&self) -> u64 {
        self.fuel.values().fold(0, |all, fuel| all.saturating_add(*fuel))
    }

    fn hear(&mut self, verdict: Verdict) {
        for said in verdict.said {
            let fuel = self.fuel.entry(said.rule.to_string()).or_default();
            *fuel = fuel.saturating_add(said.usage.fuel);
        }
        let failed = verdict
            .troubles
            .into_iter()
            .filter(|trouble| trouble.outcome != Outcome::Missed);
        self.failures.extend(failed.map(|trouble| Failed {
            rule: trouble.rule.to_string(),
            code: trouble.code.to_owned(),
            reason: trouble.reason,
            report: trouble.report,
            event: trouble.event.map(|event| event.to_string()),
        }));
        self.alerts.extend(verdict.alerts.iter().map(Told::of));
        for Repeat { id, count, .. } in verdict.repeats {
            if let Some(told) = self.alerts.iter_mut().rev().find(|told| *told.id == *id) {
                told.repeats = told.repeats.saturating_add(count);
            }
        }
    }
}

impl Told {
    fn of(row: &AlertRow) -> Self {
        let json: Value = serde_json::from_str(&row.json).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Told {
            id: row.id.to_string(),
            rule: row.rule.to_string(),
            time: row.time,
            severity: row.severity,
            title: json.get("title").map(text).unwrap_or_default(),
            about: row.about.to_string(),
            events: json
                .get("events")
                .and_then(Value::as_array)
                .map(|events| events.iter().map(text).collect())
                .unwrap_or_default(),
            repeats: 0,
        }
    }
}

impl Shadowed {
    /// How what the two raised differs.
    #[must_use]
    pub fn difference(&self) -> Difference {
        let by_id = |side: &Side| -> BTreeMap<String, Told> {
            side.alerts.iter().map(|told| (told.id.clone(), told.clone())).collect()
        };
        let (old, mut new) = (by_id(&self.old), by_id(&self.new));
        let mut difference = Difference::default();
        for (id, was) in old {
            match new.remove(&id) {
                None => difference.lost.push(was),
                Some(is) if (is.severity, &is.title, &is.events) == (was.severity, &was.title, &was.events) => {
                    difference.same += 1;
                }
                Some(is) => difference.changed.push((was, is)),
            }
        }
        difference.gained.extend(new.into_values());
        difference.gained.sort_by_key(|told| told.time);
        difference.lost.sort_by_key(|told| told.time);
        difference
    }
}

/// Runs both. `is_wanted` is asked between pieces.
///
/// # Errors
/// [`JudgeError`]: the store's, or rules that cannot be judged.
pub fn run(what: Run<'_>, is_wanted: impl Fn() -> bool) -> Result<Shadowed, JudgeError> {
    let (store, tenant) = (what.store, &what.tenant.id);
    // In this order: what comes in between is run over as well. The other way round it would be run over instead of what was asked
    // for, and a version that is shown nothing has not failed.
    let from = store.since(tenant, what.from, what.most_events)?;
    let to = store.last_seq(tenant)?;
    if from >= to {
        return Ok(Shadowed::default());
    }
    let warm_from = warm_from(&what, from)?;
    let mut shadow = Shadow::begin(&what, (warm_from, from), to)?;
    shadow.read(to, what.now, what.most_fuel, is_wanted)?;
    Ok(shadow.found)
}

/// Where a live shadow begins that begins now: the number of the journal up to which it only looks back, and the one from which
/// it does. [`Run::from`] says of when the latest event is.
///
/// # Errors
/// [`JudgeError`]: the store's.
pub fn begins(what: &Run<'_>) -> Result<(u64, u64), JudgeError> {
    let from = lasting(&**what.store, &what.tenant.id)?;
    Ok((warm_from(what, from)?, from))
}

/// The number of the journal's last entry that stays as it is, with all before it: a store leaves out marks that later ones
/// say more of, back to the last event or mark of another kind, and a stretch that begins between them would be released
/// otherwise when it is read again. No event follows it.
fn lasting(store: &dyn Store, tenant: &str) -> Result<u64, StoreError> {
    let last = store.last_seq(tenant)?;
    let stays = |entry: &Admission| {
        let plain = |mark: &Mark| matches!(mark, Mark::Complete { .. } | Mark::Live { .. });
        !entry.events.is_empty() || !entry.marks.iter().all(plain)
    };
    let mut back = 64;
    loop {
        let mut after = last.saturating_sub(back);
        let from = after;
        let mut found = None;
        loop {
            let piece = store.read(tenant, after, PIECE)?;
            let lasting = piece.iter().rfind(|entry| stays(entry));
            found = lasting.map(Admission::last_seq).or(found);
            match piece.last().map(Admission::last_seq) {
                Some(read) if read > after && read < last => after = read,
                _ => break,
            }
        }
        match found {
            Some(found) => return Ok(found),
            None if from == 0 => return Ok(0),
            None => back = back.saturating_mul(8),
        }
    }
}

/// The number after which a run begins to look back.
fn warm_from(what: &Run<'_>, from: u64) -> Result<u64, JudgeError> {
    let look_back = what.old.iter().chain(what.new).map(look_back).max();
    let Some(look_back) = look_back.filter(|look_back| *look_back > 0) else {
        return Ok(from);
    };
    let events = what.most_events.saturating_mul(WARM_UP + 1);
    let earliest = what.from.saturating_sub(look_back);
    Ok(what.store.since(&what.tenant.id, earliest, events)?.min(from))
}

/// A version and the one it is to replace, side by side on their way through a tenant's journal. What it has found by a number
/// of the journal follows from where it began alone: begun there once more, as after a restart, it finds the same.
pub struct Shadow {
    stretch: Stretch,
    found: Shadowed,
    /// There is a version before.
    is_pair: bool,
}

impl Shadow {
    /// After the first number they look back, after the second what they raise counts. `to`: as far as the journal goes.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn begin(what: &Run<'_>, (warm_from, from): (u64, u64), to: u64) -> Result<Self, JudgeError> {
        let journal = InJournal {
            store: what.store.clone(),
            tenant: what.tenant.id.clone(),
        };
        let is_pair = !what.old.is_empty();
        let sets = sets(is_pair, what.old, what.new);
        let mut stretch = Stretch::begin(&journal, what.tenant, what.settings, &sets, (warm_from, to))?;
        stretch.past_ends_at(from);
        Ok(Shadow {
            stretch,
            found: Shadowed::default(),
            is_pair,
        })
    }

    /// Goes on up to a number of the journal, unless it was stopped. `now`: wall clock, ms.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn read(&mut self, to: u64, now: i64, most_fuel: u64, is_wanted: impl Fn() -> bool) -> Result<(), JudgeError> {
        if self.found.stopped.is_some() {
            return Ok(());
        }
        let (found, newest) = (&mut self.found, usize::from(self.is_pair));
        self.stretch.read(to, now, |index, verdict| {
            let is_new = index == newest;
            let side = if is_new { &mut found.new } else { &mut found.old };
            side.hear(verdict);
            found.stopped = if !is_wanted() {
                Some(Stopped::Cancelled)
            } else if is_new && side.all_fuel() > most_fuel {
                Some(Stopped::Fuel)
            } else if side.alerts.len() > MOST_ALERTS {
                Some(Stopped::Alerts)
            } else {
                None
            };
            found.stopped.is_none()
        })?;
        (found.events, found.span) = (self.stretch.events, self.stretch.span);
        Ok(())
    }

    /// Shows what failed the row that it failed on once more, when its time has come, as live judging does.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn retry(&mut self, now: i64) -> Result<(), JudgeError> {
        let (found, newest) = (&mut self.found, usize::from(self.is_pair));
        self.stretch.retry(now, |index, verdict| {
            let side = if index == newest {
                &mut found.new
            } else {
                &mut found.old
            };
            side.hear(verdict);
        })
    }

    /// The same versions under other terms from here on: parameters, tables, exceptions. After an error it has to be begun anew.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn judge_by(&mut self, old: &[RuleSpec], new: &[RuleSpec]) -> Result<(), JudgeError> {
        self.stretch.judge_by(&sets(self.is_pair, old, new))
    }

    /// What was found so far.
    #[must_use]
    pub fn found(&self) -> &Shadowed {
        &self.found
    }

    /// The number of the journal up to which it has read.
    #[must_use]
    pub fn after(&self) -> u64 {
        self.stretch.after()
    }
}

fn sets<'a>(is_pair: bool, old: &'a [RuleSpec], new: &'a [RuleSpec]) -> Vec<&'a [RuleSpec]> {
    if is_pair { vec![old, new] } else { vec![new] }
}

/// How far back a rule wants to look, ms.
fn look_back(spec: &RuleSpec) -> i64 {
    spec.manifest.state.look_back_ms
}
