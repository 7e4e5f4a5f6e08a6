//! Lookup tables from files: `tables:` in the configuration.
//!
//! A file is read whole and checked strictly, since a row that is silently left out is a detection that is silently lost: one
//! wrong line, and the file is refused with that line's number. Rules see text and nothing else. Columns of phone numbers are
//! pseudonyms of the tenant's key, as they are everywhere; a table that holds no number is there once for all tenants.

mod read;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use picket_contract::{IndexKind, Numbers, Table};

use crate::config::{Config, Loaded, Problem, Problems, TableSpec, Tables};
use crate::daemon::lock;
pub(crate) use read::Format;

/// What a table's file holds.
pub(crate) struct Filed {
    /// Hash of the content and of how rows are found.
    pub(crate) digest: String,
    /// How many rows.
    pub(crate) rows: usize,
    columns: Vec<String>,
    indexes: Vec<(usize, IndexKind)>,
    /// Columns that may hold phone numbers.
    phones: Vec<usize>,
    kept: Kept,
}

/// The rows.
enum Kept {
    /// The same for every tenant.
    Shared(Arc<Table>),
    /// Each tenant has other pseudonyms in it.
    Rows(Vec<Cells>),
}

/// The cells of a row, in the order of the columns.
type Cells = Vec<Option<Box<str>>>;

impl Filed {
    fn new(
        digest: String,
        columns: Vec<String>,
        indexes: Vec<(usize, IndexKind)>,
        phones: Vec<usize>,
        rows: Vec<Cells>,
    ) -> Self {
        let count = rows.len();
        let filed = Filed {
            digest,
            rows: count,
            columns,
            indexes,
            phones,
            kept: Kept::Rows(Vec::new()),
        };
        let kept = if filed.phones.is_empty() {
            Kept::Shared(Arc::new(filed.made_of(&rows, None)))
        } else {
            Kept::Rows(rows)
        };
        Filed { kept, ..filed }
    }

    /// As the rules of a tenant have it.
    pub(crate) fn table(&self, numbers: &dyn Numbers) -> Arc<Table> {
        match &self.kept {
            Kept::Shared(table) => table.clone(),
            Kept::Rows(rows) => Arc::new(self.made_of(rows, Some(numbers))),
        }
    }

    fn made_of(&self, rows: &[Cells], numbers: Option<&dyn Numbers>) -> Table {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let name = |column: usize| columns.get(column).copied().unwrap_or_default();
        let indexes: Vec<(&str, IndexKind)> = self
            .indexes
            .iter()
            .map(|(column, kind)| (name(*column), *kind))
            .collect();
        let phones: Vec<&str> = self.phones.iter().map(|column| name(*column)).collect();
        let mut table = Table::indexed(&columns, &indexes).masked(&phones);
        for cells in rows {
            let masked: Vec<Option<String>> = cells
                .iter()
                .enumerate()
                .map(|(column, cell)| {
                    let numbers = numbers.filter(|_| self.phones.contains(&column));
                    cell.as_ref()
                        .map(|cell| numbers.map_or_else(|| cell.to_string(), |numbers| numbers.masked(cell)))
                })
                .collect();
            let keys = self.indexes.iter().filter_map(|(column, kind)| {
                // Where a number begins is asked with the number itself.
                let key = match kind {
                    IndexKind::Prefix => cells.get(*column)?.as_deref().map(beginning)?,
                    _ => masked.get(*column)?.clone()?,
                };
                Some((name(*column), key))
            });
            let keys: Vec<(&str, String)> = keys.collect();
            let shown: Vec<Option<&str>> = masked.iter().map(Option::as_deref).collect();
            // Files are far smaller than what a table holds.
            table.push(&shown, keys.iter().map(|(index, key)| (*index, key.as_str())));
        }
        table.sorted()
    }
}

/// A key of beginnings: of a number, without the signs people put between its digits.
fn beginning(key: &str) -> String {
    let digits: String = key.chars().filter(|char| !" -().".contains(*char)).collect();
    let is_number = {
        let digits = digits.strip_prefix('+').unwrap_or(&digits);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    if is_number { digits } else { key.to_owned() }
}

impl fmt::Debug for Filed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows, {}", self.rows, self.digest)
    }
}

impl PartialEq for Filed {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// Reads files, and those that have not changed no second time.
#[derive(Debug, Default)]
pub(crate) struct Cabinet {
    known: Mutex<BTreeMap<TableSpec, Arc<Filed>>>,
}

impl Cabinet {
    /// Reads the tables of a configuration; what is wrong in a customer's own tables leaves out that customer.
    ///
    /// # Errors
    /// What is wrong in a table that every tenant has.
    pub(crate) fn fill(&self, loaded: &mut Loaded) -> Result<(), Problems> {
        let known = std::mem::take(&mut *lock(&self.known));
        let mut read: BTreeMap<TableSpec, Result<Arc<Filed>, Vec<Problem>>> = BTreeMap::new();
        let Config { tenants, parents, .. } = &mut loaded.config;
        let mut wrong = Vec::new();
        let mut broken: Vec<(String, Problems)> = Vec::new();
        let all = tenants.iter_mut().map(|tenant| (&tenant.id, &mut tenant.tables));
        let all = all.chain(parents.iter_mut().map(|parent| (&parent.id, &mut parent.tables)));
        for (id, tables) in all {
            let own = fill(tables, &known, &mut read);
            if !own.is_empty() {
                broken.push((id.clone(), Problems(own)));
            }
        }
        for (spec, outcome) in &read {
            if let (true, Err(problems)) = (spec.is_shared, outcome) {
                wrong.extend(problems.clone());
            }
        }
        *lock(&self.known) = read
            .into_iter()
            .filter_map(|(spec, read)| Some((spec, read.ok()?)))
            .collect();
        if !wrong.is_empty() {
            return Err(Problems(wrong));
        }
        let is_broken = |id: &str| broken.iter().any(|(broken, _)| broken == id);
        loaded.config.tenants.retain(|tenant| !is_broken(&tenant.id));
        loaded.config.parents.retain(|parent| !is_broken(&parent.id));
        loaded.broken.extend(broken);
        Ok(())
    }
}

/// Reads one tenant's tables; what is wrong with those that are its own.
fn fill(
    tables: &mut Tables,
    known: &BTreeMap<TableSpec, Arc<Filed>>,
    read: &mut BTreeMap<TableSpec, Result<Arc<Filed>, Vec<Problem>>>,
) -> Vec<Problem> {
    let mut wrong = Vec::new();
    for table in tables.values_mut() {
        let spec = &table.spec;
        let outcome = read
            .entry(spec.as_ref().clone())
            .or_insert_with(|| read::file(spec, known.get(&**spec)));
        match outcome {
            Ok(filed) => table.content = Some(filed.clone()),
            Err(problems) if !spec.is_shared => wrong.extend(problems.clone()),
            Err(_) => {}
        }
    }
    wrong
}

#[cfg(test)]
mod tests;
