//! The first steps of a port, in the order in which it is written. Each of these cases goes through the same exchange and
//! looks at one part of it.

use aemp_proto::line::{Authentication, Greeting, MAX_LINE};
use aemp_proto::names::NodeId;

use super::attempt::met;
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature;
use crate::subject::Level::Simple;
use crate::test::Test;
use crate::wire::readable;

/// The cases of these steps.
pub(super) const CASES: &[Case] = &[
    step(
        "greeting/connection",
        &["CONN-1"],
        "A transport connection stands: the node listens where it says, or connects to its seed.",
        |t| met(t, |_| {}).map(drop),
    ),
    step(
        "greeting/first-line-comes",
        &["CONN-1", "CONN-2", "CONN-5"],
        "The node sends a line, which has an end, and is not too long.",
        first_line_comes,
    ),
    step(
        "greeting/speaks-first",
        &["CONN-1"],
        "The node sends its two lines without waiting for those of the other side.",
        speaks_first,
    ),
    step("greeting/line-ends", &["CONN-3"], "The node ends its lines with LF alone.", line_ends),
    step("greeting/parts", &["GREET-1"], "The first line has five parts or more, with `;` between them.", five_parts),
    step("greeting/protocol", &["GREET-3", "GREET-1"], "The first part is the protocol, aemp.", protocol),
    step("greeting/version", &["GREET-5"], "The second part is the version, 1.", version),
    step("greeting/node-id", &["GREET-7"], "The third part is the node ID.", node_id),
    step("greeting/methods", &["GREET-10"], "The fourth part is the list of the methods that the node accepts.", methods),
    step("greeting/framings", &["GREET-11"], "The fifth part is the list of the framings that the node receives.", framings),
    step(
        "greeting/keys",
        &["GREET-14", "GREET-16"],
        "The further parts are keys, each there once, with escaped values.",
        keys,
    ),
    step("greeting/first-line", &["GREET-1"], "The first line as a whole is as the grammar says.", first_line),
    step("greeting/nonce", &["NONCE-1"], "The second line is a nonce of 32 random octets or more.", nonce),
    step("greeting/nonce-is-new", &["NONCE-1", "NONCE-2"], "Two connections have two nonces.", nonce_is_new),
    step(
        "authentication/line-comes",
        &["AUTH-1"],
        "Behind the greetings, when the suite has proven itself, the node sends a third line.",
        |t| authentication_line(t).map(drop),
    ),
    step("authentication/line", &["AUTH-1"], "The third line has three parts, with `;` between them.", three_parts),
    step("authentication/method", &["AUTH-6"], "Its first part is the first method of the suite's list that fits.", method),
    step("authentication/framing", &["AUTH-7"], "Its third part is the framing that the suite receives.", framing),
    step(
        "authentication/token",
        &["AUTH-12"],
        "Its second part is the token that proves that the node knows the secret.",
        token,
    ),
    step(
        "greeting/echo",
        &["AUTH-1", "AUTH-12", "FRAME-1", "MSG-1"],
        "The connection comes up, and a message to the port echo is answered.",
        echo,
    )
    .stays(),
];

/// A case of the level *simple*.
const fn step(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    run: fn(&mut Test<'_>) -> Step,
) -> Case {
    Case::new(name, proves, about, run).level(Simple)
}

/// Greets, without waiting for anything.
fn greeted(t: &mut Test<'_>) -> Step<Peer> {
    let mut peer = met(t, |_| {})?;
    peer.greet();
    Ok(peer)
}

/// Waits until there are so many line ends, or until nothing more comes.
fn lines_within_reach(peer: &mut Peer, count: usize) -> Step<Vec<u8>> {
    loop {
        let before = peer.unread().len();
        if peer.unread().iter().filter(|octet| **octet == b'\n').count() >= count {
            return Ok(peer.unread().to_vec());
        }
        peer.hears_within(peer.patience)?;
        if peer.unread().len() == before {
            return Ok(peer.unread().to_vec());
        }
    }
}

/// The parts of the node's first line.
fn parts(t: &mut Test<'_>) -> Step<(Vec<String>, Peer)> {
    let mut peer = greeted(t)?;
    let line = peer.read_line("the first line of its greeting").breaks("CONN-1")?;
    let shown = readable(&line);
    let text = String::from_utf8(line).map_err(|_| Failure::wrong("text in UTF-8", &shown).breaks("GREET-1"))?;
    let parts: Vec<_> = text.split(';').map(str::to_owned).collect();
    check(
        parts.len() >= 5,
        "aemp;1;NODE-ID;METHODS;FRAMINGS, and perhaps keys behind that",
        format!("{shown}, which has {} part(s)", parts.len()),
    )
    .breaks("GREET-1")?;
    Ok((parts, peer))
}

fn first_line_comes(t: &mut Test<'_>) -> Step {
    let mut peer = greeted(t)?;
    let came = lines_within_reach(&mut peer, 1)?;
    let end = came.iter().position(|octet| *octet == b'\n');
    match end {
        _ if came.is_empty() => {
            peer.read_line("aemp;1;NODE-ID;METHODS;FRAMINGS and LF: the first line of its greeting").map(drop)
        }
        None if came.contains(&b'\r') => {
            Err(Failure::wrong("LF (0a) at the end of the line, or CR LF", format!("CR (0d) alone: {}", readable(&came)))
                .breaks("CONN-2"))
        }
        None => Err(Failure::wrong(
            "LF (0a) at the end of the line",
            format!("no end after {}; it may wait in a buffer of the node, or be missing", readable(&came)),
        )
        .breaks("CONN-2")),
        Some(end) => {
            check(end < MAX_LINE, format!("{MAX_LINE} octets at most"), format!("{} octets", end + 1)).breaks("CONN-5")
        }
    }
}

fn speaks_first(t: &mut Test<'_>) -> Step {
    let mut peer = met(t, |_| {})?;
    for what in ["the first line of its greeting", "the second line of its greeting"] {
        peer.read_line(&format!("{what}, while the suite has sent nothing yet"))?;
    }
    Ok(())
}

fn line_ends(t: &mut Test<'_>) -> Step {
    let mut peer = greeted(t)?;
    let came = lines_within_reach(&mut peer, 2)?;
    check(!came.windows(2).any(|two| two == b"\r\n"), "LF (0a) alone at the end of each line", "CR LF")
}

fn five_parts(t: &mut Test<'_>) -> Step {
    parts(t).map(drop)
}

fn protocol(t: &mut Test<'_>) -> Step {
    let (parts, _) = parts(t)?;
    check(parts[0] == "aemp", "aemp, in lowercase, and nothing before it", format!("{:?}", parts[0]))
}

fn version(t: &mut Test<'_>) -> Step {
    let (parts, _) = parts(t)?;
    check(parts[1] == "1", "1", format!("{:?}", parts[1]))
}

fn node_id(t: &mut Test<'_>) -> Step {
    let (parts, _) = parts(t)?;
    let node = &parts[2];
    check(NodeId::new(node).is_ok(), "a character or more, without `#`, `;` and control characters", format!("{node:?}"))?;
    let told = t.subjects().last().map(|subject| subject.node.clone()).unwrap_or_default();
    check(
        told.is_empty() || told == *node,
        format!("{told:?}: the field `node` of the line that told it how to run"),
        format!("{node:?}"),
    )
}

/// A list of names, as the grammar has it.
fn names<'a>(list: &'a str, what: &str) -> Step<Vec<&'a str>> {
    let names: Vec<_> = list.split(',').filter(|name| !name.is_empty()).collect();
    let right = |name: &&str| name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"_-.:".contains(&octet));
    check(
        !names.is_empty() && names.iter().all(right),
        format!("names of {what}, with `,` between them: letters, digits and _-.: without blanks, quotes and brackets"),
        format!("{list:?}"),
    )?;
    Ok(names)
}

fn methods(t: &mut Test<'_>) -> Step {
    let (parts, _) = parts(t)?;
    let names = names(&parts[3], "methods")?;
    let features = t.subjects().last().map(|subject| subject.ready.features()).unwrap_or_default();
    for feature in [Feature::HmacSha3_512, Feature::HmacSha2_256] {
        let name = feature.name();
        check(
            !features.contains(&feature) || names.contains(&name.as_str()),
            format!("{name} among the methods, which is among the features that the node has said it has"),
            format!("{:?}", parts[3]),
        )?;
    }
    check(
        names.iter().any(|name| name.starts_with("hmac_") || *name == "cleartext"),
        "a method that works without TLS: hmac_sha3_512 or hmac_sha2_256",
        format!("{:?}", parts[3]),
    )
}

fn framings(t: &mut Test<'_>) -> Step {
    let (parts, _) = parts(t)?;
    let names = names(&parts[4], "framings")?;
    check(names.contains(&"json"), "json among the framings, which each node has", format!("{:?}", parts[4]))
}

fn keys(t: &mut Test<'_>) -> Step {
    let (parts, _) = parts(t)?;
    let mut seen = Vec::new();
    for part in &parts[5..] {
        let Some((key, value)) = part.split_once('=') else { continue };
        check(!seen.contains(&key), format!("the key {key} once"), parts.join(";")).breaks("GREET-16")?;
        seen.push(key);
        let loose = value
            .match_indices('%')
            .any(|(at, _)| !["%3b", "%3B", "%25"].contains(&value.get(at..at + 3).unwrap_or_default()));
        check(!loose, format!("`%` in the value of {key} written as %25"), part).breaks("GREET-14")?;
    }
    Ok(())
}

fn first_line(t: &mut Test<'_>) -> Step {
    let (parts, _) = parts(t)?;
    let line = parts.join(";");
    match Greeting::parse(line.as_bytes()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::wrong("greeting-line of spec/grammar.abnf", format!("{line}: {error}"))),
    }
}

fn nonce(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = parts(t)?;
    let line = peer.read_line("the second line of its greeting: the nonce").breaks("CONN-1")?;
    let level = t.subjects().last().map(|subject| subject.ready.level);
    if line.is_empty() && level == Some(Simple) {
        return Ok(());
    }
    // Random octets that look like digits of one of these only by chance do not happen.
    let (least, written) = match &line[..] {
        line if line.iter().all(u8::is_ascii_hexdigit) => (64, "in hexadecimal, as it seems"),
        line if line.iter().all(|octet| octet.is_ascii_alphanumeric() || b"+/=-_".contains(octet)) => {
            (43, "in base64, as it seems")
        }
        _ => (32, "as they are"),
    };
    check(
        line.len() >= least,
        "32 random octets or more, encoded (64 hexadecimal digits, or 43 characters of base64)",
        format!("{}: {} octets {written}", readable(&line), line.len()),
    )
}

fn nonce_is_new(t: &mut Test<'_>) -> Step {
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let (_, mut peer) = parts(t)?;
        nonces.push(peer.read_line("the second line of its greeting: the nonce")?);
    }
    check(nonces[0] != nonces[1] || nonces[0].is_empty(), "another nonce", format!("{} twice", readable(&nonces[0])))
        .breaks("NONCE-2")
}

/// The node's third line, when it has had the suite's.
fn authentication_line(t: &mut Test<'_>) -> Step<(Vec<u8>, Peer)> {
    let mut peer = greeted(t)?;
    peer.read_greeting()?;
    peer.authenticate()?;
    let what = "its authentication line, after a right one from the suite (a node that closes here may have found the suite's token wrong: \
                it stands over the suite's two lines first, then the node's own two [AUTH-13])";
    let line = peer.read_line(what).breaks("AUTH-1")?;
    Ok((line, peer))
}

fn three_parts(t: &mut Test<'_>) -> Step {
    let (line, _) = authentication_line(t)?;
    let shown = readable(&line);
    let right = Authentication::parse(&line);
    right.map(drop).map_err(|error| Failure::wrong("METHOD;TOKEN;FRAMING", format!("{shown}: {error}")))
}

fn authentication_parts(t: &mut Test<'_>) -> Step<(Vec<String>, Peer)> {
    let (line, peer) = authentication_line(t)?;
    let parts: Vec<_> = readable(&line).split(';').map(str::to_owned).collect();
    check(parts.len() >= 3, "METHOD;TOKEN;FRAMING", readable(&line)).breaks("AUTH-1")?;
    Ok((parts, peer))
}

fn method(t: &mut Test<'_>) -> Step {
    let (parts, peer) = authentication_parts(t)?;
    let offered = &peer.greets.methods;
    check(
        offered.contains(&parts[0]),
        format!("the first of these, which the suite has offered, that the node can send: {}", offered.join(", ")),
        format!("{:?}", parts[0]),
    )
}

fn framing(t: &mut Test<'_>) -> Step {
    let (parts, peer) = authentication_parts(t)?;
    let offered = &peer.greets.framings;
    check(
        offered.contains(&parts[2]),
        format!("{}, which is all that the suite has offered", offered.join(", ")),
        format!("{:?}", parts[2]),
    )
}

fn token(t: &mut Test<'_>) -> Step {
    met(t, |_| {})?.handshake()
}

fn echo(t: &mut Test<'_>) -> Step {
    let mut peer = met(t, |_| {})?;
    peer.handshake()?;
    t.ends(peer);
    Ok(())
}
