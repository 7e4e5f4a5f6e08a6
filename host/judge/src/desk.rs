//! Where readers bring their runs: each rule is called, and one that fails or has burnt enough for once is put aside.

use std::sync::Arc;

use picket_contract::{FailedRow, Failure, FailureKind};
use picket_event::{Offer, Plan, RowRef};
use picket_store::{Fate, PoisonRow, Quarantine, Standing, StoreError};

use crate::acquaintance::Acquaintance;
use crate::alerts::Raised;
use crate::call::{self, Halt, Showing, Slot, Stop};
use crate::evidence::Layered;
use crate::quota::Quota;
use crate::reader::{Judge, Run};
use crate::sift::Sieve;
use crate::verdict::{Outcome, Settings, Trouble, Verdict};

/// What judges the runs of all readers during one feeding.
pub(crate) struct Desk<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) slots: &'a mut Vec<Slot>,
    pub(crate) acquaintance: &'a mut Acquaintance,
    pub(crate) settings: Settings,
    pub(crate) quota: Quota,
    pub(crate) evidence: &'a Layered<'a>,
    pub(crate) now: i64,
    pub(crate) sieve: Sieve<'a>,
    /// Alerts that are no repeats.
    pub(crate) raised: Vec<Raised>,
    pub(crate) verdict: &'a mut Verdict,
}

impl Judge for Desk<'_> {
    fn judge(&mut self, members: &mut Vec<usize>, run: &Run<'_>) -> Result<(), StoreError> {
        let mut stopped = Vec::new();
        let offer = Offer::new(run.rows, self.plan);
        let showing = Showing {
            run,
            offer: &offer,
            quota: self.quota,
            most_rows: self.settings.batch_rows.max(1),
            at_once: self.settings.fuel_at_once,
            evidence: self.evidence,
        };
        // A module's rules one after the other: its code and a memory that it used are still near the processor.
        let module = |member: &usize| self.slots.get(*member).map(|slot| &*slot.rule.module);
        members.sort_by(|one, other| module(one).cmp(&module(other)));
        for member in members.iter() {
            let Some(slot) = self.slots.get_mut(*member) else {
                self.acquaintance.learn(&offer, run.watermark);
                continue;
            };
            let judged = call::judge(slot, showing)?;
            let is_past = run.to.seq <= slot.historic_until;
            for claim in judged.claims {
                if is_past {
                    self.verdict.historic += 1;
                } else {
                    let raised = self
                        .sieve
                        .sift(*member, &slot.rule, claim, run, self.evidence, self.verdict)?;
                    self.raised.extend(raised);
                }
            }
            if judged.skipped.is_empty() && judged.stop.is_none() {
                continue;
            }
            let rule: Arc<str> = slot.rule.manifest.id.as_str().into();
            for (row, failure) in judged.skipped {
                self.verdict
                    .poison
                    .push(poison(&rule, &row, &failure, self.now, Fate::Skipped));
                self.verdict.troubles.push(Trouble {
                    rule: rule.clone(),
                    module: slot.rule.module.clone(),
                    code: failure.code,
                    reason: failure.to_string(),
                    report: failure.report(Some(&row)),
                    event: Some(row.event),
                    outcome: Outcome::Skipped,
                });
            }
            let Some(Stop { halt, row, position }) = judged.stop else {
                continue;
            };
            stopped.push(*member);
            slot.rule.position = position;
            slot.dirty = true;
            match halt {
                Halt::Enough => slot.held = true,
                Halt::Failed(failure) => self.quarantine(*member, rule, failure, row),
            }
        }
        members.retain(|member| !stopped.contains(member));
        Ok(())
    }
}

impl Desk<'_> {
    fn quarantine(&mut self, member: usize, rule: Arc<str>, failure: Failure, row: Option<FailedRow>) {
        let Some(slot) = self.slots.get_mut(member) else { return };
        let event = row.as_ref().map(|row| row.event.to_string());
        let terms = &slot.rule.terms;
        let before = slot.rule.standing.quarantine.take();
        if let Some(judged) = before.as_ref().filter(|before| before.event != event) {
            self.verdict.poison.extend(outlived(&rule, judged, self.now));
        }
        let again = before.filter(|before| {
            before.event == event && before.module == *slot.rule.module && before.limits == terms.limits
        });
        let attempts = again.as_ref().map_or(0, |before| before.attempts.saturating_add(1));
        let report = failure.report(row.as_ref());
        if let Some(row) = &row {
            self.verdict
                .poison
                .push(poison(&rule, row, &failure, self.now, Fate::Held));
        }
        let wait = wait(self.settings, failure.kind, attempts, self.sieve.tenant(), &rule);
        slot.rule.standing = Standing {
            quarantine: Some(Quarantine {
                reason: failure.to_string(),
                code: failure.code.to_owned(),
                report: report.clone(),
                event,
                log: row.as_ref().map(|row| row.log.clone()),
                module: slot.rule.module.to_string(),
                limits: terms.limits.clone(),
                since: again.map_or(self.now, |before| before.since),
                attempts,
                retry_at: self.now.saturating_add(wait),
            }),
            ..std::mem::take(&mut slot.rule.standing)
        };
        self.verdict.troubles.push(Trouble {
            rule,
            module: slot.rule.module.clone(),
            code: failure.code,
            reason: failure.to_string(),
            report,
            event: row.map(|row| row.event),
            outcome: Outcome::Quarantined,
        });
    }
}

/// How long until the next probe, ms: twice as long each time, and of that three quarters to the whole. Which share is a matter
/// of who and how often, so that the rules that one outage stopped are not all probed in one moment, and yet a second run of
/// the same does the same.
fn wait(settings: Settings, kind: FailureKind, attempts: u32, tenant: &str, rule: &str) -> i64 {
    // What is the host's own failing is likely over in a moment.
    let first = if kind == FailureKind::Host {
        settings.probe_after_ms / 30
    } else {
        settings.probe_after_ms
    };
    let whole = first
        .max(1)
        .saturating_mul(1_i64 << attempts.min(30))
        .min(settings.probe_at_most_ms);
    let hash = blake3::hash(format!("{tenant}\0{rule}\0{attempts}").as_bytes());
    let share = hash.as_bytes().first().copied().unwrap_or_default();
    whole - whole / 4 * i64::from(share) / 255
}

fn poison(rule: &Arc<str>, row: &FailedRow, failure: &Failure, now: i64, fate: Fate) -> PoisonRow {
    PoisonRow {
        rule: rule.clone(),
        log: row.log.clone(),
        event: row.event.clone(),
        code: failure.code.into(),
        reason: failure.to_string().into(),
        time: now,
        fate,
    }
}

/// The row that held a rule, now that it has been judged.
pub(crate) fn outlived(rule: &Arc<str>, quarantine: &Quarantine, now: i64) -> Option<PoisonRow> {
    Some(PoisonRow {
        rule: rule.clone(),
        log: quarantine.log.clone()?,
        event: quarantine.event.as_deref()?.into(),
        code: quarantine.code.as_str().into(),
        reason: quarantine.reason.as_str().into(),
        time: now,
        fate: Fate::Judged,
    })
}

/// A row as failures name it.
pub(crate) fn named(row: &RowRef, number: usize, of: usize) -> Option<FailedRow> {
    let event = row.page.events().get(row.row as usize)?;
    Some(FailedRow {
        log: row.page.duo_log().clone(),
        event: event.id.clone(),
        number,
        of,
    })
}
