//! A Duo Admin API to test against: a real HTTPS server that signs, pages, delays and fails as Duo does, over a
//! believable company made from a seed.
#![forbid(unsafe_code)]

pub mod company;
pub mod model;
