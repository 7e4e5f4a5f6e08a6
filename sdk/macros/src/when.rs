//! The condition of `#[event(when = ...)]`: a Rust expression, turned into the tree that the host evaluates.
//!
//! It looks like Rust and is parsed as Rust, but it is data: `==`, `!=`, `matches!`, `!`, `&&`, `||`, `starts_with`,
//! `ends_with`, `contains`, `is_some`, `is_none`, a boolean field by itself, and `params.x` or `params.x.contains(field)` for
//! values that the operator sets. A comparison with null is false, so its negation is true.

use serde_json::{Value, json};
use syn::parse::{ParseStream, Parser};
use syn::{BinOp, Expr, ExprCall, ExprMethodCall, Lit, Member, Pat, Token, UnOp};

use crate::parse;

/// Finds the path of a field, by its identifier.
pub(crate) trait Fields {
    /// The path of an identifier, checked against the catalogue.
    fn path(&self, identifier: &syn::Ident) -> syn::Result<String>;
    /// Whether values of the path are words in canonical spelling.
    fn is_word(&self, path: &str) -> bool;
}

/// Translates a condition into the JSON of `picket_contract::When`.
pub(crate) fn translate(condition: &Expr, fields: &dyn Fields) -> syn::Result<Value> {
    match condition {
        Expr::Paren(paren) => translate(&paren.expr, fields),
        Expr::Group(group) => translate(&group.expr, fields),
        Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => Ok(not(translate(&unary.expr, fields)?)),
        Expr::Binary(binary) => match binary.op {
            BinOp::And(_) => Ok(joined(
                "all",
                translate(&binary.left, fields)?,
                translate(&binary.right, fields)?,
            )),
            BinOp::Or(_) => Ok(joined(
                "any",
                translate(&binary.left, fields)?,
                translate(&binary.right, fields)?,
            )),
            BinOp::Eq(_) => equal(&binary.left, &binary.right, fields),
            BinOp::Ne(_) => Ok(not(equal(&binary.left, &binary.right, fields)?)),
            _ => Err(unsupported(condition)),
        },
        Expr::Macro(invocation) if invocation.mac.path.is_ident("matches") => {
            let parser = |input: ParseStream<'_>| {
                let field: Expr = input.parse()?;
                input.parse::<Token![,]>()?;
                let pattern = Pat::parse_multi_with_leading_vert(input)?;
                input.parse::<Option<Token![,]>>()?;
                Ok((field, pattern))
            };
            let (field, pattern) = parser.parse2(invocation.mac.tokens.clone())?;
            let path = self::field(&field, fields)?;
            let mut values = Vec::new();
            alternatives(&pattern, &path, fields, &mut values)?;
            Ok(test(&path, "in", values))
        }
        Expr::MethodCall(call) => method(call, fields),
        Expr::Path(_) | Expr::Call(_) => Ok(test(&field(condition, fields)?, "in", vec!["true".to_owned()])),
        _ => Err(unsupported(condition)),
    }
}

/// The parameters that a tree names.
pub(crate) fn params(tree: &Value) -> Vec<String> {
    match tree {
        Value::Object(object) => match object.get("param") {
            Some(name) => name.as_str().map(str::to_owned).into_iter().collect(),
            None => object.values().flat_map(params).collect(),
        },
        Value::Array(branches) => branches.iter().flat_map(params).collect(),
        _ => Vec::new(),
    }
}

fn unsupported(condition: &Expr) -> syn::Error {
    let message = "a condition is made of ==, !=, matches!, !, &&, ||, .starts_with, .ends_with, .contains, .is_some, \
                   .is_none and boolean fields; whatever else is to be asked, ask in the rule";
    syn::Error::new_spanned(condition, message)
}

fn not(tree: Value) -> Value {
    json!({ "not": tree })
}

/// Joins two branches, flattening `a && b && c`.
fn joined(operator: &str, left: Value, right: Value) -> Value {
    let mut branches = Vec::new();
    for tree in [left, right] {
        match tree {
            Value::Object(object) if object.contains_key(operator) => {
                branches.extend(
                    object
                        .into_iter()
                        .filter_map(|(_, inner)| inner.as_array().cloned())
                        .flatten(),
                );
            }
            other => branches.push(other),
        }
    }
    json!({ operator: branches })
}

fn test(path: &str, op: &str, values: Vec<String>) -> Value {
    if values.is_empty() {
        return json!({ "field": path, "op": op });
    }
    json!({ "field": path, "op": op, "values": values })
}

fn equal(left: &Expr, right: &Expr, fields: &dyn Fields) -> syn::Result<Value> {
    // `"fraud" == result` is as good as `result == "fraud"`.
    let (left, right) = if parse::literal(left).is_some() {
        (right, left)
    } else {
        (left, right)
    };
    let path = field(left, fields)?;
    if let Some(name) = param(right) {
        return Ok(json!({ "field": path, "op": "in", "param": name }));
    }
    let Some(value) = parse::literal(right) else {
        return Err(syn::Error::new_spanned(
            right,
            "compare with a literal or with `params.name`",
        ));
    };
    Ok(test(&path, "in", vec![canonical(value, &path, fields)?]))
}

fn alternatives(pattern: &Pat, path: &str, fields: &dyn Fields, values: &mut Vec<String>) -> syn::Result<()> {
    match pattern {
        Pat::Or(or) => or
            .cases
            .iter()
            .try_for_each(|case| alternatives(case, path, fields, values)),
        Pat::Lit(literal) => {
            values.push(canonical(&literal.lit, path, fields)?);
            Ok(())
        }
        Pat::Paren(paren) => alternatives(&paren.pat, path, fields, values),
        other => Err(syn::Error::new_spanned(
            other,
            "list literals: matches!(field, \"a\" | \"b\")",
        )),
    }
}

fn method(call: &ExprMethodCall, fields: &dyn Fields) -> syn::Result<Value> {
    let name = call.method.to_string();
    let arguments: Vec<&Expr> = call.args.iter().collect();
    if let (Some(param), "contains", [argument]) = (param(&call.receiver), name.as_str(), arguments.as_slice()) {
        let inner = match argument {
            Expr::Reference(reference) => &reference.expr,
            other => *other,
        };
        return Ok(json!({ "field": field(inner, fields)?, "op": "in", "param": param }));
    }
    let path = field(&call.receiver, fields)?;
    match (name.as_str(), arguments.as_slice()) {
        ("is_some", []) => Ok(test(&path, "present", Vec::new())),
        ("is_none", []) => Ok(not(test(&path, "present", Vec::new()))),
        ("starts_with" | "ends_with" | "contains", [value]) => {
            let op = match name.as_str() {
                "starts_with" => "prefix",
                "ends_with" => "suffix",
                _ => "contains",
            };
            if let Some(name) = param(value) {
                return Ok(json!({ "field": path, "op": op, "param": name }));
            }
            let text = parse::text(value)?.value();
            Ok(test(&path, op, vec![text]))
        }
        _ => Err(unsupported(&Expr::MethodCall(call.clone()))),
    }
}

/// `params.name`.
fn param(value: &Expr) -> Option<String> {
    let Expr::Field(access) = value else { return None };
    let Expr::Path(base) = &*access.base else { return None };
    match &access.member {
        Member::Named(name) if base.path.is_ident("params") => Some(name.to_string()),
        _ => None,
    }
}

/// An identifier, or `path("...")` for one outside the catalogue.
fn field(value: &Expr, fields: &dyn Fields) -> syn::Result<String> {
    match value {
        Expr::Path(path) => match path.path.get_ident() {
            Some(identifier) => fields.path(identifier),
            None => Err(syn::Error::new_spanned(value, "expected a field")),
        },
        Expr::Call(ExprCall { func, args, .. }) => match (&**func, args.first(), args.len()) {
            (Expr::Path(name), Some(argument), 1) if name.path.is_ident("path") => Ok(parse::text(argument)?.value()),
            _ => Err(syn::Error::new_spanned(value, "expected a field or path(\"...\")")),
        },
        Expr::Paren(paren) => field(&paren.expr, fields),
        Expr::Group(group) => field(&group.expr, fields),
        _ => Err(syn::Error::new_spanned(value, "expected a field or path(\"...\")")),
    }
}

/// The text of a literal as the host compares it.
fn canonical(value: &Lit, path: &str, fields: &dyn Fields) -> syn::Result<String> {
    let text = match value {
        Lit::Str(text) => text.value(),
        Lit::Int(number) => number.base10_parse::<i64>()?.to_string(),
        Lit::Bool(flag) => flag.value.to_string(),
        _ => {
            return Err(syn::Error::new_spanned(
                value,
                "compare with a text, a whole number, true or false",
            ));
        }
    };
    if text.is_empty() {
        return Err(syn::Error::new_spanned(
            value,
            "an empty field is null: ask with .is_some() or .is_none()",
        ));
    }
    let word = text.to_lowercase().replace(' ', "_");
    if fields.is_word(path) && word != text {
        let message = format!("`{path}` arrives in lower case with underscores: write \"{word}\"");
        return Err(syn::Error::new_spanned(value, message));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    struct Auth;

    impl Fields for Auth {
        fn path(&self, identifier: &syn::Ident) -> syn::Result<String> {
            Ok(identifier.to_string().replacen('_', ".", 1))
        }

        fn is_word(&self, path: &str) -> bool {
            path == "result"
        }
    }

    #[track_caller]
    fn gives(condition: Expr, tree: Value) {
        assert_eq!(translate(&condition, &Auth).unwrap(), tree);
    }

    #[test]
    fn conditions() {
        gives(
            parse_quote!(result == "fraud"),
            json!({"field": "result", "op": "in", "values": ["fraud"]}),
        );
        gives(
            parse_quote!("fraud" == result),
            json!({"field": "result", "op": "in", "values": ["fraud"]}),
        );
        gives(
            parse_quote!(result != "fraud" && (reason == "a" && user_key == params.who)),
            json!({"all": [
                {"not": {"field": "result", "op": "in", "values": ["fraud"]}},
                {"field": "reason", "op": "in", "values": ["a"]},
                {"field": "user.key", "op": "in", "param": "who"},
            ]}),
        );
        gives(
            parse_quote!(matches!(reason, "a" | "b") || credits == 10),
            json!({"any": [
                {"field": "reason", "op": "in", "values": ["a", "b"]},
                {"field": "credits", "op": "in", "values": ["10"]},
            ]}),
        );
        gives(
            parse_quote!(!flag),
            json!({"not": {"field": "flag", "op": "in", "values": ["true"]}}),
        );
        gives(
            parse_quote!(user_name.is_none()),
            json!({"not": {"field": "user.name", "op": "present"}}),
        );
        gives(
            parse_quote!(user_name.starts_with("svc-")),
            json!({"field": "user.name", "op": "prefix", "values": ["svc-"]}),
        );
        gives(
            parse_quote!(!params.allow.contains(&user_name)),
            json!({"not": {"field": "user.name", "op": "in", "param": "allow"}}),
        );
        gives(
            parse_quote!(path("target.details.new key") == "x"),
            json!({"field": "target.details.new key", "op": "in", "values": ["x"]}),
        );
    }

    #[test]
    fn what_cannot_be_said_is_named() {
        let error = |condition: Expr| translate(&condition, &Auth).unwrap_err().to_string();
        assert!(error(parse_quote!(credits > 10)).contains("ask in the rule"));
        assert!(error(parse_quote!(result == "")).contains(".is_none()"));
        assert!(error(parse_quote!(result == "User Cancelled")).contains("\"user_cancelled\""));
        assert!(error(parse_quote!(result == reason)).contains("literal"));
        assert!(error(parse_quote!(matches!(result, _))).contains("list literals"));
        assert!(error(parse_quote!(now() == "x")).contains("path("));
    }
}
