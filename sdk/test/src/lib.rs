//! picket-test.
