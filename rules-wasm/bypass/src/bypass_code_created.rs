use picket::prelude::*;

/// A bypass code was made for a user.
#[derive(Event)]
#[event(log = "admin", when = action_name == "bypass_create" && outcome_result != "denied")]
struct Created<'a> {
    actor_name: Option<&'a str>,
    actor_key: Option<&'a str>,
    subject_user: Option<&'a str>,
    target_name: Option<&'a str>,
}

/// A bypass code was created for a user.
///
/// Whoever has the code needs no phone. The attacker calls the helpdesk as the user and asks for one.
///
/// # Check
/// - Ask whoever created it who asked, and how the caller was verified; find the ticket.
/// - Has the user logged in with it since, and from where?
///
/// # Act
/// - Not asked for by the user: delete the code, end the user's sessions, reset the password; look for other codes by the
///   same administrator today.
///
/// # False positives
/// - The helpdesk at work: a lost, forgotten or new phone, and a ticket that says so.
#[rule(
    id = "bypass-code-created",
    severity = "medium",
    attack = ["T1556.006"],
    dedup = "60m",
    tests = "bypass_code_created.yaml",
)]
fn created(code: Row<Created>) -> Alert {
    let user = code
        .subject_user
        .or(code.target_name)
        .unwrap_or("a user without a name");
    let actor = code.actor_name.unwrap_or("somebody");
    let key = format!("{} {user}", code.actor_key.unwrap_or(actor));
    code.alert(format!("{actor} created a bypass code for {user}"))
        .dedup(key)
}
