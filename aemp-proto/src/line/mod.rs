//! The lines of the handshake: cutting them out of the stream, reading and writing them.
//!
//! Each parser carries the rule of `spec/grammar.abnf` that it follows.

mod authentication;
mod extension;
mod greeting;

pub use authentication::Authentication;
pub use extension::{escape, unescape};
pub use greeting::{Greeting, Protocol};

use core::fmt;

use crate::error::{Error, LimitExceeded, PeerMisbehaved};

/// The longest line, in octets, with its line end (`CONN-5`).
pub const MAX_LINE: usize = 4096;

/// A line that was found at the beginning of a stream. `Debug` leaves the text out: it may have a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The line without its line end.
    pub text: &'a [u8],
    /// How many octets the line took with its line end.
    pub length: usize,
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("length", &self.length).finish_non_exhaustive()
    }
}

/// Cuts the first line off a stream; `None` if it is not complete yet (`CONN-4`).
///
/// # Errors
///
/// When the line is, or must become, longer than [`MAX_LINE`] (`CONN-6`), or has a CR within (`CONN-8`).
///
/// ```
/// let line = aemp_proto::line::split(b"hello\r\nmore").unwrap().unwrap();
/// assert_eq!((line.text, line.length), (&b"hello"[..], 7));
/// ```
pub fn split(stream: &[u8]) -> Result<Option<Line<'_>>, Error> {
    let window = &stream[..stream.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|&octet| octet == b'\n') else {
        // A CR at the end may be followed by its LF.
        let before = &window[..window.len().saturating_sub(1)];
        return match before.contains(&b'\r') {
            true => Err(PeerMisbehaved::StrayCarriageReturn.into()),
            false if stream.len() > MAX_LINE => Err(LimitExceeded::Line.into()),
            _ => Ok(None),
        };
    };
    let text = window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]);
    if text.contains(&b'\r') {
        return Err(PeerMisbehaved::StrayCarriageReturn.into());
    }
    Ok(Some(Line { text, length: end + 1 }))
}
