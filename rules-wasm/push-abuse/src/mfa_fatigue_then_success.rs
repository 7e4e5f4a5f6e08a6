use picket::prelude::*;

/// A prompt on the user's phone that was approved, or that the user let pass or refused.
#[derive(Event)]
#[event(log = "authentication", when =
    matches!(factor, "duo_push" | "verified_duo_push" | "phone_call")
    && (result == "success" || matches!(reason,
        "user_cancelled" | "user_mistake" | "user_marked_fraud" | "anomalous_push"
        | "no_response" | "no_keys_pressed" | "call_timed_out")))]
struct Prompt<'a> {
    user_key: &'a str,
    user_name: &'a str,
    result: &'a str,
    access_device_ip: Option<&'a str>,
}

#[derive(Params)]
struct Params {
    /// Prompts not approved before the one that was.
    #[param(default = 3, range = 2..=100)]
    count: usize,
    /// How far before the approval they count.
    #[param(default = "30m", range = "1m"..="24h")]
    window: Span,
    /// Stay silent where the approval came from the address of the user's last good login.
    #[param(default = false)]
    ignore_usual_ip: bool,
}

#[derive(State)]
#[state(version = 2)]
struct Memory {
    /// Prompts not approved, for each user.
    #[state(keep = "24h", cap = 200)]
    unapproved: Windows,
    /// Where each user was last let in from.
    #[state(keep = "90d")]
    last_ip: Lasts,
}

/// A user approved a prompt after refusing or ignoring several.
///
/// An attacker who knows the password sends prompt after prompt until the user gives in. **This one got in.**
///
/// # Check
/// - Ask the user, on a number you already have: was the last approval theirs?
/// - Is the address of the approval one the user has been let in from before?
///
/// # Act
/// - Not theirs: end the user's sessions, reset the password, set the user to disabled in Duo, then look at what was opened.
/// - Afterwards: verified push for this user's group.
///
/// # False positives
/// - A phone without signal: the attempts come from the user's usual address and are evenly spaced by hand.
#[rule(
    id = "mfa-fatigue-then-success",
    severity = "critical",
    attack = ["T1621", "T1078"],
    dedup = "60m",
    supersedes = ["mfa-fatigue-denied-burst"],
    tests = "mfa_fatigue_then_success.yaml",
)]
fn gave_in(prompt: Row<Prompt>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let mut unapproved = memory.unapproved.of(prompt.user_key);
    if prompt.result != "success" {
        unapproved.add(&prompt);
        return None;
    }
    let burst = unapproved.take(params.window);
    let usual = memory.last_ip.of(prompt.user_key).swap(prompt.access_device_ip);
    if burst.len() < params.count || (usual && params.ignore_usual_ip) {
        return None;
    }
    let title = format!(
        "{} approved a prompt after {} that were not approved",
        prompt.user_name,
        burst.len()
    );
    Some(
        prompt
            .alert(title)
            .fact("from the user's last good address", usual)
            .evidence(burst),
    )
}
