//! Whom the tenant knows: from where, and to what, each user has been let in before.
//!
//! An analyst's first question to any address is "has she been here before?". Answering it from the journal would mean to
//! read months of it for every alert, so the house keeps a memory: for each (user, address), (user, country), (user,
//! application) and each of these for the tenant, when it was first let in. It is kept like a rule's state: rows reach it in
//! release order, it has a position, it is committed in the same transaction, and so it survives what rules survive.
//! Entries are 64-bit hashes, since they are only ever asked for and never listed; one that is not renewed for 90 days goes.
//! Renewal counts in whole days, so how rows are cut into calls changes nothing, and is put off until it gains a sixteenth of
//! the 90: most days nobody new is met, and then nothing is written.

use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use picket_contract::manifest::{Field, SCHEMA};
use picket_contract::state::{ENTRY_COST, StateEntry};
use picket_contract::when::Test;
use picket_contract::{
    Batch, Column, FieldType, Group, Key, Op, Params, Position, RuleManifest, RuleState, Severity, Source,
    StateChanges, StateSummary, When,
};
use picket_event::{Offer, Plan, Selector};
use picket_store::{RuleCommit, Standing};
use rustc_hash::FxHashMap;

/// Its id among the store's rules; `rule list` leaves out what starts with `picket:`.
pub const RULE: &str = "picket:acquaintance";
/// Raised when the meaning of what is stored changes.
pub const STATE_VERSION: u32 = 1;
/// The log it learns from.
pub(crate) const LOG: &str = "authentication";
/// Stands for it among the members of a reader.
pub(crate) const INDEX: usize = usize::MAX;

const DAY: i64 = 86_400_000;
const KEEP_DAYS: i64 = 90;
/// What a renewal must gain, ms: a sixteenth of what is kept.
const WORTH: i64 = KEEP_DAYS * DAY / 16;
/// Since when anything is known.
const SINCE: u64 = 0;

/// What is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trait {
    /// An address.
    Address,
    /// A country.
    Country,
    /// An application.
    Application,
}

/// Memory of one tenant.
#[derive(Debug, Clone)]
pub struct Acquaintance {
    pub(crate) position: Position,
    selector: Option<Selector>,
    seen: FxHashMap<u64, Seen>,
    /// Nothing that is known goes before the clock is here, ms.
    goes: i64,
    /// What was seen of late, so that it need not be looked for while nothing is learned from it: a user with something, by its
    /// key.
    recent: Vec<Recent>,
    clock: Option<i64>,
    changes: StateChanges,
}

/// As many are remembered at most, a power of two: the users of a few hours.
const RECENT: usize = 4096;
/// And as many at least.
const LEAST_RECENT: usize = 16;

/// Something that was seen, and from when to when (ms, exclusive) nothing is learned from seeing it again.
#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    key: u64,
    from: i64,
    to: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    first: i64,
    until: i64,
}

impl Seen {
    /// From when to when it is neither known for longer nor renewed by being seen.
    fn nothing_new(self) -> Range<i64> {
        // Days are renewed as a whole: the last on which too little would be gained is the one before that on which all of
        // WORTH would.
        let renewed_from = self.until + WORTH - KEEP_DAYS * DAY - 1;
        self.first..renewed_from.div_euclid(DAY) * DAY
    }
}

impl Default for Acquaintance {
    fn default() -> Self {
        Acquaintance::restore(Position::start(), &RuleState::default())
    }
}

impl Acquaintance {
    /// What a store kept.
    #[must_use]
    pub fn restore(position: Position, state: &RuleState) -> Self {
        let entry = |(key, entry): (&Arc<[u8]>, &StateEntry)| {
            let key = u64::from_be_bytes((**key).try_into().ok()?);
            let first = i64::from_be_bytes((*entry.value).try_into().ok()?);
            Some((
                key,
                Seen {
                    first,
                    until: entry.expires_at,
                },
            ))
        };
        let seen: FxHashMap<u64, Seen> = state.entries().filter_map(entry).collect();
        Acquaintance {
            position,
            selector: None,
            goes: seen.values().map(|seen| seen.until).min().unwrap_or(i64::MAX),
            seen,
            recent: Vec::new(),
            clock: state.clock(),
            changes: StateChanges::default(),
        }
    }

    /// One that learns nothing of the journal up to its end.
    pub(crate) fn at_end(head: u64) -> Self {
        let released = Key::end_of(i64::MAX);
        Acquaintance::restore(Position { seq: head, released }, &RuleState::default())
    }

    /// When this was first let in before `before` (ms), for a user, or for anybody.
    #[must_use]
    pub fn first_seen(&self, what: Trait, user: Option<&str>, value: &str, before: i64) -> Option<i64> {
        let seen = self.seen.get(&pair(what, user.map_or(0, hash), hash(value)))?;
        (seen.first < before && seen.until > before).then_some(seen.first)
    }

    /// Since when it has watched (ms); none: it has seen nobody let in.
    #[must_use]
    pub fn since(&self) -> Option<i64> {
        self.seen.get(&SINCE).map(|seen| seen.first)
    }

    pub(crate) fn fit(&mut self, plan: &Plan) {
        self.selector = Selector::new(&manifest(), &Params::new(), plan).ok();
    }

    pub(crate) fn learn(&mut self, offer: &Offer<'_>, watermark: i64) {
        if let Some(selector) = &self.selector {
            let choice = selector.choose(offer);
            let batch = selector.batch(offer, &choice, 0..choice.len(), watermark);
            self.learn_batch(&batch);
        }
    }

    fn learn_batch(&mut self, batch: &Batch) {
        for group in &batch.groups {
            let hashes = hashes(group);
            for (row, time) in group.times.iter().enumerate() {
                let of = |column: usize| match group.columns.get(column) {
                    Some(Column::Text(codes)) => hashes.get(*codes.get(row)? as usize).copied(),
                    _ => None,
                };
                let Some(user) = of(0) else { continue };
                for (column, what) in [(1, Trait::Address), (2, Trait::Country), (3, Trait::Application)] {
                    let Some(value) = of(column) else { continue };
                    let of_user = pair(what, user, value);
                    if !self.is_news(of_user, *time) {
                        continue;
                    }
                    // Nothing is learned as long as neither would change.
                    let (own, everybody) = (self.see(of_user, *time), self.see(pair(what, 0, value), *time));
                    self.note(of_user, own.start.max(everybody.start)..own.end.min(everybody.end));
                }
                if self.is_news(SINCE, *time) {
                    let nothing_new = self.see(SINCE, *time);
                    self.note(SINCE, nothing_new);
                }
                if self.clock < Some(*time) {
                    self.clock = Some(*time);
                    self.changes.clock = self.clock;
                }
            }
        }
    }

    /// Whether something may be learned from seeing it, as far as is remembered.
    fn is_news(&self, key: u64, time: i64) -> bool {
        let recent = self.recent.get(key as usize & self.recent.len().wrapping_sub(1));
        recent.is_none_or(|recent| recent.key != key || !(recent.from..recent.to).contains(&time))
    }

    /// From when to when nothing is learned from seeing it again.
    fn note(&mut self, key: u64, nothing_new: Range<i64>) {
        // As much as there is to remember: of a thousand tenants most have few users. What is forgotten here is looked for again.
        let places = self.seen.len().next_power_of_two().clamp(LEAST_RECENT, RECENT);
        if self.recent.len() < places {
            self.recent = vec![Recent::default(); places];
        }
        let place = key as usize & (self.recent.len() - 1);
        if let Some(recent) = self.recent.get_mut(place) {
            *recent = Recent {
                key,
                from: nothing_new.start,
                to: nothing_new.end,
            };
        }
    }

    /// From here on it was seen. Gives from when to when nothing is learned from seeing it again.
    fn see(&mut self, key: u64, time: i64) -> Range<i64> {
        let until = (time.div_euclid(DAY) + 1 + KEEP_DAYS) * DAY;
        let seen = match self.seen.entry(key) {
            Entry::Vacant(place) => place.insert(Seen { first: time, until }),
            Entry::Occupied(known) => {
                let known = known.into_mut();
                let renewed = if known.until > time {
                    Seen {
                        first: known.first.min(time),
                        until: if until - known.until >= WORTH {
                            until
                        } else {
                            known.until
                        },
                    }
                } else {
                    Seen { first: time, until }
                };
                if *known == renewed {
                    return known.nothing_new();
                }
                *known = renewed;
                known
            }
        };
        let nothing_new = seen.nothing_new();
        self.goes = self.goes.min(seen.until);
        let entry = StateEntry {
            value: seen.first.to_be_bytes().as_slice().into(),
            expires_at: seen.until,
        };
        self.changes
            .entries
            .insert(key.to_be_bytes().as_slice().into(), Some(entry));
        nothing_new
    }

    fn summary(&self) -> StateSummary {
        let entries = self.seen.len() as u64;
        StateSummary {
            clock: self.clock,
            entries,
            bytes: entries * (16 + ENTRY_COST as u64),
            ..StateSummary::default()
        }
    }

    pub(crate) fn commit(&mut self) -> RuleCommit {
        if let Some(clock) = self.clock.filter(|clock| *clock >= self.goes)
            && !self.changes.is_empty()
        {
            self.seen.retain(|_, seen| seen.until > clock);
            self.goes = self.seen.values().map(|seen| seen.until).min().unwrap_or(i64::MAX);
            // What has gone is news again.
            self.recent.clear();
        }
        RuleCommit {
            rule: RULE.into(),
            state_version: STATE_VERSION,
            position: self.position.clone(),
            changes: std::mem::take(&mut self.changes),
            remembers: self.summary(),
            standing: Standing::default(),
        }
    }
}

/// What it reads, as any rule would say it.
pub(crate) fn manifest() -> RuleManifest {
    let field = |(index, path): (usize, &str)| Field {
        path: path.to_owned(),
        kind: FieldType::Text,
        required: index == 0,
    };
    let paths = [
        "user.name",
        "access_device.ip",
        "access_device.location.country",
        "application.name",
    ];
    let let_in = Test {
        field: "result".to_owned(),
        op: Op::In,
        values: vec!["success".to_owned()],
        param: None,
    };
    RuleManifest {
        id: RULE.to_owned(),
        version: SCHEMA.to_owned(),
        title: "Whom the tenant knows".to_owned(),
        description: String::new(),
        severity: Severity::Info,
        attack: Vec::new(),
        check: Vec::new(),
        act: Vec::new(),
        false_positives: Vec::new(),
        sources: vec![Source {
            log: LOG.to_owned(),
            name: String::new(),
            fields: paths.into_iter().enumerate().map(field).collect(),
            when: When::Test(let_in),
        }],
        params: Vec::new(),
        state: picket_contract::manifest::StateManifest::default(),
        dedup_period_ms: 0,
        supersedes: Vec::new(),
        tests: String::new(),
    }
}

fn hashes(group: &Group) -> Vec<u64> {
    let text = |bounds: &[u32]| match bounds {
        [start, end] => hash_bytes(group.dictionary.get(*start as usize..*end as usize).unwrap_or_default()),
        _ => 0,
    };
    group.offsets.windows(2).map(text).collect()
}

fn hash(text: &str) -> u64 {
    hash_bytes(text.as_bytes())
}

/// FNV-1a, and a finisher that spreads it. Stored, so it must never change.
fn hash_bytes(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    }))
}

fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

fn pair(what: Trait, user: u64, value: u64) -> u64 {
    mix(mix(user ^ (what as u64 + 1)).wrapping_add(value))
}

#[cfg(test)]
mod tests;
