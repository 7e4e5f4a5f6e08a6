//! `tables:`: lookup tables from files, for every tenant or for one: where each is and how rules find its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use picket_contract::IndexKind;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Problem;
use super::tenant::Checker;
use crate::filed::Filed;

/// By name; rules know them as `tables.<name>`.
pub(crate) type Tables = BTreeMap<String, TableConfig>;

/// One table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableConfig {
    /// What is said of it.
    pub(crate) spec: Arc<TableSpec>,
    /// What its file holds; none: it was not asked for.
    pub(crate) content: Option<Arc<Filed>>,
}

/// What is said of one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TableSpec {
    /// As rules name it, less `tables.`.
    pub(crate) name: String,
    /// CSV, NDJSON or YAML, by its ending.
    pub(crate) file: PathBuf,
    /// Columns by which rows are found, and how.
    pub(crate) keys: BTreeMap<String, KeyKind>,
    /// Columns that hold phone numbers.
    pub(crate) phones: BTreeSet<String>,
    /// Every tenant has it.
    pub(crate) is_shared: bool,
    /// Where this is written: `file:line:column`.
    pub(crate) place: String,
}

/// How rows are found by a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum KeyKind {
    /// The same text.
    Exact,
    /// The most specific network that holds the address.
    Cidr,
    /// The longest beginning.
    Prefix,
}

impl KeyKind {
    /// As the contract has it.
    pub(crate) fn index(self) -> IndexKind {
        match self {
            KeyKind::Exact => IndexKind::Exact,
            KeyKind::Cidr => IndexKind::Network,
            KeyKind::Prefix => IndexKind::Prefix,
        }
    }
}

/// One table, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableFile {
    file: Spanned<PathBuf>,
    keys: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    phones: Vec<Spanned<String>>,
}

impl Checker<'_> {
    /// The tables that a file names. `is_shared`: for every tenant.
    pub(super) fn tables(
        &self,
        files: &BTreeMap<String, Spanned<TableFile>>,
        is_shared: bool,
        problems: &mut Vec<Problem>,
    ) -> Tables {
        let mut tables = Tables::new();
        for (name, table) in files {
            let at = table.referenced;
            let file = &table.value;
            let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            if name.is_empty() || name.len() > 64 || !name.bytes().all(is_good) {
                let problem = self.problem(at, format!("tables: `{name}` cannot be a table's name"));
                problems.push(
                    problem
                        .hint("use up to 64 lower-case letters, digits, `-` and `_`; rules find it as tables.<name>"),
                );
            }
            let path = self.file(&file.file.value);
            if crate::filed::Format::of(&path).is_none() {
                let what = format!("tables: {name}: {} is of no format that is read", path.display());
                let hint = "end it with .csv (its first line names the columns), .ndjson, .jsonl (an object a line), .yaml or .yml (a list of objects)";
                problems.push(self.problem(file.file.referenced, what).hint(hint));
            }
            if file.keys.is_empty() {
                let what = format!("tables: {name}: no column finds a row");
                let hint = "name one at least: keys: {hostname: exact}, {network: cidr} or {number: prefix}";
                problems.push(self.problem(at, what).hint(hint));
            }
            let mut keys = BTreeMap::new();
            for (column, kind) in &file.keys {
                let kind = match kind.value.as_str() {
                    "exact" => KeyKind::Exact,
                    "cidr" => KeyKind::Cidr,
                    "prefix" => KeyKind::Prefix,
                    other => {
                        let what = format!("tables: {name}: keys: {column}: there is no index of the kind `{other}`");
                        let hint = "exact (the same text), cidr (the most specific network that holds the address) or prefix (the \
                                    longest beginning)";
                        problems.push(self.problem(kind.referenced, what).hint(hint));
                        continue;
                    }
                };
                keys.insert(column.clone(), kind);
            }
            let spec = TableSpec {
                name: name.clone(),
                file: path,
                keys,
                phones: file.phones.iter().map(|column| column.value.clone()).collect(),
                is_shared,
                place: format!("{}:{}:{}", self.path.display(), at.line(), at.column()),
            };
            let table = TableConfig {
                spec: Arc::new(spec),
                content: None,
            };
            tables.insert(name.clone(), table);
        }
        tables
    }
}
