//! What the faults do to a page: its rows, its offset, its total.

/// What is wrong with a page.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spoilt {
    pub(super) duplicate_rows: bool,
    pub(super) duplicate_page: bool,
    pub(super) shuffled: bool,
    pub(super) huge: Option<usize>,
    pub(super) unknown_fields: bool,
    pub(super) unknown_values: bool,
    pub(super) repeated_offset: bool,
    pub(super) empty: bool,
    pub(super) null_offset: bool,
    pub(super) absent_offset: bool,
    pub(super) lost_offset: bool,
    pub(super) object_total: bool,
    pub(super) cut_second: bool,
}

impl Spoilt {
    /// The member `next_offset` and what separates it from the next, or nothing. `offset` is what it is by itself, as JSON;
    /// `more` is whether rows remain.
    pub(super) fn next_offset(&self, offset: Option<String>, more: bool) -> String {
        let (null, absent) = (
            !more && self.null_offset,
            (!more && self.absent_offset) || self.lost_offset,
        );
        match offset {
            _ if absent => String::new(),
            _ if null => "\"next_offset\": null, ".to_owned(),
            Some(offset) => format!("\"next_offset\": {offset}, "),
            None => String::new(),
        }
    }

    /// The rows as they are sent: repeated, out of order, inflated.
    pub(super) fn rows(&self, mut rows: Vec<String>) -> Vec<String> {
        if self.duplicate_rows
            && let Some(first) = rows.first().cloned()
        {
            rows.push(first);
        }
        if self.shuffled {
            rows.reverse();
        }
        if let (Some(bytes), Some(first)) = (self.huge, rows.first_mut()) {
            let rest = first.strip_prefix('{').unwrap_or("}");
            *first = format!("{{\"never_heard_of_and_huge\": \"{}\", {rest}", "x".repeat(bytes));
        }
        rows
    }
}
