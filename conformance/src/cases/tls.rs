//! Chapter 3: TLS, and what is said and chosen there.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::ProtocolVersion;

use super::attempt::{hears_out, met};
use crate::case::Case;
use crate::certificates::{Certificates, Identity};
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Peer, Secured};
use crate::subject::Feature::{Listen, Tls};
use crate::subject::{Start, Subject};
use crate::test::Test;
use crate::tls::Part::{self, Client, Server};
use crate::tls::{BOTH, OLDER, Versions};

/// How the nodes of a network know each other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Network {
    /// All share one certificate.
    Shared,
    /// The same, and its time is over.
    Old,
    /// An authority has issued the certificates.
    Issued,
    /// The same, and they are bound to node IDs.
    Bound,
}

const OTHERS: &[Case] = &[
    other("tls/asks-for-it", &["TLS-1"], "A node that wants TLS greets with the key tls and the value 1.0.", |t| {
        let mut peer = on(t, Network::Shared)?;
        let greeting = peer.read_greeting()?;
        let value = greeting.keys.get("tls").map_or("no key tls", |value| value);
        check(value == "1.0", "tls=1.0", value)
    }),
    other("tls/does-not-ask", &["TLS-1"], "A node without a certificate greets without the key tls.", |t| {
        let greeting = met(t, |_| {})?.read_greeting()?;
        check(!greeting.keys.contains_key("tls"), "no key tls", "tls")
    }),
    other("tls/newest-as-client", &["TLS-8"], "A node that is the TLS server chooses TLS 1.3.", |t| newest(t, Client)),
    other("tls/newest-as-server", &["TLS-8"], "A node that is the TLS client offers TLS 1.3.", |t| newest(t, Server)),
    other("tls/older-as-client", &["TLS-8"], "A TLS client that has TLS 1.2 only is served or refused.", |t| {
        older(t, Client)
    })
    .allows(&["TLS 1.2", "refused"]),
    other("tls/older-as-server", &["TLS-8"], "A TLS server that has TLS 1.2 only is taken or refused.", |t| {
        older(t, Server)
    })
    .allows(&["TLS 1.2", "refused"]),
    other(
        "tls/client-hello",
        &["TLS-10", "TLS-13"],
        "A node that is the TLS client offers no version before 1.2, and sends no server name.",
        client_hello,
    ),
    other("tls/too-old-client", &["TLS-10"], "A TLS client that has TLS 1.1 only is refused.", |t| {
        let mut peer = on(t, Network::Shared)?;
        greets(&mut peer, Client)?;
        peer.send_octets(&hello_of_1_1(), "a ClientHello of TLS 1.1");
        let answer = peer.read_octets(7)?;
        let server_hello = answer.first() == Some(&22) && answer.get(5) == Some(&2);
        check(!server_hello, "an alert, or the end", "a ServerHello")?;
        ends_after_alert(&mut peer)
    }),
    other("tls/behind-the-nonce", &["TLS-4"], "The beginning of TLS in one piece with the greeting is taken.", |t| {
        let certificates = t.certificates()?;
        let mut peer = on(t, Network::Shared)?;
        prepare(&mut peer, Client)?;
        let greeting = peer.greeting_octets();
        let secured = peer.secure_behind(greeting, Client, Some(&certificates.shared), BOTH)?;
        secured.map_err(|failure| Failure::wrong("TLS", failure))?;
        authenticated(&mut peer)?;
        t.ends(peer);
        Ok(())
    })
    .stays(),
    other(
        "tls/nonce-that-begins-the-other",
        &["TLS-3"],
        "A nonce is lower than one that it begins: the suite is the TLS client.",
        |t| by_nonce(t, Client, |nonce| nonce.split_last().map_or(Vec::new(), |(_, shorter)| shorter.to_vec())),
    )
    .stays(),
    other(
        "tls/nonce-that-goes-on",
        &["TLS-3"],
        "A nonce is higher than one that begins it: the suite is the TLS server.",
        |t| by_nonce(t, Server, |nonce| [nonce, b" "].concat()),
    )
    .stays(),
    other(
        "tls/nonce-beyond-ascii",
        &["TLS-3"],
        "The octets of nonces are compared without a sign: ff is the highest one.",
        |t| by_nonce(t, Server, |_| b"\xff\xff\xff\xff\xff\xff\xff\xff".repeat(8)),
    )
    .stays(),
    other("tls/garbage", &["TLS-6", "TLS-2"], "What is no TLS, where TLS has to be, is refused.", |t| {
        let mut peer = on(t, Network::Shared)?;
        greets(&mut peer, Client)?;
        peer.send_octets(b"tls_sha3_512;00;json\n", "an authentication line in the place of TLS");
        ends_after_alert(&mut peer)
    }),
    other("tls/plain-peer", &["TLS-7"], "A peer that does not ask for TLS is refused by a node that requires it.", |t| {
        without_tls(t, &[])
    })
    .closes(),
    other(
        "tls/other-value-refused",
        &["TLS-15"],
        "A value of tls that does not begin with `1.` is no way around TLS at a node that requires it.",
        |t| without_tls(t, &["tls=2.0"]),
    )
    .closes(),
    other(
        "tls/plain-peer-allowed",
        &["TLS-2"],
        "A peer that does not ask for TLS is taken without it, where the node was told so.",
        |t| plain(t, &[]),
    )
    .stays(),
    other("tls/other-value", &["TLS-2"], "A value of tls that does not begin with `1.` starts no TLS.", |t| {
        plain(t, &["tls=2.0"])
    })
    .stays(),
    other(
        "tls/value-is-not-unescaped",
        &["GREET-15", "TLS-2"],
        "The value %31.0 is not 1.0: `%` stands for itself there.",
        |t| plain(t, &["tls=%31.0"]),
    )
    .stays(),
    other("tls/last-value", &["GREET-17", "TLS-2"], "Of two values of the key tls the last one holds.", |t| {
        plain(t, &["tls=1.0", "tls=0"])
    })
    .stays(),
    other(
        "tls/no-secret-no-hmac",
        &["AUTH-19"],
        "A node that has a certificate and no secret offers no method that requires one.",
        |t| {
            let offered = on(t, Network::Shared)?.read_greeting()?.methods;
            let needs_secret = offered.iter().any(|name| name.starts_with("hmac_") || name == "cleartext");
            check(!needs_secret, "methods that begin with tls_", offered.join(","))
        },
    ),
    other("tls/wrong-token", &["AUTH-16"], "A wrong token of tls_sha3_512 is refused.", |t| {
        authenticates_as(t, |right| right.replacen("tls_sha3_512;", "tls_sha3_512;00", 1))
    })
    .closes(),
    other(
        "tls/bound-token-as-client",
        &["AUTH-27", "AUTH-28", "AUTH-29"],
        "Where both sides announce it, tokens stand over what only this TLS connection has; the suite is the TLS client.",
        |t| bound(t, Client),
    )
    .allows(&["bound", "not announced"]),
    other(
        "tls/bound-token-as-server",
        &["AUTH-27", "AUTH-28", "AUTH-29"],
        "Where both sides announce it, tokens stand over what only this TLS connection has; the suite is the TLS server.",
        |t| bound(t, Server),
    )
    .allows(&["bound", "not announced"]),
    other(
        "tls/anonymous",
        &["AUTH-14", "AUTH-22"],
        "The method tls_anon, which the node has not offered, is refused also within TLS.",
        |t| authenticates_as(t, |_| "tls_anon;;json".into()),
    )
    .closes(),
    opener(
        "tls/opener-as-server",
        &["TLS-1", "TLS-2", "TLS-3", "TLS-5", "TLS-9"],
        "A node that opens the connection may be the TLS server.",
        |t| opens(t, Client, |c| &c.shared),
    )
    .stays(),
    opener(
        "tls/opener-as-client",
        &["TLS-1", "TLS-2", "TLS-3", "TLS-5", "TLS-9"],
        "A node that opens the connection may be the TLS client.",
        |t| opens(t, Server, |c| &c.shared),
    )
    .stays(),
    opener(
        "tls/opener-refuses-a-client",
        &["TLS-5", "TLS-6"],
        "A node that opens the connection refuses a TLS client with a foreign certificate.",
        |t| refuses(t, Client),
    )
    .closes(),
    opener(
        "tls/opener-refuses-a-server",
        &["TLS-5", "TLS-6"],
        "A node that opens the connection refuses a TLS server with a foreign certificate.",
        |t| refuses(t, Server),
    )
    .closes(),
    opener(
        "tls/opener-refuses-plain",
        &["TLS-7"],
        "A node that opens the connection and requires TLS refuses an acceptor without it, and sends it no token.",
        |t| {
            let change = network(t.certificates()?, Network::Shared);
            let mut peer = t.dialled(|start| {
                change(start);
                start.secret = Some("swordfish".into());
            })?;
            peer.read_greeting()?;
            peer.greet();
            t.ends(peer);
            Ok(())
        },
    )
    .closes(),
];

/// The cases of this chapter.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    OTHERS.iter()
}

const fn other(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Test<'_>) -> Step,
) -> Case {
    Case::new(name, proves, about, run).needs(&[Tls, Listen]).alone()
}

const fn opener(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Test<'_>) -> Step,
) -> Case {
    Case::new(name, proves, about, run).needs(&[Tls]).alone()
}

/// How a node of this network is told to run.
pub(super) fn network(certificates: &Certificates, network: Network) -> impl Fn(&mut Start) + use<> {
    let (file, authorities): (PathBuf, Vec<PathBuf>) = match network {
        Network::Shared => (certificates.shared_file.clone(), Vec::new()),
        Network::Old => (certificates.old_file.clone(), Vec::new()),
        Network::Issued | Network::Bound => (certificates.node_file.clone(), vec![certificates.authority_file.clone()]),
    };
    move |start| {
        start.secret = None;
        start.certificate = Some(file.clone());
        start.authorities.clone_from(&authorities);
        start.bind_names = matches!(network, Network::Bound);
    }
}

/// A connection to a node of this network. Nothing is sent yet.
pub(super) fn on(t: &mut Test<'_>, which: Network) -> Step<Peer> {
    let change = network(t.certificates()?, which);
    let subject = t.subject(change)?;
    t.dial(&subject)
}

/// Makes the suite's greeting one with TLS, in which it has this part.
fn prepare(peer: &mut Peer, part: Part) -> Step {
    if peer.greeting.is_none() {
        peer.read_greeting()?;
    }
    peer.plays(part);
    peer.secret = None;
    peer.greets.methods = vec!["tls_sha3_512".into()];
    peer.greets.keys.push("tls=1.0".into());
    Ok(())
}

pub(super) fn greets(peer: &mut Peer, part: Part) -> Step {
    prepare(peer, part)?;
    peer.greet();
    Ok(())
}

/// The whole handshake, with TLS.
pub(super) fn secured(peer: &mut Peer, part: Part, identity: Option<&Identity>, versions: Versions) -> Step<Secured> {
    greets(peer, part)?;
    let secured = peer.secure(part, identity, versions)?;
    let other = if part == Client { "server" } else { "client" };
    let secured = secured.map_err(|failure| Failure::wrong(format!("TLS, with the node as the TLS {other}"), failure))?;
    authenticated(peer)?;
    Ok(secured)
}

fn authenticated(peer: &mut Peer) -> Step {
    peer.authenticate()?;
    peer.read_authentication()
}

fn newest(t: &mut Test<'_>, part: Part) -> Step {
    let certificates = t.certificates()?;
    let mut peer = on(t, Network::Shared)?;
    let version = secured(&mut peer, part, Some(&certificates.shared), BOTH)?.version;
    check(version == Some(ProtocolVersion::TLSv1_3), "TLS 1.3", format!("{version:?}"))
}

fn older(t: &mut Test<'_>, part: Part) -> Step {
    let certificates = t.certificates()?;
    let mut peer = on(t, Network::Shared)?;
    greets(&mut peer, part)?;
    if let Err(failure) = peer.secure(part, Some(&certificates.shared), OLDER)? {
        t.log.note(0, format!("TLS: {failure}"));
        t.outcome("refused");
        return peer.expect_end().breaks("TLS-6");
    }
    authenticated(&mut peer)?;
    t.outcome("TLS 1.2");
    peer.probe()
}

fn by_nonce(t: &mut Test<'_>, part: Part, nonce: fn(&[u8]) -> Vec<u8>) -> Step {
    let certificates = t.certificates()?;
    let mut peer = on(t, Network::Shared)?;
    prepare(&mut peer, part)?;
    peer.greets.nonce = nonce(&peer.other_lines()[1]);
    peer.greet();
    let secured = peer.secure(part, Some(&certificates.shared), BOTH)?;
    secured.map_err(|failure| Failure::wrong(format!("TLS, with the suite as the {part:?}"), failure))?;
    authenticated(&mut peer)?;
    t.ends(peer);
    Ok(())
}

/// A node that requires TLS, and has a secret, so that nothing but missing TLS is a reason to refuse a peer.
pub(super) fn requiring(t: &mut Test<'_>) -> Step<Arc<Subject>> {
    let change = network(t.certificates()?, Network::Shared);
    t.subject(|start| {
        change(start);
        start.secret = Some("swordfish".into());
    })
}

/// A peer that goes on without TLS, with these keys, at a node that requires it.
fn without_tls(t: &mut Test<'_>, keys: &[&str]) -> Step {
    let subject = requiring(t)?;
    let mut peer = t.dial(&subject)?;
    peer.read_greeting()?;
    peer.greets.keys.extend(keys.iter().map(|key| (*key).to_owned()));
    peer.greet();
    peer.authenticate()?;
    t.ends(peer);
    Ok(())
}

/// A connection without TLS, to a node that has a certificate and takes both, with these keys in the greeting.
fn plain(t: &mut Test<'_>, keys: &[&str]) -> Step {
    let change = network(t.certificates()?, Network::Shared);
    let subject = t.subject(|start| {
        change(start);
        start.secret = Some("swordfish".into());
        start.plain = true;
    })?;
    let mut peer = t.dial(&subject)?;
    peer.greets.keys.extend(keys.iter().map(|key| (*key).to_owned()));
    peer.handshake()?;
    t.ends(peer);
    Ok(())
}

fn authenticates_as(t: &mut Test<'_>, spoil: fn(&str) -> String) -> Step {
    let certificates = t.certificates()?;
    let mut peer = on(t, Network::Shared)?;
    greets(&mut peer, Client)?;
    let secured = peer.secure(Client, Some(&certificates.shared), BOTH)?;
    secured.map_err(|failure| Failure::wrong("TLS", failure).breaks("TLS-2"))?;
    let line = spoil(&peer.authentication()?) + "\n";
    peer.send_octets(line.as_bytes(), "authentication line");
    hears_out(&mut peer)?;
    t.ends(peer);
    Ok(())
}

/// A handshake between two sides that announce that they bind tokens to TLS; with a token of the suite that is bound, or
/// not.
fn bound(t: &mut Test<'_>, part: Part) -> Step {
    let certificates = t.certificates()?;
    let mut peer = on(t, Network::Shared)?;
    prepare(&mut peer, part)?;
    peer.greets.keys.push("exporter=1".into());
    let announced = peer.greeting.as_ref().is_some_and(|greeting| greeting.says("exporter"));
    t.should("AUTH-29", announced, "the key exporter=1 beside the key tls", "no such key");
    t.outcome(if announced { "bound" } else { "not announced" });
    peer.greet();
    let secured = peer.secure(part, Some(&certificates.shared), BOTH)?;
    secured.map_err(|failure| Failure::wrong("TLS", failure).breaks("TLS-2"))?;
    authenticated(&mut peer)?;
    peer.probe()
}

fn opens(t: &mut Test<'_>, part: Part, presents: fn(&Certificates) -> &Identity) -> Step {
    let certificates = t.certificates()?;
    let mut peer = t.dialled(network(certificates, Network::Shared))?;
    secured(&mut peer, part, Some(presents(certificates)), BOTH)?;
    t.ends(peer);
    Ok(())
}

fn refuses(t: &mut Test<'_>, part: Part) -> Step {
    let certificates = t.certificates()?;
    let mut peer = t.dialled(network(certificates, Network::Shared))?;
    greets(&mut peer, part)?;
    if let Err(failure) = peer.secure(part, Some(&certificates.foreign), BOTH)? {
        t.log.note(0, format!("TLS: {failure}"));
    }
    t.ends(peer);
    Ok(())
}

/// The node must close; the alerts of TLS are words of TLS, and allowed.
fn ends_after_alert(peer: &mut Peer) -> Step {
    let end = peer.ended()?;
    check(end.is_some(), "the end of the connection", "it stands").breaks("TLS-6")
}

/// A `ClientHello` that offers TLS 1.1 and nothing newer.
fn hello_of_1_1() -> Vec<u8> {
    let suites = [0xc0, 0x0a, 0xc0, 0x14, 0xc0, 0x09, 0xc0, 0x13, 0x00, 0x35, 0x00, 0x2f];
    // Curves and point formats, so that nothing but the version is a reason to refuse it.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    let mut body = vec![3, 2];
    body.extend([0x5a; 32]);
    body.push(0);
    body.extend([0, 12]);
    body.extend(suites);
    body.extend([1, 0]);
    body.extend([0, 14]);
    body.extend(extensions);
    let length = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
    let mut record = vec![22, 3, 1, 0, length(body.len() + 4), 1, 0, 0, length(body.len())];
    record.extend(body);
    record
}

fn client_hello(t: &mut Test<'_>) -> Step {
    let mut peer = on(t, Network::Shared)?;
    greets(&mut peer, Server)?;
    let mut octets = peer.read_octets(5)?;
    while let [22, _, _, high, low, rest @ ..] = &octets[..]
        && rest.len() < usize::from(u16::from_be_bytes([*high, *low]))
    {
        let more = peer.read_octets(1)?;
        if more.is_empty() {
            break;
        }
        octets.extend(more);
    }
    let hello =
        extensions(&octets).ok_or_else(|| Failure::wrong("a ClientHello", crate::hex::hex(&octets)).breaks("TLS-3"))?;
    let versions = hello.iter().find(|(number, _)| *number == 43).map_or(&[][..], |(_, octets)| octets);
    let old = versions.get(1..).unwrap_or_default().chunks(2).find(|version| matches!(version, [3, 0..=2]));
    check(old.is_none(), "TLS 1.2 and newer among the versions", format!("{versions:02x?}"))?;
    let named = hello.iter().any(|(number, _)| *number == 0);
    t.should("TLS-13", !named, "no server name", "a server name");
    Ok(())
}

/// The extensions of a `ClientHello` in one record.
fn extensions(record: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let number = |octets: &[u8]| octets.iter().fold(0_usize, |number, octet| number << 8 | usize::from(*octet));
    // Behind the record, the message, the version and the random octets.
    let [22, 3, _, _, _, 1, ..] = record else { return None };
    let mut rest = record.get(5 + 4 + 2 + 32..)?;
    for width in [1, 2, 1] {
        let length = number(rest.get(..width)?);
        rest = rest.get(width + length..)?;
    }
    rest = rest.get(2..)?;
    let mut found = Vec::new();
    while let [_, _, _, _, ..] = rest {
        let length = number(&rest[2..4]);
        found.push((u16::try_from(number(&rest[..2])).ok()?, rest.get(4..4 + length)?));
        rest = &rest[4 + length..];
    }
    Some(found)
}
