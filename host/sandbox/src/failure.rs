//! What went wrong in a call, in the contract's kinds and in words for the rule's author.

use picket_contract::{Allowance, Failure, FailureKind, Usage};
use wasmtime::{Error, PoolConcurrencyLimitError, Trap, WasmBacktrace};

use crate::source_line::SourceLines;
use crate::text;

/// Longest message, bytes: a panic's text and the function it came from.
const MESSAGE: usize = 1500;
/// Longest file and line, bytes.
const PLACE: usize = 300;
/// The code of a trap that says nothing, and of one that the SDK's panic hook spoke before.
const UNREACHABLE: &str = "unreachable";
const PANIC: &str = "panic";

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
pub(crate) fn failure(
    error: &Error,
    said: Option<&str>,
    usage: Usage,
    given: Allowance,
    stack_bytes: usize,
    lines: &SourceLines,
) -> Failure {
    let (kind, code) = kind(error);
    let is_panic = code == UNREACHABLE && said.is_some();
    let mut message = match kind {
        FailureKind::OutOfFuel => format!(
            "spent its budget of {} fuel: an endless loop, or too much for one call",
            given.fuel
        ),
        FailureKind::StackOverflow => format!("recursed past {stack_bytes} bytes of stack"),
        FailureKind::Trap => match said {
            Some(said) => said.to_owned(),
            None => error
                .downcast_ref::<Trap>()
                .map_or_else(|| root(error), |trap| trap.to_string()),
        },
        _ => root(error),
    };
    // The hook says where a panic was raised, which is more than the line tables know of code that was inlined.
    let panicked = said.filter(|_| is_panic).and_then(panicked_at).map(Box::from);
    let location = panicked.or_else(|| lines.find(offsets(error)));
    if let Some(function) = culprit(error) {
        message.push_str(" (in ");
        message.push_str(&function);
        message.push(')');
    }
    Failure {
        kind,
        code: if is_panic { PANIC } else { code },
        message: text::clean(&message, MESSAGE),
        location,
        usage,
        given: Some(given),
    }
}

/// File and line in a panic's text: `panicked at src/lib.rs:39:5:` and what was said.
fn panicked_at(said: &str) -> Option<&str> {
    let place = said.strip_prefix("panicked at ")?;
    // A path may hold colons and spaces; line and column are numbers.
    let mut ends = place.match_indices(':').map(|(at, _)| at);
    ends.find_map(|at| {
        let line = place.get(at + 1..)?.split(':').next()?;
        let is_line = !line.is_empty() && line.len() < 8 && line.bytes().all(|byte| byte.is_ascii_digit());
        is_line.then(|| place.get(..at + 1 + line.len())).flatten()
    })
    .filter(|place| place.len() <= PLACE)
}

/// The contract's kind of an error of the engine, and its code.
fn kind(error: &Error) -> (FailureKind, &'static str) {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return kind_of_trap(*trap);
    }
    let kind = if error.is::<OverCap>() {
        FailureKind::OutOfMemory
    } else if error.is::<PoolConcurrencyLimitError>() {
        FailureKind::Host
    } else {
        // What is left is what the host says of the guest's side of a call: lists outside its memory, text that is not
        // UTF-8, more bytes than may be handed over, an enum value that does not exist, a service used in describe.
        FailureKind::Malformed
    };
    (kind, kind.code())
}

/// Codes are for ever: scripts and runbooks name them.
fn kind_of_trap(trap: Trap) -> (FailureKind, &'static str) {
    let trapped = |code| (FailureKind::Trap, code);
    let kind = match trap {
        Trap::OutOfFuel => FailureKind::OutOfFuel,
        Trap::StackOverflow => FailureKind::StackOverflow,
        Trap::AllocationTooLarge => FailureKind::OutOfMemory,
        Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer
        | Trap::InvalidChar => FailureKind::Malformed,
        Trap::UnreachableCodeReached => return trapped(UNREACHABLE),
        Trap::MemoryOutOfBounds => return trapped("out-of-bounds"),
        Trap::TableOutOfBounds => return trapped("table-out-of-bounds"),
        Trap::IndirectCallToNull => return trapped("indirect-call-to-null"),
        Trap::BadSignature => return trapped("indirect-call-type"),
        Trap::IntegerDivisionByZero => return trapped("divide-by-zero"),
        Trap::IntegerOverflow => return trapped("integer-overflow"),
        Trap::BadConversionToInteger => return trapped("float-to-integer"),
        // The rest belong to features that no admitted module may use.
        _ => FailureKind::Trap,
    };
    (kind, kind.code())
}

/// The engine's own words, without the backtrace that is its outermost context.
fn root(error: &Error) -> String {
    error.root_cause().to_string()
}

/// Where in the module's file the guest was, the innermost place first.
fn offsets(error: &Error) -> impl Iterator<Item = usize> {
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let frames = backtrace.map(WasmBacktrace::frames).unwrap_or_default();
    frames.iter().filter_map(wasmtime::FrameInfo::module_offset)
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
        let of = |kind| traps.iter().filter(|trap| kind_of_trap(**trap).0 == kind).count();
        assert_eq!(of(FailureKind::OutOfFuel), 1);
        assert_eq!(of(FailureKind::StackOverflow), 1);
        assert_eq!(of(FailureKind::OutOfMemory), 1);
        assert_eq!(of(FailureKind::Trap), traps.len() - 8);
        assert_eq!(
            traps.len(),
            TRAPS,
            "wasmtime has other traps than when this was written"
        );
        let codes: std::collections::BTreeSet<_> = traps.iter().map(|trap| kind_of_trap(*trap).1).collect();
        let expected = "divide-by-zero float-to-integer indirect-call-to-null indirect-call-type integer-overflow malformed \
                        out-of-bounds out-of-fuel out-of-memory stack-overflow table-out-of-bounds trap unreachable";
        assert_eq!(codes.into_iter().collect::<Vec<_>>().join(" "), expected);
    }

    #[test]
    fn a_panics_place_is_found() {
        assert_eq!(panicked_at("panicked at src/lib.rs:39:5: no"), Some("src/lib.rs:39"));
        assert_eq!(
            panicked_at("panicked at C:/a b/lib.rs:7:5:\nx"),
            Some("C:/a b/lib.rs:7")
        );
        assert_eq!(panicked_at("panicked at nowhere"), None);
        assert_eq!(panicked_at("something else:1:2"), None);
    }

    const TRAPS: usize = 50;
}
