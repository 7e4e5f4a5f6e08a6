//! Bypass codes: who has how many, until when, for how many uses. The code itself is never listed.

use std::collections::BTreeMap;

use serde_json::json;

use super::people::{People, brief};
use crate::inventory::{Inventory, Kind};

const SECOND: i64 = 1_000_000;

/// A code in somebody's drawer.
#[derive(Debug, Clone)]
pub(super) struct Code {
    pub(super) user: String,
    pub(super) admin_email: String,
    /// Seconds.
    pub(super) created: i64,
    /// Seconds; none: never.
    pub(super) expires: Option<i64>,
    /// Uses left; none: as often as one likes.
    pub(super) left: Option<i64>,
}

/// All codes there are, by id.
#[derive(Debug, Default)]
pub(super) struct Codes(BTreeMap<String, Code>);

impl Codes {
    /// A code is made.
    pub(super) fn make(&mut self, out: &mut Inventory, people: &People, id: &str, code: Code, from_us: i64) {
        self.0.insert(id.to_owned(), code);
        self.show(out, people, id, from_us);
    }

    /// One use of a code of this user's.
    pub(super) fn used(&mut self, out: &mut Inventory, people: &People, user: &str, now_us: i64) {
        let Some(id) = self.of(user) else { return };
        match self.0.get_mut(&id).and_then(|code| code.left.as_mut()) {
            None => {}
            Some(left) if *left <= 1 => self.end(out, &id, now_us),
            Some(left) => {
                *left -= 1;
                self.show(out, people, &id, now_us);
            }
        }
    }

    /// One of this user's codes is taken back.
    pub(super) fn revoke(&mut self, out: &mut Inventory, user: &str, now_us: i64) {
        if let Some(id) = self.of(user) {
            self.end(out, &id, now_us);
        }
    }

    /// All codes of a user who is removed are gone too.
    pub(super) fn forget(&mut self, out: &mut Inventory, user: &str, now_us: i64) {
        while let Some(id) = self.of(user) {
            self.end(out, &id, now_us);
        }
    }

    /// Codes that have expired by now are gone.
    pub(super) fn expire(&mut self, out: &mut Inventory, now_us: i64) {
        let over = |code: &Code| code.expires.filter(|at| at.saturating_mul(SECOND) <= now_us);
        let ended: Vec<(String, i64)> = self
            .0
            .iter()
            .filter_map(|(id, code)| Some((id.clone(), over(code)?)))
            .collect();
        for (id, at) in ended {
            self.end(out, &id, at.saturating_mul(SECOND));
        }
    }

    fn of(&self, user: &str) -> Option<String> {
        let mut own = self.0.iter().filter(|(_, code)| code.user == user);
        own.next().map(|(id, _)| id.clone())
    }

    fn end(&mut self, out: &mut Inventory, id: &str, now_us: i64) {
        self.0.remove(id);
        out.put(Kind::BypassCode, id, now_us, &[], None);
    }

    fn show(&self, out: &mut Inventory, people: &People, id: &str, now_us: i64) {
        let Some(code) = self.0.get(id) else { return };
        let user = people.persons.get(&code.user).map(brief);
        let json = json!({
            "admin_email": code.admin_email, "bypass_code_id": id, "created": code.created, "expiration": code.expires,
            "reuse_count": code.left, "user": user,
        });
        out.put(Kind::BypassCode, id, now_us, &[&code.user], Some(&json));
    }
}
