use picket::prelude::*;

/// A user was deleted, by a person as far as the log can tell: not by a directory sync, a script or Duo's own clean-up.
#[derive(Event)]
#[event(log = "admin", when =
    action_name == "user_delete"
    && outcome_result != "denied"
    && !matches!(actor_type, "system" | "api" | "sync" | "directory_sync")
    && !(actor_name.starts_with("API") || actor_name.starts_with("System")
        || actor_name.starts_with("AD Sync") || actor_name.starts_with("Azure Sync")
        || actor_name.starts_with("Entra ID Sync") || actor_name.starts_with("OpenLDAP Sync"))
    && !params.sync_actors.contains(actor_name))]
struct Deleted<'a> {
    actor_name: Option<&'a str>,
    actor_key: Option<&'a str>,
    subject_user: Option<&'a str>,
    target_name: Option<&'a str>,
}

#[derive(Params)]
struct Params {
    /// Names of actors who delete users as their work, such as an account that a directory sync uses.
    #[param(default = [])]
    sync_actors: Vec<String>,
}

/// A user was deleted by a person.
///
/// Deleting users locks them out, and takes traces away. Directory syncs, scripts and Duo's clean-up of inactive users are
/// not reported here.
///
/// # Check
/// - Has the user left the company? Find the ticket.
/// - Did the same administrator delete others today?
///
/// # Act
/// - Not wanted: restore the user (Duo keeps deleted users for seven days), then take the administrator's sessions and
///   credentials away until it is clear who acted.
///
/// # False positives
/// - Somebody has left, and the directory is not synchronised.
#[rule(
    id = "user-deleted",
    severity = "medium",
    attack = ["T1531"],
    tests = "user_deleted.yaml",
)]
fn deleted(event: Row<Deleted>, _: &Params) -> Alert {
    let user = event
        .subject_user
        .or(event.target_name)
        .unwrap_or("a user without a name");
    let actor = event.actor_name.unwrap_or("somebody");
    let key = format!("{} {user}", event.actor_key.unwrap_or(actor));
    event.alert(format!("{actor} deleted the user {user}")).dedup(key)
}
