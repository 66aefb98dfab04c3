//! The node asks for data connections, because the suite has told it to (`CONTRACT.md`).

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{CONNECT, EXPECT, comes, dial, is_failure, met, refused, seeded, seeding};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Ending, Peer, to_port};
use crate::subject::Feature::{Dataconn, Listen};
use crate::subject::Level::Node;
use crate::test::{Listener, Test, unique};

pub(super) const CASES: &[Case] = &[
    seeding(
        "data/asks-and-opens",
        &["DATA-1", "DATA-20", "DATA-21", "GREET-22", "DATA-26"],
        "A node asks, waits for the echo, opens the data connection, ends its direction and reads to the end of the other.",
        asks_and_opens,
    )
    .in_each_framing(),
    listening_asker(
        "data/asks-to-be-reached",
        &["DATA-20", "DATA-21", "DATA-3"],
        "A node that cannot reach the other one, and listens, has that open the data connection, and takes it from nobody else.",
        asks_to_be_reached,
    )
    .in_each_framing(),
    listening_asker(
        "data/asks-with-new-ids",
        &["DATA-10", "DATA-11", "DATA-28"],
        "The IDs that a node chooses are long, but not too long, and have nothing in common.",
        asks_with_new_ids,
    ),
    listening_asker(
        "data/is-refused",
        &["DATA-3"],
        "When the other node ends the port that waits, the program is told why, and the ID is good for nothing.",
        is_refused,
    ),
    seeding(
        "data/early-stream-for-the-asker",
        &["DATA-4"],
        "What comes in one piece with the acceptor's authentication line reaches the program that has asked.",
        early_stream,
    ),
    seeding(
        "data/reset-is-no-end",
        &["DATA-7"],
        "A program is told that a stream was reset, and not that it has ended.",
        reset_is_no_end,
    ),
    seeding(
        "data/asked-of-another-node",
        &["DATA-24"],
        "A node that has asked closes when another node answers at the address of the one that it wants.",
        another_node_answers,
    ),
    seeding(
        "data/neither-can-reach-the-other",
        &["DATA-25", "DATA-8"],
        "Where neither node can reach the other one, the program is told at once.",
        neither,
    ),
    seeding(
        "data/asked-and-lost",
        &["DATA-9"],
        "A data connection that the node has asked for goes on when the connection of the two nodes is lost.",
        asked_and_lost,
    ),
];

const fn listening_asker(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Test<'_>) -> Step,
) -> Case {
    Case::new(name, proves, about, run).level(Node).once().needs(&[Dataconn, Listen])
}

/// The function for which the node asks, and what it is to be given.
const FUNCTION: &str = "Suite::function";

/// Octets that an ID, and the name of a port, should have at most.
const LONGEST: usize = 256;

/// What the node has asked for.
struct Asked {
    id: String,
    /// What comes back.
    echo: Json,
}

/// Has the node ask this peer for a data connection. The echo has been asked for, and not been answered.
fn told_to_ask(peer: &mut Peer, values: &[Json]) -> Step<Asked> {
    let mut verb = vec![json!("data_connect"), json!(peer.node()), json!(FUNCTION), json!(peer.port("became"))];
    verb.extend_from_slice(values);
    peer.control(&verb.into())?;
    let request = peer.request(EXPECT, |_| true)?;
    let own = peer.subject()?;
    let [Json::String(id), Json::String(port), time, function, given @ ..] = &request[..] else {
        return Err(Failure::wrong("an ID, a port, a time, a function and values", json!(request)));
    };
    let (node, name) = port.split_once('#').unwrap_or((port, ""));
    let time = time.as_f64().or_else(|| time.as_str()?.parse().ok());
    let right =
        node == own && !name.is_empty() && time.is_some_and(|time| time > 0.0) && function == FUNCTION && given == values;
    check(right, format!("an ID, a port of {own}, a time, {FUNCTION:?} and {}", json!(values)), json!(request))?;
    // Its sign of life would be another one.
    let echo = peer.request("snd", |arguments| {
        arguments.first().and_then(Json::as_str).is_some_and(|to| to.starts_with(&format!("{own}#")))
    });
    let echo = echo.breaks("DATA-20")?;
    let to = echo[0].as_str().and_then(|to| to.split_once('#')).map_or("", |(_, name)| name);
    Ok(Asked { id: id.clone(), echo: to_port(to, &json!(echo[1..])) })
}

/// Until the echo is back, nothing is opened, nor asked to be opened.
fn waits_for_the_echo(t: &mut Test<'_>, listener: Option<&Listener>, peer: &mut Peer) -> Step {
    peer.settle()?;
    let asked = peer.take(|message| message.tag() == CONNECT).len();
    check(asked == 0, "no _connect before the echo", "one").breaks("DATA-20")?;
    if let Some(listener) = listener {
        let came = t.accept_within(listener, Duration::from_millis(50))?;
        check(came.is_none(), "no connection before the echo", "one").breaks("DATA-20")?;
    }
    Ok(())
}

/// The data connection that the node opens, with this node's greeting not yet sent.
fn opened_for(t: &mut Test<'_>, listener: &Listener, peer: &mut Peer, asked: &Asked) -> Step<Peer> {
    peer.send(&asked.echo)?;
    let mut stream = comes(t, listener, &asked.id).breaks("DATA-21")?;
    stream.greets.node = peer.node().into();
    Ok(stream)
}

/// The program's direction of the stream ends, before which it has written nothing.
fn ends_its_direction(stream: &mut Peer) -> Step {
    let ended = stream.ended()?;
    let right = ended == Some(Ending::Closed) && stream.unread().is_empty();
    check(right, "the end of a stream without an octet", format!("{ended:?}, {} octets", stream.unread().len()))
        .breaks("DATA-26")
}

/// The program has got so many octets, and the end.
fn became_open(peer: &mut Peer, octets: usize) -> Step {
    let became = peer.message("became")?;
    let right = became.len() == 2 && became[0] == "open" && [json!(octets), json!(octets.to_string())].contains(&became[1]);
    check(right, json!(["open", octets]), json!(became))
}

/// The program has been told that there is no data connection, or no end: the reasons.
fn became_failed(peer: &mut Peer) -> Step<Vec<Json>> {
    let became = peer.message("became")?;
    check(became.first().is_some_and(|what| what == "failed"), "[\"failed\", …]", json!(became))?;
    Ok(became[1..].to_vec())
}

fn asks_and_opens(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let asked = told_to_ask(&mut peer, &[json!("with"), json!(["values"])])?;
    waits_for_the_echo(t, Some(&listener), &mut peer)?;
    let mut stream = opened_for(t, &listener, &mut peer, &asked)?;
    stream.handshake().breaks("GREET-22")?;
    stream.send_octets(&[b'x'; 1000], "octets of the stream");
    ends_its_direction(&mut stream)?;
    stream.send_octets(&[b'y'; 234], "octets of the stream");
    stream.end_direction();
    became_open(&mut peer, 1234).breaks("DATA-26")
}

fn asks_to_be_reached(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = Duration::from_millis(400))?;
    let (mut peer, other) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let asked = told_to_ask(&mut peer, &[])?;
    waits_for_the_echo(t, None, &mut peer)?;
    peer.send(&asked.echo)?;
    let told = peer.request(CONNECT, |_| true).breaks("DATA-21")?;
    let own = peer.subject()?;
    check(told == [json!(asked.id), json!(own)], json!([asked.id, own]), json!(told)).breaks("DATA-21")?;
    refused(t, &subject, other.node(), &asked.id)?;
    refused(t, &subject, peer.node(), &unique("id")?)?;
    let mut stream = dial(t, &subject, peer.node(), &asked.id)?;
    stream.handshake().breaks("DATA-21")?;
    stream.send_octets(&[b'x'; 1000], "octets of the stream");
    ends_its_direction(&mut stream)?;
    stream.end_direction();
    became_open(&mut peer, 1000).breaks("DATA-21")?;
    refused(t, &subject, peer.node(), &asked.id).breaks("DATA-17")
}

fn asks_with_new_ids(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = met(t)?;
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..8 {
        let Asked { id, echo } = told_to_ask(&mut peer, &[])?;
        let port = echo[0].as_str().unwrap_or_default();
        let short = id.len() <= LONGEST && port.len() <= LONGEST;
        t.should("DATA-28", short, format!("an ID and a port of {LONGEST} octets at most"), format!("{id} and {port}"));
        check(id.len() >= 16, "an ID of 16 octets at least, which hold 128 bits", &id)?;
        t.should("DATA-11", !id.contains([';', '%']), "an ID without ; and %", &id);
        for other in &ids {
            // Of 16 octets that are chosen at random, 15 differ from others that are.
            let differ = id.bytes().zip(other.bytes()).filter(|(one, other)| one != other).count();
            check(differ >= 8, format!("another ID than {other}, with 128 bits of its own"), &id)?;
        }
        ids.push(id);
    }
    Ok(())
}

fn is_refused(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = Duration::from_millis(400))?;
    let mut peer = t.up_at(&subject)?;
    let asked = told_to_ask(&mut peer, &[])?;
    let port = asked.echo[0].as_str().unwrap_or_default().to_owned();
    peer.send(&json!(["", "kil1", port, "AnyEvent::MP::DataConn", "it will not do"]))?;
    let reasons = became_failed(&mut peer)?;
    let told = json!(reasons) == json!(["AnyEvent::MP::DataConn", "it will not do"]);
    check(told, "the reasons of the other node", json!(reasons))?;
    refused(t, &subject, peer.node(), &asked.id)
}

fn early_stream(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let asked = told_to_ask(&mut peer, &[])?;
    let mut stream = opened_for(t, &listener, &mut peer, &asked)?;
    stream.greet();
    let line = stream.authentication()? + "\nat once";
    stream.send_octets(line.as_bytes(), "authentication line, and octets of the stream");
    stream.end_direction();
    became_open(&mut peer, "at once".len())
}

fn reset_is_no_end(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let asked = told_to_ask(&mut peer, &[])?;
    let mut stream = opened_for(t, &listener, &mut peer, &asked)?;
    stream.handshake()?;
    stream.send_octets(&[b'x'; 1000], "octets of the stream");
    ends_its_direction(&mut stream)?;
    stream.reset()?;
    became_failed(&mut peer).map(drop)
}

fn another_node_answers(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let asked = told_to_ask(&mut peer, &[])?;
    let mut stream = opened_for(t, &listener, &mut peer, &asked)?;
    stream.greets.node = unique("other")?;
    stream.greet();
    let ended = stream.ended()?;
    check(ended.is_some(), "the end of the connection", "it stands")
}

fn neither(t: &mut Test<'_>) -> Step {
    let listener = t.listener()?;
    t.start(|start| {
        (start.listen, start.seeds) = (None, vec![listener.address.to_string()]);
        start.timeouts.connect = Duration::from_millis(400);
    })?;
    let mut peer = t.accept(&listener)?;
    peer.handshake()?;
    drop(listener);
    let asked = told_to_ask(&mut peer, &[])?;
    peer.send(&asked.echo)?;
    let reasons = became_failed(&mut peer)?;
    is_failure(&reasons).breaks("DATA-8")?;
    peer.settle()?;
    let told = peer.take(|message| message.tag() == CONNECT).len();
    check(told == 0, "no _connect, where nobody listens", "one")
}

fn asked_and_lost(t: &mut Test<'_>) -> Step {
    let (listener, mut peer) = seeded(t)?;
    let asked = told_to_ask(&mut peer, &[])?;
    let mut stream = opened_for(t, &listener, &mut peer, &asked)?;
    stream.handshake()?;
    ends_its_direction(&mut stream)?;
    stream.send_octets(&[b'x'; 1000], "octets of the stream");
    drop(peer);
    // It connects to its seed again, when it knows that the connection was lost.
    let mut again = t.accept(&listener)?;
    again.greets.node.clone_from(&stream.greets.node);
    again.handshake()?;
    stream.send_octets(&[b'y'; 234], "octets of the stream");
    stream.end_direction();
    became_open(&mut again, 1234)
}
