//! The macros of Picket's SDK; authors meet them through `picket::prelude`.
//!
//! They turn what an author writes anyway (a struct, a function, its comment) into constants that describe the rule to the
//! host, and into the code that reads rows from columns. Whatever can be wrong in that description is a compile error here,
//! at the token that is wrong: a field that the log does not have, a default outside its range, a runbook without its steps.
//! The macros decide nothing at run time.
#![forbid(unsafe_code)]

mod event;
mod params;
mod parse;
mod rule;
mod runbook;
mod state;
mod when;

use proc_macro::TokenStream;
use syn::{DeriveInput, ItemFn, parse_macro_input};

/// Rows of a log: one struct is the permission and the projection; an enum is several kinds of event in one rule.
///
/// `#[event(log = "...", when = <condition>)]` on the struct or on each variant; `#[event(path = "...")]` on a field whose
/// path the catalogue lacks. `&str` is required, `Option<&str>` is not.
#[proc_macro_derive(Event, attributes(event))]
pub fn event(input: TokenStream) -> TokenStream {
    finish(event::derive(&parse_macro_input!(input as DeriveInput)))
}

/// What the operator may set: `#[param(default = ..., range = ...)]` on each field.
#[proc_macro_derive(Params, attributes(param))]
pub fn params(input: TokenStream) -> TokenStream {
    finish(params::derive(&parse_macro_input!(input as DeriveInput)))
}

/// What a rule remembers: `#[state(keep = "...", cap = ...)]` on each field; `#[state(version = ..., look_back = "...")]` on
/// the struct.
#[proc_macro_derive(State, attributes(state))]
pub fn state(input: TokenStream) -> TokenStream {
    finish(state::derive(&parse_macro_input!(input as DeriveInput)))
}

/// A rule: `#[rule(id = "...", severity = "...", attack = [...], dedup = "...", supersedes = [...], tests = "...")]` on a
/// function whose comment is the runbook.
#[proc_macro_attribute]
pub fn rule(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let function = parse_macro_input!(item as ItemFn);
    finish(rule::expand(attributes.into(), &function))
}

fn finish(result: syn::Result<proc_macro2::TokenStream>) -> TokenStream {
    result.unwrap_or_else(|error| error.into_compile_error()).into()
}
