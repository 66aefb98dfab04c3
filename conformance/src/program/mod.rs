//! The commands of the program.

pub(crate) mod faults;
pub(crate) mod node;
pub(crate) mod report;
mod reporting;
pub(crate) mod requirements;
mod selection;
mod terminal;
pub(crate) mod vectors;

use std::fmt::{self, Display};
use std::io::{self, Write as _};
use std::path::Path;

use aemp_conformance::failure::Failure;

/// Why nothing could be tested.
#[derive(Debug)]
pub(crate) struct Stop(String);

impl Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop(match failure {
            Failure::Wrong { expected, actual, .. } => {
                let (first, more) = actual.split_once('\n').unwrap_or((&actual, ""));
                format!("{first}\nexpected: {expected}\n{more}").trim_end().to_owned()
            }
            Failure::Unimplemented(what) | Failure::Suite(what) => what,
        })
    }
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Stop(text)
    }
}

/// Writes a file that was asked for.
fn write(path: &Path, text: &str) -> Result<(), Stop> {
    std::fs::write(path, text).map_err(|error| not_written(path, &error))
}

fn not_written(path: &Path, error: &io::Error) -> Stop {
    Stop(format!("{} cannot be written: {error}", path.display()))
}

/// Reads a file that was named.
fn read(path: &Path) -> Result<String, Stop> {
    std::fs::read_to_string(path).map_err(|error| Stop(format!("{} cannot be read: {error}", path.display())))
}

/// Prints to standard output. That nobody reads it is no reason to stop: reports may be wanted still.
fn say(text: impl Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints to standard error.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
