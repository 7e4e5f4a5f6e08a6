use picket::prelude::*;

/// Any attempt to pass Duo.
#[derive(Event)]
#[event(log = "authentication")]
struct Attempt<'a> {
    user_name: Option<&'a str>,
    factor: Option<&'a str>,
    result: Option<&'a str>,
    access_device_location_country: Option<&'a str>,
}

/// A refused login by a factor that nobody has, from a place that is not there.
///
/// Not a detection: it compares texts as one would.
///
/// # Check
/// - Nothing: this rule is for measuring.
///
/// # Act
/// - Take the bench's rule out of the rules directory.
///
/// # False positives
/// - All of them.
#[rule(id = "bench-odd-attempt", severity = "info")]
fn odd(attempt: Row<Attempt>) -> Option<Alert> {
    let refused = attempt.result != Some("success");
    let unheard_of = attempt.factor.is_some_and(|factor| factor.ends_with("_pigeon"));
    if !refused || !(unheard_of || attempt.access_device_location_country == Some("Atlantis")) {
        return None;
    }
    Some(attempt.alert(format!("{} was refused", attempt.user_name.unwrap_or("somebody"))))
}
