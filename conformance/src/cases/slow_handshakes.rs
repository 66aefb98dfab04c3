//! Chapter 11: what limits a handshake, and what is kept from a stranger.

use std::time::Duration;

use super::attempt::hears_out;
use super::tls::{Network, greets, network};
use crate::case::Case;
use crate::failure::{Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::{Cbor, Listen, Storable, Tls};
use crate::subject::Start;
use crate::test::Test;
use crate::tls::Part;

/// How long a handshake may take where a case waits for that.
const HANDSHAKE: Duration = Duration::from_secs(1);

/// The cases of this chapter that are not about packets.
pub(super) const CASES: &[Case] = &[
    limit("limits/silent-peer", "A peer that sends nothing is given up.", |t| stalls(t, |_| Ok(()))),
    limit("limits/half-a-greeting", "A peer that sends half of a greeting, and no more, is given up.", |t| {
        stalls(t, |peer| {
            peer.send_octets(b"aemp;1;some", "half of a first line");
            Ok(())
        })
    }),
    limit("limits/greeting-only", "A peer that greets, and sends no authentication line, is given up.", |t| {
        stalls(t, |peer| {
            peer.greet();
            Ok(())
        })
    }),
    limit(
        "limits/octet-by-octet",
        "A peer that sends an octet now and then is given up: the limit is for the handshake as a whole.",
        |t| {
            stalls(t, |peer| {
                let greeting = peer.greeting_octets();
                // Twice the limit; the end is seen at the next octet or after it.
                peer.send_slowly(&greeting[..40], 2 * HANDSHAKE / 40, "greeting");
                Ok(())
            })
        },
    ),
    Case::new("limits/stalled-tls", &["LIMIT-1"], "A peer that stops within the TLS handshake is given up.", |t| {
        let change = network(t.certificates()?, Network::Shared);
        let subject = t.subject(|start| {
            change(start);
            hurries(start);
        })?;
        let mut peer = t.dial(&subject)?;
        greets(&mut peer, Part::Client)?;
        peer.send_octets(&[22, 3, 1], "the beginning of a TLS record");
        closed(&mut peer)
    })
    .needs(&[Listen, Tls])
    .alone(),
    Case::new("limits/silent-acceptor", &["LIMIT-1"], "An acceptor that sends nothing is given up.", |t| {
        let mut peer = t.dialled(hurries)?;
        peer.read_greeting()?;
        closed(&mut peer)
    })
    .alone(),
    Case::new(
        "limits/acceptor-without-a-line",
        &["LIMIT-1"],
        "An acceptor that greets, and sends no authentication line, is given up.",
        |t| {
            let mut peer = t.dialled(hurries)?;
            peer.greet();
            peer.read_greeting()?;
            peer.read_authentication()?;
            closed(&mut peer)
        },
    )
    .alone(),
    Case::new(
        "limits/handshake-is-over",
        &["LIMIT-1"],
        "The limit for handshakes does not end a connection that has come up.",
        |t| {
            let subject = t.subject(hurries)?;
            let mut peer = t.dial(&subject)?;
            peer.handshake()?;
            std::thread::sleep(HANDSHAKE + HANDSHAKE / 4);
            t.ends(peer);
            Ok(())
        },
    )
    .needs(&[Listen])
    .alone()
    .stays(),
    Case::new(
        "limits/announced-in-cbor",
        &["LIMIT-6"],
        "Lengths that packets in cbor announce, up to 2^64, and that never come, take no memory: the node lives.",
        |t| {
            let heads: Vec<Vec<u8>> = [0x5b, 0x7b, 0x9b, 0xbb]
                .into_iter()
                .flat_map(|kind| [0xff, 0x7f, 0x00].map(|high| vec![0x81, kind, high, 0, 0, 0x3f, 0xff, 0xff, 0xff, 0xff]))
                .collect();
            announces(t, "cbor", &heads)
        },
    )
    .needs(&[Listen, Cbor])
    .alone()
    .stays(),
    Case::new(
        "limits/announced-in-storable",
        &["LIMIT-6"],
        "Lengths that packets in storable announce, and that never come, take no memory: the node lives.",
        |t| {
            let inner = |tag: u8| vec![0x90, 0x00, 5, 11, 2, 0, 0, 0, 1, tag, 0x7f, 0xff, 0xff, 0xff];
            let outer = [vec![0xff, 0xff, 0xff, 0x7f], vec![0x8f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]];
            let heads: Vec<Vec<u8>> = outer.into_iter().chain([1, 2, 3, 24].map(inner)).collect();
            announces(t, "storable", &heads)
        },
    )
    .needs(&[Listen, Storable])
    .alone()
    .stays(),
    Case::new(
        "limits/flood-of-a-stranger",
        &["LIMIT-7", "CONN-6"],
        "A mebibyte behind the greeting, in the place of an authentication line, is not kept: the node closes.",
        |t| {
            let mut peer = t.connect()?;
            peer.read_greeting()?;
            peer.greet();
            peer.send_octets(&vec![b'x'; 1 << 20], "a mebibyte without a line end");
            hears_out(&mut peer)?;
            t.ends(peer);
            Ok(())
        },
    )
    .needs(&[Listen])
    .closes(),
];

const fn limit(name: &'static str, about: &'static str, run: fn(&mut Test<'_>) -> Step) -> Case {
    Case::new(name, &["LIMIT-1"], about, run).needs(&[Listen]).alone()
}

fn hurries(start: &mut Start) {
    start.timeouts.handshake = HANDSHAKE;
}

/// A handshake that does not go on after `begin` must be closed.
fn stalls(t: &mut Test<'_>, begin: fn(&mut Peer) -> Step) -> Step {
    let subject = t.subject(hurries)?;
    let mut peer = t.dial(&subject)?;
    peer.read_greeting()?;
    begin(&mut peer)?;
    closed(&mut peer)
}

fn closed(peer: &mut Peer) -> Step {
    let end = peer.ended_within(peer.patience + HANDSHAKE)?;
    check(end.is_some(), format!("the end of the connection after {HANDSHAKE:?}, as `timeouts` says"), "it stands")
}

/// Sends each of these beginnings of packets on a connection of its own, and goes on with another one.
fn announces(t: &mut Test<'_>, framing: &str, heads: &[Vec<u8>]) -> Step {
    let subject = t.start(|_| {})?;
    let framing = aemp_proto::framing::Framing::from_name(framing);
    let framing = framing.ok_or_else(|| Failure::Suite("a framing that the suite does not know".into()))?;
    let mut peers = Vec::new();
    for head in heads {
        let mut peer = t.dial(&subject)?;
        peer.sends = framing;
        peer.handshake()?;
        peer.send_octets(head, "the beginning of a packet, with a length");
        // Whether it closes or waits is free; they all wait at the same time.
        peer.hears_within(Duration::from_millis(1))?;
        peers.push(peer);
    }
    let mut peer = t.dial(&subject)?;
    peer.handshake()?;
    t.ends(peer);
    Ok(())
}
