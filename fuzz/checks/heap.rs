//! Counts the memory that a thread takes from the heap.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// Bytes that were taken, ever.
    static TOTAL: Cell<usize> = const { Cell::new(0) };
    /// Bytes that were taken and not given back. Memory that another thread gives back counts there.
    static TAKEN: Cell<isize> = const { Cell::new(0) };
    /// The same, with the bytes that an allocator adds.
    static ROUNDED: Cell<isize> = const { Cell::new(0) };
}

/// The bytes that an allocation takes: a word stands before it, and its size is a multiple of 16, and 32 at least.
fn rounded(size: usize) -> isize {
    if size == 0 { 0 } else { (size + 8).next_multiple_of(16).max(32) as isize }
}

fn count(taken: usize, given_back: usize) {
    TOTAL.set(TOTAL.get() + taken);
    TAKEN.set(TAKEN.get() + taken as isize - given_back as isize);
    ROUNDED.set(ROUNDED.get() + rounded(taken) - rounded(given_back));
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are beside it, and need no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the pointer came from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: the caller keeps the contract of `realloc`, which is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Returns the bytes that this thread has taken so far, those that it gave back included.
pub fn total() -> usize {
    TOTAL.get()
}

/// Returns the bytes that this thread has taken and not given back.
pub fn taken() -> isize {
    TAKEN.get()
}

/// Returns the bytes that this thread has taken since [`taken`] was `before`, and not given back.
#[allow(dead_code, reason = "not every program needs it")]
pub fn since(before: isize) -> usize {
    usize::try_from(taken() - before).unwrap_or_default()
}

/// Returns the bytes that this thread has taken and not given back, with those that an allocator adds to each allocation.
#[allow(dead_code, reason = "not every program needs it")]
pub fn held() -> isize {
    ROUNDED.get()
}
