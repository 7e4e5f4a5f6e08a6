//! The configuration, read again while the daemon runs: `picket.yaml`, the customers' files, and the files of tables.
//!
//! All or nothing. First everything is read and tried: files, parameters against the modules that are live, secrets, sinks,
//! signatures. If anything is wrong, whatever it is, nothing of it is taken over, and what is wrong is told: an operator never
//! has to find out which half of a change is in force. Only then it is put in place, area by area, each in the gentlest way there
//! is: what concerns judging between two calls, a sink without losing its place in the outbox, a tenant's collection begun anew
//! only where its source has changed.
//!
//! One exception: a customer whom the start left out, for something that was wrong already then. Nothing of that customer is in
//! force that could be kept, so what is still wrong there stops nobody else; it is told all the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use picket_sandbox::Engine;
use serde::Serialize;

use super::again::Trigger;
use super::{Daemon, lock, reload};
use crate::account::Account;
use crate::accounts;
use crate::config::{self, Config, Loaded, Problems, TenantConfig};
use crate::deliver;
use crate::registry::{self, Slots, Terms};
use crate::ruleset;

/// What a reload changed of one area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// A section of the configuration, or a tenant.
    pub(crate) area: String,
    /// In words.
    pub(crate) what: String,
}

/// What came of reading the configuration again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    /// False: what was in force before is in force, all of it.
    pub(crate) in_force: bool,
    pub(crate) changed: Vec<Change>,
    /// Tenants that began.
    pub(crate) started: Vec<String>,
    /// Tenants that ended.
    pub(crate) stopped: Vec<String>,
    /// Tenants whose collection began anew.
    pub(crate) restarted: Vec<String>,
    /// Everything that is wrong.
    pub(crate) wrong: Vec<String>,
}

impl Outcome {
    pub(super) fn refused(wrong: Vec<String>) -> Self {
        Outcome {
            wrong,
            ..Outcome::default()
        }
    }

    /// What changed and what is wrong, in words.
    pub(super) fn words(&self) -> String {
        let mut words: Vec<String> = self
            .changed
            .iter()
            .map(|change| format!("{}: {}", change.area, change.what))
            .collect();
        let tenants = [
            ("started", &self.started),
            ("stopped", &self.stopped),
            ("restarted", &self.restarted),
        ];
        let named = tenants.iter().filter(|(_, ids)| !ids.is_empty());
        words.extend(named.map(|(what, ids)| format!("{what} {}", ids.join(", "))));
        words.extend(self.wrong.iter().cloned());
        words.join("; ")
    }

    /// Whether anything is other than before.
    pub(crate) fn is_change(&self) -> bool {
        !(self.changed.is_empty() && self.started.is_empty() && self.stopped.is_empty() && self.restarted.is_empty())
    }
}

/// A configuration of which everything that can fail has been tried.
struct Prepared {
    config: Config,
    /// Every tenant there is to be, children of parents among them.
    wanted: Vec<TenantConfig>,
    sinks: deliver::Changed,
    /// Modules under other terms; none: the terms are the same.
    slots: Option<Slots>,
    changed: Vec<Change>,
    /// Customers that are left out as before, and why.
    left_out: Vec<(String, Problems)>,
}

impl Daemon {
    /// Takes over the configuration as it is in the files now, all of it or nothing.
    pub(super) async fn configuration_again(self: &Arc<Self>, trigger: &Trigger) -> Outcome {
        match tokio::task::block_in_place(|| self.prepare()) {
            Ok(prepared) => self.put_in_force(prepared, trigger).await,
            Err(wrong) => Outcome::refused(wrong),
        }
    }

    /// Reads and tries everything; changes nothing.
    fn prepare(&self) -> Result<Prepared, Vec<String>> {
        let before = self.config();
        let mut loaded = config::load_for_run(&before.path).map_err(|problems| vec![problems.to_string()])?;
        self.cabinet
            .fill(&mut loaded)
            .map_err(|problems| vec![problems.to_string()])?;
        let Loaded { config, broken } = loaded;
        let mut wrong = needs_restart(&before, &config, &self.engine);
        wrong.extend(before.vanished());
        let (left_out, broken): (Vec<_>, Vec<_>) = broken.into_iter().partition(|(id, _)| self.fleet.is_left_out(id));
        wrong.extend(broken.iter().map(|(_, problems)| problems.to_string()));

        let terms = Terms::of(&config);
        let slots = (*self.registry.terms() != terms).then(|| self.registry.under(&terms));
        let slots = slots.transpose().unwrap_or_else(|refused| {
            wrong.extend(refused);
            None
        });
        let wanted = self.wanted(&config, &mut wrong);
        for tenant in &wanted {
            let found = self.try_tenant(tenant, slots.as_ref());
            if !self.fleet.is_left_out(&tenant.id) {
                wrong.extend(found);
            }
        }
        for parent in &config.parents {
            let is_same = before.parents.iter().any(|known| known.is_same(parent));
            if !is_same && let Err(error) = Account::open(&parent.source, &self.fleet.shared().transports) {
                wrong.push(format!("{}: {error:#}", parent.id));
            }
        }
        // Last, since what is opened may be made.
        let sinks = if wrong.is_empty() {
            self.delivery.prepare(&config.sinks)
        } else {
            Err(Vec::new())
        };
        match sinks {
            Ok(sinks) => Ok(Prepared {
                changed: changes(&before, &config, &sinks),
                config,
                wanted,
                sinks,
                slots,
                left_out,
            }),
            Err(found) => {
                wrong.extend(found);
                Err(wrong)
            }
        }
    }

    /// Every tenant of a configuration; children of parents' keys as they were listed last.
    fn wanted(&self, config: &Config, wrong: &mut Vec<String>) -> Vec<TenantConfig> {
        let mut wanted = config.tenants.clone();
        for parent in &config.parents {
            match accounts::remembered(&*self.store, &parent.id) {
                Ok(children) => wanted.extend(children.iter().filter_map(|child| child.tenant(parent))),
                Err(error) => wrong.push(format!("{}: {error}", parent.id)),
            }
        }
        let mut seen = BTreeSet::new();
        for tenant in &wanted {
            if !seen.insert(&tenant.id) {
                wrong.push(format!(
                    "there are two tenants named `{}`: name one of them otherwise",
                    tenant.id
                ));
            }
        }
        wanted
    }

    /// What is wrong with a tenant: its parameters against the modules as they will be live, and the way to its account.
    fn try_tenant(&self, tenant: &TenantConfig, slots: Option<&Slots>) -> Vec<String> {
        let live = match slots {
            Some(slots) => registry::live_in(slots, &tenant.id),
            None => self.registry.live(&tenant.id),
        };
        let rules = ruleset::rules(&live, &tenant.into());
        let mut wrong = rules.err().unwrap_or_default();
        let is_collected = self
            .fleet
            .find(&tenant.id)
            .is_some_and(|running| running.config().is_collected_like(tenant));
        if !is_collected && let Err(error) = Account::open(&tenant.source, &self.fleet.shared().transports) {
            wrong.push(format!("{}: {error:#}", tenant.id));
        }
        wrong
    }

    async fn put_in_force(self: &Arc<Self>, prepared: Prepared, trigger: &Trigger) -> Outcome {
        let Prepared {
            config,
            mut wanted,
            sinks,
            slots,
            mut changed,
            left_out,
        } = prepared;
        let before = self.config();
        let kept: Vec<String> = left_out.iter().map(|(id, _)| id.clone()).collect();
        trigger.note(&*self.store, &config.stated, &kept);
        self.delivery.change(sinks).await;
        let everybody = slots.is_some() || before.terms_of_judging() != config.terms_of_judging();
        self.judge_by(&config);
        match slots {
            Some(slots) => self.registry.judge_by(Terms::of(&config), slots),
            None => self.registry.judge_by_terms(Terms::of(&config)),
        }
        // Whoever reads a parent's list must not act on what is no longer said of its children. Who asks for a reload is told
        // of new children, too; a file that was touched is no reason to ask Duo.
        let asks_parents = *trigger != Trigger::Files
            || before.parents.len() != config.parents.len()
            || !config
                .parents
                .iter()
                .all(|now| before.parents.iter().any(|known| known.is_same(now)));
        if asks_parents {
            self.stop_following(|_| false).await;
            wanted = self.wanted(&config, &mut Vec::new());
            lock(&self.parents).retain(|id, _| config.parents.iter().any(|parent| parent.id == *id));
        }
        let parents = config.parents.clone();
        self.set_config(config);
        let reconciled = self.fleet.reconcile(wanted, everybody).await;
        let mut wrong: Vec<String> = left_out.iter().map(|(_, problems)| problems.to_string()).collect();
        for (tenant, words) in &reconciled.rejudged {
            reload::swap(tenant).await;
            if !words.is_empty() {
                changed.push(Change {
                    area: tenant.id.to_string(),
                    what: words.clone(),
                });
            }
            // Everything was tried before: this is the store's word, and the next scan of the rules tries again.
            wrong.extend(lock(&tenant.refused).iter().map(|why| format!("{}: {why}", tenant.id)));
        }
        for (id, problems) in left_out {
            self.fleet.fails(id, problems.to_string(), None);
        }
        self.follow(parents);
        self.upkeep.at_once();
        Outcome {
            in_force: true,
            changed,
            started: reconciled.started,
            stopped: reconciled.stopped,
            restarted: reconciled.restarted,
            wrong,
        }
    }
}

/// What changes for all, in words.
fn changes(before: &Config, now: &Config, sinks: &deliver::Changed) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut push = |area: &str, what: String| {
        changes.push(Change {
            area: area.to_owned(),
            what,
        });
    };
    for words in &sinks.words {
        push("sinks", words.clone());
    }
    if before.rules_dir != now.rules_dir {
        push(
            "rules_dir",
            format!("{}, before {}", now.rules_dir.display(), before.rules_dir.display()),
        );
    }
    if before.sandbox != now.sandbox {
        push("sandbox", "modules may spend or read other than before".to_owned());
    }
    if before.reload != now.reload {
        push(
            "reload",
            "new versions of rules are tried otherwise than before".to_owned(),
        );
    }
    if (&before.retention, &before.keeping) != (&now.retention, &now.keeping) {
        push(
            "retention",
            "what is kept, how long and in how much room, is otherwise than before".to_owned(),
        );
    }
    if before.clear_numbers != now.clear_numbers {
        let kept = if now.clear_numbers {
            "are kept in clear"
        } else {
            "are pseudonyms"
        };
        push("alerts", format!("phone numbers of evidence {kept}"));
    }
    if before.watching != now.watching {
        push("watch", now.watching.words());
    }
    if before.signatures != now.signatures {
        let required = if now.signatures.required {
            "required"
        } else {
            "not required"
        };
        let names: Vec<&str> = now.signatures.trusted.iter().map(|key| key.name.as_str()).collect();
        push(
            "signatures",
            format!(
                "{required}; trusted: {}",
                if names.is_empty() {
                    "nobody".to_owned()
                } else {
                    names.join(", ")
                }
            ),
        );
    }
    for parent in &now.parents {
        if !before.parents.iter().any(|known| known.is_same(parent)) {
            push(
                &parent.id,
                "the key of the Accounts API, or what is said of its children".to_owned(),
            );
        }
    }
    changes
}

/// What a running daemon cannot take over.
fn needs_restart(before: &Config, now: &Config, engine: &Engine) -> Vec<String> {
    const PLACE: &str = "where it is was decided when the daemon started";
    const POOL: &str = "the sandbox is made when the daemon starts";
    let (old, new) = (&before.sandbox, &now.sandbox);
    let most = engine.most_memory_bytes();
    let memory = format!(
        "no module can have more than the {} MiB for which the sandbox was made at the start",
        most >> 20
    );
    let keys = [
        ("data_dir", before.data_dir != now.data_dir, PLACE),
        ("control_socket", before.control_socket != now.control_socket, PLACE),
        ("http: listen", before.http != now.http, PLACE),
        ("sandbox: calls_at_once", old.calls_at_once != new.calls_at_once, POOL),
        ("sandbox: stack_kb", old.stack_bytes != new.stack_bytes, POOL),
        ("sandbox: late_after", old.late_after != new.late_after, POOL),
        ("sandbox: compile", old.compile != new.compile, POOL),
        ("sandbox: memory_mb", new.engine().most_memory_bytes() > most, &memory),
    ];
    let moved = keys.into_iter().filter(|(_, is_other, _)| *is_other);
    let say = |(key, _, why): (&str, bool, &str)| {
        let file = now.path.display();
        format!(
            "{file}: {key} changed, which a running daemon cannot take over: {why}. Put it back, or stop picket and start it again"
        )
    };
    moved.map(say).collect()
}
