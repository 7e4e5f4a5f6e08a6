//! What can be told from the bytes alone, before anything is compiled: is it a component of the contract's version, does it
//! import only what a rule may have, and is it small and plain enough that compiling it is safe.
//!
//! # In which order, and why
//!
//! 1. Size of the file, magic, component or core module.
//! 2. [`census`]: one pass over the file that counts, and stops at the first number above its limit. It keeps nothing but
//!    numbers and the names of the component's imports and exports.
//! 3. [`shape`]: what a component may be made of. Components inside components, calls of a component into itself and text
//!    encodings other than UTF-8 are refused; that file says why.
//! 4. The world: one export, `picket:rule/detection` of a version that this host speaks, read from its name; imports of
//!    `picket:rule/*` and nothing else. This comes before validation, so that a module for a later contract hears that,
//!    whatever else that contract allows.
//! 5. [`features`]: wasmparser's validator with exactly the proposals that the engine has on. What needs another one is
//!    refused by that proposal's name.
//! 6. The functions of each imported interface, one by one, against those that this host has.
//!
//! # Bounds
//!
//! Whatever the bytes are, admission takes time and memory in proportion to their number at worst, and their number is
//! limited. Nothing recurses but wasmparser's reader of component types, to a depth that is bounded before it begins. The
//! census reads a section's items only after its size and count were found small, and the validator, which
//! keeps every type, and works once for each parameter, result and branch target, sees a module only when all of those
//! were counted. `tests/admission_any_bytes.rs` tries it on mutated modules and on the worst that fits the limits.

mod census;
mod features;
mod shape;

use wasmparser::{BinaryReaderError, Parser};

use census::Census;
pub use census::Size;
use shape::Shape;

use crate::limits::Limits;
use crate::{Rejected, text};

/// The version of the contract that this host speaks.
pub(crate) const VERSION: &str = "1.2.0";
const MAJOR: &str = "1";
const EXPORT: &str = "picket:rule/detection";
const MAGIC: &[u8] = b"\0asm";

/// The functions of the contract, by interface. `types` has none, but bindings name it.
const INTERFACES: &[(&str, &[&str])] = &[
    (
        "state",
        &[
            "get",
            "get-many",
            "put",
            "delete",
            "scan",
            "get-entry",
            "get-entries",
            "put-entry",
            "get-room",
            "put-entries",
        ],
    ),
    ("timers", &["set", "cancel", "next", "first"]),
    ("lookup", &["find"]),
    ("params", &["get"]),
    ("log", &["write"]),
    ("types", &[]),
];

/// What the bytes said.
#[derive(Debug)]
pub(crate) struct Inspected {
    /// The full name of the export, such as `picket:rule/detection@1.0.0`.
    pub(crate) export: String,
    /// Everything that was counted.
    pub(crate) sizes: Vec<Size>,
}

/// Reads the structure of a module and checks it against the limits.
pub(crate) fn inspect(bytes: &[u8], limits: &Limits) -> Result<Inspected, Rejected> {
    if bytes.is_empty() {
        return Err(Rejected::Empty);
    }
    let mut census = Census::new(limits, bytes);
    census.file()?;
    if !bytes.starts_with(MAGIC) {
        return Err(Rejected::NotWasm {
            start: text::start_of(bytes),
        });
    }
    if Parser::is_core_wasm(bytes) {
        return Err(Rejected::CoreModule);
    }
    let mut shape = Shape::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        census.count(&payload)?;
        shape.look(&payload)?;
    }
    let export = shape.world()?;
    let types = features::validate(bytes)?;
    shape.functions(&types)?;
    Ok(Inspected {
        export,
        sizes: census.sizes(),
    })
}

/// WebAssembly that does not parse or validate, in the reader's words.
fn invalid(error: BinaryReaderError) -> Rejected {
    Rejected::Invalid {
        detail: text::clean(&format!("{} at byte {}", error.message(), error.offset()), 300),
    }
}
