//! What the host offers a rule besides its rows, as plain functions.

/// Wake-up calls in event time, for a rule with `on_timer`.
pub mod timers {
    use crate::state::known;
    use crate::time::Time;

    /// Calls the rule's `on_timer` once event time passes `at`; replaces the timer of that key. False: the rule has too many.
    pub fn set(key: &str, at: Time) -> bool {
        known::set_timer(&known::spot_of(key.as_bytes()), at.as_ms())
    }

    /// Forgets a timer.
    pub fn cancel(key: &str) {
        known::cancel_timer(&known::spot_of(key.as_bytes()));
    }
}

/// The tenant's tables: address ranges, number prefixes, lists of names.
pub mod lookup {
    use crate::host;

    /// One row of a table.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Entry(pub(crate) Vec<(String, String)>);

    impl Entry {
        /// The value of a column.
        #[must_use]
        pub fn get(&self, column: &str) -> Option<&str> {
            self.0
                .iter()
                .find(|(name, _)| name == column)
                .map(|(_, value)| value.as_str())
        }
    }

    /// The rows of a table for a key. None: the tenant has no such table, which is not an empty match.
    #[must_use]
    pub fn find(table: &str, index: &str, key: &str) -> Option<Vec<Entry>> {
        let rows = host::with(|host| host.find(table, index, key))?;
        Some(rows.into_iter().map(Entry).collect())
    }
}

/// Lines for the rule's author, bounded by the host. Never needed for an alert: say it in a fact.
pub mod log {
    use crate::host::{self, Level};

    /// Something is wrong with the rule.
    pub fn error(message: &str) {
        host::with(|host| host.log(Level::Error, message));
    }

    /// Something may be wrong.
    pub fn warn(message: &str) {
        host::with(|host| host.log(Level::Warn, message));
    }

    /// Worth knowing.
    pub fn info(message: &str) {
        host::with(|host| host.log(Level::Info, message));
    }

    /// While developing.
    pub fn debug(message: &str) {
        host::with(|host| host.log(Level::Debug, message));
    }
}
