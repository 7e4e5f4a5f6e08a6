//! Random rows through plan and selector into the sandbox: batches keep to the contract whatever the rows say, and no stock rule
//! fails on them. And random batches that do not keep to the contract, which may at worst make a rule fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use arbitrary::{Arbitrary as _, Unstructured};
use picket_contract::{Batch, Column, EventRecord, Group, NULL, Params, RuleManifest, RuleState, params};
use picket_event::{Plan, RowRef, Selector};
use picket_sandbox::{Limits, Module};
use serde_json::{Map, Value, json};

use super::Target;
use super::house::{House, feature, hash, stock};

pub(crate) struct Columns {
    house: House,
    rules: Vec<(Arc<Module>, RuleManifest, Params)>,
}

impl Columns {
    #[allow(clippy::expect_used, reason = "stock modules are admitted, and their defaults fit")]
    pub(crate) fn new() -> Self {
        // What a stock rule has outside: it must not fail for want of it.
        let mut house = House::with(Limits::default().fuel);
        // What the others remember is not what a stock rule wrote.
        house.state = RuleState::default();
        let mut rules = Vec::new();
        for bytes in stock() {
            let module = Arc::new(house.engine.load(&bytes).expect("a stock module is admitted"));
            for rule in &module.manifest.rules {
                let params = params::resolve(rule, &BTreeMap::new()).expect("defaults fit");
                rules.push((module.clone(), rule.clone(), params));
            }
        }
        Columns { house, rules }
    }

    /// Rows of Duo's, more or less, through the selector.
    fn selected(&self, rule: &RuleManifest, params: &Params, from: &mut Unstructured<'_>) -> Result<Batch, String> {
        let plan = Plan::new(&rule.sources);
        let selector = Selector::new(rule, params, &plan).map_err(|error| format!("{}: {error}", rule.id))?;
        let mut rows = Vec::new();
        let mut seq = 1;
        for source in &rule.sources {
            let logical = source.log.as_str();
            let duo_log = if logical == "admin" { "activity" } else { logical };
            let count = from.int_in_range(0..=6).unwrap_or(1);
            let events: Vec<EventRecord> = (0..count).map(|number| event(rule, logical, number, from)).collect();
            let page = Arc::new(plan.parse(logical, duo_log, &events));
            for row in 0..events.len() {
                let mut row = RowRef::new(page.clone(), u32::try_from(row).unwrap_or(0), seq);
                row.late = from.ratio(1, 5).unwrap_or(false);
                rows.push(row);
                seq += 1;
            }
        }
        rows.sort_by_key(|row| row.page.key(row.row));
        let watermark = rows.last().map_or(0, RowRef::time);
        Ok(selector.select(&rows, watermark).batch)
    }
}

/// A row that has most of what the rule reads, some of it as nobody would expect it.
fn event(rule: &RuleManifest, log: &str, number: i64, from: &mut Unstructured<'_>) -> EventRecord {
    let mut row = Map::new();
    let source = rule.sources.iter().find(|source| source.log == log);
    for field in source.iter().flat_map(|source| &source.fields) {
        if from.ratio(1, 10).unwrap_or(true) {
            continue;
        }
        put(&mut row, &field.path, value(from, 0));
    }
    // What the rule's condition asks for.
    for (path, wanted) in wishes(source.map(|source| &source.when)) {
        if let Ok(wanted) = from.choose(&wanted)
            && from.ratio(4, 5).unwrap_or(true)
        {
            put(&mut row, &path, json!(wanted));
        }
    }
    let time = 1_795_000_000_000 + number * i64::from(from.arbitrary::<u16>().unwrap_or(1));
    EventRecord {
        id: format!("e{number}").into(),
        time,
        raw: Value::Object(row).to_string().into(),
    }
}

/// Paths and the values that a condition compares them with.
fn wishes(when: Option<&picket_contract::When>) -> Vec<(String, Vec<String>)> {
    use picket_contract::When;
    match when {
        Some(When::All { all: branches } | When::Any { any: branches }) => {
            branches.iter().flat_map(|branch| wishes(Some(branch))).collect()
        }
        Some(When::Test(test)) if !test.values.is_empty() => vec![(test.field.clone(), test.values.clone())],
        _ => Vec::new(),
    }
}

fn put(row: &mut Map<String, Value>, path: &str, value: Value) {
    match path.trim_start_matches("raw.").split_once('.') {
        None => drop(row.insert(path.trim_start_matches("raw.").to_owned(), value)),
        Some((first, rest)) => {
            let inner = row.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn value(from: &mut Unstructured<'_>, depth: usize) -> Value {
    const WORDS: [&str; 16] = [
        "success",
        "denied",
        "fraud",
        "user_approved",
        "duo_push",
        "198.51.100.7",
        "2001:db8::1",
        "ada",
        "DUADA",
        "unknown",
        "",
        " ",
        "+13125558544",
        "Zürich\u{202e}",
        "\u{0}",
        "authentication",
    ];
    match from.int_in_range(0..=9).unwrap_or(0) {
        0..=3 => json!(from.choose(&WORDS).copied().unwrap_or("")),
        4 => json!(String::arbitrary(from).unwrap_or_default()),
        5 => json!(from.arbitrary::<i64>().unwrap_or(0)),
        6 => json!(from.arbitrary::<f64>().unwrap_or(0.5)),
        7 => json!(from.arbitrary::<bool>().unwrap_or(true)),
        8 if depth < 3 => {
            let count = from.int_in_range(0..=3).unwrap_or(0);
            Value::Array((0..count).map(|_| value(from, depth + 1)).collect())
        }
        9 if depth < 3 => {
            let mut inner = Map::new();
            inner.insert("name".to_owned(), value(from, depth + 1));
            // JSON in a string, as Duo has it.
            if from.arbitrary().unwrap_or(false) {
                json!(Value::Object(inner).to_string())
            } else {
                Value::Object(inner)
            }
        }
        _ => Value::Null,
    }
}

/// What a batch of the host's must be.
fn keeps_to_the_contract(batch: &Batch) -> Result<(), String> {
    let rows: usize = batch.groups.iter().map(|group| group.events.len()).sum();
    if batch.order.len() != rows {
        return Err(format!("{} rows in order, {rows} in groups", batch.order.len()));
    }
    for (index, group) in batch.groups.iter().enumerate() {
        let count = group.events.len();
        let in_order = batch.order.iter().filter(|group| usize::from(**group) == index).count();
        let texts = group.offsets.len().checked_sub(1).ok_or("no offset")?;
        let end = group.offsets.last().copied().unwrap_or(0) as usize;
        let ascending = group.offsets.is_sorted();
        if count == 0 || group.times.len() != count || group.late.len() != count || in_order != count {
            return Err(format!("a group of {count} rows is not whole: {group:?}"));
        }
        let text = std::str::from_utf8(&group.dictionary).map_err(|error| format!("the dictionary: {error}"))?;
        let at_characters = group
            .offsets
            .iter()
            .all(|offset| text.is_char_boundary(*offset as usize));
        if !ascending || end != group.dictionary.len() || !at_characters {
            return Err(format!("offsets of the dictionary: {:?}", group.offsets));
        }
        let known = |codes: &[u32]| codes.iter().all(|code| *code == NULL || (*code as usize) < texts);
        for column in &group.columns {
            let whole = match column {
                Column::Text(codes) => codes.len() == count && known(codes),
                Column::S64 { values, valid } => values.len() == count && valid.len() == count,
                Column::F64 { values, valid } => {
                    values.len() == count && valid.len() == count && values.iter().all(|value| value.is_finite())
                }
                Column::Bool(values) => values.len() == count && values.iter().all(|value| *value <= 2),
                Column::Texts { offsets, codes } => {
                    let end = offsets.last().copied().unwrap_or(0) as usize;
                    offsets.len() == count + 1 && offsets.is_sorted() && end == codes.len() && known(codes)
                }
            };
            if !whole {
                return Err(format!("a column of {count} rows is not whole: {column:?}"));
            }
        }
    }
    Ok(())
}

/// Any batch at all.
fn any(from: &mut Unstructured<'_>) -> arbitrary::Result<Batch> {
    let mut groups = Vec::new();
    for _ in 0..from.int_in_range(0..=3)? {
        let mut columns = Vec::new();
        for _ in 0..from.int_in_range(0..=8)? {
            columns.push(match from.int_in_range(0..=4)? {
                0 => Column::Text(Vec::arbitrary(from)?),
                1 => Column::S64 {
                    values: Vec::arbitrary(from)?,
                    valid: Vec::arbitrary(from)?,
                },
                2 => Column::F64 {
                    values: Vec::arbitrary(from)?,
                    valid: Vec::arbitrary(from)?,
                },
                3 => Column::Bool(Vec::arbitrary(from)?),
                _ => Column::Texts {
                    offsets: Vec::arbitrary(from)?,
                    codes: Vec::arbitrary(from)?,
                },
            });
        }
        groups.push(Group {
            source: from.arbitrary()?,
            events: Vec::arbitrary(from)?,
            times: Vec::arbitrary(from)?,
            late: Vec::arbitrary(from)?,
            dictionary: Vec::arbitrary(from)?,
            offsets: Vec::arbitrary(from)?,
            columns,
        });
    }
    Ok(Batch {
        groups,
        order: Vec::arbitrary(from)?,
        watermark: from.arbitrary()?,
    })
}

impl Target for Columns {
    fn execute(&mut self, input: &[u8]) -> Result<u64, String> {
        let mut from = Unstructured::new(input);
        let which = from.choose_index(self.rules.len().max(1)).unwrap_or(0);
        let Some((module, rule, params)) = self.rules.get(which) else {
            return Err("the stock rules are not built: run `cargo xtask rules`".to_owned());
        };
        if from.ratio(1, 4).unwrap_or(false) {
            let Ok(batch) = any(&mut from) else { return Ok(1) };
            let answer = self.house.call(module, &rule.id, &batch, Some(params))?;
            return Ok(hash(&(which, feature(&answer))));
        }
        let batch = self.selected(rule, params, &mut from)?;
        keeps_to_the_contract(&batch).map_err(|why| format!("{}: {why}", rule.id))?;
        let answer = self.house.call(module, &rule.id, &batch, Some(params))?;
        if let Err(failure) = &answer {
            return Err(format!(
                "the stock rule {} fails on these rows: {failure}\n{batch:?}",
                rule.id
            ));
        }
        Ok(hash(&(which, feature(&answer))))
    }

    fn most(&self) -> usize {
        1024
    }
}
