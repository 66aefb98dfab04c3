//! What nodes take in one packet, and what they send therefore.

use std::time::Duration;

use crate::support::ports::{heard, log, noting, port, with};
use crate::support::world::{World, node_config};
use aemp_proto::actor::Context;
use aemp_proto::framing::{EncodeError, Limits};

/// Whether a message of so many octets is taken, and how many messages have arrived.
fn send(world: &mut World, octets: usize) -> (Result<(), EncodeError>, usize) {
    let received = log();
    let there = with(world, 1, |context: &mut Context<'_>| context.port(noting(&received)));
    let sent = with(world, 0, |context| context.send(&there, &("x".repeat(octets),)));
    world.run_for(Duration::from_secs(10));
    (sent, heard(&received).len())
}

fn two_nodes(sends_most: Limits, takes: Limits) -> World {
    let mut world = World::new(1);
    let mut config = node_config("a");
    config.link.send_most = sends_most;
    world.add(config);
    let mut config = node_config("b");
    config.link.limits = takes;
    world.add(config);
    world.dial(0, 1);
    world.settle();
    let up: Vec<_> = world.node(0).up_nodes().map(ToString::to_string).collect();
    assert_eq!(up, [port("b").node().as_str()]);
    world
}

#[test]
fn a_node_takes_what_it_announces_and_is_sent_no_more() {
    // GREET-26, LIMIT-5
    let takes = |octets: usize| Limits { octets, ..Limits::default() };
    for (sends_most, announced, octets, is_sent) in [
        (Limits::default(), Limits::default(), 3 << 20, true),
        (Limits::default(), takes(4 << 20), 3 << 20, true),
        (Limits::default(), takes(2 << 20), 3 << 20, false),
        (takes(2 << 20), Limits::default(), 3 << 20, false),
        (Limits::default(), Limits::LEAST, 2 << 20, false),
        (Limits::default(), Limits::LEAST, 1_000_000, true),
    ] {
        let mut world = two_nodes(sends_most, announced);
        let (sent, arrived) = send(&mut world, octets);
        assert_eq!(sent.is_ok(), is_sent, "{octets} octets: {sent:?}");
        assert_eq!(arrived, usize::from(is_sent));
        // Nobody lost the connection over it.
        assert_eq!(send(&mut world, 10).1, 1);
    }
}

#[test]
fn an_announcement_that_is_malformed_or_too_small_counts_as_none() {
    // GREET-27
    assert_eq!(Limits::announced("1048576,512,100000"), Some(Limits::LEAST));
    assert_eq!(Limits::announced(&Limits::default().to_string()), Some(Limits::default()));
    for text in [
        "",
        "1048576",
        "1048576,512",
        "1048576,512,100000,1",
        "1048576,512,100000,",
        "1048575,512,100000",
        "1048576,511,100000",
        "1048576,512,99999",
        "+1048576,512,100000",
        "1048576, 512,100000",
        "1e9,512,100000",
        "-1,512,100000",
        "99999999999999999999999999,512,100000",
        "x,512,100000",
    ] {
        assert_eq!(Limits::announced(text), None, "{text:?}");
    }
}
