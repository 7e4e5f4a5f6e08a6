//! Alerts of one rule with one key within a period are one, in event time.

use std::collections::BTreeMap;
use std::sync::Arc;

use picket_store::DedupRow;
use rustc_hash::{FxHashMap, FxHashSet};

/// The windows that alerts have opened. All are kept: a late row may repeat an early alert, and what a restart restores must
/// decide like what was never stopped. There are as many as there are alerts.
#[derive(Debug, Clone, Default)]
pub struct Dedup {
    raised: FxHashSet<Arc<str>>,
    windows: FxHashMap<(Arc<str>, Arc<str>), Windows>,
}

/// What a rule in shadow is called here: what it raises is no repeat of what goes out, nor the other way round. No id has a `~`.
pub(crate) fn in_shadow(rule: &str) -> Arc<str> {
    format!("{rule}~shadow").into()
}

/// Of one rule and key: (opened, alert) to the end.
type Windows = BTreeMap<(i64, Arc<str>), i64>;

impl Dedup {
    /// What a store kept.
    #[must_use]
    pub fn restore(rows: impl IntoIterator<Item = DedupRow>) -> Self {
        let mut dedup = Dedup::default();
        for row in rows {
            let rule = if row.shadow { in_shadow(&row.rule) } else { row.rule };
            dedup.open(rule, row.key, row.alert, row.time, row.until);
        }
        dedup
    }

    /// The alert that one at `time` (ms) repeats: same rule and key, opened less than its period before or after; or the very
    /// same alert, which a rule may raise twice. What was opened on the other side of `border` (ms; the first moment of its
    /// second side) is another matter: nobody was told of what is historic, so it must not swallow what is not.
    #[must_use]
    pub fn repeats(
        &self,
        rule: &Arc<str>,
        key: &Arc<str>,
        id: &str,
        time: i64,
        border: Option<i64>,
    ) -> Option<Arc<str>> {
        if let Some(same) = self.raised(id) {
            return Some(same);
        }
        let same_side = |opened: i64| border.is_none_or(|border| (opened < border) == (time < border));
        let covers = |((opened, _), until): &(&(i64, Arc<str>), &i64)| {
            time.abs_diff(*opened) < until.abs_diff(*opened) && same_side(*opened)
        };
        let mut windows = self.windows.get(&(rule.clone(), key.clone()))?.iter();
        windows.find(covers).map(|((_, alert), _)| alert.clone())
    }

    /// The very same alert, if it was raised before.
    pub(crate) fn raised(&self, id: &str) -> Option<Arc<str>> {
        self.raised.get(id).cloned()
    }

    /// An alert was raised at `time` (ms); others like it repeat it until `until` (ms, exclusive).
    pub fn open(&mut self, rule: Arc<str>, key: Arc<str>, alert: Arc<str>, time: i64, until: i64) {
        self.raised.insert(alert.clone());
        if until > time {
            self.windows
                .entry((rule, key))
                .or_default()
                .entry((time, alert))
                .or_insert(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Arc<str> {
        text.into()
    }

    fn opened() -> Dedup {
        let mut dedup = Dedup::default();
        dedup.open(text("r"), text("ada"), text("al_1"), 1000, 1100);
        dedup
    }

    #[test]
    fn within_the_period_on_both_sides_it_is_a_repeat() {
        let repeats = |time| opened().repeats(&text("r"), &text("ada"), "al_2", time, None).is_some();
        assert!(repeats(1000) && repeats(1099) && repeats(901));
        assert!(!repeats(1100) && !repeats(900));
    }

    #[test]
    fn what_lies_on_the_other_side_of_the_border_is_no_repeat() {
        let repeats = |time, border| {
            opened()
                .repeats(&text("r"), &text("ada"), "al_2", time, Some(border))
                .is_some()
        };
        assert!(repeats(1050, 1000) && repeats(1050, 1051) && repeats(950, 1001));
        assert!(!repeats(1050, 1050) && !repeats(999, 1000));
    }

    #[test]
    fn another_rule_or_key_is_another_alert() {
        assert_eq!(opened().repeats(&text("s"), &text("ada"), "al_2", 1000, None), None);
        assert_eq!(opened().repeats(&text("r"), &text("bob"), "al_2", 1000, None), None);
    }

    #[test]
    fn a_late_alert_opens_a_window_of_its_own_beside_the_later_one() {
        let mut dedup = opened();
        dedup.open(text("r"), text("ada"), text("al_0"), 500, 600);
        assert_eq!(
            dedup.repeats(&text("r"), &text("ada"), "x", 550, None).as_deref(),
            Some("al_0")
        );
        assert_eq!(
            dedup.repeats(&text("r"), &text("ada"), "x", 1050, None).as_deref(),
            Some("al_1")
        );
    }

    #[test]
    fn without_a_period_only_the_very_same_alert_is_a_repeat() {
        let mut dedup = Dedup::default();
        dedup.open(text("r"), text("ada"), text("al_1"), 1000, 1000);
        assert_eq!(dedup.repeats(&text("r"), &text("ada"), "al_2", 1000, None), None);
        assert!(dedup.repeats(&text("r"), &text("ada"), "al_1", 1000, None).is_some());
    }

    #[test]
    fn what_is_raised_in_shadow_swallows_nothing_that_goes_out() {
        let row = DedupRow {
            rule: text("r"),
            key: text("ada"),
            alert: text("sh_1"),
            time: 1000,
            until: 1100,
            shadow: true,
        };
        let restored = Dedup::restore([row]);
        assert_eq!(restored.repeats(&text("r"), &text("ada"), "al_2", 1000, None), None);
        let repeats = |id: &str| restored.repeats(&in_shadow("r"), &text("ada"), id, 1000, None);
        assert_eq!(repeats("sh_2").as_deref(), Some("sh_1"));
    }

    #[test]
    fn a_restart_decides_alike() {
        let row = DedupRow {
            rule: text("r"),
            key: text("ada"),
            alert: text("al_1"),
            time: 1000,
            until: 1100,
            shadow: false,
        };
        let restored = Dedup::restore([row]);
        for time in [899, 901, 1000, 1099, 1100] {
            let of = |dedup: &Dedup| dedup.repeats(&text("r"), &text("ada"), "al_2", time, None);
            assert_eq!(of(&restored), of(&opened()));
        }
    }
}
