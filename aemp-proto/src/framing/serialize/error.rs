//! Why something cannot be written.

use alloc::string::{String, ToString};
use core::fmt;

use serde::ser;
use thiserror::Error;

use crate::error::Error;
use crate::framing::deserialize::DecodeError;

impl From<DecodeError> for EncodeError {
    fn from(error: DecodeError) -> Self {
        EncodeError::Type(error.to_string())
    }
}

/// Why something could not be written as a message. The buffer is as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The packet would exceed the sender's own limits (`LIMIT-5`).
    #[error("the message is too large to send: {0}")]
    Limit(Error),
    /// A packet must be an array, so its type must be a sequence, a tuple, or an enum with content (`FRAME-2`).
    #[error("a packet must be an array, such as a tuple [FRAME-2]")]
    NotAnArray,
    /// The key of a map is not a text, number or bool. (A null would be read as the empty text.)
    #[error("a map key must be a text, a number or a bool")]
    CompositeKey,
    /// `Some` of something that is written as null, or as a message without elements: `Some(())`, `Some(None)`, or a whole
    /// message that is `Some` of an empty sequence.
    #[error("`Some` of nothing, such as `Some(())` or `Some(None)`, is written as `None` is, and would be taken as that")]
    EmptyOption,
    /// A [`Value`](crate::value::Value) as a whole message that is no array: it would be taken as an array with that value
    /// in it.
    #[error("a Value that is a whole message must be an array: send the tuple `(value,)`, or a `Vec<Value>`")]
    BareValue,
    /// A type announced another number of elements than it wrote.
    #[error("an array or a map has another length than its type said")]
    Length,
    /// A type wrote a key without a value, or a value without a key.
    #[error("a map has a key without a value, or a value without a key")]
    KeyAlone,
    /// The type itself refused.
    #[error("{0}")]
    Type(String),
}

impl ser::Error for EncodeError {
    fn custom<T: fmt::Display>(what: T) -> Self {
        EncodeError::Type(what.to_string())
    }
}
