//! What an operator asks of the outbox, and who asked.

use serde_json::{Value, json};

use super::Daemon;
use crate::audit::{self, Who};
use crate::control::Request;
use crate::deliver::{Asked, Done};

impl Daemon {
    /// Sends alerts again, or gives them up, and notes who wanted it.
    pub(super) fn outbox(&self, request: &Request, uid: Option<u32>) -> anyhow::Result<Value> {
        let Request::Outbox {
            drop,
            sink,
            tenant,
            ids,
            reason,
        } = request
        else {
            return Ok(Value::Null);
        };
        let who = Who::asked(uid, if *drop { "drop" } else { "retry" });
        let asked = Asked {
            drop: *drop,
            sink: sink.as_deref(),
            tenant: tenant.as_deref(),
            ids,
            who: &who.words(),
        };
        let done = self.delivery.ask(&asked)?;
        let change = |done: &Done| {
            let named = match ids.as_slice() {
                [] => "all that waits or was refused".to_owned(),
                ids => ids.join(", "),
            };
            audit::Change {
                who: who.clone(),
                tenant: tenant.clone().unwrap_or_default(),
                what: format!("outbox of {}", done.sink),
                before: Some(named),
                after: Some(if *drop { "not sent" } else { "sent again" }.to_owned()),
                reason: reason.clone(),
            }
        };
        audit::write(&*self.store, done.iter().map(change).collect());
        let told = done
            .iter()
            .map(|done| json!({"sink": done.sink, "alerts": done.alerts, "all": done.all}));
        Ok(Value::Array(told.collect()))
    }
}
