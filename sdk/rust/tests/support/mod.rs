//! Batches by hand: text columns only, one group for each source.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use picket::testing::Native;
use picket_contract::{
    Batch, Call, Column, Evaluate, Failure, Group, NULL, Outcome, ParamValue, Params, RuleAlert, RuleState, Tables,
};

/// One row: source, time (ms), fields.
#[derive(Debug, Clone)]
pub struct Line {
    pub source: u32,
    pub time: i64,
    pub fields: Vec<Option<String>>,
}

pub fn line(source: u32, time: i64, fields: &[&str]) -> Line {
    let null = |field: &&str| (!field.is_empty()).then(|| (*field).to_owned());
    Line {
        source,
        time,
        fields: fields.iter().map(null).collect(),
    }
}

/// A batch of lines, whose journal numbers start at `first`.
pub fn batch(lines: &[Line], first: u64, watermark: i64) -> Batch {
    let mut batch = Batch {
        watermark,
        ..Batch::default()
    };
    for (event, line) in (first..).zip(lines) {
        let place = batch
            .groups
            .iter()
            .position(|group| group.source == line.source)
            .unwrap_or_else(|| {
                let columns = line.fields.iter().map(|_| Column::Text(Vec::new())).collect();
                batch.groups.push(Group {
                    source: line.source,
                    offsets: vec![0],
                    columns,
                    ..Group::default()
                });
                batch.groups.len() - 1
            });
        let group = &mut batch.groups[place];
        group.events.push(event);
        group.times.push(line.time);
        group.late.push(0);
        for (column, field) in line.fields.iter().enumerate() {
            let code = match field {
                None => NULL,
                Some(text) => {
                    group.dictionary.extend_from_slice(text.as_bytes());
                    group.offsets.push(u32::try_from(group.dictionary.len()).unwrap());
                    u32::try_from(group.offsets.len()).unwrap() - 2
                }
            };
            let Column::Text(codes) = &mut group.columns[column] else {
                unreachable!()
            };
            codes.push(code);
        }
        batch.order.push(u8::try_from(place).unwrap());
    }
    batch
}

/// A rule with what it remembers.
pub struct Bench {
    native: Native,
    rule: &'static str,
    pub state: RuleState,
    pub params: Params,
    next: u64,
}

impl Bench {
    pub fn new(module: &'static picket::Module, rule: &'static str) -> Self {
        Bench {
            native: Native::new(module),
            rule,
            state: RuleState::default(),
            params: Params::new(),
            next: 1,
        }
    }

    pub fn with(mut self, name: &str, value: ParamValue) -> Self {
        self.params.insert(name.to_owned(), value);
        self
    }

    /// One call; what it changed is kept.
    pub fn call(&mut self, batch: &Batch) -> Result<Outcome, Failure> {
        let tables = Tables::default();
        let call = Call {
            rule: self.rule,
            batch,
            state: &self.state,
            params: &self.params,
            tables: &tables,
        };
        let outcome = self.native.evaluate(call)?;
        self.state.apply(&outcome.changes);
        Ok(outcome)
    }

    /// One call over lines, complete up to the last.
    pub fn judge(&mut self, lines: &[Line]) -> Vec<RuleAlert> {
        let watermark = lines.iter().map(|line| line.time).max().unwrap_or_default();
        self.judge_to(lines, watermark)
    }

    pub fn judge_to(&mut self, lines: &[Line], watermark: i64) -> Vec<RuleAlert> {
        let batch = batch(lines, self.next, watermark);
        self.next += lines.len() as u64;
        self.call(&batch).unwrap().alerts
    }
}
