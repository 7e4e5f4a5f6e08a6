//! What an operator does with what was not delivered: `picket outbox retry` and `drop`.

use picket_sink::Courier;
use picket_store::{
    Lane, Letter, LetterFilter, LetterState, OutboxRow, Patience, Settlement, Store, StoreError, Stretch,
};

use super::Delivery;
use crate::daemon::lock;
use crate::when;

/// Letters that are looked at in one request.
const MOST: usize = 100_000;

/// What somebody wants done.
#[derive(Debug, Clone)]
pub(crate) struct Asked<'a> {
    /// Send again, or give up.
    pub(crate) drop: bool,
    /// Of this sink alone.
    pub(crate) sink: Option<&'a str>,
    /// Of this tenant alone.
    pub(crate) tenant: Option<&'a str>,
    /// These alerts; none: all.
    pub(crate) ids: &'a [String],
    /// Who asks, for the letter.
    pub(crate) who: &'a str,
}

/// What was done at one sink.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    pub(crate) sink: String,
    /// Alerts that are sent again, or not at all.
    pub(crate) alerts: u64,
    /// All that waits is passed over, or tried at once.
    pub(crate) all: bool,
}

/// What was wrong is forgotten: the sink is tried at once.
pub(super) fn forgive(courier: &mut Courier, store: &dyn Store) -> Result<(), StoreError> {
    let row = courier.row();
    let lane = |lane: &Lane| {
        let lane = Lane {
            patience: Patience {
                next_try: None,
                ..lane.patience.clone()
            },
            ..lane.clone()
        };
        (lane.tenant.clone(), Some(lane))
    };
    store.settle(Settlement {
        standing: Some((
            Patience {
                next_try: None,
                ..row.patience.clone()
            },
            false,
        )),
        lanes: row.lanes.iter().map(lane).collect(),
        ..Settlement::up_to(&row.sink, row.after)
    })?;
    courier.reread(store)
}

impl Delivery {
    /// Sends alerts again, or gives them up.
    ///
    /// # Errors
    /// The store's, or there is no such sink.
    pub(crate) fn ask(&self, asked: &Asked<'_>) -> anyhow::Result<Vec<Done>> {
        // The lanes' lock is not held while a sink finishes what it is at.
        let lanes: Vec<_> = lock(&self.lanes)
            .iter()
            .filter(|lane| asked.sink.is_none_or(|sink| lane.config.name == sink))
            .map(|lane| (lane.shared.clone(), lane.wake.clone()))
            .collect();
        if lanes.is_empty() {
            let names: Vec<String> = lock(&self.lanes).iter().map(|lane| lane.config.name.clone()).collect();
            anyhow::bail!(
                "there is no sink `{}`; there are: {}",
                asked.sink.unwrap_or_default(),
                names.join(", ")
            );
        }
        let mut done = Vec::new();
        for (shared, wake) in lanes {
            let mut courier = lock(&shared.courier);
            let at_sink = if asked.drop {
                self.give_up(&courier, asked)?
            } else {
                self.send_again(&mut courier, asked)?
            };
            courier.reread(&*self.store)?;
            drop(courier);
            if !asked.drop
                && asked.ids.is_empty()
                && let Some(events) = &mut *lock(&shared.events)
            {
                events.forgive(&*self.store)?;
            }
            let _ = wake.try_send(());
            done.push(at_sink);
        }
        done.retain(|done| done.alerts > 0 || done.all);
        Ok(done)
    }

    fn letters(&self, sink: &str, asked: &Asked<'_>) -> Result<Vec<Letter>, StoreError> {
        let mut letters = self.store.letters(&LetterFilter {
            sink: Some(sink),
            tenant: asked.tenant,
            state: None,
            after: 0,
            limit: MOST,
        })?;
        letters.retain(|letter| asked.ids.is_empty() || asked.ids.iter().any(|id| letter.alert.starts_with(&**id)));
        Ok(letters)
    }

    fn send_again(&self, courier: &mut Courier, asked: &Asked<'_>) -> anyhow::Result<Done> {
        let sink = courier.row().sink.to_string();
        let mut letters = self.letters(&sink, asked)?;
        letters.retain(|letter| letter.state == LetterState::Dead);
        let alerts = letters.len() as u64;
        letters.iter_mut().for_each(|letter| letter.state = LetterState::Again);
        if alerts > 0 {
            self.store.settle(Settlement {
                letters,
                ..Settlement::up_to(&sink, courier.row().after)
            })?;
        }
        // Whoever names alerts means those; else it is all that waits, too.
        let row = courier.row();
        let waits = row.disabled || row.patience.trouble.is_some() || !row.lanes.is_empty();
        let all = asked.ids.is_empty() && waits;
        if all || alerts > 0 {
            forgive(courier, &*self.store)?;
        }
        Ok(Done { sink, alerts, all })
    }

    fn give_up(&self, courier: &Courier, asked: &Asked<'_>) -> anyhow::Result<Done> {
        let row = courier.row();
        let dead = self.letters(&row.sink, asked)?;
        let mut settlement = Settlement {
            settled: dead.iter().map(|letter| letter.number).collect(),
            ..Settlement::up_to(&row.sink, row.after)
        };
        let mut alerts = dead.len() as u64;
        let all = asked.ids.is_empty();
        if all {
            // All that waits now, of the tenant or of everybody.
            let end = self.store.outbox_end()?;
            let lane = |tenant: &str| {
                let lane = Lane {
                    tenant: tenant.into(),
                    after: end,
                    patience: Patience::default(),
                };
                (lane.tenant.clone(), Some(lane))
            };
            match asked.tenant {
                Some(tenant) => settlement.lanes = vec![lane(tenant)],
                None => {
                    settlement.after = end;
                    settlement.lanes = row.lanes.iter().map(|lane| (lane.tenant.clone(), None)).collect();
                    settlement.standing = Some((Patience::default(), row.disabled));
                }
            }
        } else {
            for id in asked.ids {
                for waiting in self.waiting(courier, asked.tenant, id)? {
                    alerts += 1;
                    settlement.letters.push(Letter {
                        sink: row.sink.clone(),
                        number: waiting.number,
                        tenant: waiting.tenant,
                        alert: waiting.alert,
                        state: LetterState::Dropped,
                        reason: format!("dropped by {}", asked.who).into(),
                        time: when::now(),
                    });
                }
            }
        }
        self.store.settle(settlement)?;
        Ok(Done {
            sink: row.sink.to_string(),
            alerts,
            all,
        })
    }

    /// The alert of this id, if the sink has not got it yet.
    fn waiting(&self, courier: &Courier, tenant: Option<&str>, id: &str) -> Result<Vec<OutboxRow>, StoreError> {
        let row = courier.row();
        let first = row.lanes.iter().map(|lane| lane.after).min().unwrap_or(row.after);
        let mut found = self.store.stretch(&Stretch {
            after: first.min(row.after),
            tenant,
            alert: Some(id),
            limit: 16,
            ..Stretch::default()
        })?;
        found.retain(|alert| {
            let lane = row.lanes.iter().find(|lane| lane.tenant == alert.tenant);
            alert.number > lane.map_or(row.after, |lane| lane.after)
        });
        Ok(found)
    }
}
