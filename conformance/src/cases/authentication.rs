//! Chapter 4: authentication, and what a node has to take and to send there.

use std::time::Duration;

use aemp_proto::framing::Framing;
use serde_json::json;

use super::attempt::{Attempt, accepted, accepting, hears_out, met, opened};
use super::refused_authentications::says;
use crate::case::{Case, End};
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::{Cbor, Cleartext, HmacSha2_256, HmacSha3_512, Listen, Tls};
use crate::subject::Level::{Simple, Transport};
use crate::subject::Start;
use crate::test::Test;
use crate::wire::readable;

/// Handshakes that a node has to refuse after the greetings, without sending anything more: it has nothing to send.
const NOTHING_IN_COMMON: &[Attempt; 5] = &[
    attempt(
        "authentication/no-method",
        &["AUTH-8", "GREET-12"],
        "A peer that lists unknown methods only is refused.",
        |peer| {
            peer.greets.methods = vec!["x.nobody".into()];
            greets(peer)
        },
    ),
    attempt("authentication/empty-list-of-methods", &["AUTH-8"], "A peer that lists no methods is refused.", |peer| {
        peer.greets.methods.clear();
        greets(peer)
    }),
    attempt(
        "authentication/methods-for-tls-only",
        &["AUTH-8", "AUTH-25"],
        "A peer that lists methods for TLS only, without TLS, is refused.",
        |peer| {
            peer.greets.methods = vec!["tls_sha3_512".into(), "tls_anon".into()];
            greets(peer)
        },
    ),
    attempt(
        "authentication/cleartext-only",
        &["AUTH-22", "AUTH-8"],
        "A peer that takes cleartext only is refused by a node that was not told to send it.",
        |peer| {
            peer.greets.methods = vec!["cleartext".into()];
            greets(peer)
        },
    ),
    attempt(
        "authentication/no-framing",
        &["AUTH-9", "GREET-12"],
        "A peer that lists unknown framings only is refused.",
        |peer| {
            peer.greets.framings = vec!["xml".into()];
            greets(peer)
        },
    ),
];

const CASES_NOTHING_IN_COMMON: [Case; NOTHING_IN_COMMON.len()] =
    accepting(NOTHING_IN_COMMON, Transport, &[Listen], End::Closes, |t| accepted(t, NOTHING_IN_COMMON, |_| {}));

/// What a client of level *simple* takes as well.
const TAKEN: &[Attempt; 3] = &[
    attempt(
        "authentication/unknown-keys",
        &["AUTH-24"],
        "Keys that nobody knows, one of them twice, and parts without `=`, are ignored in an authentication line.",
        |peer| says_right(peer, |right| format!("{right};x=1;no value;=;x=%3b%;y=a=b;")),
    ),
    attempt("authentication/cr-lf", &["CONN-4"], "An authentication line that ends in CR LF is taken.", |peer| {
        says_right(peer, |right| format!("{right}\r"))
    }),
    attempt(
        "authentication/cleartext-is-passed-over",
        &["AUTH-22", "AUTH-6"],
        "A node that was not told to send cleartext passes over it, where the peer lists it first.",
        |peer| {
            peer.greets.methods.insert(0, "cleartext".into());
            peer.handshake().breaks("AUTH-22")
        },
    ),
];

const CASES_TAKEN: [Case; TAKEN.len()] = accepting(TAKEN, Simple, &[], End::Stays, |t| accepted(t, TAKEN, |_| {}));

const OTHERS: &[Case] = &[
    Case::new(
        "authentication/opener-has-nothing-in-common",
        &["AUTH-8", "AUTH-9", "AUTH-22", "AUTH-25", "GREET-12"],
        "A node that opens connections refuses acceptors with which it has no method or no framing in common, and sends no line.",
        |t| opened(t, NOTHING_IN_COMMON, End::Closes, |_| {}),
    )
    .alone(),
    Case::new(
        "authentication/opener-takes",
        &["AUTH-6", "AUTH-22", "AUTH-24", "CONN-4"],
        "A node that opens connections takes authentication lines from acceptors as it does from openers.",
        |t| opened(t, TAKEN, End::Stays, |_| {}),
    )
    .alone(),
    Case::new(
        "authentication/opener-goes-first",
        &["AUTH-3"],
        "An opener sends its authentication line as soon as it has the greeting of the acceptor.",
        opener_goes_first,
    )
    .level(Simple)
    .alone()
    .stays(),
    Case::new(
        "authentication/acceptor-waits",
        &["AUTH-4"],
        "An acceptor sends its authentication line only when it has verified that of the opener.",
        acceptor_waits,
    )
    .needs(&[Listen])
    .stays(),
    Case::new(
        "authentication/one-line-and-no-packet",
        &["AUTH-10", "AUTH-1"],
        "An opener sends one line, and no packet before it has verified the other side's line.",
        one_line_and_no_packet,
    )
    .alone()
    .stays(),
    Case::new(
        "authentication/sends-what-it-offers",
        &["AUTH-26", "AUTH-12"],
        "Each method that the node offers, and that needs a secret, is one that it can send, too.",
        sends_what_it_offers,
    ),
    Case::new("authentication/sha3", &["AUTH-6", "AUTH-12"], "A peer with hmac_sha3_512 only is served.", |t| {
        served(t, &["hmac_sha3_512"], "hmac_sha3_512")
    })
    .level(Simple)
    .needs(&[HmacSha3_512]),
    Case::new("authentication/sha2", &["AUTH-6", "AUTH-12"], "A peer with hmac_sha2_256 only is served.", |t| {
        served(t, &["hmac_sha2_256"], "hmac_sha2_256")
    })
    .level(Simple)
    .needs(&[HmacSha2_256]),
    Case::new(
        "authentication/sha3-first",
        &["AUTH-6"],
        "Of two methods the node sends the one that the other side lists first: hmac_sha3_512.",
        |t| served(t, &["hmac_sha3_512", "hmac_sha2_256"], "hmac_sha3_512"),
    )
    .level(Simple)
    .needs(&[HmacSha3_512, HmacSha2_256]),
    Case::new(
        "authentication/sha2-first",
        &["AUTH-6"],
        "Of two methods the node sends the one that the other side lists first: hmac_sha2_256.",
        |t| served(t, &["hmac_sha2_256", "hmac_sha3_512"], "hmac_sha2_256"),
    )
    .level(Simple)
    .needs(&[HmacSha3_512, HmacSha2_256]),
    Case::new(
        "authentication/json-first",
        &["AUTH-7"],
        "Of two framings the node takes the one that the other side lists first: json.",
        |t| framed(t, &["json", "cbor"]),
    )
    .needs(&[Cbor]),
    Case::new(
        "authentication/cbor-first",
        &["AUTH-7"],
        "Of two framings the node takes the one that the other side lists first: cbor.",
        |t| framed(t, &["cbor", "json"]),
    )
    .needs(&[Cbor]),
    Case::new(
        "authentication/framing-not-offered",
        &["AUTH-15", "GREET-11"],
        "A framing that the node can read, and was told not to offer, is refused.",
        framing_not_offered,
    )
    .needs(&[Cbor, Listen])
    .closes(),
    Case::new(
        "authentication/packets-behind-a-wrong-line",
        &["AUTH-11", "AUTH-16"],
        "Packets behind an authentication line that is wrong come to nothing.",
        packets_behind_a_wrong_line,
    )
    .needs(&[Listen])
    .closes(),
    Case::new(
        "authentication/default-methods",
        &["AUTH-21", "AUTH-22", "GREET-10"],
        "Unless told otherwise, a node offers those of tls_sha3_512, hmac_sha3_512 and hmac_sha2_256 that it has, in this order, and nothing that is unsafe.",
        default_methods,
    ),
    Case::new(
        "authentication/cleartext-allowed",
        &["AUTH-12", "AUTH-14", "AUTH-22", "GREET-10"],
        "A node that was told to take cleartext offers it and takes it.",
        |t| {
            let mut peer = met(t, cleartext)?;
            let greeting = peer.read_greeting()?;
            let offers = greeting.methods.join(",");
            check(greeting.methods.iter().any(|name| name == "cleartext"), "cleartext among the methods", offers)
                .breaks("GREET-10")?;
            peer.greet();
            let line = format!("cleartext;{};{}\n", crate::hex::hex(b"swordfish"), peer.sends);
            peer.send_octets(line.as_bytes(), "authentication line");
            peer.read_authentication()?;
            t.ends(peer);
            Ok(())
        },
    )
    .needs(&[Cleartext])
    .stays(),
    Case::new(
        "authentication/cleartext-sent",
        &["AUTH-6", "AUTH-12"],
        "A node that was told to use cleartext sends it to a peer that takes nothing else.",
        |t| {
            let mut peer = met(t, cleartext)?;
            peer.greets.methods = vec!["cleartext".into()];
            peer.handshake()?;
            t.ends(peer);
            Ok(())
        },
    )
    .needs(&[Cleartext])
    .stays(),
    Case::new(
        "authentication/wrong-cleartext",
        &["AUTH-16"],
        "A wrong secret in cleartext is refused by a node that takes cleartext.",
        |t| {
            let mut peer = met(t, cleartext)?;
            peer.read_greeting()?;
            says(&mut peer, |_, _| Ok(format!("cleartext;{};json", crate::hex::hex(b"swordfis"))))?;
            t.ends(peer);
            Ok(())
        },
    )
    .needs(&[Cleartext, Listen])
    .closes(),
    Case::new(
        "authentication/long-secret",
        &["AUTH-12", "AUTH-16"],
        "A secret that is longer than any block of HMAC is taken as HMAC says: its hash is the key.",
        |t| secret(t, &"correct horse battery staple ".repeat(6)),
    )
    .alone()
    .stays(),
    Case::new(
        "authentication/secret-as-long-as-the-block",
        &["AUTH-12", "AUTH-16"],
        "A secret of 73 octets, one more than the block of HMAC-SHA3-512, is taken as HMAC says.",
        |t| secret(t, &"0123456789".repeat(8)[..73]),
    )
    .alone()
    .stays(),
    Case::new(
        "authentication/secret-with-blanks",
        &["AUTH-12", "AUTH-16"],
        "Blanks at the beginning and the end of a secret are a part of it.",
        |t| secret(t, "  sword fish\t"),
    )
    .alone()
    .stays(),
    Case::new(
        "authentication/secret-beyond-ascii",
        &["AUTH-23"],
        "A secret with characters from U+0080 to U+00FF is taken as one octet for each.",
        |t| secret(t, "p\u{e4}ssw\u{f6}rd\u{ff}\u{80}"),
    )
    .alone()
    .stays(),
    Case::new(
        "authentication/secret-beyond-one-octet",
        &["AUTH-23"],
        "A secret with a character above U+00FF is refused when the node starts.",
        |t| match refuses_to_start(t, |start| start.secret = Some("sword\u{142}fish".into()))? {
            None => Ok(()),
            Some(_) => Err(Failure::wrong("ready: false, and an error that names the character", "ready: true")),
        },
    )
    .alone(),
    Case::new(
        "authentication/no-secret",
        &["AUTH-19", "AUTH-20"],
        "A node without a secret and without TLS does not start, or lets nobody in.",
        |t| lets_nobody_in(t, |start| start.secret = None),
    )
    .alone(),
    Case::new(
        "authentication/told-an-empty-secret",
        &["AUTH-20"],
        "A node that is told an empty secret does not start, or lets nobody in.",
        |t| lets_nobody_in(t, |start| start.secret = Some(String::new())),
    )
    .alone(),
];

/// The cases of this chapter but those about wrong lines.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    const NOTHING_IN_COMMON: &[Case] = &CASES_NOTHING_IN_COMMON;
    const TAKEN: &[Case] = &CASES_TAKEN;
    TAKEN.iter().chain(OTHERS).chain(NOTHING_IN_COMMON)
}

const fn attempt(
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

fn says_right(peer: &mut Peer, change: impl FnOnce(&str) -> String) -> Step {
    peer.greet();
    let line = change(&peer.authentication()?) + "\n";
    peer.send_octets(line.as_bytes(), "authentication line");
    peer.read_authentication()
}

fn cleartext(start: &mut Start) {
    start.allow = vec!["cleartext".into()];
}

/// For how long nothing may come where nothing at all shows that nothing will.
const A_MOMENT: Duration = Duration::from_millis(100);

fn opener_goes_first(t: &mut Test<'_>) -> Step {
    let mut peer = t.dialled(|_| {})?;
    peer.greet();
    peer.read_greeting()?;
    peer.read_authentication().breaks("AUTH-3")?;
    peer.authenticate()?;
    t.ends(peer);
    Ok(())
}

fn acceptor_waits(t: &mut Test<'_>) -> Step {
    let mut peer = t.connect()?;
    peer.greet();
    peer.read_greeting()?;
    let early = peer.hears_within(A_MOMENT)?;
    t.should(
        "AUTH-4",
        !early,
        "nothing, until the authentication line of the opener has come",
        format!("{} at once", readable(peer.unread())),
    );
    peer.authenticate()?;
    peer.read_authentication()?;
    t.ends(peer);
    Ok(())
}

fn one_line_and_no_packet(t: &mut Test<'_>) -> Step {
    let mut peer = t.dialled(|_| {})?;
    peer.greet();
    peer.read_greeting()?;
    peer.read_authentication()?;
    let more = peer.hears_within(A_MOMENT)?;
    check(!more, "nothing more, until the authentication line of the acceptor has come", readable(peer.unread()))?;
    peer.authenticate()?;
    t.ends(peer);
    Ok(())
}

fn sends_what_it_offers(t: &mut Test<'_>) -> Step {
    let offered = met(t, |_| {})?.read_greeting()?.methods;
    for name in offered.iter().filter(|name| name.starts_with("hmac_sha")) {
        served(t, &[name], name).breaks("AUTH-26")?;
    }
    Ok(())
}

/// A handshake in which the suite takes these methods, and the node has to send this one.
fn served(t: &mut Test<'_>, methods: &[&str], expected: &str) -> Step {
    let mut peer = met(t, |_| {})?;
    peer.greets.methods = methods.iter().map(|name| (*name).to_owned()).collect();
    peer.greet();
    peer.read_greeting()?;
    peer.authenticate()?;
    let line = peer.read_line("its authentication line").breaks("AUTH-1")?;
    let sent = peer.verify(&line)?;
    check(sent.name() == expected, expected, sent)?;
    peer.probe()
}

fn framed(t: &mut Test<'_>, framings: &[&str]) -> Step {
    let mut peer = met(t, |_| {})?;
    peer.greets.framings = framings.iter().map(|name| (*name).to_owned()).collect();
    peer.handshake()?;
    let named = peer.receives.map(Framing::name).unwrap_or_default();
    check(named == framings[0], framings[0], named)?;
    peer.probe()
}

fn framing_not_offered(t: &mut Test<'_>) -> Step {
    let mut peer = met(t, |start| start.framings = vec!["json".into()])?;
    let greeting = peer.read_greeting()?;
    let offers = greeting.framings.join(",");
    check(offers == "json", "json alone among the framings, as told", offers).breaks("GREET-11")?;
    says(&mut peer, |_, right| Ok(right.replace(";json", ";cbor")))?;
    t.ends(peer);
    Ok(())
}

fn packets_behind_a_wrong_line(t: &mut Test<'_>) -> Step {
    let mut peer = t.connect()?;
    peer.read_greeting()?;
    peer.secret = Some(b"no swordfish".to_vec());
    peer.greet();
    let line = peer.authentication()? + "\n";
    let packet = peer.encode(&json!(["echo", 1, peer.port("me")]))?;
    peer.send_octets(&[line.as_bytes(), &packet].concat(), "a wrong authentication line and a packet");
    // An echo of it would stand before the end.
    hears_out(&mut peer)?;
    t.ends(peer);
    Ok(())
}

fn default_methods(t: &mut Test<'_>) -> Step {
    let offered = met(t, |_| {})?.read_greeting()?.methods;
    let has = t.subject(|_| {})?.ready.features();
    let shown = offered.join(",");
    for unsafe_one in ["cleartext", "tls_anon"] {
        check(!offered.iter().any(|name| name == unsafe_one), format!("no {unsafe_one}"), &shown).breaks("AUTH-22")?;
    }
    // Whoever does not have one cannot offer it.
    let advised = [("tls_sha3_512", Tls), ("hmac_sha3_512", HmacSha3_512), ("hmac_sha2_256", HmacSha2_256)];
    let offers = |name: &str| offered.iter().any(|offered| offered == name);
    let advised = advised.into_iter().filter(|(name, feature)| has.contains(feature) || offers(name)).map(|(name, _)| name);
    let advised: Vec<_> = advised.collect();
    let known: Vec<_> = offered.iter().filter(|name| advised.contains(&name.as_str())).collect();
    t.should("AUTH-21", known == advised, advised.join(","), shown);
    Ok(())
}

fn secret(t: &mut Test<'_>, secret: &str) -> Step {
    let octets = secret.chars().map(u8::try_from).collect::<Result<Vec<_>, _>>();
    let octets = octets.map_err(|error| Failure::Suite(error.to_string()))?;
    let subject = t.start(|start| start.secret = Some(secret.into()))?;
    let mut peer =
        if subject.address.is_some() { t.dial(&subject)? } else { t.dialled(|start| start.secret = Some(secret.into()))? };
    peer.secret = Some(octets);
    peer.handshake()?;
    t.ends(peer);
    Ok(())
}

/// None: it has not started, and said so.
fn refuses_to_start(t: &mut Test<'_>, change: impl FnOnce(&mut Start)) -> Step<Option<Peer>> {
    match t.start(change) {
        Ok(subject) => t.dial(&subject).map(Some),
        Err(Failure::Wrong { actual, .. }) => {
            t.log.note(0, format!("it does not start: {actual}"));
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

fn lets_nobody_in(t: &mut Test<'_>, change: impl FnOnce(&mut Start)) -> Step {
    let Some(mut peer) = refuses_to_start(t, change)? else { return Ok(()) };
    let greeting = peer.read_greeting()?;
    let needs_secret = |name: &&String| name.starts_with("hmac_") || *name == "cleartext";
    let offered = greeting.methods.iter().find(needs_secret);
    check(offered.is_none(), "no method that needs a secret", greeting.methods.join(",")).breaks("AUTH-19")?;
    // HMAC fills an empty key up with NUL octets: it is the same.
    peer.secret = Some(vec![0]);
    peer.greet();
    let token = peer.token(aemp_proto::auth::Method::HmacSha3_512)?;
    peer.send_octets(format!("hmac_sha3_512;{token};json\n").as_bytes(), "authentication line under an empty secret");
    hears_out(&mut peer)?;
    peer.expect_end().breaks("AUTH-20")
}
