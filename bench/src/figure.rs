//! What is printed.

use serde_json::json;

/// Prints figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// One JSON object a line; otherwise for people.
    pub(crate) ndjson: bool,
}

impl Printer {
    /// One figure. Names once printed stay.
    pub(crate) fn print(&self, name: &str, unit: &str, value: f64) {
        // More digits than a run repeats would only pretend.
        let value = if value >= 1000.0 {
            value.round()
        } else {
            (value * 100.0).round() / 100.0
        };
        if self.ndjson {
            println!("{}", json!({"name": name, "unit": unit, "value": value}));
        } else {
            println!("{name:<40} {value:>12} {unit}");
        }
    }
}
