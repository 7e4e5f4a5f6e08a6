//! Stock rules about what Picket itself does not see: a log that cannot be read, one that has gone quiet, an application that
//! no longer asks Duo.

mod application_went_silent;
mod collection_gap;
mod collector_stalled;

use picket::prelude::*;

picket::module!(
    collection_gap::blind,
    collector_stalled::silent,
    application_went_silent::login
);

/// `2026-01-05T08:45:00Z` as people read it; anything else as it is.
fn short(time: Option<&str>) -> String {
    let Some(time) = time else {
        return "an unknown time".to_owned();
    };
    match (time.get(..10), time.get(11..16)) {
        (Some(day), Some(clock)) if time.ends_with('Z') => format!("{day} {clock}Z"),
        _ => time.to_owned(),
    }
}

/// What every one of these alerts says of its log. An alert for each trouble: the same log may have several in a day.
fn told(alert: Alert, event: &str, log: &str, since: Option<&str>) -> Alert {
    alert
        .about("log", log, log)
        .dedup(format!("{log} {event} {}", since.unwrap_or_default()))
        .fact("log", log)
        .fact("since", short(since))
}
