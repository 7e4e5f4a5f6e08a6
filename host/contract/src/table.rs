//! Lookup tables of a tenant.
//!
//! Rules hold pseudonyms of phone numbers, so numbers are in tables by their pseudonyms, too, as keys and in cells. What cannot
//! be told from a pseudonym is where a number begins: an index [`PREFIX`] is searched with the number itself, which the host
//! reads out of the pseudonym for that one comparison.
//!
//! An index finds rows by a key that is equal ([`Kind::Exact`]), by the most specific network that holds an address
//! ([`Kind::Network`]), or by the longest beginning of the key ([`Kind::Prefix`]).

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{IpAddr, Ipv6Addr};
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
        let Some(numbers) = self.numbers.as_ref() else {
            return table.find(index, key);
        };
        if table.kind(index) == Some(Kind::Prefix) {
            let number = numbers.reveal(key);
            let rows = table.find(index, number.as_deref().unwrap_or(key));
            return rows.map(|rows| self.told(table, rows, &**numbers));
        }
        let rows = if self.clear && table.is_masked(index) {
            table.find(index, &numbers.masked(key))
        } else {
            table.find(index, key)
        };
        rows.map(|rows| self.told(table, rows, &**numbers))
    }

    /// Rows as the module may see them.
    fn told(&self, table: &Table, mut rows: Vec<Row>, numbers: &dyn Numbers) -> Vec<Row> {
        if self.clear {
            for (_, cell) in rows.iter_mut().flatten().filter(|(column, _)| table.is_masked(column)) {
                if let Some(number) = numbers.reveal(cell) {
                    *cell = number;
                }
            }
        }
        rows
    }
}

/// A table with several indexes over the same rows, packed: a tenant has tens of thousands of users and phones, and a process
/// hundreds of tenants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    /// Columns whose cells, and keys where they are indexed exactly, may be pseudonyms.
    masked: Vec<String>,
    text: String,
    /// Where each cell ends in `text`, row by row.
    ends: Vec<u32>,
    indexes: BTreeMap<String, Index>,
}

/// How an index finds rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// By a key that is equal.
    #[default]
    Exact,
    /// By the most specific network that holds an address, or a network.
    Network,
    /// By the longest key that the text asked for begins with.
    Prefix,
}

/// Keys and their rows, sorted.
#[derive(Debug, Clone, Default, PartialEq)]
struct Index {
    kind: Kind,
    /// Lengths of the networks, the longest first.
    lengths: Vec<u8>,
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
        let indexes: Vec<(&str, Kind)> = indexes.iter().map(|name| (*name, Kind::Exact)).collect();
        Table::indexed(columns, &indexes)
    }

    /// The same, with indexes of any kind.
    #[must_use]
    pub fn indexed(columns: &[&str], indexes: &[(&str, Kind)]) -> Self {
        let index = |kind: Kind| Index {
            kind,
            ..Index::default()
        };
        Table {
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            masked: vec![NUMBER.to_owned()],
            indexes: indexes
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), index(*kind)))
                .collect(),
            ..Table::default()
        }
    }

    /// The same, with these columns as those that may hold pseudonyms of phone numbers.
    #[must_use]
    pub fn masked(mut self, columns: &[&str]) -> Self {
        self.masked = columns.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    fn is_masked(&self, column: &str) -> bool {
        self.masked.iter().any(|masked| masked == column)
    }

    fn kind(&self, index: &str) -> Option<Kind> {
        self.indexes.get(index).map(|index| index.kind)
    }

    /// Adds a row: its cells in the order of the columns (missing and empty ones are no cells), and the keys that lead to it, by
    /// index (of an index of networks, those that are networks). False: the table is full (4 GiB of text).
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
        let index = self.indexes.get(index)?;
        let rows = |key: &str| -> Vec<Row> { index.find(key).filter_map(|row| self.row(row)).collect() };
        Some(match index.kind {
            Kind::Exact => rows(key),
            Kind::Network => {
                let asked = Network::parse(key);
                let lengths = index.lengths.iter().copied();
                let mut wider = asked
                    .into_iter()
                    .flat_map(|asked| lengths.clone().filter_map(move |length| asked.within(length)));
                wider
                    .find_map(|network| Some(rows(&network.key())).filter(|rows| !rows.is_empty()))
                    .unwrap_or_default()
            }
            Kind::Prefix => {
                let mut beginnings = (1..=key.len()).rev().filter_map(|end| key.get(..end));
                beginnings
                    .find_map(|key| Some(rows(key)).filter(|rows| !rows.is_empty()))
                    .unwrap_or_default()
            }
        })
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
        if self.kind != Kind::Network {
            return self.enter(key, row);
        }
        let Some(network) = Network::parse(key) else { return };
        if !self.lengths.contains(&network.length) {
            self.lengths.push(network.length);
            self.lengths.sort_unstable_by(|one, other| other.cmp(one));
        }
        self.enter(&network.key(), row);
    }

    fn enter(&mut self, key: &str, row: u32) {
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

/// A network, or an address, which is one of a single address. IPv4 is part of IPv6 (`::ffff:0:0/96`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    first: u128,
    length: u8,
}

impl Network {
    /// `10.1.0.0/16`, `2001:db8::/32`, or an address.
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let (first, most, before) = match address.trim().parse::<IpAddr>().ok()?.to_canonical() {
            IpAddr::V4(address) => (u128::from(address.to_ipv6_mapped()), 32, 96),
            IpAddr::V6(address) => (u128::from(address), 128, 0),
        };
        let length = length.unwrap_or(most);
        if length > most {
            return None;
        }
        let length = length + before;
        Some(Network {
            first: first & mask(length),
            length,
        })
    }

    /// The network of this length that it lies in. None: it is larger.
    fn within(self, length: u8) -> Option<Self> {
        (length <= self.length).then(|| Network {
            first: self.first & mask(length),
            length,
        })
    }

    /// As a key: equal networks have equal ones.
    fn key(self) -> String {
        format!("{:032x}/{}", self.first, self.length)
    }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

/// What is wrong with the text of a network, in words. None: nothing.
#[must_use]
pub fn wrong_network(text: &str) -> Option<String> {
    let Some(network) = Network::parse(text) else {
        return Some(format!(
            "`{text}` is no network and no address: write 10.1.0.0/16, 2001:db8::/32 or 192.0.2.7"
        ));
    };
    let address = text
        .split('/')
        .next()
        .unwrap_or_default()
        .trim()
        .parse::<IpAddr>()
        .ok()?;
    let first = match address.to_canonical() {
        IpAddr::V4(address) => u128::from(address.to_ipv6_mapped()),
        IpAddr::V6(address) => u128::from(address),
    };
    if first == network.first {
        return None;
    }
    let (length, right) = match Ipv6Addr::from(network.first).to_canonical() {
        IpAddr::V4(address) => (network.length.saturating_sub(96), address.to_string()),
        IpAddr::V6(address) => (network.length, address.to_string()),
    };
    Some(format!(
        "`{text}` is an address within a network, not the network: write {right}/{length}, or the address alone"
    ))
}

#[cfg(test)]
mod tests;
