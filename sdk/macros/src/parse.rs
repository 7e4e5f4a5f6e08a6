//! What several macros parse: `name = value` lists, literals, spans of time, doc comments.

use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Token};

/// One `name = value` inside an attribute.
pub(crate) struct Setting {
    pub(crate) name: Ident,
    pub(crate) value: Expr,
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = Ident::parse_any(input)?;
        input.parse::<Token![=]>()?;
        Ok(Setting {
            name,
            value: input.parse()?,
        })
    }
}

/// The settings of every `#[name(...)]` among the attributes.
pub(crate) fn settings(attributes: &[Attribute], name: &str) -> syn::Result<Vec<Setting>> {
    let mut settings = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident(name)) {
        settings.extend(attribute.parse_args_with(Punctuated::<Setting, Token![,]>::parse_terminated)?);
    }
    Ok(settings)
}

/// The error for a setting that does not exist.
pub(crate) fn unknown(setting: &Setting, known: &str) -> syn::Error {
    syn::Error::new(
        setting.name.span(),
        format!("there is no setting `{}` here; there are: {known}", setting.name),
    )
}

/// A literal without its wrapping.
pub(crate) fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(ExprLit { lit, .. }) => Some(lit),
        Expr::Group(group) => literal(&group.expr),
        Expr::Paren(paren) => literal(&paren.expr),
        _ => None,
    }
}

/// A text literal.
pub(crate) fn text(value: &Expr) -> syn::Result<LitStr> {
    match literal(value) {
        Some(Lit::Str(text)) => Ok(text.clone()),
        _ => Err(syn::Error::new_spanned(value, "expected a text in quotes")),
    }
}

/// A whole number that is not negative.
pub(crate) fn number(value: &Expr) -> syn::Result<u32> {
    match literal(value) {
        Some(Lit::Int(number)) => number.base10_parse(),
        _ => Err(syn::Error::new_spanned(value, "expected a whole number")),
    }
}

/// A list of texts: `["a", "b"]`.
pub(crate) fn texts(value: &Expr) -> syn::Result<Vec<LitStr>> {
    match value {
        Expr::Array(array) => array.elems.iter().map(text).collect(),
        _ => Err(syn::Error::new_spanned(
            value,
            "expected a list of texts, such as [\"a\", \"b\"]",
        )),
    }
}

/// A span of time such as `90s`, `30m`, `24h`, `7d`, in ms.
pub(crate) fn span(value: &Expr) -> syn::Result<i64> {
    let text = text(value)?;
    span_ms(&text.value()).ok_or_else(|| {
        syn::Error::new(
            text.span(),
            format!(
                "`{}` is no span of time; write 90s, 30m, 24h, 7d or 1h30m",
                text.value()
            ),
        )
    })
}

/// Reads `90s`, `30m`, `24h`, `7d`, `500ms` and sums such as `1h30m`.
pub(crate) fn span_ms(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (count, after) = rest.split_at_checked(digits)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let unit: i64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(count.parse::<i64>().ok()?.checked_mul(unit)?)?;
        rest = after;
    }
    Some(total)
}

/// The lines of the doc comment, without the space after the slashes.
pub(crate) fn doc_lines(attributes: &[Attribute]) -> Vec<String> {
    let mut lines = Vec::new();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        if let syn::Meta::NameValue(meta) = &attribute.meta
            && let Some(Lit::Str(text)) = literal(&meta.value)
        {
            // Not `lines()`: a blank line of the comment is an empty text, and matters.
            let text = text.value();
            let lines_of = text
                .split('\n')
                .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
            lines.extend(lines_of);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time() {
        assert_eq!(span_ms("90s"), Some(90_000));
        assert_eq!(span_ms("1h30m"), Some(5_400_000));
        assert_eq!(span_ms("7d"), Some(604_800_000));
        assert_eq!(span_ms("500ms"), Some(500));
        for wrong in ["", "30", "m", "30x", "-1m", "1 h", "99999999999999999999d"] {
            assert_eq!(span_ms(wrong), None, "{wrong}");
        }
    }
}
