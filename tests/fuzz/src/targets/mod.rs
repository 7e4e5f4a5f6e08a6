//! What is fuzzed.

mod calls;
mod columns;
mod events;
mod house;
mod modules;
mod mutants;

/// Something that can be done with any bytes.
pub trait Target {
    /// Does it. The number tells what came of it, in a few bits: inputs with a new one are kept and changed further.
    ///
    /// # Errors
    /// What must not be, in words.
    fn execute(&mut self, input: &[u8]) -> Result<u64, String>;

    /// Inputs to begin with.
    fn seeds(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    /// Most bytes of an input that are of any use.
    fn most(&self) -> usize {
        2048
    }
}

/// Every target.
pub const NAMES: [&str; 5] = ["modules", "mutants", "calls", "columns", "events"];

/// What makes a target of this name.
#[must_use]
pub fn named(name: &str) -> Option<fn() -> Box<dyn Target>> {
    Some(match name {
        "modules" => || Box::new(modules::Modules::new()),
        "mutants" => || Box::new(mutants::Mutants::new()),
        "calls" => || Box::new(calls::Calls::new()),
        "columns" => || Box::new(columns::Columns::new()),
        "events" => || Box::new(events::Events),
        _ => return None,
    })
}
