//! What happens in a node, for async tasks that want to know.

use aemp_proto::actor::NodeEvent;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// What happens in a node ([`Node::events`](crate::Node::events)).
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use aemp_node::{Config, Node, proto::{auth::Secret, names::NodeId, actor::NodeEvent}};
/// # let config = |id| {
/// #     let mut config = Config::new(NodeId::new(id).unwrap());
/// #     config.node.link.secret = Some(Secret::new(b"swordfish").unwrap());
/// #     config
/// # };
/// let mut seed = config("seed");
/// seed.listen = vec!["127.0.0.1:0".into()];
/// let seed = Node::start(seed).await.unwrap();
/// let mut events = seed.events();
///
/// let mut worker = config("worker");
/// worker.seeds = vec![seed.addresses()[0].to_string()];
/// let worker = Node::start(worker).await.unwrap();
/// assert_eq!(events.recv().await, Some(NodeEvent::Up(NodeId::new("worker").unwrap())));
/// drop(worker);
/// while !matches!(events.recv().await, Some(NodeEvent::Down(node, _)) if node.as_str() == "worker") {}
/// # });
/// ```
pub struct Events {
    receiver: broadcast::Receiver<NodeEvent>,
    missed: u64,
}

/// Events that wait for whoever is slow; beyond it the oldest are gone.
pub(crate) const WAITING: usize = 1024;

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<NodeEvent>) -> Self {
        Events { receiver, missed: 0 }
    }

    /// Waits for the next event; `None` when the node has ended.
    pub async fn recv(&mut self) -> Option<NodeEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(missed)) => self.missed += missed,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// How many events were missed because they were not taken in time: at most 1024 wait.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
