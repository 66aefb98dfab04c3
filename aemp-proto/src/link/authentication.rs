//! The authentication lines: ours, and what must be right about the peer's.

use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use super::event::{Event, Role};
use super::{Link, State};
use crate::auth::{Method, Transcript};
use crate::error::{ApiMisuse, Error, PeerIncompatible, PeerMisbehaved};
use crate::framing::{Framing, Scanner};
use crate::line::{Authentication, MAX_LINE, Protocol};

impl Link {
    /// Makes sure that both directions can work, and sends our line if we are the opener.
    pub(super) fn begin_authentication(&mut self) -> Result<(), Error> {
        let Some(peer) = &self.peer.greeting else {
            return Err(ApiMisuse::OutOfTurn("accept").into());
        };
        if self.config.choose_method(&peer.methods, self.tls).is_none() {
            return Err(PeerIncompatible::NoCommonMethod { offered: peer.methods.join(",").as_str().into() }.into());
        }
        let Some(send) = self.config.choose_framing(&peer.framings) else {
            return Err(PeerIncompatible::NoCommonFraming { offered: peer.framings.join(",").as_str().into() }.into());
        };
        self.state = State::Authenticating { send, authenticated: false };
        if self.role == Role::Opener { self.authenticate() } else { Ok(()) }
    }

    /// Sends our authentication line.
    fn authenticate(&mut self) -> Result<(), Error> {
        let (State::Authenticating { send, authenticated }, Some(peer)) = (&mut self.state, &self.peer.greeting) else {
            return Ok(());
        };
        let no_method = || Error::from(PeerIncompatible::NoCommonMethod { offered: peer.methods.join(",").as_str().into() });
        let method = self.config.choose_method(&peer.methods, self.tls).ok_or_else(no_method)?;
        let transcript = Transcript { own: self.own.lines(), other: self.peer.lines() };
        let secret = self.config.secrets().nth(self.proven);
        let token = method.token_within(&transcript, self.exporter.as_ref(), secret).ok_or_else(no_method)?;
        *authenticated = true;
        self.token_in_output = true;
        // So that no copy of the token is left behind by growing.
        self.output.buffer().reserve(MAX_LINE);
        let line = Authentication { method: method.name(), token: &token, framing: send.name() };
        let _infallible = writeln!(Octets(self.output.buffer()), "{line}");
        Ok(())
    }

    /// Verifies the peer's authentication line; if it is right, the link is up.
    pub(super) fn verify(&mut self, line: &[u8]) -> Result<Event, Error> {
        let line = Authentication::parse(line)?;
        let offered = |names: &[alloc::string::String], name: &str| names.iter().any(|offered| offered == name);
        let own = &self.own.greeting;
        // What stands where a name should be may be the secret: only names that mean something are told (`ERR-3`).
        let told = |name: &str, is_known: bool| if is_known { name.into() } else { "a name that is not known".into() };
        let method = match Method::from_name(line.method) {
            Some(method) if offered(&own.methods, line.method) => method,
            _ => {
                return Err(PeerMisbehaved::MethodNotOffered {
                    method: told(line.method, Method::from_name(line.method).is_some()),
                }
                .into());
            }
        };
        let framing = match Framing::from_name(line.framing) {
            Some(framing) if offered(&own.framings, line.framing) => framing,
            _ => {
                return Err(PeerMisbehaved::FramingNotOffered {
                    framing: told(line.framing, Framing::from_name(line.framing).is_some()),
                }
                .into());
            }
        };
        if method.requires_tls() && !self.tls {
            return Err(PeerMisbehaved::MethodRequiresTls { method: line.method.into() }.into());
        }
        let transcript = Transcript { own: self.peer.lines(), other: self.own.lines() };
        let is_right = |secret| method.verify_within(line.token, &transcript, self.exporter.as_ref(), secret);
        // Which secret it was, we answer with (`SEC-7`).
        self.proven = match self.config.secrets().position(|secret| is_right(Some(secret))) {
            Some(proven) => proven,
            None if !method.requires_secret() && is_right(None) => 0,
            None => return Err(PeerMisbehaved::WrongToken { hint: wrong_token_hint(method, line.token) }.into()),
        };
        if self.role == Role::Acceptor {
            self.authenticate()?;
        }
        let State::Authenticating { send, .. } = self.state else {
            return Err(ApiMisuse::OutOfTurn("receive").into());
        };
        let event = match self.protocol() {
            Some(Protocol::Other(_)) => {
                self.state = State::Stream { method };
                Event::Stream
            }
            _ => {
                self.state = State::Up { send, scanner: Scanner::new(framing, self.config.limits), method };
                Event::Up
            }
        };
        // The lines have served; an idle link should be small.
        (self.own.first, self.own.second) = (Vec::new(), Vec::new());
        (self.peer.first, self.peer.second) = (Vec::new(), Vec::new());
        Ok(event)
    }
}

/// What can be said about a wrong token without saying anything about the right one.
fn wrong_token_hint(method: Method, token: &str) -> &'static str {
    let length = match method {
        Method::TlsSha3_512 | Method::HmacSha3_512 => 128,
        Method::HmacSha2_256 => 64,
        Method::TlsAnon => 0,
        Method::Cleartext => token.len(),
    };
    if token.len() != length {
        "it has the wrong length for its method"
    } else if token.contains(|digit: char| digit.is_ascii_uppercase()) {
        "it has uppercase digits"
    } else {
        "the two sides have different secrets, or somebody changed the greeting"
    }
}

/// Writes text into a buffer of octets.
struct Octets<'a>(&'a mut Vec<u8>);

impl fmt::Write for Octets<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
