//! `aemp-conformance wrong` and `aemp-conformance faults`.

use std::process::ExitCode;

use aemp_conformance::test::{Bench, Source};
use aemp_conformance::{cases, faults, run};
use clap::Args;

use super::selection::Selection;
use super::{Stop, say};

#[derive(Args)]
pub(crate) struct Wrong {
    /// What is wrong with it
    #[arg(long, value_name = "NAME")]
    fault: String,
    /// The command that starts a right node
    #[arg(last = true, value_name = "CMD", required = true)]
    command: Vec<String>,
}

impl Wrong {
    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        let entry = faults::find(&self.fault).ok_or_else(|| Stop(format!("there is no fault {:?}", self.fault)))?;
        faults::stand_in_front(&self.command, entry.fault())?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub(crate) struct Faults {
    #[command(flatten)]
    selection: Selection,
    /// Only faults whose names have this in them; may be given more than once
    #[arg(long, value_name = "TEXT")]
    fault: Vec<String>,
    /// The command that starts a right node
    #[arg(last = true, value_name = "CMD", required = true)]
    command: Vec<String>,
}

impl Faults {
    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        let bench = |command| Ok::<_, Stop>(Bench::new(Source::Command(command), self.selection.patience()?));
        let own = std::env::current_exe().map_err(|error| Stop(format!("this program cannot be found: {error}")))?;
        let (declared, _) = run::declared(&bench(self.command.clone())?)?;
        let planned = run::plan(&cases::all(), &declared.framings()[..1], |name| self.selection.wants(name));
        let wanted = |name: &str| self.fault.is_empty() || self.fault.iter().any(|part| name.contains(part.as_str()));
        for entry in faults::all().into_iter().filter(|entry| wanted(entry.name)) {
            say(entry.name);
            let front =
                [own.to_string_lossy().into_owned(), "wrong".into(), "--fault".into(), entry.name.into(), "--".into()];
            let failed = faults::failed_by(
                &bench([&front[..], &self.command[..]].concat())?,
                &planned,
                &declared,
                self.selection.jobs(),
            );
            failed.iter().for_each(|case| say(format_args!("    {case}")));
        }
        Ok(ExitCode::SUCCESS)
    }
}
