//! `aemp run`.

use aemp_node::Node;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::options::Identity;
use crate::{Failure, say};

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    identity: Identity,
    /// An address to listen on
    #[arg(long, value_name = "HOST:PORT")]
    bind: Vec<String>,
    /// The address of another node, which is dialled until it is reached
    #[arg(long, value_name = "HOST:PORT")]
    seed: Vec<String>,
    /// A port to offer under its own name
    #[arg(long, value_name = "NAME")]
    service: Vec<Service>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Service {
    /// Takes the last element of a message as the port to answer, and sends the others back
    Echo,
    /// Prints the messages that it gets, as JSON
    Log,
}

impl Run {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut config = self.identity.config("aemp/%n/")?;
        (config.binds, config.seeds) = (self.bind, self.seed);
        // Before anyone can be told that we are ready.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::refused)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::refused)?;
        let node = Node::start(config).await.map_err(Failure::unreachable)?;
        let services = self.service;
        node.with(move |context| {
            for service in services {
                match service {
                    Service::Echo => context.named_port("echo", aemp_node::echo),
                    Service::Log => context.named_port("log", aemp_node::log(print)),
                };
            }
        })
        .await
        .map_err(Failure::refused)?;
        let addresses: Vec<_> = node.addresses().iter().map(ToString::to_string).collect();
        say(format_args!("ready {} {}", node.id(), addresses.join(",")))?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    }
}

/// Prints a message; when nobody reads any more, the node goes on without.
fn print(line: &str) {
    if let Err(Failure { text, .. }) = say(line) {
        eprintln!("aemp: {text}");
    }
}
