//! Users, their groups, phones, tokens and keys.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::company::clock::DAY;
use crate::company::dice::Dice;
use crate::company::people::{Factor, User};
use crate::company::{Company, Span};
use crate::inventory::{Inventory, Kind};

const SECOND: i64 = 1_000_000;

/// A user as Duo keeps one.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) key: String,
    pub(super) name: String,
    pub(super) real_name: String,
    pub(super) email: String,
    /// Names of groups.
    pub(super) groups: Vec<String>,
    /// Keys of phones.
    pub(super) phones: Vec<String>,
    pub(super) token: Option<Value>,
    /// The key of a security key or fingerprint reader.
    pub(super) credential: Option<Value>,
    pub(super) u2f: Option<Value>,
    pub(super) status: &'static str,
    pub(super) lockout: Option<&'static str>,
    pub(super) notes: String,
    pub(super) created: i64,
    pub(super) enrolled: bool,
    pub(super) gone: bool,
}

/// A phone.
#[derive(Debug, Clone)]
pub(super) struct Handset {
    pub(super) number: String,
    pub(super) name: String,
    pub(super) model: String,
    pub(super) platform: &'static str,
    pub(super) activated: bool,
    /// Keys of users.
    pub(super) owners: Vec<String>,
}

/// Everybody and everything they carry, by key.
#[derive(Default)]
pub(super) struct People {
    pub(super) persons: BTreeMap<String, Person>,
    pub(super) phones: BTreeMap<String, Handset>,
    /// Group ids by name.
    groups: BTreeMap<String, String>,
    /// Draws ids of groups that appear later.
    dice: Option<Dice>,
}

impl People {
    /// The state before the first row.
    pub(super) fn enrol(company: &Company, span: &Span, out: &mut Inventory, dice: &mut Dice) -> Self {
        let mut people = Self {
            dice: Some(Dice::new(company.seed, "inventory groups", 0)),
            ..Self::default()
        };
        for user in &company.users {
            let person = person(user, span, dice);
            let handset = handset(user, dice);
            people.phones.insert(user.phone.key.clone(), handset);
            people.persons.insert(user.key.clone(), person);
        }
        // In the order of hiring, which is that of the list.
        for user in &company.users {
            people.show(out, &user.key, i64::MIN);
            people.show_phone(out, &user.phone.key, i64::MIN);
        }
        people
    }

    /// Adds somebody and says so from `from_us` on.
    pub(super) fn add(&mut self, out: &mut Inventory, person: Person, from_us: i64) {
        let key = person.key.clone();
        self.persons.insert(key.clone(), person);
        self.show(out, &key, from_us);
    }

    /// Changes somebody, and everything that shows them.
    pub(super) fn change(&mut self, out: &mut Inventory, key: &str, now_us: i64, change: impl FnOnce(&mut Person)) {
        let Some(person) = self.persons.get_mut(key).filter(|person| !person.gone) else {
            return;
        };
        change(person);
        let phones = person.phones.clone();
        self.show(out, key, now_us);
        for phone in phones {
            self.show_phone(out, &phone, now_us);
        }
    }

    /// Changes a phone, and everybody who has it.
    pub(super) fn change_phone(
        &mut self,
        out: &mut Inventory,
        key: &str,
        now_us: i64,
        change: impl FnOnce(&mut Handset),
    ) {
        let Some(phone) = self.phones.get_mut(key) else {
            return;
        };
        change(phone);
        let owners = phone.owners.clone();
        self.show_phone(out, key, now_us);
        for owner in owners {
            self.show(out, &owner, now_us);
        }
    }

    /// A phone becomes somebody's.
    pub(super) fn hand_over(&mut self, out: &mut Inventory, phone: &str, user: &str, now_us: i64) {
        let Some(person) = self.persons.get_mut(user).filter(|person| !person.gone) else {
            return;
        };
        person.enrolled = true;
        if !person.phones.iter().any(|known| known == phone) {
            person.phones.push(phone.to_owned());
        }
        let user = user.to_owned();
        self.change_phone(out, phone, now_us, |handset| {
            handset.activated = true;
            if !handset.owners.contains(&user) {
                handset.owners.push(user);
            }
        });
    }

    /// Takes all devices from somebody, and them off the list.
    pub(super) fn strip(&mut self, out: &mut Inventory, user: &str, now_us: i64) {
        let Some(person) = self.persons.get_mut(user).filter(|person| !person.gone) else {
            return;
        };
        let phones = std::mem::take(&mut person.phones);
        let devices = [
            (Kind::Token, "token_id", person.token.take()),
            (Kind::WebauthnCredential, "webauthnkey", person.credential.take()),
            (Kind::U2fToken, "registration_id", person.u2f.take()),
        ];
        person.enrolled = false;
        for phone in phones {
            self.phones.remove(&phone);
            out.put(Kind::Phone, &phone, now_us, &[], None);
        }
        for (kind, id, device) in devices {
            if let Some(id) = device
                .as_ref()
                .and_then(|device| device.get(id))
                .and_then(Value::as_str)
            {
                out.put(kind, id, now_us, &[], None);
            }
        }
        self.show(out, user, now_us);
    }

    /// Takes somebody off the list. Their phones stay, without an owner.
    pub(super) fn remove(&mut self, out: &mut Inventory, user: &str, now_us: i64) {
        let Some(person) = self.persons.get_mut(user).filter(|person| !person.gone) else {
            return;
        };
        person.gone = true;
        let phones = std::mem::take(&mut person.phones);
        let devices = [
            (Kind::Token, "token_id", person.token.take()),
            (Kind::WebauthnCredential, "webauthnkey", person.credential.take()),
            (Kind::U2fToken, "registration_id", person.u2f.take()),
        ];
        out.put(Kind::User, user, now_us, &[], None);
        for (kind, id, device) in devices {
            if let Some(id) = device
                .as_ref()
                .and_then(|device| device.get(id))
                .and_then(Value::as_str)
            {
                out.put(kind, id, now_us, &[], None);
            }
        }
        for phone in phones {
            if let Some(handset) = self.phones.get_mut(&phone) {
                handset.owners.retain(|owner| owner != user);
            }
            self.show_phone(out, &phone, now_us);
        }
    }

    /// Writes a user, and what only they carry, as it is now.
    fn show(&mut self, out: &mut Inventory, key: &str, now_us: i64) {
        let Some(person) = self.persons.get(key).filter(|person| !person.gone).cloned() else {
            return;
        };
        let ids: Vec<String> = person.groups.iter().map(|name| self.group(out, name, now_us)).collect();
        let groups: Vec<Value> = person
            .groups
            .iter()
            .zip(&ids)
            .map(|(name, id)| group(name, id))
            .collect();
        let phones: Vec<Value> = person
            .phones
            .iter()
            .filter_map(|key| Some(phone_body(key, self.phones.get(key)?)))
            .collect();
        let mut user = brief(&person);
        if let Some(members) = user.as_object_mut() {
            let lists = [
                ("custom_attributes", json!({})),
                ("desktop_authenticators", json!([])),
                ("desktoptokens", json!([])),
                ("enable_auto_prompt", json!(true)),
                ("external_id", Value::Null),
                ("groups", Value::from(groups)),
                ("phones", Value::from(phones)),
                ("tokens", person.token.iter().cloned().collect()),
                ("u2ftokens", person.u2f.iter().cloned().collect()),
                ("webauthncredentials", person.credential.iter().cloned().collect()),
            ];
            members.extend(lists.map(|(name, value)| (name.to_owned(), value)));
        }
        let links: Vec<&str> = ids.iter().map(String::as_str).collect();
        out.put(Kind::User, key, now_us, &links, Some(&user));
        let devices = [
            (Kind::Token, "token_id", &person.token, "users"),
            (Kind::WebauthnCredential, "webauthnkey", &person.credential, "user"),
            (Kind::U2fToken, "registration_id", &person.u2f, "user"),
        ];
        for (kind, id, device, owner) in devices {
            let Some(mut device) = device.clone() else { continue };
            let id = device.get(id).and_then(Value::as_str).unwrap_or_default().to_owned();
            let whose = if owner == "users" {
                json!([brief(&person)])
            } else {
                brief(&person)
            };
            if let Some(members) = device.as_object_mut() {
                members.insert(owner.to_owned(), whose);
                if kind == Kind::Token {
                    members.insert("admins".to_owned(), json!([]));
                }
            }
            out.put(kind, &id, now_us, &[key], Some(&device));
        }
    }

    /// Writes a phone as it is now.
    pub(super) fn show_phone(&self, out: &mut Inventory, key: &str, now_us: i64) {
        let Some(handset) = self.phones.get(key) else { return };
        let owners: Vec<&Person> = handset
            .owners
            .iter()
            .filter_map(|owner| self.persons.get(owner))
            .filter(|owner| !owner.gone)
            .collect();
        let mut phone = phone_body(key, handset);
        if let Some(members) = phone.as_object_mut() {
            members.insert("users".to_owned(), owners.iter().map(|owner| brief(owner)).collect());
        }
        let links: Vec<&str> = owners.iter().map(|owner| owner.key.as_str()).collect();
        out.put(Kind::Phone, key, now_us, &links, Some(&phone));
    }

    /// The id of a group, which is listed from its first member on.
    fn group(&mut self, out: &mut Inventory, name: &str, now_us: i64) -> String {
        if let Some(id) = self.groups.get(name) {
            return id.clone();
        }
        let id = self
            .dice
            .as_mut()
            .map_or_else(|| "DG".to_owned(), |dice| dice.key("DG"));
        out.put(Kind::Group, &id, now_us, &[], Some(&group(name, &id)));
        self.groups.insert(name.to_owned(), id.clone());
        id
    }
}

/// A user without what they carry, as other objects embed them.
pub(super) fn brief(person: &Person) -> Value {
    let (first, last) = person.real_name.split_once(' ').unwrap_or((&person.real_name, ""));
    let synced = person.groups.iter().any(|group| group.contains("AD sync"));
    json!({
        "alias1": null, "alias2": null, "alias3": null, "alias4": null, "aliases": {}, "created": person.created,
        "email": person.email, "firstname": first, "is_enrolled": person.enrolled,
        "last_directory_sync": if synced { "@last:sync" } else { "@last:never" },
        "last_login": format!("@last:{}", person.key), "lastname": last, "lockout_reason": person.lockout,
        "notes": person.notes, "realname": person.real_name, "status": person.status, "user_id": person.key,
        "username": person.name,
    })
}

fn group(name: &str, id: &str) -> Value {
    let desc = if name.starts_with("Staff") {
        "Everybody on the payroll"
    } else {
        ""
    };
    json!({
        "desc": desc, "group_id": id, "mobile_otp_enabled": false, "name": name, "push_enabled": false,
        "sms_enabled": false, "status": "Active", "voice_enabled": false,
    })
}

fn phone_body(key: &str, phone: &Handset) -> Value {
    let smart = phone.platform != "Unknown";
    let capabilities: &[&str] = match (phone.activated, smart) {
        (true, true) => &["auto", "push", "sms", "phone", "mobile_otp"],
        _ => &["auto", "sms", "phone"],
    };
    let told = |known: &'static str| if phone.activated && smart { known } else { "" };
    json!({
        "activated": phone.activated && smart, "capabilities": capabilities, "encrypted": told("Encrypted"), "extension": "",
        "fingerprint": told("Configured"), "last_seen": format!("@seen:{key}"), "model": phone.model, "name": phone.name,
        "number": phone.number, "phone_id": key, "platform": phone.platform, "postdelay": "0", "predelay": "0",
        "screenlock": told("Locked"), "sms_passcodes_sent": false, "tampered": told("Not tampered"), "type": "Mobile",
    })
}

fn person(user: &User, span: &Span, dice: &mut Dice) -> Person {
    let created = (span.start - dice.between(60, 1_500) * DAY - dice.between(0, DAY)).div_euclid(SECOND);
    let added = created + dice.between(600, 20 * 86_400);
    let token = match user.factor {
        Factor::HardwareToken => Some((
            if dice.chance(500) { "h6" } else { "d1" },
            dice.between(100_000, 999_999),
        )),
        Factor::Yubikey => Some(("yk", dice.between(1_000_000, 9_999_999))),
        _ => None,
    };
    let token = token.map(|(kind, serial)| {
        json!({"serial": serial.to_string(), "token_id": dice.key("DH"), "totp_step": null, "type": kind})
    });
    let credential = user.webauthn.as_ref().map(|key| {
        let touch = user.factor == Factor::TouchId;
        json!({
            "browser": user.machine.software.browser, "credential_name": if touch { "Touch ID" } else { "Security key" },
            "date_added": added, "label": if touch { "Touch ID" } else { "Security Key" },
            "passwordless_authorized": false, "webauthnkey": key,
        })
    });
    let u2f = dice
        .chance(25)
        .then(|| json!({"date_added": added, "registration_id": dice.key("D2")}));
    Person {
        key: user.key.clone(),
        name: user.name.clone(),
        real_name: user.real_name.clone(),
        email: user.email.clone(),
        groups: user.groups.clone(),
        phones: vec![user.phone.key.clone()],
        token,
        credential,
        u2f,
        status: "active",
        lockout: None,
        notes: String::new(),
        created,
        enrolled: true,
        gone: false,
    }
}

fn handset(user: &User, dice: &mut Dice) -> Handset {
    let (platform, model) = match user.phone.label.as_str() {
        label if label.contains("iPhone") || label.starts_with("iOS") => ("Apple iOS", "Apple iPhone 15"),
        label if label.contains("Galaxy") => ("Google Android", "Samsung SM-S921B"),
        "Generic Smartphone" => ("Generic Smartphone", "Unknown"),
        _ => *dice.pick(&[
            ("Apple iOS", "Apple iPhone 14"),
            ("Apple iOS", "Apple iPhone 16 Pro"),
            ("Google Android", "Google Pixel 8"),
        ]),
    };
    let name = user.phone.label.split_once(" (").map_or("", |(name, _)| name);
    Handset {
        number: user.phone.number.clone(),
        name: name.to_owned(),
        model: model.to_owned(),
        platform,
        activated: true,
        owners: vec![user.key.clone()],
    }
}
