//! A Duo Admin API to test against: a real HTTPS server that signs, pages, delays and fails as Duo does, over a
//! believable company made from a seed.
//!
//! ```text
//! cargo run -p duo-simulator -- --port 0 --ca-out ca.pem --seed 7 --accounts acme,globex --speed 720 --hold
//! ```
//!
//! prints one JSON line with its URL, the accounts' keys and where to control it, and serves until SIGTERM. `README.md`
//! beside this crate says what it serves and how it is told to misbehave.
//!
//! Tests start it in their own process with [`server::Simulator::start`] over accounts of their own making or from
//! [`company::generate`]. The parts know little of each other: [`company`] makes [`model::Account`]s and knows no HTTP;
//! [`server`] serves them and knows no company; neither knows a detection rule.
//!
//! # Two clocks
//!
//! What Duo would call "now" is the **simulated** time: it decides which rows have appeared and it is what the `Date`
//! header shows, so a client that takes Duo's clock for its windows follows it at any speed. A request's own date is
//! good if it is near either the simulated time or the wall's, since clients sign by the one or by the other. The rate
//! limit counts minutes of the wall.
#![forbid(unsafe_code)]

pub mod clock;
pub mod company;
pub mod inventory;
pub mod json;
pub mod model;
pub mod server;
pub mod signature;
pub mod write;
