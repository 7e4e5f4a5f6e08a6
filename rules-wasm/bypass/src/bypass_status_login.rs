use picket::prelude::*;

/// A login that Duo let through because of the user's bypass status, or (Duo's documents disagree) by a code.
#[derive(Event)]
#[event(log = "authentication", when =
    (reason == "bypass_user" && result == "success" || result == "bypass")
    && factor != "bypass_code"
    && !params.allow_users.contains(user_name))]
struct Skipped<'a> {
    user_name: Option<&'a str>,
    user_groups: Vec<&'a str>,
    application_name: Option<&'a str>,
}

#[derive(Params)]
struct Params {
    /// Names of users who may log in this way, such as service accounts.
    #[param(default = [])]
    allow_users: Vec<String>,
    /// Groups whose members may, as Duo writes them.
    #[param(default = [])]
    allow_groups: Vec<String>,
}

/// A user was let in without a second factor, because Duo was told to bypass it.
///
/// The user, or one of the user's groups, is in bypass status; or a bypass code was used. Either way the password alone was
/// enough. Attackers with an administrator's rights set bypass so that they can come back.
///
/// # Check
/// - Who set the bypass, and when? Look for user_update, group_update and bypass_create in the admin log.
/// - Is there a ticket for it, and is it still needed?
/// - Does the address of the login belong to the user?
///
/// # Act
/// - Not wanted: set the user to active in Duo, end the user's sessions, reset the password.
/// - Wanted for now: give it an end date; list the user in this rule's allow_users meanwhile.
///
/// # False positives
/// - A user or group that is in bypass on purpose, such as a service account.
#[rule(
    id = "bypass-status-login",
    severity = "high",
    attack = ["T1556.006", "T1078"],
    dedup = "60m",
    tests = "bypass_status_login.yaml",
)]
fn skipped(login: Row<Skipped>, params: &Params) -> Option<Alert> {
    if login
        .user_groups
        .iter()
        .any(|group| params.allow_groups.iter().any(|allowed| allowed == group))
    {
        return None;
    }
    Some(login.alert(format!(
        "{} was let in to {} without a second factor",
        login.user_name.unwrap_or("a user without a name"),
        login.application_name.unwrap_or("an unnamed application"),
    )))
}
