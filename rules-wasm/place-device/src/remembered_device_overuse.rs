use picket::prelude::*;

/// Somebody was let in because the device was remembered.
#[derive(Event)]
#[event(log = "authentication", when =
    result == "success" && (factor == "remembered_device" || reason == "remembered_device"))]
struct Remembered<'a> {
    user_key: &'a str,
    user_name: Option<&'a str>,
    access_device_ip: Option<&'a str>,
    access_device_location_country: Option<&'a str>,
}

#[derive(Params)]
struct Params {
    /// Logins within the window that are too many.
    #[param(default = 20, range = 2..=1000)]
    count: usize,
    /// Different addresses within the window that are too many.
    #[param(default = 3, range = 2..=100)]
    ips: usize,
    /// Different countries within the window that are too many.
    #[param(default = 2, range = 2..=100)]
    countries: usize,
    /// How close together they are.
    #[param(default = "24h", range = "10m"..="7d")]
    window: Span,
}

#[derive(State)]
#[state(version = 2)]
struct Memory {
    /// Logins of each user with a remembered device, with address and country, a space between them.
    #[state(keep = "7d", cap = 1000)]
    logins: Windows,
}

/// A remembered device was used more often, or from more places, than one device is.
///
/// Whoever copies the cookie of a remembered device is asked for no second factor, wherever they are.
///
/// # Check
/// - Are the addresses the user's own (office, home, phone), or does one stand out?
/// - Same browser and operating system in all of these logins?
///
/// # Act
/// - Not theirs: end the user's sessions and remembered devices, reset the password, look for malware on the device.
/// - Shorten the time that devices are remembered for this application.
///
/// # False positives
/// - A busy day on the road: office, train and home from one laptop.
/// - A program that logs in by itself with a browser's cookies.
#[rule(
    id = "remembered-device-overuse",
    severity = "medium",
    attack = ["T1550.004"],
    dedup = "24h",
    tests = "remembered_device_overuse.yaml",
)]
fn overused(login: Row<Remembered>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let ip = login.access_device_ip.unwrap_or_default();
    let country = login.access_device_location_country.unwrap_or_default();
    // A day more than is asked for, for logins that come late.
    let mut logins = memory.logins.of(login.user_key).keep(params.window + Span::hours(24));
    logins.add_with(&login, &[ip, " ", country].concat());

    let logins = logins.within(params.window);
    let places = logins.values();
    // Nearly everybody is in one place, which is then all that has to be counted.
    if logins.len() < params.count && places.len() < params.ips.min(params.countries) {
        return None;
    }
    let addresses = distinct(places.iter().filter_map(|place| Some(place.split_once(' ')?.0)));
    let countries = distinct(places.iter().filter_map(|place| Some(place.split_once(' ')?.1)));
    let (count, ips) = (logins.len(), addresses.len());
    if count < params.count && ips < params.ips && countries.len() < params.countries {
        return None;
    }
    let user = login.user_name.unwrap_or(login.user_key);
    let title = format!(
        "{user} used a remembered device {count} times, from {ips} addresses in {} countries, within {}",
        countries.len(),
        params.window,
    );
    let alert = login.alert(title).fact("addresses", addresses.join(", "));
    Some(alert.fact("countries", countries.join(", ")).evidence(logins))
}

/// The different values that there are, in order of first appearance.
fn distinct<'a>(values: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut different = Vec::new();
    for value in values {
        if !value.is_empty() && !different.contains(&value) {
            different.push(value);
        }
    }
    different
}
