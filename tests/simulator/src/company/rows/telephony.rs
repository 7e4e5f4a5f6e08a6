//! Telephony rows: a text message or a call that cost credits. No user: only a number, and the `txid` of what it was for.

use super::Object;
use crate::company::clock::{SECOND, iso_micros};
use crate::company::dice::Dice;
use crate::model::{Feed, Row};

/// A message or a call.
pub(crate) struct Message<'a> {
    pub(crate) time_us: i64,
    /// `sms` or `phone`.
    pub(crate) kind: &'static str,
    /// What it was for: `authentication`, `enrollment`, `administrator login`, `verify`.
    pub(crate) context: &'static str,
    /// The number, E.164.
    pub(crate) number: &'a str,
    /// The login it belongs to.
    pub(crate) txid: &'a str,
}

/// Writes it down.
pub(crate) fn row(message: &Message<'_>, dice: &mut Dice) -> Row {
    let id = dice.uuid();
    let at_home = message.number.starts_with("+1");
    let credits = match (message.kind, at_home) {
        ("phone", true) => 2,
        ("phone", false) => dice.between(4, 12),
        (_, true) => 1,
        (_, false) => dice.between(2, 5),
    };
    let mut row = Object::new(7);
    row.put("context", message.context);
    row.put("credits", credits);
    row.put("phone", message.number);
    row.put("telephony_id", id.as_str());
    row.put("ts", iso_micros(message.time_us));
    row.put("txid", message.txid);
    row.put("type", message.kind);
    Row {
        feed: Feed::Telephony,
        time_us: message.time_us,
        id,
        json: row.done(),
    }
}

/// The message a passcode by text or a call needs, some seconds before the login it leads to.
pub(crate) fn for_login(time_us: i64, call: bool, number: &str, txid: &str, dice: &mut Dice) -> Row {
    let earlier = dice.between(6, 25) * SECOND + dice.between(0, SECOND - 1);
    let message = Message {
        time_us: time_us - earlier,
        kind: if call { "phone" } else { "sms" },
        context: "authentication",
        number,
        txid,
    };
    row(&message, dice)
}
