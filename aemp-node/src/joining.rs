//! Waiting until a node has joined its network.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp_proto::actor::{NodeEvent, Refusal};
use thiserror::Error;
use tokio::time::timeout;

use crate::handle::{Node, Stopped};

/// The standing of a node in its network, derived from its events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    connections: usize,
    has_master: bool,
    is_global: bool,
    /// The last failure for each seed address since the last connection.
    refusals: BTreeMap<String, (Refusal, String)>,
}

impl Standing {
    /// Updates the standing. Returns `false` if the event changes nothing.
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

    /// Returns whether the node can reach the database of the network.
    fn is_joined(&self) -> bool {
        self.has_master || self.is_global && self.connections > 0
    }

    /// Returns whether the node receives the changes of the database.
    pub(crate) fn is_followed(&self) -> bool {
        self.has_master || self.is_global
    }

    /// Returns a text for people that says why the node has not joined.
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

/// The reason why a node has not joined its network.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The node did not join in time.
    #[error("not joined within {waited:?}: {why}")]
    TimedOut {
        /// The time that the caller gave.
        waited: Duration,
        /// Each seed with its last failure, as a text for people.
        why: String,
    },
    /// Each seed reports that it has the ID of this node. This node does not listen, so it has not reached itself:
    /// another node has the same ID.
    #[error("another node has the ID of this node: {0}")]
    SameId(String),
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Node {
    /// Waits until the node has joined its network: it has a master, or it is global and connected to another node.
    /// From then on the node can query the database and find other nodes. Returns at once if the node has no seeds.
    ///
    /// This function is cancel-safe: dropping the future has no effect on the node.
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
    /// Returns [`JoinError::TimedOut`] after `time`, with the last failure of each seed. Returns [`JoinError::SameId`]
    /// as soon as every seed has reported that it has the ID of this node, if this node does not listen. Returns
    /// [`JoinError::Stopped`] if the node has stopped.
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

    /// Returns whether each seed has the ID of this node and is another node.
    fn has_same_id(&self, standing: &Standing) -> bool {
        let same = |(reason, _): &(Refusal, String)| *reason == Refusal::OwnNodeId;
        self.addresses().is_empty() && standing.refusals.len() >= self.seeds() && standing.refusals.values().all(same)
    }

    /// Waits until the node has had no master for `time`. Returns the reason as a text.
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

    /// Returns whether the node receives no changes of the database now.
    pub(crate) fn is_unfollowed(&self) -> bool {
        !self.standing().borrow().is_followed()
    }
}
