//! What the rules of one tenant may remember, all together.
//!
//! A rule's own quota refuses a `put`, and the rule sees it. A tenant's must not: how much others remember at the moment that a
//! rule judges a row depends on how far they have come, on what was quarantined when, on which rules there are; a replay would
//! meet the quota at other rows, and a hostile module could make its neighbours forget by filling the quota first. So it does
//! what a tenant's other bounds do: it delays. Where the tenant is past its quota, a rule that remembers more than its share of
//! it (the quota by the number of rules) may not grow: the call counts for nothing, and the rule stands before those rows,
//! visibly, until there is room. It is then shown them with the same result. Rules within their share go on, so all of them
//! together remember at most twice the quota.

use picket_contract::{Failure, FailureKind, StateChanges, StateSummary, Usage};

use crate::holding::Remembered;

/// How one tenant stands to its quota, as of a moment between two feedings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    most: u64,
    used: u64,
    rules: u64,
}

impl Quota {
    /// `most` bytes, and what each rule remembers.
    pub(crate) fn new(most: u64, remembered: impl Iterator<Item = StateSummary>) -> Self {
        let (mut used, mut rules) = (0_u64, 0_u64);
        for summary in remembered {
            used = used.saturating_add(summary.bytes);
            rules += 1;
        }
        Quota { most, used, rules }
    }

    /// Whether a call may change what the rule remembers in this way.
    ///
    /// # Errors
    /// The rule is to stand still: not for a fault of its own, so the row is not to blame.
    pub(crate) fn check(&self, rule: &Remembered, changes: &StateChanges, usage: Usage) -> Result<(), Failure> {
        let share = self.most / self.rules.max(1);
        let before = rule.summary().bytes;
        if self.used <= self.most || changes.is_empty() {
            return Ok(());
        }
        let mut after = rule.clone();
        after.apply(changes);
        let after = after.summary().bytes;
        if after <= before || after <= share {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let message = format!(
            "the tenant's rules remember {} MiB of {} MiB, and this one would grow to {} MiB, its share being {} MiB: raise \
             sandbox: state: tenant_mb, or take a rule out",
            mib(self.used),
            mib(self.most),
            mib(after),
            mib(share),
        );
        let failure = Failure::new(FailureKind::Host, message, usage);
        Err(Failure {
            code: "state-quota",
            ..failure
        })
    }
}
