//! picket-catalogue.
