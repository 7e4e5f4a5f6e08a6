//! The sandbox: loads rule components and calls them under limits.
//!
//! A rule is somebody else's code. It may be hostile, it is more often merely wrong, and neither may cost more than the call
//! it happened in. So this crate gives a rule nothing but what [`picket_contract`] names: columns in, alerts out, and five
//! host services that work on what the caller lent for the call. Nothing here opens a socket, reads events, or knows of Duo;
//! a call is a pure function of (rule, batch, state view) to (alerts, state changes, usage).
//!
//! - [`Engine::load`] admits a module: size and structure before anything is compiled ([`Limits`]), then the imports, then
//!   its manifest. What is refused says why and what would be right ([`Rejected`]).
//! - [`Module`] implements [`picket_contract::Evaluate`]: **a fresh instance for each call**, from a pool, with a flat fuel
//!   budget. Fuel, not time, is the limit: equal calls cost equal fuel on every machine, so a replay fails where the
//!   original failed. Host work is charged to the same budget.
//! - A call that fails leaves nothing behind: its instance is dropped and its changes were kept apart.
//!
//! - The daemon's engine cannot compile: a process of its own does, within limits and without access to anything
//!   ([`Compile::Child`]).
//!
//! What it does not do: decide what a failure means (the judge halves the call and finds the poison row), or keep state.
#![deny(unsafe_code)]

mod admission;
mod answer;
mod artifact;
mod compile;
mod engine;
mod failure;
mod imports;
mod limits;
mod manifest;
mod module;
mod peak;
mod rejected;
mod services;
mod slots;
mod source_line;
mod text;
mod wire;

pub use admission::Size;
pub use artifact::CacheError;
pub use compile::{COMPILE_VERB, Compile, CompileLimits, Walls, compile_child};
#[doc(hidden)]
pub use engine::config;
pub use engine::{Engine, EngineError, Host};
pub use limits::{AlertLimits, CallLimits, Limits, LogLimits, StaticLimits};
pub use module::Module;
pub use peak::Highest;
pub use rejected::{CompileLimit, Rejected};
pub use slots::InFlight;
