//! One value of the JSON, and what it is as each type. The table is in the crate's documentation.

use std::borrow::Cow;

use picket_contract::NULL;

/// A value as it stands in the JSON; texts by code in the page's dictionary, as received.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cell {
    Null,
    Text(u32),
    /// An object's JSON text.
    Object(u32),
    /// An array: its JSON text ([`NULL`] where nobody wants it) and its elements, a range of the page's list codes.
    Array {
        json: u32,
        start: u32,
        end: u32,
    },
    Whole(i64),
    /// Beyond i64.
    Large(u64),
    Float(f64),
    Bool(bool),
}

impl Cell {
    pub(crate) fn is_scalar(self) -> bool {
        !matches!(self, Cell::Object(_) | Cell::Array { .. })
    }

    /// A number or bool as canonical text. None: it is a text already, or null.
    pub(crate) fn canonical(self) -> Option<Cow<'static, str>> {
        match self {
            Cell::Whole(number) => Some(number.to_string().into()),
            Cell::Large(number) => Some(number.to_string().into()),
            Cell::Float(number) => Some(float_text(number).into()),
            Cell::Bool(value) => Some(if value { "true" } else { "false" }.into()),
            Cell::Null | Cell::Text(_) | Cell::Object(_) | Cell::Array { .. } => None,
        }
    }

    /// The code of text that stands there as it is. [`NULL`]: there is none.
    pub(crate) fn code(self) -> u32 {
        match self {
            Cell::Text(code) | Cell::Object(code) | Cell::Array { json: code, .. } => code,
            _ => NULL,
        }
    }

    pub(crate) fn whole(self, text: Option<&str>) -> Option<i64> {
        match self {
            Cell::Whole(number) => Some(number),
            Cell::Float(number) => float_whole(number),
            Cell::Bool(value) => Some(i64::from(value)),
            Cell::Text(_) => {
                let text = text?.trim();
                text.parse().ok().or_else(|| float_whole(text.parse().ok()?))
            }
            Cell::Null | Cell::Large(_) | Cell::Object(_) | Cell::Array { .. } => None,
        }
    }

    pub(crate) fn float(self, text: Option<&str>) -> Option<f64> {
        match self {
            Cell::Whole(number) => Some(number as f64),
            Cell::Large(number) => Some(number as f64),
            Cell::Float(number) => Some(number),
            Cell::Bool(value) => Some(f64::from(u8::from(value))),
            Cell::Text(_) => text?.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Cell::Null | Cell::Object(_) | Cell::Array { .. } => None,
        }
    }

    pub(crate) fn boolean(self, text: Option<&str>) -> Option<bool> {
        match self {
            Cell::Bool(value) => Some(value),
            Cell::Whole(0) => Some(false),
            Cell::Whole(1) => Some(true),
            Cell::Float(0.0) => Some(false),
            Cell::Float(1.0) => Some(true),
            Cell::Text(_) => {
                let text = text?.trim();
                if text.eq_ignore_ascii_case("true") {
                    Some(true)
                } else {
                    text.eq_ignore_ascii_case("false").then_some(false)
                }
            }
            _ => None,
        }
    }
}

/// Whole numbers without point up to 2^53, beyond which a float no longer says which whole number it is.
fn float_text(number: f64) -> String {
    match float_whole(number) {
        Some(whole) if whole.unsigned_abs() <= 1 << 53 => whole.to_string(),
        _ => number.to_string(),
    }
}

fn float_whole(number: f64) -> Option<i64> {
    let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    (number.fract() == 0.0 && in_range).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_as_numbers_and_bools() {
        let text = Cell::Text(0);
        for (received, whole, float, boolean) in [
            ("42", Some(42), Some(42.0), None),
            (" 42 ", Some(42), Some(42.0), None),
            ("42.0", Some(42), Some(42.0), None),
            ("42.5", None, Some(42.5), None),
            ("-7", Some(-7), Some(-7.0), None),
            ("true", None, None, Some(true)),
            ("False", None, None, Some(false)),
            ("yes", None, None, None),
            ("inf", None, None, None),
            ("9223372036854775808", None, Some(9_223_372_036_854_775_808.0), None),
            ("", None, None, None),
        ] {
            assert_eq!(text.whole(Some(received)), whole, "{received}");
            assert_eq!(text.float(Some(received)), float, "{received}");
            assert_eq!(text.boolean(Some(received)), boolean, "{received}");
        }
    }

    #[test]
    fn numbers_and_bools_as_everything() {
        for (cell, canonical, whole, float, boolean) in [
            (Cell::Whole(1), "1", Some(1), Some(1.0), Some(true)),
            (Cell::Whole(2), "2", Some(2), Some(2.0), None),
            (Cell::Float(0.0), "0", Some(0), Some(0.0), Some(false)),
            (Cell::Float(-2.0), "-2", Some(-2), Some(-2.0), None),
            (Cell::Float(1.5), "1.5", None, Some(1.5), None),
            (
                Cell::Large(u64::MAX),
                "18446744073709551615",
                None,
                Some(18_446_744_073_709_551_615.0),
                None,
            ),
            (Cell::Bool(true), "true", Some(1), Some(1.0), Some(true)),
        ] {
            assert_eq!(cell.canonical().as_deref(), Some(canonical));
            assert_eq!(
                (cell.whole(None), cell.float(None), cell.boolean(None)),
                (whole, float, boolean),
                "{canonical}"
            );
        }
    }
}
