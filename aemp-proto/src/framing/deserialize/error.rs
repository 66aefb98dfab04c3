//! What is said when a message does not fit.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use serde::de::{self, Error as _};

use crate::error::Excerpt;

/// A message of another shape than the receiver takes.
///
/// Says what came, what was expected, and where: the path through arrays and maps, elements counted from 0.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Mismatch>);

#[derive(Clone, PartialEq, Eq)]
struct Mismatch {
    /// From the inside out.
    path: Vec<Excerpt>,
    what: String,
    hint: Hint,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    None,
    /// Something without members came where the type has members.
    WantsMembers,
    /// The same, of an element of a message: its members may be the elements.
    Spread,
}

/// What is said of a message whose receiver wants its elements as one.
const SPREAD: &str = "what is sent as a whole message is spread over its elements: take a request with `request::<T>()`, \
                      and another message as a `T` alone";

/// How many arrays and maps around the mismatch its error names.
const NAMED: usize = 16;
/// How many octets an error says about what came: a peer must not be able to choose the size of our errors.
const SAID: usize = 300;

impl DecodeError {
    /// Reading octets that no scanner has found well-formed; cannot happen.
    #[cold]
    pub(in crate::framing) fn unscanned() -> Self {
        DecodeError::custom("the packet is not well-formed")
    }

    /// The same error, of a type that has members.
    #[cold]
    pub(super) fn wants_members(mut self) -> Self {
        self.0.hint = Hint::WantsMembers;
        self
    }

    /// The same error, seen from the array that the value is an element of; that may be a whole message.
    #[cold]
    pub(super) fn of_element(mut self, element: usize, whole: bool) -> Self {
        if whole && self.0.path.is_empty() && self.0.hint == Hint::WantsMembers {
            self.0.hint = Hint::Spread;
        }
        self.within(|| Excerpt::from(&*format!("{element}")))
    }

    /// The same error, seen from the array or map that the value is in.
    #[cold]
    pub(super) fn within(mut self, member: impl FnOnce() -> Excerpt) -> Self {
        if self.0.path.len() < NAMED {
            self.0.path.push(member());
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch { path, what, hint } = &*self.0;
        if !path.is_empty() {
            f.write_str(if path.len() < NAMED { "at " } else { "at …" })?;
            path.iter().rev().try_for_each(|member| write!(f, "[{}]", member.as_str()))?;
            f.write_str(": ")?;
        }
        f.write_str(what)?;
        if *hint == Hint::Spread { write!(f, "; {SPREAD}") } else { Ok(()) }
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({self})")
    }
}

impl core::error::Error for DecodeError {}

impl de::Error for DecodeError {
    #[cold]
    fn custom<T: fmt::Display>(what: T) -> Self {
        let mut said = Said(String::new());
        // It stops where enough has been said.
        let _enough = write!(said, "{what}");
        DecodeError(Box::new(Mismatch { path: Vec::new(), what: said.0, hint: Hint::None }))
    }
}

/// Takes text until there is enough of it.
struct Said(String);

impl fmt::Write for Said {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = SAID.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        self.0.push('…');
        Err(fmt::Error)
    }
}
