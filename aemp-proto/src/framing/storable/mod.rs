//! The storable framing: Perl's Storable, plain data only (section 5.4 of the specification).

mod bytes;
mod head;
mod index;
mod layout;
mod objects;
mod read;
mod scan;
mod tag;
mod write;

pub(super) use read::Reader;
pub(super) use scan::Scanner;
pub(super) use write::Writer;

/// The longest packet that can be written: lengths within it are signed numbers of 32 bits.
pub(super) const LONGEST: usize = i32::MAX as usize;
