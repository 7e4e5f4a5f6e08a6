use picket::prelude::*;

/// A text or a call.
#[derive(Event)]
#[event(log = "telephony")]
struct Message<'a> {
    phone: &'a str,
    credits: Option<i64>,
}

#[derive(Params)]
struct Params {
    /// Texts and calls to one number that make a burst.
    #[param(default = 5, range = 2..=1000)]
    count: usize,
    /// How close together they are.
    #[param(default = "10m", range = "1m"..="24h")]
    window: Span,
}

#[derive(State)]
#[state(version = 3)]
struct Memory {
    /// Texts and calls to each number (its pseudonym), with what each cost.
    #[state(keep = "24h", cap = 1000)]
    messages: Windows,
}

/// One number got several texts or calls in a short time.
///
/// Either somebody who knows a password wears the user down with calls, or somebody earns by texts to a number of their own
/// (toll fraud).
///
/// # Check
/// - Whose number is it? Nobody's: toll fraud. A user's: look for refused calls in the authentication log.
/// - How many credits did it cost, and which application asked?
///
/// # Act
/// - A user's number: treat it like any burst of prompts; ask the user, reset the password if they were not logging in.
/// - Nobody's number: close self-enrolment of the application that asked, and tell Duo's support.
///
/// # False positives
/// - A phone without signal: texts that do not arrive, asked for again and again.
#[rule(
    id = "telephony-number-burst",
    severity = "medium",
    attack = ["T1621", "T1496.003"],
    dedup = "60m",
    tests = "telephony_number_burst.yaml",
)]
fn burst(message: Row<Message>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let mut messages = memory.messages.of(message.phone);
    messages.add(&message);
    let burst = messages.within(params.window);
    if burst.len() < params.count {
        return None;
    }
    let title = format!(
        "{} got {} texts or calls within {}",
        message.phone,
        burst.len(),
        params.window
    );
    let alert = message
        .alert(title)
        .about("phone", message.phone, message.phone)
        .dedup(message.phone)
        .evidence(burst);
    Some(match message.credits {
        Some(credits) => alert.fact("credits of the last", credits),
        None => alert,
    })
}
