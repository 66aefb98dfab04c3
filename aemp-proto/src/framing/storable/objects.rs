//! What is known of each object of an image, so that one that comes another time counts as if it stood there again.

use alloc::vec::Vec;

use super::bytes::Fault;

/// How much there is of a value, with all that is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Size {
    /// Values, keys included.
    pub(super) values: u32,
    /// Octets, those of objects that come another time included.
    pub(super) octets: u32,
    /// Levels of arrays and maps.
    pub(super) height: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar,
    Reference,
    /// An array or a map.
    Container,
    /// An object that is a bool.
    Bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    pub(super) kind: Kind,
    whole: bool,
    size: Size,
}

/// Objects that are remembered for the next packet's use of the memory.
const KEPT: usize = 1024;

/// The objects of an image, in the order in which they begin: that is how they are numbered.
#[derive(Debug, Default)]
pub(super) struct Objects(Vec<Object>);

impl Objects {
    /// An object begins; its number.
    pub(super) fn begin(&mut self, kind: Kind) -> usize {
        self.0.push(Object { kind, whole: false, size: Size::default() });
        self.0.len() - 1
    }

    /// An object has ended.
    pub(super) fn end(&mut self, object: usize, size: Size) {
        if let Some(object) = self.0.get_mut(object) {
            (object.whole, object.size) = (true, size);
        }
    }

    /// An object that has ended (`STORABLE-7`, `STORABLE-8`).
    pub(super) fn find(&self, object: usize) -> Result<(Kind, Size), Fault> {
        match self.0.get(object) {
            Some(object) if object.whole => Ok((object.kind, object.size)),
            Some(_) => Err(Fault::Cycle),
            None => Err(Fault::Unknown),
        }
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.shrink_to(KEPT);
    }
}
