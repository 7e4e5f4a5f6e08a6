//! Logs of changes of the inventory: one row for each object that a snapshot found otherwise than the one before.

use crate::{Field, Parts};

/// The logs, each with the properties of its kind of object under `before` and `after`.
pub(crate) const LOGS: [&str; 13] = [
    "user",
    "phone",
    "endpoint",
    "registered_device",
    "token",
    "webauthn_credential",
    "group",
    "bypass_code",
    "admin_account",
    "integration",
    "policy",
    "settings",
    "summary",
];

/// A log of changes: what all have, and each property before and after.
macro_rules! changes {
    (named by a number: $($rest:tt)*) => { changes!(@ label $($rest)*) };
    (@ $name:ident $($sort:ident $path:literal $doc:literal;)*) => {
        &[
            Field::derived("subject.user", "", "Name of the Duo user the object is or belongs to; null where it belongs to none."),
            Field::derived("subject.key", "", "Key (`DU...`) of that user, where known."),
            Field::json("after", "raw.after", "The object as the snapshot has it; null where it is gone."),
            Field::json("before", "raw.before", "The object as it was before; null where it is new."),
            Field::word("change", "raw.change", "`first` (of the account's first snapshot), `created`, `updated` or `deleted`."),
            Field::texts("changed", "raw.changed", "Names of the properties that are otherwise, where it was updated."),
            Field::text("id", "raw.id", "Id of the event: the object's, `@` and the snapshot's time."),
            Field::$name("name", "raw.name", "What people call the object: a user name, a number, a serial."),
            Field::text("object", "raw.object", "Id of the object."),
            Field::text("ts", "raw.ts", "When the snapshot was taken, RFC 3339: the change happened before."),
            Field::text("user.key", "raw.user.key", "Key (`DU...`) of the user it is or belongs to; the first, if there are several."),
            Field::text("user.name", "raw.user.name", "Name of that user."),
            Field::texts("users", "raw.users", "Names of all users it belongs to."),
            $(
                Field::$sort(concat!("after.", $path), concat!("raw.after.", $path), concat!("After: ", $doc)).with_parts(
                    &Parts {
                        country: concat!("after.", $path, ".country"),
                        prefix: concat!("after.", $path, ".prefix"),
                        tail: concat!("after.", $path, ".tail"),
                    }
                ),
                Field::$sort(concat!("before.", $path), concat!("raw.before.", $path), concat!("Before: ", $doc)).with_parts(
                    &Parts {
                        country: concat!("before.", $path, ".country"),
                        prefix: concat!("before.", $path, ".prefix"),
                        tail: concat!("before.", $path, ".tail"),
                    }
                ),
            )*
        ]
    };
    ($($rest:tt)*) => { changes!(@ text $($rest)*) };
}

pub(crate) const USER: &[Field] = changes! {
    text "user_id" "key, `DU...`.";
    text "username" "user name.";
    text "realname" "full name.";
    text "firstname" "first name.";
    text "lastname" "last name.";
    text "email" "e-mail address.";
    word "status" "`active`, `bypass`, `disabled`, `locked_out`, `pending_deletion`.";
    word "lockout_reason" "why they are locked out.";
    boolean "is_enrolled" "whether they have a second factor.";
    boolean "enable_auto_prompt" "whether Duo prompts by itself.";
    s64 "created" "when they were made, seconds since the Unix epoch.";
    s64 "last_login" "when they logged in last, seconds since the Unix epoch.";
    s64 "last_directory_sync" "when a directory brought them last, seconds since the Unix epoch.";
    text "external_id" "id in the directory they come from.";
    prose "notes" "notes by administrators.";
    json "aliases" "other names, `alias1` to `alias8`.";
    json "custom_attributes" "what the account adds.";
    proses "groups" "groups, each as JSON.";
    proses "phones" "phones, each as JSON.";
    proses "tokens" "hardware tokens, each as JSON.";
    proses "webauthncredentials" "security keys and the like, each as JSON.";
};

pub(crate) const PHONE: &[Field] = changes! {
    named by a number:
    text "phone_id" "id, `DP...`.";
    phone "number" "number, as a pseudonym: personal.";
    text "extension" "extension.";
    label "name" "label.";
    word "type" "`mobile`, `landline`, `unknown`.";
    text "platform" "`Apple iOS`, `Google Android`, ...";
    text "model" "model.";
    boolean "activated" "whether Duo Mobile is set up on it.";
    texts "capabilities" "`auto`, `push`, `phone`, `sms`, `mobile_otp`.";
    word "encrypted" "whether its storage is.";
    word "fingerprint" "whether it asks for one.";
    word "screenlock" "whether it has one.";
    word "tampered" "whether it is jailbroken or rooted.";
    text "last_seen" "when Duo Mobile called last.";
    proses "users" "users, each as JSON.";
};

pub(crate) const ENDPOINT: &[Field] = changes! {
    text "epkey" "id, `EP...`.";
    text "username" "user name.";
    text "email" "e-mail address.";
    text "type" "type.";
    text "model" "model.";
    text "os_family" "operating system.";
    text "os_version" "its version.";
    text "os_build" "its build.";
    text "device_name" "name of the machine.";
    text "device_id" "id of the machine.";
    text "hardware_uuid" "id of the hardware.";
    word "disk_encryption_status" "`on`, `off`, `unknown`.";
    word "firewall_status" "`on`, `off`, `unknown`.";
    word "password_status" "`set`, `unset`, `unknown`.";
    word "trusted_endpoint" "`yes`, `no`, `unknown`.";
    text "health_app_client_version" "version of Duo Desktop.";
    texts "browsers" "browsers, each as JSON.";
    texts "security_agents" "agents, each as JSON.";
};

pub(crate) const REGISTERED_DEVICE: &[Field] = changes! {
    text "compkey" "id of the machine.";
    text "device_name" "name of the machine.";
    text "os" "operating system.";
    text "os_version" "its version.";
    text "os_family" "its family.";
};

pub(crate) const TOKEN: &[Field] = changes! {
    text "token_id" "id, `DH...`.";
    text "serial" "serial number.";
    word "type" "`h6`, `h8`, `yk`, `d1`, `t6`, `t8`.";
    proses "users" "users, each as JSON.";
    proses "admins" "administrators, each as JSON.";
};

pub(crate) const WEBAUTHN_CREDENTIAL: &[Field] = changes! {
    text "webauthnkey" "id, `WA...`.";
    label "credential_name" "label.";
    text "label" "`Security Key`, `Touch ID`, ...";
    s64 "date_added" "when it was enrolled, seconds since the Unix epoch.";
    json "user" "its user.";
    json "admin" "its administrator.";
};

pub(crate) const GROUP: &[Field] = changes! {
    text "group_id" "id, `DG...`.";
    text "name" "name.";
    prose "desc" "description.";
    word "status" "`active`, `bypass`, `disabled`.";
};

pub(crate) const BYPASS_CODE: &[Field] = changes! {
    text "bypass_code_id" "id; the code itself is known to nobody.";
    text "admin_email" "who made it.";
    s64 "created" "when, seconds since the Unix epoch.";
    s64 "expiration" "until when it is valid, seconds since the Unix epoch; null: for ever.";
    s64 "reuse_count" "how often it may be used; null or 0: without limit.";
    json "user" "its user.";
};

pub(crate) const ADMIN_ACCOUNT: &[Field] = changes! {
    text "admin_id" "id, `DE...`.";
    text "name" "full name.";
    text "email" "e-mail address.";
    phone "phone" "number, as a pseudonym: personal.";
    word "role" "`owner`, `administrator`, `help_desk`, ...";
    word "status" "`active`, `disabled`, `expired`, `pending_activation`.";
    s64 "created" "when, seconds since the Unix epoch.";
    s64 "last_login" "when they logged in last, seconds since the Unix epoch.";
    boolean "restricted_by_admin_units" "whether they see parts of the account only.";
    boolean "password_change_required" "whether they have to change it.";
    json "hardtoken" "hardware token.";
};

pub(crate) const INTEGRATION: &[Field] = changes! {
    text "integration_key" "id, `DI...`.";
    text "name" "name.";
    text "type" "sort of application.";
    text "policy_key" "policy of its own, `PO...`.";
    text "enroll_policy" "what becomes of users who are not enrolled.";
    texts "groups_allowed" "groups that may log in; none: all.";
    text "networks_for_api_access" "addresses that may use the Admin API with it.";
    word "user_access" "who may use it.";
    s64 "adminapi_admins" "1: it may manage administrators.";
    s64 "adminapi_info" "1: it may read counts.";
    s64 "adminapi_integrations" "1: it may manage applications.";
    s64 "adminapi_read_log" "1: it may read logs.";
    s64 "adminapi_read_resource" "1: it may read users and devices.";
    s64 "adminapi_settings" "1: it may change settings.";
    s64 "adminapi_write_resource" "1: it may change users and devices.";
};

pub(crate) const POLICY: &[Field] = changes! {
    text "policy_key" "id, `PO...`.";
    text "policy_name" "name.";
    boolean "is_global_policy" "whether it holds where no other does.";
    json "sections" "what it says, by section.";
};

pub(crate) const SETTINGS: &[Field] = changes! {
    text "helpdesk_bypass" "whether the help desk may let users pass.";
    s64 "helpdesk_bypass_expiration" "for how long, minutes.";
    boolean "helpdesk_can_send_enroll_email" "whether the help desk may invite users.";
    s64 "lockout_threshold" "failures until a user is locked out.";
    s64 "lockout_expire_duration" "for how long, minutes.";
    s64 "inactive_user_expiration" "days until idle users are deleted.";
    boolean "fraud_email_enabled" "whether somebody hears of reported fraud.";
    text "fraud_email" "who.";
    s64 "log_retention_days" "how long Duo keeps logs; 0: as long as it can.";
    boolean "push_enabled" "whether push is allowed.";
    boolean "sms_enabled" "whether texts are allowed.";
    boolean "voice_enabled" "whether calls are allowed.";
    boolean "mobile_otp_enabled" "whether codes of Duo Mobile are allowed.";
};

pub(crate) const SUMMARY: &[Field] = changes! {
    s64 "admin_count" "administrators.";
    s64 "integration_count" "applications.";
    s64 "user_count" "users.";
    s64 "user_pending_deletion_count" "users to be deleted.";
    s64 "telephony_credits_remaining" "telephony credits left.";
};
