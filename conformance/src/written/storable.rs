//! What is looked for in storable.

use super::Breach;
use crate::hex::hex;

/// The beginning of the image that is to be written: network order, minor version 11.
const HEADER: &[u8] = &[0x05, 0x0b];
/// The class of bools.
const CLASS: &[u8] = b"JSON::PP::Boolean";

pub(super) fn breaches(octets: &[u8]) -> Vec<Breach> {
    let length = octets.iter().position(|octet| octet & 0x80 == 0).map_or(octets.len(), |last| last + 1);
    let mut walk = Walk { octets, at: length, found: Vec::new(), class_named: false };
    if !octets[length..].starts_with(HEADER) {
        walk.report("STORABLE-13", "an image that begins with 05 0b");
        return walk.found;
    }
    walk.at += HEADER.len();
    // Where it leaves the known way, that was reported.
    let _ = walk.value();
    walk.found
}

/// A walk over an image that is known to be well-formed.
struct Walk<'a> {
    octets: &'a [u8],
    at: usize,
    found: Vec<Breach>,
    class_named: bool,
}

impl<'a> Walk<'a> {
    fn report(&mut self, id: &'static str, expected: &str) {
        let end = (self.at + 8).min(self.octets.len());
        self.found.push(Breach::new(id, expected, format!("octet {}: {}", self.at, hex(&self.octets[self.at..end]))));
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.octets.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    /// A count or a size.
    fn number(&mut self) -> Option<usize> {
        let octets = self.take(4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(octets)).ok()
    }

    fn value(&mut self) -> Option<()> {
        match *self.octets.get(self.at)? {
            0x05 => self.take(1).map(drop),
            0x08 => self.take(2).map(drop),
            0x09 => self.take(5).map(drop),
            0x0a | 0x17 => {
                self.take(1)?;
                let length = self.octet()?;
                self.take(length.into()).map(drop)
            }
            0x01 | 0x18 => {
                self.take(1)?;
                let length = self.number()?;
                self.take(length).map(drop)
            }
            0x02 => {
                self.take(1)?;
                (0..self.number()?).try_for_each(|_| self.value())
            }
            0x04 => {
                self.take(1)?;
                self.value()
            }
            0x03 => {
                self.report("VALUE-11", "a map with the tag 19");
                self.take(1)?;
                (0..self.number()?).try_for_each(|_| {
                    self.value()?;
                    self.key(0)
                })
            }
            0x19 => {
                self.take(2)?;
                (0..self.number()?).try_for_each(|_| {
                    self.value()?;
                    let flags = self.octet()?;
                    self.key(flags)
                })
            }
            0x14 => self.bool(),
            _ => {
                self.report("STORABLE-13", "one of the tags 01 02 03 04 05 08 09 0a 14 17 18 19");
                None
            }
        }
    }

    fn key(&mut self, flags: u8) -> Option<()> {
        let size = self.number()?;
        if flags != 1 && !self.octets.get(self.at..self.at + size)?.is_ascii() {
            self.report("STORABLE-12", "the flag 01 of a key that is not ASCII");
        }
        self.take(size).map(drop)
    }

    fn bool(&mut self) -> Option<()> {
        let rest = &self.octets[self.at + 1..];
        let named = [&[0x11, 0x11], CLASS, &[0x08]].concat();
        let again = [0x12, 0x00, 0x08];
        let length =
            match rest {
                _ if !self.class_named && rest.starts_with(&named) => named.len(),
                _ if self.class_named && (rest.starts_with(&again) || rest.starts_with(&named)) => {
                    if rest.starts_with(&again) { again.len() } else { named.len() }
                }
                _ => {
                    self.report(
                        "STORABLE-14",
                        "14 11 11 \"JSON::PP::Boolean\" 08, then 80 or 81; or, once the class was named, 12 00",
                    );
                    return None;
                }
            };
        self.class_named = true;
        self.take(1 + length + 1).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aemp_proto::framing::{Framing, Limits};

    fn broken(octets: &[u8]) -> Vec<&'static str> {
        breaches(octets).into_iter().map(|breach| breach.requirement).collect()
    }

    #[test]
    fn what_may_be_sent_is_not_found() {
        let mut octets = Vec::new();
        let packet = serde_json::json!(["", [true, false, null], {"ä": -5, "b": 70000}, "é".repeat(300), 1.5]);
        Framing::Storable.encode(&packet, &Limits::default(), &mut octets).expect("a packet");
        assert!(broken(&octets).is_empty(), "{:?}", breaches(&octets));
    }

    #[test]
    fn other_headers_tags_and_bools_are_found() {
        assert_eq!(broken(b"\x09\x05\x0a\x02\x00\x00\x00\x01\x08\x81"), ["STORABLE-13"]);
        assert_eq!(broken(b"\x08\x05\x0b\x02\x00\x00\x00\x01\x0f"), ["STORABLE-13"]);
        assert_eq!(
            broken(b"\x11\x05\x0b\x02\x00\x00\x00\x01\x04\x03\x00\x00\x00\x01\x08\x81\x00\x00\x00\x00"),
            ["VALUE-11"]
        );
        assert_eq!(broken(b"\x0b\x05\x0b\x02\x00\x00\x00\x01\x14\x12\x00\x08\x81"), ["STORABLE-14"]);
    }
}
