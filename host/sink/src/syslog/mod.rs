//! Alerts as syslog messages (RFC 5424), over TLS (RFC 5425), TCP (RFC 6587) or UDP (RFC 5426).
//!
//! **Syslog has no acknowledgement.** What comes nearest: a batch counts as taken when all of it is written, the receiver's
//! kernel has acknowledged every byte (the kernel's send queue for the connection is empty), and the connection still stands. A
//! receiver that dies may still have had some of that in its own kernel, unread. So what was taken within the last ten seconds
//! is kept in memory, and is sent again where the connection turns out to be broken: such repeats carry the alert's id. Over UDP
//! nothing is known at all, but that nobody listens on a machine that says so.

mod message;
mod queue;
mod wire;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use picket_failpoint::{Point, reach};
use picket_store::OutboxRow;

pub use message::Message;
use message::{UDP_BYTES, cut};
use wire::Wire;
pub use wire::{Tls, Transport};

use crate::{Cause, Delivery, Down, Sink};

/// What was taken so recently is sent again when the connection breaks.
const RECENT: Duration = Duration::from_secs(10);
/// At most so many bytes of it are kept.
const RECENT_BYTES: usize = 4 << 20;

/// How messages are told apart on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `LENGTH SP MESSAGE` (RFC 5425, RFC 6587 3.4.1).
    OctetCounting,
    /// `MESSAGE LF` (RFC 6587 3.4.2).
    Lines,
}

/// Where to, and how.
#[derive(Debug, Clone)]
pub struct SyslogSettings {
    /// Host and port.
    pub address: String,
    /// The way there.
    pub transport: Transport,
    /// On TCP and TLS.
    pub framing: Framing,
    /// What the messages look like.
    pub message: Message,
    /// To connect, and for a receiver that does not read.
    pub timeout: Duration,
}

/// Alerts to a syslog receiver.
#[derive(Debug)]
pub struct SyslogSink {
    settings: SyslogSettings,
    wire: Option<Wire>,
    /// What was taken last, framed.
    recent: VecDeque<(Instant, Vec<u8>)>,
    recent_bytes: usize,
}

impl SyslogSink {
    /// Opens no connection yet.
    #[must_use]
    pub fn new(settings: SyslogSettings) -> Self {
        SyslogSink {
            settings,
            wire: None,
            recent: VecDeque::new(),
            recent_bytes: 0,
        }
    }

    fn framed(&self, row: &OutboxRow) -> Vec<u8> {
        let message = self.settings.message.of(row, false);
        match (&self.settings.transport, self.settings.framing) {
            (Transport::Udp, _) if message.len() > UDP_BYTES => {
                cut(self.settings.message.of(row, true), UDP_BYTES).into_bytes()
            }
            (Transport::Udp, _) => message.into_bytes(),
            (_, Framing::OctetCounting) => format!("{} {message}", message.len()).into_bytes(),
            (_, Framing::Lines) => format!("{message}\n").into_bytes(),
        }
    }

    fn send(&mut self, frames: Vec<Vec<u8>>) -> std::io::Result<()> {
        let is_open = self.wire.as_mut().is_some_and(|wire| wire.is_open().unwrap_or(false));
        let mut again = Vec::new();
        if !is_open {
            let is_lost = self.wire.take().is_some();
            self.wire = Some(Wire::open(&self.settings)?);
            self.forget_old();
            if is_lost {
                again.extend(self.recent.iter().map(|(_, frame)| frame.clone()));
            }
        }
        let Some(wire) = &mut self.wire else { return Ok(()) };
        let sent = wire.write(again.iter().chain(&frames)).and_then(|()| {
            wire.wait_until_taken(self.settings.timeout)?;
            match wire.is_open()? {
                true => Ok(()),
                false => Err(std::io::Error::new(
                    std::io::ErrorKind::ConnectionReset,
                    "the receiver closed the connection",
                )),
            }
        });
        let now = Instant::now();
        if sent.is_ok() && self.settings.transport.is_stream() {
            for frame in frames {
                self.recent_bytes += frame.len();
                self.recent.push_back((now, frame));
            }
            self.forget_old();
        }
        sent
    }

    fn forget_old(&mut self) {
        while let Some((at, frame)) = self.recent.front() {
            if at.elapsed() <= RECENT && self.recent_bytes <= RECENT_BYTES {
                break;
            }
            self.recent_bytes -= frame.len();
            self.recent.pop_front();
        }
    }
}

impl Sink for SyslogSink {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        let frames = rows.iter().map(|row| self.framed(row)).collect();
        match self.send(frames) {
            Ok(()) => {
                reach(Point::SendAfter);
                Delivery::taken(rows.len())
            }
            Err(error) => {
                // The wire stays, found broken: what was taken lately is sent again on the next one.
                if let Some(wire) = &mut self.wire {
                    wire.give_up();
                }
                Delivery::down(Down {
                    cause: Cause::of(&error),
                    ..Down::now(format!("{}: {error}", self.settings.address))
                })
            }
        }
    }
}
