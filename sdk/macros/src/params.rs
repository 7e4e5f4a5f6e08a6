//! `#[derive(Params)]`: what the operator may set, with its default and range in the manifest.

use proc_macro2::TokenStream;
use quote::quote;
use serde_json::Value;
use syn::{Data, DeriveInput, Expr, Fields, Lit, RangeLimits, Type, UnOp};

use crate::parse;

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(
            &input.ident,
            "a rule's parameters are a struct",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new_spanned(&input.ident, "parameters have names"));
    };
    let mut params = Vec::new();
    let mut loaded = Vec::new();
    for (index, field) in fields.named.iter().enumerate() {
        let Some(ident) = &field.ident else { continue };
        let (mut default, mut min, mut max) = (None, None, None);
        for setting in parse::settings(&field.attrs, "param")? {
            match setting.name.to_string().as_str() {
                "default" => default = Some(value(&setting.value, &field.ty)?),
                "range" => (min, max) = range(&setting.value, &field.ty)?,
                _ => return Err(parse::unknown(&setting, "default, range")),
            }
        }
        let Some(default) = default else {
            let message = format!("say what `{ident}` is where the operator says nothing: #[param(default = ...)]");
            return Err(syn::Error::new(ident.span(), message));
        };
        let below = min.as_ref().is_some_and(|min| less(&default, min));
        let above = max.as_ref().is_some_and(|max| less(max, &default));
        if below || above {
            return Err(syn::Error::new(
                ident.span(),
                format!("the default of `{ident}` is outside its range"),
            ));
        }
        let (name, kind) = (ident.to_string(), &field.ty);
        let doc = parse::doc_lines(&field.attrs).join(" ").trim().to_owned();
        if doc.is_empty() {
            let message = format!("say in a comment what `{ident}` is for: the operator reads it");
            return Err(syn::Error::new(ident.span(), message));
        }
        let (min, max) = (optional(min), optional(max));
        let default = default.to_string();
        params.push(quote! {
            ::picket::__private::ParamDef {
                name: #name,
                doc: #doc,
                kind: <#kind as ::picket::__private::Param>::KIND,
                default: #default,
                min: #min,
                max: #max,
            }
        });
        loaded.push(quote! { #ident: ::picket::__private::load(&Self::DEFS[#index])? });
    }
    let ident = &input.ident;
    let names = fields.named.iter().map(|field| &field.ident);
    Ok(quote! {
        impl ::picket::__private::Params for #ident {
            const DEFS: &'static [::picket::__private::ParamDef] = &[#(#params),*];
            #[allow(clippy::indexing_slicing, reason = "each index is of the constant above")]
            fn load() -> Result<Self, String> {
                let loaded = #ident { #(#loaded),* };
                // A parameter may be there for a condition only, which the compiler does not see.
                #(let _ = &loaded.#names;)*
                Ok(loaded)
            }
        }
    })
}

fn optional(value: Option<Value>) -> TokenStream {
    match value.map(|value| value.to_string()) {
        Some(json) => quote!(Some(#json)),
        None => quote!(None),
    }
}

/// A literal as the JSON of the manifest, checked against the field's type.
fn value(value: &Expr, kind: &Type) -> syn::Result<Value> {
    let json = json(value)?;
    let name = type_name(kind);
    let fits = match name.as_str() {
        "Span" => json.as_str().and_then(parse::span_ms).is_some(),
        "String" => json.is_string(),
        "bool" => json.is_boolean(),
        "f64" => json.is_number(),
        "Vec" => json.is_array(),
        "usize" | "u64" | "u32" => json.is_u64(),
        _ => json.is_i64() || json.is_u64(),
    };
    if fits {
        return Ok(json);
    }
    let wanted = match name.as_str() {
        "Span" => "a span of time in quotes, such as \"30m\"",
        "String" => "a text in quotes",
        "bool" => "true or false",
        "f64" => "a number",
        "Vec" => "a list of texts, such as [\"a\", \"b\"]",
        "usize" | "u64" | "u32" => "a whole number that is not negative",
        "i64" | "i32" => "a whole number",
        _ => "of a type that parameters can have: whole numbers, f64, bool, Span, String, Vec<String>",
    };
    Err(syn::Error::new_spanned(
        value,
        format!("a value of type `{name}` must be {wanted}"),
    ))
}

fn json(value: &Expr) -> syn::Result<Value> {
    if let Expr::Array(_) = value {
        return Ok(parse::texts(value)?
            .iter()
            .map(|text| Value::from(text.value()))
            .collect());
    }
    if let Expr::Unary(unary) = value
        && matches!(unary.op, UnOp::Neg(_))
    {
        return match json(&unary.expr)? {
            Value::Number(number) if number.is_f64() => Ok(Value::from(-number.as_f64().unwrap_or_default())),
            Value::Number(number) => Ok(Value::from(-number.as_i64().unwrap_or_default())),
            _ => Err(syn::Error::new_spanned(value, "expected a number")),
        };
    }
    match parse::literal(value) {
        Some(Lit::Str(text)) => Ok(Value::from(text.value())),
        Some(Lit::Bool(flag)) => Ok(Value::from(flag.value)),
        Some(Lit::Int(number)) => Ok(Value::from(number.base10_parse::<i64>()?)),
        Some(Lit::Float(number)) => Ok(Value::from(number.base10_parse::<f64>()?)),
        _ => Err(syn::Error::new_spanned(
            value,
            "expected a literal: a number, true or false, a text, a list of texts",
        )),
    }
}

type Bounds = (Option<Value>, Option<Value>);

fn range(value_: &Expr, kind: &Type) -> syn::Result<Bounds> {
    let wrong = || syn::Error::new_spanned(value_, "expected a range with its ends included, such as 2..=100");
    let Expr::Range(range) = value_ else {
        return Err(wrong());
    };
    if !matches!(range.limits, RangeLimits::Closed(_)) && range.end.is_some() {
        return Err(wrong());
    }
    if !matches!(
        type_name(kind).as_str(),
        "Span" | "f64" | "usize" | "u64" | "u32" | "i64" | "i32"
    ) {
        return Err(syn::Error::new_spanned(
            value_,
            "only numbers and spans of time have a range",
        ));
    }
    let bound = |bound: &Option<Box<Expr>>| bound.as_ref().map(|bound| value(bound, kind)).transpose();
    let (min, max) = (bound(&range.start)?, bound(&range.end)?);
    if let (Some(min), Some(max)) = (&min, &max)
        && less(max, min)
    {
        return Err(syn::Error::new_spanned(value_, "the range is empty"));
    }
    Ok((min, max))
}

fn less(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::String(left), Value::String(right)) => parse::span_ms(left) < parse::span_ms(right),
        _ => left.as_f64() < right.as_f64(),
    }
}

fn type_name(kind: &Type) -> String {
    match kind {
        Type::Path(path) => path
            .path
            .segments
            .last()
            .map(|segment| segment.ident.to_string())
            .unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let error = |input: DeriveInput| derive(&input).unwrap_err().to_string();
        assert!(error(parse_quote! { struct P { /** x */ a: usize } }).contains("where the operator says nothing"));
        assert!(error(parse_quote! { struct P { #[param(default = 3)] a: usize } }).contains("the operator reads it"));
        assert!(
            error(parse_quote! { struct P { /** x */ #[param(default = 1, range = 2..=5)] a: usize } })
                .contains("outside")
        );
        assert!(
            error(parse_quote! { struct P { /** x */ #[param(default = "1h", range = "2h"..="1d")] a: Span } })
                .contains("outside")
        );
        assert!(
            error(parse_quote! { struct P { /** x */ #[param(default = "soon")] a: Span } }).contains("span of time")
        );
        assert!(error(parse_quote! { struct P { /** x */ #[param(default = -1)] a: usize } }).contains("not negative"));
        assert!(
            error(parse_quote! { struct P { /** x */ #[param(default = 1, range = 0..5)] a: usize } })
                .contains("ends included")
        );
        assert!(error(parse_quote! { struct P { /** x */ #[param(default = "a")] a: PathBuf } }).contains("can have"));
    }

    #[test]
    fn what_is_right_is_kept() {
        let good: DeriveInput = parse_quote! {
            struct P {
                /// How many.
                #[param(default = 3, range = 2..=100)]
                count: usize,
                /// Who.
                #[param(default = ["a", "b"])]
                who: Vec<String>,
                /// Below nothing.
                #[param(default = -1.5, range = -2.0..)]
                depth: f64,
            }
        };
        let code = derive(&good).unwrap().to_string();
        assert!(code.contains("How many."), "{code}");
        assert!(code.contains(r#"[\"a\",\"b\"]"#), "{code}");
        assert!(code.contains("-1.5"), "{code}");
    }
}
