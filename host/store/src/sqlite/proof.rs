//! Proof that a tenant is gone: the bytes of what it had are looked for in the store's files.
//!
//! Counting rows shows that the database no longer knows of it; what a stolen disk would show are bytes. So before a purge
//! pieces of what is stored are put aside (of packed events, alerts and the inventory), and afterwards the database and its
//! write-ahead log are read from end to end for them.

use std::io::Read as _;
use std::path::Path;

use rustc_hash::FxHashMap;

use super::{Readers, SqliteStore, retention};
use crate::StoreError;

/// Pieces put aside of each sort.
const MOST: u64 = 200;
/// How long a piece is, bytes; shorter values are no evidence.
const LENGTH: usize = 40;
/// What pieces are found by, bytes.
const HEAD: usize = 8;
/// Read at once.
const CHUNK: usize = 1 << 20;

/// Pieces of what is stored of a tenant.
#[derive(Debug, Clone, Default)]
pub struct Canaries(Vec<Vec<u8>>);

impl Canaries {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Nothing is stored that could serve.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What was found of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found {
    /// How many of the pieces are somewhere in the files, and in no row of anybody else's.
    pub pieces: u64,
    /// How much was read, bytes.
    pub bytes: u64,
}

impl SqliteStore {
    /// Puts pieces of a tenant's data aside.
    ///
    /// # Errors
    /// The engine's.
    pub fn canaries(&self, tenant: &str) -> Result<Canaries, StoreError> {
        let mut pieces: Vec<Vec<u8>> = self.query("putting pieces aside", |connection| {
            let mut pieces = Vec::new();
            // The beginning of a block has its events' times in it; the middle of a large one is compressed. So neither is
            // another tenant's by chance.
            let sorts = [
                "SELECT substr(body, 1, ?2) FROM block JOIN admission ON id = admission WHERE tenant = ?1 ORDER BY id LIMIT ?3",
                "SELECT substr(body, length(body) / 2, ?2) FROM block JOIN admission ON id = admission
                 WHERE tenant = ?1 AND length(body) > 1000 ORDER BY id DESC LIMIT ?3",
                "SELECT cast(substr(json, instr(json, id), ?2) AS BLOB) FROM alert WHERE tenant = ?1 ORDER BY number DESC LIMIT ?3",
                "SELECT cast(substr(json, instr(json, id), ?2) AS BLOB) FROM inventory WHERE tenant = ?1 LIMIT ?3",
            ];
            for (journal, _) in retention::journals(connection, tenant)? {
                for sql in sorts {
                    let mut statement = connection.prepare_cached(sql)?;
                    let found = statement.query_map((journal, LENGTH, MOST), |row| row.get::<_, Vec<u8>>(0))?;
                    pieces.extend(found.collect::<Result<Vec<_>, _>>()?);
                }
            }
            Ok(pieces)
        })?;
        pieces.retain(|piece| piece.len() >= LENGTH / 2);
        pieces.sort_unstable();
        pieces.dedup();
        Ok(Canaries(pieces))
    }

    /// Reads the store's files from end to end for these pieces of a tenant's. What two tenants have alike (the same rows under
    /// two names) shows nothing, and does not count. A store in memory has no files.
    ///
    /// # Errors
    /// A file cannot be read; the engine's.
    pub fn look_for(&self, canaries: &Canaries, tenant: &str) -> Result<Found, StoreError> {
        let Readers::File { place, .. } = &self.readers else {
            return Ok(Found::default());
        };
        let mut search = Search::of(canaries);
        for file in [place.database(), place.log()] {
            search
                .read(&file)
                .map_err(|error| place.unusable(format!("{} cannot be read: {error}", file.display())))?;
        }
        let found = canaries.0.iter().zip(&search.seen).filter(|(_, seen)| **seen);
        let found: Vec<&Vec<u8>> = found.map(|(piece, _)| piece).collect();
        let shared = self.query("looking for whose a piece is", |connection| {
            let own: Vec<String> = retention::journals(connection, tenant)?
                .iter()
                .map(|(number, _)| number.to_string())
                .collect();
            let own = own.join(", ");
            let sql = format!(
                "SELECT EXISTS (SELECT 1 FROM block JOIN admission ON id = admission
                                WHERE tenant NOT IN ({own}) AND instr(body, ?1) > 0)
                     OR EXISTS (SELECT 1 FROM alert WHERE tenant NOT IN ({own}) AND instr(cast(json AS BLOB), ?1) > 0)
                     OR EXISTS (SELECT 1 FROM inventory WHERE tenant NOT IN ({own}) AND instr(cast(json AS BLOB), ?1) > 0)"
            );
            let mut statement = connection.prepare(&sql)?;
            let mut shared = 0;
            for piece in &found {
                shared += u64::from(statement.query_row([piece], |row| row.get::<_, bool>(0))?);
            }
            Ok(shared)
        })?;
        Ok(Found {
            pieces: found.len() as u64 - shared,
            bytes: search.bytes,
        })
    }
}

struct Search<'c> {
    canaries: &'c Canaries,
    by_head: FxHashMap<[u8; HEAD], Vec<usize>>,
    /// Whether a head begins with these two bytes: most places of a file are passed by this alone.
    begins: Vec<bool>,
    seen: Vec<bool>,
    bytes: u64,
}

impl<'c> Search<'c> {
    fn of(canaries: &'c Canaries) -> Self {
        let mut by_head: FxHashMap<[u8; HEAD], Vec<usize>> = FxHashMap::default();
        let mut begins = vec![false; 1 << 16];
        for (number, piece) in canaries.0.iter().enumerate() {
            if let Some(head) = piece.first_chunk::<HEAD>() {
                by_head.entry(*head).or_default().push(number);
                let [one, two, ..] = *head;
                if let Some(begins) = begins.get_mut(usize::from(u16::from_le_bytes([one, two]))) {
                    *begins = true;
                }
            }
        }
        Search {
            canaries,
            by_head,
            begins,
            seen: vec![false; canaries.len()],
            bytes: 0,
        }
    }

    /// A file that is not there has nothing in it.
    fn read(&mut self, path: &Path) -> std::io::Result<()> {
        let mut file = match std::fs::File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let mut chunk = vec![0; CHUNK];
        // What the last chunk ended with: a piece may lie across.
        let mut held = 0;
        loop {
            let read = file.read(chunk.get_mut(held..).unwrap_or_default())?;
            if read == 0 {
                return Ok(());
            }
            self.bytes += read as u64;
            let filled = held + read;
            self.look(chunk.get(..filled).unwrap_or_default());
            let keep = filled.min(LENGTH - 1);
            chunk.copy_within(filled - keep..filled, 0);
            held = keep;
        }
    }

    fn look(&mut self, bytes: &[u8]) {
        for (at, window) in bytes.windows(HEAD).enumerate() {
            let Some(head) = window.first_chunk::<HEAD>() else {
                continue;
            };
            let [one, two, ..] = *head;
            let begins = self.begins.get(usize::from(u16::from_le_bytes([one, two])));
            if begins != Some(&true) {
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            for number in self.by_head.get(head).into_iter().flatten() {
                let is_there = self
                    .canaries
                    .0
                    .get(*number)
                    .is_some_and(|piece| rest.starts_with(piece));
                if let Some(seen) = self.seen.get_mut(*number).filter(|_| is_there) {
                    *seen = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_found_wherever_it_lies() {
        let piece = |seed: u8| {
            (0..LENGTH)
                .map(|at| (at as u8).wrapping_mul(31) ^ seed)
                .collect::<Vec<u8>>()
        };
        let canaries = Canaries(vec![piece(1), piece(2), piece(3)]);
        let file = tempfile::NamedTempFile::new().unwrap();
        for at in [0, 1, CHUNK - LENGTH, CHUNK - 7, CHUNK, 2 * CHUNK + 13 - LENGTH] {
            let mut bytes = vec![7; 2 * CHUNK + 13];
            bytes[at..at + LENGTH].copy_from_slice(&piece(2));
            std::fs::write(file.path(), &bytes).unwrap();
            let mut search = Search::of(&canaries);
            search.read(file.path()).unwrap();
            assert_eq!(
                (&search.seen[..], search.bytes),
                (&[false, true, false][..], bytes.len() as u64),
                "{at}"
            );
        }
        let mut search = Search::of(&canaries);
        search.read(Path::new("/nowhere")).unwrap();
        assert_eq!(search.bytes, 0);
    }
}
