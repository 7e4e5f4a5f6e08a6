//! The numbers that some rows hold, so that none of them leaves in what a rule writes.

use std::collections::BTreeMap;

use super::{Mask, json};
use crate::number::{self, canonical, digits};

/// Numbers of the rows that prove an alert.
///
/// What a rule writes into an alert is the same whether it was shown numbers or pseudonyms, because a number that it was shown
/// is put back into its pseudonym before anything depends on it: dedup key, id, title, facts.
#[derive(Debug)]
pub struct Known<'a> {
    mask: &'a Mask,
    /// Canonical.
    numbers: BTreeMap<String, String>,
}

impl<'a> Known<'a> {
    /// Of no rows yet.
    #[must_use]
    pub fn new(mask: &'a Mask) -> Self {
        Known {
            mask,
            numbers: BTreeMap::new(),
        }
    }

    /// Learns the numbers of a row of one of Duo's own logs.
    pub fn row(&mut self, log: &str, raw: &str) {
        json::learn(log, raw, self);
    }

    pub(super) fn learn(&mut self, text: &str) {
        let runs = number::numbers(text);
        let spelt = runs.iter().filter_map(|run| text.get(run.whole()));
        for number in spelt.chain([text]).filter_map(canonical) {
            if digits(&number) >= super::mask::LEAST && !self.numbers.contains_key(&number) {
                let pseudonym = self.mask.number(&number);
                self.numbers.insert(number, pseudonym);
            }
        }
    }

    /// A text of a rule's with a pseudonym for every number that the rows hold, in whatever spelling, and for every other that
    /// begins with its `+`.
    #[must_use]
    pub fn text(&self, text: &str) -> String {
        number::replaced(text, |run| {
            let number = canonical(text.get(run.whole())?)?;
            let known = self.numbers.get(&number).cloned();
            known.or_else(|| number.starts_with('+').then(|| self.mask.number(&number)))
        })
    }

    /// Whether a text has a stretch that [`Known::text`] might replace: only then need rows be looked through.
    #[must_use]
    pub fn may_hold_number(text: &str) -> bool {
        digits(text) >= super::mask::LEAST
            && number::numbers(text)
                .iter()
                .any(|run| text.get(run.whole()).and_then(canonical).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_writes_holds_pseudonyms_whatever_it_was_shown() {
        let mask = Mask::new(&[7; 32]);
        let mut known = Known::new(&mask);
        known.row("telephony", r#"{"phone":"+15035550142","telephony_id":"5035550199"}"#);
        known.row(
            "activity",
            r#"{"target":{"name":"x","details":"{\"number\":\"+44 20 7946 0123 x45\"}"}}"#,
        );
        let (one, other) = (mask.number("+15035550142"), mask.number("+442079460123x45"));
        for (written, left) in [
            ("+15035550142 got 5 texts", format!("{one} got 5 texts")),
            ("(503) 555-0142, +442079460123x45", format!("{one}, {other}")),
            (&*format!("{one} got 5 texts"), format!("{one} got 5 texts")),
            ("1234567 events, 20261122", "1234567 events, 20261122".to_owned()),
            (
                "+33612345678 of a table",
                format!("{} of a table", mask.number("+33612345678")),
            ),
        ] {
            assert_eq!(known.text(written), left);
            assert_eq!(known.text(&left), left);
        }
        let legend = mask.legend(&format!("{one} got 5 texts as {one}, and phone:isnone"));
        assert_eq!(legend.into_iter().collect::<Vec<_>>(), [(one, "+1 •••0142".to_owned())]);
    }
}
