//! What many rules cost: 171 of them over pages of 1000 logins, each rule shown 5 % of the rows.
//!
//! - **The rules.** Stock rules that read logins, over and over, each a rule of its own in the judge: its own id, condition,
//!   state and calls. The condition is the stock rule's, for as many users as make a twentieth of the logins. A rule whose
//!   condition leaves less than that, so that it is nearly its whole judgement, is stood in for by the bench's rule, which is
//!   shown all logins of a twentieth's users.
//! - **What is measured.** [`TenantJudge`] being fed a page whose rows have been read into columns: release, selection,
//!   calls, state, alerts. Processor time of the thread, by event, for all rules together; the median over all pages but the
//!   first few of several rounds, each of which begins with rules that know nothing. `rules171_least` is the same with each page's
//!   least round.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use picket_contract::when::{Op, Test};
use picket_contract::{Admission, Call, Evaluate, EventRecord, Failure, Outcome, RuleManifest, When};
use picket_event::{Plan, RowRef, Selector};
use picket_judge::acquaintance::Acquaintance;
use picket_judge::dedup::Dedup;
use picket_judge::replay::{Rows, admissions};
use picket_judge::{JudgedRule, Settings, TenantJudge};
use picket_sandbox::{Engine, Module};

use crate::clockwork::{busy, quantile, say};
use crate::figure::Printer;
use crate::rules;

/// As many as the largest pack of detection rules for one product that we know of.
const RULES: usize = 171;
/// A rule is shown one row in so many.
const SHARE: usize = 20;
const ROUNDS: usize = 15;
/// Pages until rules have met most users.
const WARMING: usize = 3;
const LOG: &str = "authentication";

/// Measures it.
///
/// # Errors
/// The rules cannot be had or fail.
pub(crate) fn run(
    engine: &Engine,
    stock: &Path,
    stateless: &Arc<Module>,
    events: &[EventRecord],
    printer: &Printer,
) -> anyhow::Result<()> {
    let rows = Rows {
        log: LOG.into(),
        rows: events.iter().map(|event| event.raw.clone()).collect(),
    };
    let entries = admissions(&[rows])?;
    let rules = generated(&rules::load_all(engine, stock)?, stateless, events)?;
    say(&format!("{} rules over {} pages of logins", rules.len(), entries.len()));
    let (mut took, mut least, mut alerts) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let (pages, raised) = round(rules.clone(), &entries)?;
        least.resize(pages.len(), Duration::MAX);
        for (least, page) in least.iter_mut().zip(&pages) {
            *least = (*least).min(*page);
        }
        took.extend(pages.into_iter().skip(WARMING));
        alerts = raised;
    }
    say(&format!("they raised {alerts} alerts"));
    let least = least.into_iter().skip(WARMING).collect();
    for (name, took) in [
        ("sandbox/rules171_us_per_event", took),
        ("sandbox/rules171_least_us_per_event", least),
    ] {
        printer.print(name, "us", quantile(took, 0.5).as_secs_f64() * 1e6);
    }
    Ok(())
}

/// What an event of each page costs, and how many alerts there were.
fn round(rules: Vec<JudgedRule>, entries: &[Admission]) -> anyhow::Result<(Vec<Duration>, usize)> {
    let nothing: &[Admission] = &[];
    let (dedup, known) = (Dedup::default(), Acquaintance::default());
    let mut judge = TenantJudge::new(rules::tenant(), Settings::default(), 0, rules, dedup, known, &nothing)?;
    let (mut after, mut took, mut alerts) = (0, Vec::new(), 0);
    for entry in entries {
        let page = Arc::new(judge.plan().parse(LOG, &entry.log, &entry.events));
        let read: Vec<_> = (0..entry.events.len() as u32).map(|row| (page.clone(), row)).collect();
        let began = busy()?;
        let verdict = judge.feed_read(after, std::slice::from_ref(entry), &[read], &entries, 0)?;
        let busy = busy()?.saturating_sub(began);
        anyhow::ensure!(verdict.troubles.is_empty(), "rules failed: {:?}", verdict.troubles);
        if let Ok(count @ 1..) = u32::try_from(entry.events.len()) {
            took.push(busy / count);
        }
        alerts += verdict.alerts.len() + verdict.repeats.len();
        after = entry.last_seq();
    }
    Ok((took, alerts))
}

/// A rule to make others of.
struct Model {
    module: Arc<Module>,
    rule: RuleManifest,
    /// Groups of users that have a twentieth of the logins each, as far as the rule's condition holds for them.
    parts: Vec<Vec<String>>,
}

impl Model {
    /// None: the rule reads no logins, or its condition leaves too few of them.
    fn new(module: &Arc<Module>, rule: &RuleManifest, events: &[EventRecord]) -> anyhow::Result<Option<Model>> {
        if rule.sources.iter().all(|source| source.log != LOG) {
            return Ok(None);
        }
        let plan = Plan::new(&rule.sources);
        let selector = Selector::new(rule, &rules::defaults(rule)?, &plan)?;
        let mut rows: BTreeMap<String, usize> = BTreeMap::new();
        for events in events.chunks(1000) {
            let page = Arc::new(plan.parse(LOG, LOG, events));
            let offered: Vec<RowRef> = (0..events.len() as u32)
                .map(|row| RowRef::new(page.clone(), row, 1))
                .collect();
            let picked = selector.select(&offered, i64::MIN).picked;
            for event in picked.iter().filter_map(|row| events.get(*row as usize)) {
                *rows.entry(user(event)?).or_default() += 1;
            }
        }
        let wanted = events.len() / SHARE;
        let of_all = rows.values().sum::<usize>();
        if of_all < wanted {
            return Ok(None);
        }
        let mut busiest: Vec<(String, usize)> = rows.into_iter().collect();
        busiest.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut parts = vec![(0, Vec::new()); of_all / wanted];
        for (name, count) in busiest {
            let least = parts.iter_mut().min_by_key(|(rows, _)| *rows).context("no parts")?;
            least.0 += count;
            least.1.push(name);
        }
        Ok(Some(Model {
            module: module.clone(),
            rule: rule.clone(),
            parts: parts.into_iter().map(|(_, names)| names).collect(),
        }))
    }

    /// The rule for some of the users, as one of its own.
    fn rule(&self, number: usize) -> anyhow::Result<JudgedRule> {
        let users = self.parts.get(number % self.parts.len()).cloned().unwrap_or_default();
        let mut manifest = self.rule.clone();
        manifest.id = format!("{}-{number}", self.rule.id);
        for source in manifest.sources.iter_mut().filter(|source| source.log == LOG) {
            let of_users = When::Test(Test {
                field: "user.name".to_owned(),
                op: Op::In,
                values: users.clone(),
                param: None,
            });
            source.when = When::All {
                all: vec![source.when.clone(), of_users],
            };
        }
        let params = Arc::new(rules::defaults(&self.rule)?);
        let evaluator = Arc::new(Renamed {
            module: self.module.clone(),
            rule: self.rule.id.clone(),
        });
        let module = self.module.digest.clone();
        Ok(JudgedRule::new(Arc::new(manifest), evaluator, module, params))
    }
}

fn user(event: &EventRecord) -> anyhow::Result<String> {
    let row: serde_json::Value = serde_json::from_str(&event.raw)?;
    let name = row.pointer("/user/name").and_then(|name| name.as_str());
    Ok(name.unwrap_or_default().to_owned())
}

/// The rules, in turn from those that the stock has.
fn generated(
    stock: &[Arc<Module>],
    stateless: &Arc<Module>,
    events: &[EventRecord],
) -> anyhow::Result<Vec<JudgedRule>> {
    let own = stateless
        .manifest
        .rules
        .first()
        .context("the bench's module has no rule")?;
    let mut models = Vec::new();
    for module in stock {
        for rule in &module.manifest.rules {
            if rule.sources.iter().any(|source| source.log == LOG) {
                let model = match Model::new(module, rule, events)? {
                    Some(model) => Some(model),
                    None => Model::new(stateless, own, events)?,
                };
                models.push(model.context("the bench's rule reads no logins")?);
            }
        }
    }
    let turns = models.iter().cycle().enumerate().take(RULES);
    turns.map(|(number, model)| model.rule(number)).collect()
}

/// A module's rule under another id.
#[derive(Debug)]
struct Renamed {
    module: Arc<Module>,
    rule: String,
}

impl Evaluate for Renamed {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        self.module.evaluate(Call {
            rule: &self.rule,
            ..call
        })
    }
}
