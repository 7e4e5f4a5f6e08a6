//! What looks like an intruder to a hasty eye, and is somebody's ordinary bad luck, journey or new phone.
//!
//! Each is played once. The people behave as people do: whoever has no signal tries twice and then reads a passcode off the
//! phone; whoever lost the phone comes back to the same desk.

mod journeys;
mod keepers;
mod phones;
mod workplaces;

use super::Company;
use super::calendar::{Move, Plans};
use super::clock::{HOUR, MINUTE};
use super::dice::Dice;
use super::people::User;
use super::stage::{Mark, Stage, planted};
use crate::model::{Feed, Kind, Planted, Row};

/// A story, played once.
type Story = fn(&mut Stage<'_>, &mut Dice) -> Option<()>;

static STORIES: [(&str, Story); 17] = [
    ("no signal", phones::no_signal),
    ("lost phone", phones::lost),
    ("own change", phones::own_change),
    ("two refusals", phones::two_refusals),
    ("typos", phones::typos),
    ("shared phone", phones::shared),
    ("newcomer", journeys::newcomer),
    ("traveller", journeys::traveller),
    ("commuter", journeys::commuter),
    ("night shift", journeys::night_shift),
    ("unknown place", journeys::unknown_place),
    ("busy", workplaces::busy),
    ("two places", workplaces::two_places),
    ("outdated", workplaces::outdated),
    ("leavers", keepers::leavers),
    ("inactive", keepers::inactive),
    ("codes revoked", keepers::codes_revoked),
];

/// Plays all look-alikes.
pub(crate) fn plant(stage: &mut Stage<'_>) {
    // The smallest office changes its VPN; whoever has to come back to a usual desk is cast from the others.
    let office = stage.company.offices.len() - 1;
    let mut dice = Dice::new(stage.company.seed, "office moves", 0);
    let offset = stage.company.office(office).city().offset * MINUTE;
    let at = stage.span.last + 13 * HOUR + dice.between(0, 2 * HOUR) - offset;
    stage.plans.moved = Some(Move {
        office,
        at,
        to: stage.networks.fresh(),
    });
    for (name, story) in STORIES {
        // Nobody suitable left: the story is not told.
        let _ = story(stage, &mut Dice::new(stage.company.seed, name, 1));
    }
}

/// Those that came later, as with [`super::stories::plant_later`].
static LATER: [(&str, Story); 2] = [
    ("late text", phones::late_text),
    ("office refused", workplaces::office_refused),
];

/// Plays them, once everybody else has a part.
pub(crate) fn plant_later(stage: &mut Stage<'_>) {
    for (name, story) in LATER {
        let _ = story(stage, &mut Dice::new(stage.company.seed, name, 1));
    }
}

/// Notes a look-alike.
fn harmless(stage: &mut Stage<'_>, story: &str, user: Option<&User>, marks: &[Mark], note: String) {
    stage.plant(Kind::LookAlike, story, user, marks, note);
}

/// Notes the office that changed its addresses, once the ordinary logins from there are written.
pub(crate) fn office_moved(company: &Company, plans: &Plans, rows: &[Row], all: &mut Vec<Planted>) {
    let Some(moved) = plans.moved else { return };
    let addresses = [moved.to.address(10).to_string(), moved.to.address(11).to_string()];
    let marks: Vec<Mark> = rows
        .iter()
        .filter(|row| row.feed == Feed::Authentication && row.time_us >= moved.at)
        .filter(|row| {
            row.json
                .pointer("/access_device/ip")
                .and_then(|ip| ip.as_str())
                .is_some_and(|ip| addresses.iter().any(|address| address == ip))
        })
        .map(|row| Mark {
            time_us: row.time_us,
            id: row.id.clone(),
        })
        .collect();
    let town = company.office(moved.office).city().name;
    let note = format!("everybody in the {town} office appears under a new address");
    all.extend(planted(
        Kind::LookAlike,
        "an office changes its VPN address",
        None,
        &marks,
        note,
    ));
}
