//! Chapter 12: what strangers and eavesdroppers try, and changing secrets.

use std::time::{Duration, Instant};

use serde_json::json;

use super::attempt::{hears_out, met};
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::hex::hex;
use crate::peer::Peer;
use crate::subject::Feature::{Cleartext, Limits, Listen, Rotation};
use crate::subject::{Start, Subject};
use crate::test::{Test, unique};

/// The cases of this chapter.
pub(super) const CASES: &[Case] = &[
    Case::new("security/replay", &["AUTH-16"], "Lines that were recorded on one connection open no other one.", replay)
        .needs(&[Listen])
        .closes(),
    Case::new(
        "security/nonce-after-a-restart",
        &["NONCE-1"],
        "A node that is started again as it was before draws another nonce: its generator has no fixed seed.",
        nonce_after_a_restart,
    )
    .alone(),
    Case::new(
        "security/secret-stays-out-of-errors",
        &["ERR-3"],
        "What the node says on standard error has neither its secret in it nor a token of cleartext, whatever it is sent.",
        |t| secret_stays_out(t, &[]),
    )
    .needs(&[Listen])
    .alone(),
    Case::new("security/cleartext-stays-out-of-errors", &["ERR-3"], "The same, for a node that takes cleartext.", |t| {
        secret_stays_out(t, &["cleartext"])
    })
    .needs(&[Listen, Cleartext])
    .alone(),
    Case::new(
        "security/handshakes-are-bounded",
        &["SEC-5"],
        "Of many strangers that say nothing, only so many as the limit says are served at once; then members are, again.",
        handshakes_are_bounded,
    )
    .needs(&[Listen, Limits])
    .alone()
    .stays(),
    Case::new(
        "security/silent-strangers-give-way",
        &["SEC-8", "SEC-10"],
        "Silent strangers of one address get a part of the places, and the oldest of them gives way to a member.",
        silent_strangers_give_way,
    )
    .needs(&[Listen, Limits])
    .alone(),
    Case::new(
        "security/rotation-takes-both-secrets",
        &["AUTH-16", "SEC-6"],
        "A node that was told further secrets takes each of them.",
        |t| [FIRST, NEW, NEWER].into_iter().try_for_each(|secret| rotated(t, secret)?.probe()),
    )
    .needs(&[Listen, Rotation]),
    Case::new(
        "security/rotation-answers-in-kind",
        &["SEC-7"],
        "An acceptor proves itself by the secret by which the opener did.",
        |t| rotated(t, NEW).map(drop),
    )
    .needs(&[Listen, Rotation]),
    Case::new(
        "security/rotation-takes-no-other",
        &["AUTH-16", "SEC-6"],
        "A node that was told further secrets refuses any other one.",
        |t| {
            let mut peer = met(t, rotates)?;
            peer.read_greeting()?;
            peer.secret = Some(b"flying fish".to_vec());
            peer.greet();
            peer.authenticate()?;
            hears_out(&mut peer)?;
            t.ends(peer);
            Ok(())
        },
    )
    .needs(&[Listen, Rotation])
    .closes(),
    Case::new(
        "security/rotating-opener",
        &["AUTH-16", "SEC-6"],
        "A node that opens a connection sends its own secret's token, and takes an acceptor with a further one.",
        rotating_opener,
    )
    .needs(&[Rotation])
    .alone()
    .stays(),
    Case::new(
        "security/stranger-disturbs-nobody",
        &["ERR-1", "GREET-20"],
        "A stranger who is refused under the name of a member takes nothing from that member.",
        |t| {
            let mut member = t.up()?;
            let mut stranger = t.connect()?;
            stranger.read_greeting()?;
            stranger.greets.node = member.node().to_owned();
            // Whether it is refused for its name or for its token is free.
            stranger.greet();
            let line = stranger.authentication()?.to_uppercase() + "\n";
            stranger.send_octets(line.as_bytes(), "authentication line in uppercase");
            // The node may ask the member meanwhile whether it lives, and wait for that with the stranger.
            let until = Instant::now() + stranger.patience;
            while Instant::now() < until && stranger.ended_within(Duration::from_millis(20))?.is_none() {
                member.probe().breaks("GREET-20")?;
            }
            hears_out(&mut stranger)?;
            stranger.expect_end()?;
            member.probe().breaks("GREET-20")
        },
    )
    .needs(&[Listen]),
];

fn replay(t: &mut Test<'_>) -> Step {
    let mut recorded = t.connect()?;
    let greeting = recorded.greeting_octets();
    recorded.handshake()?;
    let line = recorded.authentication()? + "\n";
    recorded.probe()?;
    drop(recorded);
    let mut peer = t.connect()?;
    // The node may refuse the name for as long as it takes the first connection for one that stands; that is no other end.
    peer.read_greeting()?;
    peer.send_octets(&greeting, "the recorded greeting");
    peer.send_octets(line.as_bytes(), "the recorded authentication line");
    let packet = peer.encode(&json!(["echo", 1, peer.port("me")]))?;
    peer.send_octets(&packet, "a packet");
    hears_out(&mut peer)?;
    t.ends(peer);
    Ok(())
}

fn nonce_after_a_restart(t: &mut Test<'_>) -> Step {
    let node = unique("subject")?;
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let mut peer = t.dialled(|start| start.node.clone_from(&node))?;
        peer.read_greeting()?;
        nonces.push(peer.other_lines()[1].clone());
    }
    let again = nonces[0] == nonces[1] && !nonces[0].is_empty();
    check(!again, "another nonce", format!("{} again", String::from_utf8_lossy(&nonces[0]))).breaks("SEC-2")
}

fn secret_stays_out(t: &mut Test<'_>, allow: &[&str]) -> Step {
    let secret = unique("a-long-secret")?;
    let subject = t.start(|start| {
        start.secret = Some(secret.clone());
        start.allow = allow.iter().map(|name| (*name).to_owned()).collect();
    })?;
    let token = hex(secret.as_bytes());
    // The last one is right; the node looks at it after the others.
    for line in [
        format!("cleartext;{token};xml\n"),
        format!("cleartext;{token}00;json\n"),
        format!("cleartext;{token}\n"),
        format!("{token}\n"),
        format!("cleartext;{token};json\n"),
    ] {
        let mut peer = t.dial(&subject)?;
        peer.read_greeting()?;
        peer.greet();
        peer.send_octets(line.as_bytes(), "authentication line");
        hears_out(&mut peer)?;
    }
    let mut peer = t.dial(&subject)?;
    peer.secret = Some(secret.clone().into_bytes());
    peer.handshake()?;
    peer.probe()?;
    let said = subject.errors();
    for (text, what) in [(&secret, "the secret"), (&token, "a token of cleartext")] {
        check(!said.contains(text), format!("no {what} on standard error"), format!("{what}: {said}"))?;
    }
    Ok(())
}

const HANDSHAKES: usize = 4;

/// Many strangers that say nothing, and how many of them are served at once.
fn silent_strangers(t: &mut Test<'_>, subject: &Subject) -> Step<(Vec<Peer>, usize)> {
    let mut strangers: Vec<Peer> = (0..3 * HANDSHAKES).map(|_| t.dial(subject)).collect::<Step<_>>()?;
    let mut served = 0;
    for stranger in &mut strangers {
        stranger.hears_within(Duration::from_millis(if served < HANDSHAKES { 100 } else { 10 }))?;
        // Who was greeted and closed then has made room.
        let open = stranger.ended_within(Duration::from_millis(5))?.is_none();
        served += usize::from(open && stranger.unread().contains(&b'\n'));
    }
    Ok((strangers, served))
}

fn silent_strangers_give_way(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.limits.handshakes = Some(HANDSHAKES as u64))?;
    let (strangers, served) = silent_strangers(t, &subject)?;
    let part = format!("fewer than the {HANDSHAKES} handshakes that the field `limits` allows, for one address");
    t.should("SEC-8", served < HANDSHAKES, part, format!("{served} connections that were greeted and stand"));
    let mut member = t.dial(&subject)?;
    let admitted = member.handshake();
    let gives_way = format!("a handshake with a member, while {} strangers say nothing", strangers.len());
    t.should("SEC-10", admitted.is_ok(), gives_way, "none");
    drop(strangers);
    if admitted.is_ok() {
        t.ends(member);
    }
    Ok(())
}

fn handshakes_are_bounded(t: &mut Test<'_>) -> Step {
    let subject = t.start(|start| start.limits.handshakes = Some(HANDSHAKES as u64))?;
    let (strangers, served) = silent_strangers(t, &subject)?;
    check(
        served <= HANDSHAKES,
        format!("{HANDSHAKES} handshakes under way at most, as the field `limits` says"),
        format!("{served} connections that were greeted and stand"),
    )?;
    drop(strangers);
    // It may take a while until it has noticed that they have gone.
    let mut last = None;
    for _ in 0..20 {
        let mut peer = t.dial(&subject)?;
        match peer.handshake() {
            Ok(()) => {
                t.ends(peer);
                return Ok(());
            }
            Err(failure) => last = Some(failure),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(last.unwrap_or_else(|| Failure::wrong("a handshake, when the strangers have gone", "none")))
}

const FIRST: &str = "swordfish";
const NEW: &str = "cuttlefish";
const NEWER: &str = "jellyfish";

fn rotates(start: &mut Start) {
    start.further_secrets = vec![NEW.into(), NEWER.into()];
}

/// A connection to a node with several secrets, by a peer that has this one only.
fn rotated(t: &mut Test<'_>, secret: &str) -> Step<Peer> {
    let mut peer = met(t, rotates)?;
    peer.greet();
    peer.read_greeting()?;
    peer.secret = Some(secret.into());
    peer.authenticate()?;
    let line = peer.read_line("its authentication line").breaks("AUTH-16")?;
    let right = [secret, FIRST, NEW, NEWER].into_iter().find(|known| {
        peer.secret = Some((*known).into());
        peer.verify(&line).is_ok()
    });
    if right.is_none() {
        peer.secret = Some(secret.into());
        peer.verify(&line).breaks("AUTH-16")?;
    }
    t.should("SEC-7", right == Some(secret), "a token under the secret of the opener", "one under another secret");
    Ok(peer)
}

fn rotating_opener(t: &mut Test<'_>) -> Step {
    let mut peer = t.dialled(rotates)?;
    peer.greet();
    peer.read_greeting()?;
    peer.read_authentication()?;
    peer.secret = Some(NEW.into());
    peer.authenticate()?;
    t.ends(peer);
    Ok(())
}
