//! The program `aemp`, run as a person runs it.

#[path = "../../../../aemp-node/tests/api/support/attacker.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
pub mod attacker;
#[path = "../../../../aemp-node/tests/api/support/certificates.rs"]
pub mod certificates;
#[path = "../../../../aemp-node/tests/api/support/process.rs"]
pub mod process;
#[allow(unreachable_pub, reason = "it is a module of its own")]
pub mod proxy;

use std::process::Command;

pub(crate) use process::{Running, SECRET, free_address, output, text};

pub(crate) fn aemp(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aemp"));
    command.args(arguments).env("AEMP_SECRET", SECRET);
    command
}

/// A node that offers `echo` and `log`, and its address.
pub(crate) fn seed(bind: &str, more: &[&str]) -> (Running, String) {
    let arguments = ["run", "--node-id", "seed", "--listen", bind, "--service", "echo", "--service", "log"];
    let mut running = Running::start(&mut aemp(&[&arguments, more].concat()));
    let ready = running.line();
    let address = ready.strip_prefix("ready seed ").unwrap_or_else(|| panic!("not ready: {ready}")).to_owned();
    (running, address)
}
