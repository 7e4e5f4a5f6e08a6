use picket::prelude::*;

/// Somebody uses an application.
#[derive(Event)]
#[event(log = "authentication", when = event_type == "authentication")]
struct Login<'a> {
    application_key: Option<&'a str>,
    application_name: &'a str,
}

#[derive(Params)]
struct Params {
    /// How long an application must have been silent.
    #[param(default = "6h", range = "1h"..="24h")]
    silence: Span,
    /// In how many weeks before, at this very time of the week, it must have been in use.
    #[param(default = 3, range = 1..=4)]
    weeks: i64,
    /// How busy it must have been in each of them: in how many of the sixteen parts of such a time somebody logged in.
    #[param(default = 8, range = 1..=16)]
    parts: u64,
    /// Names of applications that may stand still.
    #[param(default = [])]
    allow_applications: Vec<String>,
}

#[derive(State)]
#[state(version = 2)]
struct Memory {
    /// The last login of each application.
    #[state(keep = "2d")]
    life: Silences,
    /// In how many parts of each hour it was in use.
    #[state(keep = "35d", cap = 840)]
    usual: Baselines<60>,
}

/// An application that is in steady use has had no login for hours.
///
/// Either it is broken, which is news in itself, or it no longer asks Duo: a server whose `hosts` file sends Duo's name nowhere
/// lets everybody in without a second factor where it is set to fail open. At the same time of the week it was busy in each of
/// the weeks before, so nights, weekends and lunch are not reported.
///
/// # Check
/// - Can people log in to it? Do they, without being prompted?
/// - On its server: does Duo's API host name resolve to Duo, is the proxy running, is its configuration as it was?
///
/// # Act
/// - Let in without a prompt: take the application off the network, set it to fail closed, then look at who came in since.
/// - Broken: tell its owner.
///
/// # False positives
/// - A public holiday, a migration, maintenance; an application that was retired.
#[rule(
    id = "application-went-silent",
    severity = "medium",
    attack = ["T1556.006", "T1562"],
    dedup = "24h",
    on_timer = silent,
    tests = "application_went_silent.yaml",
)]
fn login(login: Row<Login>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let name = login.application_name;
    if params.allow_applications.iter().any(|allowed| allowed == name) {
        return None;
    }
    let application = [login.application_key.unwrap_or(name), " ", name].concat();
    if memory.life.of(&application).beat(&login, params.silence) {
        memory.usual.of(&application).add(&login, 1);
    }
    None
}

fn silent(timer: Timer, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let silence = memory.life.rang(&timer)?;
    let (since, now) = (silence.since()?, timer.time());
    let application = silence.key().to_owned();
    let usual = memory.usual.of(&application);
    let mut parts = Vec::new();
    for week in 1..=params.weeks {
        let back = Span::hours(week * 7 * 24);
        let in_use = usual.between(since - back, now - back);
        if in_use < params.parts {
            return None;
        }
        parts.push(in_use);
    }
    let (key, name) = application.split_once(' ')?;
    let hours = (now - since).as_ms() / 3_600_000;
    let busy: Vec<String> = parts.iter().map(u64::to_string).collect();
    let alert = timer
        .alert(format!("{name} has had no login for {hours} hours"))
        .about("application", key, name)
        .dedup(key)
        .fact("parts of that time in use, one week before and so on", busy.join(", "));
    Some(alert.evidence(silence))
}
