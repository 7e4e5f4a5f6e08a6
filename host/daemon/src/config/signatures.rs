//! `signatures:`: whose signatures count, and whether a module needs one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::Problem;
use super::tenant::Checker;
use crate::signature::{PublicKey, TrustedKey};

/// Whose signatures count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Signatures {
    /// By name.
    pub(crate) trusted: Vec<TrustedKey>,
    /// A module without a signature of one of them is refused.
    pub(crate) required: bool,
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignaturesFile {
    /// A name for people, and the key, or the file it is in.
    #[serde(default)]
    trusted_keys: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    require_signature: Option<Spanned<bool>>,
}

impl Checker<'_> {
    /// The section, checked.
    pub(super) fn signatures(&self, file: &SignaturesFile, problems: &mut Vec<Problem>) -> Signatures {
        let mut trusted: Vec<TrustedKey> = Vec::new();
        for (name, key) in &file.trusted_keys {
            let at = |what: String| self.problem(key.referenced, format!("signatures: trusted_keys: {name}: {what}"));
            let hint = "write the key itself (RW and 54 more characters) or the file that `picket rule keygen` or `minisign -G` \
                        made of it (.pub)";
            let read = PublicKey::written(&key.value, |path| self.file(path));
            let public = match read {
                Ok(public) => public,
                Err(why) => {
                    problems.push(at(why).hint(hint));
                    continue;
                }
            };
            if let Some(other) = trusted.iter().find(|other| other.key.id == public.id) {
                problems.push(at(format!("it is the key of `{}`, too", other.name)));
                continue;
            }
            trusted.push(TrustedKey {
                name: name.clone(),
                key: public,
            });
        }
        let required = file.require_signature.as_ref().is_some_and(|required| required.value);
        if let Some(given) = file.require_signature.as_ref().filter(|given| given.value)
            && file.trusted_keys.is_empty()
        {
            let problem = self.problem(given.referenced, "signatures: require_signature without a trusted key");
            problems.push(problem.hint("no module could be live: name a key in trusted_keys"));
        }
        Signatures { trusted, required }
    }
}
