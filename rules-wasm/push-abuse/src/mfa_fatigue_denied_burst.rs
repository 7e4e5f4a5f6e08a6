use picket::prelude::*;

/// A prompt on the user's phone that the user let pass or refused.
#[derive(Event)]
#[event(log = "authentication", when =
    matches!(factor, "duo_push" | "verified_duo_push" | "phone_call")
    && result != "success"
    && matches!(reason,
        "user_cancelled" | "user_mistake" | "user_marked_fraud" | "anomalous_push"
        | "no_response" | "no_keys_pressed" | "call_timed_out"))]
struct Refusal<'a> {
    user_key: &'a str,
    user_name: Option<&'a str>,
    access_device_ip: Option<&'a str>,
}

#[derive(Params)]
struct Params {
    /// Prompts not approved that make a burst.
    #[param(default = 5, range = 2..=100)]
    count: usize,
    /// How close together they are.
    #[param(default = "10m", range = "1m"..="24h")]
    window: Span,
}

#[derive(State)]
#[state(version = 2)]
struct Memory {
    /// Prompts not approved, for each user, with the address that asked.
    #[state(keep = "24h", cap = 200)]
    refusals: Windows,
}

/// A user refused or ignored several prompts in a short time.
///
/// Somebody knows the password and sends prompt after prompt, hoping that the user gives in. Nobody got in by these.
///
/// # Check
/// - Ask the user, on a number you already have, whether they were logging in at that moment.
/// - Has a prompt been approved since? Look at the user's timeline.
///
/// # Act
/// - Not theirs: reset the password, block the address, tell the user to report such prompts as fraud.
/// - Afterwards: verified push for this user's group.
///
/// # False positives
/// - A phone without signal, or left at home: the attempts come from the user's usual address.
/// - A program that logs in by itself with a user's account: evenly spaced attempts, day and night.
#[rule(
    id = "mfa-fatigue-denied-burst",
    severity = "high",
    attack = ["T1621"],
    dedup = "60m",
    tests = "mfa_fatigue_denied_burst.yaml",
)]
fn harassed(refusal: Row<Refusal>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let mut refusals = memory.refusals.of(refusal.user_key);
    refusals.add_with(&refusal, refusal.access_device_ip.unwrap_or_default());
    let burst = refusals.within(params.window);
    if burst.len() < params.count {
        return None;
    }
    let user = refusal.user_name.unwrap_or(refusal.user_key);
    let title = format!(
        "{user} did not approve {} prompts within {}",
        burst.len(),
        params.window
    );
    Some(
        refusal
            .alert(title)
            .fact("addresses that asked", burst.values().join(", "))
            .evidence(burst),
    )
}
