//! Amounts of bytes as people write and read them.

/// Units as they are written, the largest first among those of one kind.
const UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// `500MB`, `2 GiB`; bytes.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parsed(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write a number and a unit, as 500MB, 50GB or 2GiB");
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim();
    let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let (_, bytes) = known.ok_or_else(wrong)?;
    number.checked_mul(*bytes).ok_or_else(wrong)
}

/// For people: `1.2 GB`.
pub(crate) fn shown(bytes: u64) -> String {
    let unit = UNITS.iter().skip(4).find(|(_, size)| bytes >= *size);
    match unit {
        None => format!("{bytes} B"),
        Some((name, size)) => {
            let tenths = bytes / (size / 10);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_told() {
        for (text, bytes) in [
            ("500MB", 500_000_000),
            ("2 GiB", 2 << 30),
            ("1tb", 1_000_000_000_000),
            ("7kB", 7_000),
        ] {
            assert_eq!(parsed(text), Ok(bytes), "{text}");
        }
        for text in ["", "5", "GB", "-1GB", "1.5GB", "5 GBs", "99999999999TB"] {
            assert!(parsed(text).unwrap_err().contains("as 500MB"), "{text}");
        }
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (2_350_000, "2.3 MB"),
            (1 << 40, "1.0 TB"),
        ] {
            assert_eq!(shown(bytes), text);
        }
    }
}
