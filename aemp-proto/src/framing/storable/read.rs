//! Taking a storable packet apart.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::bytes::Octets;
use super::head::{self, Head, Key};
use super::index::Index;
use super::layout::Layout;
use crate::framing::convert;
use crate::framing::deserialize::DecodeError;
use crate::framing::read::{self, Item, Members, Scalar};

/// References are read as what they refer to, and an object that comes another time as if it stood there again.
#[derive(Debug, Clone)]
pub(in crate::framing) struct Reader<'de> {
    packet: &'de [u8],
    /// Where the packet's array stands, and how numbers are laid out; `None` if it has no such beginning.
    begin: Option<(usize, Layout)>,
    position: usize,
    open: Vec<Open>,
    /// Made when it is needed first: for an object that comes another time, and for the key of an array or a map.
    index: Option<Index>,
}

/// An array or a map that has not ended.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Keys have flags.
    flagged: bool,
    /// Where reading goes on behind it, if it does not stand there.
    resume: Option<usize>,
}

/// A value without the references in front of it.
struct Found {
    head: Head,
    /// Behind the head.
    position: usize,
    /// Where reading goes on behind the value, if it does not stand there.
    resume: Option<usize>,
}

impl<'de> Reader<'de> {
    /// Reads a packet that a scanner has found well-formed.
    pub(in crate::framing) fn new(packet: &'de [u8]) -> Self {
        let begin = begin(packet);
        let position = begin.map_or(0, |(position, _)| position);
        Reader { packet, begin, position, open: Vec::new(), index: None }
    }

    /// Octets behind the place that is read.
    pub(in crate::framing) fn left(&self) -> usize {
        self.packet.len().saturating_sub(self.position)
    }

    fn layout(&self) -> Result<Layout, DecodeError> {
        self.begin.map(|(_, layout)| layout).ok_or_else(DecodeError::unscanned)
    }

    fn rest(&self, position: usize) -> Result<&'de [u8], DecodeError> {
        self.packet.get(position..).ok_or_else(DecodeError::unscanned)
    }

    fn index(&mut self) -> Result<&Index, DecodeError> {
        if self.index.is_none() {
            let (array, layout) = self.begin.ok_or_else(DecodeError::unscanned)?;
            self.index = Some(Index::new(self.packet, array, layout)?);
        }
        self.index.as_ref().ok_or_else(DecodeError::unscanned)
    }

    fn head(&self, position: usize) -> Result<(Head, usize), DecodeError> {
        let (head, length) = head::read(self.rest(position)?, self.layout()?).map_err(|_| DecodeError::unscanned())?;
        Ok((head, position + length))
    }

    /// The value that comes next, wherever it stands.
    fn find(&mut self) -> Result<Found, DecodeError> {
        let mut at = self.position;
        let mut resume = None;
        loop {
            let (head, position) = self.head(at)?;
            at = match head {
                Head::Reference { .. } => position,
                Head::Again { object } => {
                    resume.get_or_insert(position);
                    self.index()?.start(object)?
                }
                head => return Ok(Found { head, position, resume }),
            };
        }
    }

    /// Where the value ends that comes next.
    fn value_end(&mut self) -> Result<usize, DecodeError> {
        let mut at = self.position;
        loop {
            let (head, position) = self.head(at)?;
            return match head {
                Head::Reference { .. } => {
                    at = position;
                    continue;
                }
                Head::Array { .. } | Head::Map { .. } => self.index()?.end(at),
                Head::String { length, .. } => Ok(position + length),
                _ => Ok(position),
            };
        }
    }

    /// The key at `position`: what stands in front of its octets, and where these begin.
    fn key_at(&self, position: usize) -> Result<(Key, usize), DecodeError> {
        let flagged = self.open.last().is_some_and(|open| open.flagged);
        let (key, length) =
            head::read_key(self.rest(position)?, flagged, self.layout()?).map_err(|_| DecodeError::unscanned())?;
        Ok((key, position + length))
    }

    fn octets(&self, position: usize, length: usize) -> Result<&'de [u8], DecodeError> {
        self.rest(position)?.get(..length).ok_or_else(DecodeError::unscanned)
    }

    fn open(&mut self, found: &Found, flagged: bool) {
        self.position = found.position;
        self.open.push(Open { flagged, resume: found.resume });
    }
}

/// Where the array of a packet stands, and how its numbers are laid out.
fn begin(packet: &[u8]) -> Option<(usize, Layout)> {
    let length = packet.iter().position(|octet| octet & 0x80 == 0)? + 1;
    let mut octets = Octets::new(&packet[length..]);
    let layout = Layout::read(&mut octets).ok()?;
    Some((length + octets.taken(), layout))
}

fn as_text(octets: &[u8]) -> Result<&str, DecodeError> {
    core::str::from_utf8(octets).map_err(|_| DecodeError::unscanned())
}

impl<'de> read::Reader<'de> for Reader<'de> {
    fn item(&mut self) -> Result<Item<'de>, DecodeError> {
        let found = self.find()?;
        let mut end = found.position;
        let scalar = match found.head {
            Head::Array { length } => {
                self.open(&found, false);
                return Ok(Item::Array(Members::new(false, Some(length as u64))));
            }
            Head::Map { flagged, length } => {
                self.open(&found, flagged);
                return Ok(Item::Map(Members::new(true, Some(length as u64))));
            }
            Head::String { text, length } => {
                let octets = self.octets(found.position, length)?;
                end += length;
                if text { Scalar::Text(as_text(octets)?.into()) } else { Scalar::Bytes(octets.into()) }
            }
            Head::Integer(value) => Scalar::Integer(value),
            Head::Float(value) => Scalar::Float(value),
            Head::Bool(value) | Head::BoolObject { value, .. } => Scalar::Bool(value),
            Head::Null | Head::NullElement => Scalar::Null,
            Head::Reference { .. } | Head::Again { .. } => return Err(DecodeError::unscanned()),
        };
        self.position = found.resume.unwrap_or(end);
        Ok(Item::Scalar(scalar))
    }

    fn more(&mut self, members: &mut Members) -> Result<bool, DecodeError> {
        if members.keyed && !members.first {
            // The key of the value that was read stands behind it.
            let (key, position) = self.key_at(self.position)?;
            self.position = position + key.length;
        }
        members.first = false;
        match &mut members.left {
            Some(left @ 1..) => {
                *left -= 1;
                Ok(true)
            }
            _ => {
                if let Some(Open { resume: Some(resume), .. }) = self.open.pop() {
                    self.position = resume;
                }
                Ok(false)
            }
        }
    }

    fn key(&mut self) -> Result<Cow<'de, str>, DecodeError> {
        let end = self.value_end()?;
        let (key, position) = self.key_at(end)?;
        let octets = self.octets(position, key.length)?;
        Ok(if key.text { as_text(octets)?.into() } else { convert::bytes_to_text(octets.into()) })
    }

    fn array(&mut self) -> Option<Members> {
        None
    }

    fn borrowed_text(&mut self) -> Option<&'de str> {
        let (Head::String { text, length }, position) = self.head(self.position).ok()? else {
            return None;
        };
        let octets = self.octets(position, length).ok()?;
        // Bytes are text too (`VALUE-7`): the same octets, if they are ASCII.
        if !text && !octets.is_ascii() {
            return None;
        }
        let text = core::str::from_utf8(octets).ok()?;
        self.position = position + length;
        Some(text)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let (Head::Integer(value), position) = self.head(self.position).ok()? else {
            return None;
        };
        let value = value.as_u64()?;
        self.position = position;
        Some(value)
    }

    fn null(&mut self) -> Result<bool, DecodeError> {
        let found = self.find()?;
        let null = matches!(found.head, Head::Null | Head::NullElement);
        if null {
            self.position = found.resume.unwrap_or(found.position);
        }
        Ok(null)
    }

    fn prepare(&mut self) {
        // Without one, reading says what is wrong.
        let _unscanned = self.index();
    }

    fn skip(&mut self) -> Result<(), DecodeError> {
        self.position = self.value_end()?;
        Ok(())
    }
}
