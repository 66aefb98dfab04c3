//! Taking a well-formed packet apart, item by item, whatever its framing.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::deserialize::DecodeError;
use crate::value::Integer;

/// Reads the items of one packet in order.
///
/// Whoever reads an array or a map must ask [`more`](Reader::more) before each of its members, and for maps take the
/// [`key`](Reader::key) before each value. Cloning a reader remembers a place.
///
/// An error can only come from octets that no scanner has found well-formed.
pub(super) trait Reader<'de>: Clone {
    /// The next item. Of an array or a map only its beginning.
    fn item(&mut self) -> Result<Item<'de>, DecodeError>;

    /// Whether there is another member; if not, the array or map ends here.
    fn more(&mut self, members: &mut Members) -> Result<bool, DecodeError>;

    /// The next key of a map, as text.
    fn key(&mut self) -> Result<Cow<'de, str>, DecodeError>;

    /// Takes the beginning of an array, if it comes next. May leave it to [`item`](Reader::item).
    fn array(&mut self) -> Option<Members>;

    /// Takes the next item if it is a text that can be borrowed as it stands. May leave such a text to
    /// [`item`](Reader::item).
    fn borrowed_text(&mut self) -> Option<&'de str>;

    /// Takes the next item if it is an integer from 0 on. May leave such an integer to [`item`](Reader::item).
    fn unsigned(&mut self) -> Option<u64>;

    /// Takes the next item if it is null.
    fn null(&mut self) -> Result<bool, DecodeError>;

    /// Makes what clones of the reader would otherwise make each for itself.
    fn prepare(&mut self) {}

    /// Reads past the next item, whatever it is, without recursion.
    fn skip(&mut self) -> Result<(), DecodeError> {
        let mut open = Vec::new();
        loop {
            match self.item()? {
                Item::Scalar(_) => {}
                Item::Array(members) | Item::Map(members) => open.push(members),
            }
            loop {
                let Some(members) = open.last_mut() else {
                    return Ok(());
                };
                if self.more(members)? {
                    if members.keyed {
                        self.key()?;
                    }
                    break;
                }
                open.pop();
            }
        }
    }
}

/// An item of a packet.
#[derive(Debug)]
pub(super) enum Item<'de> {
    Scalar(Scalar<'de>),
    Array(Members),
    Map(Members),
}

/// An item without members.
#[derive(Debug, Clone)]
pub(super) enum Scalar<'de> {
    Null,
    Bool(bool),
    Integer(Integer),
    Float(f64),
    Text(Cow<'de, str>),
    Bytes(Cow<'de, [u8]>),
}

/// How far an array or a map has been read.
#[derive(Debug, Clone)]
pub(super) struct Members {
    /// It is a map.
    pub(super) keyed: bool,
    /// Nothing of it has been read.
    pub(super) first: bool,
    /// Members still to come, where the framing says so beforehand.
    pub(super) left: Option<u64>,
}

impl Members {
    pub(super) fn new(keyed: bool, left: Option<u64>) -> Self {
        Members { keyed, first: true, left }
    }

    /// How many members to make room for: what is announced, but not more than a peer has paid for with octets.
    pub(super) fn size_hint(&self) -> Option<usize> {
        self.left.map(|left| usize::try_from(left).unwrap_or(usize::MAX).min(4096))
    }
}
