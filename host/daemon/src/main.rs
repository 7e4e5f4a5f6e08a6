//! The `picket` binary.
#![forbid(unsafe_code)]
mod config;
fn main() {
    let _ = config::load(std::path::Path::new(config::DEFAULT_CONFIG));
}
