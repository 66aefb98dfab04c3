//! Data connections that there will not be, when the suite has asked.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{
    CONNECT, EXPECT, LONG, MIRROR, SOURCE, WAITS, asks, expected, failed, finishes, listening, met, mirrors, nothing_failed,
    opened, refused,
};
use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::{Dataconn, Listen, Secure};
use crate::test::{Test, unique};

pub(super) const CASES: &[Case] = &[
    listening(
        "data/unknown-function",
        &["DATA-14", "DATA-8", "DATA-3"],
        "Where nobody takes data connections under a name, the port that waits is ended at once, saying so.",
        |t| not_taken(t, &["no::such::function", "", "conformance", "conformance::mirror2", "echo", "control"]),
    )
    .in_each_framing(),
    listening(
        "data/other-functions",
        &["DATA-13", "DATA-14"],
        "What others may call or spawn, or a program has for itself, takes no data connections.",
        |t| {
            let theirs = ["conformance::tell", "conformance::port", "conformance::failing"];
            let own = [
                "exit",
                "main::exit",
                "print",
                "AnyEvent::MP::_spawn",
                "AnyEvent::MP::Kernel::snd",
                EXPECT,
                CONNECT,
                "mon1",
            ];
            not_taken(t, &[&theirs[..], &own].concat())
        },
    ),
    listening(
        "data/secure",
        &["DATA-14", "NODE-9"],
        "In secure mode no function takes data connections, and the port that waits is ended at once.",
        secure,
    )
    .needs(&[Dataconn, Listen, Secure]),
    listening(
        "data/same-id",
        &["DATA-14"],
        "A second data connection of an ID that is expected from the node already is refused, and the first one stays.",
        same_id,
    ),
    listening(
        "data/no-time",
        &["DATA-14"],
        "Where the time to wait is no number above zero, the port that waits is ended at once.",
        no_time,
    ),
    listening(
        "data/ports-of-others",
        &["DATA-15"],
        "Who names no port of its own asks for nothing, and nobody's port is ended.",
        ports_of_others,
    ),
    listening("data/too-little", &["NODE-1"], "A request without all that it needs is ignored.", too_little),
    listening(
        "data/time-is-up",
        &["DATA-16", "DATA-8", "DATA-3"],
        "When the time is up, the port that waits is ended, and the ID is good for nothing.",
        time_is_up,
    ),
    listening(
        "data/time-of-what-stands",
        &["DATA-16"],
        "A data connection that stands when the time is up goes on, and no port is ended.",
        time_of_what_stands,
    ),
    listening(
        "data/asking-node-is-lost",
        &["DATA-19"],
        "What a node has asked for is forgotten when the connection to it is lost.",
        asking_node_is_lost,
    ),
    listening(
        "data/too-many",
        &["DATA-18", "DATA-14"],
        "A node that asks for more and more is refused in the end; what it asked for before, and others, are not disturbed.",
        too_many,
    )
    .allows(&["refused", "all are expected"]),
    listening(
        "data/few-do-not-use-up-all",
        &["DATA-29", "SEC-14"],
        "When a few nodes have asked until they were refused, another node still gets the data connection for which it asks.",
        few_do_not_use_up_all,
    ),
    listening(
        "data/values-too-large",
        &["DATA-18", "DATA-14"],
        "The octets of the values that are kept are bounded; who has them kept without end is refused in the end.",
        values_too_large,
    )
    .allows(&["refused", "all are kept"]),
    listening(
        "data/cannot-be-reached",
        &["DATA-23", "DATA-8"],
        "Who is to open a data connection to a node that it cannot reach ends the port that waits.",
        cannot_be_reached,
    ),
];

fn not_taken(t: &mut Test<'_>, functions: &[&str]) -> Step {
    let (subject, mut peer) = met(t)?;
    let (node, values) = (peer.node().to_owned(), [json!(peer.port("came")), json!("x")]);
    let mut ids = Vec::new();
    for function in functions {
        let id = unique("id")?;
        asks(&mut peer, &id, LONG, function, &values)?;
        failed(&mut peer, WAITS)?;
        ids.push(id);
    }
    refused(t, &subject, &node, &ids[0])?;
    peer.nothing_for("came").breaks("DATA-13")
}

fn secure(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.secure = true)?;
    let mut peer = t.up_at(&subject)?;
    let node = peer.node().to_owned();
    for function in [MIRROR, SOURCE] {
        let id = unique("id")?;
        asks(&mut peer, &id, LONG, function, &[json!(10)])?;
        failed(&mut peer, WAITS)?;
        refused(t, &subject, &node, &id)?;
    }
    Ok(())
}

/// A request for a data connection of this ID with another port that waits.
fn asks_for(peer: &mut Peer, id: &str, port: &str, function: &str) -> Step {
    peer.send(&json!(["", EXPECT, id, port, LONG, function]))
}

fn same_id(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let id = expected(&mut peer, MIRROR, &[])?;
    let second = peer.port("second");
    asks_for(&mut peer, &id, &second, SOURCE)?;
    failed(&mut peer, "second")?;
    nothing_failed(&mut peer)?;
    mirrors(&mut opened(t, &subject, &node, &id)?, b"octets")
}

fn no_time(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    for time in [json!(0), json!(-1), json!(-0.5), json!("soon"), json!(""), json!([]), json!({})] {
        let id = unique("id")?;
        asks(&mut peer, &id, time, MIRROR, &[])?;
        failed(&mut peer, WAITS)?;
        refused(t, &subject, &node, &id)?;
    }
    Ok(())
}

fn ports_of_others(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let mut other = t.up_at(&subject)?;
    let node = peer.node().to_owned();
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "mon1", port]))?;
    let others = [
        other.port("theirs"),
        peer.their(&port)?,
        other.node().to_owned(),
        node.clone(),
        format!("{node}#"),
        "waits".into(),
    ];
    for theirs in &others {
        let (unknown, known) = (unique("id")?, unique("id")?);
        asks_for(&mut peer, &unknown, theirs, "no::such::function")?;
        asks_for(&mut peer, &known, theirs, MIRROR)?;
        peer.settle()?;
        refused(t, &subject, &node, &known).breaks("DATA-15")?;
    }
    nothing_failed(&mut peer)?;
    nothing_failed(&mut other)?;
    let told = peer.all_ends(&port)?;
    check(told.is_empty(), "the node's port to go on", json!(told))
}

fn too_little(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = met(t)?;
    let id = unique("id")?;
    for request in [
        json!(["", EXPECT]),
        json!(["", EXPECT, id]),
        json!(["", EXPECT, id, {}, LONG, MIRROR]),
        json!(["", EXPECT, [], peer.port(WAITS), LONG, MIRROR]),
        json!(["", CONNECT]),
        json!(["", CONNECT, id]),
        json!(["", CONNECT, {}, peer.node()]),
        json!(["", CONNECT, id, []]),
    ] {
        peer.send(&request)?;
        peer.settle()?;
    }
    nothing_failed(&mut peer)
}

fn time_is_up(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let id = unique("id")?;
    asks(&mut peer, &id, 0.1, MIRROR, &[])?;
    failed(&mut peer, WAITS)?;
    refused(t, &subject, &node, &id)
}

fn time_of_what_stands(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let (id, time) = (unique("id")?, (0.6 * t.patience.as_secs_f64()).min(1.0));
    asks(&mut peer, &id, time, MIRROR, &[])?;
    peer.settle()?;
    let mut stream = opened(t, &subject, &node, &id)?;
    // The time of one that was asked for later is up later.
    let clock = peer.port("clock");
    peer.send(&json!(["", EXPECT, unique("id")?, clock, time, MIRROR]))?;
    failed(&mut peer, "clock")?;
    mirrors(&mut stream, b"octets")?;
    finishes(&mut stream)?;
    nothing_failed(&mut peer)
}

fn asking_node_is_lost(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let mut observer = t.up_at(&subject)?;
    let (node, lost) = (peer.node().to_owned(), unique("lost")?);
    let id = expected(&mut peer, MIRROR, &[])?;
    observer.control(&json!(["watch", lost, node, observer.port("lost")]))?;
    observer.settle()?;
    drop(peer);
    observer.find("the watch on the node that is lost", |message| message.tag() == lost)?;
    refused(t, &subject, &node, &id).breaks("DATA-19")?;
    // Nor is it good again when the node is back.
    let mut back = t.up_again(&subject, &node)?;
    nothing_failed(&mut back)?;
    refused(t, &subject, &node, &id).breaks("DATA-19")
}

/// Data connections that one node asks for at most: whoever expects as many has no bound that matters.
const MANY: usize = 20_000;

/// How many of these requests, each with these values, were refused first, if any was.
fn asks_until_refused(peer: &mut Peer, values: &[Json], most: usize) -> Step<bool> {
    let together = (most / 20).clamp(1, 500);
    for _ in 0..most.div_ceil(together) {
        for _ in 0..together {
            asks(peer, &unique("many")?, LONG, MIRROR, values)?;
        }
        peer.settle()?;
        if peer.has(|message| message.port().is_empty() && message.tag() == "kil1") {
            failed(peer, WAITS)?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// One node has asked until it was refused, or not: who else asks gets what it wants, and so does it with what it asked for
/// before.
fn bounded(t: &mut Test<'_>, values: &[Json], most: usize) -> Step<bool> {
    // What fills a node up is not to be in the way of other cases.
    let subject = t.start(|_| {})?;
    let (mut peer, mut other) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let first = expected(&mut peer, MIRROR, &[])?;
    let refused = asks_until_refused(&mut peer, values, most)?;
    mirrors(&mut opened(t, &subject, peer.node(), &first)?, b"octets")?;
    let id = expected(&mut other, MIRROR, &[])?;
    // All that a node keeps is bounded, too.
    if !other.has(|message| message.tag() == "kil1") {
        mirrors(&mut opened(t, &subject, other.node(), &id)?, b"octets")?;
    }
    Ok(refused)
}

fn too_many(t: &mut Test<'_>) -> Step {
    let refused = bounded(t, &[], MANY)?;
    t.outcome(if refused { "refused" } else { "all are expected" });
    Ok(())
}

fn few_do_not_use_up_all(t: &mut Test<'_>) -> Step {
    /// Nodes that ask for much, and how often each asks at most.
    const FEW: usize = 12;
    const OF_ONE: usize = 400;
    let subject = t.start(|_| {})?;
    let mut few = Vec::new();
    for _ in 0..FEW {
        let mut peer = t.up_at(&subject)?;
        asks_until_refused(&mut peer, &[], OF_ONE)?;
        few.push(peer);
    }
    let mut other = t.up_at(&subject)?;
    let id = expected(&mut other, MIRROR, &[])?;
    let is_refused = other.has(|message| message.port().is_empty() && message.tag() == "kil1");
    let wanted = format!("a data connection for another node, when {FEW} nodes have asked for as many as they get");
    t.should("DATA-29", !is_refused, wanted, "it is refused");
    if !is_refused {
        mirrors(&mut opened(t, &subject, other.node(), &id)?, b"octets")?;
    }
    Ok(())
}

fn values_too_large(t: &mut Test<'_>) -> Step {
    let refused = bounded(t, &[json!("x".repeat(200_000))], 500)?;
    t.outcome(if refused { "refused" } else { "all are kept" });
    Ok(())
}

fn cannot_be_reached(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = Duration::from_millis(400))?;
    let mut peer = t.up_at(&subject)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    peer.send(&json!(["", CONNECT, id, peer.node()]))?;
    failed(&mut peer, WAITS)?;
    let node = peer.node().to_owned();
    refused(t, &subject, &node, &id)
}
