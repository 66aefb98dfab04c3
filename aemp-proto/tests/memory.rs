//! What a port costs.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aemp_proto::node::Node;
use support::world::node_config;

/// Counts the octets that are allocated.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counter is beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_port_costs_at_most_320_octets_and_gives_them_back() {
    const PORTS: usize = 100_000;
    let mut node = Node::new(node_config("a"), 1, Duration::ZERO, Duration::ZERO);
    let before = ALLOCATED.load(Ordering::Relaxed);
    let ids: Vec<_> = node.with(Duration::ZERO, |context| {
        let make = |n: usize| {
            // Code that holds something of its own.
            let mut sum = n;
            context.port(move |_, elements| {
                sum += elements.rest::<(usize,)>()?.0;
                if sum < n { Err("it has wrapped".into()) } else { Ok(()) }
            })
        };
        (0..PORTS).map(make).collect()
    });
    let ids_cost: usize = ids.iter().map(|id| size_of_val(id) + id.port().len() + 2 * size_of::<usize>()).sum();
    let each = (ALLOCATED.load(Ordering::Relaxed) - before - ids_cost) / PORTS;
    println!("{each} octets for a port");
    assert!(each <= 320, "{each} octets for a port");
    node.with(Duration::ZERO, |context| {
        for id in &ids {
            context.end(id, aemp_proto::node::Reasons::normal());
        }
    });
    drop(ids);
    let room = ALLOCATED.load(Ordering::Relaxed) - before;
    // The table keeps its room for new ports; the code is gone.
    assert!(room / PORTS <= 200, "{} octets for a port that is gone", room / PORTS);
}
