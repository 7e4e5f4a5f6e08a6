//! The company as the Admin Panel lists it: the people and what they carry, and how that changes as the days go on.
//!
//! Everything follows from the company and **from the rows of its logs**: who was deleted in a story is gone from that
//! moment, a phone enrolled on the helpdesk's word belongs to the user from then on, a bypass code exists from its making
//! to its expiry. What no log tells (models, creation dates, serial numbers) is drawn from dice of its own, so the logs are
//! what they were before there was an inventory.

mod changes;
mod codes;
mod machines;
mod panel;
mod people;

use std::collections::BTreeMap;

use super::dice::Dice;
use super::{Company, Span};
use crate::inventory::Inventory;
use crate::model::Row;

use codes::Codes;
use panel::Panel;
use people::People;

/// The Admin API application that reads all this.
pub(super) struct Reader<'a> {
    pub(super) ikey: &'a str,
    pub(super) skey: &'a str,
}

/// All that changes while the rows are read.
struct Ledger<'a> {
    company: &'a Company,
    out: Inventory,
    people: People,
    codes: Codes,
    panel: Panel,
    /// Endpoints known so far, with the name of who used them.
    endpoints: BTreeMap<String, String>,
}

/// The inventory that goes with these rows, which must be in order of time.
pub(super) fn take(company: &Company, span: &Span, rows: &[Row], reader: &Reader<'_>) -> Inventory {
    let mut dice = Dice::new(company.seed, "inventory", 0);
    let mut out = Inventory::default();
    let panel = Panel::furnish(company, span, reader, &mut out, &mut dice);
    let people = People::enrol(company, span, &mut out, &mut dice);
    let mut ledger = Ledger {
        company,
        out,
        people,
        codes: Codes::default(),
        panel,
        endpoints: BTreeMap::new(),
    };
    machines::stand(&mut ledger, span, &mut dice);
    changes::before(&mut ledger, rows, span, &mut dice);
    changes::read(&mut ledger, rows);
    ledger.out
}
