//! Which rows one rule gets, and the batch made of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use picket_catalogue::{Part, Phone};
use picket_contract::{Batch, FieldType, Op, ParamValue, Params, RuleManifest, Source, When};

use crate::Plan;
use crate::filter::{Ask, Filter, Question, Test};
use crate::gather::gather;
use crate::mask::Mask;
use crate::offer::{Offer, RowRef, Segment};
use crate::permission::{ORDINARY, Permission, View};
use crate::plan::tested_as;

/// What a rule is to be shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// The rows.
    pub batch: Batch,
    /// For each row of the batch, in order, its index among the rows that were offered.
    pub picked: Vec<u32>,
    /// Rows not shown because a required field was null, by the first such field, sorted by path.
    pub unreadable: Vec<(String, u64)>,
}

/// Which rows of an offer one rule is to be shown, before any batch is made of them.
#[derive(Debug, Default)]
pub struct Choice {
    taken: Vec<Taken>,
    /// As [`Selection::unreadable`].
    pub unreadable: Vec<(String, u64)>,
}

impl Choice {
    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// Whether there are no rows for the rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// The index among the rows offered of the row at this place of the choice.
    #[must_use]
    pub fn position(&self, at: usize) -> Option<usize> {
        self.taken.get(at).map(|taken| taken.position as usize)
    }

    /// The place in the choice of the row with this index among the rows offered.
    #[must_use]
    pub fn find(&self, position: usize) -> Option<usize> {
        self.taken
            .binary_search_by_key(&position, |taken| taken.position as usize)
            .ok()
    }
}

/// Why a rule's sources cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// `when` names a parameter that is not there.
    #[error(
        "rule {rule}, source {source_name}: `when` compares {field} with the parameter {param}, which the rule does not declare"
    )]
    UnknownParam {
        /// The rule's id.
        rule: String,
        /// The source's name.
        source_name: String,
        /// The path compared.
        field: String,
        /// The parameter.
        param: String,
    },
    /// The plan was made without this rule.
    #[error("rule {rule}: the plan does not read {field} of {log}; it must be made from this rule's sources too")]
    NotPlanned {
        /// The rule's id.
        rule: String,
        /// The log.
        log: String,
        /// The path.
        field: String,
    },
    /// More sources than a batch can tell apart.
    #[error("rule {rule}: {count} sources; a rule has at most {MAX_SOURCES}")]
    TooManySources {
        /// The rule's id.
        rule: String,
        /// How many it has.
        count: usize,
    },
}

/// Most sources of one rule: a batch's order is one byte a row.
const MAX_SOURCES: usize = 254;

/// A rule's sources, compiled against a plan.
#[derive(Debug, Clone)]
pub struct Selector {
    plan: Plan,
    sources: Arc<[Compiled]>,
}

/// One source: which rows, and which columns of them.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    log: String,
    /// The slots of its columns.
    slots: Vec<usize>,
    /// The paths without which a row is not shown, and the question after each.
    required: Vec<(String, Test)>,
    filter: Filter,
}

impl Selector {
    /// Compiles the sources of a rule of whose module the operator says nothing. `params` are the values in force; the plan must
    /// include the rule's sources.
    ///
    /// # Errors
    /// [`SelectError`] names the rule and what is wrong with it.
    pub fn new(rule: &RuleManifest, params: &Params, plan: &Plan) -> Result<Self, SelectError> {
        Selector::permitted(rule, params, plan, ORDINARY)
    }

    /// The same where the operator grants or refuses the rule's module something: a refused field is null.
    ///
    /// # Errors
    /// [`SelectError`] names the rule and what is wrong with it.
    pub fn permitted(
        rule: &RuleManifest,
        params: &Params,
        plan: &Plan,
        permission: &Permission,
    ) -> Result<Self, SelectError> {
        if rule.sources.len() > MAX_SOURCES {
            return Err(SelectError::TooManySources {
                rule: rule.id.clone(),
                count: rule.sources.len(),
            });
        }
        let compile = || {
            let compiled = rule.sources.iter().map(|source| {
                Compiler {
                    rule,
                    params,
                    plan,
                    source,
                    permission,
                }
                .compile()
            });
            compiled.collect::<Result<_, _>>()
        };
        Ok(Selector {
            plan: plan.clone(),
            sources: plan.family().compiled(rule, params, permission, compile)?,
        })
    }

    #[cfg(test)]
    pub(crate) fn shares_with(&self, other: &Selector) -> bool {
        Arc::ptr_eq(&self.sources, &other.sources)
    }

    /// The rule's rows among these, which are in release order: each goes to the first source that holds for it.
    ///
    /// A page of another plan is parsed anew for the call; [`Plan::adopt`] does it once for all rules.
    #[must_use]
    pub fn select(&self, rows: &[RowRef], watermark: i64) -> Selection {
        self.select_from(&Offer::new(rows, &self.plan), watermark)
    }

    /// The same, where several rules are offered the same rows. The offer must be of this selector's plan.
    #[must_use]
    pub fn select_from(&self, offer: &Offer<'_>, watermark: i64) -> Selection {
        let choice = self.choose(offer);
        Selection {
            batch: self.batch(offer, &choice, 0..choice.len(), watermark),
            picked: choice.taken.iter().map(|taken| taken.position).collect(),
            unreadable: choice.unreadable,
        }
    }

    /// Which of the rows offered are the rule's. The offer must be of this selector's plan.
    #[must_use]
    pub fn choose(&self, offer: &Offer<'_>) -> Choice {
        let (taken, unreadable) = self.take(&offer.segments);
        Choice { taken, unreadable }
    }

    /// Some of the rows chosen, as a call shows them: counted in the choice's own order.
    #[must_use]
    pub fn batch(&self, offer: &Offer<'_>, choice: &Choice, some: Range<usize>, watermark: i64) -> Batch {
        let taken = choice.taken.get(some).unwrap_or_default();
        let mut batch = Batch {
            watermark,
            ..Batch::default()
        };
        if taken.is_empty() {
            return batch;
        }
        let mut group_of = vec![0u8; self.sources.len()];
        for (index, source) in self.sources.iter().enumerate() {
            let of_source = |taken: &&Taken| usize::from(taken.source) == index;
            let members: Cow<'_, [Taken]> = if taken.iter().all(|taken| of_source(&taken)) {
                taken.into()
            } else {
                taken.iter().filter(of_source).copied().collect()
            };
            if members.is_empty() {
                continue;
            }
            if let Some(group) = group_of.get_mut(index) {
                *group = batch.groups.len() as u8;
            }
            batch.groups.push(gather(index as u32, &source.slots, offer, &members));
        }
        let of_row = |taken: &Taken| group_of.get(usize::from(taken.source)).copied().unwrap_or_default();
        batch.order = taken.iter().map(of_row).collect();
        batch
    }

    /// The rows that some source holds for, each with the first that does, in the order offered, those that lack a required
    /// field left out and counted.
    fn take(&self, segments: &[Segment]) -> (Vec<Taken>, Vec<(String, u64)>) {
        let mut taken: Vec<Taken> = Vec::new();
        let mut unreadable: BTreeMap<&str, u64> = BTreeMap::new();
        for (number, segment) in segments.iter().enumerate() {
            let asked = segment.asked();
            let mut open: Option<Mask> = None;
            for (source, compiled) in self.sources.iter().enumerate() {
                if *compiled.log != **segment.page.log() {
                    continue;
                }
                let open = open.get_or_insert_with(|| segment.whole.clone());
                let mut held = open.clone();
                compiled.filter.keep(asked, &mut held);
                if held.is_empty() {
                    continue;
                }
                open.drop(&held);
                for (path, holds) in &compiled.required {
                    let before = held.len();
                    asked.keep(holds, &mut held);
                    let missing = before - held.len();
                    if missing > 0 {
                        *unreadable.entry(path).or_default() += missing as u64;
                    }
                }
                taken.reserve(held.len());
                held.each(|row| {
                    if let Some((position, at)) = segment.positions.get(row).zip(segment.at.get(row)) {
                        taken.push(Taken {
                            position: *position,
                            source: source as u8,
                            page: number as u32,
                            at: *at,
                        });
                    }
                });
            }
        }
        if !taken.is_sorted_by_key(|taken| taken.position) {
            // Each segment's and source's stand in order already, which a stable sort is quick with.
            taken.sort_by_key(|taken| taken.position);
        }
        let counted = unreadable.into_iter().map(|(path, count)| (path.to_owned(), count));
        (taken, counted.collect())
    }
}

/// A row that a source takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    /// Its index among those offered.
    pub(crate) position: u32,
    source: u8,
    /// Which segment.
    pub(crate) page: u32,
    /// The row in the page.
    pub(crate) at: u32,
}

/// Whether what this module reads there may be a phone number's pseudonym, which is another with each tenant.
pub(crate) fn may_be_number(log: &str, path: &str, permission: &Permission) -> bool {
    let is_tail = || matches!(picket_catalogue::part_of(log, path), Some((_, Part::Tail)));
    permission.view(log, path) == View::Masked && (is_tail() || picket_catalogue::phone(log, path) != Phone::Never)
}

struct Compiler<'a> {
    rule: &'a RuleManifest,
    params: &'a Params,
    plan: &'a Plan,
    source: &'a Source,
    permission: &'a Permission,
}

impl Compiler<'_> {
    fn compile(&self) -> Result<Compiled, SelectError> {
        let fields = &self.source.fields;
        let slots = fields.iter().map(|field| self.slot(&field.path, field.kind));
        let required = fields.iter().filter(|field| field.required).map(|field| {
            let slot = self.slot(&field.path, field.kind)?;
            Ok((field.path.clone(), self.test(slot, Ask::Holds)))
        });
        Ok(Compiled {
            log: self.source.log.clone(),
            slots: slots.collect::<Result<_, _>>()?,
            required: required.collect::<Result<_, _>>()?,
            filter: self.filter(&self.source.when)?,
        })
    }

    fn test(&self, slot: usize, ask: Ask) -> Test {
        self.plan.questions().test(Question {
            log: self.source.log.clone(),
            slot,
            ask,
        })
    }

    fn filter(&self, when: &When) -> Result<Filter, SelectError> {
        let each = |branches: &[When]| {
            branches
                .iter()
                .map(|branch| self.filter(branch))
                .collect::<Result<_, _>>()
        };
        Ok(match when {
            When::All { all } => Filter::All(each(all)?),
            When::Any { any } => Filter::Any(each(any)?),
            When::Not { not } => Filter::Not(Box::new(self.filter(not)?)),
            When::Test(test) => {
                let slot = self.slot(&test.field, tested_as(self.source, &test.field))?;
                let values = match &test.param {
                    None => test.values.clone(),
                    Some(name) => self.param(&test.field, name)?,
                };
                let values = self.compared(&test.field, test.op, values);
                Filter::Test(self.test(slot, Ask::Compare { op: test.op, values }))
            }
        })
    }

    fn slot(&self, path: &str, kind: FieldType) -> Result<usize, SelectError> {
        let layout = self.plan.layout(&self.source.log);
        let view = self.permission.view(&self.source.log, path);
        layout
            .and_then(|layout| layout.slot(path, kind, view))
            .ok_or_else(|| SelectError::NotPlanned {
                rule: self.rule.id.clone(),
                log: self.source.log.clone(),
                field: path.to_owned(),
            })
    }

    /// What a field is compared with: where it shows pseudonyms, numbers become theirs.
    fn compared(&self, path: &str, op: Op, values: Vec<String>) -> Vec<String> {
        let log = &self.source.log;
        let layout = self.plan.layout(log);
        let is_masked = op == Op::In && may_be_number(log, path, self.permission);
        let Some(mask) = layout.map(|layout| &layout.mask).filter(|_| is_masked) else {
            return values;
        };
        let is_tail = matches!(picket_catalogue::part_of(log, path), Some((_, Part::Tail)));
        let compared = |value: String| match picket_catalogue::phone(log, path) {
            Phone::Number => mask.number(&value),
            _ if is_tail => mask.part(&value, Part::Tail).unwrap_or(value),
            phone => mask.text(phone, &value),
        };
        values.into_iter().map(compared).collect()
    }

    /// The values that a parameter stands for; numbers and bools by their canonical text.
    fn param(&self, field: &str, name: &str) -> Result<Vec<String>, SelectError> {
        Ok(match self.params.get(name) {
            Some(ParamValue::Texts(values)) => values.clone(),
            Some(ParamValue::Text(value)) => vec![value.clone()],
            Some(ParamValue::Boolean(value)) => vec![value.to_string()],
            Some(ParamValue::Integer(value)) => vec![value.to_string()],
            Some(ParamValue::Number(value)) => vec![value.to_string()],
            None => {
                return Err(SelectError::UnknownParam {
                    rule: self.rule.id.clone(),
                    source_name: self.source.name.clone(),
                    field: field.to_owned(),
                    param: name.to_owned(),
                });
            }
        })
    }
}
