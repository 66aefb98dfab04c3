//! The keys of maps, which are texts in every framing.

use alloc::string::String;

use crate::framing::convert;
use crate::framing::read::Scalar;
use crate::framing::write::Writer;
use crate::value::Integer;

/// Writes a scalar as the text that stands for it as a key.
#[derive(Default)]
pub(super) struct KeyWriter(pub(super) Option<String>);

impl KeyWriter {
    fn scalar(&mut self, scalar: Scalar<'_>) {
        self.0 = Some(convert::key(scalar).into_owned());
    }
}

impl Writer for KeyWriter {
    /// It would come as the empty text.
    fn null(&mut self) {}

    fn bool(&mut self, value: bool) {
        self.scalar(Scalar::Bool(value));
    }

    fn integer(&mut self, value: Integer) {
        self.scalar(Scalar::Integer(value));
    }

    fn float(&mut self, value: f64) {
        self.scalar(Scalar::Float(value));
    }

    fn text(&mut self, value: &str) {
        self.0 = Some(value.into());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.scalar(Scalar::Bytes(value.into()));
    }

    // The encoder of a key refuses what has members before it comes here.
    fn begin_array(&mut self, _: Option<usize>) {}
    fn end_array(&mut self, _: Option<usize>) {}
    fn begin_map(&mut self, _: Option<usize>) {}
    fn key(&mut self, _: &str) {}
    fn end_map(&mut self, _: Option<usize>) {}

    fn octets(&self) -> usize {
        self.0.as_ref().map_or(0, String::len)
    }
}
