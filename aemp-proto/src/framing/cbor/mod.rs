//! The cbor framing (section 5.3 of the specification).

mod head;
mod read;
mod scan;
mod write;

pub(super) use read::Reader;
pub(super) use scan::Scanner;
pub(super) use write::Writer;
