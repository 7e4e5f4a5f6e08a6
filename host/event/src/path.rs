//! A path's segments: `a.b`, with quotes around a key that contains a dot.

/// Longest path that is read; a longer one is null.
const MAX_SEGMENTS: usize = 16;

/// The keys to follow. None: too long, or a quote is not closed.
pub(crate) fn segments(path: &str) -> Option<Vec<&str>> {
    let mut segments = Vec::new();
    let mut rest = path;
    loop {
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let (segment, after) = quoted.split_once('"')?;
            segments.push(segment);
            after
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            let (segment, after) = rest.split_at(end);
            segments.push(segment);
            after
        };
        if after.is_empty() {
            return (segments.len() <= MAX_SEGMENTS).then_some(segments);
        }
        rest = after.strip_prefix('.')?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_plain() {
        assert_eq!(segments("result"), Some(vec!["result"]));
        assert_eq!(segments("a.b.c"), Some(vec!["a", "b", "c"]));
        assert_eq!(
            segments("description.\"Sync Ref. Code\""),
            Some(vec!["description", "Sync Ref. Code"])
        );
        assert_eq!(segments("a.\"b"), None);
        assert_eq!(segments("a.\"b\"c"), None);
        assert_eq!(segments(&vec!["a"; 17].join(".")), None);
    }
}
