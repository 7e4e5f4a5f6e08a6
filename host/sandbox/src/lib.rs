//! picket-sandbox.
