//! What the engine wants done, and what has happened.

use alloc::string::String;
use core::time::Duration;

use super::tables::denials::Denied;
use super::tables::keys::{ConnectionId, DialId};
use super::tables::memory::MemoryKind;
use super::tables::reasons::{Failure, Reasons};
use super::tables::refusal::Refusal;
use crate::framing::EncodeError;
use crate::link::StartTls;
use crate::names::{NodeId, PortId};

/// What the owner of a node has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Connect to an address, then call [`Engine::open`](crate::engine::Engine::open), or
    /// [`Engine::dial_failed`](crate::engine::Engine::dial_failed).
    Dial {
        /// To name it by.
        dial: DialId,
        /// `HOST:PORT`, as it was given.
        address: String,
    },
    /// Run TLS on a connection: write its output as it is, then begin, and call
    /// [`Engine::tls_established`](crate::engine::Engine::tls_established) when it stands, or
    /// [`Engine::closed`](crate::engine::Engine::closed). From then on the node reads and writes what is inside (`TLS-2`).
    StartTls {
        /// Which connection.
        connection: ConnectionId,
        /// Which part to play, and the octets of TLS that have arrived already.
        tls: StartTls,
    },
    /// A connection has become a data connection: write its output as it is, then take it with
    /// [`Engine::hand_over`](crate::engine::Engine::hand_over), or tell that it has [ended](crate::engine::Engine::closed).
    HandOver(ConnectionId),
    /// Close a connection, after what has been taken of its output. The node has forgotten it.
    Close(ConnectionId),
}

/// The next thing for the owner of an engine to do, or to know
/// ([`Engine::poll_output`](crate::engine::Engine::poll_output)).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Output {
    /// A connection has [output](crate::engine::Engine::output) to write, or may read again if it did not [want
    /// input](crate::engine::Engine::wants_input).
    Writable(ConnectionId),
    /// Connect to an address, then call [`Engine::open`](crate::engine::Engine::open), or
    /// [`Engine::dial_failed`](crate::engine::Engine::dial_failed).
    Dial {
        /// The name of this attempt.
        dial: DialId,
        /// `HOST:PORT`, as it was given.
        address: String,
    },
    /// Run TLS on a connection: write its output as it is, then begin, and call
    /// [`Engine::tls_established`](crate::engine::Engine::tls_established) when it stands, or
    /// [`Engine::closed`](crate::engine::Engine::closed). From then on the engine reads and writes what is inside (`TLS-2`).
    StartTls {
        /// Which connection.
        connection: ConnectionId,
        /// Which part to play, and the bytes of TLS that have arrived already.
        tls: StartTls,
    },
    /// A connection has become a data connection: write its output as it is, then take it with
    /// [`Engine::hand_over`](crate::engine::Engine::hand_over), or tell that it has [ended](crate::engine::Engine::closed).
    HandOver(ConnectionId),
    /// Close a connection, after what has been taken of its output. The engine has forgotten it.
    Close(ConnectionId),
    /// Something has happened.
    Event(NodeEvent),
    /// There is nothing more to do now. Call [`Engine::run`](crate::engine::Engine::run) at this time, or at once if it has
    /// come; without a time, when there was input.
    Timeout(Option<Duration>),
}

impl From<Action> for Output {
    fn from(action: Action) -> Self {
        match action {
            Action::Dial { dial, address } => Output::Dial { dial, address },
            Action::StartTls { connection, tls } => Output::StartTls { connection, tls },
            Action::HandOver(id) => Output::HandOver(id),
            Action::Close(id) => Output::Close(id),
        }
    }
}

/// What happened in a node, for those who want to know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// There is a connection to a node.
    Up(NodeId),
    /// The connection to a node is lost.
    Down(NodeId, Reasons),
    /// A connection to a node was wanted, and could not be made in time.
    Unreachable(NodeId, Reasons),
    /// A connection ended before it was up, or an address could not be reached.
    Refused {
        /// The ID that the other side has claimed. Nothing proves it. `None` if the other side has not greeted.
        node: Option<NodeId>,
        /// The address that was dialled. `None` if the other side has connected.
        address: Option<String>,
        /// The address from which the other side has connected. `None` if this node has dialled, or its owner did not say
        /// it.
        from: Option<String>,
        /// Which kind of reason it is.
        reason: Refusal,
        /// The reason as a text for people.
        error: String,
    },
    /// Another node wanted something that it may not do. The same is told once, and again after an hour;
    /// [`Engine::denied`](crate::engine::Engine::denied) counts all of them.
    Denied {
        /// The node.
        source: NodeId,
        /// What it wanted to do.
        what: Denied,
        /// The port, function or family with which it wanted to do that.
        name: String,
    },
    /// A peer was given up because memory of a kind was used up, and most of it was for that peer (`SEC-13`).
    GivenUp {
        /// The peer.
        node: NodeId,
        /// Which kind of memory.
        kind: MemoryKind,
        /// How many octets were held for the peer.
        octets: usize,
    },
    /// The node has become global.
    BecameGlobal,
    /// The node has another master now, or none. A global node has none.
    Master(Option<NodeId>),
    /// A message that nobody waits for, such as an answer, could not be written.
    NotSent {
        /// Where it should have gone.
        to: PortId,
        /// Why it did not.
        error: EncodeError,
    },
    /// A node has set an entry of the database that is too large to be sent on to everyone, so this node does not keep it
    /// (`DB-31`, `DB-41`). Told once for each node, family and key, as far as the last 1,000 are remembered.
    EntryRefused {
        /// Who has set it.
        node: NodeId,
        /// The family.
        family: String,
        /// The first 256 characters of the key.
        key: String,
        /// What key and value come to, in octets; 524,288 at most are kept.
        octets: usize,
    },
    /// A function that another node called failed.
    CallFailed {
        /// Who called.
        source: NodeId,
        /// What the function said.
        failure: Failure,
    },
    /// Code that ran in the name of nobody failed.
    TaskFailed(Failure),
    /// Code held up the whole node for so long.
    Slow {
        /// The port in whose name it ran; the node port if in the name of nobody.
        port: PortId,
        /// How long.
        time: Duration,
    },
}
