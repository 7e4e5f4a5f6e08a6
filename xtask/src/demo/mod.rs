//! `cargo xtask demo`: Picket at work against a simulated Duo, with nothing but a Rust toolchain.
//!
//! One working day of two companies in about a minute and a half: intruders come and go, a rule is edited and swaps in, a
//! hostile one is locked up, the daemon is killed and comes back. At the end what was planted is held against what was found;
//! the exit code says whether all is well. Every line tells of what the real programs did: `picket`, started and asked like
//! anybody's, and `duo-simulator`, which serves Duo's own API.
//!
//! `scenes` is what happens on the way, `verdict` how the end is judged, `setup` what has to be there before.

mod children;
#[cfg(test)]
mod company;
mod day;
mod picket;
mod scenes;
mod setup;
mod show;
mod simulator;
mod verdict;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use self::day::Day;
use self::picket::{Alert, Picket};
use self::setup::{COLLECT, EXAMPLE, Place};
use self::show::{Show, grouped};
use self::simulator::{Planted, Simulator};
use self::verdict::Verdict;

/// The fewest events a day must bring for the demo to mean something.
const LEAST_EVENTS: u64 = 20_000;
/// The fewest look-alikes that must stay silent.
const LEAST_LOOK_ALIKES: usize = 20;

/// How.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Another seed, other people and other intruders.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Leave daemon and simulator running, and say what to try.
    #[arg(long)]
    stay: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Ndjson,
}

/// What is counted on the way.
#[derive(Debug, Default)]
struct Tally {
    events: u64,
    planted: usize,
    found: usize,
    unexpected: usize,
    look_alikes: usize,
    reloads: u32,
    quarantined: u32,
    restarts: u32,
}

impl Tally {
    fn json(&self) -> Value {
        json!({
            "demo": "ok", "events": self.events, "planted": self.planted, "found": self.found,
            "unexpected": self.unexpected, "lookalikes": self.look_alikes, "reloads": self.reloads,
            "quarantined": self.quarantined, "restarts": self.restarts,
        })
    }
}

/// The command.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let show = Show::new(arguments.format == Format::Ndjson);
    let mut tally = Tally::default();
    let ended = play(root, arguments, &show, &mut tally);
    let mut result = tally.json();
    if let (Err(error), Value::Object(result)) = (&ended, &mut result) {
        result.insert("demo".to_owned(), "failed".into());
        result.insert("why".to_owned(), format!("{error:#}").into());
    }
    show.last(&result);
    let logs =
        "the programs' own words are in demo/picket.log and demo/simulator.log; the same again: `cargo xtask demo";
    ended.with_context(|| format!("the demo failed; {logs} --seed {}`", arguments.seed))
}

fn play(root: &Path, arguments: &Arguments, show: &Show, tally: &mut Tally) -> anyhow::Result<()> {
    show.step("building picket and the simulated Duo (the first time takes minutes; cargo says how far it is)");
    let programs = setup::build_programs(root)?;
    let place = Place::fresh(root)?;
    show.step("building the rules: each family becomes one sandboxed WebAssembly component");
    let families = place.stock_rules()?;
    place.example()?;
    let example = place.build_example()?;
    let hostile = place.build_hostile()?;
    show.step(&format!(
        "{families} stock modules, a custom rule and a hostile one are built"
    ));

    let log = place.path("simulator.log");
    let simulator = Simulator::start(&programs.simulator, arguments.seed, &place.path("ca.pem"), &log)?;
    let config = place.configure(&simulator.greeting)?;
    let picket = Picket::new(programs.picket.clone(), config);
    let daemon = picket.run(&place.path("picket.log"))?;
    show.step(&format!(
        "Acme Bank and Globex, seed {}: the simulated Duo listens at https://{}, the store is in ./demo/data",
        arguments.seed, simulator.greeting.host
    ));
    let planted = simulator.planted()?;
    let mut day = Day::new(show, place, simulator, picket, daemon);
    let history = day.read_history()?;
    scenes::play(&mut day, &example, &hostile, tally)?;
    let total = day.finish()?;
    tally.events = total - history;
    judge(&day, &planted, &programs.simulator, arguments.seed, tally)?;
    if arguments.stay {
        return stay(day);
    }
    day.stop();
    show.aside("The store, the logs and every alert are in ./demo. It goes on if you say so: cargo xtask demo --stay");
    Ok(())
}

/// Holds what was planted against what was found, and live against replay.
fn judge(day: &Day<'_>, planted: &[Planted], simulator: &Path, seed: u64, tally: &mut Tally) -> anyhow::Result<()> {
    let show = day.show;
    let alerts = day.picket.alerts()?;
    let verdict = Verdict::new(planted, &alerts, &[EXAMPLE, scenes::HOSTILE]);
    show.table(&verdict);
    (tally.planted, tally.found) = (verdict.planted(), verdict.found());
    (tally.unexpected, tally.look_alikes) = (verdict.unexpected.len(), verdict.look_alikes.len());
    show.step(&format!(
        "planted {} found {} | look-alikes {} raised {} | unexpected {} | {} stock alerts, {} of acme's own rule | events {}, each once",
        verdict.planted(),
        verdict.found(),
        verdict.look_alikes.len(),
        verdict.raised(),
        verdict.unexpected.len(),
        verdict.stock,
        verdict.own,
        grouped(tally.events),
    ));
    for missed in &verdict.missed {
        show.step(&format!("MISSED      {missed}"));
    }
    for unexpected in &verdict.unexpected {
        show.step(&format!("UNEXPECTED  {unexpected}"));
    }
    let same = replayed(day, simulator, seed, &alerts)?;
    show.step(&format!(
        "picket replay over the same logs, from files, without a daemon: the same {same} alerts with the same ids"
    ));
    ensure!(verdict.missed.is_empty(), "not found: {}", verdict.missed.join("; "));
    ensure!(
        verdict.unexpected.is_empty(),
        "unexpected: {}",
        verdict.unexpected.join("; ")
    );
    ensure!(
        verdict.look_alikes.len() >= LEAST_LOOK_ALIKES && verdict.planted() > 0,
        "only {} look-alikes and {} attacks were planted",
        verdict.look_alikes.len(),
        verdict.planted()
    );
    ensure!(tally.events >= LEAST_EVENTS, "the day had only {} events", tally.events);
    Ok(())
}

/// Replays both tenants' logs and compares the ids; how many there were.
fn replayed(day: &Day<'_>, simulator: &Path, seed: u64, alerts: &[Alert]) -> anyhow::Result<usize> {
    let files = day.place.path("logs");
    Simulator::write(simulator, seed, &files)?;
    let mut same = 0;
    for (tenant, logs) in COLLECT {
        let inputs: Vec<_> = logs
            .iter()
            .map(|log| (*log, files.join(tenant).join(format!("{log}.ndjson"))))
            .collect();
        let key = day.place.path("data").join("keys").join(format!("{tenant}.phone"));
        let mut again = day.picket.replay(&day.place.path("rules"), tenant, &key, &inputs)?;
        let own = [EXAMPLE, scenes::HOSTILE];
        let of_tenant = alerts
            .iter()
            .filter(|alert| alert.tenant == tenant && !own.contains(&alert.rule.as_str()));
        let mut live: Vec<String> = of_tenant.map(|alert| alert.id.clone()).collect();
        again.sort();
        live.sort();
        if again != live {
            let only = |one: &[String], other: &[String]| {
                let only: Vec<&str> = one
                    .iter()
                    .filter(|id| !other.contains(id))
                    .map(String::as_str)
                    .collect();
                only.join(", ")
            };
            bail!(
                "{tenant}: replay raised other alerts than the day did; only live: [{}]; only replayed: [{}]",
                only(&live, &again),
                only(&again, &live)
            );
        }
        same += live.len();
    }
    Ok(same)
}

/// Leaves everything running.
fn stay(day: Day<'_>) -> anyhow::Result<()> {
    day.simulator.control(&json!({"speed": 1}))?;
    let alerts = day.picket.alerts()?;
    let worst = alerts.iter().rev().find(|alert| alert.severity == "critical");
    let alert = worst.or(alerts.last()).context("there are no alerts to show")?;
    let binary = day.picket.binary().display().to_string();
    let run = format!("{binary} --config demo/picket.yaml");
    let lines = [
        "It is still yours. Try:".to_owned(),
        format!("  {run} alerts show {}", alert.id),
        format!(
            "  {run} timeline {}/{} --since {}",
            alert.tenant,
            alert.about,
            simulator::DAY
        ),
        "Your own Duo account:".to_owned(),
        format!(
            "  cp examples/one-account.yaml picket.yaml && $EDITOR picket.yaml && {binary} --config picket.yaml check"
        ),
        format!("To end it: kill {} {}", day.daemon.id(), day.simulator.program.id()),
    ];
    for line in lines {
        day.show.step(&line);
    }
    day.leave();
    Ok(())
}
