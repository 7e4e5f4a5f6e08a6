//! What becomes of rows that a sink is given.

use std::time::Duration;

/// What became of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The receiver has it.
    Taken,
    /// The receiver will never take it: why, in words.
    Refused(String),
    /// Not now. Those of the same tenant behind it wait, others do not.
    Later {
        /// Why, in words.
        why: String,
        /// No sooner than after this.
        wait: Option<Duration>,
    },
}

/// Where to look for why a receiver takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// The words alone tell.
    #[default]
    Other,
    /// Its name has no address.
    Name,
    /// Nobody listens there.
    Refused,
    /// There is no answer in time.
    Silent,
    /// One of the two does not accept the other's certificate.
    Certificate,
    /// It answers, and not to what the configuration says.
    Settings,
    /// It has too much to do, or something of its own is broken.
    Busy,
}

/// A host's name could not be looked up.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAddress(#[source] pub(crate) std::io::Error);

impl Cause {
    /// As far as an error and what caused it tell.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        use std::io::ErrorKind;
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<NoAddress>() {
                return Cause::Name;
            }
            if let Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)) = error.downcast_ref() {
                return Cause::Certificate;
            }
            if let Some(error) = error.downcast_ref::<std::io::Error>() {
                match error.kind() {
                    ErrorKind::ConnectionRefused => return Cause::Refused,
                    ErrorKind::TimedOut | ErrorKind::WouldBlock => return Cause::Silent,
                    _ => {}
                }
                // What an error of the system holds is not among its sources.
                if let Some(held) = error.get_ref() {
                    next = Some(held);
                    continue;
                }
            }
            next = error.source();
        }
        Cause::Other
    }
}

/// The receiver cannot be reached, or takes nothing from anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Down {
    /// Why, in words.
    pub why: String,
    /// Where to look for it.
    pub cause: Cause,
    /// No sooner than after this.
    pub wait: Option<Duration>,
    /// It wants nothing any more, until somebody says otherwise.
    pub for_good: bool,
}

impl Down {
    /// It may be better in a while.
    pub fn now(why: impl std::fmt::Display) -> Self {
        Down {
            why: why.to_string(),
            cause: Cause::Other,
            wait: None,
            for_good: false,
        }
    }
}

/// What became of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Of as many rows as were tried, from the first on. The others are given again.
    pub fates: Vec<Fate>,
    /// Why nothing more was tried, and is not for a while.
    pub down: Option<Down>,
}

impl Delivery {
    /// The receiver has so many, all that were given.
    #[must_use]
    pub fn taken(rows: usize) -> Self {
        Delivery {
            fates: vec![Fate::Taken; rows],
            down: None,
        }
    }

    /// None was taken, as far as anybody knows.
    #[must_use]
    pub fn down(down: Down) -> Self {
        Delivery {
            fates: Vec::new(),
            down: Some(down),
        }
    }
}

/// Why a sink cannot be opened or written to.
#[derive(Debug, thiserror::Error)]
#[error("sink {sink}: {doing}: {source}")]
pub struct SinkError {
    /// Which sink: its path or name.
    pub sink: String,
    /// What was being done.
    pub doing: &'static str,
    /// What happened.
    #[source]
    pub source: std::io::Error,
}

impl Delivery {
    /// All or none: after an error nothing is certain, and all is given again.
    #[must_use]
    pub fn whole(outcome: Result<(), SinkError>, rows: usize) -> Self {
        match outcome {
            Ok(()) => Delivery::taken(rows),
            Err(error) => Delivery::down(Down::now(error)),
        }
    }
}
