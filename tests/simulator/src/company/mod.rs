//! The seeded generator of a believable company (being written).

use crate::model::Account;

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Everything follows from it: equal options give equal accounts.
    pub seed: u64,
    /// The account's name.
    pub name: String,
    /// How many people.
    pub users: usize,
    /// When the rows begin, microseconds since the epoch.
    pub start_us: i64,
    /// For how many days.
    pub days: u32,
    /// About how many rows in all, if that matters more than the people's habits.
    pub target_events: Option<usize>,
    /// Whether to plant attacks and look-alikes.
    pub plant: bool,
}

/// Makes the account.
#[must_use]
pub fn generate(options: &Options) -> Account {
    Account {
        name: options.name.clone(),
        ikey: String::new(),
        skey: String::new(),
        rows: Vec::new(),
        planted: Vec::new(),
    }
}
