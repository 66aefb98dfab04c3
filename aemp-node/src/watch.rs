//! Monitors for async tasks.

use std::pin::Pin;
use std::task::{Context, Poll};

use aemp_proto::actor::{MonitorHandle, Reasons};
use tokio::sync::oneshot;

use crate::handle::{Node, Stopped};

/// A monitor as a future. It resolves with the reasons when the port ends or its node is lost, and with [`Stopped`] if
/// the own node stops. Dropping it removes the monitor.
#[must_use = "the watch is given up when this is dropped"]
pub struct Watch {
    node: Node,
    handle: MonitorHandle,
    fired: oneshot::Receiver<Reasons>,
}

impl Watch {
    pub(crate) fn new(node: Node, handle: MonitorHandle, fired: oneshot::Receiver<Reasons>) -> Self {
        Watch { node, handle, fired }
    }
}

impl Future for Watch {
    type Output = Result<Reasons, Stopped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.fired).poll(context).map_err(|_| Stopped)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let handle = self.handle.clone();
        self.node.command(move |driver| {
            // If the monitor has fired, the node has already removed it.
            driver.with_context(|context| context.unwatch(&handle));
        });
    }
}
