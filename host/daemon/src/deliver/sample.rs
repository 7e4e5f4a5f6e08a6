//! A test alert, which `picket check --send` sends to a sink. It says of itself that it is none, and stands in no store and in no
//! outbox.

use std::sync::PoisonError;

use picket_sink::{Cause, Delivery as Outcome, Fate, Sink};
use picket_store::OutboxRow;
use serde_json::{Value, json};

use super::Delivery;
use super::opened::Opened;
use crate::config::{SinkConfig, SinkKind};
use crate::daemon::lock;
use crate::when;

/// Whose it is, and which rule's.
const BY: &str = "picket-check";

/// What became of it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// By this the receiver's people find it.
    pub(crate) id: String,
    /// Why it was not taken, in words, and where to look for that. None: it was.
    pub(crate) problem: Option<(String, Trouble)>,
}

/// What kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It may be over soon, or when that is mended.
    Down(Cause),
    /// The receiver wants nothing any more.
    Gone,
    /// The receiver will never take this alert.
    Refused,
}

/// As bad as the least that the sink gets: a receiver that leaves out the rest takes it.
fn row(config: &SinkConfig, now: i64) -> OutboxRow {
    let hash = blake3::hash(format!("{}\0{now}", config.name).as_bytes()).to_hex();
    let id = format!("ts_{}", hash.get(..16).unwrap_or(&hash));
    let severity = config.route.min_severity;
    let title = format!("Test of sink {}: nothing has happened", config.name);
    let time = when::rfc3339(now);
    let json = json!({
        "schema": picket_judge::alerts::SCHEMA,
        "id": id,
        "kind": "test",
        "test": true,
        "tenant": {"id": BY, "name": BY},
        "rule": {"id": BY, "title": "Somebody wants to know whether this sink works"},
        "severity": severity,
        "title": title,
        "outcome": "none",
        "time": time,
        "happened": {"first": time, "last": time},
        "raised": time,
        "facts": {"test": "sent by `picket check --send`"},
        "check": ["that it has arrived where alerts are read"],
        "act": ["nothing: it is no alert"],
        "repeats": 0,
        "events": [],
    });
    OutboxRow {
        number: 0,
        tenant: BY.into(),
        alert: id.into(),
        rule: BY.into(),
        severity,
        raised: now,
        nth: 1,
        summary: false,
        page: false,
        json: json.to_string().into(),
    }
}

fn send(sink: &mut dyn Sink, config: &SinkConfig) -> Sent {
    let row = row(config, when::now());
    let id = row.alert.to_string();
    let Outcome { fates, down } = sink.deliver(&[row]);
    let gone = down.as_ref().is_some_and(|down| down.for_good);
    let problem = match (fates.into_iter().next(), down) {
        (Some(Fate::Taken), _) => None,
        (Some(Fate::Refused(why)), _) => Some((why, if gone { Trouble::Gone } else { Trouble::Refused })),
        (Some(Fate::Later { why, .. }), _) => Some((why, Trouble::Down(Cause::Busy))),
        (None, Some(down)) => Some((down.why, Trouble::Down(down.cause))),
        (None, None) => Some(("it was not tried".to_owned(), Trouble::Down(Cause::Other))),
    };
    Sent { id, problem }
}

/// Sends it by a connection of its own, or to the end of a file that nobody else writes to.
///
/// # Errors
/// The sink cannot be opened, in words; never a secret.
pub(crate) fn send_apart(config: &SinkConfig) -> Result<Sent, String> {
    let mut config = config.clone();
    if let SinkKind::File { max_bytes, .. } = &mut config.kind {
        // Whose file the next one would be is a matter of who runs the daemon.
        *max_bytes = u64::MAX;
    }
    let (mut opened, _) = Opened::open(&config)?;
    Ok(send(&mut opened, &config))
}

/// Whether it can be opened: certificates, secrets, addresses. Nothing is connected to, and no file is made.
///
/// # Errors
/// What is wrong, in words; never a secret.
pub(crate) fn is_sound(config: &SinkConfig) -> Result<(), String> {
    match config.kind {
        SinkKind::Stdout(_) | SinkKind::File { .. } => Ok(()),
        SinkKind::Webhook(_) | SinkKind::Syslog(_) => Opened::open(config).map(drop),
    }
}

impl Delivery {
    /// Sends it through a sink that is open: what only one can write to. The answer is [`Sent`] as JSON.
    ///
    /// # Errors
    /// There is no such sink.
    pub(crate) fn sample(&self, name: &str) -> anyhow::Result<Value> {
        let found = lock(&self.lanes)
            .iter()
            .find(|lane| lane.config.name == name)
            .map(|lane| (lane.config.clone(), lane.shared.clone()));
        let Some((config, shared)) = found else {
            anyhow::bail!("the running daemon has no sink `{name}` yet: `picket reload` first");
        };
        let mut sink = shared.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let Sent { id, problem } = send(&mut *sink, &config);
        Ok(json!({"id": id, "problem": problem.map(|(why, _)| why)}))
    }
}
