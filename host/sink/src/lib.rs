//! Delivery: takes alerts from the outbox to where people and machines read them.
//!
//! A [`Sink`] is given rows in order and says of each what became of it: taken, refused for good, or not now. A [`Courier`] moves
//! what is to be delivered from the store to one sink, a bounded piece at a time, and remembers how far it came. Between a
//! sink's acceptance and that memory a crash may fall: then rows come again. The alert's id is the key by which a receiver knows
//! them; [`FileSink`] itself leaves out what it has written.
//!
//! Nothing here waits: a courier says when it is to be asked again. Time is given to it.
#![forbid(unsafe_code)]

mod cef;
mod courier;
mod events;
mod fate;
mod file;
mod lines;
mod missed;
mod patience;
mod stdout;
mod syslog;
mod webhook;

pub use courier::{Courier, Step};
pub use events::{EVENT_SCHEMA, EventCourier, Written, events_of};
pub use fate::{Cause, Delivery, Down, Fate, SinkError};
pub use file::{FileSink, Rotation};
pub use missed::{Miss, Missed};
pub use stdout::StdoutSink;
pub use syslog::{Framing, Message, SyslogSettings, SyslogSink, Tls, Transport};
pub use webhook::{SigningSecret, WebhookSink, WebhookWay};

use picket_store::OutboxRow;

/// Where alerts go.
pub trait Sink: Send {
    /// Gives rows over, in order, and says what became of each. A row that is reported taken is safe with the receiver, as far
    /// as the receiver tells. What is not taken is given again.
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery;
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        (**self).deliver(rows)
    }
}
