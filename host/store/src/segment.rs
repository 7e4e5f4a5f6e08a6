//! Names of segments: journals of their own beside a tenant's, for reading a piece of the past once more.
//!
//! A segment has events, marks, cursors, positions and state of its own; its alerts are the tenant's. Its name says whose it
//! is, so every engine can tell: `<tenant>#backfill-<number>`.

use std::sync::Arc;

/// Between the tenant's name and the segment's number.
const INFIX: &str = "#backfill-";

/// The name of a tenant's segment.
#[must_use]
pub fn name(tenant: &str, number: u64) -> Arc<str> {
    format!("{tenant}{INFIX}{number}").into()
}

/// Whose segment this is; none: it is a tenant.
#[must_use]
pub fn owner(name: &str) -> Option<&str> {
    let (tenant, number) = name.rsplit_once(INFIX)?;
    number.parse::<u64>().is_ok().then_some(tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_names_its_owner() {
        assert_eq!(owner(&name("acme", 3)), Some("acme"));
        assert_eq!(owner("acme"), None);
        assert_eq!(owner("acme#backfill-x"), None);
    }
}
