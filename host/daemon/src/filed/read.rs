//! Reading one file: CSV, NDJSON or YAML.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use picket_contract::table::wrong_network;
use picket_event::Mask;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::{Cells, Filed};
use crate::config::{KeyKind, Problem, TableSpec, edits};

/// Largest file, bytes: a million rows of a few columns.
const MOST_BYTES: u64 = 128 << 20;
/// Problems of one file that are told.
const MOST_PROBLEMS: usize = 10;
/// Longest name of a column, bytes.
const COLUMN: usize = 64;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Comma-separated; the first line names the columns.
    Csv,
    /// An object a line.
    Ndjson,
    /// A list of objects.
    Yaml,
}

impl Format {
    /// By the file's ending.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "csv" => Some(Format::Csv),
            "ndjson" | "jsonl" => Some(Format::Ndjson),
            "yaml" | "yml" => Some(Format::Yaml),
            _ => None,
        }
    }
}

/// Rows as read: columns in the order of their first use, and each row with its line (from 1).
#[derive(Debug, Default)]
struct Sheet {
    columns: Vec<String>,
    rows: Vec<(u64, Cells)>,
    problems: Vec<Problem>,
}

/// Reads a table's file. `known`: what it held last.
pub(super) fn file(spec: &TableSpec, known: Option<&Arc<Filed>>) -> Result<Arc<Filed>, Vec<Problem>> {
    let path = &spec.file;
    let unreadable = |why: String| {
        let problem = Problem::new(path, format!("table {}: {why}", spec.name));
        vec![problem.hint(format!("{} names it", spec.place))]
    };
    let about = std::fs::metadata(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    if !about.is_file() {
        return Err(unreadable("it is not a plain file".to_owned()));
    }
    if about.len() > MOST_BYTES {
        return Err(unreadable(format!(
            "it has {} bytes, at most {MOST_BYTES} are read",
            about.len()
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(format!("{:?} {:?}\0", spec.keys, spec.phones).as_bytes())
        .update(&bytes);
    let digest = hasher.finalize().to_hex().to_string();
    if let Some(known) = known.filter(|known| known.digest == digest) {
        return Ok(known.clone());
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
            return Err(vec![
                at(path, line, "it is not UTF-8".to_owned()).hint("save it as UTF-8"),
            ]);
        }
    };
    let sheet = match Format::of(path) {
        Some(Format::Csv) => csv(path, text),
        Some(Format::Ndjson) => ndjson(path, text),
        Some(Format::Yaml) => yaml(path, text),
        None => return Err(unreadable("it is of no format that is read".to_owned())),
    };
    checked(spec, digest, sheet).map(Arc::new)
}

fn at(path: &Path, line: u64, what: String) -> Problem {
    Problem::new(path, what).on(line, 1)
}

impl Sheet {
    /// Where a column stands; a new one is added.
    fn column(&mut self, name: &str) -> usize {
        if let Some(at) = self.columns.iter().position(|known| known == name) {
            return at;
        }
        self.columns.push(name.to_owned());
        self.columns.len() - 1
    }

    /// A row of an object.
    fn object<'a>(&mut self, path: &Path, line: u64, object: impl Iterator<Item = (&'a str, &'a Value)>) {
        let mut cells: Vec<Option<Box<str>>> = Vec::new();
        for (name, value) in object {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.trim().to_owned(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    let what = format!("`{name}` is a list or an object");
                    self.problems
                        .push(at(path, line, what).hint("a cell is a text, a number, true or false"));
                    continue;
                }
            };
            let column = self.column(name);
            if cells.len() <= column {
                cells.resize(column + 1, None);
            }
            if let Some(cell) = cells.get_mut(column) {
                *cell = (!text.is_empty()).then(|| text.into());
            }
        }
        self.rows.push((line, cells));
    }
}

fn csv(path: &Path, text: &str) -> Sheet {
    let mut sheet = Sheet::default();
    let mut reader = ::csv::ReaderBuilder::new()
        .trim(::csv::Trim::All)
        .from_reader(text.as_bytes());
    match reader.headers() {
        Ok(names) => {
            for name in names {
                if sheet.columns.iter().any(|known| known == name) {
                    sheet
                        .problems
                        .push(at(path, 1, format!("there are two columns named `{name}`")));
                }
                sheet.columns.push(name.to_owned());
            }
        }
        Err(error) => sheet.problems.push(csv_problem(path, &error)),
    }
    if let [only] = sheet.columns.as_slice()
        && only.contains([';', '\t'])
    {
        let problem = at(path, 1, "the columns are not separated by commas".to_owned());
        sheet
            .problems
            .push(problem.hint("write hostname,owner,zone; texts with a comma in them in \"quotes\""));
    }
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, ::csv::Position::line);
                let cells = record.iter().map(|cell| (!cell.is_empty()).then(|| cell.into()));
                sheet.rows.push((line, cells.collect()));
            }
            Err(error) => sheet.problems.push(csv_problem(path, &error)),
        }
        if sheet.problems.len() > MOST_PROBLEMS {
            break;
        }
    }
    sheet
}

fn csv_problem(path: &Path, error: &::csv::Error) -> Problem {
    let line = error.position().map_or(1, ::csv::Position::line);
    match error.kind() {
        ::csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            let what = format!("{len} cells, and the first line names {expected_len} columns");
            at(path, line, what).hint("put texts with a comma in them in \"quotes\"")
        }
        _ => at(path, line, error.to_string()),
    }
}

fn ndjson(path: &Path, text: &str) -> Sheet {
    let mut sheet = Sheet::default();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(object) => sheet.object(path, line, object.iter().map(|(name, value)| (name.as_str(), value))),
            Err(error) => {
                let words = error.to_string();
                let words = words.split(" at line ").next().unwrap_or_default().to_owned();
                let problem = Problem::new(path, words).on(line, error.column().max(1) as u64);
                sheet
                    .problems
                    .push(problem.hint("one JSON object a line: {\"hostname\": \"vpn1\", \"zone\": \"dmz\"}"));
            }
        }
        if sheet.problems.len() > MOST_PROBLEMS {
            break;
        }
    }
    sheet
}

fn yaml(path: &Path, text: &str) -> Sheet {
    let mut sheet = Sheet::default();
    match serde_saphyr::from_str::<Vec<Spanned<BTreeMap<String, Value>>>>(text) {
        Ok(objects) => {
            for object in objects {
                let cells = object.value.iter().map(|(name, value)| (name.as_str(), value));
                sheet.object(path, object.referenced.line(), cells);
            }
        }
        Err(error) => sheet.problems.push(Problem::yaml(path, text, &error)),
    }
    sheet
}

/// Holds what was read against what is said of the table.
fn checked(spec: &TableSpec, digest: String, mut sheet: Sheet) -> Result<Filed, Vec<Problem>> {
    let path = &spec.file;
    // A table of no rows and no heading has the columns it is searched by.
    if sheet.columns.is_empty() && sheet.problems.is_empty() {
        spec.keys.keys().for_each(|name| sheet.columns.push(name.clone()));
    }
    for name in &sheet.columns {
        if name.is_empty() || name.len() > COLUMN || name.chars().any(char::is_control) {
            let what = format!("`{}` cannot be a column's name", name.escape_debug());
            let hint = "up to 64 letters; in a CSV file the first line names the columns";
            sheet.problems.push(at(path, 1, what).hint(hint));
        }
    }
    let mut indexes: Vec<(usize, KeyKind)> = Vec::new();
    let mut phones = Vec::new();
    if sheet.problems.is_empty() {
        for (name, kind) in &spec.keys {
            indexes.extend(place(spec, &sheet.columns, name, &mut sheet.problems).map(|column| (column, *kind)));
        }
        for name in &spec.phones {
            phones.extend(place(spec, &sheet.columns, name, &mut sheet.problems));
        }
    }
    let mask = Mask::substitute();
    for (line, cells) in &sheet.rows {
        if sheet.problems.len() > MOST_PROBLEMS {
            break;
        }
        let of = |column: usize| cells.get(column).and_then(Option::as_deref);
        if !indexes.is_empty() && indexes.iter().all(|(column, _)| of(*column).is_none()) {
            let names: Vec<&str> = spec.keys.keys().map(String::as_str).collect();
            let what = format!("no rule can find this row: {} is empty", names.join(" and "));
            sheet
                .problems
                .push(at(path, *line, what).hint("fill it in, or take the row out"));
        }
        for (column, kind) in indexes.iter().filter(|(_, kind)| *kind == KeyKind::Cidr) {
            let wrong = of(*column).and_then(wrong_network);
            let name = sheet.columns.get(*column).map_or("", String::as_str);
            sheet
                .problems
                .extend(wrong.map(|wrong| at(path, *line, format!("{name}: {wrong}"))));
            debug_assert_eq!(*kind, KeyKind::Cidr);
        }
        // A number that nobody said is one is a number all the same.
        for (column, cell) in cells.iter().enumerate() {
            let is_number =
                |cell: &str| cell.starts_with('+') && picket_contract::Numbers::masked(&*mask, cell) != cell;
            if !phones.contains(&column) && cell.as_deref().is_some_and(is_number) {
                phones.push(column);
            }
        }
    }
    if !sheet.problems.is_empty() {
        let more = sheet.problems.len().saturating_sub(MOST_PROBLEMS);
        sheet.problems.truncate(MOST_PROBLEMS);
        if more > 0 {
            sheet.problems.push(Problem::new(path, "and more, which is not told"));
        }
        return Err(sheet.problems);
    }
    let indexes = indexes
        .into_iter()
        .map(|(column, kind)| (column, kind.index()))
        .collect();
    let rows = sheet.rows.into_iter().map(|(_, cells)| cells).collect();
    Ok(Filed::new(digest, sheet.columns, indexes, phones, rows))
}

/// Where a column that the configuration names stands in the file.
fn place(spec: &TableSpec, columns: &[String], name: &str, problems: &mut Vec<Problem>) -> Option<usize> {
    let found = columns.iter().position(|column| column == name);
    if found.is_none() {
        let near = columns.iter().map(|column| (edits(name, column), column)).min();
        let near = near.filter(|(distance, _)| *distance <= 3);
        let hint = match near {
            Some((_, near)) => format!("did you mean `{near}`? {} names the columns", spec.place),
            None => format!("it has {}; {} names the columns", columns.join(", "), spec.place),
        };
        problems.push(at(&spec.file, 1, format!("there is no column `{name}`")).hint(hint));
    }
    found
}
