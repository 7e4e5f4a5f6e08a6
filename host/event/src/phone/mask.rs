//! The key, and what it makes of numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use picket_catalogue::{Part, Phone};

use super::plan::{code, country, national, prefix};
use crate::number::{self, canonical, digits};

/// Begins every pseudonym of a number.
const NUMBER: &str = "phone:";
/// Begins every pseudonym of a number's last ten digits.
const TAIL: &str = "tail:";
/// Letters of a pseudonym: as many as 128 bits need.
const LETTERS: usize = 28;
/// Fewer digits are no number to be protected.
pub(crate) const LEAST: usize = 7;

/// What a block says of: part of what is enciphered.
const OF_NUMBER: u8 = 1;
const OF_TAIL: u8 = 2;

/// The key that masks one tenant's phone numbers. Never printed: what it prints of itself is its fingerprint.
#[derive(Clone)]
pub struct Mask {
    cipher: Aes256,
    /// For what has the place of a number and is none.
    odd: [u8; 32],
    fingerprint: Arc<str>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Mask {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Mask {}

impl Mask {
    /// Of a tenant's key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let derived = |context: &str| blake3::derive_key(context, key);
        let fingerprint = blake3::hash(&derived("picket 2026-11 phone numbers: fingerprint"));
        Mask {
            cipher: Aes256::new(&derived("picket 2026-11 phone numbers: pseudonyms").into()),
            odd: derived("picket 2026-11 phone numbers: what is none"),
            fingerprint: fingerprint.to_hex().get(..16).unwrap_or_default().into(),
        }
    }

    /// Of the key that stands in where there is none of a tenant's: timed cases, benches, and replays of files alone. It is no
    /// secret.
    #[must_use]
    pub fn substitute() -> Arc<Self> {
        static SUBSTITUTE: LazyLock<Arc<Mask>> =
            LazyLock::new(|| Arc::new(Mask::new(blake3::hash(b"picket: the substitute key").as_bytes())));
        SUBSTITUTE.clone()
    }

    /// Tells keys apart and nothing of the key. Part of what judges.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The pseudonym of a number in any spelling; what is none, or too short to be anybody's, is as it came, but for numbers in
    /// it.
    #[must_use]
    pub fn number(&self, text: &str) -> String {
        if is_pseudonym(text) {
            return text.to_owned();
        }
        match canonical(text) {
            Some(number) => self.of_canonical(number),
            None => {
                let masked = self.label(text);
                // Seven digits with words between them, or beside a number: told apart, and nothing more.
                if digits(&masked) >= LEAST {
                    self.odd(text.trim())
                } else {
                    masked
                }
            }
        }
    }

    fn of_canonical(&self, number: String) -> String {
        if digits(&number) < LEAST {
            return number;
        }
        match self.sealed(OF_NUMBER, &number) {
            Some(letters) => format!("{NUMBER}{letters}"),
            None => self.odd(&number),
        }
    }

    /// The number behind a pseudonym, canonical; for the host alone. None: it is no pseudonym of this key's.
    #[must_use]
    pub fn reveal(&self, pseudonym: &str) -> Option<String> {
        let mut block = bytes(pseudonym.strip_prefix(NUMBER)?)?.to_be_bytes().into();
        self.cipher.decrypt_block(&mut block);
        unpacked(OF_NUMBER, &block.into())
    }

    /// A label with a pseudonym for every number in it: `My iPhone X (734-555-2342)`. A number is seven digits or more, with the
    /// signs people put between them.
    #[must_use]
    pub fn label(&self, text: &str) -> String {
        self.replaced(text, |_| true)
    }

    /// The same of text in which digits may mean anything: dates, addresses, serial numbers and the like stay.
    #[must_use]
    pub fn prose(&self, text: &str) -> String {
        self.replaced(text, |run| number::is_telephone(text, run))
    }

    fn replaced(&self, text: &str, is_one: impl Fn(&number::Run) -> bool) -> String {
        number::replaced(text, |run| is_one(run).then(|| self.run(text, run)))
    }

    /// The pseudonyms that stand in a text, with what people may see of their numbers: calling code and last four digits,
    /// `+1 •••0142`.
    #[must_use]
    pub fn legend(&self, text: &str) -> BTreeMap<String, String> {
        let found = text
            .match_indices(NUMBER)
            .filter_map(|(at, _)| text.get(at..at + NUMBER.len() + LETTERS));
        let told = found.filter_map(|pseudonym| Some((pseudonym.to_owned(), shown(&self.reveal(pseudonym)?))));
        told.collect()
    }

    /// The one pseudonym that stands in a label which was masked before.
    pub(crate) fn pseudonym_in(&self, label: &str) -> Option<String> {
        let mut found = label.match_indices(NUMBER);
        let (at, _) = found.next()?;
        let pseudonym = label
            .get(at..at + NUMBER.len() + LETTERS)
            .filter(|text| is_pseudonym(text))?;
        found.next().is_none().then(|| pseudonym.to_owned())
    }

    /// The pseudonym of a stretch of a text, with its extension.
    fn run(&self, text: &str, run: &number::Run) -> String {
        let spelt = text.get(run.whole()).unwrap_or_default();
        match canonical(spelt) {
            Some(number) => self.of_canonical(number),
            None => self.odd(spelt),
        }
    }

    /// What the host tells of a number without a grant. None: it has none.
    #[must_use]
    pub fn part(&self, text: &str, part: Part) -> Option<String> {
        let number = self.reveal(text).or_else(|| canonical(text))?;
        if digits(&number) < LEAST {
            return None;
        }
        match part {
            Part::Country => country(&number).map(str::to_owned),
            Part::Prefix => prefix(&number),
            Part::Tail => Some(format!("{TAIL}{}", self.sealed(OF_TAIL, national(&number))?)),
        }
    }

    /// Text of a field, as a rule without grants is shown it.
    #[must_use]
    pub fn text(&self, phone: Phone, text: &str) -> String {
        match phone {
            Phone::Never => text.to_owned(),
            Phone::Number => self.number(text),
            Phone::Label => self.label(text),
            Phone::Within => super::json::masked_text(self, text).unwrap_or_else(|| self.prose(text)),
        }
    }

    /// What tells one thing that is no number from another.
    fn odd(&self, text: &str) -> String {
        let hash = blake3::keyed_hash(&self.odd, text.as_bytes());
        let mut block = [0; 16];
        block.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        format!("{NUMBER}{}", letters(u128::from_be_bytes(block)))
    }

    fn sealed(&self, of: u8, number: &str) -> Option<String> {
        let mut block = packed(of, number)?.into();
        self.cipher.encrypt_block(&mut block);
        Some(letters(u128::from_be_bytes(block.into())))
    }
}

impl picket_contract::Numbers for Mask {
    fn reveal(&self, pseudonym: &str) -> Option<String> {
        Mask::reveal(self, pseudonym)
    }

    fn masked(&self, number: &str) -> String {
        match canonical(number) {
            Some(number) => self.of_canonical(number),
            None => number.to_owned(),
        }
    }
}

/// A number as people may see it.
fn shown(number: &str) -> String {
    let code = code(number).map(|code| format!("{code} "));
    format!("{}{}", code.unwrap_or_default(), number::tail(number))
}

/// Whether a text has the form of a pseudonym.
fn is_pseudonym(text: &str) -> bool {
    text.strip_prefix(NUMBER).and_then(bytes).is_some()
}

/// A canonical number as a block: what it is of, then a nibble for each sign, the rest ones. None: too long.
fn packed(of: u8, number: &str) -> Option<[u8; 16]> {
    let mut block = [0xff; 16];
    let (first, rest) = block.split_first_mut()?;
    *first = of;
    for (place, sign) in number.bytes().enumerate() {
        let nibble = match sign {
            b'0'..=b'9' => sign - b'0',
            b'+' => 0xa,
            b'x' => 0xb,
            _ => return None,
        };
        let byte = rest.get_mut(place / 2)?;
        let (keep, shift) = if place % 2 == 0 { (0x0f, 4) } else { (0xf0, 0) };
        *byte = (*byte & keep) | (nibble << shift);
    }
    Some(block)
}

/// The number of a block. None: nobody packed it.
fn unpacked(of: u8, block: &[u8; 16]) -> Option<String> {
    let (first, rest) = block.split_first()?;
    let nibbles = || rest.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
    let number: String = nibbles()
        .take_while(|nibble| *nibble != 0xf)
        .map(|nibble| match nibble {
            0xa => '+',
            0xb => 'x',
            digit => char::from(b'0' + digit),
        })
        .collect();
    let is_whole = nibbles().skip(number.len()).all(|nibble| nibble == 0xf);
    (*first == of && is_whole && canonical(&number).as_ref() == Some(&number)).then_some(number)
}

fn letters(mut value: u128) -> String {
    let mut letters = [b'a'; LETTERS];
    for letter in letters.iter_mut().rev() {
        *letter = b'a' + (value % 26) as u8;
        value /= 26;
    }
    letters.iter().copied().map(char::from).collect()
}

fn bytes(letters: &str) -> Option<u128> {
    if letters.len() != LETTERS {
        return None;
    }
    letters.bytes().try_fold(0_u128, |value, letter| {
        let digit = letter.is_ascii_lowercase().then(|| letter - b'a')?;
        value.checked_mul(26)?.checked_add(u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask() -> Mask {
        Mask::new(&[7; 32])
    }

    #[test]
    fn one_number_one_pseudonym_however_it_is_spelt() {
        let mask = mask();
        let pseudonym = mask.number("+17345552342");
        assert!(pseudonym.starts_with("phone:") && pseudonym.len() == 34, "{pseudonym}");
        assert!(!pseudonym.contains(|char: char| char.is_ascii_digit()));
        for spelling in [
            "+1 (734) 555-2342",
            "734-555-2342",
            "(734) 555.2342",
            "001 734 555 2342",
            "1-734-555-2342",
            "tel:+17345552342",
        ] {
            assert_eq!(mask.number(spelling), pseudonym, "{spelling}");
        }
        assert_eq!(
            mask.label("My iPhone X (734-555-2342)"),
            format!("My iPhone X ({pseudonym})")
        );
        assert_eq!(mask.reveal(&pseudonym).as_deref(), Some("+17345552342"));
        // Masked once is masked for good.
        assert_eq!(mask.number(&pseudonym), pseudonym);
        assert_eq!(mask.label(&pseudonym), pseudonym);
        assert_eq!(mask.prose(&format!("x {pseudonym} y")), format!("x {pseudonym} y"));
        assert_ne!(Mask::new(&[8; 32]).number("+17345552342"), pseudonym, "another key");
        assert_eq!(Mask::new(&[8; 32]).reveal(&pseudonym), None, "nobody else can tell");
        assert_eq!(
            format!("{mask:?}"),
            format!("Mask {{ fingerprint: {:?}, .. }}", mask.fingerprint())
        );
    }

    #[test]
    fn what_is_no_number_and_what_is_nobodys() {
        let mask = mask();
        for same in [
            "911",
            "4471",
            "ada",
            "",
            "Generic Smartphone",
            "WAQWPO8MD9PPHPW2HPCI",
            "+12345",
        ] {
            assert_eq!(mask.number(same), same);
        }
        for hidden in [
            "5035-ADA-0142",
            "123456789012345678",
            "+1 503 555 0142 or +1 503 555 0143",
            "+15035550142x12345678901234567890",
        ] {
            let masked = mask.number(hidden);
            assert!(
                digits(&masked) < LEAST && masked.contains("phone:"),
                "{hidden} became {masked}"
            );
            assert_eq!(mask.number(&masked), masked);
        }
        assert_eq!(mask.reveal("phone:zzzzzzzzzzzzzzzzzzzzzzzzzzzz"), None);
        assert_eq!(mask.reveal("phone:short"), None);
    }

    #[test]
    fn people_are_shown_the_end_of_a_number() {
        for (number, told) in [
            ("+15035550142", "+1 •••0142"),
            ("+447911123456x12", "+44 •••3456"),
            ("+37120000000", "+371 •••0000"),
            ("0612345678", "•••5678"),
        ] {
            assert_eq!(shown(number), told);
        }
    }

    #[test]
    fn parts_need_no_number_in_clear() {
        let mask = mask();
        let of = |text: &str, part| mask.part(text, part);
        let pseudonym = mask.number("+33 6 12 34 56 78");
        for text in ["+33 6 12 34 56 78", &pseudonym] {
            assert_eq!(of(text, Part::Country).as_deref(), Some("FR"));
            assert_eq!(of(text, Part::Prefix).as_deref(), Some("+33612"));
        }
        let tail = of(&pseudonym, Part::Tail);
        assert!(tail.as_ref().is_some_and(|tail| tail.starts_with("tail:")));
        assert_eq!(
            of("06.12.34.56.78", Part::Tail),
            tail,
            "national and international join"
        );
        assert_ne!(of("+33612345679", Part::Tail), tail);
        assert_eq!(of("06.12.34.56.78", Part::Country), None);
        assert_eq!(of("911", Part::Tail), None);
        assert_eq!(of("ada", Part::Prefix), None);
    }
}
