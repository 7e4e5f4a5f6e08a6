//! `picket rule promote | rollback | pause | resume`, which ask the daemon, and `history | diff`, which read the store.

use anyhow::{Context as _, bail};
use picket_contract::evaluate::grouped;
use picket_store::{StepOutcome, StepRow, Store, VersionRow, VersionState};
use serde_json::{Value, json};

use crate::cli::Format;
use crate::config::Config;
use crate::control::{Request, VersionVerb, ask};
use crate::out::out;
use crate::registry::shadow_note;
use crate::when;

/// Asks the daemon. False: it is not done, and why.
///
/// # Errors
/// No daemon runs, or its words: there is no rule of this name.
pub(crate) async fn change(
    config: &Config,
    what: VersionVerb,
    name: &str,
    reason: Option<&str>,
    format: Format,
) -> anyhow::Result<bool> {
    let request = Request::Version {
        what,
        name: name.to_owned(),
        reason: reason.unwrap_or_default().to_owned(),
    };
    let Some(answer) = ask(&config.control_socket, &request).await? else {
        bail!(
            "no daemon answers on {}; start it: picket run",
            config.control_socket.display()
        );
    };
    let done = answer.get("done").and_then(Value::as_bool).unwrap_or_default();
    match format {
        Format::Ndjson => out!("{answer}"),
        Format::Text => out!("{}", answer.get("text").and_then(Value::as_str).unwrap_or_default()),
    }
    Ok(done)
}

/// What became of every version of a module, the oldest step first.
///
/// # Errors
/// The store's, or there is no such rule.
pub(crate) fn history(config: &Config, name: &str, format: Format) -> anyhow::Result<()> {
    let store = super::store(config)?;
    let versions = store.versions()?;
    let file = match file(&versions, name) {
        Ok(file) => file,
        // A file of which nothing ever passed has steps and no version.
        Err(nothing) => {
            let mut names = [name.to_owned(), format!("{name}.wasm")].into_iter();
            let is_told = |file: &String| store.version_steps(file).is_ok_and(|steps| !steps.is_empty());
            names.find(is_told).ok_or(nothing)?
        }
    };
    let now = when::now();
    for step in store.version_steps(&file)? {
        let row = versions
            .iter()
            .find(|row| *row.file == *file && row.digest == step.digest);
        match format {
            Format::Ndjson => out!("{}", told(&step, row)),
            Format::Text => out!("{}", line(&step, row, now)),
        }
    }
    Ok(())
}

fn told(step: &StepRow, row: Option<&VersionRow>) -> Value {
    json!({
        "time": when::rfc3339(step.time),
        "module": &*step.file,
        "digest": &*step.digest,
        "rules": row.map(|row| &row.rules),
        "state": row.map(|row| row.state),
        "step": &*step.step,
        "outcome": step.outcome,
        "reason": &*step.reason,
    })
}

fn line(step: &StepRow, row: Option<&VersionRow>, now: i64) -> String {
    let outcome = match step.outcome {
        StepOutcome::Passed => "ok",
        StepOutcome::Failed => "FAILED",
        StepOutcome::Waits => "WAITS",
    };
    let version = row.map_or(String::new(), |row| {
        let mut versions: Vec<&str> = row.rules.iter().map(|(_, version)| version.as_str()).collect();
        versions.dedup();
        format!(" ({})", versions.join(", "))
    });
    format!(
        "{}  {}{version}  {:<11} {outcome:<6}  {}",
        when::short(step.time, now),
        short(&step.digest),
        step.step,
        step.reason
    )
}

/// `sha256:` and twelve digits.
fn short(digest: &str) -> &str {
    digest.get(..19).unwrap_or(digest)
}

/// What the last version that was compared with another did otherwise: the one that waits, if one does.
///
/// # Errors
/// The store's, or nothing was compared.
pub(crate) fn diff(config: &Config, name: &str, format: Format) -> anyhow::Result<()> {
    let store = super::store(config)?;
    let versions = store.versions()?;
    let file = file(&versions, name)?;
    let of_file = || versions.iter().filter(|row| *row.file == *file);
    if let Some(row) = of_file().find(|row| row.state == VersionState::Shadow)
        && let Some(note) = shadow_note(&store, &file)?.filter(|note| note.digest == *row.digest)
        && let Some(found) = note.found
    {
        return shown_live(row, note.until, found, format);
    }
    let waiting = of_file().find(|row| row.state == VersionState::Waiting);
    let steps = store.version_steps(&file)?;
    let is_wanted = |step: &&StepRow| waiting.is_none_or(|row| row.digest == step.digest) && step.detail.is_some();
    let step = steps.iter().rev().find(is_wanted);
    let step = step.with_context(|| format!("no version of {file} was compared with another yet"))?;
    let mut detail: Value = serde_json::from_str(step.detail.as_deref().unwrap_or_default())?;
    let row = of_file().find(|row| row.digest == step.digest);
    if format == Format::Ndjson {
        if let (Value::Object(detail), Value::Object(head)) = (&mut detail, told(step, row)) {
            detail.extend(head);
        }
        out!("{detail}");
        return Ok(());
    }
    out!("{}", line(step, row, when::now()));
    differences(&detail);
    Ok(())
}

/// What a version that is in shadow does otherwise so far.
fn shown_live(row: &VersionRow, until: i64, mut found: Value, format: Format) -> anyhow::Result<()> {
    let until_words = when::rfc3339(until);
    if format == Format::Ndjson {
        if let Value::Object(found) = &mut found {
            let head = json!({"time": when::rfc3339(row.since), "module": &*row.file, "digest": &*row.digest,
                "rules": row.rules, "state": row.state, "step": "live-shadow", "outcome": null, "reason": &*row.reason,
                "until": until_words});
            found.extend(head.as_object().cloned().unwrap_or_default());
        }
        out!("{found}");
        return Ok(());
    }
    let count = |name: &str| {
        found
            .pointer(&format!("/counts/{name}"))
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    out!(
        "{}  {}  in shadow until {until_words}: {} gained, {} lost, {} changed, {} alike on {} live events so far",
        when::short(row.since, when::now()),
        short(&row.digest),
        count("gained") + count("new"),
        count("lost"),
        count("changed"),
        count("same"),
        grouped(found.get("events").and_then(Value::as_u64).unwrap_or_default())
    );
    differences(&found);
    Ok(())
}

fn differences(detail: &Value) {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |name: &str| detail.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let alert = |sign: &str, alert: &Value| {
        out!(
            "{sign} {}  {:<8}  {}  {}  {}  {}",
            text(alert, "time"),
            text(alert, "severity"),
            text(alert, "tenant"),
            text(alert, "rule"),
            text(alert, "title"),
            text(alert, "id")
        );
    };
    for (name, sign) in [("gained", "+"), ("lost", "-"), ("new", "*")] {
        list(name).iter().for_each(|one| alert(sign, one));
    }
    for changed in list("changed") {
        for (side, sign) in [("before", "<"), ("after", ">")] {
            alert(sign, changed.get(side).unwrap_or(&Value::Null));
        }
    }
    for failed in list("failures") {
        out!(
            "! {} of {}: {}",
            text(&failed, "rule"),
            text(&failed, "tenant"),
            text(&failed, "reason")
        );
        text(&failed, "report").lines().for_each(|line| out!("    {line}"));
    }
    let fuel = detail
        .get("fuel")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for (rule, fuel) in &fuel {
        let of = |side: &str| grouped(fuel.get(side).and_then(Value::as_u64).unwrap_or_default());
        out!("fuel {rule}: {} before, {} now", of("before"), of("after"));
    }
}

/// The file that is meant: by its name, or by a rule that one of its versions has or had.
fn file(versions: &[VersionRow], name: &str) -> anyhow::Result<String> {
    let by_name = versions
        .iter()
        .find(|row| *row.file == *name || *row.file == *format!("{name}.wasm"));
    if let Some(row) = by_name {
        return Ok(row.file.to_string());
    }
    let has = |row: &&VersionRow| row.rules.iter().any(|(rule, _)| rule == name);
    let mut files: Vec<&str> = versions.iter().filter(has).map(|row| &*row.file).collect();
    files.sort_unstable();
    files.dedup();
    match files.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => bail!("nothing is known of a rule or module `{name}`; `picket rule list` shows both"),
        several => bail!(
            "several modules have or had the rule `{name}`: name one of {}",
            several.join(", ")
        ),
    }
}
