//! Rules and configuration, read again while the daemon runs.
//!
//! Rules are read again whenever their directory changes, and at `picket reload`. The latter (and SIGHUP) also reads the
//! configuration: tenants that are new in it begin, those that are gone end, and those that changed begin anew. A
//! configuration that is wrong changes nothing.

use std::time::Instant;

use picket_judge::pipeline::SwapReport;
use serde_json::{Value, json};

use super::{Daemon, lock, say};
use crate::audit::{self, Who};
use crate::config::{self, Config, Problems};
use crate::registry::Changes;

impl Daemon {
    /// Reads the rules directory again and puts what changed in force, between two calls.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) async fn reload_rules(&self) -> anyhow::Result<Value> {
        let _one = self.reloading.lock().await;
        self.rules_again().await
    }

    /// Reads the configuration and the rules again. `asked`: by whom, for the audit log; none: the files' owners speak.
    ///
    /// # Errors
    /// The rules directory cannot be read.
    pub(crate) async fn reload(&self, asked: Option<Who>) -> anyhow::Result<Value> {
        let _one = self.reloading.lock().await;
        let configuration = self.configuration_again(asked.as_ref()).await;
        let mut report = self.rules_again().await?;
        if let Value::Object(report) = &mut report {
            report.insert("configuration".to_owned(), configuration);
        }
        Ok(report)
    }

    async fn rules_again(&self) -> anyhow::Result<Value> {
        let began = Instant::now();
        let mut changes = Changes::default();
        let mut swaps = Vec::new();
        loop {
            // What a scan found good goes live before the next: modules that keep the compiler busy hold up no others.
            let registry = self.registry.clone();
            let found = tokio::task::spawn_blocking(move || registry.scan()).await??;
            say(&found);
            swaps.extend(self.in_force(&found).await);
            changes.and_then(found);
            if !changes.is_unfinished {
                break;
            }
        }
        self.fleet.retry().await;
        let took = began.elapsed();
        Ok(json!({"changes": changes, "tenants": swaps, "took_ms": took.as_secs_f64() * 1000.0}))
    }

    /// Puts what changed in force, and says of each tenant what came of it.
    async fn in_force(&self, changes: &Changes) -> Vec<Value> {
        let mut swaps = Vec::new();
        for tenant in self.fleet.running().iter().filter(|tenant| {
            // A swap that failed is tried again, changes or none.
            changes.touch(&tenant.config.id) || !lock(&tenant.refused).is_empty()
        }) {
            let swapped = tenant.swap().await;
            *lock(&tenant.refused) = swapped
                .as_ref()
                .err()
                .map(|error| format!("{error:#}"))
                .into_iter()
                .collect();
            match swapped {
                Ok(report) => {
                    tracing::info!(tenant = %tenant.config.id, generation = report.generation, kept = report.kept.len(),
                        begun = report.begun.len(), retired = report.retired.len(), pause = ?report.pause, "rules swapped");
                    swaps.push(swap_json(&tenant.config.id, &report));
                }
                Err(error) => {
                    tracing::error!(tenant = %tenant.config.id, "the rules before stay in force: {error:#}");
                    swaps.push(json!({"tenant": tenant.config.id, "error": format!("{error:#}")}));
                }
            }
        }
        swaps
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

fn swap_json(tenant: &str, report: &SwapReport) -> Value {
    let begun: Vec<&String> = report.begun.iter().map(|(rule, _)| rule).collect();
    json!({
        "tenant": tenant,
        "generation": report.generation,
        "kept": report.kept,
        "begun": begun,
        "retired": report.retired,
        "pause_ms": report.pause.as_secs_f64() * 1000.0,
    })
}
