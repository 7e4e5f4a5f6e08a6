//! The seeded generator of a believable company: people who log in all day, administrators and synchronisations that keep
//! their accounts, intruders who come in on the last day, and harmless things that only look like intruders.
//!
//! **It knows nothing of any rule.** Stories are told from the attacker's and the user's side: what somebody would do, how
//! often, how fast, with magnitudes drawn from the seed. What was planted is written down in [`Account::planted`], one
//! entry for each thing an analyst would want to hear about (or, for a look-alike, would not).
//!
//! **Order of making.** The company is founded (people, offices, networks), then the stories are cast and told, and only
//! then come the ordinary days, which keep out of the stories' way by means of the calendars (`calendar`). Outside the
//! stories nobody hands out a bypass code, deletes a user, reports fraud, or logs in from a country new to them.
//!
//! **The same everywhere.** Everything follows from [`Options`]: chance is ChaCha8 with integer sampling (`dice`), nothing
//! reads a clock, no result depends on the order of a hash map.
//!
//! The days before the last are thinner than the last one: they exist to give everybody usual networks, countries and
//! habits, and a month at full density would only cost memory.

mod administration;
mod backlog;
mod calendar;
mod clock;
mod day;
mod dice;
mod inventory;
mod lookalikes;
mod network;
mod offline;
mod people;
mod rows;
mod silence;
mod stage;
mod stories;
mod summary;
#[cfg(test)]
mod tests;
mod trust;
mod world;

pub use backlog::backlog;
pub use summary::describe;

use self::calendar::Plans;
use self::clock::DAY;
use self::dice::Dice;
use self::network::{Networks, Office, Site};
use self::people::{Admin, User};
use self::stage::Stage;
use self::world::Prompt;
use crate::model::{Account, Feed, Row};

/// The fewest people stories can be cast from.
const FEWEST_USERS: usize = 60;
/// The fewest days that give everybody a past: two, and the day itself.
const FEWEST_DAYS: u32 = 3;
/// Logins a person and working day before the last day; on the last day too, unless a number of events is asked for.
const USUAL_LOGINS: i64 = 2;

/// What to generate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Everything follows from it: equal options give equal accounts.
    pub seed: u64,
    /// The account's name.
    pub name: String,
    /// How many people; at least 60, or there would be nobody to tell stories of.
    pub users: usize,
    /// When the rows begin, microseconds since the epoch; rounded down to midnight UTC.
    pub start_us: i64,
    /// For how many days, at least 3. The last one is *the day*: full of logins, and the only one with planted stories. The
    /// others are the past that makes usual places usual.
    pub days: u32,
    /// How many rows the last day shall have at least, the administrator log (which repeats activity) not counted. None: as
    /// many as on any other day. Sensible up to some 35 a user.
    pub target_events: Option<usize>,
    /// Whether to plant attacks and look-alikes.
    pub plant: bool,
}

impl Default for Options {
    /// 300 people, six weeks, a last day of 6,000 rows (Wednesday 18 November 2026), with stories.
    fn default() -> Self {
        let last_day = 1_794_960_000_000_000;
        Self {
            seed: 1,
            name: "acme".to_owned(),
            users: 300,
            start_us: last_day - 42 * DAY,
            days: 43,
            target_events: Some(6_000),
            plant: true,
        }
    }
}

/// An application protected by Duo.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) key: String,
    pub(crate) name: &'static str,
    pub(crate) prompt: Prompt,
    weight: u32,
}

/// When it all takes place, microseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: i64,
    /// Midnight at which the last day begins.
    pub(crate) last: i64,
    /// Where everything ends (not included).
    pub(crate) end: i64,
}

impl Span {
    /// The number of the last day, counted from 0.
    pub(crate) fn last_day(&self) -> i64 {
        (self.last - self.start) / DAY
    }
}

/// A company: who and what there is, before anything happens.
pub(crate) struct Company {
    pub(crate) seed: u64,
    pub(crate) users: Vec<User>,
    pub(crate) admins: Vec<Admin>,
    pub(crate) offices: Vec<Office>,
    pub(crate) applications: Vec<Application>,
    /// The account's key, `DA...`.
    pub(crate) akey: String,
    /// The synchronisation's name, as it signs what it does.
    pub(crate) directory: String,
}

impl Company {
    fn found(options: &Options, users: usize, networks: &mut Networks) -> Self {
        let mut dice = Dice::new(options.seed, "company", 0);
        let mut regions: Vec<_> = world::REGIONS.iter().collect();
        dice.shuffle(&mut regions);
        let count = dice.between(3, 4) as usize;
        let offices: Vec<Office> = regions
            .into_iter()
            .take(count)
            .map(|towns| Office::new(towns, networks))
            .collect();
        let (users, admins) = people::hire(options.seed, &options.name, users, &offices);
        let applications = world::APPLICATIONS
            .iter()
            .map(|(name, prompt, weight)| Application {
                key: dice.key("DI"),
                name,
                prompt: *prompt,
                weight: *weight,
            })
            .collect();
        let directory = format!("AD Sync: {} directory", options.name);
        Self {
            seed: options.seed,
            users,
            admins,
            offices,
            applications,
            akey: dice.key("DA"),
            directory,
        }
    }

    /// The user of this number.
    #[allow(clippy::indexing_slicing, reason = "numbers are drawn below the number of users")]
    pub(crate) fn user(&self, number: usize) -> &User {
        &self.users[number]
    }

    /// The office somebody belongs to.
    #[allow(clippy::indexing_slicing, reason = "people are hired into the offices there are")]
    pub(crate) fn office(&self, number: usize) -> &Office {
        &self.offices[number]
    }

    /// The application of this name, or the first where there is none such.
    #[allow(clippy::indexing_slicing, reason = "the table of applications is not empty")]
    pub(crate) fn application(&self, name: &str) -> &Application {
        self.applications
            .iter()
            .find(|application| application.name == name)
            .unwrap_or(&self.applications[0])
    }

    /// An application for this person: half the time their favourite.
    pub(crate) fn any_application(&self, user: &User, in_browser: bool, dice: &mut Dice) -> &Application {
        let favourite = self
            .applications
            .get(user.favourite)
            .filter(|application| !in_browser || application.prompt == Prompt::Browser);
        if let Some(favourite) = favourite.filter(|_| dice.chance(500)) {
            return favourite;
        }
        let weighted: Vec<(usize, u32)> = self
            .applications
            .iter()
            .enumerate()
            .map(|(at, application)| {
                (
                    at,
                    if in_browser && application.prompt != Prompt::Browser {
                        0
                    } else {
                        application.weight
                    },
                )
            })
            .collect();
        self.applications
            .get(dice.weighted(&weighted))
            .unwrap_or_else(|| self.application("Microsoft 365"))
    }

    /// Whether this is the key of one of the applications.
    pub(crate) fn owns(&self, key: &str) -> bool {
        self.applications.iter().any(|application| application.key == key)
    }

    /// The person's desk.
    pub(crate) fn desk(&self, user: &User) -> Site {
        self.office(user.office).desk(user.number)
    }

    /// The person's home, with the address it has on this day.
    pub(crate) fn home(&self, user: &User, day: i64) -> Site {
        let town = self.office(user.office).town(user.home.town);
        Site {
            ip: town.home(&user.home, day),
            city: town.city,
        }
    }

    /// The person's phone on the move in the town of their home.
    pub(crate) fn on_the_move(&self, user: &User, dice: &mut Dice) -> Site {
        self.office(user.office).town(user.home.town).on_the_move(dice)
    }

    /// The country somebody works in.
    pub(crate) fn country(&self, user: &User) -> &'static str {
        self.office(user.office).city().country
    }
}

/// Makes the account. Some 200,000 rows a second when optimised.
#[must_use]
pub fn generate(options: &Options) -> Account {
    let users = options.users.max(FEWEST_USERS);
    let days = i64::from(options.days.max(FEWEST_DAYS));
    let start = options.start_us.div_euclid(DAY) * DAY;
    let span = Span {
        start,
        last: start + (days - 1) * DAY,
        end: start + days * DAY,
    };

    let mut networks = Networks::new();
    let company = Company::found(options, users, &mut networks);
    let mut plans = Plans::new(users);
    day::journeys(&company, &span, &mut networks, &mut plans);

    let mut rows: Vec<Row> = Vec::new();
    let mut planted = Vec::new();
    if options.plant {
        let mut stage = Stage::new(&company, span, &mut networks, &mut plans);
        stories::plant(&mut stage);
        lookalikes::plant(&mut stage);
        stories::plant_later(&mut stage);
        lookalikes::plant_later(&mut stage);
        (rows, planted) = stage.curtain();
    }

    administration::ordinary(&company, &span, &mut rows);
    let silenced = options.plant.then_some(&mut planted);
    day::ordinary(&company, &plans, &span, options.target_events, silenced, &mut rows);
    rows.retain(|row| (span.start..span.end).contains(&row.time_us));
    rows.sort_by(|a, b| (a.time_us, &a.id).cmp(&(b.time_us, &b.id)));
    lookalikes::office_moved(&company, &plans, &rows, &mut planted);
    planted.sort_by(|a, b| (a.from_us, &a.story, &a.user).cmp(&(b.from_us, &b.story, &b.user)));

    let (ikey, skey) = keys(options.seed, "keys");
    let reader = inventory::Reader {
        ikey: &ikey,
        skey: &skey,
    };
    let inventory = inventory::take(&company, &span, &rows, &reader);
    // What Duo itself makes of the rows, after all else: it changes none of them.
    let (noticed, later) = trust::events(&company, &span, &rows);
    rows.extend(offline::rows(&company, &span, &rows));
    rows.extend(noticed);
    rows.sort_by(|a, b| (a.time_us, &a.id).cmp(&(b.time_us, &b.id)));
    Account {
        name: options.name.clone(),
        ikey,
        skey,
        rows,
        planted,
        later,
        inventory,
        backlog: None,
    }
}

/// An integration key and its secret key, made up from a seed for a purpose.
#[must_use]
pub fn keys(seed: u64, purpose: &str) -> (String, String) {
    let mut dice = Dice::new(seed, purpose, 0);
    let skey = dice.text(
        "",
        40,
        b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    );
    (dice.key("DI"), skey)
}

/// How many rows the last day has so far, those of the administrator log, which only repeats activity, not counted.
fn counted(rows: &[Row], span: &Span) -> usize {
    let counts = |row: &&Row| row.feed != Feed::Administrator && (span.last..span.end).contains(&row.time_us);
    rows.iter().filter(counts).count()
}
