//! Where tests may kill Picket: named points on the way of an event.
//!
//! A crash is worst where one step is done and the next is not: a page fetched and not admitted, a commit on disk and nobody
//! told of it, an alert sent and not marked as delivered. Each such place is a [`Point`]. Where the feature `on` is set, as it is
//! wherever the whole workspace is built for tests, the variable `FAILPOINTS` says what happens there, in the words of the
//! crate `fail`: `commit.before=5%return` kills the process (SIGKILL, so that nothing is cleaned up) with each twentieth commit,
//! `send.after=3*off->return` with the fourth delivery, `fetch.after=delay(50)` only takes its time.
//!
//! A release has none of this: without the feature [`reach`] is empty, and no variable is read.
#![forbid(unsafe_code)]

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A place on the way of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point {
            $($(#[$doc])* $point,)*
        }

        impl Point {
            /// All of them, in the order in which an event comes by.
            pub const ALL: &[Point] = &[$(Point::$point,)*];

            /// As `FAILPOINTS` names it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Point::$point => $name,)*
                }
            }
        }

        /// The process comes by.
        #[inline]
        pub fn reach(point: Point) {
            match point {
                $(Point::$point => fail::fail_point!($name, |_| die()),)*
            }
        }
    };
}

points! {
    /// Duo has answered with a page; nothing has been done with it.
    FetchAfter = "fetch.after",
    /// The page's rows are read: which events they are, and the columns that rules want.
    NormaliseAfter = "normalise.after",
    /// A rule has answered; nothing of what it said is kept.
    CallAfter = "call.after",
    /// Everything is written, nothing is durable.
    CommitBefore = "commit.before",
    /// Everything is durable, nobody has been told.
    CommitAfter = "commit.after",
    /// A sink has taken some alerts; it has not said so.
    SendAfter = "send.after",
    /// The sink has said so; the store does not know it.
    MarkBefore = "mark.before",
    /// Rules are put in place for some tenants and not for others.
    ReloadMiddle = "reload.middle",
    /// The store is being tidied up.
    MaintenanceMiddle = "maintenance.middle",
}

/// Reads `FAILPOINTS`; without the feature, nothing. To be called once, before anything that matters.
///
/// # Errors
/// What of the variable cannot be understood.
pub fn arm() -> Result<(), String> {
    #[cfg(feature = "on")]
    if let Ok(asked) = std::env::var("FAILPOINTS") {
        for one in asked.split(';').filter(|one| !one.trim().is_empty()) {
            let (name, action) = one
                .split_once('=')
                .ok_or_else(|| format!("FAILPOINTS: `{one}` is not NAME=ACTION"))?;
            if !Point::ALL.iter().any(|point| point.name() == name.trim()) {
                return Err(format!("FAILPOINTS: there is no point `{}`", name.trim()));
            }
            fail::cfg(name.trim(), action.trim()).map_err(|error| format!("FAILPOINTS: {one}: {error}"))?;
        }
    }
    Ok(())
}

/// As kill -9 does.
#[cfg(feature = "on")]
fn die() {
    // It cannot fail for one's own process.
    let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    loop {
        std::thread::park();
    }
}
