//! picket-judge.
