//! Guessing: one password, or a list of leaked ones, tried on everybody from one rented machine.

use serde_json::{Value, json};

use super::SPRAY;
use crate::company::clock::{HOUR, MINUTE};
use crate::company::day;
use crate::company::dice::Dice;
use crate::company::people::{Factor, User, strange_machine};
use crate::company::rows::authentication::{Device, Login};
use crate::company::stage::{Mark, Stage, paced};
use crate::company::world::{FIRST_NAMES, INTRUDER_CITIES, LAST_NAMES};
use crate::model::Kind;

/// Most names are guessed, and nobody has them. Of a few real users the password was right: they are prompted, and refuse. In a
/// hurry it is over in minutes; with patience it goes on all day.
pub(super) fn spray(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let many = dice.between(2, 4);
    let prompted: Vec<&User> = (0..many).map_while(|_| stage.bystander(|_, _| true)).collect();
    let anybody = *prompted.first()?;
    let site = stage.networks.strange(dice.pick(&INTRUDER_CITIES), dice);
    let machine = strange_machine(dice);
    let in_a_hurry = dice.chance(600);
    let (count, start, shortest, longest) = if in_a_hurry {
        (dice.between(8, 14), stage.moment(1, 21, dice), 8, 45)
    } else {
        (dice.between(13, 17), stage.moment(1, 7, dice), 900, 2_700)
    };
    let application = stage
        .company
        .application(dice.pick::<&str>(&["Cisco AnyConnect VPN", "Microsoft 365"]));
    let mut marks: Vec<Mark> = Vec::new();
    let mut victims = prompted.iter().copied();
    for (number, time_us) in paced(start, count, shortest, longest, dice).into_iter().enumerate() {
        // Every third name is somebody's, until there is nobody left.
        let victim = if number % 3 == 1 { victims.next() } else { None };
        let user = victim.unwrap_or(anybody);
        let refused = Login {
            machine: &machine,
            result: "denied",
            ..day::prompt(user, application, site, time_us, Factor::Push, dice)
        };
        let Some(user) = victim else {
            marks.push(unknown(stage, refused, dice));
            continue;
        };
        let reason = dice.weighted(&[("user_cancelled", 3), ("no_response", 4)]);
        let device = Device::Phone {
            key: &user.phone.key,
            label: &user.phone.label,
            site: None,
        };
        let mark = stage.log(
            &Login {
                reason: Some(reason),
                device,
                ..refused
            },
            dice,
        );
        stage.clear(user, std::slice::from_ref(&mark), 2 * HOUR, 2 * HOUR);
        marks.push(mark);
    }
    let length = (marks.last()?.time_us - marks.first()?.time_us) / MINUTE;
    stage.plant(
        Kind::Attack,
        SPRAY,
        None,
        &marks,
        format!(
            "{count} names were tried from one address in {} within {length} minutes",
            site.city.name
        ),
    );
    Some(())
}

/// A name that sounds like somebody and is nobody's: Duo has no key for it.
fn unknown(stage: &mut Stage<'_>, refused: Login<'_>, dice: &mut Dice) -> Mark {
    let (first, last) = (*dice.pick(&FIRST_NAMES), *dice.pick(&LAST_NAMES));
    let domain = refused.user.email.split_once('@').map_or("", |(_, domain)| domain);
    let name = format!("{first}.{last}@{domain}").to_lowercase();
    let login = Login {
        factor: "not_available",
        reason: Some("deny_unenrolled_user"),
        device: Device::None,
        ..refused
    };
    stage.log_changed(&login, dice, |row| {
        if let Some(members) = row.as_object_mut() {
            members.insert("alias".to_owned(), Value::from(""));
            members.insert("email".to_owned(), Value::Null);
            members.insert("user".to_owned(), json!({"groups": [], "key": null, "name": name}));
        }
    })
}
