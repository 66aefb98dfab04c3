//! `aemp run`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aemp_node::proto::actor::Reasons;
use aemp_node::proto::global::DbError;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::permissions::Permissions;
use aemp_node::{Config, JoinError, LogLayer, LogLevel, Node, permissions};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::files;
use crate::limits::{Limits, Times};
use crate::lines::{Lines, escaped_json};
use crate::options::{Identity, addresses, expand, seconds};
use crate::{Failure, conformance, say, warnings};

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    identity: Identity,
    /// An address to listen on; without a host, all addresses of this one
    #[arg(long, alias = "bind", value_name = "HOST:PORT")]
    listen: Vec<String>,
    /// The address of another node, which is dialled until it is reached
    #[arg(long, value_name = "HOST:PORT")]
    seed: Vec<String>,
    /// An address that other nodes are told instead of those that this one listens on
    #[arg(long, alias = "announce", value_name = "HOST:PORT")]
    advertise: Vec<String>,
    /// Seconds for which certificates and secrets are accepted still that the signal HUP has replaced: it has the files read
    /// again
    #[arg(long, alias = "overlap", value_name = "SECONDS", default_value_t = 3600.0)]
    credential_grace: f64,
    /// Keeps the database of the network from the start, and not only when another node asks for it
    #[arg(long)]
    global: bool,
    /// Something to offer to others
    #[arg(long, value_name = "NAME")]
    service: Vec<Service>,
    /// The folder whose files the service `files` offers, with all that is below it
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// Lets others put new files into that folder; what is there already stays as it is
    #[arg(long, requires = "files")]
    files_take: bool,
    /// A family of the database in which the ports of the services are registered, under their IDs, with their names
    #[arg(long, value_name = "FAMILY")]
    register: Vec<String>,
    /// Does not let other nodes read what this one logs (`aemp log`)
    #[arg(long)]
    no_logs: bool,
    /// The least important level of what other nodes may read of that: a number from 1 to 9, or fatal, alert, critical,
    /// error, warn, note, info, debug, trace; without it, what is shown here
    #[arg(long, value_name = "LEVEL", conflicts_with = "no_logs")]
    offer_logs: Option<LogLevel>,
    /// Refuses calls, spawning, `snd` and `eval` from all other nodes, the services `database` and `files` and `aemp log`
    /// among them: they can send messages to ports, and watch them
    #[arg(long)]
    secure: bool,
    /// A file that says what other nodes may do, by their IDs: docs/permissions.toml is an example. The signal HUP has it
    /// read again
    #[arg(long, value_name = "FILE")]
    permissions: Option<PathBuf>,
    /// Takes how to run from a line on standard input, as conformance/PROTOCOL.md says, and ends with the input; only with
    /// --service conformance
    #[arg(long)]
    start_line: bool,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    limits: Limits,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Service {
    /// Takes the last element of a message as the port to answer, and sends the others back
    Echo,
    /// Prints the messages that it gets, as JSON
    Log,
    /// Lets others set and delete entries of the database in the name of this node (`aemp db set --node`)
    Database,
    /// Does what the conformance suite asks for, as conformance/CONTRACT.md says: for tests only, since anyone in the
    /// network can have this node do anything
    Conformance,
    /// Sends the files of --files to whoever asks (`aemp pipe NODE Files::get NAME`), and takes new ones with --files-take
    /// (`Files::put NAME SIZE`)
    Files,
}

impl Run {
    /// The least important level of records that others may read, if it is not that of what is shown here.
    pub(crate) fn offered(&self) -> Option<LogLevel> {
        // The suite asks for all.
        let is_tested = self.service.contains(&Service::Conformance);
        self.offer_logs.or(is_tested.then_some(LogLevel::TRACE))
    }

    pub(crate) async fn run(self, logs: &LogLayer) -> Result<(), Failure> {
        if self.start_line {
            return match self.service[..] {
                [Service::Conformance] => conformance::run(logs).await,
                _ => Err(Failure::usage("--start-line is for --service conformance alone")),
            };
        }
        let offers_files = self.service.iter().any(|service| matches!(service, Service::Files));
        if offers_files != self.files.is_some() {
            return Err(Failure::usage("--service files needs the folder that it offers, and --files that service"));
        }
        let mut config = self.identity.config("aemp/%n/")?;
        (config.listen, config.advertise) = (self.listen, addresses("--advertise", self.advertise)?);
        config.seeds = addresses("--seed", self.seed)?;
        (config.node.global, config.node.secure) = (self.global, self.secure);
        if let Some(file) = &self.permissions {
            config.node.permissions = permissions_in(file)?;
        }
        self.times.put_into(&mut config)?;
        self.limits.put_into(&mut config);
        config.credential_grace = seconds("--credential-grace", self.credential_grace)?;
        // Before anyone can be told that we are ready.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::refused)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::refused)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(Failure::refused)?;
        let probe = config.clone();
        let node = Node::start_closed(config).await.map_err(Failure::unreachable)?;
        if !self.no_logs {
            node.offer_logs(logs).await.map_err(Failure::refused)?;
        }
        if let Some(folder) = &self.files {
            files::serve(&node, folder, self.files_take).await?;
        }
        if self.service.iter().any(|service| matches!(service, Service::Conformance)) {
            conformance::offer(&node).await.map_err(Failure::refused)?;
        }
        let (services, families) = (self.service, self.register);
        let printed = Lines::begin("messages", std::io::stdout()).map_err(Failure::refused)?;
        let print = move |line: &str| printed.line(escaped_json(line));
        node.with(move |context| {
            for service in services {
                let port = match service {
                    Service::Echo => context.named_port("echo", aemp_node::echo),
                    Service::Log => context.named_port("log", aemp_node::log(print.clone())),
                    Service::Database => {
                        aemp_node::serve_database(context);
                        None
                    }
                    Service::Conformance | Service::Files => None,
                };
                if let Some(port) = &port {
                    // It is for all, so nobody takes it from the others.
                    context.protect(port);
                }
                for (port, family) in port.iter().flat_map(|port| families.iter().map(move |family| (port, family))) {
                    context.db_reg(port, family, port.port())?;
                }
            }
            Ok(())
        })
        .await
        .map_err(Failure::refused)?
        .map_err(|error: DbError| Failure::usage(format!("--register: {error}")))?;
        node.open();
        warnings::warn(&self.identity, node.addresses());
        let addresses: Vec<_> = node.addresses().iter().map(ToString::to_string).collect();
        say(format_args!("ready {} {}", node.id(), addresses.join(",")))?;
        let never_joins = never_joins(&node, &probe);
        tokio::pin!(never_joins);
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                failure = &mut never_joins => {
                    node.stop().await;
                    return Err(failure);
                }
                _ = hangup.recv() => {
                    match self.permissions.as_deref().map(permissions_in) {
                        Some(Ok(permissions)) => {
                            node.set_permissions(permissions);
                            tracing::info!("the file with permissions has been read again");
                        }
                        Some(Err(Failure { text, .. })) => tracing::warn!(error = text, "the permissions stay as they were"),
                        None => {}
                    }
                    if !self.identity.has_files() {
                        tracing::warn!("the signal HUP does not change the secret: it does not come from a file (--secret-file)");
                    } else if let Err(Failure { text, .. }) = self.identity.read_again(&node).await {
                        tracing::warn!(error = text, "the files are not used, nothing has changed");
                    } else {
                        tracing::info!("the files with certificates and secrets have been read again");
                    }
                }
            }
        }
        node.stop().await;
        Ok(())
    }
}

/// Reads the file that says what other nodes may do.
fn permissions_in(file: &Path) -> Result<Permissions, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("--permissions {}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    permissions::from_toml(&text).map_err(|error| failed(&error))
}

/// Waits for a reason why this node can never join its network: another node has its ID. Otherwise it goes on trying.
async fn never_joins(node: &Node, config: &Config) -> Failure {
    /// How long to try before asking whether it is the ID.
    const PATIENCE: Duration = Duration::from_secs(5);
    /// What the seeds of a node say whose ID is taken, or seem to say: the first one may be this node itself, the second one
    /// may have another cause.
    const SIGNS: [&str; 2] = ["the peer has our own node ID", "does not want this node"];
    let id = node.id();
    loop {
        let why = match node.joined(PATIENCE).await {
            Ok(()) | Err(JoinError::Stopped(_)) => return std::future::pending().await,
            Err(JoinError::TimedOut { why, .. }) if SIGNS.iter().any(|sign| why.contains(sign)) => {
                match another_answers(node, config).await {
                    true => format!("it answers in the network of {}", config.seeds.join(", ")),
                    false => continue,
                }
            }
            Err(JoinError::SameId(why)) => why,
            Err(_) => continue,
        };
        return Failure::refused(format!("another node has the ID {id}: stop that one, or take another --node-id ({why})"));
    }
}

/// Returns whether another node answers under the ID of this one. Nodes that refuse a node do not say why, so a second node
/// with the same credentials and an ID of its own asks. It asks a port of this node that no other node has: where that
/// answers, the seeds lead to this node itself.
async fn another_answers(node: &Node, config: &Config) -> bool {
    const PATIENCE: Duration = Duration::from_secs(5);
    let Ok(asking) = expand(&format!("{}/%u", node.id())).and_then(|id| NodeId::new(&id).map_err(Failure::usage)) else {
        return false;
    };
    let mut config = config.clone();
    (config.node.link.node, config.node.global) = (asking, false);
    (config.listen, config.advertise) = (Vec::new(), Vec::new());
    let Ok(own) = node.with(|context| context.port(aemp_node::echo)).await else { return false };
    let Ok(asking) = Node::start(config).await else { return false };
    let another = asking.joined(PATIENCE).await.is_ok()
        && asking.call(&node.id().port(""), &"snd", Some(PATIENCE)).await.is_ok()
        && asking.call(&own, &"hello", Some(PATIENCE)).await.is_err();
    asking.stop().await;
    node.end(&own, Reasons::normal());
    another
}
