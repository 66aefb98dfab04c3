//! What several commands take from the command line.

use std::collections::BTreeMap;
use std::env::VarError;
use std::path::PathBuf;
use std::time::Duration;

use aemp_node::proto::auth::{Method, Secret};
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::node::NodeEvent;
use aemp_node::{Config, Events, Node, Tap};
use clap::Args;

use crate::{Failure, tell};

/// How to be a node of the network.
#[derive(Args)]
pub(crate) struct Identity {
    /// This node's ID; `%n` is the name of the host, `%u` and a `/` at the end become a random word
    #[arg(long, value_name = "ID")]
    pub(crate) node_id: Option<String>,
    /// A file with the secret, whose last line end does not count; else the variable AEMP_SECRET
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Framings, best first: cbor, json, storable
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    framing: Vec<String>,
    /// Methods that are accepted, best first: tls_sha3_512, hmac_sha3_512, hmac_sha2_256, cleartext, tls_anon
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    accept: Vec<String>,
    /// Seconds after which a peer that shows no sign of life is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 120.0)]
    silence: f64,
    /// Shows the lines and messages that pass, on standard error
    #[arg(long)]
    wire: bool,
}

/// How to reach the network.
#[derive(Args)]
pub(crate) struct Join {
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// The address of a node of the network; more than one for when that is gone
    #[arg(long, value_name = "HOST:PORT", required = true)]
    seed: Vec<String>,
}

impl Identity {
    pub(crate) fn config(&self, default_id: &str) -> Result<Config, Failure> {
        let id = expand(self.node_id.as_deref().unwrap_or(default_id))?;
        let mut config = Config::new(NodeId::new(&id).map_err(|error| Failure::usage(format!("--node-id {id}: {error}")))?);
        config.node.link.secret = Some(self.secret()?);
        if !self.framing.is_empty() {
            config.node.link.framings = named("--framing", &self.framing, Framing::from_name)?;
        }
        config.node.silence = seconds("--silence", self.silence)?;
        config.node.quiet = config.node.quiet.min(config.node.silence / 3);
        config.tap = self.wire.then(|| Tap::new(|passed| tell(passed)));
        if !self.accept.is_empty() {
            config.node.link.accept = named("--accept", &self.accept, Method::from_name)?;
        }
        Ok(config)
    }

    fn secret(&self) -> Result<Secret, Failure> {
        let text = match &self.secret_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("--secret-file {}: {error}", file.display())))?,
            None => std::env::var("AEMP_SECRET").map_err(|error| match error {
                VarError::NotPresent => Failure::usage("there is no secret: use --secret-file, or set AEMP_SECRET"),
                VarError::NotUnicode(_) => Failure::usage("AEMP_SECRET is not UTF-8: use --secret-file"),
            })?,
        };
        let line = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
        Secret::from_text(line).map_err(Failure::usage)
    }
}

/// Addresses that can be dialled.
pub(crate) fn addresses(option: &str, addresses: Vec<String>) -> Result<Vec<String>, Failure> {
    for address in &addresses {
        let port = address.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) {
            return Err(Failure::usage(format!("{option}: {address:?} is no HOST:PORT")));
        }
    }
    Ok(addresses)
}

/// A time from the command line.
pub(crate) fn seconds(option: &str, seconds: f64) -> Result<Duration, Failure> {
    let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| Failure::usage(format!("{option}: {seconds} is no time in seconds")))
}

fn named<T>(option: &str, names: &[String], find: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Failure> {
    let find = |name: &String| find(name).ok_or_else(|| Failure::usage(format!("{option}: there is no {name:?}")));
    names.iter().map(find).collect()
}

/// `%n` and `%u` in a node ID, and a `/` at its end.
fn expand(id: &str) -> Result<String, Failure> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(Failure::refused)?;
    let unique = aemp_node::proto::names::PortNames::new(u64::from_ne_bytes(random)).name(0);
    let host =
        || std::fs::read_to_string("/etc/hostname").map_or_else(|_| "localhost".into(), |name| name.trim().to_owned());
    let id = if id.contains("%n") { id.replace("%n", &host()) } else { id.to_owned() };
    let id = id.replace("%u", &unique);
    Ok(if id.ends_with('/') { id + &unique } else { id })
}

impl Join {
    /// Starts a node and waits until it has reached the seed.
    pub(crate) async fn join(self) -> Result<Node, Failure> {
        self.reach().await.map(|(node, _)| node)
    }

    /// Starts a node and waits until it has a master, which is the seed: from then on it knows the network.
    pub(crate) async fn join_network(self) -> Result<(Node, NodeId), Failure> {
        /// How long a seed has to become global.
        const PATIENCE: Duration = Duration::from_secs(5);
        let addresses = self.seed.join(", ");
        let (node, mut events) = self.reach().await?;
        let master = async {
            loop {
                match events.recv().await {
                    Some(NodeEvent::Master(Some(master))) => return Ok(master),
                    Some(_) => {}
                    None => return Err(Failure::refused("the node has ended")),
                }
            }
        };
        match tokio::time::timeout(PATIENCE, master).await {
            Ok(master) => Ok((node, master?)),
            Err(_) => Err(Failure::refused(format!("{addresses}: that node keeps no database, it does not say gproto=1"))),
        }
    }

    /// Starts a node and waits until it has reached the seed; what it tells from then on.
    async fn reach(self) -> Result<(Node, Events), Failure> {
        let mut config = self.identity.config("aemp/%n/")?;
        config.seeds = addresses("--seed", self.seed.clone())?;
        let node = Node::start(config).await.map_err(Failure::refused)?;
        let mut events = node.events();
        let mut failed = BTreeMap::new();
        while let Some(event) = events.recv().await {
            match event {
                NodeEvent::Up(_) => return Ok((node, events)),
                NodeEvent::Refused { address: Some(address), error, .. } => {
                    failed.insert(address.clone(), format!("{address}: {error}"));
                }
                _ => {}
            }
            if self.seed.iter().all(|seed| failed.contains_key(seed)) {
                return Err(Failure::unreachable(failed.into_values().collect::<Vec<_>>().join("; ")));
            }
        }
        Err(Failure::refused("the node has ended"))
    }
}
