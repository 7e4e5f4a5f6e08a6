//! Telephony v2; v1 has the same names without ids.

use crate::{Field, fields};

pub(crate) const FIELDS: &[Field] = fields! {
    derived "subject.user" "Always null: the event names a number, not a user.";
    derived "subject.key" "Always null: the event names a number, not a user.";
    word "context" "`authentication`, `enrollment`, `administrator_login`, `verify`.";
    s64 "credits" "Telephony credits it cost.";
    text "isotimestamp" "When, RFC 3339; v1 only.";
    phone "phone" "Number, as a pseudonym: personal.";
    text "telephony_id" "Id of the event.";
    s64 "timestamp" "When, whole seconds since the Unix epoch; v1 only.";
    text "ts" "When, RFC 3339 with microseconds.";
    text "txid" "Id of the transaction; joins with authentication's `txid`.";
    word "type" "`sms` or `phone`.";
};
