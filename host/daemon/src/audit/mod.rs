//! Who changed what: one function that writes an entry of the audit log, and the configuration's differences.
//!
//! An entry is written when a change has taken effect, by the daemon alone: what a verb asked for and was refused is none. Who
//! did it is told by the operating system (the user at the other end of the control socket, the owner of a file), never by the
//! client. The store keeps the latest 100,000 entries.

mod configuration;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use nix::unistd::{Uid, User};
use picket_store::{AuditRow, Store};

use crate::when;

pub(crate) use configuration::{Stated, configuration};

/// Longest value that is kept of what was before and after, bytes.
const MOST_BYTES: usize = 4096;

/// Who did something, and by which way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Who {
    /// A user of the operating system, or `picket`.
    name: Arc<str>,
    /// A verb, `file`, or `watch`.
    how: Arc<str>,
}

impl Who {
    /// The user at the other end of the control socket, with the verb that was asked for. `uid`: none where the system does
    /// not tell.
    pub(crate) fn asked(uid: Option<u32>, verb: &str) -> Self {
        Who {
            name: uid.map_or_else(|| "unknown".into(), user),
            how: verb.into(),
        }
    }

    /// Whoever owns a file that was changed.
    pub(crate) fn edited(file: &Path) -> Self {
        let owner = std::fs::metadata(file).ok().map(|metadata| metadata.uid());
        Who::asked(owner, "file")
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        format!("{} ({})", self.name, self.how)
    }

    /// Picket itself: what a policy or its watching decided.
    pub(crate) fn picket() -> Self {
        Who {
            name: "picket".into(),
            how: "watch".into(),
        }
    }
}

/// The user's name, or its number where it has none.
fn user(uid: u32) -> Arc<str> {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name.into(),
        _ => format!("uid {uid}").into(),
    }
}

/// Something that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// By whom.
    pub(crate) who: Who,
    /// Whose; empty: of all tenants.
    pub(crate) tenant: String,
    /// What, as `rule user-deleted` or `picket.yaml: lists.vpn`.
    pub(crate) what: String,
    /// None: it was not there.
    pub(crate) before: Option<String>,
    /// None: it is gone.
    pub(crate) after: Option<String>,
    /// In the words of whoever did it; may be empty.
    pub(crate) reason: String,
}

/// Writes what was changed, now, to the audit log and to the program's. A store that cannot take it is told of in the log: the
/// change itself stands. Never to be given a secret.
pub(crate) fn write(store: &dyn Store, changes: Vec<Change>) {
    let row = |change: Change| {
        let Change {
            who,
            tenant,
            what,
            before,
            after,
            reason,
        } = change;
        tracing::info!(who = %who.name, how = %who.how, tenant, before, after, reason, "changed: {what}");
        AuditRow {
            time: when::now(),
            who: who.name,
            how: who.how,
            tenant: tenant.into(),
            what: what.into(),
            before: before.map(short),
            after: after.map(short),
            reason: short(reason),
        }
    };
    if let Err(error) = store.note_audit(changes.into_iter().map(row).collect()) {
        tracing::error!("the audit log was not written: {error}");
    }
}

/// Cut where it is too long to be kept.
fn short(text: String) -> Arc<str> {
    match text.char_indices().map(|(at, _)| at).find(|at| *at > MOST_BYTES) {
        None => text.into(),
        Some(at) => format!("{}... ({} bytes)", text.get(..at).unwrap_or_default(), text.len()).into(),
    }
}

#[cfg(test)]
mod tests {
    use picket_store::{AuditFilter, SqliteStore};

    use super::*;

    #[test]
    fn an_entry_says_who_what_and_why() {
        let store = SqliteStore::in_memory().unwrap();
        let own = Uid::current().as_raw();
        let change = |who: Who, after: String| Change {
            who,
            tenant: "acme".to_owned(),
            what: "rule r".to_owned(),
            before: None,
            after: Some(after),
            reason: "noise".to_owned(),
        };
        let long = "ü".repeat(MOST_BYTES);
        let changes = vec![
            change(Who::asked(Some(own), "pause"), "paused".to_owned()),
            change(Who::asked(Some(4_000_000_001), "pause"), long),
            change(Who::picket(), "active".to_owned()),
        ];
        write(&store, changes);
        let rows = store.audit(&AuditFilter::default()).unwrap();
        assert_eq!(rows[0].who, user(own));
        assert_eq!((&*rows[0].how, &*rows[0].reason), ("pause", "noise"));
        assert_eq!(&*rows[1].who, "uid 4000000001");
        let after = rows[1].after.as_deref().unwrap();
        assert!(
            after.ends_with("ü... (8192 bytes)") && after.len() < MOST_BYTES + 30,
            "{after}"
        );
        assert_eq!((&*rows[2].who, &*rows[2].how), ("picket", "watch"));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(Who::edited(file.path()), Who::asked(Some(own), "file"));
    }
}
