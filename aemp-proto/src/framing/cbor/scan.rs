//! Where a cbor packet ends, and whether it is one.

use alloc::vec::Vec;

use super::head::{self, Head, INDEFINITE, Read, major, simple, tag};
use crate::error::{Error, PeerMisbehaved};
use crate::framing::{Limits, Scan};

/// Walks over cbor packets (`CBOR-2` to `CBOR-5`, `CBOR-9`, `CBOR-13`, `CBOR-14`).
#[derive(Debug, Default)]
pub(in crate::framing) struct Scanner {
    /// Octets of a packet have arrived, and not all.
    begun: bool,
    /// How far the walk came, from the beginning of the packet.
    position: usize,
    /// The arrays, maps and strings of indefinite length that are open, the packet itself outermost.
    open: Vec<Open>,
    /// The string whose octets are not complete.
    string: Option<Octets>,
    /// A tag came last, so an item must follow.
    tagged: bool,
    values: usize,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    kind: Kind,
    /// Items still to come; `None` for an indefinite length.
    left: Option<usize>,
    /// In a map: whether the next item is a key.
    key: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Map,
    /// The chunks of a string of this major type.
    Chunks(u8),
}

#[derive(Debug, Clone, Copy)]
struct Octets {
    text: bool,
    left: usize,
}

fn malformed(what: &'static str, at: usize) -> Error {
    PeerMisbehaved::MalformedCbor { what, at }.into()
}

impl Scanner {
    pub(in crate::framing) fn within_packet(&self) -> bool {
        self.begun
    }

    #[inline]
    pub(in crate::framing) fn scan(&mut self, packet: &[u8], limits: &Limits) -> Result<Scan, Error> {
        let whole = self.walk(limits.window(packet), limits)?;
        self.begun = !whole && !packet.is_empty();
        if whole {
            let end = core::mem::take(&mut self.position);
            self.values = 0;
            Ok(Scan::Packet { start: 0, end })
        } else {
            limits.check_octets(packet.len())?;
            Ok(Scan::Partial { start: 0 })
        }
    }

    /// Walks on; true at the end of the packet, false at the end of the octets.
    fn walk(&mut self, packet: &[u8], limits: &Limits) -> Result<bool, Error> {
        loop {
            if let Some(string) = self.string.take() {
                let Some(rest) = self.walk_string(string, packet.get(self.position..).unwrap_or_default())? else {
                    if self.item_ends() {
                        return Ok(true);
                    }
                    continue;
                };
                self.string = Some(rest);
                return Ok(false);
            }
            let at = self.position;
            let octets = packet.get(at..).unwrap_or_default();
            if let (true, Some(initial)) = (self.open.is_empty(), octets.first())
                && !matches!(initial >> 5, major::ARRAY | major::TAG)
            {
                return Err(not_an_array(*initial));
            }
            let head = match head::read(octets) {
                Read::Head(head) => head,
                Read::Partial => return Ok(false),
                Read::Reserved => return Err(malformed("reserved additional information", at)),
            };
            self.position += head.length;
            if self.walk_head(head, at, packet, limits)? {
                return Ok(true);
            }
        }
    }

    /// Walks over the head of an item; true at the end of the packet.
    fn walk_head(&mut self, head: Head, at: usize, packet: &[u8], limits: &Limits) -> Result<bool, Error> {
        let indefinite = head.info == INDEFINITE;
        if indefinite && head.major == major::SIMPLE {
            return self.walk_break(at);
        }
        if let Some(Open { kind: Kind::Chunks(major), .. }) = self.open.last()
            && (head.major != *major || indefinite || self.tagged)
        {
            return Err(malformed("a chunk of another kind than its string", at));
        }
        if head.major == major::TAG {
            if indefinite {
                return Err(malformed("a tag of indefinite length", at));
            }
            if let tag @ (tag::BIGNUM | tag::NEGATIVE_BIGNUM | tag::STRING_REFERENCE | tag::SHARED_REFERENCE) = head.argument
            {
                return Err(PeerMisbehaved::UnsupportedTag { tag, at }.into());
            }
            self.tagged = true;
            return Ok(false);
        }
        self.tagged = false;
        if !matches!(self.open.last(), Some(Open { kind: Kind::Chunks(_), .. })) {
            self.values += 1;
            limits.check_values(self.values)?;
        }
        match head.major {
            major::UNSIGNED | major::NEGATIVE => {
                if indefinite {
                    return Err(malformed("an integer of indefinite length", at));
                }
            }
            major::BYTES | major::TEXT => {
                if indefinite {
                    self.open.push(Open { kind: Kind::Chunks(head.major), left: None, key: false });
                    return Ok(false);
                }
                let left = announced(head, limits.octets);
                limits.check_octets(self.position.saturating_add(left))?;
                let string = Octets { text: head.major == major::TEXT, left };
                self.string = self.walk_string(string, packet.get(self.position..).unwrap_or_default())?;
                if self.string.is_some() {
                    return Ok(false);
                }
            }
            major::ARRAY | major::MAP => {
                if matches!(self.open.last(), Some(Open { kind: Kind::Map, key: true, .. })) {
                    return Err(PeerMisbehaved::CompositeMapKey { at }.into());
                }
                let (kind, items) = if head.major == major::MAP { (Kind::Map, 2) } else { (Kind::Array, 1) };
                let left = (!indefinite).then(|| announced(head, limits.values).saturating_mul(items));
                limits.check_values(self.values.saturating_add(left.unwrap_or(0)))?;
                self.open.push(Open { kind, left, key: kind == Kind::Map });
                limits.check_depth(self.open.len())?;
                return Ok(left == Some(0) && self.close());
            }
            _ => match head.info {
                simple::FALSE..=simple::UNDEFINED | simple::FLOAT_16..=simple::FLOAT_64 => {}
                24 if head.argument < 32 => return Err(malformed("a simple value in two octets that has one octet", at)),
                _ => return Err(PeerMisbehaved::UnassignedSimpleValue { at }.into()),
            },
        }
        Ok(self.item_ends())
    }

    fn walk_break(&mut self, at: usize) -> Result<bool, Error> {
        match self.open.last() {
            Some(Open { kind: Kind::Map, left: None, key: false }) => Err(malformed("a map ends behind a key", at)),
            Some(Open { left: None, .. }) if !self.tagged => Ok(self.close()),
            _ => Err(malformed("a break where none can be", at)),
        }
    }

    /// Closes the innermost array, map or string; true if that was the packet.
    fn close(&mut self) -> bool {
        self.open.pop();
        self.item_ends()
    }

    /// Counts an item that has ended, and what ends with it; true if that was the packet.
    #[inline]
    fn item_ends(&mut self) -> bool {
        while let Some(open) = self.open.last_mut() {
            open.key = open.kind == Kind::Map && !open.key;
            match &mut open.left {
                Some(left) => *left -= 1,
                None => return false,
            }
            if open.left != Some(0) {
                return false;
            }
            self.open.pop();
        }
        true
    }

    /// Walks over the octets of a string; what is left of it if it is not complete.
    #[inline]
    fn walk_string(&mut self, string: Octets, octets: &[u8]) -> Result<Option<Octets>, Error> {
        let whole = octets.len() >= string.left;
        let octets = &octets[..octets.len().min(string.left)];
        let mut walked = octets.len();
        // Mostly it is ASCII, which is found out faster.
        if string.text
            && !octets.is_ascii()
            && let Err(error) = core::str::from_utf8(octets)
        {
            walked = error.valid_up_to();
            // A character that is cut by the end of what has arrived is looked at again later.
            if whole || error.error_len().is_some() {
                return Err(PeerMisbehaved::CborNotUtf8 { at: self.position + walked }.into());
            }
        }
        self.position += walked;
        Ok((!whole).then_some(Octets { left: string.left - walked, ..string }))
    }
}

/// What a head announces, as far as it can matter: anything beyond `limit` is refused by it.
fn announced(head: Head, limit: usize) -> usize {
    usize::try_from(head.argument).unwrap_or(usize::MAX).min(limit.saturating_add(1))
}

fn not_an_array(initial: u8) -> Error {
    let what = match initial >> 5 {
        major::UNSIGNED | major::NEGATIVE => "an integer",
        major::BYTES => "bytes",
        major::TEXT => "a text",
        major::MAP => "a map",
        _ => "a simple value or a float",
    };
    PeerMisbehaved::NotAnArray { what }.into()
}
