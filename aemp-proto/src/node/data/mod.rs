//! Data connections (chapter 10 of the specification): streams of octets between two nodes, over connections of their own.
//!
//! The node says when a connection is to be opened and whose it is; once it is handed over, nothing of it comes here any more.

mod asking;
mod opening;
mod request;
mod table;

pub(super) use request::{CONNECT, EXPECT, connect, expect};
pub(super) use table::{Key, Table};

use alloc::string::String;
use alloc::vec::Vec;

use super::reasons::Reasons;
use crate::names::{NodeId, PortId};
use crate::value::Value;

/// The word of the protocol `aemp-dataconn`.
pub(super) const WORD: &str = "dataconn";

/// The key in a greeting that says which data connection it is (`DATA-1`).
const ID: &str = "dataconn_id";

/// The first of the reasons for which a port ends when there is no data connection (`DATA-8`).
const FAILED: &str = "AnyEvent::MP::DataConn";

/// A connection that is a stream of octets from here on, and no longer the node's.
#[derive(Debug, Clone, PartialEq)]
pub struct DataConnection {
    /// The node at the other end.
    pub peer: NodeId,
    /// Octets of the stream that have arrived already (`DATA-4`).
    pub early: Vec<u8>,
    /// Who waits for it.
    pub taker: DataTaker,
}

/// Who waits for a data connection.
#[derive(Debug, Clone, PartialEq)]
pub enum DataTaker {
    /// Whoever asked for it: the port that [`data_connect`](super::Context::data_connect) gave.
    Asked(PortId),
    /// A function of this node that takes data connections ([`data_accept`](super::Context::data_accept)), for another node.
    Function {
        /// The function.
        name: String,
        /// What it was given: a packet in cbor.
        arguments: Vec<u8>,
    },
}

/// Why there is no data connection, for the port that waits.
fn failed(text: &str) -> Reasons {
    Reasons::new([Value::from(FAILED), text.into()])
}
