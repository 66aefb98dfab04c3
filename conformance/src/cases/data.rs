//! Chapter 10: data connections.

mod asking;
mod failing;
mod opening;
mod secured;
mod streams;
mod taking;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::attempt::hears_out;
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Ending, Peer};
use crate::subject::Feature::{Dataconn, Listen};
use crate::subject::Level::Node;
use crate::subject::Subject;
use crate::test::{Listener, Test, unique};

/// The cases of this chapter.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    [taking::CASES, streams::CASES, failing::CASES, opening::CASES, asking::CASES, secured::CASES].into_iter().flatten()
}

/// A case in which the node under test listens.
const fn listening(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Test<'_>) -> Step,
) -> Case {
    Case::new(name, proves, about, run).level(Node).once().needs(&[Dataconn, Listen])
}

/// A case with a node of its own, which has opened the connection.
const fn seeding(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Test<'_>) -> Step,
) -> Case {
    Case::new(name, proves, about, run).level(Node).once().alone().needs(&[Dataconn])
}

const EXPECT: &str = "AnyEvent::MP::DataConn::_expect";
const CONNECT: &str = "AnyEvent::MP::DataConn::_connect";

const MIRROR: &str = "conformance::mirror";
const SOURCE: &str = "conformance::source";

/// Longer than any case, in seconds.
const LONG: f64 = 60.0;

/// The port of the suite that ends when there is no data connection.
const WAITS: &str = "waits";

/// A node that listens, and a connection to it.
fn met(t: &mut Test<'_>) -> Step<(Arc<Subject>, Peer)> {
    let subject = t.subject(|_| {})?;
    let peer = t.up_at(&subject)?;
    Ok((subject, peer))
}

/// A connection that a node has opened, and where it can reach the suite.
fn seeded(t: &mut Test<'_>) -> Step<(Listener, Peer)> {
    let listener = t.listener()?;
    t.start(|start| {
        start.seeds = vec![listener.address.to_string()];
        // What the node closes, it does not close because it has waited for too long.
        start.timeouts.connect = Duration::from_secs_f64(LONG);
    })?;
    let mut peer = t.accept(&listener)?;
    peer.handshake()?;
    Ok((listener, peer))
}

/// Asks for a data connection of this ID.
fn asks(peer: &mut Peer, id: &str, time: impl Into<Json>, function: &str, values: &[Json]) -> Step {
    let mut packet = vec![json!(""), json!(EXPECT), json!(id), json!(peer.port(WAITS)), time.into(), json!(function)];
    packet.extend_from_slice(values);
    peer.send(&packet.into())
}

/// Asks for a data connection, and waits until the node knows of it: the ID.
fn expected(peer: &mut Peer, function: &str, values: &[Json]) -> Step<String> {
    let id = unique("id")?;
    asks(peer, &id, LONG, function, values)?;
    peer.settle()?;
    Ok(id)
}

/// The node has ended this side's port, as there will be no data connection.
fn failed(peer: &mut Peer, port: &str) -> Step {
    let told = peer.request("kil1", |arguments| arguments.first().is_some_and(|ended| ended == port))?;
    is_failure(&told[1..]).breaks("DATA-8")
}

/// These are the reasons for which a port ends, as there will be no data connection.
fn is_failure(reasons: &[Json]) -> Step {
    let right = matches!(reasons, [kind, text] if kind == "AnyEvent::MP::DataConn" && (text.is_string() || text.is_null()));
    check(right, "the reasons \"AnyEvent::MP::DataConn\" and a text, or null", json!(reasons))
}

/// The node has not ended any port of this side.
fn nothing_failed(peer: &mut Peer) -> Step {
    peer.settle()?;
    let told = peer.take(|message| message.port().is_empty() && message.tag() == "kil1");
    let told: Vec<_> = told.iter().map(crate::peer::Message::shown).collect();
    check(told.is_empty(), "no port of the suite to be ended", told.join(" "))
}

/// A data connection that is to be opened as this node. Nothing is sent yet.
fn dial(t: &mut Test<'_>, subject: &Subject, node: &str, id: &str) -> Step<Peer> {
    let mut peer = t.dial(subject)?;
    as_opener(&mut peer, node, id);
    Ok(peer)
}

fn as_opener(peer: &mut Peer, node: &str, id: &str) {
    peer.greets.protocol = "aemp-dataconn".into();
    peer.greets.node = node.into();
    let escaped = id.replace('%', "%25").replace(';', "%3b");
    peer.greets.keys.push(format!("dataconn_id={escaped}"));
}

/// A data connection, opened as this node, that stands.
fn opened(t: &mut Test<'_>, subject: &Subject, node: &str, id: &str) -> Step<Peer> {
    let mut stream = dial(t, subject, node, id)?;
    stream.handshake().breaks("DATA-12")?;
    Ok(stream)
}

/// A data connection that the node must close behind the suite's authentication line; all that it may say is its own one.
fn closed(mut stream: Peer) -> Step {
    if stream.greeting.is_none() {
        stream.read_greeting()?;
    }
    stream.greet();
    stream.authenticate()?;
    hears_out(&mut stream)?;
    stream.expect_end()
}

/// A data connection of this ID, as this node, is refused.
fn refused(t: &mut Test<'_>, subject: &Subject, node: &str, id: &str) -> Step {
    let stream = dial(t, subject, node, id)?;
    closed(stream).breaks("DATA-3")
}

/// A connection that the node opens for the data connection of this ID. Its greeting has been read, nothing has been sent.
fn comes(t: &mut Test<'_>, listener: &Listener, id: &str) -> Step<Peer> {
    let came = t.accept_within(listener, t.patience)?;
    let what = format!("a connection to {}, where the suite was reached before", listener.address);
    let mut stream = came.ok_or_else(|| Failure::wrong(what, "none came"))?;
    let greeting = stream.read_greeting()?;
    let named = (greeting.protocol.to_string(), greeting.keys.get("dataconn_id").map(String::as_str));
    let right = named.0 == "aemp-dataconn" && named.1 == Some(id);
    check(right, format!("\"aemp-dataconn\", and dataconn_id={id}"), format!("{named:?}")).breaks("DATA-1")?;
    Ok(stream)
}

/// The other end has ended its direction, in order and without another octet.
fn ends(stream: &mut Peer) -> Step {
    let ended = stream.ended()?;
    let rest = stream.unread().len();
    let actual = format!("{ended:?}, with {rest} further octets");
    check(ended == Some(Ending::Closed) && rest == 0, "the end of the stream", actual).breaks("DATA-26")
}

/// Exactly these octets come next.
fn reads(stream: &mut Peer, expected: &[u8]) -> Step {
    let came = stream.read_octets(expected.len())?;
    let first = came.iter().zip(expected).position(|(came, expected)| came != expected);
    let actual = || match first {
        Some(at) => format!("{} octets, of which number {at} is another one", came.len()),
        None => format!("{} octets", came.len()),
    };
    if came == expected { Ok(()) } else { Err(Failure::wrong(format!("{} octets as sent", expected.len()), actual())) }
}

/// The mirror at the other end gives these octets back.
fn mirrors(stream: &mut Peer, octets: &[u8]) -> Step {
    stream.send_octets(octets, "octets of the stream");
    reads(stream, octets).breaks("DATA-12")
}

/// The octets that a source writes.
fn of_source(count: usize) -> Vec<u8> {
    (0..=250).cycle().take(count).collect()
}

/// What stands ends in order, whichever side is first.
fn finishes(stream: &mut Peer) -> Step {
    stream.end_direction();
    ends(stream)
}
