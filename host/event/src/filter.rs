//! `when`, evaluated on dictionary codes.
//!
//! Each comparison is answered once for all rows offered and all rules that make it ([`Answers`]): equality compares codes, the
//! other operators look at each distinct text once. A rule's condition is then made of these answers, sixty-four rows at a
//! time, so a rule that takes no row of a page costs next to nothing.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use picket_contract::{Column, NULL, Op};
use rustc_hash::FxHashMap;

use crate::Page;
use crate::by_code::ByCode;
use crate::mask::Mask;
use crate::page::elements;

/// A compiled `when`: parameters resolved, fields as slots of the plan's layout.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Test(Test),
}

/// Something that is asked about one column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    /// As rules name it: slots are counted by log.
    pub(crate) log: String,
    pub(crate) slot: usize,
    pub(crate) ask: Ask,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Ask {
    /// A comparison of `when`, which only texts can meet.
    Compare { op: Op, values: Vec<String> },
    /// Whether there is a value, of whatever type. An empty list is none, as a null list is empty.
    Holds,
}

/// A question under the number by which all rules of a plan know it.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    number: usize,
    question: Arc<Question>,
}

/// The questions that rules of one plan ask, each once. Shared by the plan's clones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Questions {
    numbers: Arc<Mutex<FxHashMap<Arc<Question>, usize>>>,
}

impl Questions {
    pub(crate) fn test(&self, question: Question) -> Test {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((question, number)) = numbers.get_key_value(&question) {
            return Test {
                number: *number,
                question: question.clone(),
            };
        }
        let test = Test {
            number: numbers.len(),
            question: Arc::new(question),
        };
        numbers.insert(test.question.clone(), test.number);
        test
    }
}

/// What has been found out about some rows of a page.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// By the question's number.
    known: RefCell<Vec<Option<Mask>>>,
    /// By the column's slot: which of the rows have a text.
    by_code: RefCell<FxHashMap<usize, ByCode>>,
}

impl Answers {
    /// Hands over the rows, of those at `at` in the page, for which the answer is yes.
    fn of<R>(&self, test: &Test, page: &Page, at: &[u32], take: impl FnOnce(&Mask) -> R) -> R {
        let mut known = self.known.borrow_mut();
        if known.len() <= test.number {
            known.resize(test.number + 1, None);
        }
        match known.get_mut(test.number) {
            Some(known) => take(known.get_or_insert_with(|| self.answer(&test.question, page, at))),
            None => take(&self.answer(&test.question, page, at)),
        }
    }

    fn answer(&self, question: &Question, page: &Page, at: &[u32]) -> Mask {
        let column = page.columns.get(question.slot);
        match (&question.ask, column) {
            (Ask::Holds, _) => Mask::over(at, |at| holds(column, *at as usize)),
            (Ask::Compare { op: Op::In, values }, Some(Column::Text(codes))) if values.len() > FEW => {
                let mut by_code = self.by_code.borrow_mut();
                let by_code = by_code.entry(question.slot).or_insert_with(|| {
                    let codes = at.iter().map(|at| codes.get(*at as usize).copied().unwrap_or(NULL));
                    ByCode::new(page.dictionary.len(), codes)
                });
                let codes = values.iter().filter_map(|value| page.dictionary.find(value));
                let mut held = Mask::none(at.len());
                codes.for_each(|code| by_code.rows(code).for_each(|row| held.insert(row)));
                held
            }
            (Ask::Compare { op, values }, _) => compared(column, page, *op, values, at),
        }
    }
}

/// Rows of a page, with what is known about them.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) page: &'a Page,
    /// Where in the page they are.
    pub(crate) at: &'a [u32],
    pub(crate) answers: &'a Answers,
}

impl Asked<'_> {
    /// Leaves of the rows those for which the answer is yes.
    pub(crate) fn keep(self, test: &Test, rows: &mut Mask) {
        self.answers.of(test, self.page, self.at, |yes| rows.keep(yes));
    }
}

impl Filter {
    /// Leaves of the rows those for which it holds.
    pub(crate) fn keep(&self, asked: Asked<'_>, rows: &mut Mask) {
        match self {
            Filter::All(branches) => {
                for branch in branches {
                    if rows.is_empty() {
                        return;
                    }
                    branch.keep(asked, rows);
                }
            }
            Filter::Any(branches) => {
                let mut held = Mask::none(asked.at.len());
                for branch in branches {
                    let mut holding = rows.clone();
                    branch.keep(asked, &mut holding);
                    held.add(&holding);
                }
                *rows = held;
            }
            Filter::Not(branch) => {
                let mut holding = rows.clone();
                branch.keep(asked, &mut holding);
                rows.drop(&holding);
            }
            Filter::Test(test) => asked.keep(test, rows),
        }
    }
}

/// With as many texts each row is compared; with more, the rows are looked up that have one.
const FEW: usize = 4;

/// Which rows' texts compare with the values. A comparison is chosen once for all rows.
fn compared(column: Option<&Column>, page: &Page, op: Op, values: &[String], at: &[u32]) -> Mask {
    match op {
        Op::Present => with_code(column, at, |code| code != NULL),
        Op::In => {
            let mut codes: Vec<u32> = values.iter().filter_map(|value| page.dictionary.find(value)).collect();
            codes.sort_unstable();
            match codes.as_slice() {
                // None of the texts is in the page.
                [] => Mask::none(at.len()),
                [one] => with_code(column, at, |code| code == *one),
                some => with_code(column, at, |code| some.binary_search(&code).is_ok()),
            }
        }
        Op::Prefix => with_text(column, page, at, |text| {
            values.iter().any(|value| text.starts_with(value))
        }),
        Op::Suffix => with_text(column, page, at, |text| {
            values.iter().any(|value| text.ends_with(value))
        }),
        Op::Contains => with_text(column, page, at, |text| {
            let holds = |value: &String| memchr::memmem::find(text.as_bytes(), value.as_bytes()).is_some();
            values.iter().any(holds)
        }),
    }
}

/// The rows, of those at `at`, with a text for which it holds. Each text is looked at once.
fn with_text(column: Option<&Column>, page: &Page, at: &[u32], holds: impl Fn(&str) -> bool) -> Mask {
    let mut known: Vec<Option<bool>> = vec![None; page.dictionary.len()];
    with_code(column, at, |code| {
        let known = known.get_mut(code as usize);
        let holds = || holds(page.dictionary.text(code).unwrap_or_default());
        known.is_some_and(|known| *known.get_or_insert_with(holds))
    })
}

/// The rows, of those at `at`, with a text whose code it holds for. It holds for no null.
fn with_code(column: Option<&Column>, at: &[u32], mut holds: impl FnMut(u32) -> bool) -> Mask {
    match column {
        Some(Column::Text(codes)) => match run(at).and_then(|run| codes.get(run)) {
            Some(codes) => Mask::over(codes, |code| holds(*code)),
            None => Mask::over(at, |at| codes.get(*at as usize).is_some_and(|code| holds(*code))),
        },
        Some(Column::Texts { offsets, codes }) => Mask::over(at, |at| {
            let elements = elements(offsets, codes, *at as usize);
            elements.iter().any(|code| holds(*code))
        }),
        _ => Mask::none(at.len()),
    }
}

/// Places that follow one another, as nearly all rows of a page do.
fn run(at: &[u32]) -> Option<Range<usize>> {
    let first = *at.first()?;
    let follows = (first..).zip(at).all(|(expected, at)| expected == *at);
    follows.then(|| first as usize..first as usize + at.len())
}

/// Whether there is a value.
fn holds(column: Option<&Column>, at: usize) -> bool {
    match column {
        Some(Column::Text(codes)) => codes.get(at).is_some_and(|code| *code != NULL),
        Some(Column::S64 { valid, .. } | Column::F64 { valid, .. }) => valid.get(at).is_some_and(|valid| *valid != 0),
        Some(Column::Bool(values)) => values.get(at).is_some_and(|value| *value <= 1),
        Some(Column::Texts { offsets, .. }) => offsets.get(at) != offsets.get(at + 1),
        None => false,
    }
}
