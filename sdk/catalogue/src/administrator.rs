//! Administrator v1 and offline enrolment v1: one flat row, with JSON inside `description`.

use crate::{Field, fields};

pub(crate) const FIELDS: &[Field] = fields! {
    derived "subject.user" "Name of the Duo user the event is about, where what was acted on is one.";
    derived "subject.key" "Key (`DU...`) of the Duo user the event is about, where known.";
    derived "access_device.network" "The /24 (IPv4) or /48 (IPv6) of `description.ip_address`.";
    derived "access_device.ip_hostname" "Host name that stands in `description.ip_address`.";
    word "action" "What was done: `user_delete`, `bypass_create`, ...";
    json "description" "JSON in a string, or free text; keys differ by action.";
    boolean "description.auto_generated" "Whether Duo chose the bypass code.";
    s64 "description.count" "How many bypass codes.";
    label "description.device" "Device an administrator logged in with.";
    text "description.email" "Address of the user or administrator.";
    prose "description.error" "Why a login failed.";
    word "description.factor" "Second factor of an administrator's login.";
    address "description.ip_address" "Address an administrator came from.";
    label "description.name" "Name of what was acted on.";
    prose "description.notes" "Notes on the user.";
    word "description.primary_auth_method" "Primary factor of an administrator's login.";
    text "description.realname" "Full name of the user.";
    s64 "description.remaining_uses" "How often the bypass code may be used; 0 or null: without limit.";
    word "description.role" "Role of the administrator.";
    word "description.status" "Status of the user or group: `active`, `bypass`, `disabled`.";
    text "description.user_id" "Key of the user (`DU...`).";
    s64 "description.valid_secs" "How long the bypass code is valid, seconds; 0 or null: for ever.";
    text "isotimestamp" "When, RFC 3339, whole seconds.";
    label "object" "Name of what was acted on; null for logins.";
    s64 "timestamp" "When, whole seconds since the Unix epoch.";
    text "username" "Full name of the administrator, `API (...)`, `System` or `AD Sync: ...`.";
};

pub(crate) const OFFLINE_FIELDS: &[Field] = fields! {
    derived "subject.user" "Name of the Duo user who was set up.";
    derived "subject.key" "Always null: the event has no key.";
    word "action" "`o2fa_user_provisioned`, `o2fa_user_deprovisioned`, `o2fa_user_reenrolled`.";
    json "description" "JSON in a string.";
    word "description.factor" "`duo_otp` or `security_key`.";
    text "description.hostname" "Name of the machine.";
    text "description.user_agent" "Software that enrolled the user.";
    text "isotimestamp" "When, RFC 3339, whole seconds.";
    text "object" "Name of the application.";
    s64 "timestamp" "When, whole seconds since the Unix epoch.";
    text "username" "Name of the user.";
};
