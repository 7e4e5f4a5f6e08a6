//! picket.
