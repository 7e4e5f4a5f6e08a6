//! A reload as a whole: who asked for it, what is read, in which order, and what is told of it.
//!
//! Two things are read, in this order. The configuration, which is one: all of it or nothing ([`super::configuration`]). And the
//! modules, of which each is a thing of its own: one that is refused holds up no other ([`super::reload`]). A configuration that
//! speaks of what only a new module has (a parameter, say) is refused first, and tried once more when that module is live; so a
//! deploy of both needs no order.
//!
//! A reload while another runs waits its turn, and reads what stands in the files then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use picket_store::Store;
use serde_json::{Value, json};

use super::configuration::Outcome;
use super::{Daemon, lock};
use crate::audit::{self, Change, Stated, Who};
use crate::sight::Herald;
use crate::watch::{Places, SETTLED, Survey};
use crate::when;

/// How long somebody who asked for a reload waits for a file that is being written.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a reload was asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// `picket reload`.
    Asked(Who),
    /// SIGHUP.
    Signal,
    /// A file has changed.
    Files,
}

impl Trigger {
    /// In words.
    fn words(&self) -> String {
        match self {
            Trigger::Asked(who) => who.words(),
            Trigger::Signal => "signal".to_owned(),
            Trigger::Files => "file".to_owned(),
        }
    }

    /// Notes in the audit log what the configuration says otherwise than before.
    pub(super) fn note(&self, store: &dyn Store, said: &Stated, kept: &[String]) {
        let asked = match self {
            Trigger::Asked(who) => Some(who),
            Trigger::Signal | Trigger::Files => None,
        };
        audit::configuration(store, said, kept, asked, "");
    }
}

/// What is to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) configuration: bool,
    pub(crate) rules: bool,
}

/// What came of reloads since the start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reloads {
    /// How many there were.
    pub(crate) count: u64,
    /// The last: when, by whom, whether everything is in force, and what is wrong.
    pub(crate) last: Option<Value>,
    /// Why the configuration that stands in the files is not in force; empty: it is.
    pub(crate) refused: Vec<String>,
    /// What of the rules directory could not be read or is gone: what it held stays in force.
    pub(crate) kept: Vec<String>,
}

impl Daemon {
    /// Reads configuration and rules again; what came of it.
    pub(crate) async fn reload(self: &Arc<Self>, trigger: &Trigger) -> Value {
        let one = self.reloading.lock().await;
        Herald::reloading();
        let began = Instant::now();
        let unsettled = loop {
            let unsettled = self.unsettled();
            if unsettled.is_empty() || began.elapsed() > PATIENCE {
                break unsettled;
            }
            tokio::time::sleep(SETTLED / 4).await;
        };
        let areas = Areas {
            configuration: true,
            rules: true,
        };
        let mut report = self.again(trigger, areas, unsettled, began).await;
        Herald::ready();
        drop(one);
        self.when_tried(&mut report).await;
        report
    }

    /// The same, of what the watcher found changed. `unsettled`: files that are being written, and stay as they were.
    pub(crate) async fn files_changed(self: &Arc<Self>, areas: Areas, unsettled: BTreeSet<PathBuf>) {
        let _one = self.reloading.lock().await;
        self.again(&Trigger::Files, areas, unsettled, Instant::now()).await;
    }

    /// Files that are being written at the moment, as far as one can tell.
    fn unsettled(&self) -> BTreeSet<PathBuf> {
        let survey = Survey::of(&Places::of(&self.config()));
        lock(&self.settling).unsettled(&survey, Instant::now(), SETTLED)
    }

    async fn again(
        self: &Arc<Self>,
        trigger: &Trigger,
        areas: Areas,
        unsettled: BTreeSet<PathBuf>,
        began: Instant,
    ) -> Value {
        let was_refused = lock(&self.reloads).refused.clone();
        let mut outcome = Outcome {
            in_force: true,
            ..Outcome::default()
        };
        if areas.configuration {
            outcome = self.configuration_unless(&unsettled, trigger).await;
        }
        let mut report = json!({"changes": crate::registry::Changes::default(), "tenants": []});
        let mut kept = None;
        let read_rules = areas.rules || outcome.is_change();
        if read_rules {
            self.registry.hold(unsettled.clone());
            match self.rules_again().await {
                Ok(rules) => report = rules,
                Err(error) => {
                    let directory = self.config().rules_dir.clone();
                    kept = Some(format!(
                        "rules_dir {}: {error:#}: the rules in force stay in force",
                        directory.display()
                    ));
                }
            }
            let is_live = report
                .pointer("/changes/live")
                .and_then(Value::as_array)
                .is_some_and(|live| !live.is_empty());
            let is_waiting =
                areas.configuration && !outcome.in_force || !areas.configuration && !was_refused.is_empty();
            if is_waiting && (is_live || !areas.configuration) {
                // What it lacked may have come with a module, or with a signature.
                outcome = self.configuration_unless(&unsettled, trigger).await;
            }
        }
        let said_of_configuration = areas.configuration || !outcome.wrong.is_empty() || outcome.is_change();
        self.tell(trigger, &outcome, said_of_configuration, &was_refused);
        let mut kept: Vec<String> = kept.into_iter().collect();
        let gone = report
            .pointer("/changes/kept")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        kept.extend(gone.iter().filter_map(Value::as_str).map(|within| {
            let directory = self.config().rules_dir.join(within);
            format!(
                "{}: the directory is gone, and its rules stay in force: put it back, empty if they are to retire",
                directory.display()
            )
        }));
        if let Value::Object(report) = &mut report {
            report.insert("configuration".to_owned(), json!(outcome));
            report.insert("kept".to_owned(), json!(kept));
            report.insert("took_ms".to_owned(), json!(began.elapsed().as_secs_f64() * 1000.0));
        }
        let mut reloads = lock(&self.reloads);
        reloads.count += 1;
        if said_of_configuration {
            reloads.refused = if outcome.in_force {
                Vec::new()
            } else {
                outcome.wrong.clone()
            };
        }
        if read_rules {
            reloads.kept = kept;
        }
        reloads.last = Some(json!({
            "time": when::rfc3339(when::now()),
            "by": trigger.words(),
            "in_force": outcome.in_force,
            "wrong": outcome.wrong,
        }));
        report
    }

    async fn configuration_unless(self: &Arc<Self>, unsettled: &BTreeSet<PathBuf>, trigger: &Trigger) -> Outcome {
        let config = self.config();
        let (files, directories) = (config.files(), config.directories());
        let is_of_it =
            |path: &&PathBuf| files.contains(path) || directories.iter().any(|directory| path.starts_with(directory));
        let writing: Vec<String> = unsettled
            .iter()
            .filter(is_of_it)
            .map(|path| format!("{} is still being written", path.display()))
            .collect();
        if writing.is_empty() {
            self.configuration_again(trigger).await
        } else {
            Outcome::refused(writing)
        }
    }

    /// Says in the log and in the audit log what came of it.
    fn tell(&self, trigger: &Trigger, outcome: &Outcome, said: bool, was_refused: &[String]) {
        // Who is left out was told of when the daemon started.
        let is_news = !outcome.wrong.is_empty() && *trigger != Trigger::Files;
        if !said || (outcome.in_force && !outcome.is_change() && !is_news) {
            return;
        }
        let words = outcome.words();
        if outcome.in_force {
            tracing::info!(by = trigger.words(), "configuration in force: {words}");
        } else {
            // A bad file that is touched again is no news.
            if *trigger == Trigger::Files && outcome.wrong == was_refused {
                return;
            }
            tracing::error!(
                by = trigger.words(),
                "the configuration before stays in force, all of it: {words}"
            );
        }
        let who = match trigger {
            Trigger::Asked(who) => who.clone(),
            Trigger::Signal => Who::asked(None, "signal"),
            Trigger::Files => Who::edited(&self.config().path),
        };
        let result = if outcome.in_force { "in force" } else { "refused" };
        let change = Change {
            who,
            tenant: String::new(),
            what: "reload".to_owned(),
            before: None,
            after: Some(format!("{result}: {words}")),
            reason: String::new(),
        };
        audit::write(&*self.store, vec![change]);
    }
}
