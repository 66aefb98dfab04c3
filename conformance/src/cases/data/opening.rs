//! The node opens data connections, because the suite has asked it to.

use std::time::Duration;

use serde_json::json;

use super::{
    CONNECT, MIRROR, SOURCE, WAITS, comes, dial, ends, expected, failed, finishes, mirrors, nothing_failed, of_source,
    reads, refused, seeded, seeding,
};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::{Dataconn, Listen};
use crate::test::{Listener, Test, unique};

pub(super) const CASES: &[Case] = &[
    seeding(
        "data/opens",
        &["DATA-22", "DATA-1", "GREET-22", "DATA-12", "DATA-26"],
        "A node that is told to open a data connection opens it, with its ID, to a side that greets as `aemp`.",
        opens,
    )
    .in_each_framing(),
    seeding(
        "data/opens-for-the-source",
        &["DATA-5", "DATA-22"],
        "An opener sends no octet of the stream before it has verified the acceptor's authentication line.",
        opens_for_the_source,
    ),
    seeding(
        "data/behind-the-acceptors-line",
        &["DATA-4"],
        "What comes in one piece with the acceptor's authentication line is the beginning of the stream.",
        behind_the_line,
    ),
    seeding(
        "data/opens-once",
        &["DATA-22", "DATA-17"],
        "To be told again to open a data connection changes nothing, before and after it stands.",
        opens_once,
    ),
    seeding(
        "data/opens-nothing-else",
        &["DATA-22"],
        "A node opens no data connection that it does not expect, nor to another node, nor one that another node has asked for.",
        opens_nothing_else,
    ),
    seeding(
        "data/another-node-answers",
        &["DATA-24"],
        "An opener closes when another node answers than the one that it wants.",
        another_node_answers,
    ),
    seeding(
        "data/acceptor-without-secret",
        &["DATA-5", "DATA-23"],
        "An opener sends nothing to an acceptor that does not know the secret, and ends the port that waits.",
        acceptor_without_secret,
    ),
    seeding(
        "data/address-is-gone",
        &["DATA-23", "DATA-8"],
        "Who cannot open a data connection where the node was reached before ends the port that waits.",
        address_is_gone,
    ),
    seeding(
        "data/opens-or-accepts",
        &["DATA-17"],
        "While a node opens a data connection, it may accept it as well, and takes one of the two.",
        opens_or_accepts,
    )
    .needs(&[Dataconn, Listen]),
];

/// Has the node open a data connection; its greeting has been read.
fn opening(t: &mut Test<'_>, listener: &Listener, peer: &mut Peer, id: &str) -> Step<Peer> {
    peer.send(&json!(["", CONNECT, id, peer.node()]))?;
    let mut stream = comes(t, listener, id).breaks("DATA-22")?;
    stream.greets.node = peer.node().into();
    Ok(stream)
}

fn opens(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut stream = opening(t, &listener, &mut peer, &id)?;
    let (own, greeted) = (peer.subject()?, stream.subject()?);
    check(own == greeted, format!("the node {own}"), greeted)?;
    stream.handshake().breaks("GREET-22")?;
    mirrors(&mut stream, b"to the mirror")?;
    finishes(&mut stream)?;
    nothing_failed(&mut peer)?;
    peer.probe()
}

fn opens_for_the_source(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let id = expected(&mut peer, SOURCE, &[json!(10)])?;
    let mut stream = opening(t, &listener, &mut peer, &id)?;
    stream.greet();
    stream.read_authentication()?;
    peer.settle()?;
    stream.hears_within(Duration::from_millis(20))?;
    let early = stream.unread().len();
    check(early == 0, "no octet of the stream", format!("{early} octets")).breaks("DATA-5")?;
    stream.authenticate()?;
    reads(&mut stream, &of_source(10))?;
    ends(&mut stream)
}

fn behind_the_line(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut stream = opening(t, &listener, &mut peer, &id)?;
    stream.greet();
    let line = stream.authentication()? + "\nat once";
    stream.send_octets(line.as_bytes(), "authentication line, and octets of the stream");
    stream.read_authentication()?;
    reads(&mut stream, b"at once")?;
    mirrors(&mut stream, b", and later")?;
    finishes(&mut stream)
}

/// Nothing else is opened.
fn no_other(t: &mut Test<'_>, listener: &Listener, peer: &mut Peer) -> Step {
    nothing_failed(peer)?;
    let other = t.accept_within(listener, Duration::from_millis(50))?;
    check(other.is_none(), "no further connection", "one more")
}

fn opens_once(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    let again = json!(["", CONNECT, id, peer.node()]);
    let mut stream = opening(t, &listener, &mut peer, &id)?;
    peer.send(&again)?;
    no_other(t, &listener, &mut peer)?;
    stream.handshake()?;
    mirrors(&mut stream, b"octets")?;
    peer.send(&again)?;
    no_other(t, &listener, &mut peer)?;
    finishes(&mut stream)?;
    drop(stream);
    peer.send(&again)?;
    no_other(t, &listener, &mut peer)
}

fn opens_nothing_else(t: &mut Test<'_>) -> Step {
    let (listener, elsewhere) = (t.listener()?, t.listener()?);
    t.start(|start| start.seeds = [&listener, &elsewhere].map(|listener| listener.address.to_string()).into())?;
    let (mut peer, mut other) = (t.accept(&listener)?, t.accept(&elsewhere)?);
    peer.handshake()?;
    other.handshake()?;
    let id = expected(&mut peer, MIRROR, &[])?;
    let own = peer.subject()?;
    let (node, others) = (peer.node().to_owned(), other.node().to_owned());
    peer.send(&json!(["", CONNECT, unique("id")?, node]))?;
    for node in [&others, &own, "", &unique("nobody")?] {
        peer.send(&json!(["", CONNECT, id, node]))?;
        peer.settle()?;
    }
    for node in [&node, &others] {
        other.send(&json!(["", CONNECT, id, node]))?;
        other.settle()?;
    }
    no_other(t, &elsewhere, &mut other)?;
    no_other(t, &listener, &mut peer)?;
    // What was expected is expected still.
    let mut stream = opening(t, &listener, &mut peer, &id)?;
    stream.handshake()?;
    mirrors(&mut stream, b"octets")
}

fn another_node_answers(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let id = expected(&mut peer, SOURCE, &[json!(10)])?;
    let mut stream = opening(t, &listener, &mut peer, &id)?;
    stream.greets.node = unique("other")?;
    stream.greet();
    closes_without_stream(&mut stream).breaks("DATA-24")?;
    failed(&mut peer, WAITS).breaks("DATA-23")
}

/// The node closes, having said no more than its authentication line.
fn closes_without_stream(stream: &mut Peer) -> Step {
    let ended = stream.ended()?;
    check(ended.is_some(), "the end of the connection", "it stands")?;
    let lines = stream.unread().iter().filter(|octet| **octet == b'\n').count();
    let right = stream.unread().is_empty() || lines == 1 && stream.unread().ends_with(b"\n");
    let actual = String::from_utf8_lossy(stream.unread()).into_owned();
    check(right, "the authentication line at most, and the end", actual)
}

fn acceptor_without_secret(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let id = expected(&mut peer, SOURCE, &[json!(10)])?;
    let mut stream = opening(t, &listener, &mut peer, &id)?;
    stream.greet();
    stream.secret = Some(b"another secret".to_vec());
    stream.authenticate()?;
    closes_without_stream(&mut stream).breaks("DATA-5")?;
    failed(&mut peer, WAITS)
}

fn address_is_gone(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    drop(listener);
    let id = expected(&mut peer, MIRROR, &[])?;
    peer.send(&json!(["", CONNECT, id, peer.node()]))?;
    failed(&mut peer, WAITS)?;
    peer.probe()
}

fn opens_or_accepts(t: &mut Test<'_>) -> Step {
    let listener = t.listener()?;
    let subject = t.start(|start| start.seeds = vec![listener.address.to_string()])?;
    let mut peer = t.accept(&listener)?;
    peer.handshake()?;
    let node = peer.node().to_owned();
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut theirs = opening(t, &listener, &mut peer, &id)?;
    let mut ours = dial(t, &subject, &node, &id)?;
    match ours.handshake() {
        Ok(()) => {
            mirrors(&mut ours, b"octets")?;
            peer.settle()?;
            theirs.greet();
            theirs.authenticate()?;
            closes_without_stream(&mut theirs).breaks("DATA-17")
        }
        // It may have made up its mind when it began to open the connection.
        Err(Failure::Wrong { .. }) => {
            theirs.handshake()?;
            mirrors(&mut theirs, b"octets")?;
            peer.settle()?;
            refused(t, &subject, &node, &id).breaks("DATA-17")
        }
        Err(failure) => Err(failure),
    }
}
