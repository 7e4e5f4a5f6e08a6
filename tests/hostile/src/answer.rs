//! Answers of `evaluate`, written into a guest's memory as the canonical ABI lays them out.

use std::fmt::Write as _;

/// `ok` of a list of alerts, every one of them a copy of the same. Pointers and lengths are whatever a test says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How many alerts are written.
    pub count: u32,
    /// Where the list is said to be, and how many it is said to have; where it is if none.
    pub list: Option<(u32, u32)>,
    /// Pointer and bytes.
    pub title: (u32, u32),
    /// Pointer and bytes.
    pub dedup_key: Option<(u32, u32)>,
    /// Number of the enum's case.
    pub severity: Option<u8>,
    /// ms.
    pub time: i64,
    /// Three texts, each pointer and bytes: kind, key, name.
    pub about: Option<[(u32, u32); 3]>,
    /// Pointer and number of pairs of texts.
    pub facts: (u32, u32),
    /// Pointer and number of u64.
    pub evidence: (u32, u32),
    /// Journal number.
    pub raised_by: u64,
}

/// Where alerts are written: above what a small batch takes, in a memory of at least 10 pages.
const ALERTS: u32 = 131_072;
/// Bytes of one.
const SIZE: u32 = 88;

impl Answer {
    /// One alert: its title is the text at 600 of this many bytes, it is proven and raised by row 1 (whose number is at 512).
    #[must_use]
    pub fn titled(bytes: u32) -> Self {
        Answer {
            count: 1,
            list: None,
            title: (600, bytes),
            dedup_key: None,
            severity: None,
            time: 5000,
            about: None,
            facts: (0, 0),
            evidence: (512, 1),
            raised_by: 1,
        }
    }

    /// So many.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Answer { count, ..self }
    }

    /// A body of `evaluate` that writes it and returns it. Locals `$i` are taken.
    #[must_use]
    pub fn body(&self) -> String {
        let mut body = "(local $i i32)\n".to_owned();
        let mut word = |at: u32, value: u32| {
            let value = value.cast_signed();
            let _ = writeln!(body, "(i32.store (i32.const {at}) (i32.const {value}))");
        };
        let (list, length) = self.list.unwrap_or((ALERTS, self.count));
        word(16, 0);
        word(20, list);
        word(24, length);
        let text = |at: u32, (pointer, bytes): (u32, u32)| [(at, pointer), (at + 4, bytes)];
        for (at, value) in text(256, self.title) {
            word(at, value);
        }
        word(264, u32::from(self.dedup_key.is_some()));
        for (at, value) in text(268, self.dedup_key.unwrap_or_default()) {
            word(at, value);
        }
        // The option and its value are a byte each.
        let severity = self.severity.map_or(0, |case| 1 | u32::from(case) << 8);
        word(276, severity);
        word(288, u32::from(self.about.is_some()));
        for (index, part) in (0..).zip(self.about.unwrap_or_default()) {
            for (at, value) in text(292 + 8 * index, part) {
                word(at, value);
            }
        }
        for (at, value) in text(316, self.facts) {
            word(at, value);
        }
        for (at, value) in text(324, self.evidence) {
            word(at, value);
        }
        let (time, raised_by, count) = (self.time, self.raised_by.cast_signed(), self.count);
        let _ = write!(
            body,
            "(i64.store (i32.const 280) (i64.const {time})) (i64.store (i32.const 336) (i64.const {raised_by}))
            (i64.store (i32.const 512) (i64.const 1))
            (drop (memory.grow (i32.const {pages})))
            (block $done (loop $next
                (br_if $done (i32.ge_u (local.get $i) (i32.const {count})))
                (memory.copy (i32.add (i32.const {ALERTS}) (i32.mul (local.get $i) (i32.const {SIZE}))) (i32.const 256) (i32.const {SIZE}))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br $next)))
            (i32.const 16)",
            pages = 8 + count * SIZE / 65536,
        );
        body
    }
}
