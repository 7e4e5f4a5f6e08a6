//! Appending whole lines to a file, or nothing: what a reader of the file sees ends with a line break, whatever fails.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use picket_store::OutboxRow;

/// What the lines are written to: a file, or in tests one that fails.
pub(crate) trait Medium: Read + Write + Seek + Send {
    /// Makes everything written durable.
    fn sync(&mut self) -> std::io::Result<()>;
    /// Cuts the file.
    fn cut(&mut self, length: u64) -> std::io::Result<()>;
}

impl Medium for File {
    fn sync(&mut self) -> std::io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        self.set_len(length)
    }
}

/// A file of lines.
#[derive(Debug)]
pub(crate) struct Lines<M> {
    medium: M,
    /// Bytes of whole lines that are durable.
    length: u64,
    /// Something may stand after `length`: cut it before the next line.
    torn: bool,
}

/// The alert on one line, without the line break. Stored alerts are one line already; what is not is made so.
pub(crate) fn line(row: &OutboxRow) -> String {
    if !row.json.contains(['\n', '\r']) {
        return row.json.to_string();
    }
    match serde_json::from_str::<serde_json::Value>(&row.json) {
        Ok(value) => value.to_string(),
        Err(_) => row.json.replace(['\n', '\r'], " "),
    }
}

/// How many bytes of `tail`, the end of a file, belong to whole lines, and whether a line break must be added to make them so:
/// a last line that is whole JSON lacks nothing but its line break, anything else was torn in the writing.
fn whole(tail: &[u8]) -> (usize, bool) {
    let after = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let last = tail.get(after..).unwrap_or_default();
    if !last.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(last).is_ok() {
        return (tail.len(), true);
    }
    (after, false)
}

impl<M: Medium> Lines<M> {
    /// Takes up a file where it was left; what a crash tore is completed or cut. Also returns the last lines, at least the last
    /// `tail` bytes of them (or all there are).
    pub(crate) fn open(mut medium: M, tail: u64) -> std::io::Result<(Self, String)> {
        let end = medium.seek(SeekFrom::End(0))?;
        let mut wanted = tail;
        let (start, bytes) = loop {
            let start = end.saturating_sub(wanted);
            medium.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            medium.read_to_end(&mut bytes)?;
            // A line longer than that: read on until a line's beginning is within, else a long last line would look torn.
            if start == 0 || bytes.contains(&b'\n') {
                break (start, bytes);
            }
            wanted = wanted.saturating_mul(4).max(4096);
        };
        let (kept, complete) = whole(&bytes);
        let mut lines = Lines {
            medium,
            length: start + kept as u64,
            torn: kept < bytes.len(),
        };
        lines.repair()?;
        if complete {
            lines.append(b"\n")?;
        }
        let first = if start == 0 {
            0
        } else {
            bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        };
        let last = bytes.get(first..kept).unwrap_or_default();
        Ok((lines, String::from_utf8_lossy(last).into_owned()))
    }

    /// Bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends whole lines, durably; after an error the file is as before, at the latest when the next are appended.
    pub(crate) fn append(&mut self, text: &[u8]) -> std::io::Result<()> {
        self.repair()?;
        self.torn = true;
        let written = self.medium.write_all(text).and_then(|()| self.medium.sync());
        if let Err(error) = written {
            // Where this fails too, the next append tries again before it writes.
            let _ = self.repair();
            return Err(error);
        }
        self.torn = false;
        self.length += text.len() as u64;
        Ok(())
    }

    fn repair(&mut self) -> std::io::Result<()> {
        if self.torn {
            self.medium.cut(self.length)?;
            self.medium.sync()?;
            self.torn = false;
        }
        self.medium.seek(SeekFrom::Start(self.length)).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with so much room, on which cutting may fail too.
    #[derive(Debug)]
    struct Disk {
        file: File,
        room: usize,
        cuts: bool,
    }

    impl Read for Disk {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.file.read(buffer)
        }
    }

    impl Seek for Disk {
        fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
            self.file.seek(to)
        }
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.room == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            let written = self.file.write(&bytes[..bytes.len().min(self.room)])?;
            self.room -= written;
            Ok(written)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Medium for Disk {
        fn sync(&mut self) -> std::io::Result<()> {
            self.file.sync_data()
        }

        fn cut(&mut self, length: u64) -> std::io::Result<()> {
            if self.cuts {
                self.file.set_len(length)
            } else {
                Err(std::io::ErrorKind::StorageFull.into())
            }
        }
    }

    fn content(lines: &mut Lines<Disk>) -> String {
        let mut text = String::new();
        lines.medium.file.seek(SeekFrom::Start(0)).unwrap();
        lines.medium.file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_full_disk_leaves_whole_lines_and_writing_goes_on_when_there_is_room() {
        let disk = Disk {
            file: tempfile::tempfile().unwrap(),
            room: 10,
            cuts: true,
        };
        let (mut lines, _) = Lines::open(disk, 100).unwrap();
        lines.append(b"{\"n\":1}\n").unwrap();
        let error = lines.append(b"{\"n\":2}\n").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(content(&mut lines), "{\"n\":1}\n");
        lines.medium.room = 100;
        lines.append(b"{\"n\":2}\n").unwrap();
        assert_eq!(content(&mut lines), "{\"n\":1}\n{\"n\":2}\n");
    }

    #[test]
    fn what_could_not_be_cut_is_cut_before_the_next_line() {
        let disk = Disk {
            file: tempfile::tempfile().unwrap(),
            room: 10,
            cuts: false,
        };
        let (mut lines, _) = Lines::open(disk, 100).unwrap();
        lines.append(b"{\"n\":1}\n").unwrap();
        assert!(lines.append(b"{\"n\":2}\n").is_err());
        lines.medium.room = 100;
        assert!(
            lines.append(b"{\"n\":2}\n").is_err(),
            "it must not write behind a torn line"
        );
        lines.medium.cuts = true;
        lines.append(b"{\"n\":2}\n").unwrap();
        assert_eq!(content(&mut lines), "{\"n\":1}\n{\"n\":2}\n");
    }

    #[test]
    fn every_cut_of_a_file_is_taken_up_as_whole_lines() {
        let text = "{\"a\":\"ü\"}\n{\"b\":{\"c\":1}}\n";
        for length in 0..=text.len() {
            for tail in [0, 1, 5, 100] {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&text.as_bytes()[..length]).unwrap();
                let (mut lines, last) = Lines::open(
                    Disk {
                        file,
                        room: 100,
                        cuts: true,
                    },
                    tail,
                )
                .unwrap();
                let found = content(&mut lines);
                assert!(
                    text.starts_with(&found) && (found.is_empty() || found.ends_with('\n')),
                    "{length}: {found:?}"
                );
                assert_eq!(lines.length(), found.len() as u64);
                assert!(
                    found.len() + 13 >= length,
                    "{length}: more was cut than was torn: {found:?}"
                );
                assert!(found.trim_end().ends_with(last.trim_end()), "{length} {tail}: {last:?}");
            }
        }
    }
}
