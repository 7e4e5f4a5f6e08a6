//! Collector: what Picket itself met when it read an account's logs.

use crate::{Field, fields};

pub(crate) const FIELDS: &[Field] = fields! {
    derived "subject.user" "Always null: the event names a log, not a user.";
    derived "subject.key" "Always null: the event names a log, not a user.";
    text "action" "What the operator is to do, in words.";
    text "error" "What is wrong, in words.";
    word "event" "`failing`, `refused`, `silent`, `gap` or `recovered`.";
    text "from" "Where a gap begins, RFC 3339; of `gap` alone.";
    text "id" "Id of the event.";
    word "log" "The log it is about: `authentication`, ...";
    text "since" "Since when, RFC 3339.";
    text "to" "Where a gap ends, RFC 3339; of `gap` alone.";
    text "ts" "When it was noticed, RFC 3339.";
    word "was" "What is over: `failing`, `refused` or `silent`; of `recovered` alone.";
};
