//! What goes wrong inside the engine, before it is known which store and which doing it concerns.

use crate::StoreError;

#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite's own.
    Engine(rusqlite::Error),
    /// The transaction does not fit.
    Refused(String),
    /// A row cannot be read back.
    Damaged {
        what: String,
        why: String,
        last_seq: Option<u64>,
    },
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Fault::Engine(error)
    }
}

impl Fault {
    pub(super) fn damaged(what: impl Into<String>, why: impl ToString) -> Self {
        Fault::Damaged {
            what: what.into(),
            why: why.to_string(),
            last_seq: None,
        }
    }

    pub(super) fn at(self, path: &str, doing: &'static str) -> StoreError {
        let path = path.to_owned();
        match self {
            Fault::Engine(source) => StoreError::Engine {
                path,
                doing,
                source: Box::new(source),
            },
            Fault::Refused(why) => StoreError::Refused { path, why },
            Fault::Damaged { what, why, last_seq } => StoreError::Damaged {
                path,
                what,
                why,
                last_seq,
            },
        }
    }
}
