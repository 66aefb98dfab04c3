//! Writing a packet, item by item, whatever its framing.

use alloc::vec::Vec;

use crate::value::Integer;

/// What has been appended to a buffer is taken back when this is dropped, on an error or a panic, unless it was committed:
/// half a packet would swallow the next one.
pub(super) struct Uncommitted<'b> {
    out: &'b mut Vec<u8>,
    start: usize,
}

impl<'b> Uncommitted<'b> {
    pub(super) fn new(out: &'b mut Vec<u8>) -> Self {
        Uncommitted { start: out.len(), out }
    }

    #[inline]
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    pub(super) fn written(&self) -> usize {
        self.out.len() - self.start
    }

    #[inline]
    pub(super) fn commit(mut self) {
        self.start = self.out.len();
    }
}

impl Drop for Uncommitted<'_> {
    #[inline]
    fn drop(&mut self) {
        self.out.truncate(self.start);
    }
}

/// Appends items to a buffer.
pub(super) trait Writer {
    fn null(&mut self);
    fn bool(&mut self, value: bool);
    fn integer(&mut self, value: Integer);
    fn float(&mut self, value: f64);
    fn text(&mut self, value: &str);
    fn bytes(&mut self, value: &[u8]);
    /// Begins an array of so many elements, if that is known.
    fn begin_array(&mut self, length: Option<usize>);
    /// Ends an array; `length` as it was at the beginning.
    fn end_array(&mut self, length: Option<usize>);
    /// Begins a map of so many entries, if that is known.
    fn begin_map(&mut self, length: Option<usize>);
    /// The key of the value that is written next.
    fn key(&mut self, key: &str);
    /// Ends a map; `length` as it was at the beginning.
    fn end_map(&mut self, length: Option<usize>);
    /// How many octets the buffer has.
    fn octets(&self) -> usize;
}
