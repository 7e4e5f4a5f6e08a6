//! rules-authentication.
