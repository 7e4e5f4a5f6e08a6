//! Telling repeats from new alerts, as soon as they are raised.
//!
//! In a burst nearly every alert is a repeat, and of a repeat nothing is kept but that there was one. So it is told apart by
//! as little as possible: its key, its time and the id of its first event. Bodies of events are fetched for what is new, and so
//! is what an operator's exceptions ask about.

use std::sync::Arc;

use picket_event::{Known, RowRef};
use picket_store::{Repeat, StoreError, StoredEvent};

use crate::alerts::{self, Raised, subject};
use crate::call::Claim;
use crate::dedup::{Dedup, in_shadow};
use crate::evidence::Layered;
use crate::exceptions;
use crate::historic::Historic;
use crate::people::People;
use crate::reader::Run;
use crate::rule::{JudgedRule, Tenant};
use crate::verdict::Verdict;

/// Lets through what is new.
pub(crate) struct Sieve<'a> {
    pub(crate) tenant: &'a Tenant,
    pub(crate) historic: &'a Historic,
    pub(crate) dedup: &'a mut Dedup,
    pub(crate) people: &'a dyn People,
}

impl Sieve<'_> {
    pub(crate) fn tenant(&self) -> &str {
        &self.tenant.id
    }

    /// An alert of a rule with what proves it; none where it is a repeat, which is noted. `index` is the rule's.
    pub(crate) fn sift(
        &mut self,
        index: usize,
        rule: &JudgedRule,
        mut claim: Claim,
        run: &Run<'_>,
        events: &Layered<'_>,
        verdict: &mut Verdict,
    ) -> Result<Option<Raised>, StoreError> {
        let mut proof = Proof { run, events, all: None };
        self.shield(&mut claim, &mut proof)?;
        let key: Arc<str> = match &claim.alert.dedup_key {
            Some(key) => key.as_str().into(),
            None => {
                let about = subject(proof.event(claim.alert.raised_by)?.as_ref());
                about.map_or_else(Arc::default, |about| about.key.into())
            }
        };
        let is_shadow = alerts::is_shadow(rule);
        let id = alerts::id(&self.tenant.id, &rule.manifest.id, &key, &claim.first);
        // In shadow it is called otherwise, so that the same alert may go out when the rule does.
        let id = if is_shadow {
            id.replacen("al_", "sh_", 1).into()
        } else {
            id
        };
        let name: Arc<str> = if is_shadow {
            in_shadow(&rule.manifest.id)
        } else {
            rule.manifest.id.as_str().into()
        };
        let time = claim.alert.time;
        // Alerts on the other side of this time (ms) are not repeats of this one, nor is this one of them.
        let border = self.historic.start(&claim.log);
        if let Some(alert) = self.dedup.repeats(&name, &key, &id, time, border) {
            verdict.repeats.push(Repeat {
                id: alert,
                count: 1,
                time,
            });
            return Ok(None);
        }
        let Claim { alert, late, .. } = claim;
        let released = run.released(time);
        let evidence = proof.all(&alert.evidence)?;
        let mut raised = Raised {
            rule: index,
            id,
            dedup_key: key,
            dedup_until: time,
            alert,
            evidence,
            late,
            released,
            exception: None,
        };
        raised.shield(&self.tenant.mask);
        raised.exception = raised.exception(self.tenant, rule, self.people).cloned();
        if raised.exception.is_some() {
            // What nobody was told of makes nothing a repeat but itself.
            raised.id = exceptions::id(&raised.id, is_shadow);
            if let Some(same) = self.dedup.raised(&raised.id) {
                verdict.repeats.push(Repeat {
                    id: same,
                    count: 1,
                    time,
                });
                return Ok(None);
            }
        } else {
            let period = rule.terms.dedup_period_ms.unwrap_or(rule.manifest.dedup_period_ms);
            raised.dedup_until = time.saturating_add(period.max(0));
        }
        let (key, id) = (raised.dedup_key.clone(), raised.id.clone());
        self.dedup.open(name, key, id, time, raised.dedup_until);
        Ok(Some(raised))
    }

    /// What tells an alert apart, with pseudonyms in place of the phone numbers of its evidence: so its id does not depend on
    /// whether the rule was shown them in clear.
    fn shield(&self, claim: &mut Claim, proof: &mut Proof<'_>) -> Result<(), StoreError> {
        let alert = &mut claim.alert;
        let about = alert.about.iter_mut();
        let about = about.flat_map(|about| [&mut about.key, &mut about.name]);
        let texts = about.chain(alert.dedup_key.as_mut());
        let mut suspects: Vec<&mut String> = texts.filter(|text| Known::may_hold_number(text)).collect();
        if !suspects.is_empty() {
            let evidence = proof.all(&alert.evidence)?;
            alerts::shield(&mut suspects, &evidence, &self.tenant.mask);
            proof.all = Some(evidence);
        }
        Ok(())
    }
}

/// The events that an alert names, as they are needed.
struct Proof<'a> {
    run: &'a Run<'a>,
    events: &'a Layered<'a>,
    /// If they had to be fetched before the alert was known to be new.
    all: Option<Vec<StoredEvent>>,
}

impl Proof<'_> {
    fn event(&self, number: u64) -> Result<Option<StoredEvent>, StoreError> {
        match self.in_run(number) {
            Some(event) => Ok(Some(event)),
            None => Ok(self.events.find(&[number])?.pop().flatten()),
        }
    }

    /// All of them, by time. Those that are damaged or forgotten in the store are left out.
    fn all(&mut self, numbers: &[u64]) -> Result<Vec<StoredEvent>, StoreError> {
        if let Some(all) = self.all.take() {
            return Ok(all);
        }
        let (mut found, mut remembered) = (Vec::with_capacity(numbers.len()), Vec::new());
        for number in numbers {
            match self.in_run(*number) {
                Some(event) => found.push(event),
                None => remembered.push(*number),
            }
        }
        if !remembered.is_empty() {
            found.extend(self.events.find(&remembered)?.into_iter().flatten());
        }
        found.sort_by(|a, b| (a.event.time, &a.log, &a.event.id).cmp(&(b.event.time, &b.log, &b.event.id)));
        Ok(found)
    }

    fn in_run(&self, number: u64) -> Option<StoredEvent> {
        let (_, index) = self.run.numbered(number).first()?;
        let RowRef { page, row, .. } = self.run.rows.get(*index as usize)?;
        Some(StoredEvent {
            seq: number,
            log: page.duo_log().clone(),
            event: page.events().get(*row as usize)?.clone(),
        })
    }
}
