//! The corpus, groups 1 to 15. (16 to 20 are about what happens around modules, and are tests.)

mod answers;
mod dying;
mod features;
mod files;
mod names;
mod odd;
mod sizes;
mod spending;
mod starting;

pub use sizes::compile_bombs;

use crate::{Case, Guest, Shell, Verdict, component};

/// Every case.
#[must_use]
pub fn corpus() -> Vec<Case> {
    let mut cases = Cases(Vec::new());
    files::cases(&mut cases);
    names::cases(&mut cases);
    sizes::cases(&mut cases);
    features::cases(&mut cases);
    starting::cases(&mut cases);
    spending::cases(&mut cases);
    answers::cases(&mut cases);
    dying::cases(&mut cases);
    odd::cases(&mut cases);
    cases.0
}

struct Cases(Vec<Case>);

impl Cases {
    fn add(&mut self, group: u8, name: impl Into<String>, bytes: impl Into<Bytes>, verdict: Verdict) -> &mut Case {
        self.0.push(Case::new(group, name, bytes.into().0, verdict));
        self.0.last_mut().unwrap()
    }

    fn refused(&mut self, group: u8, name: impl Into<String>, bytes: impl Into<Bytes>, code: &'static str) {
        self.add(group, name, bytes, Verdict::Refused(code));
    }

    fn unborn(&mut self, group: u8, name: impl Into<String>, bytes: impl Into<Bytes>, code: &'static str) {
        self.add(group, name, bytes, Verdict::FailsToDescribe(code));
    }

    fn fails(&mut self, group: u8, name: impl Into<String>, bytes: impl Into<Bytes>, code: &'static str) {
        self.add(group, name, bytes, Verdict::Fails(code));
    }

    fn harmless(&mut self, group: u8, name: impl Into<String>, bytes: impl Into<Bytes>) {
        self.add(group, name, bytes, Verdict::Harmless);
    }
}

/// A file, however it was made.
struct Bytes(Vec<u8>);

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(bytes)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Bytes(bytes.to_vec())
    }
}

impl From<Guest> for Bytes {
    fn from(guest: Guest) -> Self {
        // A manifest of its own is what it is about.
        let plain = guest.manifest == crate::manifest();
        Bytes(if plain { guest.disguised() } else { guest }.component())
    }
}

impl From<Shell> for Bytes {
    fn from(shell: Shell) -> Self {
        Bytes(shell.component())
    }
}

/// A module of the contract as text.
impl From<String> for Bytes {
    fn from(text: String) -> Self {
        Bytes(component(&text))
    }
}

/// A component as text.
impl From<&str> for Bytes {
    fn from(text: &str) -> Self {
        Bytes(wat::parse_str(text).unwrap_or_else(|error| panic!("{error}")))
    }
}
