//! Two custom rules to copy. One reads the log of users that were changed, the other looks a user up in a table of the inventory.

use picket::prelude::*;

/// A user whom Duo now lets pass without a second factor. Found in the account's first snapshot, or changed since.
#[derive(Event)]
#[event(log = "user", when = after_status == "bypass" && before_status != "bypass")]
struct LetThrough<'a> {
    subject_user: &'a str,
    change: &'a str,
    before_status: Option<&'a str>,
}

/// A user need not authenticate with a second factor any more.
///
/// # Check
/// - Who changed the status, and for which ticket?
///
/// # Act
/// - No ticket: set the user back to active.
///
/// # False positives
/// - Service accounts that are meant to be so: say so in a list.
#[rule(id = "acme-bypass-set", severity = "medium", attack = ["T1556.006"], tests = "set.yaml")]
fn set(user: Row<LetThrough>) -> Alert {
    let name = user.subject_user;
    let title = match user.change {
        "first" => format!("{name} is in bypass"),
        _ => format!("{name} was put into bypass"),
    };
    user.alert(title)
        .fact("before", user.before_status.unwrap_or("unknown"))
}

/// Somebody is let in.
#[derive(Event)]
#[event(log = "authentication", when = event_type == "authentication" && result == "success")]
struct LetIn<'a> {
    user_name: &'a str,
}

/// A user whom the inventory shows in bypass logged in.
///
/// # Check
/// - Is the bypass still needed?
///
/// # Act
/// - No: set the user back to active.
///
/// # False positives
/// - Users whose phone is lost, for the time of the ticket.
#[rule(id = "acme-bypass-used", severity = "low", attack = ["T1078"], dedup = "24h", tests = "used.yaml")]
fn used(login: Row<LetIn>) -> Option<Alert> {
    // No table: the inventory has not been read yet, and nothing is known of anybody.
    let users = lookup::find("inventory.users", "username", &login.user_name.to_lowercase())?;
    let user = users.first()?;
    if user.get("status") != Some("bypass") {
        return None;
    }
    let groups = user.get("groups").unwrap_or("none");
    Some(
        login
            .alert(format!("{} logged in while in bypass", login.user_name))
            .fact("groups", groups),
    )
}

picket::module!(set, used);
