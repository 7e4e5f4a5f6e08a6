//! The suite on both kinds of SQLite store.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test")]

use picket_store::SqliteStore;
use picket_store::conformance::check;

#[test]
fn in_memory() {
    check(&|| Box::new(SqliteStore::in_memory().unwrap()));
}

#[test]
fn on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    check(&|| {
        count.set(count.get() + 1);
        Box::new(SqliteStore::open(&directory.path().join(count.get().to_string())).unwrap())
    });
}
