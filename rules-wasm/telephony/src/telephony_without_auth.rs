use Step::*;
use picket::prelude::*;

/// A text or a call, and the login it is for.
#[derive(Event)]
enum Step<'a> {
    /// Duo sends something so that somebody can log in.
    #[event(log = "telephony", when = context == "authentication")]
    Sent { txid: &'a str, phone: &'a str },

    /// A login that a text or a call may have been for.
    #[event(log = "authentication", when = !matches!(factor,
        "duo_push" | "verified_duo_push" | "remembered_device" | "duo_mobile_passcode" | "webauthn_credential"
        | "hardware_token" | "yubikey_passcode" | "bypass_code" | "trusted_endpoint"))]
    Login { txid: &'a str },
}

#[derive(Params)]
struct Params {
    /// How long after the text or call its login may come.
    #[param(default = "30m", range = "5m"..="24h")]
    grace: Span,
}

#[derive(State)]
struct Memory {
    /// Texts and calls whose login has not come yet, by transaction.
    #[state(keep = "2h", cap = 16)]
    logins: Silences,
}

/// A text or a call was sent for a login that there never was.
///
/// Every text and call of Duo's that is for a login has the login's transaction. One whose transaction is in no authentication
/// log was asked for by somebody who did not want to log in: somebody who earns by texts to a number of their own (toll fraud),
/// or a program that uses your integration's keys.
///
/// # Check
/// - Whose number is it? Nobody's, or one of a premium range: toll fraud.
/// - How many more of these are there, and which application's keys were used? Look at the volume of the last hours.
///
/// # Act
/// - Reset the secret key of the application that asked; restrict texts and calls to the countries you have users in.
/// - Tell Duo's support, if credits were lost.
///
/// # False positives
/// - Duo's authentication log is behind by more than the grace: the collection rules say so.
#[rule(
    id = "telephony-without-auth",
    severity = "medium",
    attack = ["T1496.003"],
    dedup = "24h",
    on_timer = unanswered,
    tests = "telephony_without_auth.yaml",
)]
fn sent(step: Row<Step>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    match *step {
        Sent { txid, phone } => {
            let within = Within {
                before: Span::hours(1),
                after: params.grace,
            };
            memory.logins.of(txid).expect(&step, phone, within);
        }
        Login { txid } => memory.logins.of(txid).came(&step),
    }
    None
}

fn unanswered(timer: Timer, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let silent = memory.logins.rang(&timer)?;
    let phone = silent.values().next().unwrap_or_default().to_owned();
    let alert = timer
        .alert(format!(
            "a text or call to {phone} was for no login within {}",
            params.grace
        ))
        .about("phone", &phone, &phone)
        .dedup(&phone)
        .fact("transaction", silent.key());
    Some(alert.evidence(silent))
}
