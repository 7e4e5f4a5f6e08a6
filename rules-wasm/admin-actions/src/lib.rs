//! Stock rules about what administrators do to users.

mod user_deleted;

picket::module!(user_deleted::deleted);
