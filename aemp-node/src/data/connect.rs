//! Requests for data connections.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use aemp_proto::actor::{Context, Reasons};
use aemp_proto::framing::{EncodeError, Framing};
use aemp_proto::names::NodeId;
use aemp_proto::value::Value;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::oneshot;

use super::{Arrived, Carrier, DataStream, Transport};
use crate::driver::{self, Driver};
use crate::handle::{Calling, Node, SendError, Stopped};
use crate::message::Message;

/// The reason why a data connection could not be opened.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The connection could not be opened. The reasons are those of the port that waited for it (`DATA-8`).
    #[error("{}", told(.0))]
    Failed(Reasons),
    /// This node did not accept the request.
    #[error(transparent)]
    NotSent(#[from] SendError),
}

impl From<Stopped> for DataError {
    fn from(stopped: Stopped) -> Self {
        DataError::NotSent(stopped.into())
    }
}

impl From<EncodeError> for DataError {
    fn from(error: EncodeError) -> Self {
        DataError::NotSent(error.into())
    }
}

/// Formats the reasons for people.
fn told(reasons: &Reasons) -> String {
    let text = match (reasons.kind().as_deref(), reasons.values()) {
        (Some("AnyEvent::MP::DataConn"), [_, Value::Null]) => Some("the other node has given up".into()),
        (Some("AnyEvent::MP::DataConn"), [_, text]) => text.text().map(Cow::into_owned),
        (Some("transport_error"), [_, node, text]) => {
            node.text().zip(text.text()).map(|(node, text)| format!("{node}: {text}"))
        }
        _ => None,
    };
    text.unwrap_or_else(|| reasons.to_string())
}

impl Node {
    /// Opens a data connection to a function of a node that accepts it with [`data_accept`](Self::data_accept). The
    /// data connection is a byte stream over its own transport connection, with the authentication and TLS of the
    /// network. Either node may open that connection, within [`data_timeout`](crate::Config::data_timeout) (10 seconds
    /// by default). Dropping the future cancels the request.
    ///
    /// # Errors
    ///
    /// Returns [`DataError::Failed`] if the function does not exist, neither node can reach the other, or the time-out
    /// has passed. Returns another error if this node did not accept the request, for example because the arguments
    /// cannot be encoded.
    pub async fn data_connect<T: Serialize + ?Sized>(
        &self,
        node: &NodeId,
        function: &str,
        arguments: &T,
    ) -> Result<DataStream, DataError> {
        let mut octets = Vec::new();
        Framing::Cbor.encode_elements(arguments, &self.send_limits(), &mut octets)?;
        let reserved = self.reserve(octets.len())?;
        let (answer, answered) = oneshot::channel();
        let port = Arc::new(OnceLock::new());
        let calling = Calling::new(self, port.clone());
        let (peer, function) = (node.clone(), function.to_owned());
        self.command(move |driver| {
            let _reserved = reserved;
            if peer == driver.config.node.link.node {
                let _nobody_waits = answer.send(within(driver, &function, octets));
                return;
            }
            // The failure or the stream takes this, whichever comes first.
            let waits = Rc::new(OnceCell::new());
            let asked = driver.with_context(|context| {
                let failed = waits.clone();
                ask(context, driver, &peer, &function, &octets, move |driver, reasons| {
                    driver.data.failed(&failed, DataError::Failed(reasons));
                })
                .inspect(|port| {
                    let _first = waits.set(port.clone());
                })
            });
            match asked {
                Ok(id) => {
                    driver.data.asked.borrow_mut().insert(id.clone(), answer);
                    let _first = port.set(id);
                }
                Err(error) => {
                    let _nobody_waits = answer.send(Err(error.into()));
                }
            }
        });
        let transport = answered.await.map_err(|_| Stopped)?;
        calling.has_ended();
        Ok(DataStream::new(transport?, node.clone(), self.clone()))
    }
}

fn ask(
    context: &mut Context<'_>,
    driver: &Rc<Driver>,
    peer: &NodeId,
    function: &str,
    octets: &[u8],
    failed: impl FnOnce(&Rc<Driver>, Reasons) + 'static,
) -> Result<aemp_proto::names::PortId, EncodeError> {
    let arguments: Vec<Value> = driver::packet(octets)?.decode()?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(<EncodeError as serde::ser::Error>::custom)?;
    let on_failure = move |_: &mut Context<'_>, reasons| {
        if let Some(driver) = Driver::current() {
            failed(&driver, reasons);
        }
    };
    context.data_connect(random, peer, function, &arguments, driver.config.data_timeout, on_failure)
}

/// A data connection of a node to itself.
fn within(driver: &Driver, function: &str, arguments: Vec<u8>) -> Result<Transport, DataError> {
    /// The size of the buffer in each direction, in bytes.
    const AHEAD: usize = 64 << 10;
    let (here, there) = tokio::io::duplex(AHEAD);
    let peer = &driver.config.node.link.node;
    let arguments = Message::of_packet(peer, arguments);
    let arrived = Arrived { peer: peer.clone(), transport: Carrier::Within(there).into(), arguments };
    if driver.data.give(function, arrived) {
        Ok(Carrier::Within(here).into())
    } else {
        let text = "no function of that name takes data connections here";
        Err(DataError::Failed(Reasons::new(["AnyEvent::MP::DataConn", text])))
    }
}
