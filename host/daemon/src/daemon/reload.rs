//! Rules, read again while the daemon runs: whenever their directory changes, and at `picket reload`.

use picket_failpoint::{Point, reach};
use picket_judge::pipeline::SwapReport;
use serde_json::{Value, json};

use super::versions::end_of;
use super::{Daemon, Running, lock, say};
use crate::registry::Changes;

impl Daemon {
    /// Reads the rules directory again, and has what is new in it tried on stored events. What passes takes over when it has; here
    /// nobody waits for it.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) async fn reload_rules(&self) -> anyhow::Result<()> {
        let _one = self.reloading.lock().await;
        self.rules_again().await.map(drop)
    }

    /// Waits for everything that is being tried, and adds what came of it to a report of [`Daemon::rules_again`].
    pub(super) async fn when_tried(&self, report: &mut Value) {
        for ended in self.trials_under_way() {
            let changes = end_of(ended).await;
            let of = [
                ("live", json!(changes.live)),
                ("refused", json!(changes.refused)),
                ("waiting", json!(changes.waiting)),
                ("shadow", json!(changes.shadow)),
            ];
            for (name, more) in of {
                let list = report
                    .pointer_mut(&format!("/changes/{name}"))
                    .and_then(Value::as_array_mut);
                if let (Some(list), Value::Array(more)) = (list, more) {
                    list.extend(more);
                }
            }
        }
    }

    pub(super) async fn rules_again(&self) -> anyhow::Result<Value> {
        let mut changes = Changes::default();
        let mut swaps = Vec::new();
        loop {
            // What a scan found good goes live before the next: modules that keep the compiler busy hold up no others.
            let registry = self.registry.clone();
            let found = tokio::task::spawn_blocking(move || registry.scan()).await??;
            say(&found);
            swaps.extend(self.in_force(&found).await);
            self.try_out(found.candidates.iter().cloned());
            self.shadow_live();
            changes.and_then(found);
            if !changes.is_unfinished {
                break;
            }
        }
        self.fleet.retry().await;
        Ok(json!({"changes": changes, "tenants": swaps}))
    }

    /// Puts what changed in force, and says of each tenant what came of it.
    pub(super) async fn in_force(&self, changes: &Changes) -> Vec<Value> {
        let mut swaps = Vec::new();
        for tenant in self.fleet.running().iter().filter(|tenant| {
            // A swap that failed is tried again, changes or none.
            changes.touch(&tenant.id) || !lock(&tenant.refused).is_empty()
        }) {
            swaps.push(swap(tenant).await);
        }
        swaps
    }
}

/// Has a tenant judged by what is live now, under its configuration as it is now; says what came of it.
pub(super) async fn swap(tenant: &Running) -> Value {
    let swapped = tenant.swap().await;
    reach(Point::ReloadMiddle);
    *lock(&tenant.refused) = swapped
        .as_ref()
        .err()
        .map(|error| format!("{error:#}"))
        .into_iter()
        .collect();
    match swapped {
        Ok(report) => {
            tracing::info!(tenant = %tenant.id, generation = report.generation, kept = report.kept.len(),
                begun = report.begun.len(), retired = report.retired.len(), pause = ?report.pause, "rules swapped");
            swap_json(&tenant.id, &report)
        }
        Err(error) => {
            tracing::error!(tenant = %tenant.id, "the rules before stay in force: {error:#}");
            json!({"tenant": &*tenant.id, "error": format!("{error:#}")})
        }
    }
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
