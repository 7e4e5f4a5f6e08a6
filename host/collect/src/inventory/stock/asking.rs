//! Asking Duo, page by page, within the account's budget.

use picket_duo::{DuoError, Inventory, InventoryPage};

use super::{Failure, MOST_ATTEMPTS, MOST_WALKS, Stock};
use crate::budget::Class;
use crate::clock::Clock;
use crate::inventory::keep::{DuoInventory, Keep};
use crate::inventory::snapshot::{Snapshot, Step, Walk};

impl<D: DuoInventory, K: Keep, C: Clock> Stock<D, K, C> {
    /// All pages of a kind, from a walk during which nothing moved.
    pub(super) async fn walk(&mut self, kind: Inventory) -> Result<Snapshot, Failure> {
        for _ in 0..MOST_WALKS {
            let mut walk = Walk::new(kind);
            loop {
                let page = self.page(kind, walk.offset).await?;
                match walk.take(&page) {
                    Step::Next => {}
                    Step::Finished => return Ok(walk.finish()),
                    Step::Moved => break,
                }
            }
        }
        Err(Failure::Restless)
    }

    async fn page(&mut self, kind: Inventory, offset: u64) -> Result<InventoryPage, Failure> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.beat_if_due().await;
            let budget = self.budget.clone();
            let permit = budget.acquire(&*self.clock, Class::Inventory, kind.path()).await;
            let answer = self.duo.inventory(kind, offset).await;
            let now = self.clock.now_ms();
            let error = match answer {
                Ok(page) => {
                    permit.good();
                    if let Some(date) = page.server_date_ms {
                        self.skew = date - now;
                    }
                    return Ok(page);
                }
                Err(error) => error,
            };
            let seed = format!("{}/{kind}", self.tenant);
            let wait = match &error {
                DuoError::RateLimited { retry_after, .. } => {
                    self.board.update(kind, |health| health.rate_limited += 1);
                    // The budget holds the next call back for so long.
                    permit.limited(now, *retry_after, &seed);
                    0
                }
                DuoError::Unauthorized { code: 40103, .. } => {
                    permit.refused(now);
                    return Err(Failure::Duo(error));
                }
                error if error.is_configuration() || matches!(error, DuoError::BadRequest { .. }) => {
                    permit.good();
                    return Err(Failure::Duo(error.clone()));
                }
                _ => self.settings.back_off.after_failure(attempt, &seed),
            };
            if attempt >= MOST_ATTEMPTS {
                return Err(Failure::Duo(error));
            }
            self.clock.sleep(wait.max(1)).await;
        }
    }
}
