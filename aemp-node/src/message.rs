//! A message that has left the node's thread.

use std::fmt;

use aemp_proto::framing::{DecodeError, Elements, EncodeError, Framing, Limits, Packet};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;
use serde::Deserialize;

/// The elements of a message that has arrived at a mailbox, or of an answer; still encoded.
#[derive(Clone, PartialEq)]
pub struct Message {
    source: Option<NodeId>,
    octets: Box<[u8]>,
}

impl Message {
    /// Keeps elements beyond the time for which they are borrowed.
    pub(crate) fn new(source: Option<&NodeId>, elements: Elements<'_>) -> Result<Self, EncodeError> {
        let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
        let mut octets = Vec::new();
        elements.relay(&[], Framing::Cbor, &unlimited, &mut octets)?;
        Ok(Message { source: source.cloned(), octets: octets.into() })
    }

    /// The arguments of a data connection, which are a packet in cbor.
    pub(crate) fn of_packet(source: &NodeId, octets: Vec<u8>) -> Self {
        Message { source: Some(source.clone()), octets: octets.into() }
    }

    /// The node that sent it.
    pub fn source(&self) -> Option<&NodeId> {
        self.source.as_ref()
    }

    /// Octets that it takes.
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    fn packet(&self) -> Packet<'_> {
        let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
        Packet::parse(Framing::Cbor, &self.octets, &unlimited).expect("it was written as a packet")
    }

    /// A cursor over the elements.
    pub fn elements(&self) -> Elements<'_> {
        self.packet().elements()
    }

    /// Decodes the elements: `("ping", 1)` is a `(String, u64)`, or `(&str, u64)`. What was sent as a `T` is taken as a `T`,
    /// as the [table of shapes](aemp_proto::framing#one-rule-for-every-shape) says.
    ///
    /// # Errors
    ///
    /// When they have another shape.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        self.packet().decode()
    }

    /// Decodes a request, which somebody has sent with [`call`](crate::Node::call): the last element is the port for the
    /// answer, and those before it are decoded as [`decode`](Self::decode) does it.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Config, Node};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// enum Request {
    ///     Add(u64, u64),
    ///     Negate { number: i64 },
    /// }
    ///
    /// let node = Node::start(Config::local()).await.unwrap();
    /// let mut requests = node.mailbox().await.unwrap();
    /// let (service, server) = (requests.id().clone(), node.clone());
    /// tokio::spawn(async move {
    ///     while let Some(message) = requests.recv().await {
    ///         let (request, reply) = message.request::<Request>().unwrap();
    ///         match request {
    ///             Request::Add(a, b) => server.send(&reply, &(a + b)).unwrap(),
    ///             Request::Negate { number } => server.send(&reply, &-number).unwrap(),
    ///         }
    ///     }
    /// });
    /// let sum = node.call(&service, &Request::Add(40, 2), None).await.unwrap();
    /// assert_eq!(sum.decode::<u64>().unwrap(), 42);
    /// let negative = node.call(&service, &Request::Negate { number: 7 }, None).await.unwrap();
    /// assert_eq!(negative.decode::<i64>().unwrap(), -7);
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When the last element is no port ID, or those before it have another shape.
    pub fn request<'a, T: Deserialize<'a>>(&'a self) -> Result<(T, PortId), DecodeError> {
        self.elements().request()
    }

    /// The elements as values, for those who do not know their shape.
    pub fn values(&self) -> Vec<Value> {
        self.decode().unwrap_or_default()
    }
}

/// Shows the elements as JSON.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.packet().fmt(f)
    }
}
