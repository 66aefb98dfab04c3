//! Chapter 2: greetings that a node has to refuse, by closing without a word.

use aemp_proto::line::MAX_LINE;

use super::attempt::{Attempt, accepted, accepting, hears_out, opened};
use super::greeting::own_node_id;
use crate::case::{Case, End};
use crate::failure::Step;
use crate::peer::Peer;
use crate::subject::Feature::Listen;
use crate::subject::Level::Transport;
use crate::test::Test;

/// Each of them must be closed.
const REFUSED: &[Attempt; 38] = &[
    refused("greeting/line-too-long", &["CONN-6"], "A first line of 4097 octets with its line end is refused.", |peer| {
        let line = first(peer);
        let filled = line.len() + ";long=".len();
        sends(peer, &[&line[..], b";long=", &vec![b'x'; MAX_LINE - filled][..], b"\nnonce\n"].concat())
    }),
    refused(
        "greeting/line-without-end",
        &["CONN-6"],
        "4097 octets without a line end are refused without waiting for more.",
        |peer| sends(peer, &[b'x'; MAX_LINE + 1]),
    ),
    refused("greeting/nonce-too-long", &["CONN-6"], "A nonce of 4096 octets, and its line end, is refused.", |peer| {
        peer.greets.nonce.resize(MAX_LINE, b'n');
        greets(peer)
    }),
    refused("greeting/stray-cr", &["CONN-8"], "A CR within the first line is refused.", |peer| {
        peer.greets.keys.push("a=b\rc".into());
        greets(peer)
    }),
    refused(
        "greeting/two-crs",
        &["CONN-8"],
        "A line that ends in CR CR LF is refused: one CR is not a part of the line end.",
        |peer| {
            let line = first(peer);
            sends(peer, &[&line, &b"\r\r\nnonce\n"[..]].concat())
        },
    ),
    refused("greeting/cr-in-nonce", &["CONN-8"], "A CR within the nonce is refused.", |peer| {
        peer.greets.nonce.insert(5, b'\r');
        greets(peer)
    }),
    refused("greeting/cr-at-the-beginning", &["CONN-8"], "A CR before the first line is refused.", |peer| {
        let line = first(peer);
        sends(peer, &[b"\r", &line[..], b"\nnonce\n"].concat())
    }),
    refused("greeting/empty-first-line", &["GREET-2"], "An empty first line is refused.", |peer| sends(peer, b"\nnonce\n")),
    refused("greeting/four-parts", &["GREET-2"], "A first line without framings is refused.", |peer| {
        sends(peer, b"aemp;1;somebody;hmac_sha3_512\nnonce\n")
    }),
    refused("greeting/other-separator", &["GREET-2"], "A first line with `,` in the place of `;` is refused.", |peer| {
        sends(peer, b"aemp,1,somebody,hmac_sha3_512,json\nnonce\n")
    }),
    refused("greeting/http", &["GREET-2"], "A browser that has come to the wrong place is refused.", |peer| {
        sends(peer, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    }),
    refused("greeting/no-utf-8", &["GREET-2"], "A first line that is no UTF-8 is refused.", |peer| {
        sends(peer, b"aemp;1;somebody;hmac_sha3_512;json;provider=\xe4\nnonce\n")
    }),
    refused("greeting/overlong-utf-8", &["GREET-2"], "A first line with an overlong form of UTF-8 is refused.", |peer| {
        sends(peer, b"aemp;1;some\xc0\xafbody;hmac_sha3_512;json\nnonce\n")
    }),
    refused(
        "greeting/surrogate",
        &["GREET-2"],
        "A first line with half of a surrogate pair in it is refused: that is no UTF-8.",
        |peer| sends(peer, b"aemp;1;some\xed\xa0\x80body;hmac_sha3_512;json\nnonce\n"),
    ),
    refused("greeting/control-character", &["GREET-2"], "A control character in the value of a key is refused.", |peer| {
        peer.greets.keys.push("comment=a\u{1}b".into());
        greets(peer)
    }),
    refused("greeting/tab", &["GREET-2"], "A tabulator in the value of a key is refused.", |peer| {
        peer.greets.keys.push("comment=a\tb".into());
        greets(peer)
    }),
    refused("greeting/control-character-beyond-ascii", &["GREET-2"], "U+0085 in the value of a key is refused.", |peer| {
        peer.greets.keys.push("comment=a\u{85}b".into());
        greets(peer)
    }),
    refused("greeting/blank-in-methods", &["GREET-2"], "A blank in the list of methods is refused.", |peer| {
        peer.greets.methods.push(" cleartext".into());
        greets(peer)
    }),
    refused("greeting/blank-in-framings", &["GREET-2"], "A blank in the list of framings is refused.", |peer| {
        peer.greets.framings.push(" xml".into());
        greets(peer)
    }),
    refused(
        "greeting/letters-in-methods",
        &["GREET-2"],
        "A letter beyond ASCII in the list of methods is refused.",
        |peer| {
            peer.greets.methods.push("\u{e4}".into());
            greets(peer)
        },
    ),
    refused("greeting/no-version", &["GREET-2"], "An empty version is refused.", |peer| version(peer, "")),
    refused("greeting/version-in-words", &["GREET-2"], "A version that is no number is refused.", |peer| {
        version(peer, "one")
    }),
    refused("greeting/version-and-more", &["GREET-2"], "A version with something behind its number is refused.", |peer| {
        version(peer, "1a")
    }),
    refused("greeting/version-with-sign", &["GREET-2"], "A version with a sign is refused.", |peer| version(peer, "+1")),
    refused("greeting/other-protocol", &["GREET-4"], "Another protocol is refused.", |peer| protocol(peer, "amp")),
    refused("greeting/protocol-in-uppercase", &["GREET-4"], "The protocol AEMP, in uppercase, is refused.", |peer| {
        protocol(peer, "AEMP")
    }),
    refused(
        "greeting/protocol-without-word",
        &["GREET-4"],
        "The protocol `aemp-`, without a word behind it, is refused.",
        |peer| protocol(peer, "aemp-"),
    ),
    refused("greeting/protocol-and-more", &["GREET-4"], "The protocol `aempx` is refused.", |peer| protocol(peer, "aempx")),
    refused("greeting/version-2", &["GREET-6"], "The version 2 is refused.", |peer| version(peer, "2")),
    refused("greeting/version-0", &["GREET-6"], "The version 0 is refused.", |peer| version(peer, "0")),
    refused("greeting/version-1-1", &["GREET-6"], "The version 1.1 is refused.", |peer| version(peer, "1.1")),
    refused("greeting/version-10", &["GREET-6"], "The version 10 is refused.", |peer| version(peer, "10")),
    refused("greeting/no-node-id", &["GREET-8"], "An empty node ID is refused.", |peer| node(peer, "")),
    refused("greeting/hash-in-node-id", &["GREET-8"], "A node ID with `#` is refused.", |peer| node(peer, "some#body")),
    refused("greeting/control-in-node-id", &["GREET-8"], "A node ID with a control character is refused.", |peer| {
        node(peer, "some\u{7f}body")
    }),
    refused("greeting/own-node-id", &["GREET-9"], "The node's own ID is refused.", |peer| {
        peer.greets.node = own_node_id(peer)?;
        greets(peer)
    }),
    refused("greeting/reflection", &["NONCE-4"], "The node's own two lines, sent back to it, are refused.", |peer| {
        let [first, second] = peer.other_lines().clone();
        sends(peer, &[&first[..], b"\n", &second[..], b"\n"].concat())
    }),
    refused("greeting/same-nonce", &["NONCE-5"], "The node's own nonce, under another name, is refused.", |peer| {
        // That of a client of level 0 may be empty; such a node verifies nobody, and is not asked.
        peer.greets.nonce = peer.other_lines()[1].clone();
        greets(peer)
    }),
];

const CASES_REFUSED: [Case; REFUSED.len()] =
    accepting(REFUSED, Transport, &[Listen], End::Closes, |t| accepted(t, REFUSED, |_| {}));

const OTHERS: &[Case] = &[
    Case::new(
        "greeting/opener-refuses",
        &[
            "CONN-6", "CONN-8", "GREET-2", "GREET-4", "GREET-6", "GREET-8", "GREET-9", "NONCE-4", "NONCE-5", "ERR-1",
            "GREET-25",
        ],
        "A node that opens connections refuses from acceptors what it refuses from openers.",
        |t| opened(t, REFUSED, End::Closes, |_| {}),
    )
    .alone(),
    Case::new(
        "greeting/unknown-protocol",
        &["GREET-4"],
        "A protocol aemp-WORD that nobody speaks is refused, before or after the authentication.",
        unknown_protocol,
    )
    .needs(&[Listen])
    .closes(),
];

/// The cases of this chapter in which the node closes.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    const REFUSED: &[Case] = &CASES_REFUSED;
    REFUSED.iter().chain(OTHERS)
}

const fn refused(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    act: fn(&mut Peer) -> Step,
) -> Attempt {
    Attempt { name, proves, about, act }
}

fn greets(peer: &mut Peer) -> Step {
    peer.greet();
    Ok(())
}

fn sends(peer: &mut Peer, octets: &[u8]) -> Step {
    peer.send_octets(octets, "greeting");
    Ok(())
}

/// The right first line.
fn first(peer: &Peer) -> Vec<u8> {
    let [first, _] = peer.greets.lines();
    first
}

fn version(peer: &mut Peer, version: &str) -> Step {
    peer.greets.version = version.into();
    greets(peer)
}

fn protocol(peer: &mut Peer, protocol: &str) -> Step {
    peer.greets.protocol = protocol.into();
    greets(peer)
}

fn node(peer: &mut Peer, node: &str) -> Step {
    peer.greets.node = node.into();
    greets(peer)
}

fn unknown_protocol(t: &mut Test<'_>) -> Step {
    let mut peer = t.connect()?;
    peer.greets.protocol = "aemp-nobody_speaks_this".into();
    peer.greet();
    peer.read_greeting()?;
    peer.authenticate()?;
    hears_out(&mut peer)?;
    t.ends(peer);
    Ok(())
}
