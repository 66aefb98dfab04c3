//! Chapter 7, section 7.3: what the loss of a connection, or that there is none, means for watches.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::Peer;
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of lost connections.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "losing/ended",
        &["MON-8", "MON-7"],
        "When a peer ends its connection, all watches on it and its ports fire once, with transport_error and its ID.",
        |t| {
            loses(t, |peer| {
                peer.end_direction();
                // The node may wait for the end of the other direction, but not for ever.
                peer.ended_within(Duration::from_millis(200)).map(|_| ())
            })
        },
    )
    .level(Node),
    Case::new(
        "losing/cut-off",
        &["MON-8", "MON-7"],
        "When a connection is cut off with octets on their way, all watches on that node fire once.",
        |t| loses(t, |_| Ok(())),
    )
    .level(Node),
    Case::new(
        "losing/malformed",
        &["MON-8"],
        "When a node closes because of what came, all its watches on that peer fire.",
        |t| {
            loses(t, |peer| {
                peer.send_octets(&[0xff; 12], "what is no packet");
                let ended = peer.ended()?;
                check(ended.is_some(), "the end of the connection", "it stays").breaks("FRAME-4")
            })
        },
    )
    .level(Node),
    Case::new("losing/others", &["MON-8"], "The loss of one connection fires no watch on another node.", others).level(Node),
    Case::new(
        "losing/forgets-theirs",
        &["MON-9"],
        "What a node watched is forgotten when its connection is lost: back again, it is told nothing.",
        forgets_theirs,
    )
    .level(Node),
    Case::new(
        "losing/forgets-own",
        &["MON-7", "MON-6"],
        "A watch that the loss has fired is gone: the node that is back is asked again for a new one only.",
        forgets_own,
    )
    .level(Node),
    Case::new(
        "losing/unreachable",
        &["MON-10"],
        "A watch on a node, or on a port of one, that cannot be reached fires within the time for connecting.",
        unreachable,
    )
    .level(Node),
    Case::new(
        "losing/given-up-unreachable",
        &["MON-12"],
        "A watch on a node that cannot be reached does not fire when it was given up before.",
        given_up_unreachable,
    )
    .level(Node),
];

/// What a watch says when its node is lost.
fn lost(observer: &mut Peer, name: &str, node: &str) -> Step {
    let fired =
        observer.find(&format!("[{name:?}, \"transport_error\", {node:?}, TEXT]"), |message| message.tag() == name)?;
    let right = matches!(&fired.elements[2..], [error, lost, Json::String(_)] if error == "transport_error" && lost == node);
    check(right, format!("[{name:?}, \"transport_error\", {node:?}, TEXT]"), fired.shown())
}

fn loses(t: &mut Test<'_>, how: impl Fn(&mut Peer) -> Step) -> Step {
    let (mut peer, mut observer) = (t.up()?, t.up()?);
    let node = peer.node().to_owned();
    let names = [unique("port")?, unique("port")?, unique("other")?, unique("node")?];
    for (name, port) in names.iter().zip([peer.port("mine"), peer.port("mine"), peer.port("other"), node.clone()]) {
        observer.control(&json!(["watch", name, port, observer.port("fired")]))?;
    }
    // Octets that were not read make the end a reset.
    observer.control(&json!(["flood", peer.port("flood"), 500, 1000]))?;
    observer.settle()?;
    peer.hears_within(t.patience)?;
    how(&mut peer)?;
    drop(peer);
    for name in &names {
        lost(&mut observer, name, &node)?;
    }
    observer.nothing_for("fired").breaks("MON-7")
}

fn others(t: &mut Test<'_>) -> Step {
    let (peer, mut other, mut observer) = (t.up()?, t.up()?, t.up()?);
    let node = peer.node().to_owned();
    let (lost_one, port, whole) = (unique("lost")?, unique("port")?, unique("node")?);
    for (name, on) in [(&lost_one, node.clone()), (&port, other.port("mine")), (&whole, other.node().to_owned())] {
        observer.control(&json!(["watch", name, on, observer.port("fired")]))?;
    }
    observer.settle()?;
    drop(peer);
    lost(&mut observer, &lost_one, &node)?;
    observer.nothing_for("fired")?;
    other.send(&json!(["", "kil0", "mine", "ended"]))?;
    observer.expect("fired", &json!([port, "ended"])).breaks("MON-4")
}

fn forgets_theirs(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|_| {})?;
    let (mut peer, mut other) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let (node, gone) = (peer.node().to_owned(), unique("gone")?);
    // One ends while the peer is away, one when it is back.
    let (away, back) = (peer.new_port("echo")?, peer.new_port("echo")?);
    for port in [&away, &back] {
        peer.send(&json!(["", "mon1", port]))?;
        other.send(&json!(["", "mon1", port]))?;
    }
    peer.settle()?;
    other.control(&json!(["watch", gone, node, other.port("fired")]))?;
    other.settle()?;
    drop(peer);
    lost(&mut other, &gone, &node).breaks("MON-8")?;
    other.send(&json!(["", "kil1", away, "ended"]))?;
    other.ended_port(&away).breaks("MON-1")?;
    let mut peer = t.up_again(&subject, &node)?;
    other.send(&json!(["", "kil1", back, "ended"]))?;
    other.ended_port(&back).breaks("MON-1")?;
    for port in [&away, &back] {
        let told = peer.all_ends(port)?;
        check(told.is_empty(), "nothing about a port that it has not asked about since it is back", json!(told))?;
    }
    Ok(())
}

fn forgets_own(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|_| {})?;
    let (mut peer, mut observer) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let node = peer.node().to_owned();
    let is_mine = |arguments: &[Json]| arguments.first().is_some_and(|port| port == "mine");
    let (first, second) = (unique("watch")?, unique("watch")?);
    observer.control(&json!(["watch", first, peer.port("mine"), observer.port("fired")]))?;
    peer.request("mon1", is_mine)?;
    drop(peer);
    lost(&mut observer, &first, &node).breaks("MON-8")?;
    let mut back = t.up_again(&subject, &node)?;
    back.send(&json!(["", "kil0", "mine", "x"]))?;
    back.settle()?;
    observer.nothing_for("fired")?;
    let asked = back.take(|message| message.tag() == "mon1");
    check(asked.is_empty(), "no mon1 for watches that have fired", asked.len())?;
    observer.control(&json!(["watch", second, back.port("mine"), observer.port("fired")]))?;
    back.request("mon1", is_mine).breaks("MON-6")?;
    back.send(&json!(["", "kil0", "mine", "ended"]))?;
    observer.expect("fired", &json!([second, "ended"])).breaks("MON-4")?;
    observer.nothing_for("fired")
}

/// How long these nodes search, which is far less than the suite waits.
const CONNECTING: Duration = Duration::from_millis(400);

fn unreachable(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = CONNECTING)?;
    let mut observer = t.up_at(&subject)?;
    let nobody = unique("nobody")?;
    let names = [unique("port")?, unique("other")?, unique("node")?];
    for (name, port) in names.iter().zip([format!("{nobody}#port"), format!("{nobody}#other"), nobody.clone()]) {
        observer.control(&json!(["watch", name, port, observer.port("fired")]))?;
    }
    for name in &names {
        lost(&mut observer, name, &nobody)?;
    }
    observer.nothing_for("fired").breaks("MON-7")?;
    // Once more, now that it knows of that node.
    let again = unique("again")?;
    observer.control(&json!(["watch", again, format!("{nobody}#port"), observer.port("fired")]))?;
    lost(&mut observer, &again, &nobody)
}

fn given_up_unreachable(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = CONNECTING)?;
    let mut observer = t.up_at(&subject)?;
    let nobody = unique("nobody")?;
    let (first, second) = (unique("first")?, unique("second")?);
    for name in [&first, &second] {
        observer.control(&json!(["watch", name, format!("{nobody}#port"), observer.port("fired")]))?;
    }
    observer.control(&json!(["unwatch", first]))?;
    observer.settle()?;
    let fires = |message: &crate::peer::Message| message.port() == "fired";
    if observer.take(fires).iter().any(|message| message.tag() == first) {
        // The node gives up at once; so it was too late.
        return Ok(());
    }
    lost(&mut observer, &second, &nobody).breaks("MON-10")?;
    observer.nothing_for("fired")
}
