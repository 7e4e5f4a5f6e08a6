//! picket-sink.
