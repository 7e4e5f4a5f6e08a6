//! Sinks that can be written to.

use picket_judge::alerts;
use picket_sink::{Delivery, FileSink, Rotation, Sink, StdoutSink};
use picket_store::OutboxRow;

use crate::config::{SinkConfig, SinkKind, StdoutFormat};

/// A sink that can be written to.
pub(super) enum Opened {
    Stdout(StdoutSink),
    File(FileSink),
}

impl Opened {
    /// Opens a sink. With it, what tells its settings apart that are not in the configuration itself: of a secret, a digest.
    ///
    /// # Errors
    /// What cannot be opened, in words.
    pub(super) fn open(config: &SinkConfig) -> Result<(Self, String), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let opened = match &config.kind {
            SinkKind::Stdout(format) => Opened::Stdout(stdout(*format)),
            SinkKind::File { path, max_bytes, keep } => {
                Opened::File(FileSink::open(path, rotation(*max_bytes, *keep)).map_err(|error| told(&error))?)
            }
        };
        Ok((opened, String::new()))
    }

    /// Whether a sink goes on as it is, under other settings at most: a file has one writer.
    pub(super) fn is_kept(before: &SinkKind, now: &SinkKind) -> bool {
        match (before, now) {
            (SinkKind::File { path, .. }, SinkKind::File { path: other, .. }) => path == other,
            _ => false,
        }
    }

    /// The same file under other settings.
    pub(super) fn change(&mut self, kind: &SinkKind) {
        if let (Opened::File(file), SinkKind::File { max_bytes, keep, .. }) = (self, kind) {
            file.rotate_by(rotation(*max_bytes, *keep));
        }
    }
}

fn stdout(format: StdoutFormat) -> StdoutSink {
    match format {
        StdoutFormat::Text => StdoutSink::text(|row| format!("{}\n", alerts::text(&row.json, 0))),
        StdoutFormat::Ndjson => StdoutSink::ndjson(),
    }
}

fn rotation(max_bytes: u64, keep: u32) -> Rotation {
    Rotation {
        max_bytes,
        keep: usize::try_from(keep).unwrap_or(usize::MAX),
    }
}

impl Sink for Opened {
    fn deliver(&mut self, rows: &[OutboxRow]) -> Delivery {
        match self {
            Opened::Stdout(stdout) => stdout.deliver(rows),
            Opened::File(file) => file.deliver(rows),
        }
    }
}
