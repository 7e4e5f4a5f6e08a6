//! What is collected while things break: some companies, their day cut into pieces of equally many rows, and a site with the
//! stock rules whose way to Duo leads through the proxy.

use duo_simulator::company::{Options, generate};
use duo_simulator::model::{Account, Feed};
use picket_e2e::{Duo, Hook, Site, Source};

use crate::proxy::Proxy;

const DAY: i64 = 86_400_000;
/// Days of logs; the last has the stories.
const DAYS: u32 = 3;
/// Midnight of the last day, 2026-11-18T00:00:00Z, ms.
pub const LAST_DAY: i64 = 1_794_960_000_000;
/// A row appears so much later than it happened, ms; and a little.
const APPEARS: i64 = 121_000;
const NAMES: [&str; 4] = ["acme", "globex", "initech", "umbrella"];
/// What is collected of each: one with the newer log of what administrators do, the next with the older.
const COLLECT: [&[&str]; 2] = [
    &["authentication", "activity", "telephony"],
    &["authentication", "administrator", "telephony"],
];

/// The webhook's name among the sinks.
pub const HOOK: &str = "hook";

/// An installation, and what is around it.
pub struct Set {
    /// The installation.
    pub site: Site,
    /// The network on its way to Duo.
    pub duo: Proxy,
    /// The network on its way to the webhook.
    pub way: Proxy,
    /// The webhook.
    pub hook: Hook,
}

/// Companies at Duo.
pub struct World {
    /// By name.
    pub accounts: Vec<Account>,
    /// When each row that is collected happened, ms, in order.
    times: Vec<i64>,
}

impl World {
    /// So many companies (four at most), each with so many rows on its last day.
    #[must_use]
    pub fn new(seed: u64, accounts: usize, events: usize) -> Self {
        let account = |(number, name): (u64, &&str)| {
            generate(&Options {
                seed: seed + number,
                name: (*name).to_owned(),
                users: (events / 25).clamp(60, 400),
                start_us: (LAST_DAY - i64::from(DAYS - 1) * DAY) * 1000,
                days: DAYS,
                target_events: Some(events),
                plant: true,
            })
        };
        let accounts: Vec<Account> = (0..).zip(NAMES.iter().take(accounts)).map(account).collect();
        let mut times: Vec<i64> = Vec::new();
        for (at, account) in accounts.iter().enumerate() {
            let rows = account
                .rows
                .iter()
                .filter(|row| collects(at).contains(&row.feed.name()));
            times.extend(rows.map(|row| row.time_us.div_euclid(1000)));
        }
        times.sort_unstable();
        World { accounts, times }
    }

    /// The companies' names.
    pub fn names(&self) -> impl Iterator<Item = (usize, &str)> {
        self.accounts.iter().map(|account| account.name.as_str()).enumerate()
    }

    /// Rows that are collected.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.times.len()
    }

    /// The clock's time at which this share of all rows has appeared, ms.
    #[must_use]
    pub fn at(&self, share: f64) -> i64 {
        let last = self.times.len() - 1;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list"
        )]
        let place = ((last as f64) * share.clamp(0.0, 1.0)) as usize;
        self.times[place] + APPEARS
    }

    /// How many rows have appeared at [`World::at`] of this share.
    #[must_use]
    pub fn appeared(&self, share: f64) -> u64 {
        let until = self.at(share) - APPEARS;
        self.times.partition_point(|time| *time <= until) as u64
    }

    /// When everything has appeared and is past, ms.
    #[must_use]
    pub fn end(&self) -> i64 {
        LAST_DAY + DAY + 3_600_000
    }

    /// A simulated Duo, its clock before the first row.
    #[must_use]
    pub fn duo(&self) -> Duo {
        Duo::start(self.accounts.clone(), self.at(0.0) - 3_600_000)
    }

    /// A site that collects all of it, and tells it to a file and to a webhook.
    #[must_use]
    pub fn set(&self) -> Set {
        let duo = self.duo();
        let proxy = Proxy::to(&duo.host());
        let host = proxy.host();
        let source = |(at, name)| Source {
            collect: collects(at),
            host: Some(host.clone()),
            ..Source::of(name)
        };
        let sources: Vec<Source<'_>> = self.names().map(source).collect();
        let site = Site::stocked(duo, &sources);
        let hook = Hook::new();
        let way = Proxy::to(hook.address());
        site.secret_file("hook.secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let config = std::fs::read_to_string(site.path("picket.yaml")).unwrap();
        let sink = format!(
            "  - {{type: webhook, name: {HOOK}, url: \"http://{}/alerts\", secret_file: ./hook.secret, history: true, timeout: 2s}}\n",
            way.host()
        );
        site.write("picket.yaml", &format!("{config}{sink}"));
        Set {
            site,
            duo: proxy,
            way,
            hook,
        }
    }

    /// Plays all of it to the end and waits until every rule has seen it.
    pub fn finish(&self, site: &Site) {
        site.duo.set_clock(self.end());
        site.settle(self.end() - APPEARS);
    }
}

/// What is collected of the company of this number.
#[must_use]
pub fn collects(at: usize) -> &'static [&'static str] {
    COLLECT[at % COLLECT.len()]
}

/// The same as feeds.
pub fn feeds(at: usize) -> impl Iterator<Item = Feed> {
    Feed::ALL
        .into_iter()
        .filter(move |feed| collects(at).contains(&feed.name()))
}
