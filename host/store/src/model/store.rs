//! The trait.

use std::sync::Arc;

use picket_contract::{Admission, RuleState};

use super::{
    AlertFilter, AlertRow, Committing, CursorRow, DedupRow, EventFilter, EventHead, Forgotten, InventoryRow, Old,
    PoisonRow, Rows, RuleRow, StepRow, StoreError, StoredAdmission, StoredEvent, Taken, Transaction, VersionRow,
    Volume,
};
#[allow(unused_imports, reason = "the documentation links to them")]
use super::{MOST_POISON, MOST_STEPS, MOST_VERSIONS};
use crate::incident::{IncidentFilter, IncidentRow, Kin, KinFilter, Reach, ReachFilter};
use crate::outbox::{Flood, Letter, LetterFilter, OutboxRow, Settlement, SinkRow, Stretch, Waiting, Wake};
use crate::record::{AuditFilter, AuditRow, GenerationRow, SuppressedCount};
#[allow(unused_imports, reason = "the documentation links to them")]
use crate::record::{MOST_AUDIT, MOST_GENERATIONS};

/// What must survive. Every method blocks. Only [`Store::transact`], [`Store::begin`], [`Store::settle`],
/// [`Store::summarise`],
/// [`Store::set_note`], [`Store::keep_versions`], [`Store::note_audit`], [`Store::note_generation`], [`Store::discard`],
/// [`Store::purge`] and those that forget write. What one call reads is of one moment; a call sees
/// everything that was acknowledged before it.
pub trait Store: Send + Sync {
    /// Writes everything of `transaction` or nothing, durably. Of concurrent calls, several may share one commit. `tenant` may
    /// be one of a tenant's segments (see [`crate::segment`]): then alerts and repeats are the tenant's, all else its own.
    ///
    /// Journal entries of marks alone are merged: one that says no more than that logs are complete, or live, gives way to a
    /// later one that says so of the same logs up to a later time, where no event and no other mark stands between. Numbers so
    /// given up are not given again.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: nothing was written. [`StoreError::Engine`]: the outcome is unknown.
    fn transact(&self, tenant: &str, transaction: Transaction) -> Result<(), StoreError>;

    /// The same without waiting for the disk: what is begun later is written later, and is refused where it builds on
    /// something begun before that failed.
    ///
    /// # Errors
    /// [`StoreError::Refused`]: it cannot be written at all. What else may fail, [`Committing::wait`] tells.
    fn begin(&self, tenant: &str, transaction: Transaction) -> Result<Committing, StoreError>;

    /// Tenants that have anything stored. Segments are not listed.
    ///
    /// # Errors
    /// The engine's.
    fn tenants(&self) -> Result<Vec<Arc<str>>, StoreError>;

    /// The names of a tenant's segments that have anything stored.
    ///
    /// # Errors
    /// The engine's.
    fn segments(&self, tenant: &str) -> Result<Vec<Arc<str>>, StoreError>;

    /// A segment has been judged to its end: its cursors, its rules' positions and what they remember are deleted. Its events
    /// stay, and so do the ids it holds. Of a tenant, nothing is deleted.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn discard(&self, segment: &str) -> Result<(), StoreError>;

    /// The journal's last number; 0: nothing yet.
    ///
    /// # Errors
    /// The engine's.
    fn last_seq(&self, tenant: &str) -> Result<u64, StoreError>;

    /// Which of these events (id and order time, ms) the journal holds already (or held, as far as
    /// [`Store::forget_ids`] left the ids of what was forgotten), in the order asked. One is found by its id in every admission of the log whose events' times reach to within `near` (ms) of
    /// its own. A row that tells its time has the same one each time it is read, so 0 finds it; what had to be placed beside its
    /// neighbours is found by as much as they may differ; `i64::MAX` looks everywhere.
    ///
    /// # Errors
    /// The engine's.
    fn known(&self, tenant: &str, log: &str, ids: &[(&str, i64)], near: i64) -> Result<Vec<bool>, StoreError>;

    /// Journal entries whose last number is above `after`, in order, until at least `max_events` events (marks alone count as
    /// one) or the end; empty only at the end. An admission is never cut: the first may hold events up to `after` too. What
    /// comes before a damaged piece is returned first; asked again from there, the damage is the error.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn read(&self, tenant: &str, after: u64, max_events: usize) -> Result<Vec<Admission>, StoreError>;

    /// Of each of these logs (Duo's) every event with a number up to `up_to` and an order time (ms) at or above what stands with
    /// it, and the marks of all up to `up_to`, as admissions in order (other events left out, numbers kept): what a reader needs
    /// to rebuild what was pending. No log: marks alone. Complete, live and stalled marks that a greater one of the same kind and log follows may be left out.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn pending(&self, tenant: &str, up_to: u64, logs: &[(&str, i64)]) -> Result<Vec<StoredAdmission>, StoreError>;

    /// Events by number, in the order asked; none where there is no such event.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn events(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<StoredEvent>>, StoreError>;

    /// The same without their bodies.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn heads(&self, tenant: &str, seqs: &[u64]) -> Result<Vec<Option<EventHead>>, StoreError>;

    /// Events by time, oldest first.
    ///
    /// # Errors
    /// The engine's; a damaged block is named.
    fn search(&self, tenant: &str, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError>;

    /// How many events, by log.
    ///
    /// # Errors
    /// The engine's.
    fn count(&self, tenant: &str) -> Result<Vec<(Arc<str>, u64)>, StoreError>;

    /// Where polling goes on, by log.
    ///
    /// # Errors
    /// The engine's.
    fn cursors(&self, tenant: &str) -> Result<Vec<CursorRow>, StoreError>;

    /// The inventory's objects of one kind, by id; none: of every kind, by kind and id.
    ///
    /// # Errors
    /// The engine's.
    fn inventory(&self, tenant: &str, kind: Option<&str>) -> Result<Vec<InventoryRow>, StoreError>;

    /// One object of the inventory.
    ///
    /// # Errors
    /// The engine's.
    fn inventory_object(&self, tenant: &str, kind: &str, id: &str) -> Result<Option<InventoryRow>, StoreError>;

    /// Every rule's progress, by rule and state version.
    ///
    /// # Errors
    /// The engine's.
    fn rules(&self, tenant: &str) -> Result<Vec<RuleRow>, StoreError>;

    /// What a rule remembers.
    ///
    /// # Errors
    /// The engine's.
    fn state(&self, tenant: &str, rule: &str, state_version: u32) -> Result<RuleState, StoreError>;

    /// Alerts, by event time.
    ///
    /// # Errors
    /// The engine's.
    fn alerts(&self, tenant: &str, filter: &AlertFilter) -> Result<Vec<AlertRow>, StoreError>;

    /// Rows that rules fail on, in the order they were first recorded; of each rule the latest [`MOST_POISON`].
    ///
    /// # Errors
    /// The engine's.
    fn poison(&self, tenant: &str) -> Result<Vec<PoisonRow>, StoreError>;

    /// How many alerts there are, and when the latest happened (event time, ms). Those of rules in shadow do not count, and
    /// those that an exception suppressed neither.
    ///
    /// # Errors
    /// The engine's.
    fn count_alerts(&self, tenant: &str) -> Result<(u64, Option<i64>), StoreError>;

    /// Every dedup window that ends after `since` (event time, ms), by rule, key and time. Not only the latest of a key: a late
    /// row may repeat an earlier alert. Windows that a segment's alerts opened are the segment's and not the tenant's.
    ///
    /// # Errors
    /// The engine's.
    fn dedup(&self, tenant: &str, since: i64) -> Result<Vec<DedupRow>, StoreError>;

    /// Incidents that have alerts of one principal around a time, by when they were opened, then by id. Those of a segment are
    /// the segment's, and those of the past apart from the live ones.
    ///
    /// # Errors
    /// The engine's.
    fn reaches(&self, journal: &str, of: &ReachFilter<'_>) -> Result<Vec<Reach>, StoreError>;

    /// Alerts of some rules about one subject around a time that belong to an incident, by time. Apart as the incidents are.
    ///
    /// # Errors
    /// The engine's.
    fn kin(&self, journal: &str, of: &KinFilter<'_>) -> Result<Vec<Kin>, StoreError>;

    /// A tenant's incidents, its segments' too, by their latest alerts.
    ///
    /// # Errors
    /// The engine's.
    fn incidents(&self, tenant: &str, filter: &IncidentFilter) -> Result<Vec<IncidentRow>, StoreError>;

    /// What is to be delivered to a sink, in order, at most `limit`; what waits in lanes is left out.
    ///
    /// # Errors
    /// The engine's.
    fn outbox(&self, sink: &str, limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        let after = self.sinks()?.into_iter().find(|row| *row.sink == *sink);
        self.stretch(&Stretch {
            after: after.map_or(0, |row| row.after),
            without_lanes_of: Some(sink),
            limit,
            ..Stretch::default()
        })
    }

    /// A stretch of the outbox, in order.
    ///
    /// # Errors
    /// The engine's.
    fn stretch(&self, stretch: &Stretch<'_>) -> Result<Vec<OutboxRow>, StoreError>;

    /// The outbox's last number; 0: there is nothing in it.
    ///
    /// # Errors
    /// The engine's.
    fn outbox_end(&self) -> Result<u64, StoreError>;

    /// Every sink that is known, by name, and how it stands.
    ///
    /// # Errors
    /// The engine's.
    fn sinks(&self) -> Result<Vec<SinkRow>, StoreError>;

    /// How many alerts wait for a sink, and when the oldest was raised (wall clock, ms).
    ///
    /// # Errors
    /// The engine's.
    fn waiting(&self, waiting: &Waiting<'_>) -> Result<(u64, Option<i64>), StoreError>;

    /// Alerts that a sink will not get by itself.
    ///
    /// # Errors
    /// The engine's.
    fn letters(&self, filter: &LetterFilter<'_>) -> Result<Vec<Letter>, StoreError>;

    /// Writes what came of delivering, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn settle(&self, settlement: Settlement) -> Result<(), StoreError>;

    /// The sink has accepted everything up to this number. A smaller number than before changes nothing.
    ///
    /// # Errors
    /// The engine's.
    fn delivered(&self, sink: &str, up_to: u64) -> Result<(), StoreError> {
        self.settle(Settlement::up_to(sink, up_to))
    }

    /// Hours that ended by `ended` (wall clock, ms) in which a rule raised more than `over` alerts for a tenant, and of which
    /// no summary was written.
    ///
    /// # Errors
    /// The engine's.
    fn floods(&self, ended: i64, over: u32) -> Result<Vec<Flood>, StoreError>;

    /// Puts the summary of a flood into the outbox, once; it is not listed with the alerts.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn summarise(&self, flood: Flood, summary: AlertRow) -> Result<(), StoreError>;

    /// Has `wake` called whenever there is more to deliver.
    fn on_alerts(&self, wake: Wake);

    /// A small named value (such as the running generation), kept for the daemon; none: delete. Tenant "" is the daemon's own.
    ///
    /// # Errors
    /// The engine's.
    fn set_note(&self, tenant: &str, name: &str, value: Option<&str>) -> Result<(), StoreError>;

    /// Reads a note.
    ///
    /// # Errors
    /// The engine's.
    fn note(&self, tenant: &str, name: &str) -> Result<Option<String>, StoreError>;

    /// What each exception has suppressed, by name. Alerts of rules in shadow do not count.
    ///
    /// # Errors
    /// The engine's.
    fn suppressed(&self, tenant: &str) -> Result<Vec<SuppressedCount>, StoreError>;

    /// Adds entries to the audit log, all or none; of all that there are, the latest [`MOST_AUDIT`] are kept.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn note_audit(&self, entries: Vec<AuditRow>) -> Result<(), StoreError>;

    /// The audit log, in the order in which it was written.
    ///
    /// # Errors
    /// The engine's.
    fn audit(&self, filter: &AuditFilter<'_>) -> Result<Vec<AuditRow>, StoreError>;

    /// Notes what judges a tenant from now on. If that is what judged before, nothing is noted. The latest
    /// [`MOST_GENERATIONS`] of each tenant are kept.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn note_generation(&self, tenant: &str, generation: GenerationRow) -> Result<(), StoreError>;

    /// What judged a tenant since when, the oldest first.
    ///
    /// # Errors
    /// The engine's.
    fn generations(&self, tenant: &str) -> Result<Vec<GenerationRow>, StoreError>;

    /// Takes note of versions of modules, by file and digest, and of steps on their way, all together. Of each file the latest
    /// [`MOST_VERSIONS`] that do not judge and do not wait are kept, and the latest [`MOST_STEPS`] steps.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn keep_versions(&self, versions: Vec<VersionRow>, steps: Vec<StepRow>) -> Result<(), StoreError>;

    /// Every version, in the order in which they came into their state.
    ///
    /// # Errors
    /// The engine's.
    fn versions(&self) -> Result<Vec<VersionRow>, StoreError>;

    /// The steps of a file's versions, the oldest first.
    ///
    /// # Errors
    /// The engine's.
    fn version_steps(&self, file: &str) -> Result<Vec<StepRow>, StoreError>;

    /// The number after which the journal has every event whose order time is `from` (ms) or later; where these are more than
    /// `most`, the number after which there are about so many (whole admissions).
    ///
    /// # Errors
    /// The engine's.
    fn since(&self, tenant: &str, from: i64, most: u64) -> Result<u64, StoreError>;

    /// The earliest order time (ms) of the events that the journal holds of these logs of Duo's.
    ///
    /// # Errors
    /// The engine's.
    fn earliest(&self, tenant: &str, logs: &[&str]) -> Result<Option<i64>, StoreError>;

    /// Forgets events of one of Duo's logs: see [`Old`]. Marks stay, and so does what ids are known. Returns how many events
    /// were forgotten; 0: there is nothing more. What a rule had not been shown of them it will never be: see
    /// [`Store::forgotten`].
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn forget(&self, tenant: &str, log: &str, old: &Old) -> Result<u64, StoreError>;

    /// How much has been forgotten, by log; nothing of a log that is whole.
    ///
    /// # Errors
    /// The engine's.
    fn forgotten(&self, tenant: &str) -> Result<Vec<Forgotten>, StoreError>;

    /// Forgets the ids of a log's admissions that have no event with an order time (ms) from `before` on, until about `most` ids
    /// are gone, the oldest first. An event that the journal still holds stays known, by reading it; one that is forgotten is
    /// known no longer. Returns how many ids were forgotten; 0: there is nothing more.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn forget_ids(&self, tenant: &str, log: &str, before: i64, most: u64) -> Result<u64, StoreError>;

    /// Forgets alerts that are over: raised about something before `before` (event time, ms), not repeated since, with a dedup
    /// window that ended before; of those that are to be delivered only such with a number in the outbox up to `up_to`. About
    /// `most` at once. Returns how many were forgotten.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn forget_alerts(&self, tenant: &str, before: i64, up_to: u64, most: u64) -> Result<u64, StoreError>;

    /// Forgets what was recorded before `before` (wall clock, ms): entries of the audit log, steps of versions, and what judged
    /// tenants, but for what judged at that time. About `most` of each at once. Returns how many were forgotten.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: outcome unknown.
    fn forget_records(&self, before: i64, most: u64) -> Result<u64, StoreError>;

    /// How much the journal holds, by log.
    ///
    /// # Errors
    /// The engine's.
    fn volumes(&self, tenant: &str) -> Result<Vec<Volume>, StoreError>;

    /// What a tenant and its segments take.
    ///
    /// # Errors
    /// The engine's.
    fn taken(&self, tenant: &str) -> Result<Taken, StoreError>;

    /// How many rows there are of a tenant and its segments, of every sort of which there are any: what
    /// [`Store::purge`] deletes.
    ///
    /// # Errors
    /// The engine's.
    fn rows_of(&self, tenant: &str) -> Result<Vec<Rows>, StoreError>;

    /// Deletes everything that is stored of a tenant and its segments, also from the audit log, in several transactions.
    /// Whatever else is written of it meanwhile may stay: nobody may work with the tenant.
    ///
    /// # Errors
    /// [`StoreError::Engine`]: a part may be deleted; asked again, the rest is.
    fn purge(&self, tenant: &str) -> Result<(), StoreError>;
}
