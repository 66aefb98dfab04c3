//! Events of a node, for async tasks.

use aemp_proto::actor::NodeEvent;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// A receiver of the events of a node ([`Node::events`](crate::Node::events)). It holds up to 1024 unread events.
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

/// The maximum number of unread events. When it is exceeded, the oldest are lost.
pub(crate) const WAITING: usize = 1024;

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<NodeEvent>) -> Self {
        Events { receiver, missed: 0 }
    }

    /// Waits for the next event. Returns `None` when the node has stopped. This function is cancel-safe: if the future
    /// is dropped, no event is lost.
    pub async fn recv(&mut self) -> Option<NodeEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(RecvError::Lagged(missed)) => self.missed += missed,
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Returns the number of events that this receiver lost because more than 1024 were unread.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
