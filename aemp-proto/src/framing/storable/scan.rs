//! Where a storable packet ends, and whether it is one.

use alloc::vec::Vec;

use super::bytes::{Fault, Octets, Stop};
use super::head::{self, Head};
use super::layout::Layout;
use super::objects::{Kind, Objects, Size};
use crate::error::{Error, LimitExceeded, PeerMisbehaved};
use crate::framing::{Limits, Scan};

/// Walks over storable packets (`STORABLE-1` to `STORABLE-11`).
#[derive(Debug, Default)]
pub(in crate::framing) struct Scanner {
    /// Octets of a packet have arrived, and not all.
    begun: bool,
    /// Where the packet ends, once its length has been read.
    end: Option<usize>,
    layout: Option<Layout>,
    /// How far the walk came, from the beginning of the packet.
    position: usize,
    next: Next,
    /// The arrays and maps that are open, the packet itself outermost.
    open: Vec<Open>,
    objects: Objects,
    /// Classes that were named.
    classes: usize,
    values: usize,
    /// Octets of objects that came another time.
    copied: usize,
    /// The same of the packet that was found last.
    last_copied: usize,
}

/// What comes another time may have so many times the octets of its packet (`STORABLE-18`).
const AGAIN: usize = 16;

/// Or so many octets, if that is more.
const LEAST_AGAIN: usize = 4096;

/// What comes next.
#[derive(Debug, Clone, Copy, Default)]
enum Next {
    /// The packet's array.
    #[default]
    Packet,
    /// A member of the innermost array or map.
    Member,
    /// What a reference refers to.
    Referent(Reference),
    /// The key of the value that came.
    Key,
    /// The rest of a string.
    InString { key: bool, text: bool, left: usize },
}

#[derive(Debug, Clone, Copy)]
struct Reference {
    object: usize,
    overloaded: bool,
    /// What [`Scanner::octets`] was in front of it.
    octets: usize,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    object: usize,
    /// The reference to it that stands in front of it.
    reference: Option<Reference>,
    kind: Container,
    /// Members still to come.
    left: usize,
    /// The levels of its members.
    height: u32,
    /// What `values` and [`Scanner::octets`] were in front of it.
    values: usize,
    octets: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Map { flagged: bool },
}

impl Scanner {
    pub(in crate::framing) fn within_packet(&self) -> bool {
        self.begun
    }

    /// The octets that came another time in the packet that was found last.
    pub(in crate::framing) fn last_copied(&self) -> usize {
        self.last_copied
    }

    pub(in crate::framing) fn scan(&mut self, packet: &[u8], limits: &Limits) -> Result<Scan, Error> {
        let whole = self.walk(limits.window(packet), limits)?;
        self.begun = !whole && !packet.is_empty();
        if whole {
            let end = self.position;
            self.open.clear();
            self.objects.clear();
            let (open, objects) = (core::mem::take(&mut self.open), core::mem::take(&mut self.objects));
            *self = Scanner { open, objects, last_copied: self.copied, ..Scanner::default() };
            Ok(Scan::Packet { start: 0, end })
        } else {
            limits.check_octets(packet.len())?;
            Ok(Scan::Partial { start: 0 })
        }
    }

    /// Walks on; true at the end of the packet, false at the end of the octets.
    fn walk(&mut self, packet: &[u8], limits: &Limits) -> Result<bool, Error> {
        let Some(end) = self.end(packet, limits)? else {
            return Ok(false);
        };
        let image = &packet[..packet.len().min(end)];
        loop {
            let before = self.position;
            let ended = match self.step(image, end, limits) {
                Ok(ended) => ended,
                Err(Failure::Stop(Stop::Partial)) if image.len() < end => return Ok(false),
                Err(Failure::Stop(Stop::Partial)) => {
                    return Err(Fault::Malformed("the length ends within a value").at(before));
                }
                Err(Failure::Stop(Stop::Fault(fault))) => return Err(fault.at(self.position)),
                Err(Failure::Error(error)) => return Err(error),
            };
            if ended {
                return match self.position {
                    position if position == end => Ok(true),
                    position => Err(Fault::Malformed("more follows behind the array").at(position)),
                };
            }
        }
    }

    /// Where the packet ends (`STORABLE-1`, `STORABLE-2`); `None` if its length has not arrived.
    fn end(&mut self, packet: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        if let Some(end) = self.end {
            return Ok(Some(end));
        }
        let mut length = 0usize;
        for (position, &octet) in packet.iter().enumerate() {
            if octet == 0x80 && position == 0 {
                return Err(PeerMisbehaved::StorableLength.into());
            }
            length = length.saturating_mul(128).saturating_add(usize::from(octet & 0x7F));
            // Also what is too long to be written as a length.
            limits.check_octets(length)?;
            if octet & 0x80 == 0 {
                let end = length.saturating_add(position + 1);
                limits.check_octets(end)?;
                self.position = position + 1;
                self.end = Some(end);
                return Ok(self.end);
            }
        }
        Ok(None)
    }

    /// Walks over one thing; true if it was the last of the packet.
    fn step(&mut self, image: &[u8], end: usize, limits: &Limits) -> Result<bool, Failure> {
        let octets = &image[self.position..];
        let Some(layout) = self.layout else {
            let mut octets = Octets::new(octets);
            self.layout = Some(Layout::read(&mut octets)?);
            self.position += octets.taken();
            return Ok(false);
        };
        match self.next {
            Next::InString { key, text, left } => self.walk_string(octets, key, text, left),
            Next::Key => self.walk_key(octets, end, layout, limits),
            Next::Packet => {
                let (head, length) = head::read(octets, layout)?;
                if !matches!(head, Head::Array { .. }) {
                    return Err(not_an_array(&head).into());
                }
                self.walk_head(head, length, None, end, limits)
            }
            Next::Member => {
                let (head, length) = head::read(octets, layout)?;
                self.check_member(&head)?;
                self.walk_head(head, length, None, end, limits)
            }
            Next::Referent(reference) => {
                let (head, length) = head::read(octets, layout)?;
                self.check_referent(&head, reference.overloaded)?;
                self.walk_head(head, length, Some(reference), end, limits)
            }
        }
    }

    /// Whether a value can stand in an array or a map (`STORABLE-6`).
    fn check_member(&self, head: &Head) -> Result<(), Fault> {
        match head {
            Head::Array { .. } | Head::Map { .. } => Err(Fault::Misplaced("an array or a hash without a reference to it")),
            Head::BoolObject { .. } => Err(Fault::Misplaced("an object without a reference to it")),
            Head::NullElement if self.open.last().is_some_and(|open| open.kind != Container::Array) => {
                Err(Fault::Misplaced("an undefined element outside of an array"))
            }
            Head::Again { object } => match self.objects.find(*object)?.0 {
                Kind::Scalar | Kind::Reference => Ok(()),
                Kind::Container => Err(Fault::Misplaced("an array or a hash without a reference to it")),
                Kind::Bool => Err(Fault::Misplaced("an object without a reference to it")),
            },
            _ => Ok(()),
        }
    }

    /// Whether a reference can refer to a value (`STORABLE-6`).
    fn check_referent(&self, head: &Head, overloaded: bool) -> Result<(), Fault> {
        let kind = match head {
            Head::Again { object } => self.objects.find(*object)?.0,
            Head::Reference { .. } => Kind::Reference,
            Head::Array { .. } | Head::Map { .. } => Kind::Container,
            Head::BoolObject { .. } => Kind::Bool,
            Head::NullElement => return Err(Fault::Misplaced("an undefined element outside of an array")),
            _ => Kind::Scalar,
        };
        match (overloaded, kind) {
            (_, Kind::Bool) | (false, Kind::Scalar | Kind::Container) => Ok(()),
            (_, Kind::Reference) => Err(Fault::Misplaced("a reference to a reference")),
            (true, _) => Err(Fault::Misplaced("a reference with overloaded operators to what is no object")),
        }
    }

    /// Walks over the head of a value that can stand where it does.
    fn walk_head(
        &mut self,
        head: Head,
        length: usize,
        reference: Option<Reference>,
        end: usize,
        limits: &Limits,
    ) -> Result<bool, Failure> {
        let before = self.octets();
        let room = end - self.position - length;
        if let Head::Reference { overloaded } = head {
            self.position += length;
            let object = self.objects.begin(Kind::Reference);
            self.next = Next::Referent(Reference { object, overloaded, octets: before });
            return Ok(false);
        }
        if let Head::Again { object } = head {
            let (_, size) = self.objects.find(object)?;
            self.position += length;
            self.values = self.values.saturating_add(size.values as usize);
            limits.check_values(self.values)?;
            self.copied = self.copied.saturating_add(size.octets as usize);
            limits.check_octets(end.saturating_add(self.copied))?;
            limits.check_depth(self.open.len() + size.height as usize)?;
            let most = end.saturating_mul(AGAIN).max(LEAST_AGAIN);
            if self.copied > most {
                return Err(Error::from(LimitExceeded::StorableAgain { limit: most }).into());
            }
            return Ok(self.member_ends(reference, size));
        }
        self.values += 1;
        limits.check_values(self.values)?;
        let (kind, members, least) = match head {
            Head::Array { length } => (Container::Array, length, 1),
            // A value, and a key with its length.
            Head::Map { flagged, length } => (Container::Map { flagged }, length, 5 + usize::from(flagged)),
            _ => return self.walk_scalar(head, length, room, reference),
        };
        if members > room / least {
            return Err(Fault::Malformed("more members than octets").into());
        }
        let announced = if kind == Container::Array { members } else { members.saturating_mul(2) };
        limits.check_values(self.values.saturating_add(announced))?;
        let object = self.objects.begin(Kind::Container);
        let values = self.values - 1;
        self.open.push(Open { object, reference, kind, left: members, height: 0, values, octets: before });
        limits.check_depth(self.open.len())?;
        self.position += length;
        self.next = Next::Member;
        Ok(members == 0 && self.close())
    }

    fn walk_scalar(
        &mut self,
        head: Head,
        length: usize,
        room: usize,
        reference: Option<Reference>,
    ) -> Result<bool, Failure> {
        let (kind, content) = match head {
            Head::String { length, .. } => (Kind::Scalar, length),
            Head::BoolObject { class, .. } => {
                match class {
                    None => self.classes += 1,
                    Some(class) if usize::from(class) < self.classes => {}
                    Some(_) => return Err(Fault::Unknown.into()),
                }
                (Kind::Bool, 0)
            }
            _ => (Kind::Scalar, 0),
        };
        if content > room {
            return Err(Fault::Malformed("a string that is longer than the packet").into());
        }
        let object = self.objects.begin(kind);
        self.position += length;
        let size = Size { values: 1, octets: as_u32(length + content), height: 0 };
        self.objects.end(object, size);
        if let Head::String { text, length: left @ 1.. } = head {
            if let Some(reference) = reference {
                self.objects.end(reference.object, Size { octets: size.octets + 1, ..size });
            }
            self.next = Next::InString { key: false, text, left };
            return Ok(false);
        }
        Ok(self.member_ends(reference, size))
    }

    /// Walks over the length and the flags of a key.
    fn walk_key(&mut self, octets: &[u8], end: usize, layout: Layout, limits: &Limits) -> Result<bool, Failure> {
        let Some(Open { kind: Container::Map { flagged }, .. }) = self.open.last() else {
            return Err(Fault::Malformed("a key outside of a map").into());
        };
        let (key, length) = head::read_key(octets, *flagged, layout)?;
        if key.length > end - self.position - length {
            return Err(Fault::Malformed("a key that is longer than the packet").into());
        }
        self.position += length;
        self.values += 1;
        limits.check_values(self.values)?;
        if key.length == 0 {
            return Ok(self.key_ends());
        }
        self.next = Next::InString { key: true, text: key.text, left: key.length };
        Ok(false)
    }

    /// Walks over the octets of a string, as far as there are any.
    fn walk_string(&mut self, octets: &[u8], key: bool, text: bool, left: usize) -> Result<bool, Failure> {
        let whole = octets.len() >= left;
        let octets = &octets[..octets.len().min(left)];
        let mut walked = octets.len();
        // Mostly it is ASCII, which is found out faster.
        if text
            && !octets.is_ascii()
            && let Err(error) = core::str::from_utf8(octets)
        {
            walked = error.valid_up_to();
            // A character that is cut by the end of what has arrived is looked at again later.
            if whole || error.error_len().is_some() {
                self.position += walked;
                return Err(Fault::NotUtf8.into());
            }
        }
        self.position += walked;
        if !whole {
            self.next = Next::InString { key, text, left: left - walked };
            return Err(Stop::Partial.into());
        }
        Ok(if key { self.key_ends() } else { self.value_ends() })
    }

    /// A value has ended that is known by its size; true if the packet ends with it.
    fn member_ends(&mut self, reference: Option<Reference>, size: Size) -> bool {
        self.note(reference, size);
        self.value_ends()
    }

    /// Takes down the size of a value that has ended.
    fn note(&mut self, reference: Option<Reference>, size: Size) {
        if let Some(reference) = reference {
            let octets = as_u32(self.octets() - reference.octets);
            self.objects.end(reference.object, Size { octets, ..size });
        }
        if let Some(open) = self.open.last_mut() {
            open.height = open.height.max(size.height);
        }
    }

    /// Counts a value that has ended, and what ends with it; true if that was the packet.
    fn value_ends(&mut self) -> bool {
        while let Some(open) = self.open.last_mut() {
            if open.kind != Container::Array {
                // Its key stands behind the value.
                self.next = Next::Key;
                return false;
            }
            open.left -= 1;
            if open.left > 0 {
                self.next = Next::Member;
                return false;
            }
            self.pop();
        }
        true
    }

    /// A key has ended, and with it an entry of the innermost map.
    fn key_ends(&mut self) -> bool {
        self.next = Next::Member;
        let Some(open) = self.open.last_mut() else {
            return true;
        };
        open.left -= 1;
        open.left == 0 && self.close()
    }

    /// The innermost array or map ends; true if that was the packet.
    fn close(&mut self) -> bool {
        self.pop();
        self.value_ends()
    }

    fn pop(&mut self) {
        if let Some(open) = self.open.pop() {
            let size = Size {
                values: as_u32(self.values - open.values),
                octets: as_u32(self.octets() - open.octets),
                height: open.height + 1,
            };
            self.objects.end(open.object, size);
            self.note(open.reference, size);
        }
    }

    /// How many octets were passed, those of objects that came another time included.
    fn octets(&self) -> usize {
        self.position + self.copied
    }
}

/// Why a step was not made.
enum Failure {
    Stop(Stop),
    Error(Error),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Failure::Stop(stop)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Stop(fault.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

/// Sizes are at most those of a packet, which are numbers of 31 bits.
fn as_u32(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn not_an_array(head: &Head) -> Error {
    let what = match head {
        Head::Map { .. } => "a map",
        Head::String { text: true, .. } => "a text",
        Head::String { text: false, .. } => "bytes",
        Head::Integer(_) => "an integer",
        Head::Float(_) => "a float",
        Head::Bool(_) | Head::BoolObject { .. } => "a bool",
        Head::Reference { .. } => "a reference",
        Head::Null | Head::NullElement => "null",
        Head::Again { .. } | Head::Array { .. } => "an object of before",
    };
    PeerMisbehaved::NotAnArray { what }.into()
}
