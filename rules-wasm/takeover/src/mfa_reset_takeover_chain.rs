use Step::*;
use picket::prelude::*;

/// What happens to one user's second factor, step by step.
#[derive(Event)]
enum Step<'a> {
    /// Somebody else takes the user's factor away, or hands out a way around it.
    #[event(log = "admin", when = actor_type != "user" && matches!(action_name,
        "bypass_create" | "deregister_devices" | "phone_delete" | "phone_disassociate"
        | "phone_activation_code_regenerated" | "hardtoken_delete" | "u2ftoken_delete" | "webauthncredential_delete"))]
    Reset { subject_user: &'a str },

    /// A factor appears.
    #[event(log = "admin", when = matches!(action_name,
        "phone_create" | "phone_associate" | "hardtoken_create" | "u2ftoken_create" | "webauthncredential_create"))]
    Added { subject_user: &'a str },

    /// The user (or someone in the user's name) enrols one.
    #[event(log = "authentication", when = event_type == "enrollment" && result == "success")]
    Enrolled { subject_user: &'a str },

    /// Someone is let in.
    #[event(log = "authentication", when = event_type == "authentication" && result == "success")]
    LetIn {
        subject_user: &'a str,
        access_device_network: &'a str,
    },
}

#[derive(Params)]
struct Params {
    /// From the reset to the new factor, at most.
    #[param(default = "24h", range = "10m"..="7d")]
    enrol_within: Span,
    /// From the new factor to the login, at most.
    #[param(default = "24h", range = "10m"..="7d")]
    login_within: Span,
}

#[derive(State)]
struct Memory {
    /// The steps seen so far, for each user.
    #[state(keep = "14d", cap = 8)]
    chain: Sequences<3>,
    /// Networks each user was let in from.
    #[state(keep = "90d", cap = 64)]
    networks: Firsts,
}

/// A user's MFA was reset by someone else, a new factor was enrolled, and then used from a network never seen for the user.
///
/// The way of Scattered Spider: the attacker calls the helpdesk as the user, has the factor reset, and enrols their own phone.
///
/// # Check
/// - Ask whoever made the reset how they verified the caller; find the ticket.
/// - Call the user on a number that was known before the reset. Never the number that was just enrolled.
///
/// # Act
/// - Not theirs: disable the user in Duo, remove the new factor and every bypass code, end sessions, reset the password.
/// - Look for other users reset by the same person today.
///
/// # False positives
/// - A lost phone on a journey: the user confirms it, and the ticket is older than the reset.
#[rule(
    id = "mfa-reset-takeover-chain",
    severity = "critical",
    attack = ["T1556.006", "T1098.005", "T1078"],
    dedup = "24h",
    supersedes = ["device-added-then-new-ip-login", "bypass-code-created-then-used"],
    tests = "mfa_reset_takeover_chain.yaml",
)]
fn takeover(step: Row<Step>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let (user, place) = match *step {
        Reset { subject_user } => (subject_user, 0),
        Added { subject_user } | Enrolled { subject_user } => (subject_user, 1),
        LetIn {
            subject_user,
            access_device_network,
        } => {
            if !memory.networks.of(subject_user).is_new(access_device_network) {
                return None;
            }
            (subject_user, 2)
        }
    };
    let steps = memory
        .chain
        .of(user)
        .mark(place, &step, &[params.enrol_within, params.login_within])?;
    if memory.networks.of(user).since()? >= steps.start()? {
        return None; // first let in after the reset: a newcomer has no usual networks
    }
    let title = format!("MFA of {user} was reset by someone else, enrolled anew, and used from a new network");
    Some(step.alert(title).evidence(steps))
}
