//! What must exist, and what does: every event from the simulator's seed, every alert from a run that nobody disturbed, held
//! against the store and against what the sinks received, a file and a webhook.
//!
//! The undisturbed run is itself held against `picket replay`, which reads files and knows no store, no cursor and no crash:
//! whatever a replay finds must have been found live, with the same ids. (Live finds a few more: timers that are due after the
//! last row, which a replay does not fire.)

use std::collections::{BTreeMap, BTreeSet};

use picket_e2e::{Hook, Site};
use picket_store::{AlertFilter, EventFilter, Store as _, Stretch};
use serde_json::{Value, json};

use crate::world::{HOOK, Set, World, collects, feeds};

/// What is wrong, counted. All zero, but for `wire_repeats`, is the promise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Events and alerts that must exist and do not, in the store or on the wire.
    pub lost: usize,
    /// Events and alerts that are in the store more than once.
    pub duplicated: usize,
    /// Events that Duo never sent as they are, alerts that nobody expected, and ids on the wire that the store does not know.
    pub wrong_ids: usize,
    /// Alerts that a sink got again, each with an id that it had.
    pub wire_repeats: usize,
    /// Alerts that a sink got for the first time behind one of the same company's that was committed later.
    pub out_of_order: usize,
    /// Events in the store.
    pub events: usize,
    /// Alerts in the store.
    pub alerts: usize,
    /// The first few of what is wrong, in words.
    pub words: Vec<String>,
}

impl Verdict {
    /// Nothing lost, nothing twice, nothing odd.
    #[must_use]
    pub fn is_good(&self) -> bool {
        (self.lost, self.duplicated, self.wrong_ids, self.out_of_order) == (0, 0, 0, 0)
    }

    fn say(&mut self, words: impl FnOnce() -> String) {
        if self.words.len() < 12 {
            self.words.push(words());
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: Verdict) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.wrong_ids += other.wrong_ids;
        self.wire_repeats += other.wire_repeats;
        self.out_of_order += other.out_of_order;
        self.events += other.events;
        self.alerts += other.alerts;
        self.words.extend(other.words);
    }
}

/// Knows what must exist.
pub struct Oracle {
    /// Ids of alerts, by company.
    alerts: BTreeMap<String, BTreeSet<String>>,
    /// The keys of the companies' phone numbers: ids of alerts about numbers follow from them.
    keys: Vec<(String, Vec<u8>)>,
}

impl Oracle {
    /// Asks a daemon that nobody disturbs.
    ///
    /// # Panics
    /// It does not come to an end, or a replay finds what it did not.
    #[must_use]
    pub fn ask(world: &World) -> Self {
        let mut set = world.set();
        set.site.run();
        world.finish(&set.site);
        set.site.wait("everything to be delivered", || {
            is_delivered(world, &set.site, &set.hook).then_some(())
        });
        let Set { mut site, .. } = set;
        site.stop();
        let (mut alerts, mut keys) = (BTreeMap::new(), Vec::new());
        for (at, name) in world.names() {
            let ids: BTreeSet<String> = alerts_of(&site, name).into_iter().map(|(id, _)| id).collect();
            let replayed = replayed(world, &site, at, name);
            assert!(
                replayed.is_subset(&ids),
                "{name}: a replay finds {replayed:?}, live {ids:?}"
            );
            assert!(
                replayed.len() * 10 >= ids.len() * 9,
                "{name}: a replay finds far less than live"
            );
            let key = format!("data/keys/{name}.phone");
            keys.push((key.clone(), std::fs::read(site.path(&key)).unwrap()));
            alerts.insert(name.to_owned(), ids);
        }
        Oracle { alerts, keys }
    }

    /// Has a site that has not run yet judge with the same keys.
    ///
    /// # Panics
    /// They cannot be written.
    pub fn prepare(&self, site: &Site) {
        std::fs::create_dir_all(site.path("data/keys")).unwrap();
        for (name, key) in &self.keys {
            std::fs::write(site.path(name), key).unwrap();
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            std::fs::set_permissions(site.path(name), private).unwrap();
        }
    }
}

/// Holds a site that has settled against what must be there. The daemon has stopped or is idle; what it wrote to the file, and
/// what it sent to the webhook, is what went over the wire.
#[must_use]
pub fn examine(oracle: &Oracle, world: &World, site: &Site, hook: &Hook) -> Verdict {
    let mut verdict = Verdict::default();
    let wires = [("file", of_file(site)), (HOOK, of_hook(hook))];
    for (at, name) in world.names() {
        events(&mut verdict, site, at, name);
        let expected = &oracle.alerts[name];
        let stored = alerts_of(site, name);
        let about = |id: &str| {
            let found = stored.iter().find(|(known, _)| known == id);
            found.map_or(String::new(), |(_, about)| format!(" ({about})"))
        };
        verdict.alerts += stored.len();
        let known: BTreeSet<&String> = stored.iter().map(|(id, _)| id).collect();
        verdict.duplicated += stored.len() - known.len();
        for id in expected.iter().filter(|id| !known.contains(id)) {
            verdict.lost += 1;
            verdict.say(|| format!("{name}: alert {id} is not in the store"));
        }
        for id in known.iter().filter(|id| !expected.contains(**id)) {
            verdict.wrong_ids += 1;
            verdict.say(|| format!("{name}: nobody expected alert {id}{}", about(id)));
        }
        let committed = committed(site, name);
        for (sink, wire) in &wires {
            let received = wire.get(name).map(Vec::as_slice).unwrap_or_default();
            let mut places: Vec<usize> = Vec::new();
            let mut came: BTreeSet<&String> = BTreeSet::new();
            for id in received {
                if !known.contains(id) {
                    verdict.wrong_ids += 1;
                    verdict.say(|| format!("{name}: {id} was delivered to the {sink} and is not in the store"));
                } else if !came.insert(id) {
                    verdict.wire_repeats += 1;
                } else {
                    places.extend(committed.iter().position(|known| known == id));
                }
            }
            for id in known.iter().filter(|id| !came.contains(**id)) {
                verdict.lost += 1;
                verdict.say(|| format!("{name}: alert {id}{} was never delivered to the {sink}", about(id)));
            }
            let disorder = places.windows(2).filter(|pair| pair[0] > pair[1]).count();
            verdict.out_of_order += disorder;
            if disorder > 0 {
                verdict.say(|| format!("{name}: the {sink} got {disorder} alerts too late"));
            }
        }
    }
    verdict
}

/// Ids of what is to be delivered, in the order in which it was committed.
fn committed(site: &Site, name: &str) -> Vec<String> {
    let all = Stretch {
        tenant: Some(name),
        limit: usize::MAX,
        ..Stretch::default()
    };
    let rows = site.store().stretch(&all).unwrap();
    rows.into_iter().map(|row| row.alert.to_string()).collect()
}

/// Alerts that are to be delivered: their ids, and what they are about.
fn alerts_of(site: &Site, name: &str) -> Vec<(String, String)> {
    let rows = site.store().alerts(name, &AlertFilter::default()).unwrap();
    let told = |alert: picket_store::AlertRow| {
        let json: Value = serde_json::from_str(&alert.json).unwrap_or_default();
        (
            alert.id.to_string(),
            format!("{}, {}: {}", alert.rule, json["time"], json["title"]),
        )
    };
    rows.into_iter().map(told).collect()
}

/// Every row that Duo has, once, as it was sent.
fn events(verdict: &mut Verdict, site: &Site, at: usize, name: &str) {
    let mut expected: BTreeMap<String, isize> = BTreeMap::new();
    for feed in feeds(at) {
        for (_, text) in site.duo.rows(name, feed) {
            *expected.entry(canonical(&text)).or_default() += 1;
        }
    }
    let stored = site.store().search(name, &EventFilter::default()).unwrap();
    let mut ids = BTreeSet::new();
    for event in &stored {
        verdict.events += 1;
        if !ids.insert((event.log.clone(), event.event.id.clone())) {
            verdict.duplicated += 1;
            verdict.say(|| format!("{name}: {} of {} is stored twice", event.event.id, event.log));
            continue;
        }
        match expected.get_mut(&canonical(&event.event.raw)) {
            Some(left) => *left -= 1,
            None => {
                verdict.wrong_ids += 1;
                verdict.say(|| format!("{name}: Duo never sent {}", event.event.raw));
            }
        }
    }
    for (text, left) in expected {
        match left {
            1.. => {
                verdict.lost += left.unsigned_abs();
                verdict.say(|| format!("{name}: not in the store: {text}"));
            }
            0 => {}
            _ => {
                verdict.duplicated += left.unsigned_abs();
                verdict.say(|| format!("{name}: stored twice under two ids: {text}"));
            }
        }
    }
}

/// A row's JSON, whatever the order of its members.
fn canonical(text: &str) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => {
                let members: BTreeMap<&String, Value> =
                    members.iter().map(|(name, value)| (name, sorted(value))).collect();
                json!(members)
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    serde_json::from_str(text).map_or_else(|_| text.to_owned(), |value: Value| sorted(&value).to_string())
}

/// Ids in the order in which they came, by tenant.
type Wire = BTreeMap<String, Vec<String>>;

/// A line that is cut off is counted for nobody, and then nobody got it.
fn of_file(site: &Site) -> Wire {
    let mut wire = Wire::new();
    for name in ["alerts.ndjson.2", "alerts.ndjson.1", "alerts.ndjson"] {
        let text = std::fs::read(site.path(name)).unwrap_or_default();
        for line in String::from_utf8_lossy(&text).lines() {
            if let Ok(alert) = serde_json::from_str::<Value>(line) {
                add(&mut wire, &alert);
            }
        }
    }
    wire
}

fn of_hook(hook: &Hook) -> Wire {
    let mut wire = Wire::new();
    for posted in hook.posted() {
        add(&mut wire, &posted.body);
    }
    wire
}

fn add(wire: &mut Wire, alert: &Value) {
    if let (Some(tenant), Some(id)) = (alert["tenant"]["id"].as_str(), alert["id"].as_str()) {
        wire.entry(tenant.to_owned()).or_default().push(id.to_owned());
    }
}

/// Whether everything that is stored has been written to the file.
#[must_use]
pub fn is_written(world: &World, site: &Site) -> bool {
    has_all(world, site, &of_file(site))
}

/// Whether everything that is stored has been delivered to every sink.
#[must_use]
pub fn is_delivered(world: &World, site: &Site, hook: &Hook) -> bool {
    is_written(world, site) && has_all(world, site, &of_hook(hook))
}

fn has_all(world: &World, site: &Site, wire: &Wire) -> bool {
    world.names().all(|(_, name)| {
        let received: BTreeSet<&String> = wire.get(name).into_iter().flatten().collect();
        alerts_of(site, name).iter().all(|(id, _)| received.contains(id))
    })
}

/// Ids of the alerts that a replay of the same logs finds.
fn replayed(world: &World, site: &Site, at: usize, name: &str) -> BTreeSet<String> {
    duo_simulator::write::write(&site.path("logs"), &world.accounts[at]).unwrap();
    let path = |name: &str| site.path(name).display().to_string();
    let mut arguments = vec!["replay".to_owned(), "--tenant".to_owned(), name.to_owned()];
    arguments.extend(["--phone-key".to_owned(), path(&format!("data/keys/{name}.phone"))]);
    arguments.extend(["--rules".to_owned(), path("rules")]);
    for feed in collects(at) {
        let file = path(&format!("logs/{name}/{feed}.ndjson"));
        arguments.extend(["--events".to_owned(), format!("{feed}={file}")]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let alerts = site.ndjson(&arguments);
    alerts
        .iter()
        .map(|alert| alert["id"].as_str().unwrap().to_owned())
        .collect()
}
