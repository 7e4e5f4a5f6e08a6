//! A tenant's stored journal judged once more, by the versions that judged it, each from where it took over: what was live, as a
//! replay. Or by other rules, whatever judged it.
//!
//! The journal says itself which generation judged from where on ([`Mark::Generation`]) and where each rule went on or began
//! ([`Mark::Takeover`]). Who asks gives the rules of each generation; alerts, ids and state are then those of the live run. What
//! cannot be repeated is told ([`Rejudged::substituted`]).
//!
//! A journal may be as long as it likes. It is read in pieces, and what is found is told piece by piece ([`Found`]) and not kept:
//! what stays in memory is what a live judge has there, the rules' state and the windows of what was raised. Who wants the alerts
//! as they stand at the end collects those that matter ([`Alerts`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use picket_contract::{Admission, Mark, Position};
use picket_store::{AlertRow, Repeat, Standing, Store, Superseded};

use crate::acquaintance::Acquaintance;
use crate::change::Prepared;
use crate::dedup::Dedup;
use crate::evidence::{InJournal, Rebuild as _};
use crate::historic::Historic;
use crate::holding::Remembered;
use crate::judge::{TenantJudge, plan, selector};
use crate::people::People;
use crate::pipeline::{self, RuleSet, RuleSpec};
use crate::rule::{JudgedRule, Tenant};
use crate::stretch::{Stretch, stands};
use crate::verdict::{JudgeError, Settings, Trouble};

/// Events read and judged at once.
const PIECE: usize = 10_000;

/// The journal that is judged.
pub struct Journal {
    /// Where it is; only read.
    pub store: Arc<dyn Store>,
    /// Whose.
    pub tenant: Arc<Tenant>,
    /// How rules are judged.
    pub settings: Settings,
    /// What is known of the tenant's users, for alerts and exceptions: as of now.
    pub people: Arc<dyn People>,
    /// What alerts give as the time they were raised, wall clock, ms.
    pub now: i64,
}

/// What judged in a generation.
pub struct Judged {
    /// The rules.
    pub set: RuleSet,
    /// When it took over, wall clock, ms; none: not known, and rules that began with it have nothing to look back from.
    pub since: Option<i64>,
}

/// What was found since it was told the last time.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order raised.
    pub alerts: Vec<AlertRow>,
    /// Alerts, of now or of before, that came again.
    pub repeats: Vec<Repeat>,
    /// Alerts, of now or of before, whose place others took.
    pub superseded: Vec<Superseded>,
    /// What rules failed on.
    pub troubles: Vec<Trouble>,
    /// Events read so far, in all.
    pub events: u64,
}

/// Alerts as they stand once everything has been told: in the order raised, repeats counted in.
#[derive(Debug, Default)]
pub struct Alerts {
    rows: Vec<AlertRow>,
    /// Where one of an id stands.
    raised: HashMap<Arc<str>, usize>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Rejudged {
    /// Every rule as it stands at the end.
    pub rules: Vec<JudgedRule>,
    /// What could not be repeated, in words.
    pub substituted: Vec<String>,
    /// How many generations judged.
    pub generations: u64,
    /// Events read, at the least once.
    pub events: u64,
}

/// A change of rules, as the journal has it.
struct Change {
    number: u64,
    hash: Arc<str>,
    /// Up to here the generation before has judged.
    judged: u64,
    /// Where rules went on or began.
    from: BTreeMap<Arc<str>, Position>,
}

impl Alerts {
    /// Keeps these alerts, and counts what repeats one that is kept.
    pub fn keep(&mut self, alerts: impl IntoIterator<Item = AlertRow>, repeats: &[Repeat]) {
        for alert in alerts {
            self.raised.insert(alert.id.clone(), self.rows.len());
            self.rows.push(alert);
        }
        for repeat in repeats {
            let place = self.raised.get(&repeat.id);
            if let Some(alert) = place.and_then(|place| self.rows.get_mut(*place)) {
                alert.repeats += repeat.count;
                alert.last_repeat = alert.last_repeat.max(Some(repeat.time));
            }
        }
    }

    /// Notes what took the place of one that is kept.
    pub fn fold(&mut self, superseded: Vec<Superseded>) {
        for Superseded { alert, by } in superseded {
            let place = self.raised.get(&alert);
            let alert = place.and_then(|place| self.rows.get_mut(*place));
            if let Some(incident) = alert.and_then(|alert| alert.incident.as_mut()) {
                incident.superseded_by.get_or_insert(by);
            }
        }
    }

    /// All that were kept.
    #[must_use]
    pub fn into_rows(self) -> Vec<AlertRow> {
        self.rows
    }
}

/// Judges the whole journal as it was judged. `rules`: what judged in a generation, by its number and hash. `hear` is told what
/// is found, as it is found.
///
/// # Errors
/// [`JudgeError`].
pub fn rejudge(
    of: &Journal,
    rules: impl Fn(u64, &str) -> Option<Judged>,
    mut hear: impl FnMut(Found),
) -> Result<Rejudged, JudgeError> {
    let (journal, last) = opened(of)?;
    let mut again = Again::begin(of, &journal, &mut hear)?;
    for change in changes(&journal, last)? {
        again.read_to(change.judged)?;
        match rules(change.number, &change.hash) {
            Some(judged) => again = again.swap(&change, &judged)?,
            None => {
                let words = format!("generation {} ({}) is not known", change.number, change.hash);
                again.rejudged.substituted.push(words);
            }
        }
    }
    again.read_to(last)?;
    Ok(again.end())
}

/// Judges the journal from behind a number on by these rules alone, whatever judged it. `hear` is told what is found.
///
/// # Errors
/// [`JudgeError`].
pub fn judge_by(of: &Journal, set: RuleSet, after: u64, mut hear: impl FnMut(Found)) -> Result<Rejudged, JudgeError> {
    let (journal, last) = opened(of)?;
    let mut again = Again::begin(of, &journal, &mut hear)?;
    let marks = match after {
        0 => Vec::new(),
        after => journal.pending(after, &[])?,
    };
    let rules = set.rules.iter().map(|spec| {
        let position = stands(&spec.manifest, after, &marks);
        (spec.manifest.id.as_str().into(), position)
    });
    let change = Change {
        number: 0,
        hash: set.hash.clone(),
        judged: 0,
        from: rules.collect(),
    };
    again = again.swap(&change, &Judged { set, since: None })?;
    again.read_to(last)?;
    Ok(again.end())
}

fn opened(of: &Journal) -> Result<(InJournal, u64), JudgeError> {
    let journal = InJournal {
        store: of.store.clone(),
        tenant: of.tenant.id.clone(),
    };
    let last = of.store.last_seq(&of.tenant.id)?;
    Ok((journal, last))
}

fn changes(journal: &InJournal, last: u64) -> Result<Vec<Change>, JudgeError> {
    let mut changes: Vec<Change> = Vec::new();
    let stored = if last == 0 {
        Vec::new()
    } else {
        journal.pending(last, &[])?
    };
    for mark in stored.into_iter().flat_map(|entry| entry.marks) {
        match mark {
            Mark::Generation { number, hash, judged } => changes.push(Change {
                number,
                hash,
                judged: judged.unwrap_or_default(),
                from: BTreeMap::new(),
            }),
            Mark::Takeover { rule, from, .. } => {
                if let Some(change) = changes.last_mut() {
                    change.from.insert(rule, *from);
                }
            }
            _ => {}
        }
    }
    Ok(changes)
}

struct Again<'j> {
    journal: &'j InJournal,
    hear: &'j mut dyn FnMut(Found),
    judge: TenantJudge,
    /// Rules that were retired, by id and state version: they may come back.
    parked: BTreeMap<(String, u32), JudgedRule>,
    rejudged: Rejudged,
    /// The journal's number up to which events are counted.
    read: u64,
    now: i64,
}

impl<'j> Again<'j> {
    fn begin(of: &Journal, journal: &'j InJournal, hear: &'j mut dyn FnMut(Found)) -> Result<Self, JudgeError> {
        let settings = Settings {
            fuel_at_once: u64::MAX,
            ..of.settings
        };
        let known = Acquaintance::default();
        let dedup = Dedup::default();
        let judge = TenantJudge::new(of.tenant.clone(), settings, 0, Vec::new(), dedup, known, journal)?;
        let starts = pipeline::starts(&*of.store, &of.tenant.id)?;
        let historic = Historic::FirstStart(Arc::new(RwLock::new(starts)));
        Ok(Again {
            journal,
            hear,
            judge: judge.knowing(of.people.clone()).since(historic),
            parked: BTreeMap::new(),
            rejudged: Rejudged::default(),
            read: 0,
            now: of.now,
        })
    }

    fn end(self) -> Rejudged {
        let mut rejudged = self.rejudged;
        rejudged.rules = self.judge.rules().cloned().collect();
        rejudged
    }

    fn read_to(&mut self, to: u64) -> Result<(), JudgeError> {
        while let Some(after) = self.judge.behind(to) {
            let mut piece = self.journal.store.read(&self.journal.tenant, after, PIECE)?;
            piece.retain(|entry| entry.last_seq() <= to);
            if piece.last().is_none_or(|entry| entry.last_seq() <= after) {
                break;
            }
            self.feed(after, &piece)?;
        }
        Ok(())
    }

    fn feed(&mut self, after: u64, piece: &[Admission]) -> Result<(), JudgeError> {
        let new = piece.iter().filter(|entry| entry.first_seq > self.read);
        self.rejudged.events += new.map(|entry| entry.events.len() as u64).sum::<u64>();
        self.read = piece.last().map_or(self.read, |last| last.last_seq().max(self.read));
        let verdict = self.judge.feed(after, piece, self.journal, self.now)?;
        (self.hear)(Found {
            alerts: verdict.alerts,
            repeats: verdict.repeats,
            superseded: verdict.superseded,
            troubles: verdict.troubles,
            events: self.rejudged.events,
        });
        Ok(())
    }

    /// What a rule remembers that began at a position, having looked back.
    fn looked_back(&self, spec: &RuleSpec, since: i64, at: &Position) -> Result<Option<Remembered>, JudgeError> {
        let (store, tenant) = (&self.journal.store, &self.journal.tenant);
        let from = since.saturating_sub(spec.manifest.state.look_back_ms);
        let after = store.since(tenant, from, u64::MAX)?;
        if after >= at.seq {
            return Ok(None);
        }
        let set: &[RuleSpec] = std::slice::from_ref(spec);
        let (whose, settings) = (&self.judge.tenant, self.judge.settings);
        let mut stretch = Stretch::begin(self.journal, whose, settings, &[set], (after, u64::MAX >> 1))?;
        stretch.past_ends_at(at.seq);
        stretch.read(at.seq, self.now, |_, _| true)?;
        let slot = stretch.judges.first_mut().and_then(|judge| judge.slots.pop());
        Ok(slot.map(|slot| slot.rule.state))
    }

    fn swap(mut self, change: &Change, judged: &Judged) -> Result<Self, JudgeError> {
        let set = &judged.set;
        let read = set
            .rules
            .iter()
            .map(|spec| (&*spec.manifest, &*spec.terms.permission, &*spec.params));
        let mut prepared = Prepared {
            plan: plan(read, &self.judge.tenant.mask),
            ..Prepared::default()
        };
        let mut rules = Vec::with_capacity(set.rules.len());
        for spec in &set.rules {
            let (id, version) = (spec.manifest.id.as_str(), spec.manifest.state.version);
            let parked = self.parked.remove(&(id.to_owned(), version));
            let rule = match self.judge.take_rule(id, version).or(parked) {
                Some(rule) => spec.judged(rule.position, rule.state, rule.standing),
                None => {
                    let position = match change.from.get(id) {
                        Some(from) => from.clone(),
                        None if change.judged == 0 => Position::start(),
                        None => {
                            let marks = self.journal.pending(change.judged, &[])?;
                            stands(&spec.manifest, change.judged, &marks)
                        }
                    };
                    let looks_back = spec.manifest.state.look_back_ms > 0 && change.judged > 0;
                    let state = match judged.since.filter(|_| looks_back) {
                        Some(since) => self.looked_back(spec, since, &position)?,
                        None => {
                            if looks_back {
                                let words = format!("rule {id} looked back when it began, which is not repeated");
                                self.rejudged.substituted.push(words);
                            }
                            None
                        }
                    };
                    spec.judged(position, state.unwrap_or_default(), Standing::default())
                }
            };
            let selector = selector(&spec.manifest, &spec.params, &spec.terms.permission, &prepared.plan)?;
            rules.push((rule, selector));
        }
        let (mut judge, before) = self.judge.replace(change.number, rules, &mut prepared, self.journal)?;
        for slot in before {
            let rule = slot.rule;
            let is_on = judge.rules().any(|on| on.manifest.id == rule.manifest.id);
            if !is_on {
                let key = (rule.manifest.id.clone(), rule.manifest.state.version);
                self.parked.insert(key, rule);
            }
        }
        judge.seat_the_unseated(self.journal)?;
        self.judge = judge;
        self.rejudged.generations += 1;
        self.feed(0, &[])?;
        Ok(self)
    }
}
