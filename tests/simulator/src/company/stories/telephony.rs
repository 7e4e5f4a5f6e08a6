//! Messages that earn somebody money.

use super::{NO_LOGIN, PUMPING};
use crate::company::clock::HOUR;
use crate::company::dice::Dice;
use crate::company::rows::telephony::Message;
use crate::company::stage::{Mark, Stage, paced, spread};
use crate::company::world::INTRUDER_CITIES;
use crate::model::Kind;

/// A number of the intruder's is sent one passcode after the other; each costs credits, of which the intruder has a share.
pub(super) fn pumping(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let dial = dice.pick(&INTRUDER_CITIES).dial;
    let number = format!("+{dial}555{:07}", dice.between(0, 9_999_999));
    let count = dice.between(14, 40);
    let start = stage.moment(1, 22, dice);
    let context = *dice.pick(&["authentication", "enrollment"]);
    let mut marks: Vec<Mark> = Vec::new();
    for time_us in paced(start, count, 5, 18, dice) {
        let txid = dice.uuid();
        marks.push(stage.send(
            &Message {
                time_us,
                kind: "sms",
                context,
                number: &number,
                txid: &txid,
            },
            dice,
        ));
    }
    stage.plant(
        Kind::Attack,
        PUMPING,
        None,
        &marks,
        format!("{count} text messages to {number} within minutes"),
    );
    if context == "authentication" {
        stage.plant(
            Kind::Attack,
            NO_LOGIN,
            None,
            &marks,
            format!("none of the text messages to {number} was for a login"),
        );
    }
    Some(())
}

/// Somebody has an application's keys, and has Duo send a text to each of a few numbers: too few to any one of them to be a
/// burst.
pub(super) fn no_login(stage: &mut Stage<'_>, dice: &mut Dice) -> Option<()> {
    let dial = dice.pick(&INTRUDER_CITIES).dial;
    let count = dice.between(3, 6);
    let start = stage.moment(1, 10, dice);
    let length = dice.between(3, 10) * HOUR;
    for time_us in spread(start, length, count, dice) {
        let number = format!("+{dial}555{:07}", dice.between(0, 9_999_999));
        let message = Message {
            time_us,
            kind: dice.pick::<&str>(&["sms", "sms", "phone"]),
            context: "authentication",
            number: &number,
            txid: &dice.uuid(),
        };
        let mark = stage.send(&message, dice);
        let note = format!("a message to {number} for a login that there never was");
        stage.plant(Kind::Attack, NO_LOGIN, None, &[mark], note);
    }
    Some(())
}
