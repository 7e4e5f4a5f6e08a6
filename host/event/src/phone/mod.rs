//! Phone numbers as a type: canonical, and pseudonymised with a key for each tenant.
//!
//! A log collector is a telephony supplier's equal: whoever reads its alerts, its rules' state or its rules' memory must not be
//! able to list a company's phone numbers. So a number is made canonical (E.164 where that can be told) and then replaced by its
//! **pseudonym**, `phone:` and 28 letters, wherever it leaves the host: in columns, in lookup tables, in the inventory and in
//! alerts. Equal numbers have equal pseudonyms, so everything that compares, counts or joins them goes on working.
//!
//! The pseudonym is the number enciphered as one block of AES-256: sixteen bytes of fixed form, so deterministic encryption of
//! one block is all there is to it, no two numbers ever share a pseudonym, and nobody without the key can make one up. A keyed
//! hash would hide no more (whoever has the key can try all numbers there are in minutes) and could not be undone; this can,
//! by the host alone. So a prefix match of a lookup table works on a pseudonym whenever it comes from, be it a row of this
//! call or a rule's memory of last month, and how rows were cut into calls cannot be seen in the answer.
//!
//! A pseudonym has letters only, so that no search for digits finds a number in it, and masking what is masked changes nothing.
//!
//! What is no number to be protected: fewer than seven digits (`911`, an extension).

mod json;
mod known;
mod mask;
mod plan;
mod write;

pub use json::masked_row;
pub use known::Known;
pub use mask::Mask;
pub use write::masked_row_text;
