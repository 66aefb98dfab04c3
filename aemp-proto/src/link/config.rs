//! What a link is told beforehand.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::auth::{Method, Secret};
use crate::framing::{Framing, Limits};
use crate::line::{Greeting, Protocol};
use crate::names::NodeId;

/// How a node greets, authenticates and bounds its peers. All links of a node can share one.
///
/// ```
/// use aemp_proto::{auth::Secret, framing::Framing, link::Config, names::NodeId};
/// let mut config = Config::new(NodeId::new("alice").unwrap());
/// config.secret = Some(Secret::new(b"swordfish").unwrap());
/// config.framings = vec![Framing::Json];
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// This node's ID.
    pub node: NodeId,
    /// The secret that the nodes of the network share. Without one, only TLS can authenticate (`AUTH-19`).
    pub secret: Option<Secret>,
    /// Other secrets that are accepted from peers, too, while the network changes from one to another (`SEC-6`); none by
    /// default, and they count only where there is a secret of our own.
    pub further_secrets: Vec<Secret>,
    /// Methods that may be sent: of these, the first in the peer's list is (`AUTH-6`).
    pub send: Vec<Method>,
    /// Methods that are accepted, best first (`AUTH-21`). `cleartext` and `tls_anon` only if they are put here (`AUTH-22`).
    pub accept: Vec<Method>,
    /// Framings that are offered, best first: the peer sends in one of them. By default [`Framing::DEFAULT`]: storable only
    /// if it is put here (`STORABLE-15`).
    pub framings: Vec<Framing>,
    /// Framings that may be sent: of these, the first in the peer's list is (`AUTH-7`), and storable only where nothing else
    /// is left (`STORABLE-15`). At first `None`: those that are offered.
    pub send_framings: Option<Vec<Framing>>,
    /// Whether TLS is wanted.
    pub tls: Tls,
    /// Binds the tokens within TLS to the TLS connection, where the peer does so, too (`AUTH-27`). Off by default: the owner
    /// has to give what TLS exports, with [`Link::tls_established_with`](super::Link::tls_established_with).
    pub exporter: bool,
    /// Further keys for the greeting, such as `mproto`. At first only `provider`, which is this crate.
    pub keys: BTreeMap<String, String>,
    /// The words of other protocols `aemp-WORD` that openers may name to this node, where it accepts (`GREET-4`); none by
    /// default. Of such a connection a link does no more than the handshake ([`Event::Stream`](super::Event::Stream)).
    pub protocols: Vec<String>,
    /// What one packet of the peer may cost.
    pub limits: Limits,
    /// What one packet of ours may cost to a peer that announces nothing: at first what every receiver takes,
    /// [`Limits::LEAST`] (`LIMIT-5`). Raise it where the peers are known to take more, as nodes of the reference do: then
    /// they also get larger answers from the database.
    pub send_limits: Limits,
    /// What one packet of ours may cost at most to a peer that announces what it takes (`GREET-26`): 64 MiB, 512 levels and
    /// 1,000,000 values by default. A [`Node`](crate::actor::Node) sends a peer no more than it announces, or `send_limits`
    /// if that is more; a link alone uses `send_limits` only.
    pub send_most: Limits,
    /// How long the handshake may take as a whole, 30 seconds by default (`LIMIT-1`).
    pub handshake_timeout: Duration,
}

/// Whether TLS is wanted on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tls {
    /// No.
    #[default]
    Off,
    /// Yes, if the peer wants it too (`TLS-2`).
    Wanted,
    /// Yes, and no link without it (`TLS-7`, `TLS-15`).
    Required,
}

impl Config {
    /// The defaults, without a secret and without TLS: no handshake succeeds before one of them is set.
    pub fn new(node: NodeId) -> Self {
        Config {
            node,
            secret: None,
            further_secrets: Vec::new(),
            send: Method::DEFAULT_SENT.into(),
            accept: Method::DEFAULT_ACCEPTED.into(),
            framings: Framing::DEFAULT.into(),
            send_framings: None,
            tls: Tls::Off,
            exporter: false,
            keys: BTreeMap::from([("provider".into(), concat!("aemp-proto-", env!("CARGO_PKG_VERSION")).into())]),
            protocols: Vec::new(),
            limits: Limits::default(),
            send_limits: Limits::LEAST,
            send_most: Limits::default(),
            handshake_timeout: Duration::from_secs(30),
        }
    }

    /// The secrets that are accepted, our own first.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secret.iter().chain(self.further_secrets.iter().take_while(|_| self.secret.is_some()))
    }

    /// The methods that can be accepted with what there is.
    fn acceptable(&self) -> impl Iterator<Item = Method> {
        self.accept.iter().copied().filter(|method| self.secret.is_some() || !method.requires_secret())
    }

    /// The first line of a link (`GREET-1`).
    pub(super) fn greeting(
        &self,
        protocol: Protocol,
        mut keys: BTreeMap<String, String>,
        peer_address: Option<&str>,
    ) -> Greeting {
        if self.tls != Tls::Off {
            keys.insert("tls".into(), "1.0".into());
            if self.exporter {
                keys.insert("exporter".into(), "1".into());
            }
        }
        if let Some(address) = peer_address {
            keys.insert("peeraddr".into(), address.into());
        }
        Greeting {
            protocol,
            node: self.node.clone(),
            methods: self.acceptable().map(|method| method.name().into()).collect(),
            framings: self.framings.iter().map(|framing| framing.name().into()).collect(),
            keys,
        }
    }

    /// The method to send to a peer that accepts `offered` (`AUTH-6`, `AUTH-18`, `AUTH-19`).
    pub(super) fn choose_method(&self, offered: &[String], tls: bool) -> Option<Method> {
        let usable = |method: &Method| {
            self.send.contains(method)
                && (tls || !method.requires_tls())
                && (self.secret.is_some() || !method.requires_secret())
                && (*method != Method::Cleartext || self.secrets().all(Secret::fits_cleartext))
        };
        offered.iter().filter_map(|name| Method::from_name(name)).find(usable)
    }

    /// The framing to send in to a peer that can receive `offered` (`AUTH-7`): storable only where nothing else is left
    /// (`STORABLE-15`).
    pub(super) fn choose_framing(&self, offered: &[String]) -> Option<Framing> {
        let sendable = self.send_framings.as_ref().unwrap_or(&self.framings);
        let usable = || offered.iter().filter_map(|name| Framing::from_name(name)).filter(|it| sendable.contains(it));
        usable().find(|framing| *framing != Framing::Storable).or_else(|| usable().next())
    }
}
