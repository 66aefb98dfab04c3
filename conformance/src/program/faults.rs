//! `aemp-conformance wrong` and `aemp-conformance faults`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aemp_conformance::faults::{Makers, Matrix, Trial};
use aemp_conformance::report::text;
use aemp_conformance::run::{Outcome, Planned, Verdict};
use aemp_conformance::test::{Bench, Source};
use aemp_conformance::{cases, faults, run};
use aemp_proto::framing::Framing;
use clap::Args;

use super::selection::{Selection, jobs};
use super::{Stop, say, write};

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
        let entry = faults::find(&self.fault).ok_or_else(|| no_fault(&self.fault))?;
        faults::stand_in_front(&self.command, entry.fault())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn no_fault(name: &str) -> Stop {
    Stop(format!("--fault {name}: there is no such fault; `aemp-conformance faults --list` shows all names"))
}

const USAGE: &str = "aemp-conformance faults [OPTIONS] -- <CMD>...
       aemp-conformance faults [OPTIONS] --list";

#[derive(Args)]
#[command(override_usage = USAGE)]
pub(crate) struct Faults {
    #[command(flatten)]
    selection: Selection,
    /// How many cases run at the same time
    #[arg(long, value_name = "N", default_value = "4", value_parser = jobs())]
    jobs: u16,
    /// Lists the faults that would be tried, and tries none
    #[arg(long)]
    list: bool,
    /// Only faults whose names have this in them; may be given more than once
    #[arg(long, value_name = "TEXT")]
    fault: Vec<String>,
    /// Writes the faults and the cases that they fail to this file; what is not picked stays there as it is
    #[arg(long, value_name = "FILE", conflicts_with = "check")]
    write: Option<PathBuf>,
    /// Compares with this file; of what is picked, if something is
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Tries each case of the file with one fault only, or with another one if that does not fail it
    #[arg(long, requires = "check")]
    each_case_once: bool,
    /// The command that starts a right node
    #[arg(last = true, value_name = "CMD", required_unless_present = "list")]
    command: Vec<String>,
}

impl Faults {
    pub(crate) fn run(&self) -> Result<ExitCode, Stop> {
        let unknown = |name: &&String| !faults::all().iter().any(|entry| entry.name.contains(name.as_str()));
        if let Some(name) = self.fault.iter().find(unknown) {
            return Err(no_fault(name));
        }
        let names: Vec<_> = run::plan(&cases::all(), &[Framing::Json], |_| true).iter().map(Planned::name).collect();
        self.selection.check(&names)?;
        if self.list {
            faults::all().iter().filter(|entry| self.picks(entry.name)).for_each(|entry| say(entry.name));
            return Ok(ExitCode::SUCCESS);
        }
        let known = self.check.as_ref().map(|path| read(path)).transpose()?;
        let own = std::env::current_exe().map_err(|error| Stop(format!("this program cannot be found: {error}")))?;
        let patience = self.selection.patience;
        let (declared, _) = run::declared(&Bench::new(Source::Command(self.command.clone()), patience))?;
        let makers = Makers { suite: &own, command: &self.command, declared: &declared, jobs: self.jobs.into(), patience };
        let planned = run::plan(&cases::all(), &declared.framings()[..1], |name| self.selection.wants(name));
        let controls = makers.control(&planned)?;
        for failed in controls.iter().filter(|outcome| outcome.is_unexpected()) {
            say(format_args!("fails with a right node behind the front:\n{}", text::describe(failed, None)));
        }
        let known = known
            .map(|all| all.part(|fault, case| self.picks(fault) && planned.iter().any(|planned| planned.case.name == case)));
        let trials = |wanted: &dyn Fn(&str, &str) -> bool| -> Vec<Trial> {
            let mut trials = Vec::new();
            for entry in faults::all().into_iter().filter(|entry| self.picks(entry.name)) {
                let cases = planned.iter().zip(&controls).filter(|(planned, _)| wanted(entry.name, planned.case.name));
                trials.extend(cases.map(|(planned, right)| Trial::new(entry, *planned, right)));
            }
            trials
        };
        let control_passes = !controls.iter().any(Outcome::is_unexpected);
        if let (true, Some(known)) = (self.each_case_once, &known) {
            let right = each_once(known, |once| {
                makers.find(&trials(&|fault, case| once.verdict(fault, case).is_some()), Some(once))
            });
            return Ok(if right && control_passes { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let mut found = makers.find(&trials(&faults::is_tried), known.as_ref());
        let right = match (&self.write, &known) {
            (Some(path), _) => {
                let before = if path.exists() { read(path)? } else { Matrix::default() };
                let tried =
                    |fault: &str, case: &str| self.picks(fault) && planned.iter().any(|planned| planned.case.name == case);
                let is_there = |fault: &str, case: &str| {
                    faults::find(fault).is_some() && cases::all().iter().any(|known| known.name == case)
                };
                found.extend(before.part(|fault, case| is_there(fault, case) && !tried(fault, case)));
                faults::all().iter().for_each(|entry| found.add_fault(entry.name));
                write(path, &found.to_string()).map(|()| true)?
            }
            (None, Some(known)) => compare(known, &found),
            (None, None) => {
                say(found);
                true
            }
        };
        Ok(if right && control_passes { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn picks(&self, fault: &str) -> bool {
        fault != faults::NOTHING && (self.fault.is_empty() || self.fault.iter().any(|part| fault.contains(part.as_str())))
    }
}

fn read(path: &Path) -> Result<Matrix, Stop> {
    Matrix::read(&super::read(path)?).map_err(|error| Stop(format!("{}: {error}", path.display())))
}

/// How many faults a case is tried with: some meet what they spoil by chance.
const FAULTS_FOR_A_CASE: usize = 3;

/// Tries each case with a fault that brings it to a verdict; if that does not, with another one. Says which cases none has
/// brought there; true: none.
fn each_once(known: &Matrix, find: impl Fn(&Matrix) -> Matrix) -> bool {
    let pairs = |matrix: &Matrix| -> BTreeSet<(Verdict, String)> {
        let of = |verdict| matrix.cases(verdict).into_iter().map(move |case| (verdict, case.to_owned())).collect::<Vec<_>>();
        [Verdict::Fail, Verdict::NotStrict].into_iter().flat_map(of).collect()
    };
    let all = pairs(known);
    let (mut left, mut missed) = (known.clone(), all.clone());
    for _ in 0..FAULTS_FOR_A_CASE {
        let once = left.each_case_once();
        let came = pairs(&find(&once));
        missed.retain(|pair| !came.contains(pair));
        left = left.part(|fault, case| {
            let pair = left.verdict(fault, case).map(|verdict| (verdict, case.to_owned()));
            pair.is_some_and(|pair| missed.contains(&pair)) && once.verdict(fault, case).is_none()
        });
    }
    for (verdict, case) in &missed {
        say(format_args!(
            "not brought to {:?} by {FAULTS_FOR_A_CASE} wrong nodes that should: {case}",
            text::word(*verdict)
        ));
    }
    say(format_args!("{} verdicts on wrong nodes expected, one for each case, {} did not come", all.len(), missed.len()));
    missed.is_empty()
}

/// Says what is not as it was written down; true: nothing.
fn compare(known: &Matrix, found: &Matrix) -> bool {
    let (missed, new) = (known.beyond(found), found.beyond(known));
    missed.iter().for_each(|line| say(format_args!("not found any more by a case that stands in the file: {line}")));
    new.iter().for_each(|line| say(format_args!("found by a case that does not stand in the file: {line}")));
    let count = |matrix: &Matrix| matrix.rows().map(|(_, cases)| cases.len()).sum::<usize>();
    say(format_args!("{} verdicts on wrong nodes expected, {} missed, {} more", count(known), missed.len(), new.len()));
    missed.is_empty() && new.is_empty()
}
