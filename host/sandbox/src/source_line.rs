//! File and line of a rule's source, where its module carries line tables (`debug = "line-tables-only"`, about three times the
//! size of the file).
//!
//! Wasmtime would look them up itself, at every trap and with all that debug information can hold: work that a hostile module
//! decides. So only the line tables are read here, which are programs of one pass without loops; only where they are not too
//! long, only after a failure, and only for so many failures of one module. What they say is the module's own word: it goes into
//! texts for people, cleaned, and decides nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use gimli::{
    AttributeValue, DebugLine, DebugLineOffset, DebugLineStr, DebugStr, EndianSlice, LineProgramHeader, LittleEndian,
};
use wasmparser::{Parser, Payload};

use crate::text;

/// Longest line tables that are read, bytes, with their texts.
const MOST_BYTES: usize = 8 << 20;
/// Longest lines looked at in one table, rows.
const MOST_ROWS: usize = 2_000_000;
/// Failures of one module whose place is looked up; the same place counts once.
const MOST_PLACES: usize = 64;
/// Frames of a backtrace that are looked at, from the innermost.
const MOST_FRAMES: usize = 8;
/// Longest file and line, bytes.
const PLACE: usize = 300;

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// The line tables of a component.
#[derive(Debug, Default)]
pub(crate) struct SourceLines {
    modules: Vec<Lines>,
    known: Mutex<BTreeMap<Vec<usize>, Option<Box<str>>>>,
}

/// Of one core module.
#[derive(Debug, Default)]
struct Lines {
    /// Where its code lies in the file.
    code: Range<usize>,
    line: Vec<u8>,
    line_str: Vec<u8>,
    str: Vec<u8>,
}

/// A row of a table that may be the one that is looked for.
#[derive(Debug, Clone, Default)]
struct Found {
    /// The rule's own source, at the place or before it in the same function.
    own: Option<String>,
    /// Whatever stands for the place.
    any: Option<String>,
}

impl SourceLines {
    /// What there is in a component's file.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut modules: Vec<Lines> = Vec::new();
        let mut size = 0;
        for payload in Parser::new(0).parse_all(bytes) {
            let Ok(payload) = payload else { break };
            match payload {
                Payload::Version { .. } => modules.push(Lines::default()),
                Payload::CodeSectionStart { range, .. } => {
                    if let Some(module) = modules.last_mut() {
                        module.code = to_usize(&range);
                    }
                }
                Payload::CustomSection(section) => {
                    let Some(module) = modules.last_mut() else { continue };
                    let into = match section.name() {
                        ".debug_line" => &mut module.line,
                        ".debug_line_str" => &mut module.line_str,
                        ".debug_str" => &mut module.str,
                        _ => continue,
                    };
                    size += section.data().len();
                    if size > MOST_BYTES {
                        return SourceLines::default();
                    }
                    *into = section.data().to_vec();
                }
                _ => {}
            }
        }
        modules.retain(|module| !module.line.is_empty() && !module.code.is_empty());
        SourceLines {
            modules,
            known: Mutex::default(),
        }
    }

    /// File and line for the innermost of these places in the file that is of the rule's own source.
    pub(crate) fn find(&self, offsets: impl Iterator<Item = usize>) -> Option<Box<str>> {
        if self.modules.is_empty() {
            return None;
        }
        let offsets: Vec<usize> = offsets.take(MOST_FRAMES).collect();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = known.get(&offsets) {
            return place.clone();
        }
        if known.len() >= MOST_PLACES {
            return None;
        }
        let place = self.look(&offsets);
        known.insert(offsets, place.clone());
        place
    }

    fn look(&self, offsets: &[usize]) -> Option<Box<str>> {
        let module = self
            .modules
            .iter()
            .find(|module| offsets.iter().any(|offset| module.code.contains(offset)))?;
        let within = offsets.iter().filter(|offset| module.code.contains(offset));
        let addresses: Vec<u64> = within.map(|offset| (offset - module.code.start) as u64).collect();
        // A table that is broken half-way says what it said until then.
        let mut found = vec![Found::default(); addresses.len()];
        let _ = module.read(&addresses, &mut found);
        let own = found.iter().find_map(|found| found.own.clone());
        let place = own.or_else(|| found.into_iter().find_map(|found| found.any))?;
        Some(text::clean(&place, PLACE).into())
    }
}

impl Lines {
    fn read(&self, addresses: &[u64], found: &mut [Found]) -> gimli::Result<()> {
        let lines = DebugLine::new(&self.line, LittleEndian);
        let (mut at, mut rows) = (0, 0);
        while at < self.line.len() {
            let program = lines.program(DebugLineOffset(at), 4, None, None)?;
            // The length itself is four bytes.
            let next = at.saturating_add(program.header().unit_length()).saturating_add(4);
            self.unit(program, addresses, found, &mut rows)?;
            if next <= at || rows > MOST_ROWS {
                break;
            }
            at = next;
        }
        Ok(())
    }

    /// One table: of a row up to the next, code is of the row's line.
    fn unit<'a>(
        &'a self,
        program: gimli::IncompleteLineProgram<Reader<'a>>,
        addresses: &[u64],
        found: &mut [Found],
        rows: &mut usize,
    ) -> gimli::Result<()> {
        let mut program = program.rows();
        // Where the row before starts, with its file (by its number) and line.
        let mut before: Option<(u64, u64, u64)> = None;
        // File and line of the last row that was of the rule's own source.
        let mut own: Option<(u64, u64)> = None;
        let mut is_own: BTreeMap<u64, bool> = BTreeMap::new();
        while let Some((header, row)) = program.next_row()? {
            *rows += 1;
            if *rows > MOST_ROWS {
                break;
            }
            if let Some((start, file, line)) = before {
                for (address, found) in addresses.iter().zip(found.iter_mut()) {
                    if found.any.is_none() && (start..row.address()).contains(address) {
                        found.any = self.shown(header, file, line);
                        found.own = own.and_then(|(file, line)| self.shown(header, file, line));
                    }
                }
            }
            if row.end_sequence() {
                (before, own) = (None, None);
                continue;
            }
            let (file, line) = (row.file_index(), row.line().map_or(0, std::num::NonZeroU64::get));
            let mine = *is_own
                .entry(file)
                .or_insert_with(|| self.path(header, file).is_some_and(|path| !is_library(&path)));
            if mine && line > 0 {
                own = Some((file, line));
            }
            before = Some((row.address(), file, line));
        }
        Ok(())
    }

    fn shown(&self, header: &LineProgramHeader<Reader<'_>>, file: u64, line: u64) -> Option<String> {
        Some(format!("{}:{line}", self.path(header, file)?))
    }

    fn path(&self, header: &LineProgramHeader<Reader<'_>>, file: u64) -> Option<String> {
        let entry = header.file(file)?;
        let name = self.words(entry.path_name())?;
        let directory = entry.directory(header).and_then(|directory| self.words(directory));
        Some(match directory {
            Some(directory) if !directory.is_empty() && !name.starts_with('/') => format!("{directory}/{name}"),
            _ => name,
        })
    }

    fn words(&self, value: AttributeValue<Reader<'_>>) -> Option<String> {
        let words = match value {
            AttributeValue::String(words) => words,
            AttributeValue::DebugLineStrRef(at) => DebugLineStr::from(EndianSlice::new(&self.line_str, LittleEndian))
                .get_str(at)
                .ok()?,
            AttributeValue::DebugStrRef(at) => DebugStr::new(&self.str, LittleEndian).get_str(at).ok()?,
            _ => return None,
        };
        let start = words.slice().get(..words.slice().len().min(PLACE))?;
        Some(String::from_utf8_lossy(start).into_owned())
    }
}

/// The compiler's own libraries, those of the registry and the SDK: not what the author wrote.
fn is_library(path: &str) -> bool {
    const LIBRARIES: [&str; 7] = [
        "/rustc/",
        "/library/core/",
        "/library/alloc/",
        "/library/std/",
        "/registry/src/",
        "/git/checkouts/",
        "sdk/rust/src/",
    ];
    LIBRARIES.iter().any(|library| path.contains(library))
}

fn to_usize(range: &Range<impl Copy + TryInto<usize>>) -> Range<usize> {
    let number = |value| TryInto::<usize>::try_into(value).unwrap_or(usize::MAX);
    number(range.start)..number(range.end)
}
