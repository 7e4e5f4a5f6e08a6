//! Which rows one rule gets, and the batch made of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_contract::{Batch, Column, FieldType, NULL, ParamValue, Params, RuleManifest, Source, When};
use rustc_hash::FxHashMap;

use crate::filter::{Filter, without};
use crate::gather::{Member, gather};
use crate::plan::tested_as;
use crate::{Page, Plan};

/// One row of a page, on its way to a rule.
#[derive(Debug, Clone)]
pub struct RowRef {
    /// The page.
    pub page: Arc<Page>,
    /// The row in it.
    pub row: u32,
    /// Its number in the tenant's journal.
    pub seq: u64,
    /// Whether it came behind the watermark.
    pub late: bool,
}

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
    sources: Vec<Compiled>,
}

/// One source: which rows, and which columns of them.
#[derive(Debug, Clone)]
struct Compiled {
    log: String,
    fields: Vec<Projected>,
    filter: Filter,
}

#[derive(Debug, Clone)]
struct Projected {
    path: String,
    slot: usize,
    required: bool,
}

impl Selector {
    /// Compiles a rule's sources. `params` are the values in force; the plan must include the rule's sources.
    ///
    /// # Errors
    /// [`SelectError`] names the rule and what is wrong with it.
    pub fn new(rule: &RuleManifest, params: &Params, plan: &Plan) -> Result<Self, SelectError> {
        if rule.sources.len() > MAX_SOURCES {
            return Err(SelectError::TooManySources {
                rule: rule.id.clone(),
                count: rule.sources.len(),
            });
        }
        let compiled = rule.sources.iter().map(|source| {
            Compiler {
                rule,
                params,
                plan,
                source,
            }
            .compile()
        });
        Ok(Selector {
            plan: plan.clone(),
            sources: compiled.collect::<Result<_, _>>()?,
        })
    }

    /// The rule's rows among these, which are in release order: each goes to the first source that holds for it.
    ///
    /// A page of another plan is parsed anew for the call; [`Plan::adopt`] does it once for all rules.
    #[must_use]
    pub fn select(&self, rows: &[RowRef], watermark: i64) -> Selection {
        let segments = self.segments(rows);
        let taken = self.take(&segments, rows.len());
        let (shown, unreadable) = self.readable(&segments, taken);
        let mut selection = Selection {
            unreadable,
            ..Selection::default()
        };
        selection.batch.watermark = watermark;
        let mut group_of = vec![0u8; self.sources.len()];
        for (index, source) in self.sources.iter().enumerate() {
            let members: Vec<Member<'_>> = shown
                .iter()
                .zip(rows)
                .filter(|(taken, _)| taken.is_some_and(|taken| usize::from(taken.source) == index))
                .filter_map(|(taken, row)| {
                    Some(Member {
                        row,
                        page: (*taken)?.page,
                    })
                })
                .collect();
            if members.is_empty() {
                continue;
            }
            if let Some(group) = group_of.get_mut(index) {
                *group = selection.batch.groups.len() as u8;
            }
            let pages: Vec<&Page> = segments.iter().map(|segment| &*segment.page).collect();
            let slots = source.fields.iter().map(|field| field.slot);
            selection
                .batch
                .groups
                .push(gather(index as u32, slots, &pages, &members));
        }
        for (position, taken) in shown.iter().enumerate() {
            if let Some(taken) = taken {
                selection.batch.order.extend(group_of.get(usize::from(taken.source)));
                selection.picked.push(position as u32);
            }
        }
        selection
    }

    /// The rows by page, every page under this selector's plan.
    fn segments(&self, rows: &[RowRef]) -> Vec<Segment> {
        let mut known: FxHashMap<*const Page, usize> = FxHashMap::default();
        let mut segments: Vec<Segment> = Vec::new();
        let mut last = (std::ptr::null(), 0);
        for (position, row) in rows.iter().enumerate() {
            let address = Arc::as_ptr(&row.page);
            if last.0 != address {
                let index = *known.entry(address).or_insert_with(|| {
                    segments.push(Segment {
                        page: self.plan.adopt(&row.page),
                        at: Vec::new(),
                        positions: Vec::new(),
                    });
                    segments.len() - 1
                });
                last = (address, index);
            }
            if let Some(segment) = segments.get_mut(last.1) {
                segment.at.push(row.row);
                segment.positions.push(position as u32);
            }
        }
        segments
    }

    /// For each row, the first source that holds for it.
    fn take(&self, segments: &[Segment], rows: usize) -> Vec<Option<Taken>> {
        let mut taken = vec![None; rows];
        for (page, segment) in segments.iter().enumerate() {
            let whole = |row: &u32| {
                segment
                    .at
                    .get(*row as usize)
                    .is_some_and(|at| !segment.page.broken(*at))
            };
            let mut open: Vec<u32> = (0..segment.at.len() as u32).filter(whole).collect();
            for (source, compiled) in self.sources.iter().enumerate() {
                if *compiled.log != **segment.page.log() || open.is_empty() {
                    continue;
                }
                let holding = compiled.filter.holding(&segment.page, &segment.at, open.clone());
                for row in &holding {
                    let position = segment.positions.get(*row as usize).copied().unwrap_or(u32::MAX);
                    if let (Some(taken), Some(at)) = (taken.get_mut(position as usize), segment.at.get(*row as usize)) {
                        *taken = Some(Taken {
                            source: source as u8,
                            page: page as u32,
                            at: *at,
                        });
                    }
                }
                open = without(&open, &holding);
            }
        }
        taken
    }

    /// Leaves out the rows that lack a required field, and counts them.
    fn readable(
        &self,
        segments: &[Segment],
        mut taken: Vec<Option<Taken>>,
    ) -> (Vec<Option<Taken>>, Vec<(String, u64)>) {
        let mut unreadable: BTreeMap<&str, u64> = BTreeMap::new();
        for place in &mut taken {
            let Some(row) = place else { continue };
            let Some(page) = segments.get(row.page as usize).map(|segment| &segment.page) else {
                continue;
            };
            let fields = self
                .sources
                .get(usize::from(row.source))
                .map_or(&[][..], |source| &source.fields);
            let missing = fields
                .iter()
                .find(|field| field.required && is_null(page.columns.get(field.slot), row.at));
            if let Some(missing) = missing {
                *unreadable.entry(&missing.path).or_default() += 1;
                *place = None;
            }
        }
        (
            taken,
            unreadable
                .into_iter()
                .map(|(path, count)| (path.to_owned(), count))
                .collect(),
        )
    }
}

/// A page's rows among those offered.
struct Segment {
    page: Arc<Page>,
    /// Their rows in the page.
    at: Vec<u32>,
    /// Their indices among those offered.
    positions: Vec<u32>,
}

/// A row that a source takes.
#[derive(Debug, Clone, Copy)]
struct Taken {
    source: u8,
    /// Which segment.
    page: u32,
    /// The row in the page.
    at: u32,
}

/// An empty list counts as null, as a null list is empty.
fn is_null(column: Option<&Column>, at: u32) -> bool {
    let at = at as usize;
    match column {
        Some(Column::Text(codes)) => codes.get(at).is_none_or(|code| *code == NULL),
        Some(Column::S64 { valid, .. } | Column::F64 { valid, .. }) => valid.get(at).is_none_or(|valid| *valid == 0),
        Some(Column::Bool(values)) => values.get(at).is_none_or(|value| *value > 1),
        Some(Column::Texts { offsets, .. }) => offsets.get(at) == offsets.get(at + 1),
        None => true,
    }
}

struct Compiler<'a> {
    rule: &'a RuleManifest,
    params: &'a Params,
    plan: &'a Plan,
    source: &'a Source,
}

impl Compiler<'_> {
    fn compile(&self) -> Result<Compiled, SelectError> {
        let fields = self.source.fields.iter().map(|field| {
            Ok(Projected {
                path: field.path.clone(),
                slot: self.slot(&field.path, field.kind)?,
                required: field.required,
            })
        });
        let fields = fields.collect::<Result<_, _>>()?;
        Ok(Compiled {
            log: self.source.log.clone(),
            fields,
            filter: self.filter(&self.source.when)?,
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
            When::Test(test) => Filter::Test {
                slot: self.slot(&test.field, tested_as(self.source, &test.field))?,
                op: test.op,
                values: match &test.param {
                    None => test.values.clone(),
                    Some(name) => self.param(&test.field, name)?,
                },
            },
        })
    }

    fn slot(&self, path: &str, kind: FieldType) -> Result<usize, SelectError> {
        let layout = self.plan.layout(&self.source.log);
        layout
            .and_then(|layout| layout.slot(path, kind))
            .ok_or_else(|| SelectError::NotPlanned {
                rule: self.rule.id.clone(),
                log: self.source.log.clone(),
                field: path.to_owned(),
            })
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
