//! Alerts to standard output, or to any other stream that cannot be read back.

use std::io::Write;

use picket_store::OutboxRow;

use crate::{Delivery, Sink, SinkError};

/// Makes the text of one alert.
type Format = Box<dyn FnMut(&OutboxRow) -> String + Send>;

/// Writes each alert as a text of its own, or as one line of JSON.
pub struct StdoutSink<W: Write + Send = std::io::Stdout> {
    out: W,
    format: Format,
}

impl<W: Write + Send> std::fmt::Debug for StdoutSink<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StdoutSink")
    }
}

impl StdoutSink {
    /// For people: `format` makes the text of one alert; a line break at its end is added where it is missing.
    pub fn text(format: impl FnMut(&OutboxRow) -> String + Send + 'static) -> Self {
        StdoutSink::to(std::io::stdout(), format)
    }

    /// For machines: one alert a line.
    #[must_use]
    pub fn ndjson() -> Self {
        StdoutSink::to(std::io::stdout(), crate::lines::line)
    }
}

impl<W: Write + Send> StdoutSink<W> {
    /// To another stream.
    pub fn to(out: W, format: impl FnMut(&OutboxRow) -> String + Send + 'static) -> Self {
        StdoutSink {
            out,
            format: Box::new(format),
        }
    }
}

impl<W: Write + Send> Sink for StdoutSink<W> {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        let mut text = String::new();
        for row in rows {
            text.push_str(&(self.format)(row));
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        let outcome = written.map_err(|source| SinkError {
            sink: "stdout".into(),
            doing: "writing",
            source,
        });
        Delivery::whole(outcome, rows.len())
    }
}
