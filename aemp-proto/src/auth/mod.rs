//! Authentication: the methods, and the tokens that prove something.

mod secret;

pub use secret::{Secret, SecretError};

use core::fmt;

use hmac::{Hmac, KeyInit, Mac, SimpleHmac};
use sha2::Sha256;
use sha3::{Digest, Sha3_512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use alloc::string::String;

/// A way to authenticate (section 4.2 of the specification).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The hash of the transcript, inside TLS: the certificates are the proof.
    TlsSha3_512,
    /// HMAC-SHA3-512 of the transcript under the secret.
    HmacSha3_512,
    /// HMAC-SHA-256 of the transcript under the secret, for peers without SHA-3.
    HmacSha2_256,
    /// Nothing, inside TLS. Must be asked for by name (`AUTH-22`).
    TlsAnon,
    /// The secret itself, for whoever listens to read. Must be asked for by name (`AUTH-22`).
    Cleartext,
}

impl Method {
    /// The methods that are sent unless the owner says otherwise, best first.
    pub const DEFAULT_SENT: [Method; 3] = [Method::TlsSha3_512, Method::HmacSha3_512, Method::HmacSha2_256];
    /// The methods that are accepted unless the owner says otherwise, best first (`AUTH-21`).
    pub const DEFAULT_ACCEPTED: [Method; 3] = [Method::TlsSha3_512, Method::HmacSha3_512, Method::HmacSha2_256];

    /// Finds a method by its name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        use Method::{Cleartext, HmacSha2_256, HmacSha3_512, TlsAnon, TlsSha3_512};
        [TlsSha3_512, HmacSha3_512, HmacSha2_256, TlsAnon, Cleartext].into_iter().find(|method| method.name() == name)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Method::TlsSha3_512 => "tls_sha3_512",
            Method::HmacSha3_512 => "hmac_sha3_512",
            Method::HmacSha2_256 => "hmac_sha2_256",
            Method::TlsAnon => "tls_anon",
            Method::Cleartext => "cleartext",
        }
    }

    /// Whether the method works inside TLS only (`AUTH-18`).
    pub fn requires_tls(self) -> bool {
        matches!(self, Method::TlsSha3_512 | Method::TlsAnon)
    }

    /// Whether the method works with a secret only (`AUTH-19`).
    pub fn requires_secret(self) -> bool {
        !self.requires_tls()
    }

    /// The token of this method; `None` if it requires a secret and there is none.
    ///
    /// ```
    /// use aemp_proto::auth::{Method, Secret, Transcript};
    /// let transcript = Transcript { own: [b"a", b"1"], other: [b"b", b"2"] };
    /// let secret = Secret::new(b"swordfish").unwrap();
    /// let token = Method::HmacSha3_512.token(&transcript, Some(&secret)).unwrap();
    /// assert_eq!(token.len(), 128);
    /// ```
    pub fn token(self, transcript: &Transcript<'_>, secret: Option<&Secret>) -> Option<Zeroizing<String>> {
        self.token_within(transcript, None, secret)
    }

    /// The same within TLS, between two sides that bind their tokens to it (`AUTH-27`).
    pub fn token_within(
        self,
        transcript: &Transcript<'_>,
        exporter: Option<&Exporter>,
        secret: Option<&Secret>,
    ) -> Option<Zeroizing<String>> {
        let secret = match secret {
            Some(secret) => secret.octets(),
            None if self.requires_secret() => return None,
            None => &[],
        };
        Some(match self {
            Method::TlsSha3_512 => {
                let mut hash = Sha3_512::new();
                transcript.for_each_piece(exporter, |piece| hash.update(piece));
                hex(&hash.finalize())
            }
            Method::HmacSha3_512 => mac::<SimpleHmac<Sha3_512>>(transcript, exporter, secret)?,
            Method::HmacSha2_256 => mac::<Hmac<Sha256>>(transcript, exporter, secret)?,
            Method::TlsAnon => Zeroizing::default(),
            Method::Cleartext => hex(secret),
        })
    }

    /// Whether `token` proves what this method asks for, in a time that does not depend on where it is wrong (`AUTH-17`).
    ///
    /// `transcript` is the one of the side that sent the token (`AUTH-13`).
    pub fn verify(self, token: &str, transcript: &Transcript<'_>, secret: Option<&Secret>) -> bool {
        self.verify_within(token, transcript, None, secret)
    }

    /// The same within TLS, between two sides that bind their tokens to it (`AUTH-27`).
    pub fn verify_within(
        self,
        token: &str,
        transcript: &Transcript<'_>,
        exporter: Option<&Exporter>,
        secret: Option<&Secret>,
    ) -> bool {
        self.token_within(transcript, exporter, secret).is_some_and(|right| right.as_bytes().ct_eq(token.as_bytes()).into())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The two greetings that a token is bound to: all four lines without line ends.
#[derive(Debug, Clone, Copy)]
pub struct Transcript<'a> {
    /// The greeting lines of the side that sends the token.
    pub own: [&'a [u8]; 2],
    /// The greeting lines that it received.
    pub other: [&'a [u8]; 2],
}

/// Octets that both ends of one TLS connection know, and nobody else, nor any other connection: the channel binding
/// `tls-exporter` of RFC 9266.
pub type Exporter = [u8; 32];

impl Transcript<'_> {
    fn for_each_piece(&self, exporter: Option<&Exporter>, mut visit: impl FnMut(&[u8])) {
        for line in self.own.iter().chain(&self.other) {
            visit(line);
            visit(b"\n");
        }
        if let Some(exporter) = exporter {
            visit(hex(exporter).as_bytes());
            visit(b"\n");
        }
    }
}

fn mac<M: Mac + KeyInit>(
    transcript: &Transcript<'_>,
    exporter: Option<&Exporter>,
    secret: &[u8],
) -> Option<Zeroizing<String>> {
    // HMAC takes keys of any length; `None` cannot happen, and would only make authentication fail.
    let mut mac = <M as KeyInit>::new_from_slice(secret).ok()?;
    transcript.for_each_piece(exporter, |piece| mac.update(piece));
    Some(hex(&mac.finalize().into_bytes()))
}

fn hex(octets: &[u8]) -> Zeroizing<String> {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = Zeroizing::new(String::with_capacity(2 * octets.len()));
    for octet in octets {
        text.push(DIGITS[usize::from(octet >> 4)]);
        text.push(DIGITS[usize::from(octet & 15)]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of section 4.4 of the specification.
    #[test]
    fn a_token_within_tls_is_bound_to_its_connection() {
        let alice: [&[u8]; 2] = [
            b"aemp;1;alice;hmac_sha3_512;json;exporter=1;tls=1.0",
            b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ];
        let bob: [&[u8]; 2] = [
            b"aemp;1;bob;tls_sha3_512,hmac_sha3_512;cbor,json;exporter=1;tls=1.0",
            b"ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=",
        ];
        let exporter: Exporter = core::array::from_fn(|index| index as u8);
        let (of_alice, of_bob) = (Transcript { own: alice, other: bob }, Transcript { own: bob, other: alice });
        let secret = Secret::new(b"swordfish").expect("a secret");
        for (method, transcript, token) in [
            (
                Method::HmacSha3_512,
                of_bob,
                "63127394b7f94095269b9e9a397d254ed1bac7057229fb7eb240378536f861bc22f836665b02771624455dbf263206f022cb24767c015d9e56625c52ac8d246c",
            ),
            (
                Method::TlsSha3_512,
                of_alice,
                "bcbb039c6a746733e4f86604daa2c6212ec43037fdaa3e0619241ccbdd13eef064d1a2904bfebcec495af665dabfe7318fc614011ef931f863f1b7b6e0310211",
            ),
            (Method::HmacSha2_256, of_alice, "bea498ba700998d9036c1d9a439ac0f1c02bc51960f88bcdeb65f87356c6c56d"),
        ] {
            let got = method.token_within(&transcript, Some(&exporter), Some(&secret)).expect("there is a secret");
            assert_eq!(*got, *token, "AUTH-27");
            assert!(!method.verify_within(&got, &transcript, Some(&[0; 32]), Some(&secret)), "AUTH-27: another connection");
            assert!(!method.verify(&got, &transcript, Some(&secret)), "AUTH-27: outside of TLS");
        }
    }
}
