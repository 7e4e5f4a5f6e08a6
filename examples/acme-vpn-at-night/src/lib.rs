//! A custom rule to copy. `cargo test` runs its cases; `cargo xtask rules` builds it; drop the .wasm into rules/<tenant>/.

use picket::prelude::*;

/// From this hour on (UTC) it is night ...
const NIGHT_BEGINS: i64 = 22;
/// ... until this one.
const NIGHT_ENDS: i64 = 6;

/// Someone is let in to the VPN.
#[derive(Event)]
#[event(log = "authentication", when = event_type == "authentication" && result == "success" && application_name.contains("VPN"))]
struct LetIn<'a> {
    user_name: &'a str,
    access_device_ip: Option<&'a str>,
}

/// Someone used the VPN at night.
///
/// Acme's people work by day. A login at night is worth a look, no more.
///
/// # Check
/// - Is the user on call, or abroad?
///
/// # Act
/// - Neither: ask the user, on a number you already have.
///
/// # False positives
/// - Colleagues who work late: put them on the list of those on call.
#[rule(id = "acme-vpn-at-night", severity = "low", attack = ["T1078"], dedup = "12h", tests = "cases.yaml")]
fn at_night(login: Row<LetIn>) -> Option<Alert> {
    let hour = login.time().hour();
    let is_day = (NIGHT_ENDS..NIGHT_BEGINS).contains(&hour);
    if is_day {
        return None;
    }
    let from = login.access_device_ip.unwrap_or("an unknown address");
    Some(
        login
            .alert(format!("{} used the VPN at night", login.user_name))
            .fact("address", from),
    )
}

picket::module!(at_night);
