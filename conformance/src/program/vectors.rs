//! `aemp-conformance vectors`, and a program that it can test.

use std::io;
use std::process::ExitCode;

use aemp_conformance::codec;
use aemp_conformance::codec::faults::Fault;
use aemp_conformance::vectors::asking::{self, END};
use aemp_conformance::vectors::{self, case::Case};
use clap::Args;

use super::reporting::Reporting;
use super::selection::Selection;
use super::{Stop, say};

#[derive(Args)]
#[command(
    override_usage = "aemp-conformance vectors [OPTIONS] -- <CMD>...\n       aemp-conformance vectors [OPTIONS] --list"
)]
pub(crate) struct Vectors {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    reporting: Reporting,
    /// The command that starts a program that answers, as PROTOCOL.md describes
    #[arg(last = true, value_name = "CMD", required_unless_present = "list")]
    command: Vec<String>,
}

impl Vectors {
    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        let mut cases = vectors::all(self.reporting.seed.unwrap_or_default());
        let mut names: Vec<_> = cases.iter().map(Case::full_name).collect();
        self.selection.check(&names)?;
        names.push(END.into());
        cases.retain(|case| self.selection.wants(&case.full_name()));
        if self.reporting.list {
            for case in cases {
                let (level, requirements) = (case.level.name(), case.requirements.join(" "));
                say(format_args!("{} ({level}) {requirements}\n    {}", case.full_name(), case.about));
            }
            return Ok(ExitCode::SUCCESS);
        }
        let expected = self.reporting.prepare()?;
        let cases = self.reporting.order(&cases);
        let mut report = self.reporting.report(expected, (&self.command.join(" "), ""), None, cases.len() + 1);
        asking::run(&self.command, &cases, self.selection.patience, |outcome| report.take(outcome))?;
        report.end(&names)
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
