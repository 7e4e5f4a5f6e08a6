//! What is known of a tenant's users, for alerts about them.
//!
//! No rule, no id and no dedup key depends on it, so it may be as old as the last snapshot of the inventory, and absent
//! altogether. It decides one thing: whether an exception for members of a group covers an alert.

mod person;
mod stored;

use std::fmt::Debug;

pub use person::{Factor, Person};
pub use stored::Stored;

/// Somebody who knows the tenant's users.
pub trait People: Send + Sync + Debug {
    /// The user of this key (`DU...`), else of this name, alias or e-mail address. Never fails: who cannot be looked up is
    /// not known.
    fn find(&self, key: Option<&str>, name: Option<&str>) -> Option<Person>;
}

/// Knows nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl People for Nobody {
    fn find(&self, _: Option<&str>, _: Option<&str>) -> Option<Person> {
        None
    }
}
