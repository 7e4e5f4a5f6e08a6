//! The SQLite engine.
/// The SQLite engine.
#[derive(Debug)]
pub struct SqliteStore;
