//! The program `aemp-conformance`.

mod program;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tests AEMP nodes, and parts of them, in any language.
///
/// Exit codes: 0 nothing failed unexpectedly; 1 something did; 2 nothing could be tested, or a report not be written.
#[derive(Parser)]
#[command(name = "aemp-conformance", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tests parts of an implementation, without sockets: a program that answers questions
    Vectors(program::vectors::Vectors),
    /// Tests a node: one that runs, or a program that the suite starts as often as it needs it
    Node(program::node::Node),
    /// Makes an HTML page of results that `--json` has written; of several, a matrix of implementations
    Report(program::report::Report),
    /// Lists all requirements of the specification, with the cases and vectors that show them
    Requirements(program::requirements::Requirements),
    /// Runs a node that is wrong on purpose, in a way that has a name: a right one with a front before it
    Wrong(program::faults::Wrong),
    /// Lists which cases each fault of a wrong node fails: the proof that the suite can fail
    Faults(program::faults::Faults),
    /// Answers the questions of `vectors`: right, or wrong in one way
    #[command(hide = true)]
    Codec(program::vectors::Codec),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Vectors(vectors) => vectors.run(),
        Command::Node(node) => node.run(),
        Command::Report(report) => report.run(),
        Command::Requirements(requirements) => requirements.run(),
        Command::Wrong(wrong) => wrong.run(),
        Command::Faults(faults) => faults.run(),
        Command::Codec(codec) => codec.run(),
    };
    done.unwrap_or_else(|error| {
        program::tell(format_args!("aemp-conformance: {error}"));
        ExitCode::from(2)
    })
}
