//! Chapter 11: the limits of packets.

use std::time::Duration;

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;
use serde_json::json;

use super::echo::packet;
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::{Cbor, Limits};
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of limits.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "limits/least",
        &["LIMIT-2", "LIMIT-3", "LIMIT-4"],
        "Packets of the least limits are taken: 1 MiB, 512 levels, 100,000 values.",
        least,
    )
    .in_each_framing()
    .stays(),
    Case::new("limits/octets", &["LIMIT-2"], "A packet of more octets than the limit closes the connection.", octets)
        .needs(&[Limits])
        .in_each_framing(),
    Case::new("limits/depth", &["LIMIT-3"], "A packet of more levels than the limit closes the connection.", depth)
        .needs(&[Limits])
        .in_each_framing(),
    Case::new("limits/values", &["LIMIT-4"], "A packet of more values than the limit closes the connection.", values)
        .needs(&[Limits])
        .in_each_framing(),
    Case::new(
        "limits/announced",
        &["LIMIT-2", "LIMIT-8", "LIMIT-6"],
        "A packet that announces more than there can be is refused at once, or waited for; the node goes on.",
        announced,
    )
    .needs(&[Cbor])
    .allows(&["closed at once", "waits for the rest"]),
    Case::new(
        "limits/as-announced",
        &["GREET-26"],
        "A node that announces by the key `limits` what it takes takes packets of just that.",
        as_announced,
    )
    .needs(&[Limits])
    .in_each_framing()
    .allows(&["it takes what it announces", "it announces nothing"])
    .stays(),
    Case::new(
        "limits/malformed-announcement",
        &["GREET-27"],
        "A key `limits` that is malformed, or below what every node takes, is as if it was not there.",
        malformed_announcement,
    )
    .level(Node)
    .once(),
    Case::new(
        "limits/sends-no-more-than-the-least",
        &["LIMIT-5"],
        "A node should send no packet that is larger than every node has to take.",
        sends_no_more_than_the_least,
    )
    .level(Node)
    .stays(),
];

/// A packet to nobody that has this many octets.
fn of_octets(framing: Framing, count: usize) -> Step<Vec<u8>> {
    let with = |length: usize| packet(framing, &["nobody".into(), Value::Text("x".repeat(length))]);
    let beside = with(count)?.len() - count;
    with(count - beside)
}

/// A packet to nobody of this many levels, itself included.
fn of_depth(framing: Framing, depth: usize) -> Step<Vec<u8>> {
    let nested = (1..depth - 1).fold(Value::Array(Vec::new()), |inner, _| Value::Array(vec![inner]));
    packet(framing, &["nobody".into(), nested])
}

/// A packet to nobody of this many values, itself included.
fn of_values(framing: Framing, count: usize) -> Step<Vec<u8>> {
    let mut elements = vec![Value::from("nobody")];
    elements.resize(count - 1, Value::from(1));
    packet(framing, &elements)
}

fn least(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    // A large packet may take a slow node a while.
    peer.patience = peer.patience.max(Duration::from_secs(15));
    let largest = [
        (of_octets(t.framing, 1 << 20)?, "a packet of 1 MiB", "LIMIT-2"),
        (of_depth(t.framing, 512)?, "a packet of 512 levels", "LIMIT-3"),
        (of_values(t.framing, 100_000)?, "a packet of 100,000 values", "LIMIT-4"),
    ];
    for (octets, about, id) in largest {
        peer.send_octets(&octets, about);
        peer.probe().breaks(id)?;
    }
    t.ends(peer);
    Ok(())
}

/// The limits that a node is told.
const OCTETS: usize = 4096;
const DEPTH: usize = 20;
const VALUES: usize = 200;

fn limited(t: &mut Test<'_>) -> Step<Peer> {
    let subject = t.subject(|start| {
        start.limits.octets = Some(OCTETS as u64);
        start.limits.depth = Some(DEPTH as u64);
        start.limits.values = Some(VALUES as u64);
    })?;
    t.up_at(&subject)
}

/// The first packet is taken, and the second one refused.
fn limit(t: &mut Test<'_>, within: &[u8], beyond: &[u8], id: &'static str) -> Step {
    let mut peer = limited(t)?;
    peer.send_octets(within, "a packet at the limit");
    peer.probe().breaks(id)?;
    peer.send_octets(beyond, "a packet beyond it");
    peer.expect_end().breaks(id)
}

fn octets(t: &mut Test<'_>) -> Step {
    limit(t, &of_octets(t.framing, OCTETS)?, &of_octets(t.framing, OCTETS + 1)?, "LIMIT-2")
}

fn depth(t: &mut Test<'_>) -> Step {
    limit(t, &of_depth(t.framing, DEPTH)?, &of_depth(t.framing, DEPTH + 1)?, "LIMIT-3")
}

fn values(t: &mut Test<'_>) -> Step {
    limit(t, &of_values(t.framing, VALUES)?, &of_values(t.framing, VALUES + 1)?, "LIMIT-4")
}

fn as_announced(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| {
        start.limits.octets = Some(2 << 20);
        start.limits.depth = Some(600);
        start.limits.values = Some(150_000);
    })?;
    let mut peer = t.up_at(&subject)?;
    // A large packet may take a slow node a while.
    peer.patience = peer.patience.max(Duration::from_secs(15));
    let announced = peer.greeting.as_ref().and_then(|greeting| greeting.keys.get("limits").cloned());
    t.outcome(if announced.is_some() { "it takes what it announces" } else { "it announces nothing" });
    if let Some(announced) = announced {
        let numbers: Vec<usize> = announced.split(',').filter_map(|number| number.parse().ok()).collect();
        let [octets, depth, values] = numbers[..] else {
            return Err(Failure::wrong("limits=OCTETS,DEPTH,VALUES", format!("limits={announced}")));
        };
        let largest = [
            (of_octets(t.framing, octets)?, format!("a packet of {octets} octets")),
            (of_depth(t.framing, depth)?, format!("a packet of {depth} levels")),
            (of_values(t.framing, values)?, format!("a packet of {values} values")),
        ];
        for (packet, about) in largest {
            peer.send_octets(&packet, &format!("{about}, as limits={announced} allows"));
            peer.probe()?;
        }
    }
    t.ends(peer);
    Ok(())
}

fn malformed_announcement(t: &mut Test<'_>) -> Step {
    let floods = [
        "",
        "1",
        "1,2",
        "a,b,c",
        "1048576,512",
        "0,0,0",
        "1000,512,100000",
        "1048576,1,100000",
        "1048576,512,1",
        "-1,-1,-1",
    ];
    for value in floods {
        let mut peer = t.connect()?;
        peer.greets.keys.push(format!("limits={value}"));
        peer.handshake()?;
        let port = unique("flood")?;
        peer.control(&json!(["flood", peer.port(&port), 1, 3000]))?;
        let came = peer.message(&port)?;
        check(came.len() == 2, format!("a message of 3000 octets, in spite of limits={value}"), json!(came))?;
    }
    Ok(())
}

fn announced(t: &mut Test<'_>) -> Step {
    t.framing = Framing::Cbor;
    let heads: [&[u8]; 4] = [
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x81\x7b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x81\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x81\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
    ];
    let mut peers = Vec::new();
    for head in heads {
        let mut peer = t.up()?;
        peer.send_octets(head, "a packet that announces more than there can be");
        peers.push(peer);
    }
    // The node lives, and has had time to look at them.
    t.up()?.probe().breaks("LIMIT-6")?;
    let closed = peers.iter_mut().map(|peer| peer.ended_within(Duration::from_millis(20))).collect::<Step<Vec<_>>>()?;
    t.outcome(if closed.iter().all(Option::is_some) { "closed at once" } else { "waits for the rest" });
    Ok(())
}

fn sends_no_more_than_the_least(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("large")?;
    peer.send(&json!(["control", "flood", peer.port(&port), 1, (1 << 20) + 1]))?;
    peer.settle()?;
    let came = peer.take(|message| message.port() == port);
    t.should("LIMIT-5", came.is_empty(), "no packet of more than 1 MiB", "one came");
    // What fits is sent.
    let small = unique("small")?;
    peer.send(&json!(["control", "flood", peer.port(&small), 1, 1000]))?;
    let came = peer.message(&small)?;
    check(came.len() == 2, "a number and a padding", json!(came))?;
    t.ends(peer);
    Ok(())
}
