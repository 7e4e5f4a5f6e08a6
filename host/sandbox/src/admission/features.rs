//! The proposals of WebAssembly that a rule may use, and the words for those that it may not.
//!
//! Everything that compiled Rust does not need is off: each proposal is code of the engine that a hostile module could
//! reach, and most flaws of engines lie in the newest of it. Of wasmtime's advisories of 2026 several need memory64 or SIMD
//! to be on, and four need the component model's asynchronous part.

use wasmparser::types::Types;
use wasmparser::{Validator, WasmFeatures};

use super::invalid;
use crate::Rejected;

/// What is on. The engine's configuration says the same to wasmtime (`engine.rs`); wasmtime validates once more.
const ALLOWED: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::COMPONENT_MODEL);

/// What is off: the proposal, its name, and what it is in a rule's file.
const REFUSED: &[(WasmFeatures, &str, &str)] = &[
    (
        WasmFeatures::MEMORY64,
        "memory64",
        "64-bit memories or tables; build for wasm32",
    ),
    (
        WasmFeatures::THREADS,
        "threads",
        "shared memory or atomic instructions; build without the target feature `atomics`",
    ),
    (
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        "threads",
        "shared functions, tables or globals; build without threads",
    ),
    (
        WasmFeatures::SIMD,
        "simd",
        "vector instructions; build without the target feature `simd128`",
    ),
    (
        WasmFeatures::RELAXED_SIMD,
        "relaxed-simd",
        "vector instructions whose results differ by machine; build without `relaxed-simd`",
    ),
    (
        WasmFeatures::TAIL_CALL,
        "tail-call",
        "tail calls; build without the target feature `tail-call`",
    ),
    (
        WasmFeatures::EXCEPTIONS,
        "exceptions",
        "exception handling; build with panic = \"abort\"",
    ),
    (
        WasmFeatures::LEGACY_EXCEPTIONS,
        "exceptions",
        "exception handling; build with panic = \"abort\"",
    ),
    (
        WasmFeatures::MULTI_MEMORY,
        "multi-memory",
        "several memories in one module; a rule has one",
    ),
    (
        WasmFeatures::FUNCTION_REFERENCES,
        "function-references",
        "typed function references; build without them",
    ),
    (
        WasmFeatures::GC,
        "gc",
        "garbage-collected types; compile to linear memory",
    ),
    (
        WasmFeatures::GC_TYPES,
        "gc",
        "references to host objects (externref); compile to linear memory",
    ),
    (
        WasmFeatures::CUSTOM_DESCRIPTORS,
        "gc",
        "custom descriptors; compile to linear memory",
    ),
    (
        WasmFeatures::STACK_SWITCHING,
        "stack-switching",
        "stack switching; build without it",
    ),
    (
        WasmFeatures::CUSTOM_PAGE_SIZES,
        "custom-page-sizes",
        "memories of another page size than 64 KiB; build with the usual one",
    ),
    (
        WasmFeatures::MEMORY_CONTROL,
        "memory-control",
        "memory.discard; build without it",
    ),
    (
        WasmFeatures::WIDE_ARITHMETIC,
        "wide-arithmetic",
        "128-bit arithmetic; build without the target feature `wide-arithmetic`",
    ),
    (
        WasmFeatures::COMPACT_IMPORTS,
        "compact-imports",
        "compact import sections; build without them",
    ),
    (
        WasmFeatures::CM_ASYNC,
        "component-async",
        "asynchronous functions, streams or futures; picket:rule is synchronous",
    ),
    (
        WasmFeatures::CM_ASYNC_STACKFUL,
        "component-async",
        "asynchronous functions, streams or futures; picket:rule is synchronous",
    ),
    (
        WasmFeatures::CM_MORE_ASYNC_BUILTINS,
        "component-async",
        "asynchronous functions, streams or futures; picket:rule is synchronous",
    ),
    (
        WasmFeatures::CM_THREADING,
        "component-threads",
        "threads of the component model; a rule has one thread",
    ),
    (
        WasmFeatures::CM_VALUES,
        "component-values",
        "values or a start function of the component itself; a rule does its work in evaluate",
    ),
    (
        WasmFeatures::CM_ERROR_CONTEXT,
        "component-error-context",
        "error contexts; picket:rule has no use for them",
    ),
    (
        WasmFeatures::CM_FIXED_LENGTH_LISTS,
        "component-fixed-length-lists",
        "lists of fixed length; picket:rule has none",
    ),
    (WasmFeatures::CM_MAP, "component-map", "maps; picket:rule has none"),
    (
        WasmFeatures::CM_GC,
        "component-gc",
        "garbage-collected values at the boundary; compile to linear memory",
    ),
    (
        WasmFeatures::CM64,
        "component-memory64",
        "a 64-bit boundary; build for wasm32",
    ),
    (
        WasmFeatures::CM_NESTED_NAMES
            .union(WasmFeatures::CM_IMPLEMENTS)
            .union(WasmFeatures::CM_CANON_NAMES),
        "component-names",
        "new forms of names; use an older `wit-component`",
    ),
];

/// A proposal that needs a sentence of its own because it is met elsewhere than in validation.
pub(super) fn refused(name: &'static str) -> Rejected {
    let words = REFUSED.iter().find(|(_, known, _)| *known == name);
    Rejected::Feature {
        feature: name,
        words: words.map_or("build without it", |(_, _, words)| words),
    }
}

/// Validates the whole file with what is on, and says by its name what would have to be on.
pub(super) fn validate(bytes: &[u8]) -> Result<Types, Rejected> {
    Validator::new_with_features(ALLOWED)
        .validate_all(bytes)
        .map_err(|error| {
            let wanted = error.missing_wasm_feature().unwrap_or(WasmFeatures::empty());
            let named = REFUSED.iter().find(|(proposal, _, _)| wanted.intersects(*proposal));
            named.map_or_else(
                || invalid(error),
                |(_, feature, words)| Rejected::Feature { feature, words },
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new version of wasmparser that knows a further proposal must be looked at here.
    #[test]
    fn every_proposal_is_either_on_or_refused_by_name() {
        let refused = REFUSED
            .iter()
            .fold(WasmFeatures::empty(), |all, (proposal, _, _)| all | *proposal);
        assert_eq!(ALLOWED & refused, WasmFeatures::empty());
        assert_eq!(
            ALLOWED | refused,
            WasmFeatures::all(),
            "{:?}",
            WasmFeatures::all() - ALLOWED - refused
        );
    }
}
