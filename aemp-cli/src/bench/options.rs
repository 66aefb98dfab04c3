//! What is to be measured, from the command line.

use std::process::{self, Command, Stdio};
use std::time::Duration;

use aemp_node::proto::framing::Framing;
use clap::{Args, Subcommand};

use crate::Failure;

/// Measures how fast two nodes talk on this machine, over loopback, with authentication
///
/// The receiving node is a process of its own. Ports send and handle the messages; each one is decoded and its number
/// checked, and it is an error if one is lost.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = FIGURES)]
pub(crate) struct Bench {
    #[command(subcommand)]
    pub(super) side: Option<Side>,
    #[command(flatten)]
    arrangement: Arrangement,
    /// Seconds for each measurement
    #[arg(long, value_name = "S", default_value_t = 2.0)]
    seconds: f64,
    /// Both nodes in this process, each on its own thread, instead of two processes
    #[arg(long)]
    local: bool,
    /// Measures beside each figure what plain sockets do in the same arrangement
    #[arg(long)]
    floor: bool,
    /// Runs everything on these cores, as `taskset` takes them: with one, both sides share it
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Prints an object of JSON instead of the table
    #[arg(long)]
    json: bool,
}

const FIGURES: &str = "\
The lines:
  one-way        Messages that a port sends as fast as it may: it stops while the node is not ready for more
  plain sockets  The floor of that: blocking sockets, the same messages always in json, serde_json writes them into batches of
                 64 KiB and decodes each (StreamDeserializer, into a borrowed tuple), and the numbers are checked
  round trips    A message to a port, which sends it back, one at a time; both ports decode it and check its number
  blocking sockets, tokio sockets
                 The floor of that: octets of such a message to and fro, and nothing looks at them
The figures:
  messages/s     Messages, or round trips, in a second, of all connections together
  MB/s           Millions of octets of payload in a second, one way: neither the port's name nor the framing count
  ns/message     The time divided by the messages: with two cores both sides work at once, and the slower one is what counts
  of floor       Messages/s divided by those of the floor: of plain sockets, or of blocking sockets
  p50 … max      Microseconds that a round trip took: for half of them no longer, and so on; to 3%, the longest one exactly

Two cores that wake each other take tens of microseconds for a round trip, whatever the program does: with --cores 0 its own cost
shows. The lines are measured one after the other, so other work on the machine changes `of floor`, too: repeat it.";

/// What both sides must know.
#[derive(Args, Clone)]
pub(crate) struct Arrangement {
    /// The framing: json, cbor
    #[arg(long, value_name = "NAME", default_value = "json", value_parser = framing)]
    pub(super) framing: Framing,
    /// Octets of text in each message, beside its number
    #[arg(long, value_name = "OCTETS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(..=10_000_000))]
    pub(super) size: u32,
    /// Pairs of nodes, each with a connection, which all talk at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) connections: u32,
}

#[derive(Subcommand)]
pub(super) enum Side {
    /// The receiving side, which the sending side starts
    #[command(hide = true)]
    Receive(Arrangement),
}

/// What is to be measured, checked.
pub(super) struct Plan {
    pub(super) arrangement: Arrangement,
    pub(super) time: Duration,
    pub(super) local: bool,
    pub(super) floor: bool,
    pub(super) cores: Option<String>,
    pub(super) json: bool,
}

fn framing(name: &str) -> Result<Framing, String> {
    Framing::from_name(name).ok_or_else(|| "there are json, cbor and storable".into())
}

impl Bench {
    pub(super) fn plan(self) -> Result<Plan, Failure> {
        let time = Duration::try_from_secs_f64(self.seconds)
            .ok()
            .filter(|time| !time.is_zero() && *time <= Duration::from_secs(3600))
            .ok_or_else(|| Failure::usage("--seconds: more than 0 and at most 3600"))?;
        if let Some(cores) = &self.cores {
            pin(cores)?;
        }
        let Bench { arrangement, local, floor, cores, json, .. } = self;
        Ok(Plan { arrangement, time, local, floor, cores, json })
    }
}

/// Keeps this process, and the threads and processes that it will start, on these cores.
fn pin(cores: &str) -> Result<(), Failure> {
    let process = process::id().to_string();
    let done = Command::new("taskset").args(["-a", "-c", "-p", cores, &process]).stdout(Stdio::null()).output();
    let done = done.map_err(|error| Failure::usage(format!("--cores: cannot run taskset: {error}")))?;
    if done.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&done.stderr);
    Err(Failure::usage(format!("--cores {cores}: {}", text.lines().next().unwrap_or("taskset says no"))))
}
