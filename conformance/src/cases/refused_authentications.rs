//! Chapter 4: authentication lines that a node has to refuse, by closing without a word.

use aemp_proto::auth::Method;
use aemp_proto::line::MAX_LINE;

use super::attempt::{Attempt, accepted, accepting, hears_out, opened};
use crate::case::{Case, End};
use crate::failure::{Failure, Step};
use crate::hex::hex;
use crate::peer::Peer;
use crate::subject::Feature::Listen;
use crate::subject::Level::Transport;
use crate::wire::readable;

/// Each of them must be closed.
const REFUSED: &[Attempt; 33] = &[
    refused("authentication/empty-line", &["AUTH-2"], "An empty authentication line is refused.", |peer| {
        says(peer, |_, _| Ok(String::new()))
    }),
    refused("authentication/one-part", &["AUTH-2"], "An authentication line of one part is refused.", |peer| {
        says(peer, |_, right| Ok(part(right, 0).into()))
    }),
    refused("authentication/two-parts", &["AUTH-2"], "An authentication line without a framing is refused.", |peer| {
        says(peer, |_, right| Ok(format!("{};{}", part(right, 0), part(right, 1))))
    }),
    refused(
        "authentication/empty-framing",
        &["AUTH-2"],
        "An authentication line with an empty framing is refused.",
        |peer| says(peer, |_, right| Ok(format!("{};{};", part(right, 0), part(right, 1)))),
    ),
    refused("authentication/empty-method", &["AUTH-2"], "An authentication line with an empty method is refused.", |peer| {
        says(peer, |_, right| Ok(format!(";{};{}", part(right, 1), part(right, 2))))
    }),
    refused("authentication/blanks", &["AUTH-2"], "An authentication line with blanks behind the `;` is refused.", |peer| {
        says(peer, |_, right| Ok(right.replace(';', "; ")))
    }),
    refused("authentication/control-character", &["AUTH-2"], "A control character in a key is refused.", |peer| {
        says(peer, |_, right| Ok(format!("{right};a=\u{1}")))
    }),
    refused("authentication/no-utf-8", &["AUTH-2"], "An authentication line that is no UTF-8 is refused.", |peer| {
        peer.greet();
        let right = peer.authentication()?;
        sends(peer, &[right.as_bytes(), b";a=\xff\n"].concat())
    }),
    refused(
        "authentication/packet-instead",
        &["AUTH-2"],
        "A packet in the place of the authentication line is refused.",
        |peer| {
            let packet = format!("[\"echo\",1,{:?}]", peer.port("me"));
            says(peer, |_, _| Ok(packet))
        },
    ),
    refused(
        "authentication/line-too-long",
        &["CONN-6"],
        "An authentication line of 4097 octets with its line end is refused.",
        |peer| says(peer, |_, right| Ok(format!("{right};long={}", "x".repeat(MAX_LINE - right.len() - ";long=".len())))),
    ),
    refused(
        "authentication/line-without-end",
        &["CONN-6"],
        "4097 octets without a line end behind the greeting are refused.",
        |peer| {
            peer.greet();
            sends(peer, &[b'x'; MAX_LINE + 1])
        },
    ),
    refused("authentication/stray-cr", &["CONN-8"], "A CR within the authentication line is refused.", |peer| {
        says(peer, |_, right| Ok(format!("{right};a=b\rc=d")))
    }),
    refused("authentication/unknown-method", &["AUTH-14"], "A method that nobody knows is refused.", |peer| {
        says(peer, |_, right| Ok(format!("x.nobody;{};{}", part(right, 1), part(right, 2))))
    }),
    refused("authentication/old-method", &["AUTH-14"], "A method of version 1 of the reference is refused.", |peer| {
        says(peer, |_, right| Ok(format!("hmac_md6_64_256;{};{}", part(right, 1), part(right, 2))))
    }),
    refused(
        "authentication/cleartext-not-offered",
        &["AUTH-14", "AUTH-22"],
        "The right secret in cleartext, which the node has not offered, is refused.",
        |peer| says(peer, |peer, right| Ok(format!("cleartext;{};{}", hex(&secret(peer)), part(right, 2)))),
    ),
    refused(
        "authentication/anonymous-without-tls",
        &["AUTH-18", "AUTH-14", "AUTH-22"],
        "The method tls_anon, without TLS, is refused.",
        |peer| says(peer, |_, right| Ok(format!("tls_anon;;{}", part(right, 2)))),
    ),
    refused(
        "authentication/tls-method-without-tls",
        &["AUTH-18"],
        "The method tls_sha3_512, with its right token, which needs no secret, is refused without TLS.",
        |peer| says(peer, |peer, right| Ok(format!("tls_sha3_512;{};{}", peer.token(Method::TlsSha3_512)?, part(right, 2)))),
    ),
    refused("authentication/unknown-framing", &["AUTH-15"], "A framing that nobody knows is refused.", |peer| {
        says(peer, |_, right| Ok(format!("{};{};xml", part(right, 0), part(right, 1))))
    }),
    refused("authentication/framing-in-uppercase", &["AUTH-15"], "A framing in uppercase is refused.", |peer| {
        says(peer, |_, right| Ok(format!("{};{};JSON", part(right, 0), part(right, 1))))
    }),
    refused("authentication/method-in-uppercase", &["AUTH-14"], "A method in uppercase is refused.", |peer| {
        says(peer, |_, right| Ok(format!("{};{};json", part(right, 0).to_uppercase(), part(right, 1))))
    }),
    refused("authentication/wrong-secret", &["AUTH-16"], "A token under another secret is refused.", |peer| {
        peer.secret = Some(b"swordfis".to_vec());
        says(peer, |_, right| Ok(right.into()))
    }),
    refused("authentication/empty-secret", &["AUTH-16", "AUTH-20"], "A token under an empty secret is refused.", |peer| {
        // HMAC fills a key up with NUL octets: this is the same key.
        peer.secret = Some(vec![0]);
        says(peer, |_, right| Ok(right.into()))
    }),
    refused("authentication/uppercase-token", &["AUTH-16"], "The right token in uppercase digits is refused.", |peer| {
        token(peer, str::to_uppercase)
    }),
    refused("authentication/first-digit", &["AUTH-16"], "A token whose first digit is wrong is refused.", |peer| {
        token(peer, |right| other_digit(&right[..1]) + &right[1..])
    }),
    refused("authentication/last-digit", &["AUTH-16"], "A token whose last digit is wrong is refused.", |peer| {
        token(peer, |right| right[..right.len() - 1].to_owned() + &other_digit(&right[right.len() - 1..]))
    }),
    refused("authentication/empty-token", &["AUTH-16"], "An empty token is refused.", |peer| token(peer, |_| String::new())),
    refused("authentication/short-token", &["AUTH-16"], "A token that lacks its last octet is refused.", |peer| {
        token(peer, |right| right[..right.len() - 2].to_owned())
    }),
    refused("authentication/long-token", &["AUTH-16"], "A right token with an octet behind it is refused.", |peer| {
        token(peer, |right| format!("{right}00"))
    }),
    refused("authentication/blank-behind-token", &["AUTH-16"], "A right token with a blank behind it is refused.", |peer| {
        token(peer, |right| format!("{right} "))
    }),
    refused(
        "authentication/swapped-token",
        &["AUTH-13", "AUTH-16"],
        "A token over the transcript as the node sees it, with its own lines first, is refused.",
        |peer| says(peer, |peer, right| with_token(right, &peer.swapped_token(method(right)?)?)),
    ),
    refused(
        "authentication/changed-greeting",
        &["AUTH-16"],
        "A token over other lines than those that the node received is refused: somebody in between may have changed them.",
        |peer| {
            let sent = peer.greeting_octets();
            peer.greets.methods.push("cleartext".into());
            peer.greeting_octets();
            let right = peer.authentication()?;
            sends(peer, &[&sent, right.as_bytes(), b"\n"].concat())
        },
    ),
    refused(
        "authentication/plain-hash",
        &["AUTH-16"],
        "The hash of the transcript in the place of the HMAC is refused.",
        |peer| says(peer, |peer, right| with_token(right, &peer.token(Method::TlsSha3_512)?)),
    ),
    refused(
        "authentication/cleartext-as-token",
        &["AUTH-16"],
        "The secret itself, in hexadecimal, in the place of an HMAC is refused.",
        |peer| says(peer, |peer, right| with_token(right, &hex(&secret(peer)))),
    ),
];

const CASES_REFUSED: [Case; REFUSED.len()] =
    accepting(REFUSED, Transport, &[Listen], End::Closes, |t| accepted(t, REFUSED, |_| {}));

const OPENER: &[Case] = &[Case::new(
    "authentication/opener-refuses",
    &["AUTH-2", "AUTH-13", "AUTH-14", "AUTH-15", "AUTH-16", "AUTH-18", "AUTH-20", "AUTH-22", "CONN-6", "CONN-8", "ERR-1"],
    "A node that opens connections refuses from acceptors what it refuses from openers.",
    |t| opened(t, REFUSED, End::Closes, |_| {}),
)
.alone()];

/// The cases of this chapter in which the node closes because of an authentication line.
pub(super) fn cases() -> impl Iterator<Item = &'static Case> {
    const REFUSED: &[Case] = &CASES_REFUSED;
    REFUSED.iter().chain(OPENER)
}

const fn refused(
    name: &'static str,
    proves: &'static [&'static str],
    about: &'static str,
    act: fn(&mut Peer) -> Step,
) -> Attempt {
    Attempt { name, proves, about, act }
}

/// Greets, and sends what `spoil` makes of the right authentication line, without its line end.
pub(super) fn says(peer: &mut Peer, spoil: impl FnOnce(&Peer, &str) -> Step<String>) -> Step {
    peer.greet();
    let right = peer.authentication()?;
    let line = spoil(peer, &right)?;
    peer.send_octets((line + "\n").as_bytes(), &format!("authentication line; right were {}", readable(right.as_bytes())));
    hears_out(peer)
}

/// The same, where the token only is spoilt.
pub(super) fn token(peer: &mut Peer, spoil: impl FnOnce(&str) -> String) -> Step {
    says(peer, |_, right| with_token(right, &spoil(part(right, 1))))
}

fn sends(peer: &mut Peer, octets: &[u8]) -> Step {
    peer.send_octets(octets, "greeting or authentication line");
    hears_out(peer)
}

fn part(line: &str, at: usize) -> &str {
    line.split(';').nth(at).unwrap_or_default()
}

fn with_token(line: &str, token: &str) -> Step<String> {
    Ok(format!("{};{token};{}", part(line, 0), part(line, 2)))
}

fn method(line: &str) -> Step<Method> {
    Method::from_name(part(line, 0)).ok_or_else(|| Failure::Suite("a line without a method".into()))
}

fn secret(peer: &Peer) -> Vec<u8> {
    peer.secret.clone().unwrap_or_default()
}

fn other_digit(digit: &str) -> String {
    if digit == "0" { "1" } else { "0" }.into()
}
