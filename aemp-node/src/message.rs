//! Messages outside of the node's thread.

use std::fmt;

use aemp_proto::framing::{DecodeError, Elements, EncodeError, Framing, Limits, Packet};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;
use serde::Deserialize;

/// The elements of a message from a mailbox, or of an answer to a call. They stay encoded until they are decoded.
#[derive(Clone, PartialEq)]
pub struct Message {
    source: Option<NodeId>,
    octets: Box<[u8]>,
}

impl Message {
    /// Copies borrowed elements into an owned message.
    pub(crate) fn new(source: Option<&NodeId>, elements: Elements<'_>) -> Result<Self, EncodeError> {
        let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
        let mut octets = Vec::new();
        elements.relay(&[], Framing::Cbor, &unlimited, &mut octets)?;
        Ok(Message { source: source.cloned(), octets: octets.into() })
    }

    /// Creates a message from the arguments of a data connection, which are a CBOR packet.
    pub(crate) fn of_packet(source: &NodeId, octets: Vec<u8>) -> Self {
        Message { source: Some(source.clone()), octets: octets.into() }
    }

    /// Returns the node that sent the message, if it is known.
    pub fn source(&self) -> Option<&NodeId> {
        self.source.as_ref()
    }

    /// Returns the size of the encoded message in bytes.
    pub fn octets(&self) -> usize {
        self.octets.len()
    }

    fn packet(&self) -> Packet<'_> {
        let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
        Packet::parse(Framing::Cbor, &self.octets, &unlimited).expect("it was written as a packet")
    }

    /// Returns a cursor over the elements.
    pub fn elements(&self) -> Elements<'_> {
        self.packet().elements()
    }

    /// Decodes all elements: `("ping", 1)` is a `(String, u64)` or a `(&str, u64)`. Decode the type that was sent, as
    /// the [table of shapes](aemp_proto::framing#one-rule-for-every-shape) says.
    ///
    /// # Errors
    ///
    /// Returns an error if the elements have another shape.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        self.packet().decode()
    }

    /// Decodes a request that another task sent with [`call`](crate::Node::call). The last element is the reply port.
    /// The elements before it are decoded as by [`decode`](Self::decode).
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
    /// Returns an error if the last element is not a port ID, or if the elements before it have another shape.
    pub fn request<'a, T: Deserialize<'a>>(&'a self) -> Result<(T, PortId), DecodeError> {
        self.elements().request()
    }

    /// Returns the elements as values, for a receiver that does not know their shape.
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
