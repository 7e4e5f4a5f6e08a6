//! `when`, evaluated on dictionary codes.
//!
//! A tree node takes the rows that are still in question and gives those for which it holds. So a conjunction looks at fewer
//! rows with each branch, and what usually decides (`result == "fraud"`) makes the rest cost nothing. Equality is a
//! comparison of codes; the other operators look at each distinct text once.

use picket_contract::{Column, NULL, Op};

use crate::Page;

/// A compiled `when`: parameters resolved, fields as slots of the plan's layout.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Test { slot: usize, op: Op, values: Vec<String> },
}

impl Filter {
    /// Those of the rows for which it holds, in order. A row is an index into `at`, which tells where in the page it is.
    pub(crate) fn holding(&self, page: &Page, at: &[u32], rows: Vec<u32>) -> Vec<u32> {
        match self {
            Filter::All(branches) => branches.iter().fold(rows, |rows, branch| {
                if rows.is_empty() {
                    rows
                } else {
                    branch.holding(page, at, rows)
                }
            }),
            Filter::Any(branches) => {
                let mut open = rows.clone();
                let mut held = Vec::new();
                for branch in branches {
                    let holding = branch.holding(page, at, open.clone());
                    open = without(&open, &holding);
                    held.extend(holding);
                }
                // Rows keep the order they came in, whichever branch held.
                without(&rows, &open)
            }
            Filter::Not(branch) => {
                let holding = branch.holding(page, at, rows.clone());
                without(&rows, &holding)
            }
            Filter::Test { slot, op, values } => test(page, at, *slot, *op, values, rows),
        }
    }
}

/// `rows` less `taken`, which is a part of it in the same order.
pub(crate) fn without(rows: &[u32], taken: &[u32]) -> Vec<u32> {
    let mut taken = taken.iter().peekable();
    rows.iter()
        .copied()
        .filter(|row| taken.next_if_eq(&row).is_none())
        .collect()
}

fn test(page: &Page, at: &[u32], slot: usize, op: Op, values: &[String], mut rows: Vec<u32>) -> Vec<u32> {
    let mut holds = Predicate::new(page, op, values);
    let place = |row: u32| at.get(row as usize).map_or(usize::MAX - 1, |place| *place as usize);
    match page.columns.get(slot) {
        Some(Column::Text(codes)) => rows.retain(|row| codes.get(place(*row)).is_some_and(|code| holds.of(*code))),
        Some(Column::Texts { offsets, codes }) => rows.retain(|row| {
            let bound = |place: usize| offsets.get(place).map_or(0, |offset| *offset as usize);
            let elements = codes.get(bound(place(*row))..bound(place(*row) + 1)).unwrap_or(&[]);
            elements.iter().any(|code| holds.of(*code))
        }),
        _ => rows.clear(),
    }
    rows
}

/// One predicate over the codes of one page.
enum Predicate<'a> {
    Present,
    One(u32),
    In(Vec<u32>),
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
                    _ => Predicate::In(codes),
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

    fn of(&mut self, code: u32) -> bool {
        if code == NULL {
            return false;
        }
        match self {
            Predicate::Present => true,
            Predicate::One(value) => code == *value,
            Predicate::In(codes) => codes.contains(&code),
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
