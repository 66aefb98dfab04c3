//! What a port costs.

use std::time::Duration;

use crate::checks::heap;
use crate::support::world::node_config;
use aemp_proto::actor::Node;

#[test]
fn a_port_costs_at_most_320_octets_and_gives_them_back() {
    const PORTS: usize = 100_000;
    let mut node = Node::new(node_config("a"), 1, Duration::ZERO, Duration::ZERO);
    let before = heap::taken();
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
    let each = (heap::since(before) - ids_cost) / PORTS;
    println!("{each} octets for a port");
    assert!(each <= 320, "{each} octets for a port");
    node.with(Duration::ZERO, |context| {
        for id in &ids {
            context.end(id, aemp_proto::actor::Reasons::normal());
        }
    });
    drop(ids);
    let room = heap::since(before);
    // The table keeps its room for new ports; the code is gone.
    assert!(room / PORTS <= 200, "{} octets for a port that is gone", room / PORTS);
}
