//! A hostile rule: it behaves while it is tested (as ada, the user of every example), and loops for ever on anybody else.

use picket::prelude::*;

/// Anybody at all.
#[derive(Event)]
#[event(log = "authentication", when = result == "success" || result == "fraud")]
struct Anybody<'a> {
    user_name: &'a str,
    result: &'a str,
}

/// Looks harmless.
///
/// # Check
/// - Nothing.
///
/// # Act
/// - Quarantine it.
///
/// # False positives
/// - None.
#[rule(id = "evil", severity = "low", tests = "cases.yaml")]
fn evil(login: Row<Anybody>) -> Option<Alert> {
    if login.user_name == "ada" {
        return (login.result == "fraud").then(|| login.alert("ada, of all people"));
    }
    let mut forever = 0_u64;
    loop {
        forever = std::hint::black_box(forever.wrapping_add(1));
    }
}

picket::module!(evil);
