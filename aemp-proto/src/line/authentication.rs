//! The authentication line.

use core::fmt;

use nom::Parser;
use nom::character::complete::char;
use nom::combinator::all_consuming;

use super::extension::{extensions, name, raw_value};
use crate::error::{Error, PeerMisbehaved};

/// What an authentication line says. `Debug` leaves the token out.
#[derive(Clone, PartialEq, Eq)]
pub struct Authentication<'a> {
    /// The method.
    pub method: &'a str,
    /// What proves the sender's knowledge; what it must be depends on the method.
    pub token: &'a str,
    /// The framing in which the sender will send.
    pub framing: &'a str,
}

impl<'a> Authentication<'a> {
    /// Reads an authentication line, without its line end.
    ///
    /// ```abnf
    /// auth-line = method ";" token ";" framing *( ";" extension )
    /// ```
    ///
    /// # Errors
    ///
    /// When it is malformed (`AUTH-2`).
    ///
    /// ```
    /// let line = aemp_proto::line::Authentication::parse(b"tls_anon;;json").unwrap();
    /// assert_eq!((line.method, line.token, line.framing), ("tls_anon", "", "json"));
    /// ```
    pub fn parse(line: &'a [u8]) -> Result<Self, Error> {
        let malformed = |what| Error::from(PeerMisbehaved::MalformedAuthentication { what });
        let line = core::str::from_utf8(line).map_err(|_| malformed("it is not UTF-8"))?;
        match all_consuming((name, char(';'), raw_value, char(';'), name, extensions)).parse(line) {
            Ok((_, (method, _, token, _, framing, _))) => Ok(Authentication { method, token, framing }),
            Err(_) => Err(malformed("it is not METHOD;TOKEN;FRAMING")),
        }
    }
}

/// Writes the line, without a line end.
impl fmt::Display for Authentication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{};{}", self.method, self.token, self.framing)
    }
}

impl fmt::Debug for Authentication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("method", &self.method)
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
}
