//! Chapter 5, section 5.1: all framings.

use std::time::{Duration, Instant};

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;
use serde_json::json;

use super::echo::{Question, comes_back, refuses};
use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::Listen;
use crate::subject::Level::{Node, Simple};
use crate::test::{Test, unique};

/// The cases of all framings.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "framing/octet-by-octet",
        &["FRAME-6"],
        "A packet that arrives octet by octet is read as if it had come at once.",
        octet_by_octet,
    )
    .level(Simple)
    .in_each_framing()
    .stays(),
    Case::new(
        "framing/several-at-once",
        &["FRAME-6"],
        "Packets that arrive together, the last one in part, are all read.",
        several_at_once,
    )
    .level(Simple)
    .in_each_framing()
    .stays(),
    Case::new(
        "framing/cut-anywhere",
        &["FRAME-6"],
        "A packet may be cut anywhere, also in the middle of a character.",
        cut_anywhere,
    )
    .in_each_framing()
    .stays(),
    Case::new(
        "framing/behind-the-authentication-line",
        &["AUTH-11", "CONN-7", "FRAME-6"],
        "Packets that arrive together with the authentication line are read when it has been verified.",
        behind_the_authentication_line,
    )
    .needs(&[Listen])
    .in_each_framing()
    .stays(),
    Case::new(
        "framing/nothing-of-a-malformed-packet",
        &["FRAME-3", "FRAME-4", "ERR-1"],
        "Nothing of a packet is delivered when its end is malformed; the connection is closed without a word.",
        nothing_of_a_malformed_packet,
    )
    .in_each_framing(),
    Case::new("framing/no-array", &["FRAME-5", "ERR-1"], "A packet that is no array closes the connection.", no_array)
        .in_each_framing(),
    Case::new(
        "framing/delivers-what-was-whole",
        &["FRAME-10"],
        "What arrived whole in front of a malformed packet is delivered: it reaches a port of another node.",
        delivers_what_was_whole,
    )
    .level(Node),
    Case::new(
        "framing/closes-early",
        &["FRAME-9"],
        "A packet that cannot become well-formed any more should close the connection before its end.",
        closes_early,
    )
    .in_each_framing(),
    Case::new(
        "framing/ends-within-a-packet",
        &["FRAME-3"],
        "A connection that ends within a packet delivers nothing of it, and does no harm to the node.",
        ends_within_a_packet,
    )
    .in_each_framing(),
    Case::new(
        "framing/offered-framings-are-spoken",
        &["FRAME-8", "AUTH-7", "FRAME-1", "FRAME-2"],
        "In each framing that a node offers it takes all kinds of values, and it sends in that which the other side offers.",
        offered_framings_are_spoken,
    )
    .needs(&[Listen]),
];

fn greetings() -> [Value; 3] {
    ["größe".into(), "☺😀".into(), Value::from(4711)]
}

/// Enough for the octets to go out one by one on most machines; where they do not, the case only shows less.
const PAUSE: Duration = Duration::from_micros(200);

fn octet_by_octet(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let question = Question::new(&peer, &greetings())?;
    peer.send_slowly(&question.octets, PAUSE, "a message to the port echo");
    question.answer(&mut peer)?;
    t.ends(peer);
    Ok(())
}

fn several_at_once(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let questions = (0..5).map(|_| Question::new(&peer, &greetings())).collect::<Step<Vec<_>>>()?;
    let all: Vec<u8> = questions.iter().flat_map(|question| question.octets.clone()).collect();
    let last = questions.last().map_or(0, |question| question.octets.len() / 2);
    let (first, rest) = all.split_at(all.len() - last);
    peer.send_octets(first, "four messages to the port echo, and half of a fifth");
    for question in &questions[..4] {
        question.answer(&mut peer)?;
    }
    peer.send_octets(rest, "the rest of the fifth");
    questions[4].answer(&mut peer)?;
    t.ends(peer);
    Ok(())
}

fn cut_anywhere(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let length = Question::new(&peer, &greetings())?.octets.len();
    for cut in 1..length {
        let question = Question::new(&peer, &greetings())?;
        let (before, behind) = question.octets.split_at(cut);
        peer.send_octets(before, "the beginning of a message to the port echo");
        std::thread::sleep(PAUSE);
        peer.send_octets(behind, "its end");
        question.answer(&mut peer)?;
    }
    t.ends(peer);
    Ok(())
}

fn behind_the_authentication_line(t: &mut Test<'_>) -> Step {
    let mut peer = t.connect()?;
    peer.greet();
    peer.read_greeting()?;
    let questions = [Question::new(&peer, &greetings())?, Question::new(&peer, &[Value::from(2)])?];
    let line = peer.authentication()? + "\n";
    let octets = [line.as_bytes(), &questions[0].octets, &questions[1].octets].concat();
    peer.send_octets(&octets, "the authentication line, with two messages behind it");
    peer.read_authentication()?;
    for question in &questions {
        question.answer(&mut peer).breaks("AUTH-11")?;
    }
    t.ends(peer);
    Ok(())
}

/// A message to `echo` whose last octet, or last element, is spoiled.
fn spoiled(peer: &Peer) -> Step<Vec<u8>> {
    let mut octets = Question::new(peer, &greetings())?.octets;
    match peer.sends {
        Framing::Cbor => {
            // One more element than came, which is no item.
            octets[0] += 1;
            octets.push(0x1c);
        }
        Framing::Storable => {
            // One octet more than the array has.
            octets[0] += 1;
            octets.push(0x05);
        }
        _ => {
            octets.pop();
            octets.extend(b",tru]");
        }
    }
    Ok(octets)
}

fn nothing_of_a_malformed_packet(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let octets = spoiled(&peer)?;
    peer.probe()?;
    peer.send_octets(&octets, "a message to the port echo, malformed at its end");
    peer.expect_end()
}

fn no_array(t: &mut Test<'_>) -> Step {
    let values: &[(&[u8], &str)] = match t.framing {
        Framing::Cbor => &[
            (b"\xa1\x61a\x01", "a map"),
            (b"\x64echo", "a text"),
            (b"\x01", "an integer"),
            (b"\xf6", "null"),
            (b"\xd9\xd9\xf7\xa0", "a map with a tag"),
        ],
        Framing::Storable => &[
            (b"\x0c\x05\x0b\x03\x00\x00\x00\x01\x05\x00\x00\x00\x00", "a map"),
            (b"\x05\x05\x0b\x0a\x01a", "bytes"),
            (b"\x03\x05\x0b\x05", "null"),
        ],
        _ => &[(br#"{"a":1} "#, "a map"), (br#""echo" "#, "a text"), (b"1 ", "an integer"), (b"null ", "null")],
    };
    values.iter().try_for_each(|(octets, about)| refuses(t, octets, about, "FRAME-5"))
}

fn delivers_what_was_whole(t: &mut Test<'_>) -> Step {
    let mut other = t.up()?;
    let mut peer = t.up()?;
    for round in 0..5 {
        let port = unique("whole")?;
        let whole = peer.encode(&json!(["", "snd", other.port(&port), round]))?;
        let octets = [whole, spoiled(&peer)?].concat();
        peer.send_octets(&octets, "something to pass on, and a malformed packet");
        let found = other.find(&format!("{round} at the port {port:?}"), |message| message.port() == port);
        found.breaks("FRAME-10")?;
        check(peer.ended()?.is_some(), "the end of the connection", "it stays").breaks("FRAME-4")?;
        peer = t.up()?;
    }
    Ok(())
}

fn closes_early(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.probe()?;
    let octets: &[u8] = match t.framing {
        Framing::Cbor => b"\x85\x1c",
        Framing::Storable => b"\x80",
        _ => b"[1,,",
    };
    peer.send_octets(octets, "the beginning of a packet that cannot become well-formed");
    let ended = peer.ended_within(t.patience.min(Duration::from_secs(1)))?;
    t.should("FRAME-9", ended.is_some(), "the end of the connection", "it waits for the rest");
    Ok(())
}

fn ends_within_a_packet(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.probe()?;
    let question = Question::new(&peer, &greetings())?;
    peer.send_octets(&question.octets[..question.octets.len() - 1], "a message to the port echo without its last octet");
    peer.end_direction();
    let until = Instant::now() + t.patience.min(Duration::from_millis(300));
    let answer = peer.find_before(until, "nothing", |message| message.port() == question.port);
    check(
        answer.is_err(),
        "no answer to what was not complete",
        answer.map_or_else(|_| String::new(), |came| came.shown()),
    )?;
    t.up()?.probe()
}

fn offered_framings_are_spoken(t: &mut Test<'_>) -> Step {
    let mut first = t.connect()?;
    let offered = first.read_greeting()?.framings;
    let known: Vec<_> = offered.iter().filter_map(|name| Framing::from_name(name)).collect();
    check(!known.is_empty(), "a framing that the specification has", offered.join(",")).breaks("GREET-11")?;
    for sends in &known {
        for receives in &known {
            t.framing = *receives;
            let mut peer = t.connect()?;
            peer.sends = *sends;
            peer.handshake()?;
            let named = peer.receives.map(Framing::name);
            check(named == Some(receives.name()), receives, named.unwrap_or("none")).breaks("AUTH-7")?;
            comes_back(
                t,
                &mut peer,
                &crate::vectors::values(&["nulls", "bools", "integers-small", "texts", "arrays", "maps"]),
            )
            .breaks("FRAME-8")?;
        }
    }
    Ok(())
}
