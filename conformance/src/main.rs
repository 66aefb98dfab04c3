//! The program `aemp-conformance`.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use aemp_conformance::codec::{self, faults::Fault};
use aemp_conformance::report::text;
use aemp_conformance::run::{self, Outcome, Verdict};
use aemp_conformance::test::{Bench, Source};
use aemp_conformance::{cases, vectors};
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
    /// Tests parts of an implementation, without sockets
    Vectors(Vectors),
    /// Tests a node
    Node(Node),
    /// Answers the questions of `vectors`: right, or wrong in one way
    #[command(hide = true)]
    Codec(Codec),
}

#[derive(Args)]
struct Vectors {
    /// Runs only cases whose names contain this
    #[arg(long, value_name = "TEXT")]
    run: Vec<String>,
    /// Says where streams are cut
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    patience: f64,
    /// The command that starts a program that answers
    #[arg(last = true, value_name = "CMD", required = true)]
    command: Vec<String>,
}

#[derive(Args)]
struct Codec {
    /// What it does wrong
    #[arg(long, value_name = "NAME")]
    fault: Option<Fault>,
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
    match Program::parse().command {
        Command::Vectors(vectors) => test_vectors(&vectors),
        Command::Node(node) => test_node(node),
        Command::Codec(Codec { fault }) => match codec::serve(io::stdin().lock(), io::stdout().lock(), fault) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("aemp-conformance: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

/// Tells an outcome; true if it is a failure.
fn tell(outcome: &Outcome) -> bool {
    if outcome.verdict == Verdict::Pass {
        println!("{}: {} ({} ms)", text::word(outcome.verdict), outcome.name(), outcome.took);
    } else {
        println!("{}", text::describe(outcome));
    }
    matches!(outcome.verdict, Verdict::Fail | Verdict::Error)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(run::PATIENCE)
}

fn test_vectors(vectors: &Vectors) -> ExitCode {
    let wanted = |name: &str| vectors.run.is_empty() || vectors.run.iter().any(|part| name.contains(part.as_str()));
    let mut cases = vectors::all(vectors.seed);
    cases.retain(|case| wanted(&case.full_name()));
    let mut failed = false;
    vectors::asking::run(&vectors.command, &cases, seconds(vectors.patience), |outcome| failed |= tell(&outcome));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn test_node(node: Node) -> ExitCode {
    let bench = Bench::new(Source::Command(node.command), seconds(node.patience));
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
    run::run(&bench, &planned, &declared, node.jobs, |outcome| failed |= tell(&outcome));
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
