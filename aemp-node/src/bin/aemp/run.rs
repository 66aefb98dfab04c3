//! `aemp run`.

use aemp_node::Node;
use aemp_node::proto::global::DbError;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::options::{Identity, seconds};
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
    /// An address that other nodes are told instead of those that this one listens on
    #[arg(long, value_name = "HOST:PORT")]
    announce: Vec<String>,
    /// Seconds for which certificates and secrets are accepted still that the signal HUP has replaced: it has the files read again
    #[arg(long, value_name = "SECONDS", default_value_t = 3600.0)]
    overlap: f64,
    /// Keeps the database of the network from the start, and not only when another node asks for it
    #[arg(long)]
    global: bool,
    /// Something to offer to others
    #[arg(long, value_name = "NAME")]
    service: Vec<Service>,
    /// A family of the database in which the ports of the services are registered, under their IDs, with their names
    #[arg(long, value_name = "FAMILY")]
    register: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Service {
    /// Takes the last element of a message as the port to answer, and sends the others back
    Echo,
    /// Prints the messages that it gets, as JSON
    Log,
    /// Lets others set and delete entries of the database in the name of this node (`aemp db set --node`)
    Database,
}

impl Run {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut config = self.identity.config("aemp/%n/")?;
        (config.binds, config.seeds, config.announce) = (self.bind, self.seed, self.announce);
        config.node.global = self.global;
        config.overlap = seconds("--overlap", self.overlap)?;
        // Before anyone can be told that we are ready.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::refused)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::refused)?;
        let mut hangup =
            if self.identity.has_files() { Some(signal(SignalKind::hangup()).map_err(Failure::refused)?) } else { None };
        let node = Node::start(config).await.map_err(Failure::unreachable)?;
        let (services, families) = (self.service, self.register);
        node.with(move |context| {
            for service in services {
                let port = match service {
                    Service::Echo => context.named_port("echo", aemp_node::echo),
                    Service::Log => context.named_port("log", aemp_node::log(print)),
                    Service::Database => {
                        aemp_node::serve_database(context);
                        None
                    }
                };
                for (port, family) in port.iter().flat_map(|port| families.iter().map(move |family| (port, family))) {
                    context.db_reg(port, family, port.port())?;
                }
            }
            Ok(())
        })
        .await
        .map_err(Failure::refused)?
        .map_err(|error: DbError| Failure::usage(format!("--register: {error}")))?;
        let addresses: Vec<_> = node.addresses().iter().map(ToString::to_string).collect();
        say(format_args!("ready {} {}", node.id(), addresses.join(",")))?;
        loop {
            let read_again = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                _ = read_again => match self.identity.read_again(&node).await {
                    Ok(()) => tracing::info!("the files with certificates and secrets have been read again"),
                    Err(Failure { text, .. }) => tracing::warn!(error = text, "the files are not used, nothing has changed"),
                },
            }
        }
    }
}

/// Prints a message; when nobody reads any more, the node goes on without.
fn print(line: &str) {
    if let Err(Failure { text, .. }) = say(line) {
        eprintln!("aemp: {text}");
    }
}
