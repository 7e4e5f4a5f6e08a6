//! `#[derive(Event)]`: sources for the manifest, and how to read a row of each.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Data, DeriveInput, Expr, Fields, FieldsNamed, Ident, Lifetime, LitStr};

use crate::{parse, when};

pub(crate) fn derive(input: &DeriveInput) -> syn::Result<TokenStream> {
    if input.generics.type_params().next().is_some() || input.generics.lifetimes().count() > 1 {
        return Err(syn::Error::new_spanned(
            &input.generics,
            "an event has one lifetime at most, and no other parameter",
        ));
    }
    let ident = &input.ident;
    let own = input
        .generics
        .lifetimes()
        .next()
        .map(|parameter| parameter.lifetime.clone());
    let lifetime = own.clone().unwrap_or_else(|| Lifetime::new("'row", ident.span()));
    let (sources, read) = match &data_of(input)? {
        Shape::One(fields) => {
            let source = Source::new(ident, &input.attrs, fields)?;
            let read = source.read(&quote!(Self), &lifetime);
            (vec![source.definition(&lifetime)], read)
        }
        Shape::Several(variants) => {
            let mut sources = Vec::new();
            let mut arms = Vec::new();
            for (index, (variant, attributes, fields)) in (0_u32..).zip(variants) {
                let source = Source::new(variant, attributes, fields)?;
                let read = source.read(&quote!(Self::#variant), &lifetime);
                arms.push(quote!(#index => #read));
                sources.push(source.definition(&lifetime));
            }
            (sources, quote!(match rows.source() { #(#arms,)* _ => None }))
        }
    };
    let arguments = own.map(|own| quote!(<#own>));
    Ok(quote! {
        impl<#lifetime> ::picket::__private::Event<#lifetime> for #ident #arguments {
            const SOURCES: &'static [::picket::__private::SourceDef] = &[#(#sources),*];
            #[inline]
            fn read(rows: &::picket::__private::Rows<#lifetime>, row: usize) -> Option<Self> {
                #read
            }
        }
    })
}

enum Shape<'a> {
    One(Option<&'a FieldsNamed>),
    Several(Vec<(&'a Ident, &'a [Attribute], Option<&'a FieldsNamed>)>),
}

fn data_of(input: &DeriveInput) -> syn::Result<Shape<'_>> {
    match &input.data {
        Data::Struct(data) => Ok(Shape::One(named(&data.fields)?)),
        Data::Enum(data) => {
            let variants = data.variants.iter();
            let shapes =
                variants.map(|variant| Ok((&variant.ident, variant.attrs.as_slice(), named(&variant.fields)?)));
            Ok(Shape::Several(shapes.collect::<syn::Result<_>>()?))
        }
        Data::Union(_) => Err(syn::Error::new_spanned(&input.ident, "an event is a struct or an enum")),
    }
}

fn named(fields: &Fields) -> syn::Result<Option<&FieldsNamed>> {
    match fields {
        Fields::Named(fields) => Ok(Some(fields)),
        Fields::Unit => Ok(None),
        Fields::Unnamed(_) => Err(syn::Error::new_spanned(
            fields,
            "fields have names: the name says which field of the log",
        )),
    }
}

/// One log's rows.
struct Source<'a> {
    name: String,
    log: String,
    when: String,
    params: Vec<String>,
    fields: Vec<(&'a syn::Field, String)>,
    braces: bool,
}

impl<'a> Source<'a> {
    fn new(ident: &Ident, attributes: &[Attribute], named: &'a Option<&'a FieldsNamed>) -> syn::Result<Self> {
        let mut log: Option<LitStr> = None;
        let mut condition: Option<Expr> = None;
        for setting in parse::settings(attributes, "event")? {
            match setting.name.to_string().as_str() {
                "log" => log = Some(parse::text(&setting.value)?),
                "when" => condition = Some(setting.value),
                _ => return Err(parse::unknown(&setting, "log, when")),
            }
        }
        let Some(log) = log else {
            let message = format!("say which log `{ident}` comes from: #[event(log = \"authentication\", when = ...)]");
            return Err(syn::Error::new(ident.span(), message));
        };
        let mut catalogue = Catalogue::new(&log)?;
        let mut fields = Vec::new();
        for field in named.iter().flat_map(|fields| &fields.named) {
            let Some(name) = &field.ident else { continue };
            let mut explicit = None;
            for setting in parse::settings(&field.attrs, "event")? {
                match setting.name.to_string().as_str() {
                    "path" => explicit = Some(parse::text(&setting.value)?.value()),
                    _ => return Err(parse::unknown(&setting, "path")),
                }
            }
            if let Some(path) = explicit {
                catalogue.explicit.insert(name.to_string(), path);
            }
            fields.push((field, when::Fields::path(&catalogue, name)?));
        }
        let tree = match &condition {
            Some(condition) => when::translate(condition, &catalogue)?,
            None => serde_json::json!({ "all": [] }),
        };
        let (params, braces) = (when::params(&tree), named.is_some());
        Ok(Source {
            name: ident.to_string(),
            log: log.value(),
            when: tree.to_string(),
            params,
            fields,
            braces,
        })
    }

    fn definition(&self, lifetime: &Lifetime) -> TokenStream {
        let Source {
            name,
            log,
            when,
            params,
            ..
        } = self;
        let fields = self.fields.iter().map(|(field, path)| {
            let kind = &field.ty;
            quote! {
                ::picket::__private::FieldDef {
                    path: #path,
                    kind: <#kind as ::picket::__private::Field<#lifetime>>::KIND,
                    required: <#kind as ::picket::__private::Field<#lifetime>>::REQUIRED,
                }
            }
        });
        quote! {
            ::picket::__private::SourceDef {
                log: #log,
                name: #name,
                fields: &[#(#fields),*],
                when: #when,
                params: &[#(#params),*],
            }
        }
    }

    fn read(&self, constructor: &TokenStream, lifetime: &Lifetime) -> TokenStream {
        if !self.braces {
            return quote!(Some(#constructor));
        }
        let fields = self.fields.iter().enumerate().map(|(column, (field, _))| {
            let (name, kind) = (&field.ident, &field.ty);
            quote!(#name: <#kind as ::picket::__private::Field<#lifetime>>::read(rows, #column, row)?)
        });
        quote!(Some(#constructor { #(#fields),* }))
    }
}

/// The fields of one log, and the author's own.
struct Catalogue {
    log: String,
    explicit: BTreeMap<String, String>,
}

impl Catalogue {
    fn new(log: &LitStr) -> syn::Result<Self> {
        let name = log.value();
        if picket_catalogue::log(&name).is_none() {
            let near = match picket_catalogue::suggest_log(&name) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let names: Vec<&str> = picket_catalogue::logs().iter().map(|log| log.name).collect();
                    format!("there are: {}", names.join(", "))
                }
            };
            return Err(syn::Error::new(log.span(), format!("Duo has no log `{name}`; {near}")));
        }
        Ok(Catalogue {
            log: name,
            explicit: BTreeMap::new(),
        })
    }
}

impl when::Fields for Catalogue {
    fn path(&self, identifier: &Ident) -> syn::Result<String> {
        let name = identifier.to_string();
        if let Some(path) = self.explicit.get(&name) {
            return Ok(path.clone());
        }
        if let Some(field) = picket_catalogue::find_identifier(&self.log, &name) {
            return Ok(field.path.to_owned());
        }
        let near = match picket_catalogue::suggest(&self.log, &name) {
            Some(near) => format!("did you mean `{}`?", picket_catalogue::identifier(near)),
            None => "docs/rules.md lists what there is.".to_owned(),
        };
        let message = format!(
            "the log `{}` has no field `{name}`; {near} For a path outside the catalogue say #[event(path = \"...\")] on the \
             field, or path(\"...\") in the condition",
            self.log
        );
        Err(syn::Error::new(identifier.span(), message))
    }

    fn is_word(&self, path: &str) -> bool {
        picket_catalogue::find(&self.log, path).is_some_and(|field| field.enumerated)
    }
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let error = |input: DeriveInput| derive(&input).unwrap_err().to_string();
        assert!(error(parse_quote! { struct E { a: i64 } }).contains("say which log `E` comes from"));
        assert!(
            error(parse_quote! { #[event(log = "authenticaton")] struct E {} })
                .contains("did you mean `authentication`?")
        );
        let misspelt = error(parse_quote! { #[event(log = "authentication")] struct E<'a> { user_nmae: &'a str } });
        assert!(misspelt.contains("did you mean `user_name`?"), "{misspelt}");
        let misspelt = error(parse_quote! { #[event(log = "authentication", when = resutl == "fraud")] struct E {} });
        assert!(misspelt.contains("did you mean `result`?"), "{misspelt}");
        assert!(error(parse_quote! { #[event(log = "telephony")] struct E(i64); }).contains("fields have names"));
        assert!(error(parse_quote! { #[event(log = "telephony")] struct E<T> { phone: T } }).contains("one lifetime"));
    }

    #[test]
    fn a_path_outside_the_catalogue_must_say_so() {
        let good: DeriveInput = parse_quote! {
            #[event(log = "admin", when = shoe == "44")]
            struct E<'a> { #[event(path = "target.details.shoe size")] shoe: &'a str }
        };
        let code = derive(&good).unwrap().to_string();
        assert_eq!(code.matches("target.details.shoe size").count(), 2, "{code}");
    }
}
