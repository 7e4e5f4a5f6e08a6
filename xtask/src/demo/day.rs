//! The day as it goes by: the simulated clock, the alerts as they come, and waiting without going silent.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::children::Program;
use super::picket::{Picket, Status};
use super::setup::{COLLECT, EXAMPLE, Place};
use super::show::{Show, grouped};
use super::simulator::{self, Simulator};

/// Simulated seconds to a second: a day in 96.
const SPEED: u32 = 900;
/// How often things are looked at.
const LOOK: Duration = Duration::from_millis(150);
/// How often the day's progress is told.
const TELL: Duration = Duration::from_secs(5);
/// How many alerts of the example rule are shown; the others are only counted, or they would hide the rest.
const SHOWN_OWN: usize = 3;

/// Everything that runs, and what has been shown of it.
#[derive(Debug)]
pub(super) struct Day<'a> {
    pub(super) show: &'a Show,
    pub(super) place: Place,
    pub(super) simulator: Simulator,
    pub(super) picket: Picket,
    pub(super) daemon: Program,
    alerts: Tail,
    /// Alerts that came out of the sink.
    pub(super) raised: usize,
    own: usize,
    told: Instant,
    /// The day's first event is the store's next one.
    history: u64,
}

impl<'a> Day<'a> {
    /// Nothing has been shown yet.
    pub(super) fn new(show: &'a Show, place: Place, simulator: Simulator, picket: Picket, daemon: Program) -> Self {
        let alerts = Tail::new(place.path("alerts.ndjson"));
        Day {
            show,
            place,
            simulator,
            picket,
            daemon,
            alerts,
            raised: 0,
            own: 0,
            told: Instant::now(),
            history: 0,
        }
    }

    /// Waits until the past is read, the clock standing still. How many events it has.
    pub(super) fn read_history(&mut self) -> anyhow::Result<u64> {
        let began = Instant::now();
        let status = self.wait(Duration::from_secs(120), "the history to be read", |day| {
            let Some(status) = day.picket.status()? else {
                return Ok(None);
            };
            let visible = day.simulator.status()?;
            Ok(is_level(&status, &visible).then_some(status))
        })?;
        let took = began.elapsed().as_secs_f64();
        self.history = status.events();
        let raised = self.raised;
        let text = format!(
            "{} events of six weeks read and judged in {took:.1} s",
            grouped(self.history)
        );
        self.show.step(&format!("{text}; {raised} alerts raised for the past"));
        Ok(self.history)
    }

    /// Lets the clock go.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        self.told = Instant::now();
        self.simulator.control(&json!({"clock": "go", "speed": SPEED}))
    }

    /// Waits for an hour of the simulated day.
    pub(super) fn until(&mut self, hour: f64) -> anyhow::Result<()> {
        self.wait(Duration::from_secs(180), "the day to go by", |day| {
            Ok((day.simulator.status()?.hours() >= hour).then_some(()))
        })
    }

    /// Looks again and again until there is something, showing what happens meanwhile.
    pub(super) fn wait<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut look: impl FnMut(&mut Self) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let end = Instant::now() + patience;
        loop {
            if let Some(found) = look(self)? {
                self.tick()?;
                return Ok(found);
            }
            self.tick()?;
            if Instant::now() >= end {
                bail!("waited {} s for {what}, in vain", patience.as_secs());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Shows what is new.
    pub(super) fn tick(&mut self) -> anyhow::Result<()> {
        self.daemon.must_run()?;
        self.simulator.program.must_run()?;
        for alert in self.alerts.read()? {
            self.raised += 1;
            if alert.pointer("/rule/id").and_then(Value::as_str) == Some(EXAMPLE) {
                self.own += 1;
                if self.own > SHOWN_OWN {
                    continue;
                }
            }
            self.show.alert(&alert);
            if self.own == SHOWN_OWN {
                self.own += 1;
                self.show.step(&format!("{EXAMPLE}: further alerts are only counted"));
            }
        }
        if self.history > 0 && self.told.elapsed() >= TELL {
            self.told = Instant::now();
            // While the daemon restarts there is nobody to ask.
            if let Some(status) = self.picket.status()? {
                let now = self.simulator.status()?.now;
                let events = status.events().saturating_sub(self.history);
                self.show.progress(&now, events, self.raised);
            }
        }
        Ok(())
    }

    /// Waits until the day is over and everything of it is collected and judged. How many events the store has.
    pub(super) fn finish(&mut self) -> anyhow::Result<u64> {
        // Duo publishes after two minutes; a rule that waits for its slowest log, a little later.
        self.until(24.2)?;
        let total = self.wait(Duration::from_secs(60), "everything to be collected", |day| {
            let Some(status) = day.picket.status()? else {
                return Ok(None);
            };
            let visible = day.simulator.status()?;
            let logs = COLLECT
                .iter()
                .flat_map(|(tenant, logs)| logs.iter().map(move |log| (tenant, log)));
            let mut over = logs.map(|(tenant, log)| visible.is_over(tenant, log));
            Ok((over.all(|over| over) && is_level(&status, &visible)).then(|| status.events()))
        })?;
        // The rules follow their logs' marks, which still move with the clock: quiet for a while, and all is judged.
        let mut quiet = (self.raised, Instant::now());
        self.wait(Duration::from_secs(60), "judging to come to rest", |day| {
            if day.raised != quiet.0 {
                quiet = (day.raised, Instant::now());
            }
            Ok((quiet.1.elapsed() >= Duration::from_secs(2)).then_some(()))
        })?;
        let status = self.picket.status()?.context("picket does not answer")?;
        ensure!(
            status.events() == total,
            "events came twice: {} and then {}",
            total,
            status.events()
        );
        Ok(total)
    }

    /// Ends both programs in good order.
    pub(super) fn stop(mut self) {
        self.daemon.stop();
        self.simulator.program.stop();
    }

    /// Lets both run on.
    pub(super) fn leave(mut self) {
        self.daemon.leave();
        self.simulator.program.leave();
    }
}

/// Whether the store has exactly what has appeared.
fn is_level(status: &Status, visible: &simulator::Status) -> bool {
    let mut logs = COLLECT
        .iter()
        .flat_map(|(tenant, logs)| logs.iter().map(move |log| (tenant, log)));
    logs.all(|(tenant, log)| status.collected(tenant, log) == visible.visible(tenant, log))
}

/// A growing file of JSON lines.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    read: u64,
    part: Vec<u8>,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Tail {
            path,
            read: 0,
            part: Vec::new(),
        }
    }

    /// The lines that were finished since.
    fn read(&mut self) -> anyhow::Result<Vec<Value>> {
        let Ok(mut file) = std::fs::File::open(&self.path) else {
            return Ok(Vec::new());
        };
        file.seek(SeekFrom::Start(self.read))?;
        self.read += file.read_to_end(&mut self.part)? as u64;
        let whole = self.part.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines: Vec<u8> = self.part.drain(..whole).collect();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_slice(line).context("alerts.ndjson has a line that is not JSON"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_once_and_only_when_they_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.ndjson");
        let mut tail = Tail::new(path.clone());
        assert!(tail.read().unwrap().is_empty());
        std::fs::write(&path, "{\"a\":1}\n{\"a\":").unwrap();
        assert_eq!(tail.read().unwrap(), [json!({"a": 1})]);
        std::fs::write(&path, "{\"a\":1}\n{\"a\":2}\n").unwrap();
        assert_eq!(tail.read().unwrap(), [json!({"a": 2})]);
        assert!(tail.read().unwrap().is_empty());
    }
}
