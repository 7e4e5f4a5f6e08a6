//! `/metrics`, `/livez` and `/readyz` over HTTP, on loopback unless told otherwise.
//!
//! What is served is no secret and is not for everybody either: it names customers. There is no TLS and no password: where
//! something else than this machine is to read it, a proxy stands before it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{facts, readiness};
use crate::config::Http;
use crate::daemon::Daemon;

/// Connections at once; the next one waits.
const AT_ONCE: usize = 16;
/// A client that says nothing for so long is hung up on.
const IDLE: Duration = Duration::from_secs(10);
/// OpenMetrics, which Prometheus and everybody who reads its format ask for.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Listens where the configuration says. None: it says nowhere, or nothing and the usual port is taken.
///
/// # Errors
/// The configuration names an address that cannot be used.
pub(crate) async fn listen(http: &Http) -> anyhow::Result<Option<TcpListener>> {
    let Some(address) = http.listen else { return Ok(None) };
    match TcpListener::bind(address).await {
        Ok(listener) => {
            if let Ok(bound) = listener.local_addr() {
                tracing::info!("metrics at http://{bound}/metrics");
                if !bound.ip().is_loopback() {
                    tracing::warn!("http: listen {bound}: whoever reaches it reads the names of customers and rules");
                }
            }
            Ok(Some(listener))
        }
        // Two on one machine is no reason not to collect.
        Err(error) if !http.stated => {
            tracing::warn!(
                "no metrics: {address}: {error}; name another address with `http: {{listen: ...}}`, or `off`"
            );
            Ok(None)
        }
        Err(error) => anyhow::bail!("http: listen {address}: {error}; name an address that is free, or `off`"),
    }
}

/// Serves until cancelled.
pub(crate) async fn serve(listener: TcpListener, daemon: Arc<Daemon>, cancelled: CancellationToken) {
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            () = cancelled.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, mostly: it passes.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let (daemon, cancelled) = (daemon.clone(), cancelled.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let answer = service_fn(move |request| {
                let daemon = daemon.clone();
                async move { Ok::<_, Infallible>(answer(&daemon, &request)) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(IDLE)
                .serve_connection(TokioIo::new(stream), answer);
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!("http: {error}");
                },
                () = cancelled.cancelled() => {}
            }
        });
    }
}

fn answer<B>(daemon: &Arc<Daemon>, request: &Request<B>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return reply(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "only GET is answered\n".to_owned(),
        );
    }
    match request.uri().path() {
        "/metrics" => {
            // It reads the store.
            match tokio::task::block_in_place(|| facts::text(daemon)) {
                Ok(text) => reply(StatusCode::OK, OPEN_METRICS, text),
                Err(error) => reply(StatusCode::INTERNAL_SERVER_ERROR, TEXT, format!("{error:#}\n")),
            }
        }
        "/livez" => match readiness::dead(&daemon.sight) {
            None => reply(StatusCode::OK, TEXT, "alive\n".to_owned()),
            Some(why) => reply(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n")),
        },
        "/readyz" => {
            let found = tokio::task::block_in_place(|| readiness::of(daemon));
            if found.wrong.is_empty() {
                let (moving, all) = found.moving;
                reply(
                    StatusCode::OK,
                    TEXT,
                    format!("ready: Duo answers for {moving} of {all} accounts\n"),
                )
            } else {
                reply(
                    StatusCode::SERVICE_UNAVAILABLE,
                    TEXT,
                    format!("not ready\n{}\n", found.wrong.join("\n")),
                )
            }
        }
        _ => reply(
            StatusCode::NOT_FOUND,
            TEXT,
            "there are /metrics, /livez and /readyz\n".to_owned(),
        ),
    }
}

fn reply(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}
