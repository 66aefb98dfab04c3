//! `aemp-conformance vectors`, and a program that it can test.

use std::io;
use std::process::ExitCode;

use aemp_conformance::codec;
use aemp_conformance::codec::faults::Fault;
use aemp_conformance::vectors;
use clap::Args;

use super::selection::Selection;
use super::{Stop, say};

#[derive(Args)]
pub(crate) struct Vectors {
    #[command(flatten)]
    selection: Selection,
    /// The command that starts a program that answers, as PROTOCOL.md describes
    #[arg(last = true, value_name = "CMD", required_unless_present = "list")]
    command: Vec<String>,
}

impl Vectors {
    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        let mut cases = vectors::all(self.selection.seed.unwrap_or_default());
        cases.retain(|case| self.selection.wants(&case.full_name()));
        if self.selection.list {
            for case in cases {
                let requirements = case.requirements.join(" ");
                say(format_args!("{} ({:?}) {requirements}\n    {}", case.full_name(), case.level, case.about));
            }
            return Ok(ExitCode::SUCCESS);
        }
        if cases.is_empty() {
            return Err(Stop("no case ran: see --list for their names".into()));
        }
        let cases = self.selection.order(&cases);
        let mut report = self.selection.report(&self.command.join(" "), "", None, cases.len() + 1)?;
        vectors::asking::run(&self.command, &cases, self.selection.patience()?, |outcome| {
            // The program answers in one go: what is not wanted any more is left out.
            let _ = report.take(outcome);
        });
        report.end()
    }
}

#[derive(Args)]
pub(crate) struct Codec {
    /// What it does wrong
    #[arg(long, value_name = "NAME")]
    fault: Option<Fault>,
}

impl Codec {
    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        let served = codec::serve(io::stdin().lock(), io::stdout().lock(), self.fault);
        served.map(|()| ExitCode::SUCCESS).map_err(|error| Stop(error.to_string()))
    }
}
