//! Where pages come from.

use picket_duo::{Client, DuoError, Log, Page, Query};

/// Duo's logs: the API, or a double of it.
pub trait DuoLogs: Send + Sync + 'static {
    /// One page. Signed anew each time it is called.
    fn page(&self, log: Log, query: &Query) -> impl Future<Output = Result<Page, DuoError>> + Send;

    /// Duo's clock less this machine's, ms, as the last answer showed it, a refusal included. None: not known.
    fn skew_ms(&self) -> Option<i64> {
        None
    }

    /// Where the secret key comes from (a file, a variable), to be named where a new one has to be put.
    fn secret_place(&self) -> Option<String> {
        None
    }
}

impl DuoLogs for Client {
    async fn page(&self, log: Log, query: &Query) -> Result<Page, DuoError> {
        Client::page(self, log, query).await
    }

    fn skew_ms(&self) -> Option<i64> {
        Client::skew_ms(self)
    }
}
