//! picket-duo.
