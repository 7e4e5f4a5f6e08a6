//! picket-macros.
