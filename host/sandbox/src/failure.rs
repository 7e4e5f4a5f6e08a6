//! What went wrong in a call, in the contract's kinds and in words for the rule's author.

use picket_contract::{Failure, FailureKind, Usage};
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::limits::Limits;
use crate::text;

/// Longest message, bytes: a panic's text and the function it came from.
const MESSAGE: usize = 1500;

/// A guest wanted more memory or table than its cap. Growing fails by a trap, since what a guest does with a failed
/// allocation is its own affair, and this must be told apart.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("wanted {wanted} {unit}, at most {most} allowed")]
pub(crate) struct OverCap {
    pub(crate) wanted: usize,
    pub(crate) most: usize,
    pub(crate) unit: &'static str,
}

/// A failed call. `said` is what the guest logged last as an error: the SDK passes a panic's text that way.
pub(crate) fn failure(error: &Error, said: Option<&str>, usage: Usage, limits: &Limits) -> Failure {
    let kind = kind(error);
    let mut message = match kind {
        FailureKind::OutOfFuel => format!(
            "spent its budget of {} fuel: an endless loop, or too much for one call",
            limits.fuel
        ),
        FailureKind::StackOverflow => format!("recursed past {} bytes of stack", limits.stack_bytes),
        FailureKind::Trap => match said {
            Some(said) => said.to_owned(),
            None => error
                .downcast_ref::<Trap>()
                .map_or_else(|| root(error), |trap| trap.to_string()),
        },
        _ => root(error),
    };
    if let Some(function) = culprit(error) {
        message.push_str(" (in ");
        message.push_str(&function);
        message.push(')');
    }
    Failure {
        kind,
        message: text::clean(&message, MESSAGE),
        usage,
    }
}

/// The contract's kind of an error of the engine.
pub(crate) fn kind(error: &Error) -> FailureKind {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return kind_of_trap(*trap);
    }
    if error.is::<OverCap>() {
        return FailureKind::OutOfMemory;
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return FailureKind::Host;
    }
    // What is left is what the host says of the guest's side of a call: lists outside its memory, text that is not UTF-8,
    // more bytes than may be handed over, an enum value that does not exist, a service used in describe.
    FailureKind::Malformed
}

fn kind_of_trap(trap: Trap) -> FailureKind {
    match trap {
        Trap::OutOfFuel => FailureKind::OutOfFuel,
        Trap::StackOverflow => FailureKind::StackOverflow,
        Trap::AllocationTooLarge => FailureKind::OutOfMemory,
        Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer
        | Trap::InvalidChar => FailureKind::Malformed,
        _ => FailureKind::Trap,
    }
}

/// The engine's own words, without the backtrace that is its outermost context.
fn root(error: &Error) -> String {
    error.root_cause().to_string()
}

/// The innermost function that is not machinery of panicking or allocating, where the module kept its names.
fn culprit(error: &Error) -> Option<String> {
    const MACHINERY: &[&str] = &[
        "panic",
        "rust_begin_unwind",
        "__rust",
        "unwrap_failed",
        "expect_failed",
        "handle_error",
        "abort",
    ];
    let backtrace = error.downcast_ref::<WasmBacktrace>()?;
    if backtrace.frames().iter().all(|frame| frame.func_name().is_none()) {
        return None;
    }
    // Displaying demangles, which the frames' own names do not.
    let shown = backtrace.to_string();
    let functions = shown
        .lines()
        .filter_map(|line| line.split_once(" - ")?.1.split_once('!'))
        .map(|(_, name)| name.trim());
    let mut named = functions.filter(|name| !name.starts_with("<wasm function"));
    let name = named.find(|name| !MACHINERY.iter().any(|machinery| name.contains(machinery)))?;
    Some(text::clean(name, 160))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new version of wasmtime that adds a trap must be looked at here.
    #[test]
    fn every_trap_of_the_engine_has_a_kind() {
        let traps: Vec<Trap> = (0..=u8::MAX).filter_map(Trap::from_u8).collect();
        let of = |kind| traps.iter().filter(|trap| kind_of_trap(**trap) == kind).count();
        assert_eq!(of(FailureKind::OutOfFuel), 1);
        assert_eq!(of(FailureKind::StackOverflow), 1);
        assert_eq!(of(FailureKind::OutOfMemory), 1);
        assert_eq!(of(FailureKind::Trap), traps.len() - 8);
        assert_eq!(
            traps.len(),
            TRAPS,
            "wasmtime has other traps than when this was written"
        );
    }

    const TRAPS: usize = 50;
}
