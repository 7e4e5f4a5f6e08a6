//! A module and what must come of it.

use std::time::Duration;

/// One module of the corpus.
#[derive(Debug, Clone)]
pub struct Case {
    /// 1 to 15, as in the list of what an embedder of WebAssembly has to expect.
    pub group: u8,
    /// Unique, kebab-case.
    pub name: String,
    /// The file.
    pub bytes: Vec<u8>,
    /// What must come of it.
    pub verdict: Verdict,
    /// The longest that its verdict may take, on a slow and busy machine.
    pub within: Duration,
    /// The most resident memory that finding its verdict may add, bytes.
    pub memory: u64,
}

/// What must come of a module. Codes are those that `picket rule list` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not admitted, for this reason.
    Refused(&'static str),
    /// Not admitted because it fails while it is brought up or describes itself; the failure has this code.
    FailsToDescribe(&'static str),
    /// Admitted, and every call of it fails with this code.
    Fails(&'static str),
    /// Admitted, and every call of it succeeds: what it tries comes to nothing.
    Harmless,
}

impl Case {
    /// A module of a group.
    #[must_use]
    pub fn new(group: u8, name: impl Into<String>, bytes: Vec<u8>, verdict: Verdict) -> Self {
        Case {
            group,
            name: name.into(),
            bytes,
            verdict,
            within: Duration::from_secs(10),
            memory: 128 << 20,
        }
    }

    /// With another bound on memory, bytes.
    #[must_use]
    pub fn memory(self, memory: u64) -> Self {
        Case { memory, ..self }
    }
}
