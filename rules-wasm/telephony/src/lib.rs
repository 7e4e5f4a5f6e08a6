//! Stock rules about the texts and calls that Duo sends.

mod telephony_number_burst;
mod telephony_without_auth;

picket::module!(telephony_number_burst::burst, telephony_without_auth::sent);
