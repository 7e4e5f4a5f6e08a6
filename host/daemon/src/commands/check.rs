//! `picket check`: configuration, rules, and one signed call for each account and log.

use std::sync::Arc;

use picket_duo::{Log, Query};
use picket_sandbox::{Engine, Limits};
use serde_json::json;

use crate::account::Account;
use crate::cli::Format;
use crate::config::{Config, TenantConfig};
use crate::out::out;
use crate::registry::Registry;
use crate::{ruleset, when};

/// A clock further off than this makes signatures fail sooner or later, ms.
const SKEW: i64 = 60_000;

/// One thing that was checked.
struct Finding {
    what: String,
    wrong: Option<String>,
}

/// Checks everything; true: all is well.
///
/// # Errors
/// The sandbox cannot be started.
pub(crate) async fn run(config: &Config, offline: bool, format: Format) -> anyhow::Result<bool> {
    let mut findings = vec![Finding {
        what: format!("configuration {}", config.path.display()),
        wrong: None,
    }];
    let mut registry = Registry::new(config.rules_dir.clone(), Engine::new(Limits::default())?);
    let scanned = registry.scan();
    findings.push(Finding {
        what: format!("rules directory {}", config.rules_dir.display()),
        wrong: scanned
            .err()
            .map(|error| format!("{error}; make it, or copy the stock rules there")),
    });
    for (path, slot) in registry.slots() {
        let cases = slot.live.as_ref().map_or(0, |live| live.cases);
        findings.push(Finding {
            what: format!("module {} ({cases} cases pass)", path.display()),
            wrong: slot.refusal.as_ref().map(|refusal| refusal.reason.clone()),
        });
    }
    for tenant in &config.tenants {
        let modules = registry.modules(&tenant.id);
        let mut wrong = ruleset::strangers(&modules, &tenant.overrides);
        wrong.extend(
            ruleset::rules(&modules, &tenant.overrides, &tenant.lists)
                .err()
                .into_iter()
                .flatten(),
        );
        findings.push(Finding {
            what: format!("{}: rules and parameters", tenant.id),
            wrong: (!wrong.is_empty()).then(|| wrong.join("\n")),
        });
        if offline {
            let secret = tenant.source.secret.read().err();
            findings.push(Finding {
                what: format!("{}: secret key", tenant.id),
                wrong: secret,
            });
        } else {
            findings.extend(online(tenant).await);
        }
    }
    let well = findings.iter().all(|finding| finding.wrong.is_none());
    for finding in findings {
        match (format, &finding.wrong) {
            (Format::Ndjson, wrong) => out!(
                "{}",
                json!({"check": finding.what, "ok": wrong.is_none(), "wrong": wrong})
            ),
            (Format::Text, None) => out!("ok     {}", finding.what),
            (Format::Text, Some(wrong)) => {
                out!("WRONG  {}\n       {}", finding.what, wrong.replace('\n', "\n       "))
            }
        }
    }
    Ok(well)
}

/// One signed call for each log.
async fn online(tenant: &TenantConfig) -> Vec<Finding> {
    let at = format!("{} at {}", tenant.id, tenant.source.api_hostname);
    let account = match Account::open(&tenant.source) {
        Ok(account) => Arc::new(account),
        Err(error) => {
            return vec![Finding {
                what: at,
                wrong: Some(format!("{error:#}")),
            }];
        }
    };
    let client = account.client().await;
    let mut findings = Vec::new();
    for log in tenant.source.collect.iter().filter_map(|log| log.parse::<Log>().ok()) {
        let now = when::now();
        let query = Query {
            mintime: now - 3_600_000,
            maxtime: now,
            limit: 1,
            offset: None,
        };
        let answer = client.page(log, &query).await;
        let wrong = match answer {
            Ok(page) => page
                .server_date_ms
                .map(|date| date - when::now())
                .filter(|skew| skew.abs() > SKEW)
                .map(|skew| {
                    let side = if skew > 0 { "behind" } else { "ahead of" };
                    format!(
                        "this machine's clock is {} {side} Duo's; set it right (NTP: timedatectl status)",
                        when::long(skew.abs())
                    )
                }),
            Err(error) => Some(error.to_string()),
        };
        findings.push(Finding {
            what: format!("{at}: {log} log"),
            wrong,
        });
    }
    findings
}
