//! Streams that stand, beside the connection of the two nodes.

use serde_json::json;

use super::{
    MIRROR, SOURCE, dial, ends, expected, finishes, listening, met, mirrors, nothing_failed, of_source, opened, reads,
};
use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::Peer;
use crate::subject::Subject;
use crate::test::{Test, unique};

pub(super) const CASES: &[Case] = &[
    listening(
        "data/behind-the-line",
        &["DATA-4"],
        "What comes in one piece with the opener's authentication line is the beginning of the stream.",
        behind_the_line,
    ),
    listening(
        "data/large-mirror",
        &["DATA-4", "DATA-12", "DATA-26"],
        "A mebibyte goes to the node and comes back unchanged.",
        large_mirror,
    ),
    listening("data/large-source", &["DATA-12", "DATA-26"], "A mebibyte comes unchanged, and then the end.", large_source),
    listening("data/nothing", &["DATA-12", "DATA-26"], "A stream may be empty in both directions.", nothing),
    listening(
        "data/no-packets",
        &["DATA-6"],
        "Octets of a stream that look like packets do nothing, and what is malformed as packets is as good.",
        no_packets,
    ),
    listening(
        "data/no-connection-of-the-node",
        &["DATA-6"],
        "A data connection does not take the place of the connection of the two nodes, and messages take that.",
        no_connection_of_the_node,
    ),
    listening(
        "data/outlives-the-connection",
        &["DATA-9", "DATA-6"],
        "When the connection of the two nodes is lost, the node is lost, and the data connection stays.",
        outlives_the_connection,
    ),
    listening(
        "data/ends-alone",
        &["DATA-9"],
        "When a data connection ends or is reset, the connection of the two nodes and other data connections stay.",
        ends_alone,
    ),
];

/// A data connection to the mirror that stands, as this peer.
fn mirror(t: &mut Test<'_>, subject: &Subject, peer: &mut Peer) -> Step<Peer> {
    let id = expected(peer, MIRROR, &[])?;
    opened(t, subject, peer.node(), &id)
}

fn behind_the_line(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut stream = dial(t, &subject, peer.node(), &id)?;
    stream.greet();
    stream.read_greeting()?;
    let line = stream.authentication()? + "\nat once";
    stream.send_octets(line.as_bytes(), "authentication line, and octets of the stream");
    stream.read_authentication()?;
    reads(&mut stream, b"at once")?;
    mirrors(&mut stream, b", and later")?;
    finishes(&mut stream)
}

/// Octets of a large stream.
const LARGE: usize = 1 << 20;

fn large_mirror(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let mut stream = mirror(t, &subject, &mut peer)?;
    let octets: Vec<u8> = (0..LARGE).map(|number| (number * number / 7 % 256) as u8).collect();
    stream.send_meanwhile(octets.clone(), "a mebibyte, and the end")?;
    reads(&mut stream, &octets)?;
    ends(&mut stream)
}

fn large_source(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let id = expected(&mut peer, SOURCE, &[json!(LARGE)])?;
    let mut stream = opened(t, &subject, peer.node(), &id)?;
    reads(&mut stream, &of_source(LARGE))?;
    ends(&mut stream)
}

fn nothing(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    finishes(&mut mirror(t, &subject, &mut peer)?)?;
    let id = expected(&mut peer, SOURCE, &[json!(0)])?;
    ends(&mut opened(t, &subject, peer.node(), &id)?)?;
    nothing_failed(&mut peer)
}

fn no_packets(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "mon1", port]))?;
    let mut stream = mirror(t, &subject, &mut peer)?;
    for packet in [
        json!([]),
        json!(["", "kil1", port, "ended"]),
        json!(["", "snd", peer.port("came"), "x"]),
        json!(["echo", "x", peer.port("came")]),
    ] {
        let octets = peer.encode(&packet)?;
        mirrors(&mut stream, &octets).breaks("DATA-6")?;
    }
    mirrors(&mut stream, b"[\"echo\", ]\n\0\0\xff\xff").breaks("DATA-6")?;
    peer.nothing_for("came")?;
    let told = peer.all_ends(&port)?;
    check(told.is_empty(), "the port to go on", json!(told))?;
    finishes(&mut stream)
}

fn no_connection_of_the_node(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let mut stream = mirror(t, &subject, &mut peer)?;
    peer.probe()?;
    peer.control(&json!(["flood", peer.port("came"), 100, 10]))?;
    let came = peer.all_messages("came")?;
    check(came.len() == 100, "100 messages", came.len())?;
    mirrors(&mut stream, b"octets").breaks("DATA-6")?;
    let unread = stream.unread().len();
    check(unread == 0, "nothing else over the data connection", format!("{unread} octets"))
}

/// Has the node tell when it has lost that one: the name of the watch.
fn watched(observer: &mut Peer, node: &str) -> Step<String> {
    let name = unique("lost")?;
    observer.control(&json!(["watch", name, node, observer.port("lost")]))?;
    observer.settle()?;
    Ok(name)
}

fn outlives_the_connection(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let mut observer = t.up_at(&subject)?;
    let mut stream = mirror(t, &subject, &mut peer)?;
    mirrors(&mut stream, b"octets")?;
    let lost = watched(&mut observer, peer.node())?;
    drop(peer);
    observer.find("the watch on the node that is lost", |message| message.tag() == lost).breaks("DATA-6")?;
    observer.settle()?;
    mirrors(&mut stream, b"more octets").breaks("DATA-9")?;
    finishes(&mut stream)
}

fn ends_alone(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let mut observer = t.up_at(&subject)?;
    watched(&mut observer, peer.node())?;
    let mut stays = mirror(t, &subject, &mut peer)?;
    let mut ends = mirror(t, &subject, &mut peer)?;
    let mut breaks = mirror(t, &subject, &mut peer)?;
    mirrors(&mut breaks, b"octets")?;
    finishes(&mut ends)?;
    drop(ends);
    breaks.reset()?;
    peer.settle()?;
    mirrors(&mut stays, b"octets").breaks("DATA-9")?;
    peer.settle()?;
    nothing_failed(&mut peer)?;
    observer.nothing_for("lost")
}
