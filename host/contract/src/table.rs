//! Lookup tables of a tenant.
//!
//! Rules hold pseudonyms of phone numbers, so numbers are in tables by their pseudonyms, too, as keys and in cells. What cannot
//! be told from a pseudonym is where a number begins: an index [`PREFIX`] is searched with the number itself, which the host
//! reads out of the pseudonym for that one comparison.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

/// One row of a lookup table.
pub type Row = Vec<(String, String)>;

/// The index of a table that is written out by which each row is found by its key.
pub const KEY: &str = "key";
/// The index by which the row is found whose key is the longest beginning of a phone number.
pub const PREFIX: &str = "prefix";

/// The index and column of phone numbers in tables of the inventory.
const NUMBER: &str = "number";

/// Knows the phone numbers behind pseudonyms.
pub trait Numbers: Debug + Send + Sync {
    /// The number, canonical. None: it is no pseudonym of this tenant's.
    fn reveal(&self, pseudonym: &str) -> Option<String>;
    /// The pseudonym of a number; what is none, as it is.
    fn masked(&self, number: &str) -> String;
}

/// Lookup tables of a tenant, as one module is given them.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// `tables[name][index][key]` = rows: for few rows, as a configuration or a test writes them.
    pub tables: BTreeMap<String, BTreeMap<String, BTreeMap<String, Vec<Row>>>>,
    /// Tables of many rows, by name. One that is in `tables` too is found there.
    pub shared: BTreeMap<String, Arc<Table>>,
    /// Who knows the phone numbers behind pseudonyms; none: nobody.
    pub numbers: Option<Arc<dyn Numbers>>,
    /// Whether the module is granted clear phone numbers: then it asks with them, and is told them.
    pub clear: bool,
}

impl PartialEq for Tables {
    fn eq(&self, other: &Self) -> bool {
        (&self.tables, &self.shared, self.clear) == (&other.tables, &other.shared, other.clear)
    }
}

impl Tables {
    /// Adds a table that is written out: each key with its row. A key that is a phone number is found by its pseudonym, and one
    /// that is the beginning of numbers (`+1900`) by [`PREFIX`], too.
    pub fn write(&mut self, name: &str, rows: impl IntoIterator<Item = (String, Row)>) {
        let (mut keys, mut prefixes): (BTreeMap<String, Vec<Row>>, BTreeMap<String, Vec<Row>>) = Default::default();
        for (key, row) in rows {
            let begins: String = key
                .chars()
                .filter(|char| !matches!(char, ' ' | '-' | '(' | ')' | '.'))
                .collect();
            let digits = begins.strip_prefix('+').unwrap_or(&begins);
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
                prefixes.entry(begins).or_default().push(row.clone());
            }
            if let Some(masked) = self
                .numbers
                .as_ref()
                .map(|numbers| numbers.masked(&key))
                .filter(|masked| *masked != key)
            {
                keys.entry(masked).or_default().push(row.clone());
            }
            keys.entry(key).or_default().push(row);
        }
        let indexes = [(KEY.to_owned(), keys), (PREFIX.to_owned(), prefixes)];
        self.tables.insert(name.to_owned(), indexes.into());
    }

    /// Rows for a key. None: there is no such table or index, which is not an empty match.
    #[must_use]
    pub fn find(&self, table: &str, index: &str, key: &str) -> Option<Vec<Row>> {
        let Some(written) = self.tables.get(table) else {
            return self.find_shared(self.shared.get(table)?, index, key);
        };
        let rows = written.get(index)?;
        if index == PREFIX {
            let number = self.numbers.as_ref().and_then(|numbers| numbers.reveal(key));
            let number = number.as_deref().unwrap_or(key);
            let mut beginnings = (1..=number.len()).rev().filter_map(|end| number.get(..end));
            return Some(
                beginnings
                    .find_map(|beginning| rows.get(beginning))
                    .cloned()
                    .unwrap_or_default(),
            );
        }
        Some(rows.get(key).cloned().unwrap_or_default())
    }

    fn find_shared(&self, table: &Table, index: &str, key: &str) -> Option<Vec<Row>> {
        let Some(numbers) = self.numbers.as_ref().filter(|_| self.clear) else {
            return table.find(index, key);
        };
        let mut rows = match index {
            NUMBER => table.find(index, &numbers.masked(key))?,
            _ => table.find(index, key)?,
        };
        for (_, cell) in rows.iter_mut().flatten().filter(|(column, _)| column == NUMBER) {
            if let Some(number) = numbers.reveal(cell) {
                *cell = number;
            }
        }
        Some(rows)
    }
}

/// A table with several indexes over the same rows, packed: a tenant has tens of thousands of users and phones, and a process
/// hundreds of tenants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    text: String,
    /// Where each cell ends in `text`, row by row.
    ends: Vec<u32>,
    indexes: BTreeMap<String, Index>,
}

/// Keys and their rows, sorted.
#[derive(Debug, Clone, Default, PartialEq)]
struct Index {
    text: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    start: u32,
    end: u32,
    row: u32,
}

impl Table {
    /// A table with these columns and indexes, and no rows.
    #[must_use]
    pub fn new(columns: &[&str], indexes: &[&str]) -> Self {
        Table {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            indexes: indexes
                .iter()
                .map(|name| ((*name).to_owned(), Index::default()))
                .collect(),
            ..Table::default()
        }
    }

    /// Adds a row: its cells in the order of the columns (missing and empty ones are no cells), and the keys that lead to it, by
    /// index. False: the table is full (4 GiB of text).
    pub fn push<'a>(&mut self, cells: &[Option<&str>], keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
        let row = self.rows();
        let before = (self.text.len(), self.ends.len());
        let cells = cells
            .iter()
            .copied()
            .chain(std::iter::repeat(None))
            .take(self.columns.len());
        for cell in cells {
            self.text.push_str(cell.unwrap_or_default());
            let Ok(end) = u32::try_from(self.text.len()) else {
                self.text.truncate(before.0);
                self.ends.truncate(before.1);
                return false;
            };
            self.ends.push(end);
        }
        for (index, key) in keys {
            if let Some(index) = self.indexes.get_mut(index)
                && !key.is_empty()
            {
                index.push(key, row);
            }
        }
        true
    }

    /// To be called when all rows are in: finding relies on it.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.indexes.values_mut().for_each(Index::sort);
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
        self
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        let rows = self.ends.len().checked_div(self.columns.len()).unwrap_or(0);
        u32::try_from(rows).unwrap_or(u32::MAX)
    }

    /// Rows for a key, in the order they were added. None: there is no such index.
    #[must_use]
    pub fn find(&self, index: &str, key: &str) -> Option<Vec<Row>> {
        let rows = self.indexes.get(index)?.find(key);
        Some(rows.filter_map(|row| self.row(row)).collect())
    }

    /// Every row with its key, by key.
    pub fn keys<'a>(&'a self, index: &str) -> impl Iterator<Item = (&'a str, Row)> {
        let index = self.indexes.get(index);
        let entries = index
            .into_iter()
            .flat_map(|index| index.entries.iter().map(move |entry| (index, entry)));
        entries.filter_map(|(index, entry)| Some((index.key(entry), self.row(entry.row)?)))
    }

    fn row(&self, row: u32) -> Option<Row> {
        let width = self.columns.len();
        let first = (row as usize).checked_mul(width)?;
        let mut start = match first.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        let mut cells = Row::new();
        for (column, end) in self.columns.iter().zip(self.ends.get(first..first + width)?) {
            let cell = self.text.get(start as usize..*end as usize)?;
            if !cell.is_empty() {
                cells.push((column.clone(), cell.to_owned()));
            }
            start = *end;
        }
        Some(cells)
    }
}

impl Index {
    fn push(&mut self, key: &str, row: u32) {
        let start = self.text.len();
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(start + key.len())) else {
            return;
        };
        self.text.push_str(key);
        self.entries.push(Entry { start, end, row });
    }

    fn key(&self, entry: &Entry) -> &str {
        self.text
            .get(entry.start as usize..entry.end as usize)
            .unwrap_or_default()
    }

    fn sort(&mut self) {
        let text = std::mem::take(&mut self.text);
        let key = |entry: &Entry| text.get(entry.start as usize..entry.end as usize).unwrap_or_default();
        self.entries.sort_by(|a, b| key(a).cmp(key(b)).then(a.row.cmp(&b.row)));
        self.entries.dedup_by(|a, b| key(a) == key(b) && a.row == b.row);
        self.entries.shrink_to_fit();
        self.text = text;
        self.text.shrink_to_fit();
    }

    fn find<'a>(&'a self, key: &'a str) -> impl Iterator<Item = u32> {
        let from = self.entries.partition_point(|entry| self.key(entry) < key);
        let found = self.entries.get(from..).unwrap_or_default();
        let found = found.iter().take_while(move |entry| self.key(entry) == key);
        found.map(|entry| entry.row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[(&str, &str)]) -> Row {
        cells
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn users() -> Table {
        let mut table = Table::new(&["user_id", "username", "status"], &["user_id", "name"]);
        table.push(
            &[Some("DU2"), Some("zoë"), None],
            [("user_id", "DU2"), ("name", "zoë"), ("name", "team")],
        );
        table.push(
            &[Some("DU1"), Some("ada"), Some("active")],
            [("user_id", "DU1"), ("name", "ada"), ("name", "team")],
        );
        table.push(
            &[Some("DU3")],
            [("user_id", "DU3"), ("name", ""), ("no such index", "x")],
        );
        table.sorted()
    }

    #[test]
    fn rows_are_found_by_every_index() {
        let table = users();
        assert_eq!(table.rows(), 3);
        let ada = row(&[("user_id", "DU1"), ("username", "ada"), ("status", "active")]);
        let zoe = row(&[("user_id", "DU2"), ("username", "zoë")]);
        assert_eq!(table.find("user_id", "DU1"), Some(vec![ada.clone()]));
        assert_eq!(table.find("name", "team"), Some(vec![zoe, ada]));
        assert_eq!(table.find("user_id", "DU3"), Some(vec![row(&[("user_id", "DU3")])]));
        assert_eq!(table.find("name", "nobody"), Some(vec![]));
        assert_eq!(table.find("name", ""), Some(vec![]));
        assert_eq!(table.find("serial", "1"), None, "no such index is no empty match");
        let keys: Vec<&str> = table.keys("user_id").map(|(key, _)| key).collect();
        assert_eq!(keys, ["DU1", "DU2", "DU3"]);
    }

    /// Masks by turning a number round.
    #[derive(Debug)]
    struct Turned;

    impl Numbers for Turned {
        fn reveal(&self, pseudonym: &str) -> Option<String> {
            let turned = pseudonym.strip_prefix("phone:")?;
            Some(turned.chars().rev().collect())
        }

        fn masked(&self, number: &str) -> String {
            if number.len() < 8 || number.starts_with("phone:") {
                return number.to_owned();
            }
            format!("phone:{}", number.chars().rev().collect::<String>())
        }
    }

    #[test]
    fn numbers_are_found_by_pseudonyms_and_by_where_they_begin() {
        let mut tables = Tables {
            numbers: Some(Arc::new(Turned)),
            ..Tables::default()
        };
        let value = |value: &str| row(&[("value", value)]);
        let keys = ["+1", "+1 900", "+15035550142", "vip"];
        tables.write("lists.own", keys.map(|key| (key.to_owned(), value(key))));
        let find = |index: &str, key: &str| tables.find("lists.own", index, key);
        let (premium, own) = (Turned.masked("+19005550100"), Turned.masked("+15035550142"));
        assert_eq!(
            find(PREFIX, &premium),
            Some(vec![value("+1 900")]),
            "the longest beginning"
        );
        assert_eq!(find(PREFIX, &Turned.masked("+14165550100")), Some(vec![value("+1")]));
        assert_eq!(find(PREFIX, &Turned.masked("+442079460123")), Some(vec![]));
        assert_eq!(
            find(PREFIX, "+19005550100"),
            Some(vec![value("+1 900")]),
            "who has the number may ask with it"
        );
        assert_eq!(find(KEY, &own), Some(vec![value("+15035550142")]));
        assert_eq!(find(KEY, &premium), Some(vec![]));
        assert_eq!(find(KEY, "vip"), Some(vec![value("vip")]));

        let mut phones = Table::new(&["number", "username"], &["number"]);
        phones.push(&[Some(&*own), Some("ada")], [("number", &*own)]);
        tables
            .shared
            .insert("inventory.phones".into(), Arc::new(phones.sorted()));
        let find = |tables: &Tables, key: &str| tables.find("inventory.phones", "number", key);
        assert_eq!(
            find(&tables, &own),
            Some(vec![row(&[("number", &own), ("username", "ada")])])
        );
        assert_eq!(
            find(&tables, "+15035550142"),
            Some(vec![]),
            "no guessing of who has which number"
        );
        tables.clear = true;
        let granted = Some(vec![row(&[("number", "+15035550142"), ("username", "ada")])]);
        assert_eq!(
            (find(&tables, "+15035550142"), find(&tables, &own)),
            (granted.clone(), granted.clone())
        );
    }

    #[test]
    fn a_table_written_out_hides_a_shared_one() {
        let mut tables = Tables::default();
        assert_eq!(tables.find("users", "name", "ada"), None);
        tables.shared.insert("users".into(), Arc::new(users()));
        assert_eq!(tables.find("users", "name", "zoë").map(|rows| rows.len()), Some(1));
        let own = BTreeMap::from([("zoë".to_owned(), vec![row(&[("value", "1")])])]);
        tables
            .tables
            .insert("users".into(), BTreeMap::from([("key".to_owned(), own)]));
        assert_eq!(tables.find("users", "name", "zoë"), None);
        assert_eq!(tables.find("users", "key", "zoë").map(|rows| rows.len()), Some(1));
        assert_eq!(tables.find("users", "key", "ada"), Some(vec![]));
    }
}
