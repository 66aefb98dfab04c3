//! The program `aemp`: a node to run, and a hand to reach into others.

mod ask;
mod bench;
mod conformance;
mod database;
mod demo;
mod files;
mod generate;
mod limits;
mod lines;
mod log;
mod options;
mod part;
mod pipe;
mod progress;
mod run;
mod trace;
mod values;
mod warnings;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use aemp_node::{Escaped, LogLayer, LogLevel};
use clap::{ArgAction, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt, registry};

use options::{Join, Reachable};

/// Talks AEMP: messages between named ports on many hosts, over a wire that a person can type.
///
/// The secret of the network comes from --secret-file or from the variable AEMP_SECRET, never from the command line. With
/// --cert, connections are inside TLS. The variable AEMP_SEED stands for --seed.
///
/// Values on the command line are texts, but for JSON: what begins with `[`, `{` or `"`, or with --json everything. `-` is
/// what comes on standard input, `@FILE` what is in a file. Times are 5s, 500ms, 2min, or a number of seconds.
///
/// Exit codes: 0 done; 1 the other side refused, ended or did not answer; 2 the command line is wrong; 3 not reached.
#[derive(Parser)]
#[command(name = "aemp", version)]
struct Arguments {
    /// Tells on standard error what goes on; twice for more
    #[arg(long, short, global = true, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a node until it is interrupted; prints `ready NODEID ADDRESS[,ADDRESS…]` when it listens
    Run(Box<run::Run>),
    /// Sends a message to a port; ends when it has arrived there
    #[command(alias = "send")]
    Snd {
        #[command(flatten)]
        join: Join,
        #[command(flatten)]
        message: ask::Message,
    },
    /// Sends a message with a port for the answer as the last element, and prints the answer as JSON
    #[command(visible_alias = "call")]
    Cal {
        #[command(flatten)]
        join: Join,
        #[command(flatten)]
        message: ask::Message,
        /// How long to wait for the answer; without it, until the port ends
        #[arg(long, value_name = "TIME", value_parser = values::some_time)]
        timeout: Option<Duration>,
    },
    /// Waits until a port or a node ends, and prints the reasons as JSON; that there is no such port is an error
    Mon {
        #[command(flatten)]
        join: Join,
        /// The port ID, such as `seed#echo`, or a node ID
        port: String,
    },
    /// Lists the nodes of the network and their addresses
    #[command(alias = "node")]
    Nodes {
        #[command(flatten)]
        join: Join,
        /// Prints a JSON object: node IDs, and `addresses` and `global` of each
        #[arg(long)]
        json: bool,
    },
    /// Reads, sets and watches the database of the network: families of keys and values
    Db {
        #[command(flatten)]
        join: Join,
        #[command(subcommand)]
        verb: database::Verb,
    },
    /// Shows which node is connected to which, as a tree from one node on
    ///
    /// Of nodes that cannot be asked, those that do not listen among them, the connections are shown of which others tell.
    Trace {
        #[command(flatten)]
        join: Join,
        #[command(flatten)]
        reachable: Reachable,
        /// The node to begin with; without it, the seed
        node: Option<String>,
        #[command(flatten)]
        form: trace::Form,
    },
    Pipe(pipe::Pipe),
    /// Prints what the nodes of the network log, as lines of time, node, level and text
    Log(log::Log),
    /// Shows three nodes in this process that meet, talk, watch, spawn, fail and find each other
    Demo,
    Bench(bench::Bench),
    Gencert(generate::Gencert),
    Gensecret(generate::Gensecret),
}

/// Why the program ends: the exit code, and one line for people.
struct Failure {
    code: u8,
    text: String,
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
impl Failure {
    /// The other side refused, ended or did not answer.
    fn refused(text: impl ToString) -> Self {
        Failure { code: 1, text: text.to_string() }
    }

    /// The command line is wrong.
    fn usage(text: impl ToString) -> Self {
        Failure { code: 2, text: text.to_string() }
    }

    /// Nothing could be reached.
    fn unreachable(text: impl ToString) -> Self {
        Failure { code: 3, text: text.to_string() }
    }
}

/// Prints a line, or more. When nobody reads any more, that is an error like any other, and no panic. Nothing in it does
/// anything to a terminal but its line ends: what came from others is escaped where it is put in, so that it begins no line
/// either.
fn say(lines: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut put = || {
        lines.to_string().split('\n').try_for_each(|line| writeln!(out, "{}", Escaped(line)))?;
        out.flush()
    };
    put().map_err(|error| Failure::refused(format!("cannot print: {error}")))
}

/// Tells a line on standard error, without waiting for whoever reads it. When nobody does any more, there is nobody to tell.
fn tell(line: impl std::fmt::Display) {
    if let Some(lines) = lines::errors() {
        lines.line(Escaped(line).to_string());
    }
}

/// How long the end waits for whoever reads what was told.
const LAST_LINES: Duration = Duration::from_secs(1);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match arguments.verbose {
        0 if matches!(arguments.command, Command::Run(_)) => LevelFilter::WARN,
        // What is wrong they say themselves, in one line.
        0 => LevelFilter::ERROR,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let offered = match &arguments.command {
        Command::Run(run) => run.offered(),
        _ => None,
    };
    // What the operator did not ask for is not for others either.
    let offered = offered.or_else(|| level.into_level().map(LogLevel::from)).unwrap_or(LogLevel::WARN);
    let logs = LogLayer::new().up_to(offered);
    let shown = fmt::layer().with_writer(lines::Log).with_target(false).log_internal_errors(false).with_filter(level);
    registry().with(shown).with(logs.clone()).init();
    let result = match arguments.command {
        Command::Run(run) => run.run(&logs).await,
        Command::Snd { join, message } => ask::snd(join, message).await,
        Command::Cal { join, message, timeout } => ask::cal(join, message, timeout).await,
        Command::Mon { join, port } => ask::mon(join, &port).await,
        Command::Nodes { join, json } => database::nodes(join, json).await,
        Command::Db { join, verb } => verb.run(join).await,
        Command::Trace { join, reachable, node, form } => trace::trace(join, reachable, node.as_deref(), form).await,
        Command::Pipe(pipe) => pipe.run().await,
        Command::Log(log) => log.run().await,
        Command::Demo => demo::demo().await,
        Command::Bench(bench) => bench.run().await,
        Command::Gencert(gencert) => gencert.run(),
        Command::Gensecret(gensecret) => gensecret.run(),
    };
    let code = match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(format_args!("aemp: {}", failure.text));
            ExitCode::from(failure.code)
        }
    };
    if let Some(lines) = lines::errors() {
        lines.flush(LAST_LINES);
    }
    code
}
