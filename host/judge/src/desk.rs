//! Where readers bring their runs: each rule is called, and one that fails is put aside.

use std::sync::Arc;

use picket_contract::FailureKind;
use picket_event::{Offer, Plan};
use picket_store::{Quarantine, Standing, StoreError};

use crate::acquaintance::Acquaintance;
use crate::call::{self, Raised, Slot, Stop};
use crate::evidence::Evidence;
use crate::quota::Quota;
use crate::reader::{Judge, Run};
use crate::verdict::{Settings, Trouble, Verdict};

/// What judges the runs of all readers during one feeding.
pub(crate) struct Desk<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) slots: &'a mut Vec<Slot>,
    pub(crate) acquaintance: &'a mut Acquaintance,
    pub(crate) settings: Settings,
    pub(crate) quota: Quota,
    pub(crate) evidence: &'a dyn Evidence,
    pub(crate) now: i64,
    pub(crate) raised: Vec<Raised>,
    pub(crate) verdict: &'a mut Verdict,
}

impl Judge for Desk<'_> {
    fn judge(&mut self, members: &mut Vec<usize>, run: &Run<'_>) -> Result<(), StoreError> {
        let mut stopped = Vec::new();
        let offer = Offer::new(run.rows, self.plan);
        for member in members.iter() {
            let Some(slot) = self.slots.get_mut(*member) else {
                self.acquaintance.learn(&offer, run.watermark);
                continue;
            };
            let judged = call::judge(*member, slot, run, &offer, self.quota, self.evidence)?;
            let historic = run.to.seq <= slot.historic_until;
            self.raised
                .extend(judged.raised.into_iter().map(|raised| Raised { historic, ..raised }));
            let rule: Arc<str> = slot.rule.manifest.id.as_str().into();
            for (row, failure) in judged.skipped {
                let event = row.page.events().get(row.row as usize).map(|event| event.id.clone());
                let reason = failure.to_string();
                self.verdict.troubles.push(Trouble {
                    rule: rule.clone(),
                    reason,
                    event,
                    skipped: true,
                });
            }
            if let Some(stop) = judged.stop {
                self.verdict
                    .troubles
                    .push(quarantine(slot, rule, stop, self.settings, self.now));
                stopped.push(*member);
            }
        }
        members.retain(|member| !stopped.contains(member));
        Ok(())
    }
}

fn quarantine(slot: &mut Slot, rule: Arc<str>, stop: Stop, settings: Settings, now: i64) -> Trouble {
    let event = stop
        .row
        .and_then(|row| row.page.events().get(row.row as usize).map(|event| event.id.clone()));
    let before = slot
        .rule
        .standing
        .quarantine
        .take()
        .filter(|before| before.module == *slot.rule.module);
    let attempts = before.as_ref().map_or(0, |before| before.attempts.saturating_add(1));
    // What is the host's own failing is likely over in a moment.
    let first = if stop.failure.kind == FailureKind::Host {
        settings.probe_after_ms / 30
    } else {
        settings.probe_after_ms
    };
    let wait = first
        .max(1)
        .saturating_mul(1_i64 << attempts.min(30))
        .min(settings.probe_at_most_ms);
    slot.rule.position = stop.position;
    slot.dirty = true;
    slot.rule.standing = Standing {
        quarantine: Some(Quarantine {
            reason: stop.failure.to_string(),
            event: event.as_ref().map(ToString::to_string),
            module: slot.rule.module.to_string(),
            since: before.map_or(now, |before| before.since),
            attempts,
            retry_at: now.saturating_add(wait),
        }),
        unreadable: Vec::new(),
    };
    Trouble {
        rule,
        reason: stop.failure.to_string(),
        event,
        skipped: false,
    }
}
