//! The local control socket: how `picket status` and the like talk to the running daemon.
//!
//! One JSON object a line each way: a request `{"verb": "status"}`, an answer `{"ok": ...}` or `{"error": "..."}`. The
//! socket is 0600: whoever may open it may also read the store.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// What the daemon can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub(crate) enum Request {
    /// How everything stands.
    Status,
    /// Every rule and how it stands.
    Rules {
        /// With limits, use and failures.
        #[serde(default)]
        verbose: bool,
    },
    /// Read the rules directory again.
    Reload,
    /// Read a piece of the past, or go on with it.
    Backfill {
        /// Whose; none: the only tenant's.
        tenant: Option<String>,
        /// Names of logs, as the configuration has them.
        logs: Vec<String>,
        /// Inclusive, ms since the Unix epoch, by Duo's clock.
        from: i64,
        /// Inclusive, ms since the Unix epoch, by Duo's clock.
        to: i64,
    },
    /// Every backfill and how it stands.
    Backfills,
    /// Send alerts again that were not delivered, or give them up.
    Outbox {
        /// Give up.
        drop: bool,
        /// Of this sink alone.
        sink: Option<String>,
        /// Of this tenant alone.
        tenant: Option<String>,
        /// These alerts; none: all.
        ids: Vec<String>,
        /// In the words of whoever asks; may be empty.
        #[serde(default)]
        reason: String,
    },
    /// Send a test alert through a sink that is open.
    Sample {
        /// Its name.
        sink: String,
    },
    /// Give back to the disk what is free within the store.
    Compact,
    /// Delete everything that is stored of a tenant that is not configured any more.
    Purge {
        /// Its id.
        tenant: String,
    },
    /// Change which version of a rule judges, or whether it does.
    Version {
        /// What.
        what: VersionVerb,
        /// A rule's id, or a module's file.
        name: String,
        /// In the words of whoever asks; may be empty.
        #[serde(default)]
        reason: String,
    },
}

/// What can be asked for by a rule's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VersionVerb {
    /// The version that waits goes live.
    Promote,
    /// The version before judges again.
    Rollback,
    /// It stops where it stands.
    Pause,
    /// It goes on.
    Resume,
}

impl VersionVerb {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            VersionVerb::Promote => "promote",
            VersionVerb::Rollback => "rollback",
            VersionVerb::Pause => "pause",
            VersionVerb::Resume => "resume",
        }
    }
}

/// An answer is a value, or an error in words.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Value),
    Error(String),
}

/// Answers requests.
pub(crate) trait Handler: Send + Sync + 'static {
    /// One request. `uid`: of the user at the other end, for the audit log; none where the system does not tell.
    fn handle(&self, request: Request, uid: Option<u32>) -> impl Future<Output = anyhow::Result<Value>> + Send;
}

/// Longest request line, bytes.
const REQUEST_MAX: u64 = 64 << 10;
/// Requests at once; the next one waits.
const AT_ONCE: usize = 64;
/// A client that says nothing for so long is hung up on.
const IDLE: Duration = Duration::from_secs(10);

/// Opens the socket; one that a dead daemon left behind is replaced.
///
/// # Errors
/// The path cannot be used, or another daemon answers on it.
pub(crate) fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        bail!(
            "{}: another picket answers on this control socket; stop it first",
            path.display()
        );
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{}: cannot be replaced", path.display()));
        }
        _ => {}
    }
    let listener = UnixListener::bind(path).with_context(|| {
        format!(
            "{}: cannot listen (a socket's path holds 107 bytes at most)",
            path.display()
        )
    })?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until cancelled.
pub(crate) async fn serve(listener: UnixListener, handler: Arc<impl Handler>, cancelled: CancellationToken) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = cancelled.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    let _slot = slot;
                    if let Err(error) = answer(stream, &*handler).await {
                        tracing::debug!("control socket: {error:#}");
                    }
                });
            }
            Err(error) => {
                tracing::warn!("control socket: {error}");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, handler: &impl Handler) -> anyhow::Result<()> {
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let (read, mut write) = stream.split();
    let mut line = String::new();
    tokio::time::timeout(IDLE, BufReader::new(read.take(REQUEST_MAX)).read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => match handler.handle(request, uid).await {
            Ok(value) => Answer::Ok(value),
            Err(error) => Answer::Error(format!("{error:#}")),
        },
        Err(error) => Answer::Error(format!("not a request this version knows: {error}")),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await?;
    Ok(())
}

/// Asks the daemon. `None`: none is running.
///
/// # Errors
/// It runs but could not answer; its own words.
pub(crate) async fn ask(path: &Path, request: &Request) -> anyhow::Result<Option<Value>> {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("{}: cannot be opened", path.display())),
    };
    let mut text = serde_json::to_string(request)?;
    text.push('\n');
    stream.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    match serde_json::from_str(&answer).with_context(|| format!("{}: the answer is cut off", path.display()))? {
        Answer::Ok(value) => Ok(Some(value)),
        Answer::Error(error) => Err(anyhow!(error)),
    }
}
