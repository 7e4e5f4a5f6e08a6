use picket::prelude::*;

use crate::{short, told};

/// What Picket met when it read Duo's logs.
#[derive(Event)]
enum Met<'a> {
    /// Duo answers, and has nothing to tell.
    #[event(log = "collector", when = event == "silent")]
    Silent {
        log: &'a str,
        since: Option<&'a str>,
        error: Option<&'a str>,
        action: Option<&'a str>,
    },
    /// Rows come again.
    #[event(log = "collector", when = event == "recovered" && path("was") == "silent")]
    Speaks { log: &'a str, since: Option<&'a str> },
}

/// A log that was busy round the clock has brought nothing for hours.
///
/// Duo answers as if all were well, so nothing else would tell you. Either nobody uses Duo any more, which is news in itself:
/// a proxy that lets everybody in without a second factor looks like this; or Duo no longer writes the log, or no longer shows it.
///
/// # Check
/// - Does the Duo Admin Panel's report show events in this time? Then they are kept from the Admin API application.
/// - If it does not: do users still get prompts? Log in yourself.
/// - Were authentication proxies, applications or policies changed shortly before?
///
/// # Act
/// - Users get in without a prompt: find what fails open, and close it.
/// - The report has events and Picket does not: check the application's permissions, then ask Duo's support.
///
/// # False positives
/// - A holiday, or an outage of the network in front of Duo.
#[rule(
    id = "collector-stalled",
    severity = "medium",
    attack = ["T1562.008"],
    dedup = "24h",
    tests = "collector_stalled.yaml",
)]
fn silent(met: Row<Met>) -> Alert {
    match *met {
        Met::Silent {
            log,
            since,
            error,
            action,
        } => {
            let alert = met.alert(format!(
                "Duo's {log} log has been silent since {}, though it was busy before",
                short(since)
            ));
            told(alert, "silent", log, since)
                .fact("error", error.unwrap_or("Duo answers without a single row"))
                .fact(
                    "next action",
                    action.unwrap_or("look at the reports in the Duo Admin Panel"),
                )
        }
        Met::Speaks { log, since } => {
            let alert = met.alert(format!(
                "Duo's {log} log speaks again; it was silent since {}",
                short(since)
            ));
            told(alert, "recovered", log, since).severity(Severity::Info)
        }
    }
}
