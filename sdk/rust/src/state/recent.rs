//! What the row that is being judged has written, so that a rule that adds to a window and then looks at it does not ask the
//! host for what it has just told it. Forgotten with the next row: nothing is cached between rows.
//!
//! The buffers stay, because a module's memory is never given back.

use std::cell::RefCell;

/// More keys than one row of a sensible rule writes.
const MOST: usize = 8;

#[derive(Default)]
struct Written {
    key: Vec<u8>,
    /// Whether there is a value; otherwise it was deleted.
    is_there: bool,
    value: Vec<u8>,
}

#[derive(Default)]
struct Recent {
    buffers: Vec<Written>,
    /// How many of them hold something.
    used: usize,
}

thread_local! {
    static RECENT: RefCell<Recent> = const { RefCell::new(Recent { buffers: Vec::new(), used: 0 }) };
}

impl Recent {
    fn find(&mut self, key: &[u8]) -> Option<&mut Written> {
        self.buffers
            .iter_mut()
            .take(self.used)
            .find(|written| written.key == key)
    }
}

/// Hands over the value that the row wrote under this key; the inner none: it deleted it. None: it wrote nothing there.
pub(super) fn read<R>(key: &[u8], take: impl FnOnce(Option<&[u8]>) -> R) -> Option<R> {
    RECENT.with_borrow_mut(|recent| {
        let written = recent.find(key)?;
        Some(take(written.is_there.then_some(&written.value)))
    })
}

/// The row wrote this value; none: it deleted it.
pub(super) fn wrote(key: &[u8], value: Option<&[u8]>) {
    RECENT.with_borrow_mut(|recent| {
        if recent.find(key).is_none() {
            recent.used = if recent.used < MOST { recent.used + 1 } else { 1 };
            if recent.buffers.len() < recent.used {
                recent.buffers.push(Written::default());
            }
            if let Some(written) = recent.buffers.get_mut(recent.used - 1) {
                written.key.clear();
                written.key.extend_from_slice(key);
            }
        }
        if let Some(written) = recent.find(key) {
            written.is_there = value.is_some();
            written.value.clear();
            written.value.extend_from_slice(value.unwrap_or_default());
        }
    });
}

/// Another row or timer.
pub(crate) fn forget() {
    RECENT.with_borrow_mut(|recent| recent.used = 0);
}
