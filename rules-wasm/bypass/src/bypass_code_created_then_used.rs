use Step::*;
use picket::prelude::*;

/// A bypass code's way from the helpdesk to a login.
#[derive(Event)]
enum Step<'a> {
    /// It is made.
    #[event(log = "admin", when = action_name == "bypass_create" && outcome_result != "denied")]
    Created {
        subject_user: &'a str,
        actor_name: Option<&'a str>,
    },

    /// It lets somebody in.
    #[event(log = "authentication", when = result == "success" && factor == "bypass_code")]
    Used {
        subject_user: &'a str,
        access_device_network: Option<&'a str>,
        application_name: Option<&'a str>,
    },

    /// The user is let in as usual.
    #[event(log = "authentication", when =
        result == "success" && event_type == "authentication" && factor != "remembered_device" && reason != "remembered_device")]
    LetIn {
        subject_user: &'a str,
        access_device_network: &'a str,
    },
}

#[derive(Params)]
struct Params {
    /// From the creation of the code to its use, at most.
    #[param(default = "24h", range = "10m"..="7d")]
    window: Span,
}

#[derive(State)]
struct Memory {
    /// Codes made for each user, and logins with one.
    #[state(keep = "8d", cap = 32)]
    codes: Joins,
    /// Networks each user was let in from.
    #[state(keep = "90d", cap = 64)]
    networks: Firsts,
}

/// The clocks of Duo's logs may differ by so much.
const CLOCKS: Span = Span::from_ms(5 * 60_000);

/// A bypass code was created for a user, and used soon after.
///
/// The helpdesk gave somebody a way around the second factor, and somebody took it. From a network where the user was never let
/// in before (and the user was let in somewhere before the code was made) it is critical: the caller was somebody else.
///
/// # Check
/// - Ask whoever created the code who asked for it, and how the caller was verified; find the ticket.
/// - Call the user on a number that was known before: was the login theirs?
///
/// # Act
/// - Not theirs: end the user's sessions, delete the codes that are left, reset the password; then look for a phone or key that
///   was enrolled after the login, and remove it.
///
/// # False positives
/// - A lost, forgotten or new phone: the login comes from the user's usual network, and a ticket is older than the code.
#[rule(
    id = "bypass-code-created-then-used",
    severity = "high",
    attack = ["T1556.006", "T1078"],
    dedup = "24h",
    supersedes = ["bypass-code-created", "bypass-code-login"],
    tests = "bypass_code_created_then_used.yaml",
)]
fn used(step: Row<Step>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let within = Within {
        before: CLOCKS,
        after: params.window,
    };
    let (user, pair) = match *step {
        LetIn {
            subject_user,
            access_device_network,
        } => {
            memory.networks.of(subject_user).is_new(access_device_network);
            return None;
        }
        Created {
            subject_user,
            actor_name,
        } => {
            let actor = actor_name.unwrap_or("somebody");
            (subject_user, memory.codes.of(subject_user).left(&step, actor, within)?)
        }
        Used {
            subject_user,
            access_device_network,
            application_name,
        } => {
            let network = access_device_network.unwrap_or_default();
            let is_strange = !network.is_empty() && !memory.networks.of(subject_user).knows(network);
            let what = format!("{is_strange} {}", application_name.unwrap_or("an unnamed application"));
            (subject_user, memory.codes.of(subject_user).right(&step, &what, within)?)
        }
    };
    // A newcomer is strange everywhere.
    let is_known = memory
        .networks
        .of(user)
        .since()
        .is_some_and(|since| since < pair.left.handle.time());
    let (strange, application) = pair.right.value.split_once(' ').unwrap_or_default();
    let is_strange = is_known && strange == "true";
    let place = if is_strange { " from a new network" } else { "" };
    let title = format!(
        "{user} used a bypass code for {application}{place} that {} had created",
        pair.left.value
    );
    let minutes = pair.apart().as_ms().max(0) / 60_000;
    let alert = step.alert(title).fact("minutes after its creation", minutes);
    let alert = if is_strange {
        alert.severity(Severity::Critical)
    } else {
        alert
    };
    Some(alert.evidence(pair))
}
