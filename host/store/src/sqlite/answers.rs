//! The trait, answered: reads by a connection of their own, writes by the one writer.

use std::sync::Arc;

use picket_contract::{Admission, RuleState};

use super::submission::{Submission, Work};
use super::{SqliteStore, incident, outbox, progress, record, retention, versions};
use crate::segment;
use crate::{
    AlertFilter, AlertRow, AuditFilter, AuditRow, Committing, CursorRow, DedupRow, EventFilter, EventHead, Flood,
    Forgotten, GenerationRow, IncidentFilter, IncidentRow, InventoryRow, Kin, KinFilter, Letter, LetterFilter, Old,
    OutboxRow, PoisonRow, Reach, ReachFilter, Rows, RuleRow, Settlement, SinkRow, StepRow, Store, StoreError,
    StoredAdmission, StoredEvent, Stretch, SuppressedCount, Taken, Transaction, VersionRow, Volume, Waiting, Wake,
};

/// Events that are purged in one transaction: others have to write meanwhile.
const PURGED_AT_ONCE: u64 = 20_000;

impl Store for SqliteStore {
    fn transact(&self, tenant: &str, transaction: Transaction) -> Result<(), StoreError> {
        self.begin(tenant, transaction)?.wait()
    }

    fn begin(&self, tenant: &str, transaction: Transaction) -> Result<Committing, StoreError> {
        if transaction.is_empty() {
            return Ok(Committing::new(|| Ok(())));
        }
        let submission =
            Submission::new(transaction, &self.packers).map_err(|fault| fault.at(&self.path, "encoding"))?;
        let answer = self.writer()?.hand_over(Work::Transact {
            tenant: tenant.to_owned(),
            submission,
        })?;
        Ok(Committing::new(move || answer.wait().map(|_| ())))
    }

    fn tenants(&self) -> Result<Vec<Arc<str>>, StoreError> {
        let mut names = self.query("listing tenants", progress::names)?;
        names.retain(|name| segment::owner(name).is_none());
        Ok(names)
    }

    fn segments(&self, tenant: &str) -> Result<Vec<Arc<str>>, StoreError> {
        let mut names = self.query("listing segments", progress::names)?;
        names.retain(|name| segment::owner(name) == Some(tenant));
        Ok(names)
    }

    fn discard(&self, segment: &str) -> Result<(), StoreError> {
        if segment::owner(segment).is_none() {
            return Ok(());
        }
        let segment = segment.to_owned();
        self.write(Work::Discard { segment }).map(|_| ())
    }

    fn last_seq(&self, tenant: &str) -> Result<u64, StoreError> {
        self.journal(tenant, "reading the journal's last number", |journal| {
            journal.last_seq()
        })
    }

    fn known(&self, tenant: &str, log: &str, ids: &[(&str, i64)], near: i64) -> Result<Vec<bool>, StoreError> {
        let known = self.journal(tenant, "looking up event ids", |journal| {
            journal.known(log, ids, near).map(Some)
        })?;
        Ok(known.unwrap_or_else(|| vec![false; ids.len()]))
    }

    fn read(&self, tenant: &str, after: u64, max_events: usize) -> Result<Vec<Admission>, StoreError> {
        self.journal(tenant, "reading the journal", |journal| journal.read(after, max_events))
    }

    fn pending(&self, tenant: &str, up_to: u64, logs: &[(&str, i64)]) -> Result<Vec<StoredAdmission>, StoreError> {
        self.journal(tenant, "reading what is pending", |journal| {
            journal.pending(up_to, logs)
        })
    }

    fn events(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError> {
        let found = self.journal(tenant, "reading events", |journal| journal.events(seqs).map(Some))?;
        Ok(found.unwrap_or_else(|| vec![None; seqs.len()]))
    }

    fn heads(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<EventHead>>, StoreError> {
        let found = self.journal(tenant, "reading which events", |journal| journal.heads(seqs).map(Some))?;
        Ok(found.unwrap_or_else(|| vec![None; seqs.len()]))
    }

    fn search(&self, tenant: &str, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        self.journal(tenant, "searching events", |journal| journal.search(filter))
    }

    fn count(&self, tenant: &str) -> Result<Vec<(Arc<str>, u64)>, StoreError> {
        self.journal(tenant, "counting events", |journal| journal.count())
    }

    fn cursors(&self, tenant: &str) -> Result<Vec<CursorRow>, StoreError> {
        self.query("reading cursors", |connection| progress::cursors(connection, tenant))
    }

    fn inventory(&self, tenant: &str, kind: Option<&str>) -> Result<Vec<InventoryRow>, StoreError> {
        self.query("reading the inventory", |connection| {
            progress::inventory(connection, tenant, kind, None)
        })
    }

    fn inventory_object(&self, tenant: &str, kind: &str, id: &str) -> Result<Option<InventoryRow>, StoreError> {
        self.query("reading an object of the inventory", |connection| {
            progress::inventory(connection, tenant, Some(kind), Some(id)).map(|mut rows| rows.pop())
        })
    }

    fn rules(&self, tenant: &str) -> Result<Vec<RuleRow>, StoreError> {
        self.query("reading the rules' progress", |connection| {
            progress::rules(connection, tenant)
        })
    }

    fn state(&self, tenant: &str, rule: &str, state_version: u32) -> Result<RuleState, StoreError> {
        self.query("reading a rule's state", |connection| {
            progress::state(connection, tenant, rule, state_version)
        })
    }

    fn alerts(&self, tenant: &str, filter: &AlertFilter) -> Result<Vec<AlertRow>, StoreError> {
        self.query("reading alerts", |connection| {
            progress::alerts(connection, tenant, filter)
        })
    }

    fn count_alerts(&self, tenant: &str) -> Result<(u64, Option<i64>), StoreError> {
        self.query("counting alerts", |connection| {
            progress::count_alerts(connection, tenant)
        })
    }

    fn dedup(&self, tenant: &str, since: i64) -> Result<Vec<DedupRow>, StoreError> {
        self.query("reading dedup windows", |connection| {
            progress::dedup(connection, tenant, since)
        })
    }

    fn reaches(&self, journal: &str, of: &ReachFilter<'_>) -> Result<Vec<Reach>, StoreError> {
        self.query("looking for an incident", |connection| {
            incident::reaches(connection, journal, of)
        })
    }

    fn kin(&self, journal: &str, of: &KinFilter<'_>) -> Result<Vec<Kin>, StoreError> {
        self.query("looking for alerts about the same", |connection| {
            incident::kin(connection, journal, of)
        })
    }

    fn incidents(&self, tenant: &str, filter: &IncidentFilter) -> Result<Vec<IncidentRow>, StoreError> {
        self.query("reading incidents", |connection| {
            incident::list(connection, tenant, filter)
        })
    }

    fn stretch(&self, stretch: &Stretch<'_>) -> Result<Vec<OutboxRow>, StoreError> {
        self.query("reading the outbox", |connection| outbox::stretch(connection, stretch))
    }

    fn outbox_end(&self) -> Result<u64, StoreError> {
        self.query("reading the outbox's end", outbox::end)
    }

    fn sinks(&self) -> Result<Vec<SinkRow>, StoreError> {
        self.query("reading how sinks stand", outbox::sinks)
    }

    fn waiting(&self, waiting: &Waiting<'_>) -> Result<(u64, Option<i64>), StoreError> {
        self.query("counting what waits", |connection| outbox::waiting(connection, waiting))
    }

    fn letters(&self, filter: &LetterFilter<'_>) -> Result<Vec<Letter>, StoreError> {
        self.query("reading dead letters", |connection| outbox::letters(connection, filter))
    }

    fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        self.write(Work::Settle(settlement)).map(|_| ())
    }

    fn floods(&self, ended: i64, over: u32) -> Result<Vec<Flood>, StoreError> {
        self.query("counting alerts by the hour", |connection| {
            outbox::floods(connection, ended, over)
        })
    }

    fn summarise(&self, flood: Flood, summary: AlertRow) -> Result<(), StoreError> {
        self.write(Work::Summarise { flood, summary }).map(|_| ())
    }

    fn on_alerts(&self, wake: Wake) {
        if let Some(writer) = &self.writer {
            writer.on_alerts(wake);
        }
    }

    fn set_note(&self, tenant: &str, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        let value = value.map(str::to_owned);
        self.write(Work::Note {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            value,
        })
        .map(|_| ())
    }

    fn note(&self, tenant: &str, name: &str) -> Result<Option<String>, StoreError> {
        self.query("reading a note", |connection| progress::note(connection, tenant, name))
    }

    fn keep_versions(&self, versions: Vec<VersionRow>, steps: Vec<StepRow>) -> Result<(), StoreError> {
        self.write(Work::Versions { versions, steps }).map(|_| ())
    }

    fn versions(&self) -> Result<Vec<VersionRow>, StoreError> {
        self.query("reading the versions of modules", versions::all)
    }

    fn version_steps(&self, file: &str) -> Result<Vec<StepRow>, StoreError> {
        self.query("reading what became of versions", |connection| {
            versions::steps(connection, file)
        })
    }

    fn since(&self, tenant: &str, from: i64, most: u64) -> Result<u64, StoreError> {
        self.journal(tenant, "looking for a time in the journal", |journal| {
            journal.since(from, most)
        })
    }

    fn earliest(&self, tenant: &str, logs: &[&str]) -> Result<Option<i64>, StoreError> {
        self.journal(tenant, "looking for the journal's beginning", |journal| {
            journal.earliest(logs)
        })
    }

    fn forget(&self, tenant: &str, log: &str, old: &Old) -> Result<u64, StoreError> {
        self.write(Work::Forget {
            tenant: tenant.to_owned(),
            log: log.to_owned(),
            old: *old,
        })
    }

    fn forget_ids(&self, tenant: &str, log: &str, before: i64, most: u64) -> Result<u64, StoreError> {
        self.write(Work::ForgetIds {
            tenant: tenant.to_owned(),
            log: log.to_owned(),
            before,
            most,
        })
    }

    fn forget_alerts(&self, tenant: &str, before: i64, up_to: u64, most: u64) -> Result<u64, StoreError> {
        self.write(Work::ForgetAlerts {
            tenant: tenant.to_owned(),
            before,
            up_to,
            most,
        })
    }

    fn forget_records(&self, before: i64, most: u64) -> Result<u64, StoreError> {
        self.write(Work::ForgetRecords { before, most })
    }

    fn volumes(&self, tenant: &str) -> Result<Vec<Volume>, StoreError> {
        self.query("reading how much is stored", |connection| {
            retention::volumes(connection, tenant)
        })
    }

    fn taken(&self, tenant: &str) -> Result<Taken, StoreError> {
        self.query("reading what a tenant takes", |connection| {
            retention::taken(connection, tenant)
        })
    }

    fn rows_of(&self, tenant: &str) -> Result<Vec<Rows>, StoreError> {
        self.query("counting what is stored of a tenant", |connection| {
            retention::rows_of(connection, tenant)
        })
    }

    fn purge(&self, tenant: &str) -> Result<(), StoreError> {
        loop {
            let gone = self.write(Work::Purge {
                tenant: tenant.to_owned(),
                most: PURGED_AT_ONCE,
            })?;
            // Its number may be another tenant's one day.
            self.kept.clear();
            if gone == 0 {
                return Ok(());
            }
        }
    }

    fn forgotten(&self, tenant: &str) -> Result<Vec<Forgotten>, StoreError> {
        self.query("reading what is forgotten", |connection| {
            progress::forgotten(connection, tenant)
        })
    }

    fn suppressed(&self, tenant: &str) -> Result<Vec<SuppressedCount>, StoreError> {
        self.query("counting what exceptions suppressed", |connection| {
            record::suppressed(connection, tenant)
        })
    }

    fn note_audit(&self, entries: Vec<AuditRow>) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        self.write(Work::Audit { entries }).map(|_| ())
    }

    fn audit(&self, filter: &AuditFilter<'_>) -> Result<Vec<AuditRow>, StoreError> {
        self.query("reading the audit log", |connection| {
            record::audited(connection, filter)
        })
    }

    fn note_generation(&self, tenant: &str, generation: GenerationRow) -> Result<(), StoreError> {
        self.write(Work::Generation {
            tenant: tenant.to_owned(),
            generation,
        })
        .map(|_| ())
    }

    fn generations(&self, tenant: &str) -> Result<Vec<GenerationRow>, StoreError> {
        self.query("reading what judged when", |connection| {
            record::generations(connection, tenant)
        })
    }

    fn poison(&self, tenant: &str) -> Result<Vec<PoisonRow>, StoreError> {
        self.query("reading what rules fail on", |connection| {
            progress::poison(connection, tenant)
        })
    }
}
