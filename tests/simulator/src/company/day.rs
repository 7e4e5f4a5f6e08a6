//! Ordinary days: who logs in when, from where, with what, and how often they fumble.
//!
//! Half the logins are answered by a device that remembers: a few people many times a day, from the one place they work in
//! that day. The others are prompts, of which three to eight in a hundred are not approved: a slip of the thumb, a phone in
//! another room, a wrong digit. Whoever has fumbled takes care for the next hours.

use super::calendar::Plans;
use super::clock::{DAY, HOUR, MINUTE, SECOND, weekend};
use super::dice::Dice;
use super::network::{Networks, Site};
use super::people::{Factor, User};
use super::rows::authentication::{self, Device, Login};
use super::rows::telephony;
use super::silence::{self, Quiet};
use super::world::{self, Prompt};
use super::{Application, Company, Span, USUAL_LOGINS, counted};
use crate::model::{Planted, Row};

/// Most logins by a remembered device that somebody has on one day.
const MOST_REMEMBERED: i64 = 15;
/// For how long somebody who fumbled takes care.
const CAREFUL: i64 = 2 * HOUR;

/// Sends some people on journeys in the past: abroad early in it, within the country at any time. All are back well before
/// the last day.
pub(crate) fn journeys(company: &Company, span: &Span, networks: &mut Networks, plans: &mut Plans) {
    let mut dice = Dice::new(company.seed, "journeys", 0);
    let last = span.last_day();
    if last < 9 {
        return;
    }
    // Colleagues stay at the same hotel.
    let hotels: Vec<_> = world::DESTINATIONS
        .iter()
        .map(|city| (city, networks.fresh()))
        .collect();
    for user in &company.users {
        if dice.chance(120) {
            let (city, hotel) = *dice.pick(&hotels);
            let from = dice.between(2, last / 3);
            let to = (from + dice.between(1, 3)).min(last / 3 + 2);
            plans
                .of_mut(user.number)
                .trips
                .push(super::calendar::Trip { from, to, city, hotel });
        }
    }
}

/// Writes down all ordinary logins, and more on the last day where `target` asks for it. On that day applications fall silent,
/// which `silenced` is told of; where there is none, none does.
pub(crate) fn ordinary(
    company: &Company,
    plans: &Plans,
    span: &Span,
    target: Option<usize>,
    silenced: Option<&mut Vec<Planted>>,
    rows: &mut Vec<Row>,
) {
    let on_stage = silence::used(rows);
    let mut days = Days {
        company,
        plans,
        span,
        quiet: Vec::new(),
        rows,
    };
    for day in 0..span.last_day() {
        days.of_everybody(day, USUAL_LOGINS);
    }
    let mean = target.map_or(USUAL_LOGINS, |target| {
        let missing = target.saturating_sub(counted(days.rows, span));
        // A little less than needed: what is still missing is added login by login.
        (missing * 93 / 100 / company.users.len()).max(1) as i64
    });
    days.of_everybody(span.last_day(), mean);
    if silenced.is_some() {
        days.quiet = silence::fall(company, span, &on_stage, days.rows);
    }
    let target = target.unwrap_or_default();
    let missing = target.saturating_sub(counted(days.rows, span));
    days.some_more(missing);
    if let Some(planted) = silenced {
        planted.extend(days.quiet.iter().filter_map(|quiet| quiet.told(days.rows)));
    }
}

/// Where somebody works on this day, unless a story takes them elsewhere.
pub(crate) fn site(company: &Company, plans: &Plans, span: &Span, user: &User, day: i64) -> Site {
    work(company, plans, span, user, day).site
}

/// What makes a day of somebody.
struct Days<'a> {
    company: &'a Company,
    plans: &'a Plans,
    span: &'a Span,
    /// Applications that do not ask Duo, and when.
    quiet: Vec<Quiet>,
    rows: &'a mut Vec<Row>,
}

/// One person's day at work.
struct Work {
    /// Where they are.
    site: Site,
    away: bool,
    begin: i64,
    lunch: i64,
    lunch_length: i64,
    length: i64,
}

impl Work {
    /// The moment at which `slot` of `slots` equal parts of the working time begins, or some time into it; nobody logs in at lunch.
    fn at(&self, slot: i64, slots: i64, dice: &mut Dice) -> i64 {
        let part = self.length / slots.max(1);
        let worked = self.begin + slot * part + dice.between(0, part - 1);
        if worked >= self.lunch {
            worked + self.lunch_length
        } else {
            worked
        }
    }
}

fn work(company: &Company, plans: &Plans, span: &Span, user: &User, day: i64) -> Work {
    let mut dice = Dice::new(company.seed, "place", (user.number as u64) << 24 | day as u64);
    let trip = plans.of(user.number).trip(day);
    let site = match trip {
        Some(trip) => Site {
            ip: trip.hotel.address(user.number as u64),
            city: trip.city,
        },
        None if dice.chance(user.works_at_home) => company.home(user, day),
        None => company.desk(user),
    };
    let midnight = span.start + day * DAY - site.city.offset * MINUTE;
    let lunch = midnight + 12 * HOUR + dice.around(0, 40) * MINUTE;
    Work {
        site,
        away: trip.is_some(),
        begin: midnight + 8 * HOUR + 30 * MINUTE + (user.starts + dice.around(0, 20)) * MINUTE,
        lunch,
        lunch_length: dice.between(25, 60) * MINUTE,
        length: dice.between(440, 510) * MINUTE,
    }
}

impl Days<'_> {
    fn of_everybody(&mut self, day: i64, mean: i64) {
        let company = self.company;
        for user in &company.users {
            self.of(user, day, mean);
        }
    }

    /// The first and the last day are working days whatever the calendar says: everybody has a past, and the day has people.
    fn forced(&self, day: i64) -> bool {
        day == 0 || day == self.span.last_day()
    }

    fn of(&mut self, user: &User, day: i64, mean: i64) {
        let mut dice = Dice::new(self.company.seed, "day", (user.number as u64) << 24 | day as u64);
        let quiet = weekend(self.span.start + day * DAY) && !self.forced(day);
        if dice.chance(if quiet { 940 } else { 35 }) && !self.forced(day) {
            return;
        }
        let work = work(self.company, self.plans, self.span, user, day);
        let calendar = self.plans.of(user.number);
        let usual = if quiet { 1 } else { (mean * user.busy + 5) / 10 };
        let logins = dice.around(usual, usual / 4 + 1).max(1);
        let on_stage = calendar.steady && day >= self.span.last_day() - 1;
        let by_device = (logins * user.remembers + dice.between(0, 999)) / 1_000;
        let by_device = if work.away || on_stage {
            0
        } else {
            by_device.min(MOST_REMEMBERED)
        };
        let prompts = (logins - by_device).max(i64::from(dice.chance(700)));

        for slot in 0..by_device {
            let time_us = work.at(slot, by_device, &mut dice);
            self.remembered(user, &work, time_us, &mut dice);
        }
        let mut careful_until = i64::MIN;
        for slot in 0..prompts {
            let time_us = work.at(slot, prompts, &mut dice);
            let site = self.place(user, &work, time_us, on_stage, &mut dice);
            let slip = !on_stage && time_us >= careful_until && dice.chance(62);
            if slip {
                careful_until = time_us + CAREFUL;
            }
            self.prompt(user, site, time_us, slip, &mut dice);
        }
        if dice.chance(100) && !work.away && !on_stage {
            let home = self.company.home(user, day);
            let midnight = self.span.start + day * DAY - home.city.offset * MINUTE;
            self.prompt(
                user,
                home,
                midnight + dice.between(19 * 60, 22 * 60) * MINUTE + dice.between(0, MINUTE),
                false,
                &mut dice,
            );
        }
        if dice.chance(2) && !on_stage {
            self.unknown(user, &work, &mut dice);
        }
    }

    /// Single prompts here and there on the last day, until the day is as full as it was asked to be.
    fn some_more(&mut self, missing: usize) {
        let company = self.company;
        let mut dice = Dice::new(company.seed, "more", 0);
        let mut missing = missing as i64;
        let mut tries = 0;
        while missing > 0 && tries < 1_000_000 {
            tries += 1;
            let user = company.user(dice.index(company.users.len()));
            let work = work(self.company, self.plans, self.span, user, self.span.last_day());
            let time_us = work.at(0, 1, &mut dice);
            let inside = (self.span.last..self.span.end).contains(&time_us);
            if !inside
                || self.plans.of(user.number).steady
                || user.factor == Factor::SmsPasscode
                || user.factor == Factor::PhoneCall
            {
                continue;
            }
            let site = self.place(user, &work, time_us, true, &mut dice);
            let before = self.rows.len();
            self.prompt_by(user, site, time_us, Factor::Push, false, &mut dice);
            missing -= (self.rows.len() - before) as i64;
        }
    }

    /// Where somebody is at this moment: where they work, or between places.
    fn place(&self, user: &User, work: &Work, time_us: i64, stays: bool, dice: &mut Dice) -> Site {
        if let Some(moved) = self.plans.moved
            && moved.office == user.office
            && time_us >= moved.at
            && work.site == self.company.desk(user)
        {
            return Site {
                ip: moved.to.address(10 + (user.number % 2) as u64),
                ..work.site
            };
        }
        if !stays && !work.away && dice.chance(40) {
            self.company.on_the_move(user, dice)
        } else {
            work.site
        }
    }

    fn remembered(&mut self, user: &User, work: &Work, time_us: i64, dice: &mut Dice) {
        let site = self.place(user, work, time_us, true, dice);
        if site != work.site {
            // Under a new address nothing is remembered any more.
            self.prompt(user, site, time_us, false, dice);
            return;
        }
        if !self.plans.of(user.number).free(time_us) {
            return;
        }
        let application = self.company.any_application(user, true, dice);
        let login = remembered(user, application, site, time_us);
        self.rows.push(authentication::row(&login, self.company, dice));
    }

    fn prompt(&mut self, user: &User, site: Site, time_us: i64, slip: bool, dice: &mut Dice) {
        let factor = match dice.below(20) {
            0 => Factor::Push,
            1 => Factor::Passcode,
            _ => user.factor,
        };
        self.prompt_by(user, site, time_us, factor, slip, dice);
    }

    /// A prompt and what became of it: approved, or fumbled once or twice and then mostly approved.
    fn prompt_by(&mut self, user: &User, site: Site, time_us: i64, factor: Factor, slip: bool, dice: &mut Dice) {
        if !self.plans.of(user.number).free(time_us) {
            return;
        }
        let browser = matches!(factor, Factor::SecurityKey | Factor::TouchId);
        let application = self.company.any_application(user, browser, dice);
        if self.quiet.iter().any(|quiet| quiet.covers(&application.key, time_us)) {
            return;
        }
        let mut login = prompt(user, application, site, time_us, factor, dice);
        login.plain = false;
        if slip {
            let tries = if dice.chance(200) { 2 } else { 1 };
            for _ in 0..tries {
                let failed = Login {
                    result: "denied",
                    reason: Some(slip_of(factor, dice)),
                    ..login.clone()
                };
                self.rows.push(authentication::row(&failed, self.company, dice));
                login.time_us += dice.between(15, 75) * SECOND + dice.between(0, SECOND);
            }
            if dice.chance(80) {
                return;
            }
        } else if factor == Factor::Push && dice.chance(2) {
            login.factor = "passkey_proximity";
        }
        let txid = dice.uuid();
        if matches!(factor, Factor::SmsPasscode | Factor::PhoneCall) {
            let call = factor == Factor::PhoneCall;
            self.rows.push(telephony::for_login(
                login.time_us,
                call,
                &user.phone.number,
                &txid,
                dice,
            ));
        }
        self.rows
            .push(authentication::row_with(&login, txid, self.company, dice));
    }

    /// Somebody mistypes the name: Duo knows no such user, so there is no key.
    fn unknown(&mut self, user: &User, work: &Work, dice: &mut Dice) {
        let time_us = work.at(0, 2, dice);
        let mut login = prompt(
            user,
            self.company.application("Cisco AnyConnect VPN"),
            work.site,
            time_us,
            Factor::Push,
            dice,
        );
        login = Login {
            plain: false,
            factor: "not_available",
            result: "denied",
            reason: Some("deny_unenrolled_user"),
            device: Device::None,
            ..login
        };
        let mut row = authentication::row(&login, self.company, dice);
        let mistyped: String = user.name.chars().skip(1).collect();
        if let Some(members) = row.json.as_object_mut() {
            members.insert("email".to_owned(), serde_json::Value::Null);
            members.insert(
                "user".to_owned(),
                serde_json::json!({"groups": [], "key": null, "name": mistyped}),
            );
        }
        self.rows.push(row);
    }
}

/// Why a prompt that its owner wanted was not approved.
fn slip_of(factor: Factor, dice: &mut Dice) -> &'static str {
    match factor {
        Factor::Push | Factor::VerifiedPush => {
            dice.weighted(&[("user_cancelled", 4), ("no_response", 6), ("user_mistake", 2)])
        }
        Factor::PhoneCall => dice.weighted(&[("call_timed_out", 3), ("no_keys_pressed", 2)]),
        Factor::SecurityKey | Factor::TouchId => dice.weighted(&[("user_cancelled", 3), ("error", 1)]),
        _ => "invalid_passcode",
    }
}

/// A login answered by the person's usual factor, approved.
pub(crate) fn prompt<'a>(
    user: &'a User,
    application: &'a Application,
    site: Site,
    time_us: i64,
    factor: Factor,
    dice: &mut Dice,
) -> Login<'a> {
    let phone = |site| Device::Phone {
        key: &user.phone.key,
        label: &user.phone.label,
        site,
    };
    let device = match factor {
        Factor::Push | Factor::VerifiedPush => phone(dice.chance(800).then_some(site)),
        Factor::Passcode | Factor::SmsPasscode | Factor::PhoneCall => phone(None),
        Factor::SecurityKey | Factor::TouchId => user.webauthn.as_deref().map_or(Device::None, Device::Named),
        Factor::HardwareToken | Factor::Yubikey => Device::None,
    };
    Login {
        user,
        time_us,
        application,
        site,
        machine: &user.machine,
        factor: factor.name(),
        result: "success",
        reason: Some(factor.approval()),
        device,
        enrollment: false,
        remembered: None,
        plain: true,
    }
}

/// A login that a remembered device answers.
pub(crate) fn remembered<'a>(user: &'a User, application: &'a Application, site: Site, time_us: i64) -> Login<'a> {
    debug_assert!(application.prompt == Prompt::Browser, "only a browser remembers");
    Login {
        user,
        time_us,
        application,
        site,
        machine: &user.machine,
        factor: "remembered_device",
        result: "success",
        reason: Some("remembered_device"),
        device: Device::None,
        enrollment: false,
        remembered: Some(user.factor.name()),
        plain: false,
    }
}
