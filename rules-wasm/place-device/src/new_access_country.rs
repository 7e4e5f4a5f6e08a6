use picket::prelude::*;

/// Somebody was let in, from a country that Duo knows.
#[derive(Event)]
#[event(log = "authentication", when = event_type != "enrollment" && result == "success")]
struct Login<'a> {
    user_key: &'a str,
    user_name: Option<&'a str>,
    application_name: Option<&'a str>,
    access_device_location_country: &'a str,
}

#[derive(Params)]
struct Params {
    /// How long a user must have been known before a new country is reported; until then countries are only learned.
    #[param(default = "35d", range = "1d"..="90d")]
    learn: Span,
}

#[derive(State)]
struct Memory {
    /// Countries each user was let in from.
    #[state(keep = "90d", cap = 64)]
    countries: Firsts,
}

/// A user was let in from a country never seen for that user.
///
/// The user is known for longer than the learning period, and in all that time never came from there.
///
/// # Check
/// - Is the user travelling? Ask, on a number you already have.
/// - Is the address one of a VPN or a hosting company rather than of people?
/// - Which factor was used, and was it enrolled lately?
///
/// # Act
/// - Not theirs: end the user's sessions, reset the password, remove factors that were enrolled lately.
/// - Theirs: close the alert; the country is known from now on.
///
/// # False positives
/// - A journey. The first login abroad alerts, further ones do not.
/// - A new VPN exit, or an address that Duo places wrongly: several users at once.
#[rule(
    id = "new-access-country",
    severity = "medium",
    attack = ["T1078"],
    dedup = "24h",
    tests = "new_access_country.yaml",
)]
fn travelled(login: Row<Login>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let country = login.access_device_location_country;
    let mut countries = memory.countries.of(login.user_key);
    if !countries.is_new(country) || !countries.learned(params.learn) {
        return None;
    }
    let user = login.user_name.unwrap_or(login.user_key);
    let application = login.application_name.unwrap_or("an unnamed application");
    let mut usual = countries.values();
    usual.retain(|known| known != country);
    let alert = login.alert(format!(
        "{user} was let in to {application} from {country}, for the first time"
    ));
    Some(
        alert
            .fact("countries until now", usual.join(", "))
            .dedup(format!("{} {country}", login.user_key)),
    )
}
