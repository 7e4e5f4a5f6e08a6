//! Stock rules about logins without a second factor, and about the codes that make them possible.

mod bypass_code_created;
mod bypass_code_created_then_used;
mod bypass_code_login;
mod bypass_status_login;

picket::module!(
    bypass_status_login::skipped,
    bypass_code_login::used,
    bypass_code_created::created,
    bypass_code_created_then_used::used
);
