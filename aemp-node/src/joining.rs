//! Whether a node has joined its network, for async tasks that wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp_proto::actor::{NodeEvent, Refusal};
use thiserror::Error;
use tokio::time::timeout;

use crate::handle::{Node, Stopped};

/// Where a node stands, as its events tell it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    connections: usize,
    has_master: bool,
    is_global: bool,
    /// Why each seed was not reached, since there was a connection last.
    refusals: BTreeMap<String, (Refusal, String)>,
}

impl Standing {
    /// Takes an event into account; false if it changes nothing.
    pub(crate) fn take(&mut self, event: &NodeEvent) -> bool {
        match event {
            NodeEvent::Up(_) => {
                self.connections += 1;
                self.refusals.clear();
            }
            NodeEvent::Down(..) => self.connections = self.connections.saturating_sub(1),
            NodeEvent::Master(master) => self.has_master = master.is_some(),
            NodeEvent::BecameGlobal => (self.is_global, self.has_master) = (true, false),
            NodeEvent::Refused { address: Some(address), reason, error, .. } if self.connections == 0 => {
                self.refusals.insert(address.clone(), (*reason, error.clone()));
            }
            _ => return false,
        }
        true
    }

    /// Whether the database of the network can be reached.
    fn is_joined(&self) -> bool {
        self.has_master || self.is_global && self.connections > 0
    }

    /// Whether the database is followed.
    pub(crate) fn is_followed(&self) -> bool {
        self.has_master || self.is_global
    }

    /// Why it has not joined.
    pub(crate) fn why_not(&self) -> String {
        if self.connections > 0 {
            return "there is a connection, but to no node that keeps the database (gproto=1)".into();
        }
        if self.refusals.is_empty() {
            return "there is no connection to any node".into();
        }
        let refusals: Vec<_> = self.refusals.iter().map(|(address, (_, error))| format!("{address}: {error}")).collect();
        refusals.join("; ")
    }
}

/// Why a node has not joined its network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The time is up.
    #[error("not joined within {waited:?}: {why}")]
    TimedOut {
        /// The time.
        waited: Duration,
        /// Each seed and why it was not reached last, as a text for people.
        why: String,
    },
    /// Each seed says that it has the ID of this node. So another node has that ID: this one does not listen, and cannot
    /// have reached itself.
    #[error("another node has the ID of this node: {0}")]
    SameId(String),
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Node {
    /// Waits until the node has joined its network: until it has a master, or is global itself and connected with another
    /// node. From then on the database can be asked and other nodes are found. A node without seeds has nothing to join, and
    /// does not wait.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// # use aemp_node::{Config, Node, proto::{auth::Secret, names::NodeId}};
    /// # let config = |id: &str, secret: &[u8]| {
    /// #     let mut config = Config::new(NodeId::new(id).unwrap());
    /// #     config.node.link.secret = Some(Secret::new(secret).unwrap());
    /// #     config
    /// # };
    /// let mut seed = config("seed", b"swordfish");
    /// seed.listen = vec!["127.0.0.1:*".into()];
    /// let seed = Node::start(seed).await.unwrap();
    ///
    /// let mut worker = config("worker", b"swordfish");
    /// worker.seeds = vec![seed.addresses()[0].to_string()];
    /// let worker = Node::start(worker).await.unwrap();
    /// worker.joined(Duration::from_secs(10)).await.unwrap();
    ///
    /// let mut stranger = config("stranger", b"haddock");
    /// stranger.seeds = vec![seed.addresses()[0].to_string()];
    /// let stranger = Node::start(stranger).await.unwrap();
    /// let error = stranger.joined(Duration::from_millis(200)).await.unwrap_err();
    /// assert!(error.to_string().contains("the secret is wrong"), "{error}");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When the time is up: the error says why each seed was not reached last. At once when another node has the ID of this
    /// one, as far as that can be known: when each seed has it itself.
    pub async fn joined(&self, time: Duration) -> Result<(), JoinError> {
        if self.seeds() == 0 {
            return Ok(());
        }
        let mut standing = self.standing();
        let decided = async {
            let decided = standing.wait_for(|standing| standing.is_joined() || self.has_same_id(standing)).await;
            decided.map(|standing| standing.clone()).map_err(|_| JoinError::Stopped(Stopped))
        };
        let Ok(decided) = timeout(time, decided).await else {
            let why = self.standing().borrow().why_not();
            return Err(JoinError::TimedOut { waited: time, why });
        };
        let decided = decided?;
        if decided.is_joined() { Ok(()) } else { Err(JoinError::SameId(decided.why_not())) }
    }

    /// Whether each seed has the ID of this node, and is not this node.
    fn has_same_id(&self, standing: &Standing) -> bool {
        let same = |(reason, _): &(Refusal, String)| *reason == Refusal::OwnNodeId;
        self.addresses().is_empty() && standing.refusals.len() >= self.seeds() && standing.refusals.values().all(same)
    }

    /// Waits until the node has had no master for so long; gives the reason.
    pub(crate) async fn unfollowed(&self, time: Duration) -> String {
        let mut standing = self.standing();
        loop {
            if !matches!(timeout(time, standing.wait_for(Standing::is_followed)).await, Ok(Ok(_))) {
                break;
            }
            if standing.wait_for(|standing| !standing.is_followed()).await.is_err() {
                break;
            }
        }
        self.standing().borrow().why_not()
    }

    /// Whether the database is not followed at the moment.
    pub(crate) fn is_unfollowed(&self) -> bool {
        !self.standing().borrow().is_followed()
    }
}
