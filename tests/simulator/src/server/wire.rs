//! HTTP/1.1 on a connection: requests in, replies out, with Duo's headers, and the ways in which sending goes wrong.

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderName, HeaderValue};
use http::response::Builder;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::fmt::rfc2822::DateTimePrinter;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use super::answer::{Gzip, Manner, Reply, Request};
use super::state::State;
use crate::signature::hex;

const LARGEST_BODY: usize = 1 << 20;
/// A slow body comes in so many pieces.
const PIECES: usize = 10;

/// What one listener serves.
pub(super) struct Door {
    pub(super) state: Arc<State>,
    /// Serves `/sim/` only.
    pub(super) control_only: bool,
}

/// Serves one connection to its end. `tcp` finds the socket under `io`.
pub(super) async fn serve<I>(io: I, tcp: fn(&I) -> &TcpStream, door: Arc<Door>, peer: IpAddr)
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let reset = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&reset);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (door, flag) = (Arc::clone(&door), Arc::clone(&flag));
        Box::pin(async move {
            let reply = answer(&door, request, peer).await?;
            if reply.reply.manner == Manner::Reset {
                flag.store(true, Ordering::Relaxed);
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            reply.into_response()
        })
    });
    let mut connection = http1::Builder::new()
        .title_case_headers(true)
        .serve_connection(TokioIo::new(io), service);
    let ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut io = connection.into_parts().io.into_inner();
    if reset.load(Ordering::Relaxed) {
        // With no linger, closing sends RST in place of an orderly end.
        let _ = tcp(&io).set_zero_linger();
    } else if ended.is_ok() {
        let _ = io.shutdown().await;
    }
}

/// A reply with the time at Duo when it was given.
struct Dated {
    reply: Reply,
    /// Whether the client can read gzip.
    unpacks: bool,
    date_ms: i64,
    keep_alive: bool,
}

async fn answer(door: &Door, request: http::Request<Incoming>, peer: IpAddr) -> io::Result<Dated> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LARGEST_BODY)
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let keep_alive = !head
        .headers
        .get(header::CONNECTION)
        .is_some_and(|value| text(value).eq_ignore_ascii_case("close"));
    let request = Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: body.to_vec(),
        peer,
    };
    let unpacks = request
        .header("accept-encoding")
        .is_some_and(|accepted| accepted.contains("gzip"));
    let wall_ms = jiff::Timestamp::now().as_millisecond();
    let reply = if door.control_only && !request.path.starts_with("/sim/") {
        super::answer::ApiError::NotFound.into()
    } else {
        door.state.answer(&request, wall_ms)
    };
    Ok(Dated {
        reply,
        unpacks,
        date_ms: door.state.date_ms(wall_ms),
        keep_alive,
    })
}

impl Dated {
    fn into_response(self) -> io::Result<http::Response<Paced>> {
        let Reply {
            status,
            content_type,
            body,
            manner,
            gzip,
            retry_after_s,
        } = self.reply;
        let date = jiff::Timestamp::from_millisecond(self.date_ms)
            .and_then(|at| DateTimePrinter::new().timestamp_to_rfc9110_string(&at))
            .map_err(io::Error::other)?;
        let tag = (status == 200).then(|| format!("\"{}\"", hex(&Sha1::digest(body.as_bytes()))));
        let packed = gzip != Gzip::Not && self.unpacks;
        let body = if packed { pack(&body, gzip)? } else { Bytes::from(body) };
        let mut head = http::Response::builder()
            .status(status)
            .header(header::SERVER, "Duo/1.0")
            .header(header::DATE, date)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::CONTENT_LENGTH, body.len());
        if packed {
            head = head.header(header::CONTENT_ENCODING, "gzip");
        }
        if let Some(seconds) = retry_after_s {
            head = head.header(header::RETRY_AFTER, seconds);
        }
        if self.keep_alive {
            head = head.header(header::CONNECTION, "keep-alive");
        }
        if let Some(tag) = tag {
            head = success_headers(head).header(header::ETAG, tag);
        }
        head.body(Paced::new(body, manner)).map_err(io::Error::other)
    }
}

/// The text compressed, or the first half of that.
fn pack(text: &str, gzip: Gzip) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes())?;
    let mut packed = encoder.finish()?;
    if gzip == Gzip::Half {
        packed.truncate(packed.len() / 2);
    }
    Ok(packed.into())
}

/// What Duo adds on 200 and leaves out on errors.
fn success_headers(head: Builder) -> Builder {
    const POLICY: &str = "default-src 'self'; frame-src 'self' ; img-src 'self'  ; connect-src 'self'";
    const FIXED: [(HeaderName, &str); 4] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::PRAGMA, "no-cache"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    FIXED
        .into_iter()
        .fold(head, |head, (name, value)| head.header(name, value))
}

/// A body in pieces, with pauses between them, that may break off.
struct Paced {
    /// What is still to come, last piece first.
    pieces: Vec<Bytes>,
    pause: Duration,
    sleeping: Option<Pin<Box<Sleep>>>,
    breaks_off: bool,
    flushed: bool,
}

impl Paced {
    fn new(whole: Bytes, manner: Manner) -> Self {
        let half = whole.slice(..whole.len() / 2);
        let (mut pieces, pause, breaks_off) = match manner {
            Manner::Slow(over_ms) => {
                let size = whole.len().div_ceil(PIECES).max(1);
                let pieces = (0..whole.len())
                    .step_by(size)
                    .map(|at| whole.slice(at..(at + size).min(whole.len())));
                let pause = Duration::from_millis(over_ms / u64::try_from(PIECES).unwrap_or(1));
                (pieces.collect(), pause, false)
            }
            Manner::Cut => (vec![half], Duration::ZERO, true),
            Manner::Plain | Manner::Reset => (vec![whole], Duration::ZERO, false),
        };
        pieces.reverse();
        Self {
            pieces,
            pause,
            sleeping: None,
            breaks_off,
            flushed: false,
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.pause.is_zero() && !self.pieces.is_empty() {
            let pause = self.pause;
            let sleeping = self.sleeping.get_or_insert_with(|| Box::pin(sleep(pause)));
            if sleeping.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.sleeping = None;
        }
        if let Some(piece) = self.pieces.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if !self.breaks_off {
            return Poll::Ready(None);
        }
        if !self.flushed {
            // Let hyper write out what it has before the error makes it drop everything.
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted))))
    }
}
