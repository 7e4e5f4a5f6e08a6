//! Busy people at their usual places.

use super::harmless;
use crate::company::clock::{DAY, HOUR, MINUTE, weekend};
use crate::company::day;
use crate::company::dice::Dice;
use crate::company::people::{Factor, User};
use crate::company::rows::authentication::Login;
use crate::company::stage::{Stage, paced, spread};

/// In and out of everything all day; the browser is remembered, and there is only the one desk.
pub(super) fn busy(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let desk = stage.company.desk(user);
    let start = stage.local(user, 8, 9, dice);
    let count = dice.between(12, 15);
    let application = stage.company.application("Microsoft 365");
    let mut marks = Vec::new();
    for time_us in spread(start, 9 * HOUR, count, dice) {
        let login = Login {
            plain: true,
            ..day::remembered(user, application, desk, time_us)
        };
        marks.push(stage.log(&login, dice));
    }
    stage.clear_day(user);
    harmless(
        stage,
        "a busy user of a remembered device",
        Some(user),
        &marks,
        format!("{} logged in {count} times from one desk", user.name),
    );
    Some(())
}

/// A notebook that goes home at noon.
pub(super) fn two_places(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let (desk, home) = (
        stage.company.desk(user),
        stage.company.home(user, stage.span.last_day()),
    );
    let start = stage.local(user, 8, 9, dice);
    let application = stage.company.application("Salesforce");
    let mut marks = Vec::new();
    for (site, begin) in [(desk, start), (home, start + 5 * HOUR)] {
        let count = dice.between(3, 5);
        for time_us in spread(begin, 4 * HOUR, count, dice) {
            let login = Login {
                plain: true,
                ..day::remembered(user, application, site, time_us)
            };
            marks.push(stage.log(&login, dice));
        }
    }
    stage.clear_day(user);
    harmless(
        stage,
        "a remembered device at home and at work",
        Some(user),
        &marks,
        format!("{} worked at the desk, then at home", user.name),
    );
    Some(())
}

/// The browser is too old, says a policy, again and again; then it is updated.
pub(super) fn outdated(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.desk_worker()?;
    let desk = stage.company.desk(user);
    let start = stage.local(user, 9, 14, dice);
    let application = stage.company.application("Workday");
    let refused = dice.between(3, 6);
    let mut marks = Vec::new();
    for time_us in paced(start, refused, 30, 110, dice) {
        let login = day::prompt(user, application, desk, time_us, Factor::Push, dice);
        let login = Login {
            factor: "not_available",
            result: "denied",
            reason: Some("out_of_date"),
            ..login
        };
        marks.push(stage.log(&login, dice));
    }
    let updated = marks.last()?.time_us + dice.between(20 * MINUTE, HOUR);
    let login = day::prompt(user, application, desk, updated, Factor::Push, dice);
    marks.push(stage.log(&login, dice));
    stage.clear(user, &marks, HOUR, HOUR);
    harmless(
        stage,
        "denied by policy until the browser was updated",
        Some(user),
        &marks,
        format!("{} was refused {refused} times", user.name),
    );
    Some(())
}

/// A policy asks for a newer browser from today on: half an office is refused within minutes, at the desks they have always sat
/// at, and let in after the update.
pub(super) fn office_refused(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let first = stage.bystander(sits_at_the_desk)?;
    let many = dice.between(5, 7);
    // They leave the building by the same address.
    let neighbours = (0..many).map_while(|_| {
        stage.bystander(|stage, user| {
            stage.company.desk(user) == stage.company.desk(first) && sits_at_the_desk(stage, user)
        })
    });
    let office: Vec<&User> = [first].into_iter().chain(neighbours).collect();
    let start = stage.local(first, 9, 11, dice);
    let application = stage.company.application("Workday");
    let mut all = Vec::new();
    for (user, time_us) in office.iter().copied().zip(paced(start, many + 1, 40, 180, dice)) {
        let desk = stage.company.desk(user);
        let usual = day::prompt(user, application, desk, time_us, Factor::Push, dice);
        let refused = Login {
            factor: "not_available",
            result: "denied",
            reason: Some("out_of_date"),
            ..usual
        };
        let mut marks = vec![stage.log(&refused, dice)];
        let updated = time_us + dice.between(25 * MINUTE, 90 * MINUTE);
        let login = day::prompt(user, application, desk, updated, Factor::Push, dice);
        marks.push(stage.log(&login, dice));
        stage.clear(user, &marks, HOUR, HOUR);
        all.extend(marks);
    }
    harmless(
        stage,
        "half an office is refused by a new policy",
        None,
        &all,
        format!(
            "{} people of {} had to update first",
            office.len(),
            stage.company.office(first.office).city().name
        ),
    );
    Some(())
}

/// Whether somebody was at the desk on several of the last working days, in an office that keeps its addresses.
fn sits_at_the_desk(stage: &Stage<'_>, user: &User) -> bool {
    let moves = stage.plans.moved.is_some_and(|moved| moved.office == user.office);
    let last = stage.span.last_day();
    let working = (last.saturating_sub(20).max(0)..last).filter(|day| !weekend(stage.span.start + day * DAY));
    let at_desk =
        |day: &i64| day::site(stage.company, stage.plans, &stage.span, user, *day) == stage.company.desk(user);
    !moves && working.filter(at_desk).count() >= 5
}
