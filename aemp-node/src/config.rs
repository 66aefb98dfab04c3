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
    /// The settings of the protocol: the node's ID, secret, limits and time-outs.
    pub node: NodeConfig,
    /// The node's certificate and key, and the certificates that it trusts. With them, the node uses TLS for its
    /// connections. The value of `node.link.tls` has no effect. Default: none.
    pub certificates: Option<Certificates>,
    /// Whether the node also accepts and opens connections without TLS, for nodes that do not use it. Default: off.
    pub allow_plaintext: bool,
    /// The time for which the node still accepts a certificate or secret that was replaced while it runs
    /// ([`set_certificates`](crate::Node::set_certificates), [`set_secret`](crate::Node::set_secret)). Default: 1 hour.
    pub credential_grace: Duration,
    /// The addresses to listen on, as `HOST:PORT`. `*` or an empty host means all addresses of this host; `*` as the
    /// port means any free port. A host name means all of its addresses. Without a port, the node uses any free one.
    /// Default: none.
    pub listen: Vec<String>,
    /// The addresses that the node advertises to other nodes, as `HOST:PORT`. Set them if other nodes cannot reach
    /// those of [`listen`](Self::listen). Default: none; the node then advertises the addresses that it listens on.
    pub advertise: Vec<String>,
    /// The addresses of other nodes, as `HOST:PORT`. The node dials each until it reaches a node there. Default: none.
    pub seeds: Vec<String>,
    /// The time-out of [`data_connect`](crate::Node::data_connect). Default: 10 seconds.
    pub data_timeout: Duration,
    /// The time after which the node closes a connection if the operating system of the other host acknowledges
    /// nothing: neither data nor, on an idle connection, the keep-alive probes of TCP. Default: 30 seconds.
    ///
    /// A stopped process and a paused reader do not count, because their system still acknowledges.
    /// [`silence`](NodeConfig::silence) limits these for messages; nothing limits them for data connections. While the
    /// other side accepts no data, the system sends its probes less often, down to one in 2 minutes. The node then
    /// notices a lost host after two of these probes. On systems other than Linux, the time-outs of the system apply
    /// instead.
    pub host_timeout: Duration,
    /// The time after which the node logs a handler that blocks its thread, with the handler's port. Default: 200
    /// milliseconds.
    pub slow_handler: Duration,
    /// A [`Tap`] that receives all lines and messages on the wire. Default: none.
    pub tap: Option<Tap>,
}

impl Config {
    /// Creates a configuration with the defaults: no secret, no listen addresses, no seeds. Such a node serves a single
    /// process.
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

    /// Creates a configuration with a random node ID, for a node that no other process can reach.
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
    /// Panics if the operating system provides no randomness.
    pub fn local() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the operating system has randomness");
        let unique = PortNames::new(u64::from_ne_bytes(random)).name(0);
        Config::new(NodeId::new(&format!("local/{unique}")).expect("letters and digits"))
    }
}
