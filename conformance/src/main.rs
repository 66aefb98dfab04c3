//! The program `aemp-conformance`.

use std::process::ExitCode;
use std::time::Duration;

use aemp_conformance::cases;
use aemp_conformance::report::text;
use aemp_conformance::run::{self, Verdict};
use aemp_conformance::test::{Bench, Source};
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

fn main() -> ExitCode {
    let Program { command: Command::Node(node) } = Program::parse();
    let patience = Duration::try_from_secs_f64(node.patience).unwrap_or(run::PATIENCE);
    let bench = Bench::new(Source::Command(node.command), patience);
    let (declared, _) = match run::declared(&bench) {
        Ok(declared) => declared,
        Err(failure) => {
            eprintln!("aemp-conformance: {failure:?}");
            return ExitCode::FAILURE;
        }
    };
    let wanted = |name: &str| node.run.is_empty() || node.run.iter().any(|part| name.contains(part.as_str()));
    let planned = run::plan(&cases::all(), &declared.framings(), wanted);
    let mut failed = false;
    run::run(&bench, &planned, &declared, node.jobs, |outcome| {
        failed |= matches!(outcome.verdict, Verdict::Fail | Verdict::Error);
        if outcome.verdict == Verdict::Pass {
            println!("{}: {} ({} ms)", text::word(outcome.verdict), outcome.name(), outcome.took);
        } else {
            println!("{}", text::describe(&outcome));
        }
    });
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
