//! picket-collect.
