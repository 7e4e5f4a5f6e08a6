//! The simulated Duo, in this process.

use std::net::{IpAddr, Ipv4Addr};

use duo_simulator::clock::Clock;
use duo_simulator::model::{Account, Feed};
use duo_simulator::server::{Limit, Options, Parent, Request, Settings, Simulator, Twin};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A simulator without a rate limit whose clock is held until it is told otherwise.
pub struct Duo {
    // Dropped in this order: a simulator aborts its listeners on the runtime.
    simulator: Simulator,
    _runtime: Runtime,
    keys: Vec<(String, String, String)>,
}

impl Duo {
    /// Serves these accounts; the simulated clock stands at `now` (ms).
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(accounts: Vec<Account>, now: i64) -> Self {
        Duo::family(None, accounts, now)
    }

    /// The same with a parent of this name, whose key of the Accounts API lists the accounts and reads each at its own host.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn family(parent: Option<&str>, accounts: Vec<Account>, now: i64) -> Self {
        Duo::serve(parent, accounts, Vec::new(), now)
    }

    /// This account, and one of each of these names with the same rows and keys of its own.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn twins(account: Account, names: &[&str], now: i64) -> Self {
        let twin = |(number, name): (usize, &&str)| Twin {
            name: (*name).to_owned(),
            ikey: format!("DITWIN{number:014}"),
            skey: format!("{:0<40}", format!("hush{name}")),
            of: 0,
        };
        let twins = names.iter().enumerate().map(twin).collect();
        Duo::serve(None, vec![account], twins, now)
    }

    fn serve(parent: Option<&str>, accounts: Vec<Account>, twins: Vec<Twin>, now: i64) -> Self {
        let parent = parent.map(|name| Parent {
            name: name.to_owned(),
            ikey: format!("DI{:X<18}", name.to_uppercase()),
            skey: format!("{:0<40}", format!("hush{name}")),
        });
        let own = accounts.iter();
        let own = own.map(|account| (account.name.clone(), account.ikey.clone(), account.skey.clone()));
        let parents = parent.iter();
        let parents = parents.map(|parent| (parent.name.clone(), parent.ikey.clone(), parent.skey.clone()));
        let copies = twins.iter();
        let copies = copies.map(|twin| (twin.name.clone(), twin.ikey.clone(), twin.skey.clone()));
        let keys = own.chain(copies).chain(parents).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let options = Options {
            clock: Some(Clock::new(wall(), now, 1.0, true)),
            settings: Settings {
                limit: Limit {
                    per_minute: None,
                    lock_out_s: 0,
                },
                ..Settings::default()
            },
            parent,
            twins,
            ..Options::new(accounts)
        };
        let simulator = runtime.block_on(Simulator::start(options)).unwrap();
        Duo {
            simulator,
            _runtime: runtime,
            keys,
        }
    }

    /// Tells it something: see `/sim/control` in the simulator's README.
    ///
    /// # Panics
    /// It does not understand.
    pub fn tell(&self, control: &Value) {
        self.simulator
            .state()
            .control(control.to_string().as_bytes(), wall())
            .unwrap();
    }

    /// Sets the simulated clock, ms. A row appears two minutes after it happened.
    pub fn set_clock(&self, now: i64) {
        self.tell(&json!({"now": Timestamp::from_millisecond(now).unwrap().to_string()}));
    }

    /// All that a log of an account will ever have: (id, JSON), in order of time.
    #[must_use]
    pub fn rows(&self, account: &str, feed: Feed) -> Vec<(String, String)> {
        self.simulator.state().rows(account, feed)
    }

    /// `/sim/status`.
    ///
    /// # Panics
    /// It is not JSON.
    #[must_use]
    pub fn status(&self) -> Value {
        let request = Request {
            method: "GET".to_owned(),
            path: "/sim/status".to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let reply = self.simulator.state().answer(&request, wall());
        serde_json::from_str(&reply.body).unwrap()
    }

    /// How many different rows were sent so far.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.count("served")
    }

    /// How many rows have appeared so far.
    #[must_use]
    pub fn visible(&self) -> u64 {
        self.count("visible")
    }

    fn count(&self, name: &str) -> u64 {
        let status = self.status();
        let accounts = status["accounts"].as_array().cloned().unwrap_or_default();
        let feeds = accounts.iter().filter_map(|account| account["feeds"].as_object());
        feeds
            .flat_map(|feeds| feeds.values())
            .filter_map(|feed| feed[name].as_u64())
            .sum()
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn host(&self) -> String {
        self.simulator.host()
    }

    pub(crate) fn ca(&self) -> &str {
        self.simulator.ca_pem()
    }

    /// Integration and secret key of an account.
    ///
    /// # Panics
    /// There is no such account.
    #[must_use]
    pub fn keys(&self, account: &str) -> (&str, &str) {
        let found = self.keys.iter().find(|(name, ..)| name == account);
        found
            .map(|(_, ikey, skey)| (ikey.as_str(), skey.as_str()))
            .unwrap_or_else(|| panic!("no account {account}"))
    }
}

fn wall() -> i64 {
    Timestamp::now().as_millisecond()
}
