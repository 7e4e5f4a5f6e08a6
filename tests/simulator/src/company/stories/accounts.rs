//! Accounts that were left open, opened, taken or removed.

use serde_json::json;

use super::{BYPASS_CREATED, BYPASS_STATUS, BYPASS_USED, CODE_USED, DELETED, NEW_COUNTRY, attack};
use crate::company::clock::{HOUR, MINUTE};
use crate::company::day;
use crate::company::dice::Dice;
use crate::company::people::{Factor, User, strange_machine};
use crate::company::rows::activity::{Action, Actor, Target};
use crate::company::rows::authentication::{Device, Login};
use crate::company::stage::{Mark, Stage, paced};
use crate::model::Kind;

/// An account that was put into bypass long ago and forgotten: Duo lets it in without asking.
pub(super) fn bypass_status(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let logins = |dice: &mut Dice| dice.between(1, 3);
    let (user, marks) = unasked(stage, "not_available", "bypass_user", logins, dice)?;
    attack(
        stage,
        BYPASS_STATUS,
        user,
        &marks,
        format!("{} is in bypass and was let in without a second factor", user.name),
    );
    Some(())
}

/// A code from a drawer, made before anybody remembers.
pub(super) fn bypass_code(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let logins = |dice: &mut Dice| dice.between(1, 2);
    let (user, marks) = unasked(stage, "bypass_code", "valid_passcode", logins, dice)?;
    attack(
        stage,
        BYPASS_USED,
        user,
        &marks,
        format!("{} was let in with a bypass code", user.name),
    );
    Some(())
}

/// Logins within an hour for which no device was needed, from a rented machine in the user's own town.
fn unasked<'a>(
    stage: &mut Stage<'a>,
    factor: &'static str,
    reason: &'static str,
    logins: impl Fn(&mut Dice) -> i64,
    dice: &mut Dice,
) -> Option<(&'a User, Vec<Mark>)> {
    let user = stage.anybody()?;
    let site = stage.hideout(user, false, dice);
    let machine = strange_machine(dice);
    let start = stage.moment(1, 21, dice);
    let count = logins(dice);
    let marks: Vec<Mark> = paced(start, count, 300, 1_200, dice)
        .into_iter()
        .map(|time_us| {
            let application =
                stage
                    .company
                    .application(dice.pick::<&str>(&["Microsoft 365", "Workday", "Single Sign-On"]));
            let usual = day::prompt(user, application, site, time_us, Factor::Push, dice);
            stage.log(
                &Login {
                    machine: &machine,
                    factor,
                    reason: Some(reason),
                    device: Device::None,
                    ..usual
                },
                dice,
            )
        })
        .collect();
    stage.clear_day(user);
    Some((user, marks))
}

/// An administrator removes somebody who was at work yesterday.
pub(super) fn deleted(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let actor = stage.admin(&["Owner", "Administrator", "User Manager"], dice);
    let time_us = stage.moment(6, 22, dice);
    let about = json!({"email": user.email, "realname": user.real_name, "status": "Active"});
    let action = Action {
        time_us,
        actor,
        name: "user_delete",
        v1: Some("user_delete"),
        target: Target::User(user),
        details: None,
        about_target: Some(about),
        plain: true,
    };
    let marks = stage.act(&action, dice);
    stage.clear_day(user);
    attack(
        stage,
        DELETED,
        user,
        &marks,
        format!("{} was deleted by {}", user.name, name_of(actor)),
    );
    Some(())
}

/// An administrator hands out a way around the second factor; nobody uses it yet.
pub(super) fn code_created(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let actor = stage.helpdesk(dice);
    let time_us = stage.moment(6, 22, dice);
    let marks = hand_out(stage, actor, user, time_us, dice);
    stage.plant(
        Kind::Attack,
        BYPASS_CREATED,
        Some(user),
        &marks,
        format!("{} made a bypass code for {}", name_of(actor), user.name),
    );
    Some(())
}

/// A caller is given a code, and comes in with it from a rented room in the user's town.
pub(super) fn code_used(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let actor = stage.helpdesk(dice);
    let site = stage.hideout(user, false, dice);
    let machine = strange_machine(dice);
    let start = stage.moment(6, 16, dice);
    let mut marks = hand_out(stage, actor, user, start, dice);
    let created = format!("{} made a bypass code for a caller", name_of(actor));
    attack(stage, BYPASS_CREATED, user, &marks, created);
    let application = stage
        .company
        .application(dice.pick::<&str>(&["Microsoft 365", "Single Sign-On", "Salesforce"]));
    let later = start + dice.between(3 * MINUTE, 4 * HOUR);
    let login = Login {
        machine: &machine,
        factor: "bypass_code",
        reason: Some("valid_passcode"),
        device: Device::None,
        ..day::prompt(user, application, site, later, Factor::Push, dice)
    };
    let used = stage.log(&login, dice);
    stage.clear_day(user);
    let came = format!("{} was let in with a bypass code made for a caller", user.name);
    attack(stage, BYPASS_USED, user, std::slice::from_ref(&used), came);
    marks.push(used);
    let whole = format!(
        "{} made a code for a caller, who came in as {} {} minutes later",
        name_of(actor),
        user.name,
        (later - start) / MINUTE
    );
    attack(stage, CODE_USED, user, &marks, whole);
    Some(())
}

/// The rows of a bypass code's making.
pub(super) fn hand_out(
    stage: &mut Stage<'_>,
    actor: Actor<'_>,
    user: &User,
    time_us: i64,
    dice: &mut Dice,
) -> Vec<Mark> {
    let told = json!({
        "auto_generated": true, "bypass": "", "bypass_code_ids": [dice.key("DB")], "count": 1,
        "remaining_uses": dice.pick(&[1, 1, 5, 0]), "user_id": user.key, "valid_secs": dice.pick(&[3_600, 14_400, 86_400, 0]),
    });
    let action = Action {
        time_us,
        actor,
        name: "bypass_create",
        v1: Some("bypass_create"),
        target: Target::Bypass(user),
        details: None,
        about_target: Some(told),
        plain: true,
    };
    stage.act(&action, dice)
}

/// Password and push phished in one: the user approves what looks like their own login, the intruder is in, from abroad.
pub(super) fn new_country(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let site = stage.hideout(user, true, dice);
    let machine = strange_machine(dice);
    let start = stage.moment(2, 20, dice);
    let count = dice.between(1, 3);
    let marks: Vec<Mark> = paced(start, count, 240, 1_200, dice)
        .into_iter()
        .map(|time_us| {
            let application =
                stage
                    .company
                    .application(dice.pick::<&str>(&["Microsoft 365", "Salesforce", "AWS Console"]));
            let usual = day::prompt(user, application, site, time_us, Factor::Push, dice);
            let at_home = stage.company.home(user, stage.span.last_day());
            let device = Device::Phone {
                key: &user.phone.key,
                label: &user.phone.label,
                site: Some(at_home),
            };
            stage.log(
                &Login {
                    machine: &machine,
                    device,
                    ..usual
                },
                dice,
            )
        })
        .collect();
    stage.clear(user, &marks, 2 * HOUR, 3 * HOUR + 30 * MINUTE);
    attack(
        stage,
        NEW_COUNTRY,
        user,
        &marks,
        format!(
            "{} was let in from {}, {}, never seen before",
            user.name, site.city.name, site.city.country
        ),
    );
    Some(())
}

/// Who acted, for a note.
pub(super) fn name_of(actor: Actor<'_>) -> &str {
    match actor {
        Actor::Admin(admin, _) => &admin.name,
        Actor::User(user, _) => &user.name,
        Actor::Sync | Actor::System | Actor::Api(_) => "a program",
    }
}
