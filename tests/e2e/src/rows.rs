//! Accounts made by hand, row by row, where a test needs to know what happens when.

use duo_simulator::model::{Account, Feed, Row};
use jiff::Timestamp;
use serde_json::{Value, json};

/// An account under construction. Times are ms since the epoch.
#[derive(Debug, Clone)]
pub struct Story {
    account: Account,
}

/// A user's name and key.
#[must_use]
pub fn person(name: &str) -> (String, String) {
    (name.to_owned(), format!("DU{:0<18}", name.to_uppercase()))
}

fn text(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap();
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string()
}

impl Story {
    /// An account without rows. Its keys follow from its name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let ikey = format!("DI{:X<18}", name.to_uppercase());
        let skey = format!("{:0<40}", format!("hush{name}"));
        Story {
            account: Account {
                name: name.to_owned(),
                ikey,
                skey,
                ..Account::default()
            },
        }
    }

    /// With this secret key.
    #[must_use]
    pub fn with_secret(mut self, skey: &str) -> Self {
        skey.clone_into(&mut self.account.skey);
        self
    }

    /// Any JSON at all as a row of a feed.
    #[must_use]
    pub fn row(mut self, feed: Feed, at: i64, id: &str, json: Value) -> Self {
        self.account.rows.push(Row {
            feed,
            time_us: at * 1000,
            id: id.to_owned(),
            json,
        });
        self
    }

    /// A prompt on somebody's phone.
    #[must_use]
    pub fn prompt(self, at: i64, user: &str, result: &str, reason: &str) -> Self {
        self.login(at, user, "duo_push", result, reason)
    }

    /// A login.
    #[must_use]
    pub fn login(self, at: i64, user: &str, factor: &str, result: &str, reason: &str) -> Self {
        let id = format!("{:08x}-aaaa-4000-8000-{:012x}", self.account.rows.len(), at);
        let (name, key) = person(user);
        let json = json!({
            "access_device": {"browser": "Firefox", "ip": "198.51.100.7", "location": {"city": "Lyon", "country": "France", "state": "Rhone"}},
            "application": {"key": "DIAPP", "name": "VPN"},
            "auth_device": {"ip": null, "key": "DP1", "name": "+1 312-555-8544"},
            "email": format!("{user}@example.com"), "event_type": "authentication", "factor": factor,
            "isotimestamp": text(at), "reason": reason, "result": result, "timestamp": at / 1000, "txid": id,
            "user": {"groups": [], "key": key, "name": name},
        });
        self.row(Feed::Authentication, at, &id, json)
    }

    /// So many refused prompts, one a minute.
    #[must_use]
    pub fn refusals(self, from: i64, user: &str, count: i64) -> Self {
        (0..count).fold(self, |story, index| {
            story.prompt(from + index * 60_000, user, "denied", "user_cancelled")
        })
    }

    /// An administrator makes a bypass code for somebody: a row of activity, and one of administrator.
    #[must_use]
    pub fn bypass_code(self, at: i64, user: &str) -> Self {
        let id = format!("{:08x}-bbbb-4000-8000-{:012x}", self.account.rows.len(), at);
        let (name, key) = person(user);
        let details = json!({"bypass": "", "count": 1, "user_id": key, "valid_secs": 3600}).to_string();
        let activity = json!({
            "access_device": {"ip": {"address": "198.51.100.9"}}, "action": {"details": null, "name": "bypass_create"},
            "activity_id": id, "actor": {"details": null, "key": "DEROOT", "name": "root", "type": "admin"},
            "akey": "DA1", "application": null, "old_target": null, "outcome": null,
            "target": {"details": details, "key": key, "name": name, "type": "user_bypass"}, "ts": text(at),
        });
        let administrator = json!({
            "action": "bypass_create", "description": details, "isotimestamp": text(at / 1000 * 1000), "object": name,
            "timestamp": at / 1000, "username": "root",
        });
        self.row(Feed::Activity, at, &id, activity).row(
            Feed::Administrator,
            at / 1000 * 1000,
            &format!("v1-{id}"),
            administrator,
        )
    }

    /// A text message.
    #[must_use]
    pub fn message(self, at: i64) -> Self {
        let id = format!("{:08x}-cccc-4000-8000-{:012x}", self.account.rows.len(), at);
        let json = json!({"context": "authentication", "credits": 1, "phone": "+13125558544", "telephony_id": id,
            "ts": text(at), "txid": id, "type": "sms"});
        self.row(Feed::Telephony, at, &id, json)
    }

    /// The account.
    #[must_use]
    pub fn account(mut self) -> Account {
        self.account
            .rows
            .sort_by(|one, other| (one.time_us, &one.id).cmp(&(other.time_us, &other.id)));
        self.account
    }
}
