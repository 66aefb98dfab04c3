//! Writing a packet, item by item, whatever its framing.

use crate::value::Integer;

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
