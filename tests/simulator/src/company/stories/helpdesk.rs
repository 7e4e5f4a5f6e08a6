//! The helpdesk is talked into it: somebody calls as the user, has the second factor reset, enrols a phone of their own, and
//! comes in from a place the user has never been at.

use serde_json::json;

use super::accounts::{hand_out, name_of};
use super::{BYPASS_CREATED, BYPASS_USED, CODE_USED, NEW_COUNTRY, TAKEOVER, attack};
use crate::company::clock::{HOUR, MINUTE};
use crate::company::day;
use crate::company::dice::Dice;
use crate::company::network::Site;
use crate::company::people::{Factor, Machine, Phone, User, phone, strange_machine};
use crate::company::rows::activity::{Action, Target};
use crate::company::rows::authentication::{Device, Login};
use crate::company::stage::{Stage, paced};

/// One takeover, by a bypass code or by having the user's devices removed.
pub(super) fn takeover(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let abroad = dice.chance(400);
    // Two rooms: the intruder changes the way out between enrolling and coming in.
    let (first, second) = {
        let first = stage.hideout(user, abroad, dice);
        let city = first.city;
        (first, stage.networks.strange(city, dice))
    };
    let machine = strange_machine(dice);
    let own = phone(first.city.dial, "Mobile", dice);
    let actor = stage.helpdesk(dice);
    let start = stage.moment(6, 16, dice);
    let by_code = dice.chance(550);
    let mut marks = Vec::new();
    let mut let_in = Vec::new();
    let mut time_us = start + dice.between(8 * MINUTE, 40 * MINUTE);

    if by_code {
        let reset = hand_out(stage, actor, user, start, dice);
        attack(
            stage,
            BYPASS_CREATED,
            user,
            &reset,
            format!(
                "{} made a bypass code for a caller who was not {}",
                name_of(actor),
                user.name
            ),
        );
        marks.extend(reset);
        let login = Login {
            factor: "bypass_code",
            reason: Some("valid_passcode"),
            device: Device::None,
            ..came(stage, user, first, &machine, time_us, dice)
        };
        let used = stage.log(&login, dice);
        attack(
            stage,
            BYPASS_USED,
            user,
            std::slice::from_ref(&used),
            format!("the caller came in as {} with the bypass code", user.name),
        );
        marks.push(used.clone());
        attack(
            stage,
            CODE_USED,
            user,
            &marks,
            format!("{} made a code, and the caller came in with it", name_of(actor)),
        );
        let_in.push(used);
        time_us += dice.between(2 * MINUTE, 12 * MINUTE);
    } else {
        let about = json!({"devices": [user.phone.label], "reason": "lost phone"});
        let action = Action {
            time_us: start,
            actor,
            name: "deregister_devices",
            v1: Some("deregister_devices"),
            target: Target::User(user),
            details: None,
            about_target: Some(about),
            plain: true,
        };
        marks.extend(stage.act(&action, dice));
    }

    let enrolled = stage.log(
        &enrolment(came(stage, user, first, &machine, time_us, dice), &own),
        dice,
    );
    marks.push(enrolled.clone());
    let_in.push(enrolled);
    let again = time_us + dice.between(10 * MINUTE, 3 * HOUR);
    let times = dice.between(1, 3);
    for time_us in paced(again, times, 300, 1_500, dice) {
        let login = Login {
            device: Device::Phone {
                key: &own.key,
                label: &own.label,
                site: Some(second),
            },
            ..came(stage, user, second, &machine, time_us, dice)
        };
        let mark = stage.log(&login, dice);
        marks.push(mark.clone());
        let_in.push(mark);
    }
    stage.clear_day(user);
    let way = if by_code {
        "a bypass code"
    } else {
        "a removal of all devices"
    };
    attack(
        stage,
        TAKEOVER,
        user,
        &marks,
        format!(
            "{}: {} was talked into {way}, a new phone was enrolled and used from a strange network",
            user.name,
            name_of(actor)
        ),
    );
    if abroad {
        attack(
            stage,
            NEW_COUNTRY,
            user,
            &let_in,
            format!("{} was never in {} before", user.name, first.city.country),
        );
    }
    Some(())
}

fn came<'b>(
    stage: &Stage<'b>,
    user: &'b User,
    site: Site,
    machine: &'b Machine,
    time_us: i64,
    dice: &mut Dice,
) -> Login<'b> {
    let application = stage.company.application("Microsoft 365");
    Login {
        machine,
        ..day::prompt(user, application, site, time_us, Factor::Push, dice)
    }
}

/// The row by which a device becomes one of the user's.
pub(crate) fn enrolment<'b>(login: Login<'b>, phone: &'b Phone) -> Login<'b> {
    Login {
        enrollment: true,
        factor: "not_available",
        reason: None,
        device: Device::Phone {
            key: &phone.key,
            label: &phone.label,
            site: None,
        },
        ..login
    }
}
