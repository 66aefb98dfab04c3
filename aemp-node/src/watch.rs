//! A watch, as an async task holds it.

use std::pin::Pin;
use std::task::{Context, Poll};

use aemp_proto::actor::{MonitorHandle, Reasons};
use tokio::sync::oneshot;

use crate::handle::{Node, Stopped};

/// A future that waits until a port ends, or its node is lost. When it is dropped, the watch is given up.
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
            // One that has fired is gone already.
            driver.with_context(|context| context.unwatch(&handle));
        });
    }
}
