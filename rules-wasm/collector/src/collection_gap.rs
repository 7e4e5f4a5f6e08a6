use picket::prelude::*;

use crate::{short, told};

/// What Picket met when it read Duo's logs.
#[derive(Event)]
enum Met<'a> {
    /// A log that cannot be read, or a piece of it that is lost.
    #[event(log = "collector", when = matches!(event, "failing" | "refused" | "gap"))]
    Blind {
        event: &'a str,
        log: &'a str,
        since: Option<&'a str>,
        error: Option<&'a str>,
        action: Option<&'a str>,
    },
    /// It can be read again.
    #[event(log = "collector", when = event == "recovered" && path("was") != "silent")]
    Sees { log: &'a str, since: Option<&'a str> },
}

/// A log of Duo's could not be read for a quarter of an hour, or a piece of it is lost.
///
/// Until it can be read again, no rule sees what happens in it. Duo keeps its logs for 180 days: what is read later is judged
/// later, and nothing is lost before then. Somebody who takes away the key's permission, or deletes its application, blinds
/// you in just this way.
///
/// # Check
/// - What does the alert's error say, and since when?
/// - Was the application of the Admin API, its permissions or its key changed in the Duo Admin Panel, and by whom?
/// - Do other logs of the same account come in?
///
/// # Act
/// - Do what the alert's next action says; `picket check` tells whether it helped.
/// - Changed by somebody who should not have: treat the administrator's account as taken over.
/// - When the log is read again, look at the alerts that come late.
///
/// # False positives
/// - Maintenance at Duo, or of your own network or proxy.
#[rule(
    id = "collection-gap",
    severity = "medium",
    attack = ["T1562.008"],
    dedup = "24h",
    tests = "collection_gap.yaml",
)]
fn blind(met: Row<Met>) -> Alert {
    match *met {
        Met::Blind {
            event,
            log,
            since,
            error,
            action,
        } => {
            let error = error.unwrap_or("no reason is known");
            let what = match event {
                "refused" => "is refused by Duo",
                "gap" => "has lost events",
                _ => "cannot be read",
            };
            let alert = met.alert(format!("Duo's {log} log {what} since {}: {error}", short(since)));
            told(alert, event, log, since)
                .fact("error", error)
                .fact("next action", action.unwrap_or("ask `picket status`"))
        }
        Met::Sees { log, since } => {
            let alert = met.alert(format!(
                "Duo's {log} log is read again; it was not since {}",
                short(since)
            ));
            told(alert, "recovered", log, since).severity(Severity::Info)
        }
    }
}
