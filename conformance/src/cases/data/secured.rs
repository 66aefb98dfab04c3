//! Data connections under TLS.

use super::super::tls::{Network, network, requiring, secured};
use super::{CONNECT, MIRROR, as_opener, comes, expected, mirrors, nothing_failed};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Ending, Peer};
use crate::subject::Feature::{Dataconn, Listen, Tls};
use crate::subject::Level::Node;
use crate::test::Test;
use crate::tls::BOTH;
use crate::tls::Part::Client;

use serde_json::json;

pub(super) const CASES: &[Case] = &[
    tls(
        "data/tls",
        &["DATA-12", "DATA-26"],
        "A data connection under TLS ends in one direction after the other, each with a close_notify.",
        in_order,
    ),
    tls(
        "data/tls-is-required",
        &["DATA-2"],
        "Without TLS, a node that requires it takes no data connection from who knows the secret and the ID.",
        is_required,
    ),
    tls(
        "data/tls-cut-off",
        &["DATA-7", "DATA-27"],
        "An end without close_notify is an error for the program, which gives its own direction up without one, too.",
        cut_off,
    ),
    tls("data/tls-opens", &["DATA-22"], "A node opens a data connection with TLS where that is required.", opens),
];

const fn tls(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Test<'_>) -> Step,
) -> Case {
    Case::new(name, proves, about, run).level(Node).once().alone().needs(&[Dataconn, Listen, Tls])
}

/// The handshake with TLS.
fn secure(t: &Test<'_>, peer: &mut Peer) -> Step {
    let certificates = t.certificates()?;
    secured(peer, Client, Some(&certificates.shared), BOTH).map(drop)
}

/// A connection to a node that requires TLS, and a data connection to its mirror that stands.
fn mirror(t: &mut Test<'_>) -> Step<(Peer, Peer)> {
    let change = network(t.certificates()?, Network::Shared);
    let subject = t.subject(change)?;
    let mut peer = t.dial(&subject)?;
    secure(t, &mut peer)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut stream = t.dial(&subject)?;
    as_opener(&mut stream, peer.node(), &id);
    secure(t, &mut stream)?;
    mirrors(&mut stream, b"to the mirror")?;
    Ok((peer, stream))
}

fn in_order(t: &mut Test<'_>) -> Step {
    let (mut peer, mut stream) = mirror(t)?;
    stream.end_direction();
    let ended = stream.ended()?;
    let right = ended == Some(Ending::Closed) && stream.was_told_of_the_end() && stream.unread().is_empty();
    check(right, "a close_notify, and the end", format!("{ended:?}")).breaks("DATA-26")?;
    nothing_failed(&mut peer)
}

fn is_required(t: &mut Test<'_>) -> Step {
    let subject = requiring(t)?;
    let mut peer = t.dial(&subject)?;
    secure(t, &mut peer)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    let mut stream = t.dial(&subject)?;
    as_opener(&mut stream, peer.node(), &id);
    stream.read_greeting()?;
    stream.greet();
    if stream.authenticate().is_ok() {
        stream.send_octets(b"octets", "octets of the stream");
    }
    stream.expect_end()?;
    let mut stream = t.dial(&subject)?;
    as_opener(&mut stream, peer.node(), &id);
    secure(t, &mut stream)?;
    mirrors(&mut stream, b"octets")
}

fn cut_off(t: &mut Test<'_>) -> Step {
    let (mut peer, mut stream) = mirror(t)?;
    stream.cut_direction();
    let ended = stream.ended()?;
    check(ended.is_some(), "an end", "the stream goes on")?;
    check(!stream.was_told_of_the_end(), "an end without close_notify, or a reset", "close_notify")?;
    nothing_failed(&mut peer)
}

fn opens(t: &mut Test<'_>) -> Step {
    let listener = t.listener()?;
    let change = network(t.certificates()?, Network::Shared);
    t.start(|start| {
        change(start);
        start.seeds = vec![listener.address.to_string()];
    })?;
    let mut peer = t.accept(&listener)?;
    secure(t, &mut peer)?;
    let id = expected(&mut peer, MIRROR, &[])?;
    peer.send(&json!(["", CONNECT, id, peer.node()]))?;
    let mut stream = comes(t, &listener, &id).breaks("DATA-22")?;
    stream.greets.node = peer.node().into();
    let asks = stream.greeting.as_ref().is_some_and(|greeting| greeting.keys.contains_key("tls"));
    check(asks, "the key tls", "none").breaks("TLS-1")?;
    secure(t, &mut stream)?;
    mirrors(&mut stream, b"octets")?;
    if stream.unread().is_empty() { Ok(()) } else { Err(Failure::wrong("nothing else", "more octets")) }
}
