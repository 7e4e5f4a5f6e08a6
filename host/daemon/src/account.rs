//! One tenant's Duo account, as the collector sees it: where pages come from, and the journal they go to.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use picket_collect::{Admit, AdmitError, Admitted, Cursor, DuoLogs, Intake, Rows};
use picket_contract::RawRow;
use picket_duo::{
    BadConfig, Client, ClientConfig, DuoError, Host, Log, Page, Query, Scheme, Transport, TransportConfig,
};
use picket_judge::pipeline::{self, Pipeline};
use picket_store::{CursorRow, Store};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::RwLock;

use crate::accounts::Listed;
use crate::config::{Network, SecretSource, SourceConfig};
use crate::daemon::lock;
use crate::sight::Sight;
use crate::upkeep::Gate;

/// The ways to Duo that accounts share: one for each set of proxy, CA and patience.
#[derive(Debug, Default)]
pub(crate) struct Transports(picket_duo::Transports);

impl Transports {
    /// The way that a source names.
    ///
    /// # Errors
    /// The CA or the proxy's credentials cannot be read or used.
    fn of(&self, network: &Network) -> anyhow::Result<Transport> {
        let ca_pem = network.ca_file.as_deref().map(read_ca).transpose()?;
        let proxy = network.proxy_url().map_err(anyhow::Error::msg)?;
        let timeout = Duration::from_millis(u64::try_from(network.timeout)?);
        let config = TransportConfig {
            ca_pem,
            proxy,
            timeout,
            ..TransportConfig::default()
        };
        self.0.get(&config).map_err(|error| match (&error, &network.ca_file) {
            (BadConfig::Ca(_), Some(path)) => anyhow::Error::new(error).context(path.display().to_string()),
            _ => error.into(),
        })
    }
}

/// A client whose secret may be replaced while it runs: when Duo refuses the signature, the secret is read again.
#[derive(Debug)]
pub(crate) struct Account {
    /// Whose answers are counted, and where.
    watched: Option<(Arc<str>, Arc<Sight>)>,
    source: SourceConfig,
    transport: Transport,
    current: RwLock<(Arc<Client>, SecretString)>,
}

impl Account {
    /// A client for a source.
    ///
    /// # Errors
    /// The secret or the CA cannot be read, or a value cannot be used.
    pub(crate) fn open(source: &SourceConfig, transports: &Transports) -> anyhow::Result<Self> {
        let secret = read(&source.secret)?;
        let transport = transports.of(&source.network)?;
        let client = client(source, &secret, &transport)?;
        Ok(Account {
            watched: None,
            source: source.clone(),
            transport,
            current: RwLock::new((Arc::new(client), secret)),
        })
    }

    /// The same, with its answers counted for this tenant.
    pub(crate) fn watched(self, tenant: &str, sight: &Arc<Sight>) -> Self {
        Account {
            watched: Some((tenant.into(), sight.clone())),
            ..self
        }
    }

    /// The client as it is now.
    pub(crate) async fn client(&self) -> Arc<Client> {
        self.current.read().await.0.clone()
    }

    /// The child accounts of a parent's key.
    ///
    /// # Errors
    /// Duo's, with what to do.
    pub(crate) async fn children(&self) -> anyhow::Result<Vec<Listed>> {
        let children = self.client().await.accounts().await;
        let children = children.map_err(|error| {
            let place = self.source.secret.place();
            let context = picket_duo::Context {
                secret: Some(&place),
                others_answer: false,
            };
            anyhow::anyhow!("{}: {}; {}", error.at(), error.problem(), error.advice(&context))
        })?;
        Ok(children.into_iter().map(Listed::from).collect())
    }

    /// A client with the secret of now, if that is another than before.
    pub(crate) async fn renewed(&self) -> Option<Arc<Client>> {
        let secret = read(&self.source.secret).ok()?;
        let mut current = self.current.write().await;
        if current.1.expose_secret() == secret.expose_secret() {
            return None;
        }
        let client = Arc::new(client(&self.source, &secret, &self.transport).ok()?);
        *current = (client.clone(), secret);
        Some(client)
    }
}

impl DuoLogs for Account {
    async fn page(&self, log: Log, query: &Query) -> Result<Page, DuoError> {
        let Some((tenant, sight)) = &self.watched else {
            return self.ask(log, query).await;
        };
        sight.asks();
        let began = Instant::now();
        let answer = self.ask(log, query).await;
        sight.answered(tenant, log, began.elapsed(), &answer);
        answer
    }

    fn skew_ms(&self) -> Option<i64> {
        // It is only held for long where the secret is being read again.
        self.current.try_read().ok()?.0.skew_ms()
    }

    fn secret_place(&self) -> Option<String> {
        Some(self.source.secret.place())
    }
}

impl Account {
    async fn ask(&self, log: Log, query: &Query) -> Result<Page, DuoError> {
        match self.client().await.page(log, query).await {
            Err(refused @ DuoError::Unauthorized { .. }) => match self.renewed().await {
                Some(client) => client.page(log, query).await,
                None => Err(refused),
            },
            answer => answer,
        }
    }
}

fn read(secret: &SecretSource) -> anyhow::Result<SecretString> {
    secret.read().map_err(anyhow::Error::msg)
}

fn client(source: &SourceConfig, secret: &SecretString, transport: &Transport) -> anyhow::Result<Client> {
    let host: Host = source.api_hostname.parse()?;
    let mut config = ClientConfig::new(host, source.integration_key.clone(), secret.clone());
    config.scheme = match source.signature.as_str() {
        "v2-sha512" => Scheme::V2,
        "v2-sha1" => Scheme::V2Sha1,
        _ => Scheme::V5,
    };
    config.account_id.clone_from(&source.account_id);
    Ok(Client::over(config, transport)?)
}

fn read_ca(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("ca_file {}: cannot be read", path.display()))
}

/// The collector's door to a tenant's journal.
pub(crate) struct Door {
    pipeline: Pipeline,
    store: Arc<dyn Store>,
    /// Whether Duo is to be asked.
    gate: Arc<Gate>,
    /// Where it is counted what the journal takes.
    sight: Option<Arc<Sight>>,
    /// Logs whose first start is noted.
    begun: Mutex<HashSet<Arc<str>>>,
}

impl Door {
    /// The door to a pipeline's journal: a tenant's, or a segment's.
    pub(crate) fn new(pipeline: Pipeline, store: Arc<dyn Store>, gate: Arc<Gate>) -> Self {
        Door {
            pipeline,
            store,
            gate,
            sight: None,
            begun: Mutex::default(),
        }
    }

    /// The same, with what the journal takes counted.
    pub(crate) fn watched(self, sight: &Arc<Sight>) -> Self {
        Door {
            sight: Some(sight.clone()),
            ..self
        }
    }

    /// A cursor that has a history says where the log's own time begins: that is noted before its first row.
    async fn begin(&self, intake: &Intake) -> Result<(), AdmitError> {
        if lock(&self.begun).contains(&intake.log) {
            return Ok(());
        }
        let cursor = Cursor::read(intake.cursor.as_ref()).unwrap_or_default();
        if let (Some(first), Some(_)) = (cursor.first, cursor.live) {
            let begins = self.pipeline.begins(intake.log.clone(), first + 1).await;
            begins.map_err(|error| AdmitError(error.to_string()))?;
            lock(&self.begun).insert(intake.log.clone());
        }
        Ok(())
    }
}

impl Admit for Door {
    fn takes(&self) -> Result<(), AdmitError> {
        match self.gate.why(&self.pipeline.tenant().id) {
            Some(why) => Err(AdmitError(why.to_string())),
            None => Ok(()),
        }
    }

    fn read(&self, log: Log, texts: Vec<RawRow>) -> Rows {
        self.pipeline.read(log.journal(), texts).into()
    }

    fn waiting(&self) -> usize {
        self.pipeline.waiting()
    }

    async fn cursor(&self, log: &str) -> Result<Option<CursorRow>, AdmitError> {
        let (store, tenant) = (self.store.clone(), self.pipeline.journal().clone());
        let cursors = tokio::task::spawn_blocking(move || store.cursors(&tenant)).await;
        let cursors = cursors.map_err(|error| AdmitError(error.to_string()))?;
        let cursors = cursors.map_err(|error| AdmitError(error.to_string()))?;
        Ok(cursors.into_iter().find(|cursor| *cursor.log == *log))
    }

    async fn admit(&self, intake: Intake) -> Result<Admitted, AdmitError> {
        let log = intake.log.clone();
        let admitted = self.take(intake).await;
        if let Some(sight) = &self.sight {
            let known = admitted.as_ref().map(|admitted| admitted.known);
            let known = known.map_err(|error| error.0.as_str());
            sight.admitted(&self.pipeline.tenant().id, &log, known);
        }
        admitted
    }
}

impl Door {
    async fn take(&self, intake: Intake) -> Result<Admitted, AdmitError> {
        self.begin(&intake).await?;
        let page = pipeline::Page {
            log: intake.log,
            rows: pipeline::Rows::Events {
                events: intake.events,
                reading: intake.reading.map(Box::new),
            },
            marks: intake.marks,
            cursor: intake.cursor,
            inventory: Vec::new(),
        };
        let admitted = self
            .pipeline
            .admit(page)
            .await
            .map_err(|error| AdmitError(error.to_string()))?;
        Ok(Admitted {
            new: admitted.new,
            known: admitted.known,
        })
    }
}
