//! Administrator rows, the v1 log: the same actions as activity tells of, in another shape and with no id.

use serde_json::Value;

use super::{Object, dumps};
use crate::company::clock::{SECOND, iso_seconds};
use crate::company::dice::Dice;
use crate::model::{Feed, Row};

/// What the v1 log says of an action.
pub(crate) struct Entry {
    pub(crate) time_us: i64,
    pub(crate) action: String,
    /// Full name of an admin, `System`, `API (...)`, `AD Sync: ...`, or nothing.
    pub(crate) username: String,
    pub(crate) object: Option<String>,
    pub(crate) description: Description,
}

/// The description: mostly JSON in a string.
pub(crate) enum Description {
    Json(Value),
    /// JSON that was cut off.
    Cut(Value),
    Text(String),
    Null,
    Absent,
}

/// Writes it down.
pub(crate) fn row(entry: Entry, dice: &mut Dice) -> Row {
    let time_us = entry.time_us.div_euclid(SECOND) * SECOND;
    let mut row = Object::new(6);
    row.put("action", entry.action);
    match entry.description {
        Description::Json(value) => row.put("description", dumps(&value)),
        Description::Cut(value) => row.put("description", cut(&dumps(&value))),
        Description::Text(text) => row.put("description", text),
        Description::Null => row.put("description", Value::Null),
        Description::Absent => {}
    }
    row.put("isotimestamp", iso_seconds(time_us));
    row.put("object", entry.object);
    row.put("timestamp", time_us / SECOND);
    row.put("username", entry.username);
    Row {
        feed: Feed::Administrator,
        time_us,
        id: format!("administrator {}", dice.uuid()),
        json: row.done(),
    }
}

/// Two thirds of a text: what is left of it where something on the way had a limit. The text is ASCII.
pub(crate) fn cut(text: &str) -> String {
    text.get(..text.len() * 2 / 3).unwrap_or(text).to_owned()
}
