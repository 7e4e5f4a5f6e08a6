//! Reading from the journal what the judge has not read yet.

use std::sync::atomic::Ordering;

use picket_contract::Admission;
use picket_store::{Committing, CursorRow, InventoryChange, StoreError, Transaction};
use tokio::sync::OwnedMutexGuard;

use super::{Desk, Inner, PipelineError};
use crate::verdict::Verdict;

/// Events read and judged at once while catching up.
const EVENTS_AT_ONCE: usize = 10_000;

/// What is stored together with a page.
#[derive(Debug, Default)]
pub(super) struct Along {
    pub(super) cursors: Vec<CursorRow>,
    pub(super) inventory: Vec<InventoryChange>,
}

impl From<Vec<CursorRow>> for Along {
    fn from(cursors: Vec<CursorRow>) -> Self {
        Along {
            cursors,
            ..Along::default()
        }
    }
}

impl Inner {
    /// Brings every rule level with the journal, and probes the quarantined rules that are due. After an error the judge is
    /// made anew from the store the next time.
    pub(super) fn follow(&self, mut desk: OwnedMutexGuard<Desk>) -> Result<(), PipelineError> {
        let followed = self.catch_up(&mut desk);
        if let Err(error) = &followed {
            desk.judge = None;
            self.options.observer.interrupted(&self.tenant.id, error);
        }
        followed
    }

    fn catch_up(&self, desk: &mut Desk) -> Result<(), PipelineError> {
        let now = (self.options.clock)();
        if self.options.ration.all_wait(now) {
            return Ok(());
        }
        let is_new = desk.judge.is_none();
        let judge = self.load(desk)?;
        let held_too = self.options.ration.may_go(now);
        if judge.resume(now, held_too, &self.journal)? > 0 || is_new {
            // What was released and not shown waits at these positions, also where there is nothing more to read.
            let verdict = judge.feed(0, &[], &self.journal, now)?;
            self.commit(Vec::new(), Vec::new(), verdict)?;
            judge.put_down();
            self.options.ration.set_held(judge.held());
            self.waiting.store(judge.waiting(), Ordering::Relaxed);
        }
        loop {
            if self.options.ration.all_wait((self.options.clock)()) {
                return Ok(());
            }
            let head = self.journal.store.last_seq(&self.journal.tenant)?;
            let judge = self.load(desk)?;
            let Some(after) = judge.behind(head) else { return Ok(()) };
            let admissions = match self.journal.store.read(&self.journal.tenant, after, EVENTS_AT_ONCE) {
                Ok(admissions) if admissions.is_empty() => return Ok(()),
                Ok(admissions) => admissions,
                // What cannot be read cannot be judged: it is reported, and the readers go on behind it.
                Err(StoreError::Damaged {
                    last_seq: Some(last_seq),
                    path,
                    what,
                    why,
                }) => {
                    let error = StoreError::Damaged {
                        last_seq: Some(last_seq),
                        path,
                        what,
                        why,
                    };
                    self.options.observer.interrupted(&self.tenant.id, &error.into());
                    vec![Admission {
                        first_seq: last_seq + 1,
                        log: "".into(),
                        events: Vec::new(),
                        marks: Vec::new(),
                    }]
                }
                Err(error) => return Err(error.into()),
            };
            let verdict = judge.feed(after, &admissions, &self.journal, (self.options.clock)())?;
            self.commit(Vec::new(), Vec::new(), verdict)?;
            judge.put_down();
            self.options.ration.set_held(judge.held());
            self.waiting.store(judge.waiting(), Ordering::Relaxed);
        }
    }

    /// One transaction: a page if there is one, and what came of judging.
    pub(super) fn commit(
        &self,
        admissions: Vec<Admission>,
        along: impl Into<Along>,
        verdict: Verdict,
    ) -> Result<(), StoreError> {
        self.send(admissions, along, verdict)?.wait()
    }

    /// The same without waiting for the disk.
    pub(super) fn send(
        &self,
        admissions: Vec<Admission>,
        along: impl Into<Along>,
        verdict: Verdict,
    ) -> Result<Committing, StoreError> {
        let Along { cursors, inventory } = along.into();
        let Verdict {
            commits,
            alerts,
            repeats,
            superseded,
            troubles,
            said,
            poison,
            historic: _,
        } = verdict;
        let told = alerts
            .iter()
            .filter(|alert| !alert.historic && !alert.shadow && alert.suppressed.is_none());
        let told: Vec<_> = told.map(|alert| (alert.rule.clone(), alert.severity)).collect();
        let transaction = Transaction {
            admissions,
            cursors,
            inventory,
            rules: commits,
            alerts,
            repeats,
            superseded,
            poison,
        };
        // Burnt is burnt, whether it comes to be on the disk or not.
        self.options.ration.burn(&said, (self.options.clock)());
        let committing = self.journal.store.begin(&self.journal.tenant, transaction)?;
        for (rule, severity) in &told {
            self.options.observer.alert(&self.tenant.id, rule, *severity);
        }
        for said in &said {
            self.options.observer.said(&self.tenant.id, said);
        }
        for trouble in &troubles {
            self.options.observer.trouble(&self.tenant.id, trouble);
        }
        Ok(committing)
    }
}
