//! Places within a packet: walking over a value without building it.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use serde::Deserialize;

use super::cbor;
use super::deserialize::{DecodeError, Next};
use super::packet::{Cursor, Elements, on};
use super::read::{Item, Members, Reader, Scalar};
use crate::value::Integer;

/// The place of one value in a packet that a scanner has found well-formed.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a>(pub(super) Cursor<'a>);

/// What a walk over a value meets, in order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Visit<'v> {
    Null,
    Bool(bool),
    Integer(Integer),
    Float(f64),
    Text(&'v str),
    Bytes(&'v [u8]),
    /// An array begins.
    Array,
    /// A map begins.
    Map,
    /// The key of the value that comes next.
    Key(&'v str),
    /// The innermost array or map ends.
    End,
}

/// The members of an array or a map that were not taken yet.
#[derive(Debug, Clone)]
pub(crate) struct Inside<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) members: Members,
}

impl<'a> Elements<'a> {
    /// Takes the next element without decoding it: its place. `None` if all were taken.
    pub(crate) fn place(&mut self) -> Option<Place<'a>> {
        if !on!(&mut self.cursor, reader => reader.more(&mut self.members)).unwrap_or(false) {
            return None;
        }
        let place = Place(self.cursor.clone());
        on!(&mut self.cursor, reader => reader.skip()).ok()?;
        Some(place)
    }
}

impl<'a> Place<'a> {
    /// The place of a single value in cbor.
    pub(crate) fn cbor(octets: &'a [u8]) -> Self {
        Place(Cursor::Cbor(cbor::Reader::new(octets)))
    }

    /// Walks over the value, without recursion; gives the place behind it.
    pub(crate) fn walk(mut self, mut visit: impl FnMut(Visit<'_>)) -> Result<Self, DecodeError> {
        on!(&mut self.0, reader => walk(reader, &mut visit))?;
        Ok(self)
    }

    /// Decodes the value.
    pub(crate) fn decode<T: Deserialize<'a>>(&self) -> Result<T, DecodeError> {
        on!(&mut self.0.clone(), reader => T::deserialize(Next(reader)))
    }

    /// Whether the value is null.
    pub(crate) fn is_null(&self) -> bool {
        on!(&mut self.0.clone(), reader => reader.null().unwrap_or(false))
    }

    /// The members of a map; `None` if it is none.
    pub(crate) fn map(&self) -> Option<Inside<'a>> {
        self.inside(true)
    }

    /// The elements of an array; `None` if it is none.
    pub(crate) fn array(&self) -> Option<Inside<'a>> {
        self.inside(false)
    }

    fn inside(&self, keyed: bool) -> Option<Inside<'a>> {
        let mut cursor = self.0.clone();
        let members = match on!(&mut cursor, reader => reader.item()).ok()? {
            Item::Map(members) if keyed => members,
            Item::Array(members) if !keyed => members,
            _ => return None,
        };
        Some(Inside { cursor, members })
    }
}

impl<'a> Inside<'a> {
    /// The next member and, in a map, its key. [`pass`](Self::pass) has to come before the next call.
    pub(crate) fn next(&mut self) -> Option<(Cow<'a, str>, Place<'a>)> {
        let members = &mut self.members;
        let key = on!(&mut self.cursor, reader => match reader.more(members) {
            Ok(true) if members.keyed => reader.key().ok()?,
            Ok(true) => Cow::Borrowed(""),
            _ => return None,
        });
        Some((key, Place(self.cursor.clone())))
    }

    /// Goes on at a place, which is that behind the last member.
    pub(crate) fn pass(&mut self, behind: Place<'a>) {
        self.cursor = behind.0;
    }
}

fn walk<'a, R: Reader<'a>>(reader: &mut R, visit: &mut impl FnMut(Visit<'_>)) -> Result<(), DecodeError> {
    let mut open: Vec<Members> = Vec::new();
    loop {
        match reader.item()? {
            Item::Scalar(scalar) => visit(match &scalar {
                Scalar::Null => Visit::Null,
                Scalar::Bool(value) => Visit::Bool(*value),
                Scalar::Integer(value) => Visit::Integer(*value),
                Scalar::Float(value) => Visit::Float(*value),
                Scalar::Text(value) => Visit::Text(value),
                Scalar::Bytes(value) => Visit::Bytes(value),
            }),
            Item::Array(members) => {
                visit(Visit::Array);
                open.push(members);
            }
            Item::Map(members) => {
                visit(Visit::Map);
                open.push(members);
            }
        }
        loop {
            let Some(innermost) = open.last_mut() else { return Ok(()) };
            if reader.more(innermost)? {
                if innermost.keyed {
                    visit(Visit::Key(&reader.key()?));
                }
                break;
            }
            open.pop();
            visit(Visit::End);
        }
    }
}
