use Attempt::*;
use picket::prelude::*;

/// Who tried to get in from where.
#[derive(Event)]
enum Attempt<'a> {
    /// Not let in, for whatever reason.
    #[event(log = "authentication", when = matches!(result, "denied" | "fraud" | "error"))]
    Failed {
        user_name: &'a str,
        access_device_ip: &'a str,
    },

    /// Let in with a second factor of their own, not by a cookie.
    #[event(log = "authentication", when =
        result == "success" && event_type == "authentication" && factor != "remembered_device" && reason != "remembered_device")]
    LetIn {
        user_name: &'a str,
        access_device_ip: &'a str,
    },
}

#[derive(Params)]
struct Params {
    /// Users from one address within the window that are too many.
    #[param(default = 10, range = 2..=200)]
    users: usize,
    /// How close together they are.
    #[param(default = "24h", range = "10m"..="24h")]
    window: Span,
    /// The same for somebody in a hurry: so many users are too many ...
    #[param(default = 5, range = 2..=200)]
    fast_users: usize,
    /// ... within this time.
    #[param(default = "30m", range = "1m"..="24h")]
    fast_window: Span,
    /// How long failures must have been watched before they are reported; until then it is only learned who is at home where.
    #[param(default = "3d", range = "0s"..="30d")]
    learn: Span,
    /// Addresses from which everybody comes, such as a proxy's.
    #[param(default = [])]
    allow_ips: Vec<String>,
}

#[derive(State)]
struct Memory {
    /// Users who failed from each address, and had never been let in from there.
    #[state(keep = "24h", cap = 200)]
    strangers: Distincts,
    /// Address and user, a space between them, where somebody was let in.
    #[state(keep = "30d")]
    at_home: Lasts,
    /// Since when failures have been watched.
    #[state(keep = "90d", cap = 1)]
    watched: Firsts,
}

/// Many users could not log in from one address.
///
/// Somebody tries many accounts from one place: passwords that leaked elsewhere, or one password for everybody. To come as far
/// as Duo the password was right, or the application asks Duo first. Users who were let in from that address within 30 days are
/// not counted, so an office whose people mistype is not reported.
///
/// # Check
/// - Whose address is it? An office, a hotel or a carrier with many of your users behind it, or a hosting provider.
/// - Was anybody let in from there? Those accounts first: whoever was, is in the attacker's hands.
/// - Do the users have something in common, such as an alphabet, a department or a leaked list?
///
/// # Act
/// - Block the address, and the network behind it if it is a hosting provider's.
/// - Reset the passwords of the users whose password was right (those who were prompted).
///
/// # False positives
/// - A new office, a new VPN address or a conference: many users from a place where none was before. It is over in a day; put
///   the address into `allow_ips` if it is yours.
#[rule(
    id = "auth-failure-spray",
    severity = "high",
    attack = ["T1110.003"],
    dedup = "24h",
    tests = "auth_failure_spray.yaml",
)]
fn sprayed(attempt: Row<Attempt>, params: &Params, memory: &mut Memory) -> Option<Alert> {
    let (user, ip) = match *attempt {
        LetIn {
            user_name,
            access_device_ip,
        } => {
            memory.at_home.of([access_device_ip, " ", user_name].concat()).swap("");
            return None;
        }
        Failed {
            user_name,
            access_device_ip,
        } => (user_name, access_device_ip),
    };
    if params.allow_ips.iter().any(|allowed| allowed == ip)
        || memory.at_home.of([ip, " ", user].concat()).get().is_some()
    {
        return None;
    }
    let mut strangers = memory.strangers.of(ip);
    strangers.add(&attempt, user);
    let mut watched = memory.watched.of("");
    watched.is_new("failures");
    if params.learn > Span::default() && !watched.learned(params.learn) {
        return None;
    }
    let fast = (
        strangers.within(params.fast_window),
        params.fast_users,
        params.fast_window,
    );
    let slow = || (strangers.within(params.window), params.users, params.window);
    let is_many = |(users, most, _): &(Values, usize, Span)| users.len() >= *most;
    let (users, _, window) = Some(fast).filter(is_many).or_else(|| Some(slow()).filter(is_many))?;
    let names: Vec<&str> = users.values().take(20).collect();
    let alert = attempt
        .alert(format!("{users} users could not log in from {ip} within {window}"))
        .about("ip", ip, ip)
        .dedup(ip)
        .fact("users", names.join(", "));
    Some(alert.evidence(users))
}
