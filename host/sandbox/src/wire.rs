//! The contract's WIT types as they cross the boundary: borrowed on the way in, so that a column is copied once, into the
//! guest's memory; owned on the way out.
//!
//! Wasmtime checks these against the component's own types; the names are those of `sdk/wit/rule.wit`.

use picket_contract as contract;
use picket_contract::state::{ENTRY_COST, StateRoom, TIMER_COST};
use std::sync::Arc;
use wasmtime::component::{ComponentType, Lift, Lower};

/// Parameters of `evaluate`.
pub(crate) type EvaluateParams<'a> = (&'a str, Batch<'a>);
/// Results of `evaluate`.
pub(crate) type EvaluateResults = (Result<Vec<Alert>, String>,);
/// Results of `describe`.
pub(crate) type DescribeResults = (String,);

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Numbers<'a> {
    values: &'a [i64],
    valid: &'a [u8],
}

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Floats<'a> {
    values: &'a [f64],
    valid: &'a [u8],
}

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct TextLists<'a> {
    offsets: &'a [u32],
    codes: &'a [u32],
}

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Column<'a> {
    #[component(name = "text")]
    Text(&'a [u32]),
    #[component(name = "s64")]
    S64(Numbers<'a>),
    #[component(name = "f64")]
    F64(Floats<'a>),
    #[component(name = "boolean")]
    Boolean(&'a [u8]),
    #[component(name = "texts")]
    Texts(TextLists<'a>),
}

#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Group<'a> {
    source: u32,
    events: &'a [u64],
    times: &'a [i64],
    late: &'a [u8],
    dictionary: &'a [u8],
    offsets: &'a [u32],
    columns: Vec<Column<'a>>,
}

#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Batch<'a> {
    groups: Vec<Group<'a>>,
    order: &'a [u8],
    watermark: i64,
}

impl<'a> From<&'a contract::Batch> for Batch<'a> {
    fn from(batch: &'a contract::Batch) -> Self {
        Batch {
            groups: batch.groups.iter().map(Group::from).collect(),
            order: &batch.order,
            watermark: batch.watermark,
        }
    }
}

impl<'a> From<&'a contract::Group> for Group<'a> {
    fn from(group: &'a contract::Group) -> Self {
        Group {
            source: group.source,
            events: &group.events,
            times: &group.times,
            late: &group.late,
            dictionary: &group.dictionary,
            offsets: &group.offsets,
            columns: group.columns.iter().map(Column::from).collect(),
        }
    }
}

impl<'a> From<&'a contract::Column> for Column<'a> {
    fn from(column: &'a contract::Column) -> Self {
        match column {
            contract::Column::Text(codes) => Column::Text(codes),
            contract::Column::S64 { values, valid } => Column::S64(Numbers { values, valid }),
            contract::Column::F64 { values, valid } => Column::F64(Floats { values, valid }),
            contract::Column::Bool(values) => Column::Boolean(values),
            contract::Column::Texts { offsets, codes } => Column::Texts(TextLists { offsets, codes }),
        }
    }
}

#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "wasmtime makes these from their numbers")]
pub(crate) enum Severity {
    #[component(name = "info")]
    Info,
    #[component(name = "low")]
    Low,
    #[component(name = "medium")]
    Medium,
    #[component(name = "high")]
    High,
    #[component(name = "critical")]
    Critical,
}

impl From<Severity> for contract::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => contract::Severity::Info,
            Severity::Low => contract::Severity::Low,
            Severity::Medium => contract::Severity::Medium,
            Severity::High => contract::Severity::High,
            Severity::Critical => contract::Severity::Critical,
        }
    }
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct About {
    pub(crate) kind: String,
    pub(crate) key: String,
    pub(crate) name: String,
}

#[derive(Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Alert {
    pub(crate) title: String,
    #[component(name = "dedup-key")]
    pub(crate) dedup_key: Option<String>,
    pub(crate) severity: Option<Severity>,
    pub(crate) time: i64,
    pub(crate) about: Option<About>,
    pub(crate) facts: Vec<(String, String)>,
    pub(crate) evidence: Vec<u64>,
    #[component(name = "raised-by")]
    pub(crate) raised_by: u64,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Timer {
    pub(crate) key: Arc<[u8]>,
    pub(crate) at: i64,
}

#[derive(Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Entry {
    pub(crate) value: Arc<[u8]>,
    #[component(name = "expires-at")]
    pub(crate) expires_at: i64,
}

#[derive(Debug, Default, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Entries {
    pub(crate) values: Vec<u8>,
    pub(crate) ends: Vec<u32>,
    #[component(name = "expires-at")]
    pub(crate) expires_at: Vec<i64>,
}

#[derive(Debug, Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Room {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    #[component(name = "entry-bytes")]
    pub(crate) entry_bytes: u32,
    #[component(name = "key-bytes")]
    pub(crate) key_bytes: u32,
    #[component(name = "value-bytes")]
    pub(crate) value_bytes: u32,
    pub(crate) life: i64,
    pub(crate) clock: i64,
}

impl From<StateRoom> for Room {
    fn from(room: StateRoom) -> Self {
        let cap = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Room {
            bytes: room.bytes as u64,
            entries: room.entries as u64,
            entry_bytes: cap(ENTRY_COST.max(TIMER_COST)),
            key_bytes: cap(room.limits.key_bytes),
            value_bytes: cap(room.limits.value_bytes),
            life: room.limits.life_ms,
            clock: room.clock.unwrap_or(i64::MIN),
        }
    }
}

#[derive(Debug, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Value {
    #[component(name = "boolean")]
    Boolean(bool),
    #[component(name = "integer")]
    Integer(i64),
    #[component(name = "number")]
    Number(f64),
    #[component(name = "text")]
    Text(String),
    #[component(name = "texts")]
    Texts(Vec<String>),
}

impl From<&contract::ParamValue> for Value {
    fn from(value: &contract::ParamValue) -> Self {
        match value {
            contract::ParamValue::Boolean(value) => Value::Boolean(*value),
            contract::ParamValue::Integer(value) => Value::Integer(*value),
            contract::ParamValue::Number(value) => Value::Number(*value),
            contract::ParamValue::Text(value) => Value::Text(value.clone()),
            contract::ParamValue::Texts(values) => Value::Texts(values.clone()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "wasmtime makes these from their numbers")]
pub(crate) enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
        }
    }
}
