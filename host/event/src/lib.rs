//! Duo events, from JSON text to the columns a rule is shown.
//!
//! ```text
//! raw JSON ── identify ──▶ id, order time                         (at admission)
//! raw JSON ── Plan::parse ──▶ Page: dictionary-coded columns      (once a page, for all rules)
//! Pages ── Selector::select ──▶ contract::Batch                   (for each rule: its rows, its columns, nothing else)
//! raw JSON ── narrate ──▶ a line that an analyst reads            (for alerts and timelines)
//! ```
//!
//! A [`Plan`] is the union of the fields that enabled rules declared. A page is read in one pass over a trie of those
//! paths; everything else is skipped, and nothing is built that no rule reads. All text of a page shares one dictionary,
//! and normalisation ([`normal`]) is computed once for each distinct entry, not for each event.
//!
//! # Paths
//!
//! | path | gives |
//! | --- | --- |
//! | `user.name` | the value at that place |
//! | `target.details.status` | the same inside JSON that Duo sends as a string; null where that string is not a JSON object |
//! | `description."Sync Ref. Code"` | a key that itself contains a dot |
//! | `raw.result` | the text as received, before normalisation |
//! | `subject.user`, `subject.key` | the Duo user the event is about ([`subject`](fn@subject)) |
//! | `access_device.network` | the address's /24 or /48 |
//! | `access_device.ip_hostname` | the host name that stands where the address should |
//! | `auth_device.number` | the phone number inside the device's name |
//! | `phone.country`, `phone.prefix`, `phone.tail` | what of a phone number needs no grant |
//! | `action` where an object is | its JSON text, compact |
//! | anything that is not there | null |
//!
//! Arrays are not entered: a path through one is null. Of two equal keys the last counts.
//!
//! Phone numbers are shown by their pseudonyms, in columns as in conditions, wherever the catalogue says that they are or may
//! stand ([`Mask`]), unless the operator grants a rule's module more ([`Permission`]). A number in the JSON is no text, so where
//! a phone number is, it reads as null if it is asked for as a number.
//!
//! # Coercions
//!
//! | received | text | whole number | floating-point | bool | list of texts |
//! | --- | --- | --- | --- | --- | --- |
//! | text | itself | if it reads as one (`42`, `42.0`) | if it reads as one | `true`, `false` in any case; else null | itself alone |
//! | number | shortest decimal; whole ones without point | if whole and in range | itself | 0 and 1; else null | its text alone |
//! | true, false | `true`, `false` | 1, 0 | 1, 0 | itself | its text alone |
//! | array | its JSON text | null | null | null | each element's text, nulls left out |
//! | object | its JSON text | null | null | null | its JSON text alone |
//! | null, absent | null | null | null | null | empty |
//!
//! Null words ([`normal`]) become null before they are coerced, so `"unknown"` is a null bool.
//!
//! # What bad input gets
//!
//! A row that is not a JSON object, or is longer than [`MAX_EVENT_BYTES`], is flagged ([`Page::broken`]), counted, and shown
//! to no rule. Half a character (`\ud83d` alone) reads as U+FFFD, and other slips of writers are mended likewise, in a row and in JSON inside a string. Nesting deeper than 128 is refused wherever it is read. Nothing panics.
#![forbid(unsafe_code)]

mod address;
mod by_code;
mod clean;
mod coerce;
mod dictionary;
mod family;
mod filter;
mod gather;
mod glance;
mod identify;
mod layout;
mod mask;
mod memo;
mod narrate;
pub mod normal;
mod number;
mod occurrence;
mod offer;
mod page;
mod parse;
mod path;
mod permission;
mod phone;
mod plan;
mod rare;
mod reading;
mod repair;
mod scan;
mod select;
mod shape;
mod single;
mod subject;
mod time;
mod v1;

pub use address::{canonical_address, network};
pub use clean::clean;
pub use glance::{Glance, field_of};
pub use identify::{Identity, Problem, identify, own_id};
pub use narrate::{Told, narrate};
pub use number::mask_numbers;
pub use occurrence::Occurrences;
pub use offer::{Offer, RowRef};
pub use page::Page;
pub use parse::{MAX_EMBEDDED_BYTES, MAX_EVENT_BYTES};
pub use permission::{Permission, reads_numbers};
pub use phone::{Known, Mask, masked_row, masked_row_text};
pub use plan::{Enrichment, Plan};
pub use reading::Reading;
pub use select::{Choice, SelectError, Selection, Selector};
pub use subject::{Subject, subject};
pub use time::{rfc3339, rfc3339_to_ms};

/// The logs that a journal may hold: all that a rule may name but `admin`, which is another's rows under its paths.
pub fn logs() -> impl Iterator<Item = &'static str> {
    let names = picket_catalogue::logs().iter().map(|log| log.name);
    names.filter(|name| *name != "admin")
}
