//! What a thread takes from the heap, counted where it is taken.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// Octets that were taken, ever.
    static TOTAL: Cell<usize> = const { Cell::new(0) };
    /// Octets that were taken and not given back. What another thread gives back counts there.
    static TAKEN: Cell<isize> = const { Cell::new(0) };
}

fn count(taken: usize, given_back: usize) {
    TOTAL.set(TOTAL.get() + taken);
    TAKEN.set(TAKEN.get() + taken as isize - given_back as isize);
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

/// The octets that this thread has taken so far, those that it gave back included.
pub fn total() -> usize {
    TOTAL.get()
}

/// The octets that this thread has taken and not given back.
pub fn taken() -> isize {
    TAKEN.get()
}
