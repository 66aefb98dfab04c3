//! A program that answers the questions of [`vectors`](crate::vectors): right, made with `aemp-proto`, as an example of the
//! protocol; or wrong in one way, to show that the suite finds that.

mod answers;
mod convert;
pub mod faults;
mod lines;
mod packets;
mod spoiling;

use std::io::{self, BufRead, Write};

use serde_json::{Value as Json, json};

use faults::Fault;

/// Answers requests until there are no more.
///
/// # Errors
///
/// When the input cannot be read, or the output not be written.
pub fn serve(input: impl BufRead, mut output: impl Write, fault: Option<Fault>) -> io::Result<()> {
    for line in input.lines() {
        let request: Json = serde_json::from_str(&line?)?;
        let mut answer = match fault {
            Some(fault) => fault.answer(&request),
            None => answers::answer(&request),
        };
        answer["id"] = request["id"].clone();
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

/// Why a request is not answered as it wants.
#[derive(Debug)]
enum Refusal {
    /// The input breaks a requirement.
    Error(String),
    /// The request itself cannot be read.
    Request(String),
    /// Nobody has written that.
    Unimplemented,
}

impl From<aemp_proto::error::Error> for Refusal {
    fn from(error: aemp_proto::error::Error) -> Self {
        Refusal::Error(match error.requirement() {
            Some(requirement) => format!("{}: {error}", requirement.id()),
            None => error.to_string(),
        })
    }
}

impl Refusal {
    /// The answer that says so, beside what there is.
    fn beside(self, mut answer: Json) -> Json {
        match self {
            Refusal::Error(error) => answer["error"] = error.into(),
            Refusal::Request(what) => answer["error"] = format!("the request cannot be read: {what}").into(),
            Refusal::Unimplemented => answer = json!({"unimplemented": true}),
        }
        answer
    }
}
