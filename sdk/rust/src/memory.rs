//! The allocator of a module: a pointer that goes up.
//!
//! An instance lives for one call, so nothing is ever worth freeing for later; a general allocator would cost code size,
//! start-up and time. Two things are taken back because they are free to take: the block allocated last, and growth of the
//! block allocated last in place. So a value that a rule fetches from its state and drops again costs no memory.
#![allow(
    unsafe_code,
    reason = "a global allocator cannot be written otherwise; it runs inside the sandbox only"
)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE: usize = 64 << 10;

unsafe extern "C" {
    /// Where the linker says that the heap begins.
    static __heap_base: u8;
}

struct Bump;

#[global_allocator]
static ALLOCATOR: Bump = Bump;

// Modules have no threads: the atomics are plain cells that a static may hold.
static TOP: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);

/// The first free byte.
#[inline]
fn top() -> usize {
    let top = TOP.load(Relaxed);
    if top != 0 {
        return top;
    }
    END.store(core::arch::wasm32::memory_size(0) * PAGE, Relaxed);
    (&raw const __heap_base) as usize
}

/// Makes the memory reach `end` and moves the top there. False: the host gives no more.
#[inline]
fn raise(end: usize) -> bool {
    let have = END.load(Relaxed);
    if end > have {
        // At least half a megabyte at once, because each growth has a price; less where only less is to be had.
        let needed = (end - have).div_ceil(PAGE);
        let grown = [needed.max(8), needed]
            .into_iter()
            .find(|pages| core::arch::wasm32::memory_grow(0, *pages) != usize::MAX);
        let Some(pages) = grown else { return false };
        END.store(have + pages * PAGE, Relaxed);
    }
    TOP.store(end, Relaxed);
    true
}

// SAFETY: blocks are disjoint, because the top only ever moves past a new block, or back to the start of the last one when
// its owner gives it up.
unsafe impl GlobalAlloc for Bump {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = top().next_multiple_of(layout.align());
        match start.checked_add(layout.size()) {
            Some(end) if raise(end) => start as *mut u8,
            _ => std::ptr::null_mut(),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if block as usize + layout.size() == TOP.load(Relaxed) {
            TOP.store(block as usize, Relaxed);
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if block as usize + layout.size() == TOP.load(Relaxed) {
            return match (block as usize).checked_add(size) {
                Some(end) if raise(end) => block,
                _ => std::ptr::null_mut(),
            };
        }
        if size <= layout.size() {
            return block;
        }
        // SAFETY: the caller's layout is valid, so one with another size is, up to the overflow that `alloc` refuses.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both blocks hold at least the old size and are disjoint.
            unsafe { std::ptr::copy_nonoverlapping(block, new, layout.size()) };
        }
        new
    }
}
