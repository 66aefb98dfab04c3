//! How a node runs.

use std::time::Duration;

use aemp_proto::actor::NodeConfig;
use aemp_proto::link;
use aemp_proto::names::{NodeId, PortNames};

use crate::tls::Certificates;
use crate::wire::Tap;

/// How a node runs.
///
/// ```
/// use std::time::Duration;
/// use aemp_node::Config;
/// use aemp_node::proto::{auth::Secret, names::NodeId};
///
/// let mut config = Config::new(NodeId::new("worker-1").unwrap());
/// config.listen = vec!["[::1]:0".into()];
/// config.seeds = vec!["seed.example:4040".into()];
/// config.node.link.secret = Some(Secret::new(b"swordfish").unwrap());
/// // A peer that shows no sign of life for this long is lost.
/// config.node.silence = Duration::from_secs(30);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// How the node behaves.
    pub node: NodeConfig,
    /// The node's certificate and key, and whom it trusts: with them, connections are inside TLS. None by default. (What
    /// `node.link.tls` says does not count here.)
    pub certificates: Option<Certificates>,
    /// Takes connections without TLS, too, from and to nodes that do not want it. Off by default.
    pub allow_plaintext: bool,
    /// How long certificates and secrets are accepted still that have been replaced while the node runs
    /// ([`set_certificates`](crate::Node::set_certificates), [`set_secret`](crate::Node::set_secret)), 1 hour by default.
    pub credential_grace: Duration,
    /// Addresses to listen on, `HOST:PORT`; `*` or no host stands for all addresses of this host, `*` for any free port. A
    /// name is all of its addresses, and without a port it is any free one. None by default.
    pub listen: Vec<String>,
    /// The addresses that other nodes are told, `HOST:PORT`, where those of [`listen`](Self::listen) cannot be reached from
    /// outside. None by default: then they are told those.
    pub advertise: Vec<String>,
    /// Addresses of other nodes, `HOST:PORT`, which are dialled until they are reached. None by default.
    pub seeds: Vec<String>,
    /// How long [`data_connect`](crate::Node::data_connect) tries, 10 seconds by default.
    pub data_timeout: Duration,
    /// After how long a host is given up whose system acknowledges nothing, 30 seconds by default: neither what was sent to
    /// it, nor, while nothing was, the probes of TCP. A process that is stopped, or a reader that pauses, is none of its
    /// business: for messages that is [`silence`](NodeConfig::silence), for data connections nothing. While the other side
    /// takes nothing, the system's probes become as rare as one in two minutes, and a host that goes then is noticed after
    /// two of them. It is looked at on Linux; elsewhere the system's own times count.
    pub host_timeout: Duration,
    /// Code that holds up the node for so long is logged with its port, 200 milliseconds by default.
    pub slow_handler: Duration,
    /// Shows what passes on the wire. None by default.
    pub tap: Option<Tap>,
}

impl Config {
    /// The defaults: no secret, no listener, no seeds. Such a node talks to itself only, which is all that one process
    /// needs.
    pub fn new(node: NodeId) -> Self {
        Config {
            node: NodeConfig::new(link::Config::new(node)),
            certificates: None,
            allow_plaintext: false,
            credential_grace: Duration::from_secs(3600),
            listen: Vec::new(),
            advertise: Vec::new(),
            seeds: Vec::new(),
            data_timeout: Duration::from_secs(10),
            host_timeout: Duration::from_secs(30),
            slow_handler: Duration::from_millis(200),
            tap: None,
        }
    }

    /// A node of which nobody outside of this process will ever hear, under a random ID.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let node = aemp_node::Node::start(aemp_node::Config::local()).await.unwrap();
    /// let mut mailbox = node.mailbox().await.unwrap();
    /// node.send(mailbox.id(), &("hello", 1)).unwrap();
    /// assert_eq!(mailbox.recv().await.unwrap().decode::<(String, u64)>().unwrap(), ("hello".into(), 1));
    /// # });
    /// ```
    ///
    /// # Panics
    ///
    /// When the operating system has no randomness.
    pub fn local() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the operating system has randomness");
        let unique = PortNames::new(u64::from_ne_bytes(random)).name(0);
        Config::new(NodeId::new(&format!("local/{unique}")).expect("letters and digits"))
    }
}
