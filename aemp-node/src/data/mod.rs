//! Data connections (chapter 10 of the specification): streams of octets between programs, beside the messages.

mod connect;
mod listener;
mod stream;

pub use connect::DataError;
pub use listener::{AcceptError, DataListener};
pub use stream::DataStream;
pub(crate) use stream::{Carrier, Transport};

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aemp_proto::actor::{ConnectionId, DataTaker};
use aemp_proto::names::{NodeId, PortId};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::driver::Driver;
use crate::host::Watched;
use crate::message::Message;

/// Who waits for data connections, on the node's thread.
#[derive(Default)]
pub(crate) struct Waiting {
    asked: RefCell<BTreeMap<PortId, oneshot::Sender<Result<Transport, DataError>>>>,
    functions: RefCell<BTreeMap<String, mpsc::Sender<Box<Arrived>>>>,
    /// The streams that programs hold.
    streams: RefCell<Vec<Weak<Watched>>>,
}

/// A data connection that somebody else has asked for.
pub(crate) struct Arrived {
    peer: NodeId,
    transport: Transport,
    arguments: Message,
}

impl Waiting {
    /// Nothing comes of what was asked for.
    fn failed(&self, port: &Rc<OnceCell<PortId>>, error: DataError) {
        let asked = port.get().and_then(|port| self.asked.borrow_mut().remove(port));
        if let Some(answer) = asked {
            let _nobody_waits = answer.send(Err(error));
        }
    }

    /// Looks after the host at the other end of a stream, for as long as that is held.
    fn watch(&self, transport: &mut Transport) {
        // Without a descriptor for that, the stream has to do without.
        if let Some(watched) = transport.tcp().and_then(|stream| Watched::new(stream).ok()) {
            let watched = Arc::new(watched);
            self.streams.borrow_mut().push(Arc::downgrade(&watched));
            transport.watched = Some(watched);
        }
    }

    /// Looks at the hosts of all streams.
    pub(crate) fn look(&self, host_timeout: Duration) {
        self.streams.borrow_mut().retain(|watched| {
            let watched = watched.upgrade();
            if let Some(watched) = &watched {
                watched.look(host_timeout);
            }
            watched.is_some()
        });
    }

    /// Gives a data connection to the function that takes it; false if that is too busy, or gone, and the connection is
    /// closed.
    fn give(&self, function: &str, arrived: Arrived) -> bool {
        let Some(listener) = self.functions.borrow().get(function).cloned() else {
            arrived.transport.reset();
            return false;
        };
        let refused = match listener.try_send(arrived.into()) {
            Ok(()) => return true,
            Err(TrySendError::Full(arrived)) => {
                let what = "a data connection is closed: those before it wait to be taken";
                if Driver::current().is_none_or(|driver| driver.may_warn(what)) {
                    tracing::warn!(function, "{what}");
                }
                arrived
            }
            Err(TrySendError::Closed(arrived)) => arrived,
        };
        refused.transport.reset();
        false
    }
}

impl Driver {
    /// A connection has become a data connection, and its output is written: whoever waits for it gets it.
    pub(crate) fn hand_over(self: &Rc<Self>, id: ConnectionId, wrap: impl FnOnce(Vec<u8>) -> Transport) {
        let Some(data) = self.with_node(|node, now| node.hand_over(now, id)) else {
            return wrap(Vec::new()).reset();
        };
        let (node, peer) = (self.config.node.link.node.as_str(), data.peer);
        let mut transport = wrap(data.early);
        self.data.watch(&mut transport);
        match data.taker {
            DataTaker::Asked(port) => {
                tracing::info!(node, %peer, "a data connection stands that was asked for here");
                let answer = self.data.asked.borrow_mut().remove(&port);
                if let Some(answer) = answer
                    && let Err(Ok(transport)) = answer.send(Ok(transport))
                {
                    transport.reset();
                }
            }
            DataTaker::Function { name, arguments } => {
                tracing::info!(node, %peer, function = name, "a data connection stands that was asked for there");
                let arguments = Message::of_packet(&peer, arguments);
                self.data.give(&name, Arrived { peer, transport, arguments });
            }
        }
    }
}
