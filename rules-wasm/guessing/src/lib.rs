//! Stock rules about passwords and users that somebody tries out.

mod auth_failure_spray;

picket::module!(auth_failure_spray::sprayed);
