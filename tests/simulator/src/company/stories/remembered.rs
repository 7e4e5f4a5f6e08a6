//! The token by which a browser is remembered was stolen: whoever has it is not asked.

use std::collections::BTreeMap;

use super::{MANY_PLACES, NEW_COUNTRY, TOO_OFTEN, attack};
use crate::company::clock::HOUR;
use crate::company::day;
use crate::company::dice::Dice;
use crate::company::network::Site;
use crate::company::people::User;
use crate::company::rows::authentication::Login;
use crate::company::stage::{Mark, Stage, spread};

/// Sold on: it is used in several towns and countries, while its owner goes on using it at home.
pub(super) fn many_places(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let at_home = stage.company.home(user, stage.span.last_day());
    let mut sites = vec![at_home];
    let abroad = dice.between(2, 3);
    for number in 0..abroad + 1 {
        let site = stage.hideout(user, number < abroad, dice);
        sites.push(site);
    }
    let mut marks = Vec::new();
    let mut by_country: BTreeMap<&str, Vec<Mark>> = BTreeMap::new();
    let start = stage.moment(2, 6, dice);
    // Each place at least twice, then wherever.
    let count = sites.len() as i64 * 2 + dice.between(2, 10);
    let length = dice.between(6, 14) * HOUR;
    for (number, time_us) in spread(start, length, count, dice).into_iter().enumerate() {
        let site = sites.get(number / 2).copied().unwrap_or_else(|| *dice.pick(&sites));
        let mark = used(stage, user, site, time_us, dice);
        if site.city.country != stage.company.country(user) {
            by_country.entry(site.city.country).or_default().push(mark.clone());
        }
        marks.push(mark);
    }
    stage.clear_day(user);
    attack(
        stage,
        MANY_PLACES,
        user,
        &marks,
        format!(
            "{}'s remembered device was used {} times from {} networks",
            user.name,
            marks.len(),
            sites.len()
        ),
    );
    for (country, marks) in by_country {
        attack(
            stage,
            NEW_COUNTRY,
            user,
            &marks,
            format!("{} was never in {country} before", user.name),
        );
    }
    Some(())
}

/// Given to a program, which logs in again and again from one place.
pub(super) fn too_often(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let user = stage.anybody()?;
    let site = stage.hideout(user, false, dice);
    let count = dice.between(60, 140);
    let length = dice.between(3, 8) * HOUR;
    let start = stage.moment(1, 14, dice);
    let marks: Vec<Mark> = spread(start, length, count, dice)
        .into_iter()
        .map(|time_us| used(stage, user, site, time_us, dice))
        .collect();
    stage.clear_day(user);
    attack(
        stage,
        TOO_OFTEN,
        user,
        &marks,
        format!(
            "{}'s remembered device was used {count} times within {} hours",
            user.name,
            length / HOUR
        ),
    );
    Some(())
}

fn used(stage: &mut Stage<'_>, user: &User, site: Site, time_us: i64, dice: &mut Dice) -> Mark {
    let application = stage
        .company
        .application(dice.pick::<&str>(&["Microsoft 365", "Single Sign-On", "Salesforce"]));
    let login = Login {
        plain: true,
        ..day::remembered(user, application, site, time_us)
    };
    stage.log(&login, dice)
}
