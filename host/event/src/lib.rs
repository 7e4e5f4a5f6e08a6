//! picket-event.
