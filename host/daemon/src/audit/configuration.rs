//! What the configuration says, key by key, and how it differs from what it said last.
//!
//! The store remembers what was last in force, so a file that was changed while no daemon ran is told of at the next start. Keys
//! that may hold a secret are told without their value, and that one of them has another value is not told at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use picket_store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, Who, write};

/// Where the store keeps what the configuration said last.
const NOTE: &str = "configuration";
/// Stands for what is not told.
const HIDDEN: &str = "(not shown)";

/// What the files of a configuration say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stated {
    /// The directory of `picket.yaml`, from which files are named.
    base: PathBuf,
    files: Files,
}

/// By path from the base on.
type Files = BTreeMap<PathBuf, FileSaid>;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FileSaid {
    /// Whose it is; empty: of all tenants.
    tenant: String,
    /// Key to value, JSON.
    keys: BTreeMap<String, String>,
}

impl Stated {
    /// Nothing yet, of files in and below this directory.
    pub(crate) fn new(base: &Path) -> Self {
        Stated {
            base: base.to_owned(),
            files: Files::new(),
        }
    }

    /// What a file says, key by key, for a tenant ("": for all). What cannot be read says nothing: that it is wrong is told
    /// elsewhere.
    pub(crate) fn add(&mut self, file: &Path, tenant: &str, text: &str) {
        let mut keys = BTreeMap::new();
        if let Ok(value) = serde_saphyr::from_str::<Value>(text) {
            flat("", &value, false, &mut keys);
        }
        let file = file.strip_prefix(&self.base).unwrap_or(file);
        let tenant = tenant.to_owned();
        self.files.insert(file.to_owned(), FileSaid { tenant, keys });
    }
}

fn flat(key: &str, value: &Value, is_secret: bool, all: &mut BTreeMap<String, String>) {
    let below = |name: &str| {
        if key.is_empty() {
            name.to_owned()
        } else {
            format!("{key}.{name}")
        }
    };
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                flat(&below(name), value, is_secret || may_be_secret(name), all);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                let name = item.get("name").and_then(Value::as_str);
                let key = name.map_or_else(|| format!("{key}[{index}]"), |name| format!("{key}[{name}]"));
                match name {
                    // An exception is one thing, however many keys it has.
                    Some(_) => {
                        all.insert(key, hidden(item, is_secret).to_string());
                    }
                    None => flat(&key, item, is_secret, all),
                }
            }
        }
        value => {
            all.insert(key.to_owned(), hidden(value, is_secret).to_string());
        }
    }
}

/// The value without what may be secret.
fn hidden(value: &Value, is_secret: bool) -> Value {
    match value {
        Value::Object(object) => {
            let shown = object
                .iter()
                .map(|(name, value)| (name.clone(), hidden(value, is_secret || may_be_secret(name))));
            Value::Object(shown.collect())
        }
        Value::Array(items) => items.iter().map(|item| hidden(item, is_secret)).collect(),
        // A variable's name is no secret.
        Value::String(text) if is_secret && text.starts_with("${") && text.ends_with('}') => value.clone(),
        _ if is_secret => HIDDEN.into(),
        value => value.clone(),
    }
}

/// A key whose value nobody should read here. Where a secret lies is none.
fn may_be_secret(name: &str) -> bool {
    const WORDS: [&str; 9] = [
        "secret",
        "skey",
        "password",
        "token",
        "proxy",
        "credential",
        "url",
        "header",
        "routing",
    ];
    let name = name.to_ascii_lowercase();
    let says_where = name.ends_with("_file") || name.ends_with("_credential");
    !says_where && WORDS.iter().any(|word| name.contains(word))
}

/// Notes what the configuration says now, and writes what is otherwise than before to the audit log. `kept`: tenants whose file
/// is wrong, so that what it said before is still in force. `asked`: who had it read again; none: whoever owns each file.
pub(crate) fn configuration(store: &dyn Store, said: &Stated, kept: &[String], asked: Option<&Who>, reason: &str) {
    let before = match store.note("", NOTE) {
        Ok(note) => note.and_then(|note| serde_json::from_str::<Files>(&note).ok()),
        Err(error) => {
            tracing::error!("the audit log was not written: {error}");
            return;
        }
    };
    let mut now = said.files.clone();
    now.retain(|_, file| !kept.contains(&file.tenant));
    let stays = before.iter().flatten().filter(|(_, file)| kept.contains(&file.tenant));
    now.extend(stays.map(|(file, said)| (file.clone(), said.clone())));
    // Of a configuration that was never seen there is nothing to compare.
    let changes = before.as_ref().map(|before| {
        let edited = |file: &Path| asked.cloned().unwrap_or_else(|| Who::edited(&said.base.join(file)));
        changes(before, &now, edited, reason)
    });
    if before.as_ref() == Some(&now) {
        return;
    }
    if let Some(changes) = changes {
        write(store, changes);
    }
    let noted = serde_json::to_string(&now).unwrap_or_default();
    if let Err(error) = store.set_note("", NOTE, Some(&noted)) {
        tracing::error!("what the configuration says was not noted for the audit log: {error}");
    }
}

fn changes(before: &Files, now: &Files, who: impl Fn(&Path) -> Who, reason: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    let nothing = FileSaid::default();
    let mut files: Vec<&PathBuf> = before.keys().chain(now.keys()).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        let old = before.get(file).unwrap_or(&nothing);
        let new = now.get(file).unwrap_or(&nothing);
        let who = who(file);
        let tenant = if now.contains_key(file) {
            &new.tenant
        } else {
            &old.tenant
        };
        let mut keys: Vec<&String> = old.keys.keys().chain(new.keys.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let (before, after) = (old.keys.get(key), new.keys.get(key));
            if before == after {
                continue;
            }
            let why = after.or(before).and_then(|value| said_why(value));
            changes.push(Change {
                who: who.clone(),
                tenant: tenant.clone(),
                what: format!("{}: {key}", file.display()),
                before: before.cloned(),
                after: after.cloned(),
                reason: why.unwrap_or_else(|| reason.to_owned()),
            });
        }
    }
    changes
}

/// An exception gives its own reason.
fn said_why(value: &str) -> Option<String> {
    let value: Value = serde_json::from_str(value).ok()?;
    Some(value.get("reason")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use picket_store::{AuditFilter, AuditRow, SqliteStore};

    use super::*;

    fn files(text: &str, tenant: &str) -> Stated {
        let mut said = Stated::new(Path::new("/etc/picket"));
        said.add(Path::new("/etc/picket/picket.yaml"), "", text);
        said.add(Path::new("/etc/picket/tenants.d/acme.yaml"), "acme", tenant);
        said
    }

    fn told(rows: &[AuditRow]) -> Vec<String> {
        let of = |value: &Option<std::sync::Arc<str>>| value.as_deref().unwrap_or("-").to_owned();
        rows.iter()
            .map(|row| {
                format!(
                    "{} {} {} -> {} ({})",
                    row.tenant,
                    row.what,
                    of(&row.before),
                    of(&row.after),
                    row.reason
                )
            })
            .collect()
    }

    const FIRST: &str = "source: {secret_key: hush1, proxy: 'http://u:hush2@p:1', poll_interval: 120, secret_key_file: ./s}\n\
                         lists: {vpn: [a, b]}\nsinks: [{type: stdout}]\n";

    #[test]
    fn each_key_that_differs_is_an_entry_and_no_secret_is_told() {
        let store = SqliteStore::in_memory().unwrap();
        let rows = || store.audit(&AuditFilter::default()).unwrap();
        configuration(&store, &files(FIRST, "rules: {r: {mode: shadow}}"), &[], None, "");
        assert!(rows().is_empty(), "of the first there is nothing to tell");
        let second = "source: {secret_key: hush3, proxy: 'http://u:hush4@p:1', poll_interval: 300, secret_key_file: ./t}\n\
                      lists: {vpn: [a]}\nsinks: [{type: stdout, format: ndjson}]\n\
                      exceptions: [{name: scan, rules: r, reason: a scanner}]\n";
        let who = Who::asked(None, "reload");
        configuration(
            &store,
            &files(second, "rules: {r: {count: 3}}"),
            &[],
            Some(&who),
            "tidy",
        );
        assert_eq!(
            told(&rows()),
            [
                r#" picket.yaml: exceptions[scan] - -> {"name":"scan","rules":"r","reason":"a scanner"} (a scanner)"#,
                r#" picket.yaml: lists.vpn ["a","b"] -> ["a"] (tidy)"#,
                r#" picket.yaml: sinks[0].format - -> "ndjson" (tidy)"#,
                r#" picket.yaml: source.poll_interval 120 -> 300 (tidy)"#,
                r#" picket.yaml: source.secret_key_file "./s" -> "./t" (tidy)"#,
                r#"acme tenants.d/acme.yaml: rules.r.count - -> 3 (tidy)"#,
                r#"acme tenants.d/acme.yaml: rules.r.mode "shadow" -> - (tidy)"#,
            ]
        );
        assert!(rows().iter().all(|row| &*row.how == "reload"));
        let all = format!("{:?} {:?}", rows(), store.note("", NOTE).unwrap());
        assert!(!all.contains("hush"), "{all}");
    }

    #[test]
    fn what_is_wrong_now_stays_as_it_was() {
        let store = SqliteStore::in_memory().unwrap();
        configuration(&store, &files(FIRST, "rules: {r: {mode: shadow}}"), &[], None, "");
        let broken = vec!["acme".to_owned()];
        configuration(&store, &files(FIRST, "rules: {r: {mode: "), &broken, None, "");
        configuration(&store, &files(FIRST, "rules: {r: {mode: active}}"), &[], None, "");
        let rows = store.audit(&AuditFilter::default()).unwrap();
        let told = told(&rows);
        assert_eq!(
            told,
            [r#"acme tenants.d/acme.yaml: rules.r.mode "shadow" -> "active" ()"#]
        );
        assert_eq!(&*rows[0].how, "file");
    }
}
