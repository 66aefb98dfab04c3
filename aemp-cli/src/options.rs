//! What several commands take from the command line.

use std::collections::BTreeMap;
use std::env::VarError;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aemp_node::proto::actor::{NodeEvent, Refusal};
use aemp_node::proto::auth::{Method, Secret};
use aemp_node::proto::framing::Framing;
use aemp_node::proto::names::NodeId;
use aemp_node::{Certificates, Config, Events, Node, Tap};
use clap::Args;

use crate::values::{line, time};
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
    /// A file with another secret that is accepted from others, while the network changes from one to another; it may be
    /// missing or empty
    #[arg(long, value_name = "FILE")]
    further_secret_file: Vec<PathBuf>,
    /// A file with this node's certificate and its key in PEM: connections are inside TLS, and a secret is not needed.
    /// Without --ca, all nodes share the certificate
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// A file with the certificate of the authority that has issued those of all nodes, each made out to its node ID
    #[arg(long, value_name = "FILE", requires = "cert")]
    ca: Option<PathBuf>,
    /// A file with certificates that are trusted themselves, too, such as the next one that is to be shared
    #[arg(long, value_name = "FILE", requires = "cert")]
    trust: Vec<PathBuf>,
    /// Takes each certificate of the authority from a node with any ID: then each node of the network can be any other one
    #[arg(long, requires = "ca")]
    any_name: bool,
    /// What is so without --any-name
    #[arg(long, requires = "ca", conflicts_with = "any_name", hide = true)]
    bind_names: bool,
    /// Connects without TLS, too, to nodes that do not want it
    #[arg(long, alias = "allow-plain", requires = "cert")]
    allow_plaintext: bool,
    /// Framings, best first: cbor, json, storable. Without this cbor and json: storable, for old Perl nodes, only if it is
    /// named
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    framing: Vec<String>,
    /// Methods that are accepted, best first: tls_sha3_512, hmac_sha3_512, hmac_sha2_256, cleartext, tls_anon
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    accept: Vec<String>,
    /// Seconds after which a peer that shows no sign of life is given up
    #[arg(long, alias = "silence", value_name = "SECONDS", default_value_t = 120.0)]
    max_idle_timeout: f64,
    /// Seconds after which a host is given up whose system acknowledges nothing; one whose program only takes nothing is not
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    host_timeout: f64,
    /// Shows the lines and messages that pass, on standard error
    #[arg(long)]
    wire: bool,
}

/// How to reach the network.
#[derive(Args)]
pub(crate) struct Join {
    #[command(flatten)]
    pub(crate) identity: Identity,
    /// The address of a node of the network; more than one, or a list with commas, for when that is gone
    #[arg(
        long,
        value_name = "HOST:PORT",
        required = true,
        value_delimiter = ',',
        env = "AEMP_SEED",
        hide_env_values = true
    )]
    seed: Vec<String>,
    /// How long to try while nothing listens there: it may be about to start
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "5s")]
    wait: Duration,
}

/// How to be reached by nodes that do not listen.
#[derive(Args)]
pub(crate) struct Reachable {
    /// An address to listen on, such as `*:*`, for nodes that do not listen: they have to connect to this program before
    /// they can be asked. They are told to by a node that they are connected with, unless one of the two is in secure mode
    #[arg(long, alias = "bind", value_name = "HOST:PORT")]
    listen: Vec<String>,
}

impl Identity {
    pub(crate) fn config(&self, default_id: &str) -> Result<Config, Failure> {
        let id = expand(self.node_id.as_deref().unwrap_or(default_id))?;
        let told = |error: &dyn std::fmt::Display| Failure::usage(format!("--node-id {id}: {error}"));
        let node = NodeId::new(&id).map_err(|error| told(&error))?;
        if !id.is_ascii() {
            let why = "nodes of AnyEvent::MP take the characters beyond ASCII for octets, and what they answer would not arrive here";
            return Err(told(&format_args!("it has a character that is not ASCII: {why}")));
        }
        let mut config = Config::new(node);
        config.certificates = self.certificates()?;
        config.allow_plaintext = self.allow_plaintext;
        config.node.link.secret = self.secret()?;
        config.node.link.further_secrets = self.further_secrets()?;
        if !self.framing.is_empty() {
            config.node.link.framings = named("--framing", &self.framing, Framing::from_name)?;
        }
        config.node.silence = seconds("--max-idle-timeout", self.max_idle_timeout)?;
        config.node.quiet = config.node.quiet.min(config.node.silence / 3);
        config.host_timeout = seconds("--host-timeout", self.host_timeout)?;
        config.tap = self.wire.then(|| Tap::new(|passed| tell(passed)));
        if !self.accept.is_empty() {
            config.node.link.accept = named("--accept", &self.accept, Method::from_name)?;
        }
        Ok(config)
    }

    /// Whether there are files that can change while a node runs.
    pub(crate) fn has_files(&self) -> bool {
        self.secret_file.is_some() || self.cert.is_some() || !self.further_secret_file.is_empty()
    }

    /// Has a node use what is in the files now.
    pub(crate) async fn read_again(&self, node: &Node) -> Result<(), Failure> {
        let (certificates, secret, further) = (self.certificates()?, self.secret()?, self.further_secrets()?);
        if let Some(certificates) = certificates {
            node.set_certificates(certificates).await.map_err(Failure::refused)?;
        }
        if let Some(secret) = secret {
            node.set_secret(secret, further).await.map_err(Failure::refused)?;
        }
        Ok(())
    }

    fn certificates(&self) -> Result<Option<Certificates>, Failure> {
        let Some(file) = &self.cert else { return Ok(None) };
        let mut certificates = Certificates::from_files(file, self.ca.as_deref()).map_err(Failure::usage)?;
        for trusted in &self.trust {
            certificates = certificates.trust_file(trusted).map_err(Failure::usage)?;
        }
        Ok(Some(if self.any_name { certificates.any_name() } else { certificates }))
    }

    /// The secret; none is fine where there is a certificate.
    fn secret(&self) -> Result<Option<Secret>, Failure> {
        match (&self.secret_file, std::env::var("AEMP_SECRET")) {
            (Some(file), _) => secret_in("--secret-file", file).map(Some),
            (None, Ok(secret)) => Secret::from_text(&secret).map(Some).map_err(Failure::usage),
            (None, Err(VarError::NotUnicode(_))) => Err(Failure::usage("AEMP_SECRET is not UTF-8: use --secret-file")),
            (None, Err(VarError::NotPresent)) if self.cert.is_some() => Ok(None),
            (None, Err(VarError::NotPresent)) => {
                Err(Failure::usage("there is no secret: use --secret-file, or set AEMP_SECRET; or use --cert"))
            }
        }
    }

    fn further_secrets(&self) -> Result<Vec<Secret>, Failure> {
        let mut secrets = Vec::new();
        for file in &self.further_secret_file {
            // Before and after a change there is none.
            if std::fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0) {
                secrets.push(secret_in("--further-secret-file", file)?);
            }
        }
        Ok(secrets)
    }

    /// The files that nobody else should read, each with its option.
    pub(crate) fn files_with_secrets(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let secret = self.secret_file.iter().map(|file| ("--secret-file", file.as_path()));
        let further = self.further_secret_file.iter().map(|file| ("--further-secret-file", file.as_path()));
        secret.chain(further).chain(self.cert.iter().map(|file| ("--cert", file.as_path())))
    }

    /// Whether a secret is shorter than this many characters.
    pub(crate) fn has_short_secret(&self, characters: usize) -> bool {
        let is_short = |secret: &Secret| secret.is_shorter_than(characters);
        let own = self.secret().ok().flatten();
        own.iter().chain(self.further_secrets().iter().flatten()).any(is_short)
    }

    /// Whether connections can be without TLS.
    pub(crate) fn takes_plain(&self) -> bool {
        self.cert.is_none() || self.allow_plaintext
    }

    /// Whether each certificate of the authority is taken from any node.
    pub(crate) fn takes_any_name(&self) -> bool {
        self.any_name
    }

    /// The methods that are accepted and prove little.
    pub(crate) fn open_methods(&self) -> impl Iterator<Item = &str> {
        let open = |method: &&str| [Method::Cleartext.name(), Method::TlsAnon.name()].contains(method);
        self.accept.iter().map(String::as_str).filter(open)
    }
}

/// The secret in a file, whose last line end does not count.
fn secret_in(option: &str, file: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| Failure::usage(format!("{option} {}: {error}", file.display())))?;
    Secret::from_text(line(&text)).map_err(|error| Failure::usage(format!("{option} {}: {error}", file.display())))
}

/// Addresses that can be dialled.
pub(crate) fn addresses(option: &str, addresses: Vec<String>) -> Result<Vec<String>, Failure> {
    for address in &addresses {
        let parts = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
        match parts {
            Some(("", Ok(port))) => {
                return Err(Failure::usage(format!(
                    "{option}: {address:?} has no host: on this one write 127.0.0.1:{port}"
                )));
            }
            Some((_, Ok(1..))) => {}
            _ => return Err(Failure::usage(format!("{option}: {address:?} is no HOST:PORT"))),
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
pub(crate) fn expand(id: &str) -> Result<String, Failure> {
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
        self.reach(Vec::new()).await.map(|(node, _)| node)
    }

    /// Starts a node and waits until it has a master, which is the seed: from then on it knows the network.
    pub(crate) async fn join_network(self) -> Result<(Node, NodeId), Failure> {
        self.join_reachable(Reachable { listen: Vec::new() }).await
    }

    /// The same, and listens.
    pub(crate) async fn join_reachable(self, reachable: Reachable) -> Result<(Node, NodeId), Failure> {
        /// How long a seed has to become global.
        const PATIENCE: Duration = Duration::from_secs(5);
        let addresses = self.seed.join(", ");
        let (node, mut events) = self.reach(reachable.listen).await?;
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

    /// Starts a node and waits until it has reached the seed; what it tells from then on. While nothing listens there, it is
    /// tried again.
    async fn reach(self, binds: Vec<String>) -> Result<(Node, Events), Failure> {
        /// Between two tries.
        const PAUSE: Duration = Duration::from_millis(100);
        let until = Instant::now() + self.wait;
        loop {
            let mut config = self.identity.config("aemp/%n/")?;
            config.listen.clone_from(&binds);
            config.seeds = addresses("--seed", self.seed.clone())?;
            let node = Node::start(config).await.map_err(Failure::refused)?;
            let events = node.events();
            match self.is_up(events).await {
                Ok(events) => return Ok((node, events)),
                Err(NotUp { failure, may_come }) if !may_come || Instant::now() + PAUSE > until => return Err(failure),
                Err(_) => node.stop().await,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until a seed is reached, or none is.
    async fn is_up(&self, mut events: Events) -> Result<Events, NotUp> {
        let mut failed = BTreeMap::new();
        let mut may_come = true;
        while let Some(event) = events.recv().await {
            match event {
                NodeEvent::Up(_) => return Ok(events),
                NodeEvent::Refused { address: Some(address), error, reason, .. } => {
                    may_come &= reason == Refusal::Unreachable;
                    failed.insert(address.clone(), format!("{address}: {error}"));
                }
                _ => {}
            }
            if self.seed.iter().all(|seed| failed.contains_key(seed)) {
                let failure = Failure::unreachable(failed.into_values().collect::<Vec<_>>().join("; "));
                return Err(NotUp { failure, may_come });
            }
        }
        Err(NotUp { failure: Failure::refused("the node has ended"), may_come: false })
    }
}

/// Why no seed was reached.
struct NotUp {
    failure: Failure,
    /// Nothing listens there yet.
    may_come: bool,
}
