//! The stage on which stories are played: it casts people, keeps their ordinary days out of the way, writes the rows, and
//! notes what was planted.

use super::calendar::Plans;
use super::clock::{HOUR, MINUTE, SECOND};
use super::dice::Dice;
use super::network::{Networks, Site};
use super::people::{Admin, User};
use super::rows::activity::{self, Action, Actor};
use super::rows::authentication::{self, Login};
use super::rows::telephony::{self, Message};
use super::world::INTRUDER_CITIES;
use super::{Company, Span, day};
use crate::model::{Kind, Planted, Row};

/// A row that was written, remembered for the list of what was planted.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) time_us: i64,
    pub(crate) id: String,
}

/// Where stories are played.
pub(crate) struct Stage<'a> {
    pub(crate) company: &'a Company,
    pub(crate) span: Span,
    pub(crate) networks: &'a mut Networks,
    pub(crate) plans: &'a mut Plans,
    rows: Vec<Row>,
    planted: Vec<Planted>,
    /// Numbers of users without a part, in the order of casting.
    waiting: Vec<usize>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(company: &'a Company, span: Span, networks: &'a mut Networks, plans: &'a mut Plans) -> Self {
        let mut waiting: Vec<usize> = (0..company.users.len()).collect();
        Dice::new(company.seed, "cast", 0).shuffle(&mut waiting);
        Self {
            company,
            span,
            networks,
            plans,
            rows: Vec::new(),
            planted: Vec::new(),
            waiting,
        }
    }

    /// All that was written and planted.
    pub(crate) fn curtain(self) -> (Vec<Row>, Vec<Planted>) {
        (self.rows, self.planted)
    }

    /// Gives a part to somebody who has none yet and never travels. None: nobody suitable is left.
    pub(crate) fn cast(&mut self, suits: impl Fn(&Self, &User) -> bool) -> Option<&'a User> {
        let user = self.bystander(suits)?;
        self.plans.of_mut(user.number).steady = true;
        Some(user)
    }

    /// The same for a part so small that the rest of the day is an ordinary one.
    pub(crate) fn bystander(&mut self, suits: impl Fn(&Self, &User) -> bool) -> Option<&'a User> {
        let company = self.company;
        let at = self
            .waiting
            .iter()
            .position(|number| self.plans.of(*number).trips.is_empty() && suits(self, company.user(*number)))?;
        let number = self.waiting.remove(at);
        Some(company.user(number))
    }

    /// Anybody who has no part yet.
    pub(crate) fn anybody(&mut self) -> Option<&'a User> {
        self.cast(|_, _| true)
    }

    /// Somebody who sat at their desk on the first day, in an office that keeps its addresses.
    pub(crate) fn desk_worker(&mut self) -> Option<&'a User> {
        self.cast(|stage, user| {
            let moves = stage.plans.moved.is_some_and(|moved| moved.office == user.office);
            !moves && day::site(stage.company, stage.plans, &stage.span, user, 0) == stage.company.desk(user)
        })
    }

    /// Keeps somebody's ordinary rows away from a story that runs between these times: from `before` until `after`.
    pub(crate) fn clear(&mut self, user: &User, marks: &[Mark], before: i64, after: i64) {
        let from = marks.iter().map(|mark| mark.time_us).min().unwrap_or(self.span.last) - before;
        let to = marks.iter().map(|mark| mark.time_us).max().unwrap_or(self.span.end) + after;
        self.plans.of_mut(user.number).elsewhere.push((from, to));
    }

    /// Keeps somebody's ordinary rows away from the whole last day.
    pub(crate) fn clear_day(&mut self, user: &User) {
        self.plans
            .of_mut(user.number)
            .elsewhere
            .push((self.span.last, self.span.end));
    }

    /// A moment of the last day, by UTC hours.
    pub(crate) fn moment(&self, from_hour: i64, to_hour: i64, dice: &mut Dice) -> i64 {
        self.span.last + dice.between(from_hour * HOUR, to_hour * HOUR)
    }

    /// A moment of the last day, by the hours of the person's office.
    pub(crate) fn local(&self, user: &User, from_hour: i64, to_hour: i64, dice: &mut Dice) -> i64 {
        let offset = self.company.office(user.office).city().offset;
        self.moment(from_hour, to_hour, dice) - offset * MINUTE
    }

    /// Somebody of the helpdesk, at their desk.
    pub(crate) fn helpdesk(&self, dice: &mut Dice) -> Actor<'a> {
        self.admin(&["Help Desk", "User Manager"], dice)
    }

    /// An administrator with one of these roles, at their desk.
    pub(crate) fn admin(&self, roles: &[&str], dice: &mut Dice) -> Actor<'a> {
        let company = self.company;
        let able: Vec<&Admin> = company
            .admins
            .iter()
            .filter(|admin| roles.contains(&admin.role))
            .collect();
        let admin = *dice.pick(&able);
        Actor::Admin(admin, company.office(admin.office).desk(admin.number))
    }

    /// A room an intruder rents: abroad, in a country nobody of the company has been to, or in the person's own town.
    pub(crate) fn hideout(&mut self, user: &User, abroad: bool, dice: &mut Dice) -> Site {
        let city = if abroad {
            dice.pick(&INTRUDER_CITIES)
        } else {
            self.company.office(user.office).city()
        };
        self.networks.strange(city, dice)
    }

    /// Writes a login.
    pub(crate) fn log(&mut self, login: &Login<'_>, dice: &mut Dice) -> Mark {
        let row = authentication::row(login, self.company, dice);
        self.keep(row)
    }

    /// Writes a login and changes the row first.
    pub(crate) fn log_changed(
        &mut self,
        login: &Login<'_>,
        dice: &mut Dice,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Mark {
        let mut row = authentication::row(login, self.company, dice);
        change(&mut row.json);
        self.keep(row)
    }

    /// Writes a login by a passcode in a text message to `number`, and the message. Returns both, the message first.
    pub(crate) fn log_by_text(&mut self, login: &Login<'_>, number: &str, dice: &mut Dice) -> Vec<Mark> {
        let txid = dice.uuid();
        let message = telephony::for_login(login.time_us, false, number, &txid, dice);
        vec![self.keep(message), self.log_with(login, txid, dice)]
    }

    /// Writes a login under a `txid` that messages know already.
    pub(crate) fn log_with(&mut self, login: &Login<'_>, txid: String, dice: &mut Dice) -> Mark {
        let row = authentication::row_with(login, txid, self.company, dice);
        self.keep(row)
    }

    /// Writes an action, into both logs that have it.
    pub(crate) fn act(&mut self, action: &Action<'_>, dice: &mut Dice) -> Vec<Mark> {
        let (row, v1) = activity::rows(action, self.company, dice);
        [Some(row), v1]
            .into_iter()
            .flatten()
            .map(|row| self.keep(row))
            .collect()
    }

    /// Writes a message.
    pub(crate) fn send(&mut self, message: &Message<'_>, dice: &mut Dice) -> Mark {
        let row = telephony::row(message, dice);
        self.keep(row)
    }

    fn keep(&mut self, row: Row) -> Mark {
        let mark = Mark {
            time_us: row.time_us,
            id: row.id.clone(),
        };
        self.rows.push(row);
        mark
    }

    /// Notes what was planted.
    pub(crate) fn plant(&mut self, kind: Kind, story: &str, user: Option<&User>, marks: &[Mark], note: String) {
        self.planted.extend(planted(kind, story, user, marks, note));
    }
}

/// An entry for what was planted; nothing if there is no row to show for it.
pub(crate) fn planted(kind: Kind, story: &str, user: Option<&User>, marks: &[Mark], note: String) -> Option<Planted> {
    let mut marks: Vec<&Mark> = marks.iter().collect();
    marks.sort_by(|a, b| (a.time_us, &a.id).cmp(&(b.time_us, &b.id)));
    let (first, last) = (marks.first()?, marks.last()?);
    Some(Planted {
        story: story.to_owned(),
        user: user.map(|user| user.name.clone()),
        kind,
        from_us: first.time_us,
        to_us: last.time_us,
        events: marks.iter().map(|mark| mark.id.clone()).collect(),
        note,
    })
}

/// `count` moments from `start` on, `shortest` to `longest` seconds apart.
pub(crate) fn paced(start: i64, count: i64, shortest: i64, longest: i64, dice: &mut Dice) -> Vec<i64> {
    let mut time_us = start;
    (0..count)
        .map(|_| {
            let now = time_us;
            time_us += dice.between(shortest * SECOND, longest * SECOND);
            now
        })
        .collect()
}

/// `count` moments spread over `length` from `start` on, in order.
pub(crate) fn spread(start: i64, length: i64, count: i64, dice: &mut Dice) -> Vec<i64> {
    let part = length / count.max(1);
    (0..count)
        .map(|slot| start + slot * part + dice.between(0, part - 1))
        .collect()
}
