//! The configuration, read again while the daemon runs.
//!
//! At `picket reload` and SIGHUP: tenants that are new in it begin, those that are gone end, and those that changed begin anew.
//! A configuration that is wrong changes nothing.

use serde_json::{Value, json};

use super::Daemon;
use crate::audit::{self, Who};
use crate::config::{self, Config, Problems};

/// What a reload was asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// `picket reload`.
    Asked(Who),
    /// SIGHUP.
    Signal,
}

impl Trigger {
    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Trigger::Asked(who) => who.words(),
            Trigger::Signal => "signal".to_owned(),
        }
    }

    /// Who is known to have asked; else the files' owners speak.
    fn who(&self) -> Option<&Who> {
        match self {
            Trigger::Asked(who) => Some(who),
            Trigger::Signal => None,
        }
    }
}

impl Daemon {
    /// Reads the configuration and the rules again.
    ///
    /// # Errors
    /// The rules directory cannot be read.
    pub(crate) async fn reload(&self, trigger: &Trigger) -> anyhow::Result<Value> {
        let _one = self.reloading.lock().await;
        tracing::info!(by = trigger.words(), "reload");
        let configuration = self.configuration_again(trigger.who()).await;
        let mut report = self.rules_again().await?;
        if let Value::Object(report) = &mut report {
            report.insert("configuration".to_owned(), configuration);
        }
        Ok(report)
    }

    /// Tenants of the configuration as it is now; says what began, what ended and what is wrong.
    async fn configuration_again(&self, asked: Option<&Who>) -> Value {
        let path = self.config().path.clone();
        let loaded = match config::load_for_run(&path) {
            Ok(loaded) => loaded,
            Err(problems) => return self.unchanged(&problems),
        };
        let mut wrong: Vec<String> = Vec::new();
        for (id, problems) in &loaded.broken {
            wrong.push(problems.to_string());
            // A customer whose file is half written goes on as before.
            if !self.fleet.is_running(id) {
                self.fleet.fails(id.clone(), problems.to_string(), None);
            }
        }
        let before = self.config();
        wrong.extend(needs_restart(&before, &loaded.config));
        let is_broken = |id: &str| loaded.broken.iter().any(|(broken, _)| broken == id);
        self.fleet.forgive_files(is_broken);
        let mut stopped = Vec::new();
        for tenant in &before.tenants {
            let now = loaded.config.tenants.iter().find(|now| now.id == tenant.id);
            // Secrets are in no Debug text.
            let is_same = now.is_some_and(|now| {
                format!("{now:?}") == format!("{tenant:?}") && now.source.secret.is_same(&tenant.source.secret)
            });
            if !is_same && !is_broken(&tenant.id) {
                self.fleet.stop(&tenant.id).await;
                if now.is_none() {
                    stopped.push(tenant.id.clone());
                }
            }
        }
        let started = self.fleet.start(loaded.config.tenants.clone()).await;
        let left_out: Vec<String> = loaded.broken.iter().map(|(id, _)| id.clone()).collect();
        audit::configuration(&*self.store, &loaded.config.stated, &left_out, asked, "");
        let mut config = loaded.config;
        // What ran on with its old settings is compared with them next time.
        let kept = before.tenants.iter().filter(|tenant| is_broken(&tenant.id));
        config.tenants.extend(kept.cloned());
        self.set_config(Config {
            data_dir: before.data_dir.clone(),
            rules_dir: before.rules_dir.clone(),
            control_socket: before.control_socket.clone(),
            sinks: before.sinks.clone(),
            sandbox: before.sandbox.clone(),
            clear_numbers: before.clear_numbers,
            ..config
        });
        self.wake_parents();
        json!({"started": started, "stopped": stopped, "wrong": wrong})
    }

    fn unchanged(&self, problems: &Problems) -> Value {
        tracing::error!("the configuration before stays in force: {problems}");
        json!({"started": [], "stopped": [], "wrong": [problems.to_string()]})
    }
}

/// What a running daemon does not take over.
fn needs_restart(before: &Config, now: &Config) -> Vec<String> {
    let keys = [
        ("data_dir", before.data_dir != now.data_dir),
        ("rules_dir", before.rules_dir != now.rules_dir),
        ("control_socket", before.control_socket != now.control_socket),
        ("sinks", before.sinks != now.sinks),
        ("sandbox", before.sandbox != now.sandbox),
        ("alerts", before.clear_numbers != now.clear_numbers),
        (
            "a source of type duo_accounts",
            format!("{:?}", before.parents) != format!("{:?}", now.parents),
        ),
    ];
    let changed = keys.into_iter().filter(|(_, is_other)| *is_other);
    changed
        .map(|(key, _)| format!("{key} changed: restart picket to put it in force"))
        .collect()
}
