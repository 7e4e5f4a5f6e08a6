//! What a rule missed for good: rows that were forgotten while it stood still, quarantined or paused for longer than they are
//! kept. It goes on behind them; that it did is noted with it and told.

use picket_event::rfc3339;
use picket_store::{Forgotten, Gap};

use crate::rule::JudgedRule;
use crate::verdict::{Outcome, Trouble};

/// Gaps noted with a rule: the latest.
const MOST: usize = 16;

/// What the rule would have been shown and never will be. Each gap is found once.
///
/// Rows of its logs are missed if the last of them forgotten is one that it had not read, or had read and not released. (Where
/// that row is one of those which no source of the rule wants, nothing is missed; but nobody can tell any more.)
pub(crate) fn missed(rule: &JudgedRule, forgotten: &[Forgotten]) -> Vec<Gap> {
    let feeds_admin = |log: &str| matches!(log, "activity" | "administrator");
    let logs = rule.manifest.logs();
    let reads = |log: &str| {
        logs.iter()
            .any(|own| *own == log || (*own == "admin" && feeds_admin(log)))
    };
    let position = &rule.position;
    let is_missed = |gone: &&Forgotten| gone.seq > position.seq || gone.time > position.released.time;
    let is_known = |gone: &&Forgotten| {
        let mut noted = rule.standing.gaps.iter();
        noted.any(|gap| gap.log == gone.log && gap.to >= gone.time)
    };
    let gaps = forgotten
        .iter()
        .filter(|gone| reads(&gone.log) && is_missed(gone) && !is_known(gone));
    gaps.map(|gone| Gap {
        log: gone.log.clone(),
        from: (position.released.time > i64::MIN).then_some(position.released.time),
        to: gone.time,
        found: 0,
    })
    .collect()
}

/// Notes a gap with a rule; the oldest gives way.
pub(crate) fn note(gaps: &mut Vec<Gap>, gap: Gap) {
    gaps.push(gap);
    let surplus = gaps.len().saturating_sub(MOST);
    gaps.drain(..surplus);
}

/// A gap, told.
pub(crate) fn trouble(rule: &JudgedRule, gap: &Gap) -> Trouble {
    let reason = words(gap);
    Trouble {
        rule: rule.manifest.id.as_str().into(),
        module: rule.module.clone(),
        code: "gap",
        report: reason.clone(),
        reason,
        event: None,
        outcome: Outcome::Missed,
    }
}

/// A gap in words.
#[must_use]
pub fn words(gap: &Gap) -> String {
    let from = gap.from.map_or_else(|| "their beginning".to_owned(), rfc3339);
    format!(
        "events of {} from {from} to {} were forgotten before the rule was shown them: it stood still for longer than they are \
         kept",
        gap.log,
        rfc3339(gap.to)
    )
}
