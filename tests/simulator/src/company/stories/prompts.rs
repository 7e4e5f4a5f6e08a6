//! The intruder has the password and lets the phone ring.

use super::{FRAUD, GAVE_IN, NEW_COUNTRY, REFUSED, attack};
use crate::company::clock::{HOUR, MINUTE, SECOND};
use crate::company::day;
use crate::company::dice::Dice;
use crate::company::network::Site;
use crate::company::people::{Factor, Machine, User, strange_machine};
use crate::company::rows::authentication::{Device, Login};
use crate::company::stage::{Mark, Stage, paced};
use crate::company::world::Prompt;

/// Prompts sent by somebody else to the user's phone, one after the other.
struct Intruder<'a> {
    user: &'a User,
    site: Site,
    machine: Machine,
    application: &'static str,
}

impl<'a> Intruder<'a> {
    fn new(stage: &mut Stage<'_>, user: &'a User, abroad: bool, dice: &mut Dice) -> Self {
        let site = stage.hideout(user, abroad, dice);
        Self {
            user,
            site,
            machine: strange_machine(dice),
            application: *dice.pick(&["Cisco AnyConnect VPN", "Microsoft 365", "Single Sign-On"]),
        }
    }

    /// One prompt; the phone is where the user is, at home.
    fn prompt(
        &self,
        stage: &mut Stage<'_>,
        time_us: i64,
        result: &'static str,
        reason: &'static str,
        dice: &mut Dice,
    ) -> Mark {
        let company = stage.company;
        let application = company.application(self.application);
        let at_home = company.home(self.user, stage.span.last_day());
        let usual = day::prompt(self.user, application, self.site, time_us, Factor::Push, dice);
        let device = Device::Phone {
            key: &self.user.phone.key,
            label: &self.user.phone.label,
            site: Some(at_home),
        };
        let machine = if application.prompt == Prompt::Browser {
            &self.machine
        } else {
            usual.machine
        };
        stage.log(
            &Login {
                machine,
                result,
                reason: Some(reason),
                device,
                ..usual
            },
            dice,
        )
    }

    /// Seven to fifteen prompts within some minutes, none approved.
    fn burst(&self, stage: &mut Stage<'_>, start: i64, dice: &mut Dice) -> Vec<Mark> {
        let count = dice.between(7, 15);
        paced(start, count, 18, 38, dice)
            .into_iter()
            .map(|time_us| {
                let reason = dice.weighted(&[("user_cancelled", 5), ("no_response", 4), ("user_mistake", 1)]);
                self.prompt(stage, time_us, "denied", reason, dice)
            })
            .collect()
    }
}

/// The phone rings and rings; the user refuses.
pub(super) fn refused(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let abroad = dice.chance(500);
    let intruder = Intruder::new(stage, user, abroad, dice);
    let start = stage.moment(2, 20, dice);
    let marks = intruder.burst(stage, start, dice);
    stage.clear(user, &marks, 2 * HOUR, 3 * HOUR);
    let note = format!(
        "{} got {} prompts from {} and approved none",
        user.name,
        marks.len(),
        intruder.site.city.name
    );
    attack(stage, REFUSED, user, &marks, note);
    Some(())
}

/// The phone rings and rings; in the end the user wants it to stop.
pub(super) fn gave_in(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let abroad = dice.chance(500);
    let intruder = Intruder::new(stage, user, abroad, dice);
    let start = stage.moment(2, 19, dice);
    let mut marks = intruder.burst(stage, start, dice);
    let refused = marks.clone();
    let end = marks.last()?.time_us + dice.between(20, 100) * SECOND;
    let approved = intruder.prompt(stage, end, "success", "user_approved", dice);
    marks.push(approved.clone());
    stage.clear(user, &marks, 2 * HOUR, 6 * HOUR);
    let town = intruder.site.city.name;
    attack(
        stage,
        REFUSED,
        user,
        &refused,
        format!(
            "{} got {} prompts from {town} that were not approved; see the approval after them",
            user.name,
            refused.len()
        ),
    );
    attack(
        stage,
        GAVE_IN,
        user,
        &marks,
        format!(
            "{} approved a prompt from {town} after {} that were not approved",
            user.name,
            refused.len()
        ),
    );
    if abroad {
        attack(
            stage,
            NEW_COUNTRY,
            user,
            &[approved],
            format!("{} was never in {} before", user.name, intruder.site.city.country),
        );
    }
    Some(())
}

/// A prompt out of the blue: the user presses the red button.
pub(super) fn fraud(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let abroad = dice.chance(600);
    let intruder = Intruder::new(stage, user, abroad, dice);
    let start = stage.moment(1, 21, dice);
    let mut marks = Vec::new();
    let mut time_us = start;
    for _ in 0..dice.between(0, 2) {
        intruder.prompt(stage, time_us, "denied", "no_response", dice);
        time_us += dice.between(61 * SECOND, 4 * MINUTE);
    }
    marks.push(intruder.prompt(stage, time_us, "fraud", "user_marked_fraud", dice));
    stage.clear(user, &marks, 2 * HOUR, 3 * HOUR);
    attack(
        stage,
        FRAUD,
        user,
        &marks,
        format!(
            "{} reported a prompt from {} as fraud",
            user.name, intruder.site.city.name
        ),
    );
    Some(())
}
