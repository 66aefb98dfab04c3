//! What is left of a packet, kept to be read in portions.

use alloc::string::String;
use alloc::vec::Vec;

use super::packet::{Cursor, Elements};
use super::place::{Inside, Place};
use super::read::Members;
use super::{Framing, Limits, cbor, json};

/// The elements of a packet that were not taken, in octets of their own.
#[derive(Debug)]
pub(crate) struct Kept {
    octets: Octets,
    members: Members,
}

#[derive(Debug)]
enum Octets {
    Json(String),
    Cbor(Vec<u8>),
}

/// A place in what is kept: within an array or a map.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// Octets from there to the end.
    left: usize,
    members: Members,
}

impl Kept {
    /// Keeps the elements of a packet. Those of a storable packet become cbor. `None` if they cannot be written in that.
    pub(crate) fn new(elements: Elements<'_>) -> Option<Self> {
        let (octets, members) = match &elements.cursor {
            Cursor::Json(reader) => (Octets::Json(reader.rest().into()), elements.members.clone()),
            Cursor::Cbor(reader) => (Octets::Cbor(reader.rest().into()), elements.members.clone()),
            Cursor::Storable(_) => {
                let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
                let mut octets = Vec::new();
                elements.relay(&[], Framing::Cbor, &unlimited, &mut octets).ok()?;
                let inside = Place::cbor(&octets).array()?;
                let (left, members) = (inside.left(), inside.members.clone());
                octets.drain(..octets.len() - left);
                (Octets::Cbor(octets), members)
            }
        };
        Some(Kept { octets, members })
    }

    /// How many octets are kept.
    pub(crate) fn len(&self) -> usize {
        match &self.octets {
            Octets::Json(text) => text.len(),
            Octets::Cbor(octets) => octets.len(),
        }
    }

    fn cursor(&self, left: usize) -> Cursor<'_> {
        let from = self.len().saturating_sub(left);
        match &self.octets {
            Octets::Json(text) => Cursor::Json(json::Reader::of(text.get(from..).unwrap_or_default())),
            Octets::Cbor(octets) => Cursor::Cbor(cbor::Reader::new(&octets[from..])),
        }
    }

    /// The elements.
    pub(crate) fn elements(&self) -> Elements<'_> {
        Elements { cursor: self.cursor(self.len()), members: self.members.clone() }
    }

    /// Goes on at a mark.
    pub(crate) fn inside(&self, mark: &Mark) -> Inside<'_> {
        Inside { cursor: self.cursor(mark.left), members: mark.members.clone() }
    }
}

impl Inside<'_> {
    /// Octets from here to the end of what is read.
    pub(crate) fn left(&self) -> usize {
        self.cursor.left()
    }

    /// Remembers this place.
    pub(crate) fn mark(&self) -> Mark {
        Mark { left: self.left(), members: self.members.clone() }
    }
}

impl Mark {
    /// The same array or map, from where another one within it has ended.
    pub(crate) fn behind(&self, inner: &Inside<'_>) -> Mark {
        Mark { left: inner.left(), members: self.members.clone() }
    }
}
