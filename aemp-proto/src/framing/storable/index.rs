//! Where the objects of an image begin and end: needed to go back to one, and to find the key behind a value.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::head::{self, Head};
use super::layout::Layout;
use crate::framing::deserialize::DecodeError;

/// The objects of one packet, in the order of their numbers, which is that of their beginnings.
#[derive(Debug, Clone)]
pub(super) struct Index(Arc<[Span]>);

/// Positions in the packet, which has no more octets than a signed number of 32 bits.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

/// An array or a map that has not ended.
struct Open {
    object: usize,
    reference: Option<usize>,
    /// In a map: whether keys have flags.
    flagged: Option<bool>,
    /// Members still to come.
    left: usize,
}

impl Index {
    /// Walks over a packet that a scanner has found well-formed, from its array at `position` on.
    pub(super) fn new(packet: &[u8], mut position: usize, layout: Layout) -> Result<Self, DecodeError> {
        let mut spans: Vec<Span> = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        // The reference in front of the value that comes.
        let mut reference = None;
        loop {
            let (head, length) = head::read(rest(packet, position)?, layout).map_err(|_| DecodeError::unscanned())?;
            let object = spans.len();
            if !matches!(head, Head::Again { .. }) {
                let start = as_u32(position)?;
                spans.push(Span { start, end: start });
            }
            position += length;
            let mut value_ended = false;
            match head {
                Head::Reference { .. } => {
                    reference = Some(object);
                    continue;
                }
                Head::Array { length: left } => {
                    open.push(Open { object, reference: reference.take(), flagged: None, left });
                }
                Head::Map { flagged, length: left } => {
                    open.push(Open { object, reference: reference.take(), flagged: Some(flagged), left });
                }
                head => {
                    if let Head::String { length, .. } = head {
                        position += length;
                    }
                    let end = as_u32(position)?;
                    let own = (!matches!(head, Head::Again { .. })).then_some(object);
                    own.into_iter().chain(reference.take()).for_each(|object| spans[object].end = end);
                    value_ended = true;
                }
            }
            // The key behind the value, and the arrays and maps that end with it.
            loop {
                let Some(innermost) = open.last_mut() else {
                    return Ok(Index(spans.into()));
                };
                if value_ended {
                    if let Some(flagged) = innermost.flagged {
                        let (key, length) = head::read_key(rest(packet, position)?, flagged, layout)
                            .map_err(|_| DecodeError::unscanned())?;
                        position += length + key.length;
                    }
                    innermost.left -= 1;
                }
                if innermost.left > 0 {
                    break;
                }
                let end = as_u32(position)?;
                [Some(innermost.object), innermost.reference].iter().flatten().for_each(|&object| spans[object].end = end);
                open.pop();
                value_ended = true;
            }
        }
    }

    /// Where the object of that number begins.
    pub(super) fn start(&self, object: usize) -> Result<usize, DecodeError> {
        self.0.get(object).map(|span| span.start as usize).ok_or_else(DecodeError::unscanned)
    }

    /// Where the object ends that begins at `start`.
    pub(super) fn end(&self, start: usize) -> Result<usize, DecodeError> {
        let found = self.0.binary_search_by(|span| (span.start as usize).cmp(&start));
        found.map(|object| self.0[object].end as usize).map_err(|_| DecodeError::unscanned())
    }
}

fn rest(packet: &[u8], position: usize) -> Result<&[u8], DecodeError> {
    packet.get(position..).ok_or_else(DecodeError::unscanned)
}

fn as_u32(position: usize) -> Result<u32, DecodeError> {
    u32::try_from(position).map_err(|_| DecodeError::unscanned())
}
