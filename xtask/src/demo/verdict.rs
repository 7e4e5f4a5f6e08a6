//! Planted against found.
//!
//! The generator knows no rule. Which rule has to speak up for which story is written here and nowhere else.

use std::collections::BTreeMap;

use super::picket::Alert;
use super::simulator::{Kind, Planted};

/// The rule that has to tell of a story.
pub(super) const EXPECTED: [(&str, &str); 16] = [
    ("user reports fraud", "auth-reported-fraud"),
    ("push fatigue, refused", "mfa-fatigue-denied-burst"),
    ("push fatigue, gave in", "mfa-fatigue-then-success"),
    ("bypass status user logs in", "bypass-status-login"),
    ("bypass code used to log in", "bypass-code-login"),
    ("bypass code created by an admin", "bypass-code-created"),
    ("user deleted by an admin", "user-deleted"),
    ("login from a new country", "new-access-country"),
    ("remembered device used from many places", "remembered-device-overuse"),
    ("remembered device used far too often", "remembered-device-overuse"),
    ("sms pumping to one number", "telephony-number-burst"),
    ("helpdesk reset takeover", "mfa-reset-takeover-chain"),
    ("bypass code created and soon used", "bypass-code-created-then-used"),
    ("one address tries many users", "auth-failure-spray"),
    ("text messages for no login", "telephony-without-auth"),
    ("an application no longer asks Duo", "application-went-silent"),
];

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// By story.
    pub(super) stories: BTreeMap<String, Row>,
    pub(super) look_alikes: Vec<LookAlike>,
    /// What was not found, in words.
    pub(super) missed: Vec<String>,
    /// Alerts of stock rules about nothing that was planted, in words.
    pub(super) unexpected: Vec<String>,
    /// Alerts of rules that are not in the stock pack.
    pub(super) own: usize,
    /// Alerts of stock rules.
    pub(super) stock: usize,
}

/// One line of the table.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) rule: String,
    pub(super) planted: usize,
    pub(super) found: usize,
}

/// What ought to stay silent.
#[derive(Debug)]
pub(super) struct LookAlike {
    pub(super) tenant: String,
    pub(super) story: String,
    /// Alerts about it.
    pub(super) raised: Vec<String>,
}

impl Verdict {
    /// Holds the alerts against what was planted; `own` are the rules that are not in the stock pack.
    pub(super) fn new(planted: &[Planted], alerts: &[Alert], own: &[&str]) -> Self {
        let mut verdict = Verdict::default();
        let (own, stock): (Vec<&Alert>, Vec<&Alert>) =
            alerts.iter().partition(|alert| own.contains(&alert.rule.as_str()));
        (verdict.own, verdict.stock) = (own.len(), stock.len());
        let attacks = || planted.iter().filter(|story| story.kind == Kind::Attack);
        for story in attacks() {
            let expected = EXPECTED.iter().find(|(name, _)| *name == story.story);
            let rule = expected.map_or("(no rule)", |(_, rule)| rule);
            let found = stock.iter().any(|alert| alert.rule == rule && meets(story, alert));
            let row = verdict.stories.entry(story.story.clone()).or_default();
            rule.clone_into(&mut row.rule);
            row.planted += 1;
            row.found += usize::from(found);
            if !found {
                verdict
                    .missed
                    .push(format!("{}: {} ({})", story.account, story.note, story.story));
            }
        }
        let is_unexpected = |alert: &&&Alert| !attacks().any(|story| meets(story, alert));
        let unexpected: Vec<&Alert> = stock.iter().filter(is_unexpected).copied().collect();
        let told = |alert: &Alert| format!("{}: {}: {} ({})", alert.tenant, alert.rule, alert.title, alert.id);
        for story in planted.iter().filter(|story| story.kind == Kind::LookAlike) {
            let raised = unexpected.iter().filter(|alert| meets(story, alert));
            verdict.look_alikes.push(LookAlike {
                tenant: story.account.clone(),
                story: story.story.clone(),
                raised: raised.map(|alert| told(alert)).collect(),
            });
        }
        verdict.unexpected = unexpected.into_iter().map(told).collect();
        verdict
    }

    /// Attacks planted.
    pub(super) fn planted(&self) -> usize {
        self.stories.values().map(|row| row.planted).sum()
    }

    /// Attacks found.
    pub(super) fn found(&self) -> usize {
        self.stories.values().map(|row| row.found).sum()
    }

    /// Look-alikes that an alert was raised about.
    pub(super) fn raised(&self) -> usize {
        self.look_alikes.iter().filter(|one| !one.raised.is_empty()).count()
    }
}

/// Whether an alert's evidence has an event of the story.
fn meets(story: &Planted, alert: &Alert) -> bool {
    if story.account != alert.tenant {
        return false;
    }
    // Rows of the administrator log have no id of Duo's: they are told by their second and whom they are about.
    let is_action = |(time, object): &(i64, String)| {
        let seconds = story.from_us.div_euclid(1_000_000)..=story.to_us.div_euclid(1_000_000);
        seconds.contains(time) && story.user.as_ref().is_none_or(|user| user == object)
    };
    alert.events.iter().any(|event| story.events.contains(event)) || alert.actions.iter().any(is_action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn story(story: &str, kind: Kind, events: &[&str]) -> Planted {
        Planted {
            account: "acme".to_owned(),
            story: story.to_owned(),
            user: Some("ada".to_owned()),
            kind,
            from_us: 10_500_000,
            to_us: 20_000_000,
            events: events.iter().map(|id| (*id).to_owned()).collect(),
            note: "a note".to_owned(),
        }
    }

    fn alert(rule: &str, events: &[&str]) -> Alert {
        Alert {
            id: "al_1".to_owned(),
            tenant: "acme".to_owned(),
            rule: rule.to_owned(),
            title: "a title".to_owned(),
            severity: "high".to_owned(),
            about: "ada".to_owned(),
            events: events.iter().map(|id| (*id).to_owned()).collect(),
            actions: Vec::new(),
        }
    }

    #[test]
    fn only_the_rule_for_the_story_finds_it_and_others_on_the_same_events_are_no_surprise() {
        let planted = [story("user reports fraud", Kind::Attack, &["a", "b"])];
        let found = Verdict::new(&planted, &[alert("auth-reported-fraud", &["b"])], &[]);
        assert_eq!((found.planted(), found.found(), found.unexpected.len()), (1, 1, 0));
        let other = Verdict::new(&planted, &[alert("new-access-country", &["b"])], &[]);
        assert_eq!((other.found(), other.missed.len(), other.unexpected.len()), (0, 1, 0));
    }

    #[test]
    fn an_alert_on_a_look_alike_is_unexpected_and_said_so_unless_the_rule_is_ones_own() {
        let planted = [story("a traveller", Kind::LookAlike, &["c"])];
        let raised = Verdict::new(&planted, &[alert("new-access-country", &["c"])], &[]);
        assert_eq!((raised.raised(), raised.unexpected.len()), (1, 1));
        let own = Verdict::new(&planted, &[alert("at-night", &["c"])], &["at-night"]);
        assert_eq!((own.raised(), own.unexpected.len(), own.own), (0, 0, 1));
    }

    #[test]
    fn an_administrators_row_is_told_by_time_and_object() {
        let planted = [story("user deleted by an admin", Kind::Attack, &["administrator 1"])];
        let mut deleted = alert("user-deleted", &["sha256:0"]);
        deleted.actions = vec![(10, "ada".to_owned())];
        assert_eq!(Verdict::new(&planted, std::slice::from_ref(&deleted), &[]).found(), 1);
        deleted.actions = vec![(10, "bob".to_owned())];
        assert_eq!(Verdict::new(&planted, &[deleted], &[]).found(), 0);
    }
}
