//! picket-e2e.
