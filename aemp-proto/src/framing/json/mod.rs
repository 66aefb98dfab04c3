//! The json framing (section 5.2 of the specification).

mod read;
mod scan;
mod text;
mod write;

pub(super) use read::Reader;
pub(super) use scan::Scanner;
pub(super) use text::float_text;
pub(super) use write::Writer;
