//! The program `aemp-conformance`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use aemp_conformance::faults;
use aemp_conformance::report::text;
use aemp_conformance::run::{self, Verdict};
use aemp_conformance::test::{Bench, Source};
use aemp_conformance::{cases, failure::Failure};
use clap::{Args, Parser, Subcommand};

/// Tests AEMP nodes, and parts of them, in any language.
#[derive(Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tests a node
    Node(Node),
    /// Runs a node that is wrong on purpose, in a way that has a name: a right one with a front before it
    Wrong(Wrong),
    /// Lists which cases each fault of a wrong node fails: the proof that the suite can fail
    Faults(Faults),
}

#[derive(Args)]
struct Node {
    /// Runs only cases whose names contain this
    #[arg(long, value_name = "TEXT")]
    run: Vec<String>,
    /// How many cases run at the same time
    #[arg(long, value_name = "N", default_value_t = 4)]
    jobs: usize,
    /// Seconds to wait for what has to come
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    patience: f64,
    /// The command that starts a node
    #[arg(last = true, value_name = "CMD", required = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct Wrong {
    /// What is wrong with it
    #[arg(long, value_name = "NAME")]
    fault: String,
    /// The command that starts a right node
    #[arg(last = true, value_name = "CMD", required = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct Faults {
    /// Only faults whose names contain this
    #[arg(long, value_name = "TEXT")]
    fault: Vec<String>,
    #[command(flatten)]
    node: Node,
}

fn main() -> ExitCode {
    let done = match Program::parse().command {
        Command::Node(node) => node.test(),
        Command::Wrong(wrong) => wrong.run(),
        Command::Faults(faults) => faults.list(),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("aemp-conformance: {failure:?}");
            ExitCode::from(2)
        }
    }
}

impl Node {
    fn bench(&self, command: Vec<String>) -> Bench {
        let patience = Duration::try_from_secs_f64(self.patience).unwrap_or(run::PATIENCE);
        Bench::new(Source::Command(command), patience)
    }

    fn wants(&self, name: &str) -> bool {
        self.run.is_empty() || self.run.iter().any(|part| name.contains(part.as_str()))
    }

    fn test(&self) -> Result<ExitCode, Failure> {
        let bench = self.bench(self.command.clone());
        let (declared, _) = run::declared(&bench)?;
        let planned = run::plan(&cases::all(), &declared.framings(), |name| self.wants(name));
        let mut counts = BTreeMap::<_, usize>::new();
        run::run(&bench, &planned, &declared, self.jobs, |outcome| {
            *counts.entry(outcome.verdict).or_default() += 1;
            if outcome.verdict == Verdict::Pass {
                println!("{}: {} ({} ms)", text::word(outcome.verdict), outcome.name(), outcome.took);
            } else {
                println!("{}", text::describe(&outcome));
            }
        });
        for (verdict, count) in &counts {
            println!("{count} {}", text::word(*verdict));
        }
        let failed = counts.contains_key(&Verdict::Fail) || counts.contains_key(&Verdict::Error);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

impl Wrong {
    fn run(&self) -> Result<ExitCode, Failure> {
        let entry =
            faults::find(&self.fault).ok_or_else(|| Failure::Suite(format!("there is no fault {:?}", self.fault)))?;
        faults::run(&self.command, entry.fault()).map(|()| ExitCode::SUCCESS)
    }
}

impl Faults {
    fn list(&self) -> Result<ExitCode, Failure> {
        let own = std::env::current_exe().map_err(|error| Failure::suite("this program", &error))?;
        let (declared, _) = run::declared(&self.node.bench(self.node.command.clone()))?;
        let planned = run::plan(&cases::all(), &declared.framings()[..1], |name| self.node.wants(name));
        for entry in faults::all() {
            if !self.fault.is_empty() && !self.fault.iter().any(|part| entry.name.contains(part.as_str())) {
                continue;
            }
            let front =
                [own.to_string_lossy().into_owned(), "wrong".into(), "--fault".into(), entry.name.into(), "--".into()];
            let bench = self.node.bench([&front[..], &self.node.command[..]].concat());
            let mut failed = Vec::new();
            run::run(&bench, &planned, &declared, self.node.jobs, |outcome| {
                if outcome.verdict == Verdict::Fail {
                    failed.push(outcome.case);
                }
            });
            failed.sort_unstable();
            println!("{}", entry.name);
            failed.iter().for_each(|case| println!("    {case}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}
