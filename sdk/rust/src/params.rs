//! Parameters: from what the host says is in force to the author's types.

use crate::define::ParamDef;
use crate::host::{self, Value};
use crate::time::Span;

/// A type that a parameter can have.
#[diagnostic::on_unimplemented(
    message = "a parameter cannot be a `{Self}`",
    note = "use usize, u64, u32, i64, i32, f64, bool, Span, String or Vec<String>"
)]
pub trait Param: Sized {
    /// In the manifest.
    const KIND: &'static str;
    /// None: the host's value is of another type or out of the type's range.
    fn from_value(value: Value) -> Option<Self>;
}

/// The value in force.
///
/// # Errors
/// The host does not have it as the manifest says.
pub fn load<T: Param>(def: &ParamDef) -> Result<T, String> {
    let value = host::with(|host| host.param(def.name));
    value
        .and_then(T::from_value)
        .ok_or_else(|| format!("the host has no {} `{}`", def.kind, def.name))
}

macro_rules! integers {
    ($($kind:ty),*) => {
        $(impl Param for $kind {
            const KIND: &'static str = "integer";
            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Integer(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        })*
    };
}

integers!(usize, u64, u32, i64, i32);

impl Param for Span {
    const KIND: &'static str = "duration";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Integer(ms) => Some(Span::from_ms(ms)),
            _ => None,
        }
    }
}

impl Param for f64 {
    const KIND: &'static str = "number";
    #[allow(clippy::cast_precision_loss, reason = "an operator may write 3 for 3.0")]
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(number),
            Value::Integer(number) => Some(number as f64),
            _ => None,
        }
    }
}

impl Param for bool {
    const KIND: &'static str = "boolean";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Boolean(flag) => Some(flag),
            _ => None,
        }
    }
}

impl Param for String {
    const KIND: &'static str = "text";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Param for Vec<String> {
    const KIND: &'static str = "texts";
    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Texts(texts) => Some(texts),
            _ => None,
        }
    }
}
