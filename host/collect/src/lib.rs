//! Polling: one task for each log of an account, and what the journal is told.
//!
//! A [`Collector`] asks each log for the window after its cursor, page by page, and hands every page to [`Admit`] together
//! with the marks that go with it and the cursor that follows from it, to be written as one. So a crash, a full disk or a
//! failed commit at any point costs a page that is asked for again; what the journal holds already is recognised by its id.
//!
//! **Windows.** A window ends where Duo's answers are final: two minutes before Duo's own clock, which is read off the
//! answers. It stays frozen during a walk. It begins at the high-water mark, or `overlap` before it, to find what Duo
//! indexed late (a week before it for the Trust Monitor, whose rows change). One that comes near the 180 days that Duo keeps
//! is broken off and made anew.
//!
//! **Shapes.** v2 logs are walked by an offset that is followed until it is absent or leads nowhere; the Trust Monitor by one
//! that means nothing to us, so only a finished window counts there; v1 logs by asking again from the last second on, where
//! equal rows of a second are told apart by counting.
//!
//! **Two walks.** At a first start a log is read from now on and, beside that, from `start` to now; both write one cursor,
//! and when the past is done they are one. A [`Backfill`] is such a past for itself.
//!
//! **Marks.** Within a walk each page completes the log up to just before its last row; a finished window completes it up to
//! its end, less `lateness`. A log that Duo forbids is closed, so that no rule waits for it, and opened when it returns. A
//! log that fails for `max_wait` is marked as stalled up to where the account's *other* logs have come: if everything is
//! down at once nobody has to go on without it, and after the outage no row is late.
//!
//! **Failures** stay with their log. What asking again can mend is asked again with growing pauses; a refused signature is
//! tried once a minute by the whole account, since the secret may have been replaced; what only the operator can mend is
//! tried every ten minutes, and [`LogHealth`] says what to do. How often anything is asked, [`Budget`] decides for the
//! account as a whole. A log that stays unseen is told of in the log [`COLLECTOR`].
//!
//! **Order of writing.** `open` is admitted before the rows of a log that returns; a mark that concludes from rows
//! (`complete`, `closed`) with or after them; `feed` before readers are told to go past the time from which it holds.
//!
//! This crate reads no clock but the [`Clock`] it is given, keeps nothing but the cursor, and knows neither rules nor
//! storage: the daemon joins it to them by implementing [`Admit`].
#![forbid(unsafe_code)]

mod admit;
mod back_off;
mod backfill;
mod blind;
mod budget;
mod busy;
mod clock;
mod collector;
mod cursor;
mod feed;
mod health;
mod hourly;
pub mod inventory;
mod lane;
mod ledger;
mod poller;
mod settings;
mod source;
mod telling;
mod walk;
mod window;

pub use admit::{Admit, AdmitError, Admitted, Intake, Rows};
pub use back_off::BackOff;
pub use backfill::{Backfill, BackfillError};
pub use blind::COLLECTOR;
pub use budget::{Budget, Class, Learned, Permit};
pub use busy::Busy;
pub use clock::{Clock, ScaledClock, SystemClock};
pub use collector::Collector;
pub use cursor::{Cursor, Reach};
pub use feed::ADMIN;
pub use health::{Board, HistoryHealth, LogHealth, Standing, Trouble};
pub use settings::{Settings, SettingsError};
pub use source::DuoLogs;
