//! A rule whose calls are counted and timed.

use std::sync::Arc;
use std::time::Instant;

use picket_contract::{Call, Evaluate, Failure, Outcome, StateLimits};

use super::Sight;

/// Calls another, and notes how long it took. What a rule answers does not depend on it.
#[derive(Debug)]
pub(crate) struct Timed {
    inner: Arc<dyn Evaluate>,
    sight: Arc<Sight>,
}

impl Timed {
    /// The same rule, watched.
    pub(crate) fn watch(inner: Arc<dyn Evaluate>, sight: &Arc<Sight>) -> Arc<dyn Evaluate> {
        let sight = sight.clone();
        Arc::new(Timed { inner, sight })
    }
}

impl Evaluate for Timed {
    fn evaluate(&self, call: Call<'_>) -> Result<Outcome, Failure> {
        let labels = vec![("rule", call.rule.to_owned())];
        let began = Instant::now();
        let outcome = self.inner.evaluate(call);
        let took = began.elapsed().as_secs_f64();
        self.sight.rule_calls.get_or_create(&labels).inc();
        self.sight.rule_seconds.get_or_create(&labels).observe(took);
        outcome
    }

    fn state_limits(&self) -> StateLimits {
        self.inner.state_limits()
    }
}
