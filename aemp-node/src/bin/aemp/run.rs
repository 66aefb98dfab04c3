//! `aemp run`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use aemp_node::proto::global::DbError;
use aemp_node::proto::names::NodeId;
use aemp_node::{Config, JoinError, LogLayer, Node};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::files;
use crate::options::{Identity, addresses, expand, seconds};
use crate::{Failure, conformance, say, tell};

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    identity: Identity,
    /// An address to listen on; without a host, all addresses of this one
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
    /// Takes how to run from a line on standard input, as conformance/PROTOCOL.md says, and ends with the input; only with --service conformance
    #[arg(long)]
    start_line: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Service {
    /// Takes the last element of a message as the port to answer, and sends the others back
    Echo,
    /// Prints the messages that it gets, as JSON
    Log,
    /// Lets others set and delete entries of the database in the name of this node (`aemp db set --node`)
    Database,
    /// Does what the conformance suite asks for, as conformance/CONTRACT.md says: for tests only, since anyone in the network can have this node
    /// do anything
    Conformance,
    /// Sends the files of --files to whoever asks (`aemp pipe NODE Files::get NAME`), and takes new ones with --files-take (`Files::put NAME SIZE`)
    Files,
}

impl Run {
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
        (config.binds, config.announce) = (self.bind, addresses("--announce", self.announce)?);
        config.seeds = addresses("--seed", self.seed)?;
        config.node.global = self.global;
        config.overlap = seconds("--overlap", self.overlap)?;
        // Before anyone can be told that we are ready.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::refused)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::refused)?;
        let mut hangup =
            if self.identity.has_files() { Some(signal(SignalKind::hangup()).map_err(Failure::refused)?) } else { None };
        let probe = config.clone();
        let node = Node::start(config).await.map_err(Failure::unreachable)?;
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
        let print = printer().map_err(Failure::refused)?;
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
        let addresses: Vec<_> = node.addresses().iter().map(ToString::to_string).collect();
        say(format_args!("ready {} {}", node.id(), addresses.join(",")))?;
        let never_joins = never_joins(&node, &probe);
        tokio::pin!(never_joins);
        loop {
            let read_again = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                failure = &mut never_joins => {
                    node.stop().await;
                    return Err(failure);
                }
                _ = read_again => match self.identity.read_again(&node).await {
                    Ok(()) => tracing::info!("the files with certificates and secrets have been read again"),
                    Err(Failure { text, .. }) => tracing::warn!(error = text, "the files are not used, nothing has changed"),
                },
            }
        }
        node.stop().await;
        Ok(())
    }
}

/// Waits for a reason why this node can never join its network: that another node has its ID. Otherwise it goes on trying.
async fn never_joins(node: &Node, config: &Config) -> Failure {
    /// How long to try before asking whether it is the ID.
    const PATIENCE: Duration = Duration::from_secs(5);
    let id = node.id();
    loop {
        let why = match node.joined(PATIENCE).await {
            Ok(()) | Err(JoinError::Stopped(_)) => return std::future::pending().await,
            Err(JoinError::TimedOut { why, .. }) if why.contains("does not want this node") => {
                match answers(config, id).await {
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

/// Whether a node answers under this ID, as another one of the network sees it. Those who refuse a node do not say why: where its ID is taken, the
/// same credentials with another one get in.
async fn answers(config: &Config, id: &NodeId) -> bool {
    const PATIENCE: Duration = Duration::from_secs(5);
    let Ok(probe) = expand(&format!("{id}/%u")).and_then(|id| NodeId::new(&id).map_err(Failure::usage)) else {
        return false;
    };
    let mut config = config.clone();
    (config.node.link.node, config.node.global) = (probe, false);
    (config.binds, config.announce) = (Vec::new(), Vec::new());
    let Ok(probe) = Node::start(config).await else { return false };
    let answers = probe.joined(PATIENCE).await.is_ok() && probe.call(&id.port(""), &"snd", Some(PATIENCE)).await.is_ok();
    probe.stop().await;
    answers
}

/// A way to print lines that never waits for whoever reads them: beyond so many lines that wait, lines are dropped, and that is told.
fn printer() -> std::io::Result<impl FnMut(&str) + Clone + Send + 'static> {
    const WAITING: usize = 10_000;
    let (lines, printed) = mpsc::sync_channel::<String>(WAITING);
    let dropped = Arc::new(AtomicUsize::new(0));
    let missing = dropped.clone();
    thread::Builder::new().name("aemp log".into()).spawn(move || {
        for line in printed {
            // When nobody reads any more, the node goes on without.
            if let Err(Failure { text, .. }) = say(line) {
                return tell(format_args!("aemp: {text}"));
            }
            match missing.swap(0, Ordering::Relaxed) {
                0 => {}
                missing => tell(format_args!("aemp: {missing} messages were not printed: nobody read them in time")),
            }
        }
    })?;
    Ok(move |line: &str| {
        if lines.try_send(line.to_owned()).is_err() {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    })
}
