//! `when`, evaluated on dictionary codes.
//!
//! Each comparison is answered once for all rows offered and all rules that make it ([`Answers`]): equality compares codes, the
//! other operators look at each distinct text once. A rule's condition is then made of these answers, sixty-four rows at a
//! time, so a rule that takes no row of a page costs next to nothing.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use picket_contract::{Column, NULL, Op};
use rustc_hash::FxHashMap;

use crate::Page;
use crate::mask::Mask;

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
}

impl Answers {
    /// Hands over the rows, of those at `at` in the page, for which the answer is yes.
    fn of<R>(&self, test: &Test, page: &Page, at: &[u32], take: impl FnOnce(&Mask) -> R) -> R {
        let mut known = self.known.borrow_mut();
        if known.len() <= test.number {
            known.resize(test.number + 1, None);
        }
        match known.get_mut(test.number) {
            Some(known) => take(known.get_or_insert_with(|| answer(&test.question, page, at))),
            None => take(&answer(&test.question, page, at)),
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

fn answer(question: &Question, page: &Page, at: &[u32]) -> Mask {
    let column = page.columns.get(question.slot);
    match &question.ask {
        Ask::Holds => Mask::of(at.len(), |row| {
            at.get(row).is_some_and(|at| holds(column, *at as usize))
        }),
        Ask::Compare { op, values } => compared(column, page, *op, values, at),
    }
}

fn compared(column: Option<&Column>, page: &Page, op: Op, values: &[String], at: &[u32]) -> Mask {
    let mut holds = Predicate::new(page, op, values);
    if holds.is_never() {
        return Mask::none(at.len());
    }
    let place = |row: usize| at.get(row).map_or(usize::MAX - 1, |place| *place as usize);
    match column {
        Some(Column::Text(codes)) => Mask::of(at.len(), |row| {
            codes.get(place(row)).is_some_and(|code| holds.of(*code))
        }),
        Some(Column::Texts { offsets, codes }) => Mask::of(at.len(), |row| {
            let bound = |place: usize| offsets.get(place).map_or(0, |offset| *offset as usize);
            let elements = codes.get(bound(place(row))..bound(place(row) + 1)).unwrap_or(&[]);
            elements.iter().any(|code| holds.of(*code))
        }),
        _ => Mask::none(at.len()),
    }
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

/// As many codes are compared one after the other.
const FEW: usize = 4;

/// One predicate over the codes of one page.
enum Predicate<'a> {
    Present,
    One(u32),
    Few(Vec<u32>),
    /// A bit for each code.
    Many(Vec<u64>),
    Text {
        page: &'a Page,
        op: Op,
        values: &'a [String],
        known: Vec<Option<bool>>,
    },
}

impl<'a> Predicate<'a> {
    fn new(page: &'a Page, op: Op, values: &'a [String]) -> Self {
        match op {
            Op::Present => Predicate::Present,
            Op::In => {
                let codes: Vec<u32> = values.iter().filter_map(|value| page.dictionary.find(value)).collect();
                match codes.as_slice() {
                    [one] => Predicate::One(*one),
                    few if few.len() <= FEW => Predicate::Few(codes),
                    many => {
                        let mut bits = vec![0_u64; page.dictionary.len().div_ceil(64)];
                        for code in many {
                            if let Some(word) = bits.get_mut(*code as usize / 64) {
                                *word |= 1 << (code % 64);
                            }
                        }
                        Predicate::Many(bits)
                    }
                }
            }
            Op::Prefix | Op::Suffix | Op::Contains => Predicate::Text {
                page,
                op,
                values,
                known: vec![None; page.dictionary.len()],
            },
        }
    }

    /// None of the texts is in the page.
    fn is_never(&self) -> bool {
        matches!(self, Predicate::Few(codes) if codes.is_empty())
    }

    #[inline]
    fn of(&mut self, code: u32) -> bool {
        if code == NULL {
            return false;
        }
        match self {
            Predicate::Present => true,
            Predicate::One(value) => code == *value,
            Predicate::Few(codes) => codes.contains(&code),
            Predicate::Many(bits) => bits
                .get(code as usize / 64)
                .is_some_and(|word| word >> (code % 64) & 1 == 1),
            Predicate::Text {
                page,
                op,
                values,
                known,
            } => {
                let Some(known) = known.get_mut(code as usize) else {
                    return false;
                };
                *known.get_or_insert_with(|| {
                    let text = page.dictionary.text(code).unwrap_or("");
                    values.iter().any(|value| compare(*op, text, value))
                })
            }
        }
    }
}

fn compare(op: Op, text: &str, value: &str) -> bool {
    match op {
        Op::In => text == value,
        Op::Present => true,
        Op::Prefix => text.starts_with(value),
        Op::Suffix => text.ends_with(value),
        Op::Contains => memchr::memmem::find(text.as_bytes(), value.as_bytes()).is_some(),
    }
}
