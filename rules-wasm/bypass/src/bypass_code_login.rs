use picket::prelude::*;

/// A login with a bypass code.
#[derive(Event)]
#[event(log = "authentication", when = factor == "bypass_code" && result == "success")]
struct CodeLogin<'a> {
    user_name: Option<&'a str>,
    application_name: Option<&'a str>,
}

/// A user logged in with a bypass code.
///
/// A bypass code stands in for the phone. Whoever got it from the helpdesk, by whatever story, is the user now.
///
/// # Check
/// - Who created the code, and how was the caller verified? Find the ticket.
/// - Does the address of the login belong to the user?
///
/// # Act
/// - Not theirs: end the user's sessions, delete the user's bypass codes, reset the password.
/// - Theirs: see that the code is used up or deleted, and that the user has a factor again.
///
/// # False positives
/// - A lost or new phone: a code was created for the user shortly before, for a reason that is written down.
#[rule(
    id = "bypass-code-login",
    severity = "medium",
    attack = ["T1556.006", "T1078"],
    dedup = "60m",
    tests = "bypass_code_login.yaml",
)]
fn used(login: Row<CodeLogin>) -> Alert {
    login.alert(format!(
        "{} logged in to {} with a bypass code",
        login.user_name.unwrap_or("a user without a name"),
        login.application_name.unwrap_or("an unnamed application"),
    ))
}
