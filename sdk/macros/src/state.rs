//! `#[derive(State)]`: the helpers a rule remembers with, and what they cost the host.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields};

use crate::parse;

/// Most that a helper may keep anything, ms: with the sixteenth by which it renews it is less than what the host allows.
const LONGEST: i64 = 365 * 86_400_000;

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(syn::Error::new_spanned(
            &input.ident,
            "a rule's memory is a struct of Windows, Distincts, Firsts, Lasts, Sequences, Joins, Silences, Baselines",
        ));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(syn::Error::new_spanned(
            &input.ident,
            "the fields of a rule's memory have names",
        ));
    };
    let mut version = 1;
    let mut look_back = None;
    for setting in parse::settings(&input.attrs, "state")? {
        match setting.name.to_string().as_str() {
            "version" => version = parse::number(&setting.value)?,
            "look_back" => look_back = Some(parse::span(&setting.value)?),
            _ => return Err(parse::unknown(&setting, "version, look_back")),
        }
    }
    let mut stores = Vec::new();
    let mut opened = Vec::new();
    let mut longest = 0;
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let (mut keep, mut cap) = (None, 1024);
        for setting in parse::settings(&field.attrs, "state")? {
            match setting.name.to_string().as_str() {
                "keep" => keep = Some(parse::span(&setting.value)?),
                "cap" => {
                    cap = parse::number(&setting.value)?;
                    if !(1..=3000).contains(&cap) {
                        let message = "a cap is 1 to 3000: all entries of a key are one value of at most 64 KiB";
                        return Err(syn::Error::new_spanned(&setting.value, message));
                    }
                }
                _ => return Err(parse::unknown(&setting, "keep, cap")),
            }
        }
        let Some(keep) = keep.filter(|keep| *keep > 0) else {
            let message = format!("say how long `{ident}` is kept, such as #[state(keep = \"14d\")]");
            return Err(syn::Error::new(ident.span(), message));
        };
        if keep > LONGEST {
            let message =
                format!("`{ident}` is kept for more than 365d: the host remembers nothing for longer than 400");
            return Err(syn::Error::new(ident.span(), message));
        }
        longest = longest.max(keep);
        let (name, kind) = (ident.to_string(), &field.ty);
        let store = quote! {
            ::picket::__private::StoreDef { name: #name, kind: <#kind as ::picket::__private::Store>::KIND, keep_ms: #keep, cap: #cap }
        };
        opened.push(quote! { #ident: <#kind as ::picket::__private::Store>::open(#store) });
        stores.push(store);
    }
    let look_back = look_back.unwrap_or(longest);
    let ident = &input.ident;
    Ok(quote! {
        impl ::picket::__private::State for #ident {
            const DEF: ::picket::__private::StateDef = ::picket::__private::StateDef {
                version: #version,
                look_back_ms: #look_back,
                stores: &[#(#stores),*],
            };
            fn open() -> Self {
                #ident { #(#opened),* }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let error = |input: DeriveInput| derive(&input).unwrap_err().to_string();
        assert!(error(parse_quote! { struct M { a: Windows } }).contains("say how long `a` is kept"));
        assert!(error(parse_quote! { struct M { #[state(keep = "x")] a: Windows } }).contains("no span of time"));
        assert!(error(parse_quote! { struct M { #[state(keep = "1d", cap = 0)] a: Windows } }).contains("1 to 3000"));
        assert!(error(parse_quote! { struct M { #[state(keeep = "1d")] a: Windows } }).contains("keep, cap"));
        assert!(error(parse_quote! { struct M { #[state(keep = "366d")] a: Windows } }).contains("more than 365d"));
        assert!(error(parse_quote! { enum M { A } }).contains("struct"));
    }
}
