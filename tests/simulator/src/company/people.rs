//! The people: names, directory groups, phones, machines, habits; and the administrators who look after them.

use std::collections::BTreeSet;

use super::dice::Dice;
use super::network::{Home, Office};
use super::world::{DEPARTMENTS, FIRST_NAMES, LAST_NAMES, SOFTWARE, Software};

/// Somebody with a Duo account.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// `DU...`
    pub(crate) key: String,
    /// The name they log in by: a short name, or an address in some companies.
    pub(crate) name: String,
    pub(crate) real_name: String,
    pub(crate) email: String,
    /// Directory groups, spelled with the directory they come from.
    pub(crate) groups: Vec<String>,
    /// Which office.
    pub(crate) office: usize,
    /// Their number in the company, from 0.
    pub(crate) number: usize,
    pub(crate) home: Home,
    pub(crate) phone: Phone,
    /// A security key or a fingerprint reader, where they have one.
    pub(crate) webauthn: Option<String>,
    pub(crate) machine: Machine,
    /// The factor they use by habit.
    pub(crate) factor: Factor,
    /// Tenths of the company's average in logins.
    pub(crate) busy: i64,
    /// Logins in a thousand that a remembered device answers.
    pub(crate) remembers: i64,
    /// Days in a thousand spent working from home.
    pub(crate) works_at_home: u64,
    /// Minutes they start before or after half past eight.
    pub(crate) starts: i64,
    /// The application they use most (an index).
    pub(crate) favourite: usize,
}

/// A phone.
#[derive(Debug, Clone)]
pub(crate) struct Phone {
    /// `DP...`
    pub(crate) key: String,
    /// E.164, as the telephony log spells it.
    pub(crate) number: String,
    /// As the authentication log names it: a number, a label with the number, or what kind of phone it is.
    pub(crate) label: String,
}

/// A computer and the browser on it.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) software: Software,
    /// `EP...`, where Duo knows the endpoint.
    pub(crate) epkey: Option<String>,
    pub(crate) hostname: Option<String>,
    /// Whether Duo Desktop reports on its health.
    pub(crate) reports: bool,
    pub(crate) trusted: &'static str,
}

/// How somebody usually proves who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Factor {
    Push,
    VerifiedPush,
    Passcode,
    SmsPasscode,
    PhoneCall,
    SecurityKey,
    TouchId,
    HardwareToken,
    Yubikey,
}

impl Factor {
    /// As Duo spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Push => "duo_push",
            Self::VerifiedPush => "verified_duo_push",
            Self::Passcode => "duo_mobile_passcode",
            Self::SmsPasscode => "sms_passcode",
            Self::PhoneCall => "phone_call",
            Self::SecurityKey => "WebAuthn Security Key",
            Self::TouchId => "WebAuthn Chrome Touch ID",
            Self::HardwareToken => "hardware_token",
            Self::Yubikey => "yubikey_code",
        }
    }

    /// Why it lets somebody in.
    pub(crate) fn approval(self) -> &'static str {
        match self {
            Self::Passcode | Self::SmsPasscode | Self::HardwareToken | Self::Yubikey => "valid_passcode",
            _ => "user_approved",
        }
    }
}

static FACTORS: [(Factor, u32); 9] = [
    (Factor::Push, 62),
    (Factor::VerifiedPush, 8),
    (Factor::Passcode, 9),
    (Factor::SmsPasscode, 4),
    (Factor::PhoneCall, 4),
    (Factor::SecurityKey, 4),
    (Factor::TouchId, 5),
    (Factor::HardwareToken, 2),
    (Factor::Yubikey, 2),
];

/// Somebody who may open the admin panel.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    /// `DE...`
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) role: &'static str,
    pub(crate) office: usize,
    pub(crate) number: usize,
    pub(crate) machine: Machine,
}

/// Names not given twice, in the one form a company uses.
struct Names {
    domain: String,
    by_address: bool,
    short: bool,
    taken: BTreeSet<String>,
}

impl Names {
    /// First and last name, login name, e-mail address.
    fn next(&mut self, dice: &mut Dice) -> (String, String, String) {
        let (first, last) = (*dice.pick(&FIRST_NAMES), *dice.pick(&LAST_NAMES));
        let (plain_first, plain_last) = (plain(first), plain(last));
        let stem = if self.short {
            format!("{}{plain_last}", plain_first.get(..1).unwrap_or("x"))
        } else {
            format!("{plain_first}.{plain_last}")
        };
        let mut short = stem.clone();
        let mut more = 2;
        while !self.taken.insert(short.clone()) {
            short = format!("{stem}{more}");
            more += 1;
        }
        let email = format!("{short}@{}", self.domain);
        let name = if self.by_address { email.clone() } else { short };
        (format!("{first} {last}"), name, email)
    }
}

/// Small letters of ASCII only, as directories make login names.
fn plain(name: &str) -> String {
    name.chars()
        .map(|c| if c == 'é' { 'e' } else { c.to_ascii_lowercase() })
        .filter(char::is_ascii_alphabetic)
        .collect()
}

/// Everybody of one company.
pub(crate) fn hire(seed: u64, company: &str, users: usize, offices: &[Office]) -> (Vec<User>, Vec<Admin>) {
    let mut dice = Dice::new(seed, "people", 0);
    let mut names = Names {
        domain: format!("{}.example", plain_domain(company)),
        by_address: dice.chance(350),
        short: dice.chance(400),
        taken: BTreeSet::new(),
    };
    let directory = format!("ad.{}", names.domain);
    let users = (0..users)
        .map(|number| user(number, &mut names, &directory, offices, &mut dice))
        .collect();
    let roles = [
        "Owner",
        "Administrator",
        "Administrator",
        "User Manager",
        "Help Desk",
        "Help Desk",
        "Help Desk",
        "Read-only",
    ];
    let admins = roles
        .iter()
        .enumerate()
        .map(|(number, role)| {
            let (name, _, email) = names.next(&mut dice);
            let machine = machine(&mut dice);
            Admin {
                key: dice.key("DE"),
                name,
                email,
                role,
                office: number % offices.len().max(1),
                number,
                machine,
            }
        })
        .collect();
    (users, admins)
}

fn plain_domain(company: &str) -> String {
    let domain: String = company
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .filter(|c| c.is_ascii_alphanumeric())
        .collect();
    if domain.is_empty() {
        "company".to_owned()
    } else {
        domain
    }
}

fn user(number: usize, names: &mut Names, directory: &str, offices: &[Office], dice: &mut Dice) -> User {
    let (real_name, name, email) = names.next(dice);
    // The first office is the head office.
    let office = if dice.chance(450) { 0 } else { dice.index(offices.len()) };
    let dial = offices.get(office).map_or("1", |office| office.city().dial);
    let factor = dice.weighted(&FACTORS);
    let fixed = matches!(
        factor,
        Factor::SecurityKey | Factor::TouchId | Factor::Yubikey | Factor::HardwareToken
    );
    User {
        key: dice.key("DU"),
        groups: groups(directory, dice),
        office,
        number,
        home: Home {
            town: dice.weighted(&[(0, 6), (1, 3), (2, 2)]),
            number: number as u32,
            lease: dice.between(2, 12),
            v6: dice.chance(110),
        },
        phone: phone(dial, &real_name, dice),
        webauthn: (fixed || dice.chance(60)).then(|| dice.key("WA")),
        machine: machine(dice),
        factor,
        busy: dice.weighted(&[(4, 2), (7, 3), (10, 6), (13, 3), (16, 1)]),
        remembers: dice.weighted(&[(0, 1), (350, 3), (580, 9), (820, 7)]),
        works_at_home: dice.weighted(&[(50, 4), (400, 5), (1_000, 1)]),
        starts: dice.around(0, 75),
        favourite: dice.weighted(&[(0, 5), (2, 3), (3, 3), (4, 3), (1, 1)]),
        real_name,
        name,
        email,
    }
}

fn groups(directory: &str, dice: &mut Dice) -> Vec<String> {
    let mut groups = vec![
        format!("Staff (from AD sync \"{directory}\")"),
        format!("{} (from AD sync \"{directory}\")", dice.pick(&DEPARTMENTS)),
    ];
    if dice.chance(600) {
        groups.push(format!("VPN Users (from AD sync \"{directory}\")"));
    }
    if dice.chance(80) {
        groups.push("Pilot: verified push".to_owned());
    }
    if dice.chance(30) {
        groups.clear();
    }
    groups
}

/// A phone of the country with this calling code, with a number that novels use.
pub(crate) fn phone(dial: &str, owner: &str, dice: &mut Dice) -> Phone {
    let four = dice.between(0, 9_999);
    let (national, shown) = match dial {
        "1" => {
            let area = dice.pick(&["734", "313", "312", "514", "248"]);
            (format!("{area}555{four:04}"), format!("{area}-555-{four:04}"))
        }
        "44" => (format!("77009{four:05}"), format!("07700 9{four:05}")),
        _ => {
            let three = dice.between(100, 999);
            (format!("555{three}{four:04}"), format!("555 {three} {four:04}"))
        }
    };
    let first = owner.split(' ').next().unwrap_or(owner);
    let label = match dice.below(10) {
        0..5 => format!("+{dial} {shown}"),
        5..7 => format!("My iPhone ({shown})"),
        7 => format!("{first}'s Galaxy S24 ({shown})"),
        8 => format!("iOS ({shown})"),
        _ => "Generic Smartphone".to_owned(),
    };
    Phone {
        key: dice.key("DP"),
        number: format!("+{dial}{national}"),
        label,
    }
}

/// A company's computer.
pub(crate) fn machine(dice: &mut Dice) -> Machine {
    let software = dice.weighted(&SOFTWARE);
    let named = dice.chance(700);
    Machine {
        software,
        epkey: dice.chance(850).then(|| dice.key("EP")),
        hostname: named.then(|| dice.text("WS-", 6, b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ")),
        reports: dice.chance(450),
        trusted: dice.weighted(&[("trusted", 4), ("not trusted", 3), ("unknown", 3)]),
    }
}

/// A machine nobody in the company knows.
pub(crate) fn strange_machine(dice: &mut Dice) -> Machine {
    Machine {
        software: *dice.pick(&super::world::INTRUDER_SOFTWARE),
        epkey: Some(dice.key("EP")),
        hostname: None,
        reports: false,
        trusted: "not trusted",
    }
}
