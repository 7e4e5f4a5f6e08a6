//! `#[rule(...)]`: the function stays as it is; beside it, a module of its name holds what the host needs to know.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{FnArg, GenericArgument, Ident, ItemFn, LitStr, Path, PathArguments, Token, Type};

use crate::parse::{self, Setting};
use crate::runbook;

const SETTINGS: &str = "id, severity, attack, dedup, supersedes, tests, version, title, on_timer";

pub(crate) fn expand(attributes: TokenStream, function: &ItemFn) -> syn::Result<TokenStream> {
    let settings = Settings::parse(attributes, &function.sig.ident)?;
    let lines = parse::doc_lines(&function.attrs);
    let runbook = runbook::parse(&lines).map_err(|message| syn::Error::new(function.sig.ident.span(), message))?;
    let row = Arguments::of(function)?;
    let Some(event) = &row.event else {
        let message = "a rule is shown rows: one argument must be a Row<...> of its event";
        return Err(syn::Error::new_spanned(&function.sig, message));
    };
    let name = &function.sig.ident;
    let Settings {
        id,
        severity,
        attack,
        dedup,
        supersedes,
        tests,
        version,
        title,
        on_timer,
    } = &settings;
    let runbook::Runbook {
        title: first,
        description,
        check,
        act,
        false_positives,
    } = &runbook;
    let title = title.as_ref().map_or_else(|| first.clone(), LitStr::value);
    let version = match version {
        Some(version) => quote!(#version),
        None => quote!(env!("CARGO_PKG_VERSION")),
    };
    let cases = match tests {
        Some(file) => quote!(include_str!(#file)),
        None => quote!(""),
    };
    let params_type = row.params.as_ref().map_or_else(|| quote!(()), |kind| quote!(#kind));
    let state_type = row.state.as_ref().map_or_else(|| quote!(()), |kind| quote!(#kind));
    let arguments = row.order.iter().map(Argument::tokens);
    let timer_call = on_timer.as_ref().map(|handler| {
        quote! {
            Some(|timer, params, memory, alerts| {
                ::picket::__private::Answer::answer(#handler(timer, params, memory), alerts)
            })
        }
    });
    let timer_call = timer_call.unwrap_or_else(|| quote!(None));
    let test = tests.as_ref().map(|_| {
        quote! {
            #[cfg(test)]
            #[test]
            fn cases() {
                ::picket::testing::check_cases(&RULE);
            }
        }
    });
    let body = quote! {
        ::picket::__private::evaluate::<#event, #params_type, #state_type, _>(
            batch,
            |row, params, memory, alerts| ::picket::__private::Answer::answer(#name(#(#arguments),*), alerts),
            #timer_call,
        )
    };
    let evaluate = format_ident!("evaluate");
    Ok(quote! {
        #function

        #[doc(hidden)]
        #[allow(unused_imports, unused_variables, reason = "generated for every shape of rule")]
        pub(crate) mod #name {
            use super::*;

            pub(crate) static RULE: ::picket::__private::Rule = ::picket::__private::Rule {
                id: #id,
                version: #version,
                title: #title,
                description: #description,
                severity: #severity,
                attack: &[#(#attack),*],
                check: &[#(#check),*],
                act: &[#(#act),*],
                false_positives: &[#(#false_positives),*],
                sources: RULE_SOURCES,
                params: RULE_PARAMS,
                state: <#state_type as ::picket::__private::State>::DEF,
                dedup_ms: #dedup,
                supersedes: &[#(#supersedes),*],
                tests: #cases,
                evaluate: #evaluate,
            };

            const _: () = ::picket::__private::check_conditions(RULE_SOURCES, RULE_PARAMS);
            const RULE_SOURCES: &[::picket::__private::SourceDef] = <#event as ::picket::__private::Event>::SOURCES;
            const RULE_PARAMS: &[::picket::__private::ParamDef] = <#params_type as ::picket::__private::Params>::DEFS;

            fn #evaluate(batch: ::picket::__private::Batch<'_>) -> Result<Vec<::picket::Alert>, String> {
                #body
            }

            #test
        }
    })
}

struct Settings {
    id: String,
    severity: String,
    attack: Vec<String>,
    dedup: i64,
    supersedes: Vec<String>,
    tests: Option<LitStr>,
    version: Option<String>,
    title: Option<LitStr>,
    on_timer: Option<Path>,
}

impl Settings {
    fn parse(attributes: TokenStream, name: &Ident) -> syn::Result<Self> {
        let settings = Punctuated::<Setting, Token![,]>::parse_terminated.parse2(attributes)?;
        let (mut id, mut severity, mut version) = (None, None, None);
        let (mut attack, mut supersedes, mut dedup) = (Vec::new(), Vec::new(), 0);
        let (mut tests, mut title, mut on_timer) = (None, None, None);
        for setting in settings {
            let value = &setting.value;
            match setting.name.to_string().as_str() {
                "id" => id = Some(rule_id(&parse::text(value)?)?),
                "severity" => severity = Some(self::severity(&parse::text(value)?)?),
                "attack" => attack = parse::texts(value)?.iter().map(technique).collect::<syn::Result<_>>()?,
                "dedup" => dedup = parse::span(value)?,
                "supersedes" => supersedes = parse::texts(value)?.iter().map(rule_id).collect::<syn::Result<_>>()?,
                "tests" => tests = Some(parse::text(value)?),
                "version" => version = Some(self::version(&parse::text(value)?)?),
                "title" => title = Some(parse::text(value)?),
                "on_timer" => match value {
                    syn::Expr::Path(path) => on_timer = Some(path.path.clone()),
                    _ => return Err(syn::Error::new_spanned(value, "expected the name of a function")),
                },
                _ => return Err(parse::unknown(&setting, SETTINGS)),
            }
        }
        let missing = |what: &str| syn::Error::new(name.span(), format!("the rule needs {what}"));
        Ok(Settings {
            id: id.ok_or_else(|| missing("an id, such as id = \"auth-reported-fraud\""))?,
            severity: severity.ok_or_else(|| missing("a severity: info, low, medium, high or critical"))?,
            attack,
            dedup,
            supersedes,
            tests,
            version,
            title,
            on_timer,
        })
    }
}

fn rule_id(text: &LitStr) -> syn::Result<String> {
    let id = text.value();
    let good = id.starts_with(|c: char| c.is_ascii_lowercase())
        && id
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && id.len() <= 64;
    if good {
        Ok(id)
    } else {
        Err(syn::Error::new(
            text.span(),
            "an id is lower case, digits and hyphens, at most 64",
        ))
    }
}

fn severity(text: &LitStr) -> syn::Result<String> {
    let severity = text.value();
    if ["info", "low", "medium", "high", "critical"].contains(&severity.as_str()) {
        return Ok(severity);
    }
    Err(syn::Error::new(
        text.span(),
        "a severity is info, low, medium, high or critical",
    ))
}

fn technique(text: &LitStr) -> syn::Result<String> {
    let id = text.value();
    let (technique, sub) = id.split_once('.').unwrap_or((&id, "000"));
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if technique.strip_prefix('T').is_some_and(|number| digits(number, 4)) && digits(sub, 3) {
        return Ok(id);
    }
    Err(syn::Error::new(
        text.span(),
        "an ATT&CK technique is written T1621 or T1556.006",
    ))
}

fn version(text: &LitStr) -> syn::Result<String> {
    let version = text.value();
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    if parts.len() == 3 && parts.iter().all(|part| part.parse::<u64>().is_ok()) {
        return Ok(version);
    }
    Err(syn::Error::new(text.span(), "a version is written 1.2.3"))
}

/// What the function wants, in its order.
#[derive(Default)]
struct Arguments {
    event: Option<Type>,
    params: Option<Type>,
    state: Option<Type>,
    order: Vec<Argument>,
}

enum Argument {
    Row,
    Params,
    State,
}

impl Argument {
    fn tokens(&self) -> TokenStream {
        match self {
            Argument::Row => quote!(row),
            Argument::Params => quote!(params),
            Argument::State => quote!(memory),
        }
    }
}

impl Arguments {
    fn of(function: &ItemFn) -> syn::Result<Self> {
        let mut found = Arguments::default();
        for input in &function.sig.inputs {
            let FnArg::Typed(argument) = input else {
                return Err(syn::Error::new_spanned(input, "a rule is a plain function"));
            };
            let (slot, kind, place) = match &*argument.ty {
                Type::Reference(reference) if reference.mutability.is_some() => {
                    (&mut found.state, (*reference.elem).clone(), Argument::State)
                }
                Type::Reference(reference) => (&mut found.params, (*reference.elem).clone(), Argument::Params),
                Type::Path(_) => match event(&argument.ty) {
                    Some(event) => (&mut found.event, event, Argument::Row),
                    None => return Err(not_an_argument(&argument.ty)),
                },
                other => return Err(not_an_argument(other)),
            };
            if slot.replace(kind).is_some() {
                return Err(syn::Error::new_spanned(
                    &argument.ty,
                    "the rule has such an argument already",
                ));
            }
            found.order.push(place);
        }
        Ok(found)
    }
}

fn not_an_argument(kind: &Type) -> syn::Error {
    syn::Error::new_spanned(
        kind,
        "a rule takes a Row<Event>, and if it wants &Params and &mut Memory",
    )
}

/// `Event` of `Row<Event>`.
fn event(kind: &Type) -> Option<Type> {
    let Type::Path(path) = kind else { return None };
    let last = path.path.segments.last().filter(|segment| segment.ident == "Row")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(kind) => Some(kind.clone()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn error(attributes: TokenStream, function: ItemFn) -> String {
        expand(attributes, &function).unwrap_err().to_string()
    }

    fn good() -> ItemFn {
        parse_quote! {
            /// Something happened.
            ///
            /// # Check
            /// - a
            ///
            /// # Act
            /// - b
            ///
            /// # False positives
            /// - c
            fn rule(row: Row<Report>) -> Alert { row.alert("x") }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(error(quote!(severity = "high"), good()).contains("needs an id"));
        assert!(error(quote!(id = "a"), good()).contains("needs a severity"));
        assert!(error(quote!(id = "A b", severity = "high"), good()).contains("lower case"));
        assert!(error(quote!(id = "a", severity = "bad"), good()).contains("info, low, medium, high or critical"));
        assert!(error(quote!(id = "a", severity = "low", attack = ["1621"]), good()).contains("T1556.006"));
        assert!(error(quote!(id = "a", severity = "low", dedup = "soon"), good()).contains("span of time"));
        assert!(error(quote!(id = "a", severity = "low", test = "x"), good()).contains("there is no setting `test`"));
        assert!(error(quote!(id = "a", severity = "low", version = "1"), good()).contains("1.2.3"));
        let bare: ItemFn = parse_quote! { fn rule(row: Row<Report>) -> Alert { row.alert("x") } };
        assert!(error(quote!(id = "a", severity = "low"), bare).contains("runbook"));
    }

    #[test]
    fn arguments_are_row_params_and_memory() {
        let mut function = good();
        function.sig.inputs = parse_quote!(report: Report);
        assert!(error(quote!(id = "a", severity = "low"), function).contains("takes a Row<Event>"));
        let mut function = good();
        function.sig.inputs = parse_quote!(params: &Params);
        assert!(error(quote!(id = "a", severity = "low"), function).contains("is shown rows"));
        let mut function = good();
        function.sig.inputs = parse_quote!(memory: &mut Memory, row: picket::Row<Report>, params: &Params);
        let code = expand(quote!(id = "a", severity = "low"), &function)
            .unwrap()
            .to_string();
        assert!(code.contains("rule (memory , row , params)"), "{code}");
    }
}
