//! Starts a listener and a client as two processes on loopback and shows what they say to each other: in json, in cbor, and
//! with a wrong secret.
//!
//! `cargo run --release -p aemp-proto --example talk`

#[path = "../client.rs"]
#[allow(dead_code, reason = "it has a main of its own")]
mod client;
#[path = "../listener.rs"]
#[allow(dead_code, reason = "it has a main of its own")]
mod listener;

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};

fn main() -> ExitCode {
    run().map_or_else(
        |error| {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("listener") => return listener::run(arguments),
        Some("client") => return client::run(arguments),
        _ => {}
    }
    let mut process = part("listener", "127.0.0.1:0", "swordfish").stdout(Stdio::piped()).spawn()?;
    let result = talk(&mut process);
    process.kill()?;
    process.wait()?;
    result
}

fn talk(listener: &mut Child) -> Result<(), Box<dyn Error>> {
    let mut said = BufReader::new(listener.stdout.take().ok_or("the listener has no output")?).lines();
    let mut listener_says = || said.next().unwrap_or_else(|| Ok("the listener has ended".into()));
    let line = listener_says()?;
    let address = line.strip_prefix("listening on ").ok_or("the listener does not listen")?.to_owned();
    for framing in ["json", "cbor"] {
        println!("--- {framing}: > is what the client sends, < what it receives ---");
        if !part("client", &address, "swordfish").arg(framing).status()?.success() {
            return Err(format!("the client failed in {framing}").into());
        }
        println!("  listener: {}\n", listener_says()?);
    }
    println!("--- json, with the wrong secret ---");
    let client = part("client", &address, "sword fish").arg("json").stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    println!("  client: {}", String::from_utf8_lossy(&client.stderr).trim().trim_start_matches("error: "));
    println!("  listener: {}", listener_says()?);
    if client.status.success() { Err("the wrong secret was accepted".into()) } else { Ok(()) }
}

/// This program again, in another part.
fn part(name: &str, address: &str, secret: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args([name, address]).env("AEMP_SECRET", secret);
    if name == "client" {
        // What it shows is ours to show.
        command.stdout(Stdio::inherit());
    }
    command
}
