//! Trouble with phones.

use super::harmless;
use crate::company::administration::about_phone;
use crate::company::clock::{HOUR, MINUTE, SECOND};
use crate::company::day;
use crate::company::dice::Dice;
use crate::company::people::{Factor, phone};
use crate::company::rows::activity::{Action, Actor, Target};
use crate::company::rows::authentication::Login;
use crate::company::rows::telephony::Message;
use crate::company::stage::{Stage, paced};
use crate::company::stories::enrolment;

/// In the cellar: two prompts arrive nowhere, then a passcode, which needs no network. Upstairs all is well again.
pub(super) fn no_signal(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let desk = stage.company.desk(user);
    let application = stage.company.application("Microsoft 365");
    let start = stage.local(user, 9, 12, dice);
    let mut marks = Vec::new();
    let mut time_us = start;
    for _ in 0..2 {
        let login = day::prompt(user, application, desk, time_us, Factor::Push, dice);
        marks.push(stage.log(
            &Login {
                result: "denied",
                reason: Some("no_response"),
                ..login
            },
            dice,
        ));
        time_us += dice.between(65, 120) * SECOND;
    }
    let login = day::prompt(user, application, desk, time_us, Factor::Passcode, dice);
    marks.push(stage.log(&login, dice));
    let later = time_us + dice.between(2 * HOUR, 4 * HOUR);
    let login = day::prompt(user, application, desk, later, Factor::Push, dice);
    marks.push(stage.log(&login, dice));
    stage.clear(user, &marks, 2 * HOUR, 2 * HOUR);
    harmless(
        stage,
        "phone without signal",
        Some(user),
        &marks,
        format!("{} had no signal, used a passcode, and was fine later", user.name),
    );
    Some(())
}

/// Lost on the train: the helpdesk knows her, removes the old phone, and she enrols the new one at her own desk.
pub(super) fn lost(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let desk = stage.company.desk(user);
    let application = stage.company.application("Microsoft 365");
    // She was there before she noticed.
    let start = stage.local(user, 8, 9, dice);
    let login = day::prompt(user, application, desk, start, Factor::Push, dice);
    let mut marks = vec![stage.log(&login, dice)];
    let called = start + dice.between(40 * MINUTE, 2 * HOUR);
    let actor = stage.helpdesk(dice);
    let new = phone("1", &user.real_name, dice);
    let act = |time_us, name, v1, target, stage: &mut Stage<'_>, dice: &mut Dice| {
        let about = about_phone(user, dice);
        let action = Action {
            time_us,
            actor,
            name,
            v1,
            target,
            details: None,
            about_target: Some(about),
            plain: true,
        };
        stage.act(&action, dice)
    };
    marks.extend(act(
        called,
        "deregister_devices",
        Some("deregister_devices"),
        Target::User(user),
        stage,
        dice,
    ));
    let target = Target::Phone {
        key: &new.key,
        number: &new.number,
    };
    marks.extend(act(
        called + 2 * MINUTE,
        "phone_create",
        Some("phone_create"),
        target,
        stage,
        dice,
    ));
    marks.extend(act(
        called + 3 * MINUTE,
        "phone_activation_code_regenerated",
        None,
        target,
        stage,
        dice,
    ));
    let enrolled = called + dice.between(8 * MINUTE, 30 * MINUTE);
    let login = day::prompt(user, application, desk, enrolled, Factor::Push, dice);
    marks.push(stage.log(&enrolment(login, &new), dice));
    let times = dice.between(2, 4);
    for time_us in paced(
        enrolled + dice.between(2 * MINUTE, 15 * MINUTE),
        times,
        900,
        5_400,
        dice,
    ) {
        let login = day::prompt(user, application, desk, time_us, Factor::Push, dice);
        marks.push(stage.log(&login, dice));
    }
    stage.clear_day(user);
    harmless(
        stage,
        "a lost phone, properly helped",
        Some(user),
        &marks,
        format!("{} got a new phone and stayed at the usual desk", user.name),
    );
    Some(())
}

/// A new phone, set up by its owner alone.
pub(super) fn own_change(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let desk = stage.company.desk(user);
    let application = stage.company.application("User Portal");
    let start = stage.local(user, 9, 14, dice);
    let login = day::prompt(user, application, desk, start, Factor::Push, dice);
    let mut marks = vec![stage.log(&login, dice)];
    let new = phone("1", &user.real_name, dice);
    let about = about_phone(user, dice);
    let action = Action {
        time_us: start + dice.between(MINUTE, 4 * MINUTE),
        actor: Actor::User(user, desk),
        name: "phone_create",
        v1: None,
        target: Target::Phone {
            key: &new.key,
            number: &new.number,
        },
        details: None,
        about_target: Some(about),
        plain: true,
    };
    marks.extend(stage.act(&action, dice));
    let enrolled = action.time_us + dice.between(MINUTE, 5 * MINUTE);
    let login = day::prompt(user, application, desk, enrolled, Factor::Push, dice);
    marks.push(stage.log(&enrolment(login, &new), dice));
    let login = day::prompt(
        user,
        stage.company.application("Microsoft 365"),
        desk,
        enrolled + dice.between(5 * MINUTE, HOUR),
        Factor::Push,
        dice,
    );
    marks.push(stage.log(&login, dice));
    stage.clear_day(user);
    harmless(
        stage,
        "a user changes her own phone",
        Some(user),
        &marks,
        format!("{} added a phone at the self-service portal", user.name),
    );
    Some(())
}

/// Two refusals by a thumb that was too quick, then the approval.
pub(super) fn two_refusals(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let desk = stage.company.desk(user);
    let application = stage.company.application("Cisco AnyConnect VPN");
    let start = stage.local(user, 9, 16, dice);
    let mut marks = Vec::new();
    for (number, time_us) in paced(start, 3, 20, 90, dice).into_iter().enumerate() {
        let login = day::prompt(user, application, desk, time_us, Factor::Push, dice);
        let login = if number < 2 {
            Login {
                result: "denied",
                reason: Some("user_cancelled"),
                ..login
            }
        } else {
            login
        };
        marks.push(stage.log(&login, dice));
    }
    stage.clear(user, &marks, 2 * HOUR, 2 * HOUR);
    harmless(
        stage,
        "two refusals, then an approval",
        Some(user),
        &marks,
        format!("{} pressed the wrong button twice", user.name),
    );
    Some(())
}

/// Passcodes read off wrongly.
pub(super) fn typos(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let desk = stage.company.desk(user);
    let application = stage.company.application("Cisco AnyConnect VPN");
    let start = stage.local(user, 9, 16, dice);
    let wrong = dice.between(2, 4);
    let mut marks = Vec::new();
    for (number, time_us) in paced(start, wrong + 1, 12, 40, dice).into_iter().enumerate() {
        let login = day::prompt(user, application, desk, time_us, Factor::Passcode, dice);
        let login = if (number as i64) < wrong {
            Login {
                result: "denied",
                reason: Some("invalid_passcode"),
                ..login
            }
        } else {
            login
        };
        marks.push(stage.log(&login, dice));
    }
    stage.clear(user, &marks, 2 * HOUR, 2 * HOUR);
    harmless(
        stage,
        "passcode typos",
        Some(user),
        &marks,
        format!("{} mistyped {wrong} passcodes", user.name),
    );
    Some(())
}

/// Three people on call share one phone; each gets a passcode by text within the hour.
pub(super) fn shared(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let shared = phone("1", "On call", dice);
    let first = stage.desk_worker()?;
    let start = stage.local(first, 9, 15, dice);
    let mut on_call = Some(first);
    let mut all = Vec::new();
    for time_us in paced(start, 3, 900, 1_500, dice) {
        let Some(user) = on_call.or_else(|| stage.desk_worker()) else {
            break;
        };
        on_call = None;
        let application = stage.company.application("Cisco AnyConnect VPN");
        let login = day::prompt(
            user,
            application,
            stage.company.desk(user),
            time_us,
            Factor::SmsPasscode,
            dice,
        );
        let marks = stage.log_by_text(&login, &shared.number, dice);
        stage.clear(user, &marks, HOUR, HOUR);
        all.extend(marks);
    }
    harmless(
        stage,
        "a shared phone gets a few text messages",
        None,
        &all,
        format!("people on call share {}", shared.number),
    );
    Some(())
}

/// The text takes its time, so another is asked for; both are for the one login, a quarter of an hour later.
pub(super) fn late_text(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let desk = stage.company.desk(user);
    let start = stage.local(user, 9, 15, dice);
    let txid = dice.uuid();
    let again = start + dice.between(2 * MINUTE, 4 * MINUTE);
    let mut marks = Vec::new();
    for time_us in [start, again] {
        let message = Message {
            time_us,
            kind: "sms",
            context: "authentication",
            number: &user.phone.number,
            txid: &txid,
        };
        marks.push(stage.send(&message, dice));
    }
    let came = start + dice.between(12 * MINUTE, 24 * MINUTE);
    let application = stage.company.application("Cisco AnyConnect VPN");
    let login = day::prompt(user, application, desk, came, Factor::SmsPasscode, dice);
    marks.push(stage.log_with(&login, txid, dice));
    stage.clear(user, &marks, HOUR, HOUR);
    harmless(
        stage,
        "a text message that takes its time",
        Some(user),
        &marks,
        format!(
            "{} typed the passcode in {} minutes later",
            user.name,
            (came - start) / MINUTE
        ),
    );
    Some(())
}
