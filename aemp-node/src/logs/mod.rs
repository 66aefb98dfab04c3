//! Log catching (chapter 9 of the specification): the records of this program for whoever asks, and those of other nodes for
//! us.

mod backlog;
mod catch;
mod layer;
mod offer;
mod record;

pub use catch::CaughtLogs;
pub use layer::{CAUGHT, LogLayer};
pub use record::{LogLevel, LogLevelError, Record};

/// The request that asks a node for its records.
const CONNECT: &str = "AnyEvent::MP::LogCatcher::connect";

/// Where the records come from that tell of records.
const CONTEXT: &str = module_path!();

/// What is told in place of records that were lost.
fn lost_text(lost: u64) -> String {
    format!("{lost} record{} lost: more came than could be taken", if lost == 1 { " was" } else { "s were" })
}

/// The seconds since 1970.
fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
