//! The node takes data connections that the suite asks for and opens.

use serde_json::json;

use super::super::attempt::hears_out;
use super::{
    LONG, MIRROR, SOURCE, asks, closed, dial, ends, expected, finishes, listening, met, mirrors, nothing_failed, of_source,
    opened, reads, refused,
};
use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::test::{Test, unique};

pub(super) const CASES: &[Case] = &[
    listening(
        "data/mirror",
        &["DATA-12", "DATA-26"],
        "A data connection that was asked for goes to the function, and ends in one direction after the other.",
        mirror,
    )
    .in_each_framing(),
    listening(
        "data/source",
        &["DATA-12", "DATA-26"],
        "The function is given the values; when it has written all, its direction ends, and the other one goes on.",
        source,
    )
    .in_each_framing(),
    listening("data/several", &["DATA-12"], "Each of several data connections of a node has its own stream.", several),
    listening(
        "data/two-nodes-one-id",
        &["DATA-12"],
        "Two nodes may ask for data connections of the same ID, which are two.",
        two_nodes_one_id,
    ),
    listening(
        "data/strange-ids",
        &["DATA-12", "GREET-15"],
        "An ID may be any text; it is written in the greeting as every value is.",
        strange_ids,
    ),
    listening("data/whole-seconds", &["DATA-12"], "The time to wait may be an integer or a float.", whole_seconds),
    listening(
        "data/wrong-ids",
        &["DATA-3"],
        "Who opens a data connection of an ID that is not expected is closed, and what is expected stays so.",
        wrong_ids,
    ),
    listening("data/no-id", &["DATA-3"], "Who opens a data connection without an ID is closed.", no_id),
    listening(
        "data/another-node",
        &["DATA-3"],
        "An ID is good for the node that has asked, and for no other one that knows it.",
        another_node,
    ),
    listening("data/once", &["DATA-17"], "An ID is good for one connection, whether that stands or has ended.", once),
    listening(
        "data/once-of-two",
        &["DATA-17"],
        "Of two connections of an ID that shake hands at the same time, one is taken.",
        once_of_two,
    ),
    listening(
        "data/wrong-secret",
        &["DATA-2"],
        "Who knows the ID and not the secret is closed, and what is expected stays so.",
        wrong_secret,
    ),
    listening(
        "data/nothing-before-the-line",
        &["DATA-5"],
        "No octet of the stream is sent before the opener's authentication line was there.",
        nothing_before_the_line,
    ),
];

fn mirror(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    let node = peer.node().to_owned();
    let mut stream = opened(t, &subject, &node, &id)?;
    mirrors(&mut stream, b"to the mirror")?;
    mirrors(&mut stream, b"\0 and \xff again\n")?;
    finishes(&mut stream)?;
    nothing_failed(&mut peer)
}

fn source(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let id = expected(&mut peer, SOURCE, &[json!(1000)])?;
    let node = peer.node().to_owned();
    let mut stream = opened(t, &subject, &node, &id)?;
    reads(&mut stream, &of_source(1000))?;
    ends(&mut stream)?;
    // It is read on: nothing of this is an error.
    stream.send_octets(b"something else", "octets of the stream");
    stream.end_direction();
    nothing_failed(&mut peer)
}

fn several(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let mut ids = Vec::new();
    for count in [10, 20, 30] {
        ids.push((count, expected(&mut peer, SOURCE, &[json!(count)])?));
    }
    let mut streams = Vec::new();
    for (count, id) in ids.into_iter().rev() {
        streams.push((count, opened(t, &subject, &node, &id)?));
    }
    for (count, stream) in &mut streams {
        reads(stream, &of_source(*count))?;
        ends(stream)?;
    }
    Ok(())
}

fn two_nodes_one_id(t: &mut Test<'_>) -> Step {
    let (subject, mut first) = met(t)?;
    let mut second = t.up_at(&subject)?;
    let id = expected(&mut first, SOURCE, &[json!(10)])?;
    asks(&mut second, &id, LONG, SOURCE, &[json!(20)])?;
    nothing_failed(&mut second)?;
    for (peer, count) in [(&second, 20), (&first, 10)] {
        let mut stream = opened(t, &subject, peer.node(), &id)?;
        reads(&mut stream, &of_source(count))?;
        ends(&mut stream)?;
    }
    Ok(())
}

fn strange_ids(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    for id in ["a;b%3bc%", "b@node/1#2", "ä €", "k=v", "1"] {
        asks(&mut peer, id, LONG, MIRROR, &[])?;
        nothing_failed(&mut peer)?;
        let mut stream = opened(t, &subject, &node, id)?;
        mirrors(&mut stream, id.as_bytes())?;
        finishes(&mut stream)?;
    }
    Ok(())
}

fn whole_seconds(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    for time in [json!(60), json!(60.5)] {
        let id = unique("id")?;
        asks(&mut peer, &id, time, MIRROR, &[])?;
        nothing_failed(&mut peer)?;
        let mut stream = opened(t, &subject, &node, &id)?;
        mirrors(&mut stream, b"octets")?;
        finishes(&mut stream)?;
    }
    Ok(())
}

fn wrong_ids(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let id = expected(&mut peer, MIRROR, &[])?;
    for wrong in [String::new(), id[..id.len() - 1].into(), format!("{id}0"), id.to_uppercase(), unique("id")?] {
        refused(t, &subject, &node, &wrong)?;
    }
    mirrors(&mut opened(t, &subject, &node, &id)?, b"octets")?;
    nothing_failed(&mut peer)
}

fn no_id(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let id = expected(&mut peer, MIRROR, &[])?;
    for key in [String::new(), "dataconn_id".into(), format!("id={id}"), format!("dataconn_ID={id}")] {
        let mut stream = dial(t, &subject, &node, &id)?;
        stream.greets.keys.pop();
        stream.greets.keys.extend(Some(key).filter(|key| !key.is_empty()));
        closed(stream)?;
    }
    mirrors(&mut opened(t, &subject, &node, &id)?, b"octets")?;
    nothing_failed(&mut peer)
}

fn another_node(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let other = t.up_at(&subject)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    refused(t, &subject, other.node(), &id)?;
    refused(t, &subject, &unique("stranger")?, &id)?;
    let node = peer.node().to_owned();
    mirrors(&mut opened(t, &subject, &node, &id)?, b"octets")?;
    nothing_failed(&mut peer)
}

fn once(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut stream = opened(t, &subject, &node, &id)?;
    mirrors(&mut stream, b"octets")?;
    peer.settle()?;
    refused(t, &subject, &node, &id).breaks("DATA-17")?;
    mirrors(&mut stream, b"more octets")?;
    finishes(&mut stream)?;
    drop(stream);
    peer.settle()?;
    refused(t, &subject, &node, &id).breaks("DATA-17")?;
    nothing_failed(&mut peer)
}

fn once_of_two(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut streams = [dial(t, &subject, &node, &id)?, dial(t, &subject, &node, &id)?];
    for stream in &mut streams {
        stream.greet();
        stream.read_greeting()?;
    }
    let [mut first, second] = streams;
    first.authenticate()?;
    first.read_authentication()?;
    mirrors(&mut first, b"octets")?;
    peer.settle()?;
    closed_later(second)?;
    mirrors(&mut first, b"more octets")
}

/// The same as [`closed`], where both sides have greeted already.
fn closed_later(mut stream: crate::peer::Peer) -> Step {
    stream.authenticate()?;
    hears_out(&mut stream)?;
    stream.expect_end().breaks("DATA-17")
}

fn wrong_secret(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut stream = dial(t, &subject, &node, &id)?;
    stream.secret = Some(b"another secret".to_vec());
    closed(stream)?;
    let mut stream = dial(t, &subject, &node, &id)?;
    stream.greet();
    stream.read_greeting()?;
    stream
        .send_octets(b"octets of a stream, and no authentication line\n", "octets in the place of the authentication line");
    stream.expect_end()?;
    mirrors(&mut opened(t, &subject, &node, &id)?, b"octets")?;
    nothing_failed(&mut peer)
}

fn nothing_before_the_line(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = met(t)?;
    let node = peer.node().to_owned();
    let id = expected(&mut peer, SOURCE, &[json!(10)])?;
    let mut stream = dial(t, &subject, &node, &id)?;
    stream.greet();
    stream.read_greeting()?;
    peer.settle()?;
    // It may send its own authentication line already [AUTH-4].
    stream.hears_within(QUIET)?;
    let own_line = stream.unread().contains(&b'\n');
    if own_line {
        stream.read_authentication()?;
    }
    let early = stream.unread().len();
    check(early == 0, "no octet of the stream", format!("{early} octets")).breaks("DATA-5")?;
    stream.authenticate()?;
    if !own_line {
        stream.read_authentication()?;
    }
    reads(&mut stream, &of_source(10))?;
    ends(&mut stream)
}

/// How long to listen for what must not come, where nothing can be asked behind it.
const QUIET: std::time::Duration = std::time::Duration::from_millis(20);
