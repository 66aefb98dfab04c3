//! Where a json packet ends, and whether it is one.

use alloc::vec::Vec;

use super::text::{self, Walk};
use crate::error::{Error, PeerMisbehaved};
use crate::framing::{Limits, Scan};

/// Walks over json packets (`JSON-2`, `JSON-4` to `JSON-6`).
#[derive(Debug, Default)]
pub(in crate::framing) struct Scanner {
    /// How far the walk came, from the beginning of the packet.
    position: usize,
    next: Next,
    /// The arrays and maps that are open, the packet itself outermost.
    open: Vec<Container>,
    values: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Map,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    /// A packet, or white space before one.
    #[default]
    Packet,
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// The rest of a text that is a value.
    InText,
    /// The rest of a text that is a key.
    InKey,
    /// The rest of a number.
    InNumber(Number),
}

/// How far a number came (RFC 8259, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Start,
    Sign,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

fn malformed(what: &'static str, at: usize) -> Error {
    PeerMisbehaved::MalformedJson { what, at }.into()
}

fn is_white_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\n' | b'\r')
}

impl Scanner {
    pub(in crate::framing) fn within_packet(&self) -> bool {
        self.next != Next::Packet
    }

    #[inline]
    pub(in crate::framing) fn scan(&mut self, octets: &[u8], limits: &Limits) -> Result<Scan, Error> {
        let mut start = 0;
        if self.next == Next::Packet {
            start = octets.iter().position(|&octet| !is_white_space(octet)).unwrap_or(octets.len());
            if start == octets.len() {
                return Ok(Scan::Partial { start });
            }
            self.begin(&octets[start..], limits)?;
        }
        let packet = &octets[start..];
        match self.walk(limits.window(packet), limits)? {
            Some(length) => Ok(Scan::Packet { start, end: start + length }),
            None => {
                limits.check_octets(packet.len())?;
                Ok(Scan::Partial { start })
            }
        }
    }

    fn begin(&mut self, packet: &[u8], limits: &Limits) -> Result<(), Error> {
        match packet[0] {
            b'[' => {}
            b'{' => return Err(PeerMisbehaved::NotAnArray { what: "a map" }.into()),
            b'"' => return Err(PeerMisbehaved::NotAnArray { what: "a text" }.into()),
            b'-' | b'0'..=b'9' => return Err(PeerMisbehaved::NotAnArray { what: "a number" }.into()),
            b't' | b'f' | b'n' => return Err(PeerMisbehaved::NotAnArray { what: "true, false or null" }.into()),
            _ => return Err(unexpected(packet, "no packet begins so", 0)),
        }
        self.position = 1;
        self.values = 0;
        self.open(Container::Array, limits)
    }

    fn open(&mut self, container: Container, limits: &Limits) -> Result<(), Error> {
        self.open.push(container);
        limits.check_depth(self.open.len())?;
        self.next = if container == Container::Array { Next::ValueOrEnd } else { Next::KeyOrEnd };
        self.count(limits)
    }

    fn count(&mut self, limits: &Limits) -> Result<(), Error> {
        self.values += 1;
        limits.check_values(self.values)
    }

    /// Walks on to the end of the packet, or as far as there are octets.
    fn walk(&mut self, packet: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        let mut position = self.position;
        while let Some(&octet) = packet.get(position) {
            match self.next {
                Next::Value | Next::ValueOrEnd => match octet {
                    b'"' => {
                        self.count(limits)?;
                        position += 1;
                        if !self.walk_text(packet, &mut position, Next::InText, Next::CommaOrEnd)? {
                            break;
                        }
                    }
                    b'-' | b'0'..=b'9' => {
                        self.count(limits)?;
                        self.walk_number(packet, &mut position, Number::Start)?;
                    }
                    b']' if self.next == Next::ValueOrEnd => {
                        position += 1;
                        if self.close(octet, position)? {
                            return Ok(Some(position));
                        }
                    }
                    b'[' | b'{' => {
                        position += 1;
                        self.open(if octet == b'[' { Container::Array } else { Container::Map }, limits)?;
                    }
                    b't' | b'f' | b'n' => {
                        let Some(length) = literal_length(packet, position)? else {
                            break;
                        };
                        self.count(limits)?;
                        position += length;
                        self.next = Next::CommaOrEnd;
                    }
                    _ if is_white_space(octet) => position += 1,
                    _ => return Err(unexpected(packet, "no value begins so", position)),
                },
                Next::CommaOrEnd => {
                    position += 1;
                    match (octet, self.open.last()) {
                        (b',', Some(Container::Array)) => self.next = Next::Value,
                        (b',', Some(Container::Map)) => self.next = Next::Key,
                        (b']' | b'}', _) => {
                            if self.close(octet, position)? {
                                return Ok(Some(position));
                            }
                        }
                        _ if is_white_space(octet) => {}
                        _ => {
                            return Err(unexpected(
                                packet,
                                "a comma or the end of the array or map is missing",
                                position - 1,
                            ));
                        }
                    }
                }
                Next::Key | Next::KeyOrEnd => {
                    position += 1;
                    match octet {
                        b'"' => {
                            self.count(limits)?;
                            if !self.walk_text(packet, &mut position, Next::InKey, Next::Colon)? {
                                break;
                            }
                        }
                        b'}' if self.next == Next::KeyOrEnd => {
                            self.close(octet, position)?;
                        }
                        _ if is_white_space(octet) => {}
                        _ => return Err(unexpected(packet, "a key must be a text", position - 1)),
                    }
                }
                Next::Colon => {
                    match octet {
                        b':' => self.next = Next::Value,
                        _ if is_white_space(octet) => {}
                        _ => return Err(unexpected(packet, "a key must be followed by a colon", position)),
                    }
                    position += 1;
                }
                Next::InText => {
                    if !self.walk_text(packet, &mut position, Next::InText, Next::CommaOrEnd)? {
                        break;
                    }
                }
                Next::InKey => {
                    if !self.walk_text(packet, &mut position, Next::InKey, Next::Colon)? {
                        break;
                    }
                }
                Next::InNumber(number) => self.walk_number(packet, &mut position, number)?,
                // `scan` has begun the packet, and the end of one returns.
                Next::Packet => return Err(malformed("no packet begins so", position)),
            }
        }
        self.position = position;
        Ok(None)
    }

    /// Walks on within a text; false if it is not complete.
    #[inline]
    fn walk_text(&mut self, packet: &[u8], position: &mut usize, within: Next, behind: Next) -> Result<bool, Error> {
        let (end, next) = match text::walk(packet, *position) {
            Walk::Closed(end) => (end, behind),
            Walk::Partial(end) => (end, within),
            Walk::Fault(at) => return Err(text::fault(packet, at)),
        };
        (*position, self.next) = (end, next);
        Ok(next == behind)
    }

    /// Walks on within a number, to its end or that of the octets.
    #[inline]
    fn walk_number(&mut self, packet: &[u8], position: &mut usize, mut number: Number) -> Result<(), Error> {
        while let Some(&octet) = packet.get(*position) {
            let Some(later) = number_step(number, octet, *position)? else {
                self.next = Next::CommaOrEnd;
                return Ok(());
            };
            number = later;
            *position += 1;
        }
        self.next = Next::InNumber(number);
        Ok(())
    }

    /// Closes the innermost array or map, whose last octet is before `end`; true if that was the packet.
    fn close(&mut self, octet: u8, end: usize) -> Result<bool, Error> {
        let right = if octet == b']' { Container::Array } else { Container::Map };
        if self.open.pop() != Some(right) {
            return Err(malformed("an array ends as a map, or a map as an array", end - 1));
        }
        let whole = self.open.is_empty();
        self.next = if whole { Next::Packet } else { Next::CommaOrEnd };
        Ok(whole)
    }
}

/// The error for an octet that cannot stand there; one that no UTF-8 has is reported as such.
#[cold]
fn unexpected(packet: &[u8], what: &'static str, at: usize) -> Error {
    match packet[at] {
        0x80..=0xC1 | 0xF5.. => PeerMisbehaved::JsonNotUtf8 { at }.into(),
        _ => malformed(what, at),
    }
}

/// The length of `true`, `false` or `null`; `None` if it is not complete.
fn literal_length(packet: &[u8], at: usize) -> Result<Option<usize>, Error> {
    let literal: &[u8] = match packet[at] {
        b't' => b"true",
        b'f' => b"false",
        _ => b"null",
    };
    let came = &packet[at..packet.len().min(at + literal.len())];
    if !literal.starts_with(came) {
        return Err(malformed("no value begins so", at));
    }
    Ok((came.len() == literal.len()).then_some(literal.len()))
}

/// How a number goes on with `octet`; `None` if it ended before.
#[inline]
fn number_step(number: Number, octet: u8, at: usize) -> Result<Option<Number>, Error> {
    use Number::{Digits, Exponent, ExponentDigits, ExponentSign, Fraction, Point, Sign, Start, Zero};
    Ok(Some(match (number, octet) {
        (Start, b'-') => Sign,
        (Start | Sign, b'0') => Zero,
        (Start | Sign, b'1'..=b'9') | (Digits, b'0'..=b'9') => Digits,
        (Zero | Digits, b'.') => Point,
        (Point | Fraction, b'0'..=b'9') => Fraction,
        (Zero | Digits | Fraction, b'e' | b'E') => Exponent,
        (Exponent, b'+' | b'-') => ExponentSign,
        (Exponent | ExponentSign | ExponentDigits, b'0'..=b'9') => ExponentDigits,
        (Zero | Digits | Fraction | ExponentDigits, _) => return Ok(None),
        _ => return Err(malformed("a number lacks a digit", at)),
    }))
}
