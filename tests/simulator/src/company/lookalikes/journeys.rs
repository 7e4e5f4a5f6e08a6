//! New people, people on the way, people at odd hours.

use serde_json::json;

use super::harmless;
use crate::company::administration::about_phone;
use crate::company::calendar::Trip;
use crate::company::clock::{DAY, HOUR, MINUTE};
use crate::company::day;
use crate::company::dice::Dice;
use crate::company::network::Site;
use crate::company::people::{Factor, User, machine, phone};
use crate::company::rows::activity::{Action, Target};
use crate::company::rows::authentication::Login;
use crate::company::stage::{Stage, paced, spread};
use crate::company::stories::enrolment;
use crate::company::world::DESTINATIONS;

/// A first day: the account is made, the helpdesk sends a link, everything about it is new. In the afternoon she logs in at home.
pub(super) fn newcomer(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let colleague = stage.desk_worker()?;
    let user = newly_hired(stage, colleague, dice);
    let (desk, home) = (
        stage.company.desk(&user),
        stage.company.home(&user, stage.span.last_day()),
    );
    let application = stage.company.application("Microsoft 365");
    let start = stage.local(&user, 8, 10, dice);
    let actor = stage.helpdesk(dice);
    let about =
        json!({"email": user.email, "notes": "", "realname": user.real_name, "status": "Active", "uname": user.name});
    let create = Action {
        time_us: start,
        actor,
        name: "user_create",
        v1: Some("user_create"),
        target: Target::User(&user),
        details: None,
        about_target: Some(about),
        plain: true,
    };
    let mut marks = stage.act(&create, dice);
    let target = Target::Phone {
        key: &user.phone.key,
        number: &user.phone.number,
    };
    for (minutes, name, v1) in [
        (2, "phone_create", Some("phone_create")),
        (4, "phone_activation_code_regenerated", None),
    ] {
        let about = about_phone(&user, dice);
        let action = Action {
            time_us: start + minutes * MINUTE,
            actor,
            name,
            v1,
            target,
            details: None,
            about_target: Some(about),
            plain: true,
        };
        marks.extend(stage.act(&action, dice));
    }
    let enrolled = start + dice.between(20 * MINUTE, HOUR);
    let login = day::prompt(&user, application, desk, enrolled, Factor::Push, dice);
    marks.push(stage.log(&enrolment(login, &user.phone), dice));
    let times = dice.between(3, 6);
    for time_us in paced(enrolled + 5 * MINUTE, times, 600, 3_600, dice) {
        let login = day::prompt(&user, application, desk, time_us, Factor::Push, dice);
        marks.push(stage.log(&login, dice));
    }
    let later = enrolled + dice.between(5 * HOUR, 6 * HOUR);
    let login = day::prompt(&user, application, home, later, Factor::Push, dice);
    marks.push(stage.log(&login, dice));
    harmless(
        stage,
        "a newcomer",
        Some(&user),
        &marks,
        format!("the first day of {}", user.name),
    );
    Some(())
}

/// Somebody who was not there yesterday, in the office of a colleague.
fn newly_hired(stage: &Stage<'_>, colleague: &User, dice: &mut Dice) -> User {
    let (stem, domain) = colleague
        .name
        .split_once('@')
        .map_or((colleague.name.as_str(), None), |(stem, domain)| (stem, Some(domain)));
    let taken = |name: &str| stage.company.users.iter().any(|user| user.name == name);
    let mut number = 2;
    let name = loop {
        let name = match domain {
            Some(domain) => format!("{stem}{number}@{domain}"),
            None => format!("{stem}{number}"),
        };
        if !taken(&name) {
            break name;
        }
        number += 1;
    };
    let dial = stage.company.office(colleague.office).city().dial;
    let email = match domain {
        Some(_) => name.clone(),
        None => colleague.email.replacen(stem, &name, 1),
    };
    User {
        key: dice.key("DU"),
        phone: phone(dial, &colleague.real_name, dice),
        machine: machine(dice),
        email,
        name,
        ..colleague.clone()
    }
}

/// Abroad on business, in a country where he was in the weeks before.
pub(super) fn traveller(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let city = dice.pick(&DESTINATIONS);
    let application = stage.company.application("Microsoft 365");
    let (then, now) = (stage.networks.fresh(), stage.networks.fresh());
    stage.plans.of_mut(user.number).trips.push(Trip {
        from: 1,
        to: 2.min(stage.span.last_day() - 1),
        city,
        hotel: then,
    });
    let there = Site {
        ip: then.address(user.number as u64),
        city,
    };
    let first = stage.span.start + DAY + 11 * HOUR;
    for time_us in paced(first, 2, 1_800, 5_400, dice) {
        let login = day::prompt(user, application, there, time_us, Factor::Push, dice);
        stage.log(&login, dice);
    }
    let count = dice.between(3, 7);
    let start = stage.span.last + 8 * HOUR - city.offset * MINUTE;
    let here = Site {
        ip: now.any(dice),
        city,
    };
    let mut marks = Vec::new();
    for time_us in spread(start, 9 * HOUR, count, dice) {
        let login = day::prompt(user, application, here, time_us, Factor::Push, dice);
        marks.push(stage.log(&login, dice));
    }
    stage.clear_day(user);
    harmless(
        stage,
        "a traveller in a country known from before",
        Some(user),
        &marks,
        format!("{} is in {} again", user.name, city.name),
    );
    Some(())
}

/// Home, train, café, office: five networks in a day, all in the same country, each answered by a prompt.
pub(super) fn commuter(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let (desk, home) = (
        stage.company.desk(user),
        stage.company.home(user, stage.span.last_day()),
    );
    let (train, back) = (
        stage.company.on_the_move(user, dice),
        stage.company.on_the_move(user, dice),
    );
    let city = stage.company.office(user.office).city();
    let cafe = stage.networks.strange(city, dice);
    let start = stage.local(user, 7, 8, dice);
    let mut marks = Vec::new();
    for (site, hours) in [
        (home, 0),
        (train, 1),
        (desk, 2),
        (desk, 3),
        (cafe, 4),
        (desk, 6),
        (back, 8),
        (home, 9),
    ] {
        let time_us = start + hours * HOUR + dice.between(0, 20 * MINUTE);
        let login = day::prompt(
            user,
            stage.company.application("Microsoft 365"),
            site,
            time_us,
            Factor::Push,
            dice,
        );
        marks.push(stage.log(&login, dice));
    }
    stage.clear_day(user);
    harmless(
        stage,
        "a commuter on many networks",
        Some(user),
        &marks,
        format!("{} logged in from home, train, café and office", user.name),
    );
    Some(())
}

/// On call: woken at three, logs in at home.
pub(super) fn night_shift(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    // The night must fall into the day.
    let user = stage.cast(|stage, user| stage.company.office(user.office).city().offset <= 60)?;
    let home = stage.company.home(user, stage.span.last_day());
    let start = stage.local(user, 2, 3, dice);
    let count = dice.between(2, 4);
    let mut marks = Vec::new();
    for time_us in paced(start, count, 600, 2_400, dice) {
        let login = day::prompt(
            user,
            stage.company.application("AWS Console"),
            home,
            time_us,
            Factor::Push,
            dice,
        );
        marks.push(stage.log(&login, dice));
    }
    stage.clear(user, &marks, HOUR, HOUR);
    harmless(
        stage,
        "on call at night",
        Some(user),
        &marks,
        format!("{} was called at night and logged in at home", user.name),
    );
    Some(())
}

/// Duo cannot place the address: no country is not a new country.
pub(super) fn unknown_place(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let city = stage.company.office(user.office).city();
    let site = stage.networks.strange(city, dice);
    let start = stage.local(user, 9, 14, dice);
    let mut marks = Vec::new();
    for (time_us, shown) in paced(start, 3, 600, 3_600, dice)
        .into_iter()
        .zip([json!("-"), json!(null), json!("-")])
    {
        let login = day::prompt(
            user,
            stage.company.application("Cisco AnyConnect VPN"),
            site,
            time_us,
            Factor::Push,
            dice,
        );
        marks.push(unplaced(stage, &login, &shown, dice));
    }
    stage.clear(user, &marks, HOUR, HOUR);
    harmless(
        stage,
        "logins from a place Duo does not know",
        Some(user),
        &marks,
        format!("{}'s provider is on no map", user.name),
    );
    Some(())
}

fn unplaced(
    stage: &mut Stage<'_>,
    login: &Login<'_>,
    shown: &serde_json::Value,
    dice: &mut Dice,
) -> crate::company::stage::Mark {
    stage.log_changed(login, dice, |row| {
        if let Some(location) = row
            .pointer_mut("/access_device/location")
            .and_then(|location| location.as_object_mut())
        {
            location.values_mut().for_each(|part| *part = shown.clone());
        }
    })
}
