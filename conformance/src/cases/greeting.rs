//! Chapter 2: connection and greeting, and what a node has to take there.

use std::time::Duration;

use serde_json::json;

use super::attempt::{Attempt, accepted, accepting, met, opened};
use crate::case::{Case, End};
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::Listen;
use crate::subject::Level::{Node, Simple, Transport};
use crate::test::Test;

/// What a client of level *simple* takes as well. Each of them comes up, and an echo is answered.
const TAKEN: &[Attempt; 17] = &[
    Attempt {
        name: "greeting/cr-lf",
        proves: &["CONN-4", "CONN-9"],
        about: "Lines that end in CR LF are taken, and the CR is no part of the transcript.",
        act: |peer| greets_in(peer, b"\r\n", b"\r\n"),
    },
    Attempt {
        name: "greeting/cr-lf-once",
        proves: &["CONN-4", "CONN-9"],
        about: "One line that ends in LF and another in CR LF are taken.",
        act: |peer| greets_in(peer, b"\n", b"\r\n"),
    },
    Attempt {
        name: "greeting/octet-by-octet",
        proves: &["CONN-7"],
        about: "Lines that arrive octet by octet are taken as if they had arrived at once.",
        act: |peer| {
            let lines = peer.greeting_octets();
            peer.send_slowly(&lines, Duration::from_micros(200), "greeting");
            let line = peer.authentication()? + "\n";
            peer.send_slowly(line.as_bytes(), Duration::from_micros(200), "authentication line");
            peer.read_authentication()
        },
    },
    Attempt {
        name: "greeting/all-at-once",
        proves: &["CONN-7", "AUTH-5", "AUTH-11"],
        about: "Two greeting lines, the authentication line and a packet that arrive in one piece are all taken.",
        act: |peer| {
            let greeting = peer.greeting_octets();
            let line = peer.authentication()? + "\n";
            let packet = peer.encode(&json!(["echo", "at once", peer.port("at-once")]))?;
            peer.send_octets(&[&greeting, line.as_bytes(), &packet].concat(), "greeting, authentication line and a packet");
            peer.read_authentication()?;
            peer.expect("at-once", &json!(["at once"])).breaks("AUTH-11")
        },
    },
    Attempt {
        name: "greeting/longest-line",
        proves: &["CONN-6"],
        about: "A first line of 4096 octets with its line end, the most that there may be, is taken.",
        act: |peer| {
            let length = peer.greets.lines()[0].len();
            peer.greets.keys.push(format!("longest={}", "x".repeat(4096 - 1 - ";longest=".len() - length)));
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/unknown-methods",
        proves: &["GREET-12", "AUTH-6"],
        about: "Names of methods that nobody knows, and empty ones, are ignored.",
        act: |peer| {
            let known = std::mem::take(&mut peer.greets.methods);
            peer.greets.methods = vec!["x.new-method:2".into(), String::new()];
            peer.greets.methods.extend(known);
            peer.greets.methods.push("hmac_md6_64_256".into());
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/methods-for-tls",
        proves: &["AUTH-6", "AUTH-25"],
        about: "Methods that require TLS, as many nodes list them first, are passed over where there is no TLS.",
        act: |peer| {
            peer.greets.methods.splice(0..0, ["tls_sha3_512".into(), "tls_anon".into()]);
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/unknown-framings",
        proves: &["GREET-12", "AUTH-7"],
        about: "Names of framings that nobody knows, and empty ones, are ignored.",
        act: |peer| {
            peer.greets.framings = vec!["x.new-framing".into(), String::new(), "json".into(), "xml".into()];
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/unknown-keys",
        proves: &["GREET-13"],
        about: "Keys that nobody knows, in any order, and parts without `=`, are ignored.",
        act: |peer| {
            let keys =
                ["zzz=1", "no value", "aaa=a=b==", "=nothing before", "", "peeraddr=127.0.0.1:1", "x-y=50%25 %3b %41 %"];
            peer.greets.keys.splice(0..0, keys.map(str::to_owned));
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/no-keys",
        proves: &["GREET-13"],
        about: "A first line without any key is taken.",
        act: |peer| {
            peer.greets.keys.clear();
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/key-twice",
        proves: &["GREET-17"],
        about: "A key that is there twice is no reason to close.",
        act: |peer| {
            peer.greets.keys.extend(["provider=one".into(), "provider=two".into()]);
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/node-id-with-slash",
        proves: &["GREET-1"],
        about: "A node ID with every kind of character that is allowed is taken: blanks, `/`, `%`, quotes, other scripts.",
        act: |peer| {
            peer.greets.node += "/a b%3b\"'\\=,|\u{e4}\u{65e5}\u{1f600}";
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/nonce-of-any-octets",
        proves: &["NONCE-3"],
        about: "A nonce of any octets but CR and LF is taken, NUL and what is no UTF-8 included.",
        act: |peer| {
            let random = std::mem::take(&mut peer.greets.nonce);
            peer.greets.nonce = (0..=255).filter(|octet| !b"\r\n".contains(octet)).chain(random).collect();
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/nonce-with-blanks",
        proves: &["NONCE-3", "CONN-9"],
        about: "Blanks at the beginning and the end of a nonce are a part of it.",
        act: |peer| {
            peer.greets.nonce = [b" \t", &peer.greets.nonce[..], b"\t "].concat();
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/long-nonce",
        proves: &["NONCE-3", "CONN-6"],
        about: "A nonce of 4095 octets, which with its line end is the most that there may be, is taken.",
        act: |peer| {
            peer.greets.nonce.resize(4095, b'n');
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/empty-nonce",
        proves: &["NONCE-3"],
        about: "An empty nonce, as simple clients send it, is taken.",
        act: |peer| {
            // Two empty ones are equal, which no node has to take.
            if !peer.other_lines()[1].is_empty() {
                peer.greets.nonce.clear();
            }
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/tls-for-one",
        proves: &["TLS-2", "GREET-13"],
        about: "A peer that would have TLS gets none from a node that does not ask for it; both go on.",
        act: |peer| {
            peer.greets.keys.push("tls=1.0".into());
            peer.handshake()
        },
    },
];

/// A name that nobody had before, filled up to so many octets.
pub(super) fn filled(unique: &str, octets: usize) -> String {
    format!("{unique}{}", "n".repeat(octets.saturating_sub(unique.len())))
}

const CASES_TAKEN: [Case; TAKEN.len()] = accepting(TAKEN, Simple, &[], End::Stays, |t| accepted(t, TAKEN, |_| {}));

/// What every node takes that also refuses.
const COMPARED: &[Attempt; 4] = &[
    Attempt {
        name: "greeting/version-as-a-number",
        proves: &["GREET-6"],
        about: "The version 1.0 is 1, as a number, and is taken.",
        act: |peer| {
            peer.greets.version = "1.0".into();
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/version-with-zeros",
        proves: &["GREET-6"],
        about: "The version 01.00 is 1, as a number, and is taken.",
        act: |peer| {
            peer.greets.version = "01.00".into();
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/own-node-id-in-other-letters",
        proves: &["GREET-21"],
        about: "A node ID that differs from the node's own in uppercase and lowercase only is another one.",
        act: |peer| {
            let own = own_node_id(peer)?;
            let swapped = |character: char| {
                if character.is_ascii_lowercase() { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() }
            };
            peer.greets.node = own.chars().map(swapped).collect();
            peer.handshake()
        },
    },
    Attempt {
        name: "greeting/own-node-id-and-a-blank",
        proves: &["GREET-21"],
        about: "A node ID that differs from the node's own in a blank at its end only is another one.",
        act: |peer| {
            peer.greets.node = own_node_id(peer)? + " ";
            peer.handshake()
        },
    },
];

const CASES_COMPARED: [Case; COMPARED.len()] =
    accepting(COMPARED, Transport, &[Listen], End::Stays, |t| accepted(t, COMPARED, |_| {}));

const OTHERS: &[Case] = &[
    Case::new(
        "greeting/opener-takes",
        &[
            "AUTH-5", "AUTH-6", "AUTH-7", "AUTH-11", "AUTH-25", "CONN-4", "CONN-6", "CONN-7", "CONN-9", "GREET-1",
            "GREET-6", "GREET-12", "GREET-13", "GREET-17", "GREET-21", "NONCE-3", "TLS-2",
        ],
        "A node that opens connections takes from acceptors what it takes from openers.",
        |t| {
            let all: Vec<_> = TAKEN.iter().chain(COMPARED).copied().collect();
            opened(t, &all, End::Stays, |_| {})
        },
    )
    .alone(),
    Case::new(
        "greeting/acceptor-speaks-first",
        &["CONN-1", "GREET-3"],
        "An acceptor greets as `aemp`, without waiting for the greeting of the opener.",
        |t| {
            let mut peer = t.connect()?;
            let greeting = peer.read_greeting()?;
            check(greeting.protocol.to_string() == "aemp", "aemp", greeting.protocol).breaks("GREET-3")
        },
    )
    .needs(&[Listen]),
    Case::new(
        "greeting/opener-speaks-first",
        &["CONN-1"],
        "An opener greets without waiting for the greeting of the acceptor.",
        |t| t.dialled(|_| {})?.read_greeting().map(drop),
    )
    .level(Simple)
    .alone(),
    Case::new(
        "greeting/half-closed",
        &["CONN-10"],
        "What arrived before the other side ended its direction is delivered.",
        half_closed,
    )
    .level(Node)
    .once(),
    Case::new(
        "greeting/node-ids-are-octets",
        &["GREET-21"],
        "Node IDs that look alike, but differ in their octets, are two nodes, which are connected at the same time.",
        node_ids_are_octets,
    )
    .needs(&[Listen]),
    Case::new(
        "greeting/name-is-not-taken-for-proven",
        &["GREET-20"],
        "A stranger who greets with the ID of a node that is connected, and goes no further, takes nothing from it.",
        name_is_not_taken_for_proven,
    )
    .needs(&[Listen])
    .stays(),
];

/// The cases of this chapter in which the node goes on.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    const TAKEN: &[Case] = &CASES_TAKEN;
    const COMPARED: &[Case] = &CASES_COMPARED;
    TAKEN.iter().chain(COMPARED).chain(OTHERS)
}

/// The node's own ID, from its greeting.
pub(super) fn own_node_id(peer: &Peer) -> Step<String> {
    let greeting = peer.greeting.as_ref().ok_or_else(|| Failure::Suite("no greeting was read".into()))?;
    Ok(greeting.node.as_str().to_owned())
}

/// The handshake with these line ends.
fn greets_in(peer: &mut Peer, first: &[u8], second: &[u8]) -> Step {
    peer.greeting_octets();
    let lines = peer.own_lines().clone();
    peer.send_octets(&[&lines[0], first, &lines[1], second].concat(), "greeting");
    let line = peer.authentication()?.into_bytes();
    peer.send_octets(&[&line, second].concat(), "authentication line");
    peer.read_authentication()
}

fn half_closed(t: &mut Test<'_>) -> Step {
    let mut hears = t.up()?;
    let mut says = t.up()?;
    says.send(&json!(["echo", "the last word", hears.port("last")]))?;
    says.end_direction();
    hears.expect("last", &json!(["the last word"]))
}

fn node_ids_are_octets(t: &mut Test<'_>) -> Step {
    let base = crate::test::unique("suite")?;
    let mut peers = Vec::new();
    // One character, and two that look like it; and letters.
    for end in ["\u{e9}", "e\u{301}", "E\u{301}"] {
        let mut peer = met(t, |_| {})?;
        peer.greets.node = format!("{base}-{end}");
        peer.handshake()?;
        peers.push(peer);
    }
    peers.iter_mut().try_for_each(Peer::probe)
}

fn name_is_not_taken_for_proven(t: &mut Test<'_>) -> Step {
    let mut member = t.up()?;
    let mut stranger = t.connect()?;
    stranger.read_greeting()?;
    stranger.greets.node = member.node().to_owned();
    stranger.greet();
    // Whether it goes on with the stranger is free, and if it does, nothing shows it.
    stranger.hears_within(Duration::from_millis(50))?;
    member.send(&json!(["echo", "who am I", member.port("me")]))?;
    member.expect("me", &json!(["who am I"]))?;
    stranger.hears_within(Duration::from_millis(1))?;
    t.ends(member);
    Ok(())
}
