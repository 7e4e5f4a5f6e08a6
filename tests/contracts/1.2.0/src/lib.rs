//! A rule that uses every interface of picket:rule@1.2.0: state and timers (with what 1.1.0 and 1.2.0 added), lookup, params and log.

use picket::prelude::*;

/// A login.
#[derive(Event)]
#[event(log = "authentication", when = event_type == "authentication")]
struct Login<'a> {
    user_name: &'a str,
    result: &'a str,
    access_device_ip: Option<&'a str>,
    auth_device_name: Option<&'a str>,
}

#[derive(Params)]
struct Params {
    /// Refusals that are enough.
    #[param(default = 3, range = 1..=100)]
    count: usize,
    /// How close together they are.
    #[param(default = "10m", range = "1m"..="24h")]
    window: Span,
}

#[derive(State)]
struct Memory {
    /// Refusals of each user, with the address.
    #[state(keep = "24h", cap = 100)]
    refusals: Windows,
    /// Addresses of each user.
    #[state(keep = "24h", cap = 100)]
    addresses: Firsts,
}

/// A user was refused several times; and nothing came of it for an hour.
///
/// # Check
/// - Nothing: this rule shows that the contract of its time still holds.
///
/// # Act
/// - Nothing.
///
/// # False positives
/// - All of them.
#[rule(id = "contract", severity = "low", attack = ["T1078"], dedup = "1h", tests = "cases.yaml", on_timer = expired)]
fn refused(login: Row<Login>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let user = login.user_name;
    if login.result == "success" {
        timers::cancel(user);
        memory.refusals.of(user).clear();
        return None;
    }
    let address = login.access_device_ip.unwrap_or("nowhere");
    let is_new = memory.addresses.of(user).is_new(address);
    let mut refusals = memory.refusals.of(user);
    refusals.add_with(&login, address);
    let burst = refusals.within(params.window);
    timers::set(user, login.time() + Span::hours(1));
    if burst.len() < params.count {
        return None;
    }
    log::info(&format!("{user}: {} refusals", burst.len()));
    let group = lookup::find("staff", "key", user)
        .and_then(|found| found.first().and_then(|entry| entry.get("value").map(str::to_owned)));
    let alert = login
        .alert(format!("{user} was refused {} times within {}", burst.len(), params.window))
        .fact("addresses", burst.values().join(", "))
        .fact("group", group.as_deref().unwrap_or("unknown"))
        .fact("new address", if is_new { "yes" } else { "no" })
        .fact("device", login.auth_device_name.unwrap_or("none"))
        .evidence(burst);
    Some(alert)
}

fn expired(timer: Timer, _params: &Params, memory: &mut Memory) -> Option<Alert> {
    let user = timer.key().to_owned();
    let burst = memory.refusals.of(&user).take(Span::hours(2));
    if burst.len() < 2 {
        return None;
    }
    Some(
        timer
            .alert(format!("{user} was refused {} times, and an hour has passed", burst.len()))
            .dedup(format!("expired {user}"))
            .evidence(burst),
    )
}

picket::module!(refused);
