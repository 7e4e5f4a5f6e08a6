//! Every module of the corpus gets its verdict, in bounded time and memory, and a good module beside it notices nothing.
//!
//! The modules are loaded and called in processes of their own, half of them in each: a module that brings the host down is
//! then named, and memory can be measured.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Instant;

use picket_contract::{Batch, Call, Evaluate, Failure, Outcome, Params, RuleState, Tables};
use picket_hostile::{Answer, Case, Guest, Verdict, corpus, rows};
use picket_sandbox::{Engine, Limits, Module, Rejected};

/// Which share of the corpus this process takes, `1/2`.
const SHARE: &str = "PICKET_HOSTILE_SHARE";
const SHARES: usize = 2;
/// Longest that anybody is told about a module, bytes.
const TOLD: usize = 2000;

#[test]
fn the_corpus_has_all_its_groups_and_no_name_twice() {
    let corpus = corpus();
    let names: BTreeSet<&str> = corpus.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), corpus.len());
    let mut groups: BTreeMap<u8, usize> = BTreeMap::new();
    for case in &corpus {
        *groups.entry(case.group).or_default() += 1;
    }
    println!("{} modules, by group: {groups:?}", corpus.len());
    assert!(groups.keys().copied().eq(1..=15), "{groups:?}");
}

#[test]
fn every_module_gets_its_verdict() {
    let own = std::env::current_exe().unwrap();
    let children: Vec<_> = (0..SHARES)
        .map(|share| {
            let mut child = Command::new(&own);
            child
                .args(["--exact", "one_share", "--ignored", "--nocapture"])
                .env(SHARE, format!("{share}/{SHARES}"));
            std::thread::spawn(move || child.output().unwrap())
        })
        .collect();
    let mut wrong = Vec::new();
    for child in children {
        let said = child.join().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr),
        );
        if !said.status.success() || !out.contains("1 passed") {
            let begun = out.lines().rfind(|line| line.starts_with("begin ")).unwrap_or_default();
            wrong.push(format!("{} after “{begun}”\n{err}", said.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a process of its own does: not a test by itself.
#[test]
#[ignore = "run by every_module_gets_its_verdict"]
fn one_share() {
    let share = std::env::var(SHARE).unwrap();
    let (share, shares) = share.split_once('/').unwrap();
    let (share, shares): (usize, usize) = (share.parse().unwrap(), shares.parse().unwrap());
    let host = Host::new();
    let mut wrong = Vec::new();
    for case in corpus().iter().skip(share).step_by(shares) {
        println!("begin {}", case.name);
        if let Err(why) = host.judge(case) {
            wrong.push(format!("group {}, {}: {why}", case.group, case.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of the modules:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

struct Host {
    engine: Engine,
    neighbour: Module,
    /// What the neighbour answers when it is alone.
    undisturbed: Outcome,
    batch: Batch,
}

impl Host {
    fn new() -> Self {
        let limits = Limits {
            concurrency: 2,
            ..Limits::default()
        };
        let engine = Engine::new(limits).unwrap();
        let neighbour = Guest::new(Answer::titled(4).body()).items(r#"(data (i32.const 600) "Seen")"#);
        let neighbour = engine.load(&neighbour.component()).unwrap();
        let batch = rows(3, 1);
        let undisturbed = call(&neighbour, &batch).unwrap();
        Host {
            engine,
            neighbour,
            undisturbed,
            batch,
        }
    }

    fn judge(&self, case: &Case) -> Result<(), String> {
        let before = peak_begins();
        let began = Instant::now();
        let judged = self.verdict(case);
        let (took, grew) = (began.elapsed(), peak().saturating_sub(before));
        println!("end {} after {} ms and {} MiB", case.name, took.as_millis(), grew >> 20);
        judged?;
        if took > case.within {
            return Err(format!("took {took:?}, at most {:?} allowed", case.within));
        }
        if grew > case.memory {
            return Err(format!("took {grew} bytes of memory, at most {} allowed", case.memory));
        }
        let answer = call(&self.neighbour, &self.batch);
        if answer.as_ref() != Ok(&self.undisturbed) {
            return Err(format!("the module beside it answers otherwise: {answer:?}"));
        }
        Ok(())
    }

    fn verdict(&self, case: &Case) -> Result<(), String> {
        let module = match (self.engine.load(&case.bytes), case.verdict) {
            (Ok(module), Verdict::Fails(_) | Verdict::Harmless) => module,
            (Ok(_), expected) => return Err(format!("is admitted, expected {expected:?}")),
            (Err(Rejected::Describe(failure)), Verdict::FailsToDescribe(code)) => return failed(&failure, code),
            (Err(rejected), expected) => {
                presentable(&rejected.to_string())?;
                return if expected == Verdict::Refused(rejected.code()) {
                    Ok(())
                } else {
                    let told = rejected.to_string();
                    Err(format!(
                        "is refused ({}: {told}), expected {expected:?}",
                        rejected.code()
                    ))
                };
            }
        };
        for batch in [&self.batch, &rows(300, 3), &rows(0, 0)] {
            let answer = call(&module, batch);
            match (&answer, case.verdict) {
                (Ok(outcome), Verdict::Harmless) => decent(outcome)?,
                (Err(failure), Verdict::Fails(code)) => failed(failure, code)?,
                (_, expected) => return Err(format!("answers {answer:?}, expected {expected:?}")),
            }
            // Again, and on another thread at the same time.
            let (again, elsewhere) = std::thread::scope(|scope| {
                let elsewhere = scope.spawn(|| call(&module, batch));
                (call(&module, batch), elsewhere.join().unwrap())
            });
            if again != answer || elsewhere != answer {
                return Err(format!("answers differ: {answer:?}\n{again:?}\n{elsewhere:?}"));
            }
        }
        Ok(())
    }
}

fn call(module: &Module, batch: &Batch) -> Result<Outcome, Failure> {
    let (state, params, tables) = (RuleState::default(), Params::new(), Tables::default());
    module.evaluate(Call {
        rule: "t",
        batch,
        state: &state,
        params: &params,
        tables: &tables,
    })
}

fn failed(failure: &Failure, code: &str) -> Result<(), String> {
    presentable(&failure.message)?;
    let limits = Limits::default();
    if failure.usage.fuel > limits.fuel || failure.usage.memory > limits.memory_bytes as u64 {
        return Err(format!("spent more than it was given: {failure:?}"));
    }
    let found = failure.code;
    if found == code {
        Ok(())
    } else {
        Err(format!("fails with {found} ({failure}), expected {code}"))
    }
}

/// What came of a call that succeeded stays within the caps, whatever the module tried.
fn decent(outcome: &Outcome) -> Result<(), String> {
    let limits = Limits::default();
    for alert in &outcome.alerts {
        presentable(&alert.title)?;
        let texts = alert.dedup_key.iter().chain(
            alert
                .about
                .iter()
                .flat_map(|about| [&about.kind, &about.key, &about.name]),
        );
        let facts = alert.facts.iter().flat_map(|(name, value)| [name, value]);
        texts.chain(facts).try_for_each(|text| presentable(text))?;
    }
    outcome.log.iter().try_for_each(|line| presentable(&line.message))?;
    if outcome.log.len() > limits.log.lines || outcome.usage.memory > limits.memory_bytes as u64 {
        return Err(format!("beyond the caps: {:?}", outcome.usage));
    }
    let mut state = RuleState::default();
    state.apply(&outcome.changes);
    if state.bytes() > limits.state.total_bytes {
        return Err(format!("keeps {} bytes", state.bytes()));
    }
    Ok(())
}

/// Nothing that a module wrote does anything to a terminal, or fills it.
fn presentable(text: &str) -> Result<(), String> {
    let odd = |character: char| character.is_control() || ('\u{202a}'..='\u{202e}').contains(&character);
    if text.len() > TOLD + 200 || text.chars().any(odd) {
        return Err(format!(
            "not fit to be shown: {} bytes, {:?}",
            text.len(),
            text.get(..200).unwrap_or(text)
        ));
    }
    Ok(())
}

/// Resident memory now, bytes; from here on the peak is counted.
fn peak_begins() -> u64 {
    // Not everywhere allowed; where it is not, the peak since the process began is an upper bound.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    status("VmRSS:")
}

/// The peak of resident memory, bytes.
fn peak() -> u64 {
    status("VmHWM:")
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
