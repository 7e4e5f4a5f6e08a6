//! Messages that earn somebody money.

use super::PUMPING;
use crate::company::dice::Dice;
use crate::company::rows::telephony::Message;
use crate::company::stage::{Mark, Stage, paced};
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
    Some(())
}
