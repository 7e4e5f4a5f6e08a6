//! What happens on the way through the day.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::Tally;
use super::day::Day;
use super::picket::Rule;
use super::setup::{EXAMPLE, install};

/// The hostile rule's id and file.
pub(super) const HOSTILE: &str = "evil";

/// How long a module may take from file to live (or to quarantine) before something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The whole day.
pub(super) fn play(day: &mut Day<'_>, example: &Path, hostile: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    custom(day, example)?;
    day.show.step("-- The day begins, at 900 times the speed.");
    day.begin()?;
    day.until(8.5)?;
    edit(day)?;
    tally.reloads += 1;
    day.until(11.0)?;
    attack(day, hostile)?;
    tally.quarantined += 1;
    day.until(14.5)?;
    kill(day)?;
    tally.restarts += 1;
    Ok(())
}

/// A custom rule is dropped in while the daemon runs.
fn custom(day: &mut Day<'_>, example: &Path) -> anyhow::Result<()> {
    day.show.step(&format!(
        "-- A rule of one's own. examples/{EXAMPLE}, built, copied to demo/rules/acme/: it judges acme and nobody else."
    ));
    let began = Instant::now();
    install(example, &day.place.own_module(EXAMPLE))?;
    let rule = live(day, EXAMPLE, "")?;
    day.show
        .step(&format!("{} is {} after {}", rule.id, rule.state, ms(began)));
    Ok(())
}

/// The custom rule is edited, built and swapped in.
fn edit(day: &mut Day<'_>) -> anyhow::Result<()> {
    let before = day.picket.rule(EXAMPLE)?.context("the custom rule is gone")?;
    let events = day.picket.status()?.map_or(0, |status| status.events());
    day.show.step(&format!(
        "-- Edit. demo/{EXAMPLE}/src/lib.rs: the night begins at 20 instead of 22, saved."
    ));
    day.place.edit_example()?;
    let began = Instant::now();
    let place = day.place.clone();
    let build = std::thread::spawn(move || place.build_example());
    day.wait(Duration::from_secs(120), "the rule to be compiled", |_| {
        Ok(build.is_finished().then_some(()))
    })?;
    let Ok(module) = build.join() else {
        anyhow::bail!("building the rule came to a sudden end")
    };
    let module = module?;
    let compiled = ms(began);
    let began = Instant::now();
    install(&module, &day.place.own_module(EXAMPLE))?;
    let waits = day.wait(PATIENCE, "the new version to wait for a decision", |day| {
        let mut own = day.picket.rules()?.into_iter().filter(|rule| rule.id == EXAMPLE);
        Ok(own.find(|rule| rule.waits))
    })?;
    let took = ms(began);
    day.show.step(&format!(
        "   compiled in {compiled}; {took} after the file was written it had passed its own tests and a run over stored events:"
    ));
    let told = waits.reason.split(';').next().unwrap_or_default();
    day.show.step(&format!("   it waits for us {told}"));
    let began = Instant::now();
    day.picket.promote(EXAMPLE, "night begins at 20")?;
    live(day, EXAMPLE, &before.digest)?;
    day.show
        .step(&format!("   picket rule promote {EXAMPLE}: live after {}", ms(began)));
    let pause = pause(day)?;
    let now = day.picket.status()?.map_or(0, |status| status.events());
    day.show.step(&format!(
        "   judging paused for {pause}; {} events came in meanwhile, none skipped, none judged twice",
        now.saturating_sub(events)
    ));
    Ok(())
}

/// A hostile rule is dropped in.
fn attack(day: &mut Day<'_>, hostile: &Path) -> anyhow::Result<()> {
    day.show.step(&format!(
        "-- Attack us. demo/rules/acme/{HOSTILE}.wasm: passes its tests, then loops for ever on every login. (The run over stored \
         events, which would refuse it, is switched off for this file.)"
    ));
    let began = Instant::now();
    install(hostile, &day.place.own_module(HOSTILE))?;
    let rule = day.wait(PATIENCE, "the hostile rule to be quarantined", |day| {
        let rule = day.picket.rule(HOSTILE)?;
        Ok(rule.filter(|rule| rule.state == "quarantined"))
    })?;
    day.show.step(&format!(
        "   {HOSTILE} is quarantined after {}: {}",
        ms(began),
        rule.reason
    ));
    let others = day.picket.rules()?;
    let (well, ill): (Vec<&Rule>, Vec<&Rule>) = others
        .iter()
        .filter(|rule| rule.id != HOSTILE)
        .partition(|rule| rule.state == "active");
    let ill: Vec<String> = ill
        .iter()
        .map(|rule| format!("{} is {}: {}", rule.id, rule.state, rule.reason))
        .collect();
    ensure!(ill.is_empty(), "the hostile rule harmed others: {}", ill.join("; "));
    let before = day.picket.status()?.map_or(0, |status| status.events());
    day.wait(PATIENCE, "events to come in beside the hostile rule", |day| {
        Ok(day.picket.status()?.filter(|status| status.events() > before))
    })?;
    day.show.step(&format!(
        "   the other {} rules are active and go on judging",
        well.len()
    ));
    Ok(())
}

/// The daemon is killed in the middle of everything.
fn kill(day: &mut Day<'_>) -> anyhow::Result<()> {
    day.show.step(&format!(
        "-- kill -9 {} (the daemon), in the middle of it.",
        day.daemon.id()
    ));
    let log = day.place.path("picket.log");
    day.daemon.kill();
    let began = Instant::now();
    day.daemon = day.picket.run(&log)?;
    let status = day.wait(PATIENCE, "the daemon to answer again", |day| day.picket.status())?;
    ensure!(status.events() > 0, "the store is empty after the restart");
    day.show.step(&format!(
        "   it answers again after {}; what is missing, Duo still has",
        ms(began)
    ));
    Ok(())
}

/// Waits until a rule is active with another module than before.
fn live(day: &mut Day<'_>, id: &str, before: &str) -> anyhow::Result<Rule> {
    day.wait(PATIENCE, &format!("{id} to be live"), |day| {
        let rules = day.picket.rules()?;
        if let Some(refused) = rules.iter().find(|rule| rule.id == id && rule.state == "rejected") {
            anyhow::bail!("{id} was refused: {}", refused.reason);
        }
        let mut own = rules.into_iter().filter(|rule| rule.id == id);
        Ok(own.find(|rule| rule.state == "active" && rule.digest != before))
    })
}

/// For how long the last swap held up judging, as the daemon's log has it.
fn pause(day: &Day<'_>) -> anyhow::Result<String> {
    let log = std::fs::read_to_string(day.place.path("picket.log"))?;
    let swapped = log.lines().rev().find(|line| line.contains("rules swapped"));
    let pause = swapped.and_then(|line| line.split_once("pause=")).map(|(_, rest)| rest);
    let pause = pause.and_then(|rest| rest.split_whitespace().next());
    Ok(pause.context("picket.log tells of no swap")?.to_owned())
}

fn ms(began: Instant) -> String {
    let took = began.elapsed().as_secs_f64();
    if took < 1.0 {
        format!("{:.0} ms", took * 1000.0)
    } else {
        format!("{took:.1} s")
    }
}
