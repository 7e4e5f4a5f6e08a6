//! What each person's days look like: journeys, absences, and the hours in which a story needs them to be elsewhere.
//!
//! The ordinary rows are made last and keep to these calendars. So somebody whose account is being taken over at six in
//! the morning does not also log in from her desk at five past six, and somebody abroad does not log in at home.

use super::network::Net;
use super::world::City;

/// Some days in another town.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trip {
    /// First and last day, counted from the first day generated.
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Where to.
    pub(crate) city: &'static City,
    /// The hotel's network.
    pub(crate) hotel: Net,
}

/// An office whose people appear under other addresses from some moment on: a new VPN concentrator, a new provider.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Move {
    pub(crate) office: usize,
    pub(crate) at: i64,
    pub(crate) to: Net,
}

/// Everybody's days.
#[derive(Debug, Default)]
pub(crate) struct Plans {
    calendars: Vec<Calendar>,
    pub(crate) moved: Option<Move>,
}

impl Plans {
    pub(crate) fn new(users: usize) -> Self {
        Self {
            calendars: vec![Calendar::default(); users],
            moved: None,
        }
    }

    /// The calendar of the user of this number.
    #[allow(
        clippy::indexing_slicing,
        reason = "made with one calendar for each user, and users are numbered from 0"
    )]
    pub(crate) fn of(&self, number: usize) -> &Calendar {
        &self.calendars[number]
    }

    /// The same, to be written into.
    #[allow(
        clippy::indexing_slicing,
        reason = "made with one calendar for each user, and users are numbered from 0"
    )]
    pub(crate) fn of_mut(&mut self, number: usize) -> &mut Calendar {
        &mut self.calendars[number]
    }
}

/// One person's days.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calendar {
    pub(crate) trips: Vec<Trip>,
    /// No ordinary rows in these spans, microseconds.
    pub(crate) elsewhere: Vec<(i64, i64)>,
    /// Has a part in a story: makes no slips of their own on the last day, and leaves remembered devices alone around it.
    pub(crate) steady: bool,
}

impl Calendar {
    /// The journey of this day, if any.
    pub(crate) fn trip(&self, day: i64) -> Option<&Trip> {
        self.trips.iter().find(|trip| (trip.from..=trip.to).contains(&day))
    }

    /// Whether an ordinary row may stand at this time.
    pub(crate) fn free(&self, time_us: i64) -> bool {
        !self.elsewhere.iter().any(|(from, to)| (*from..=*to).contains(&time_us))
    }
}
