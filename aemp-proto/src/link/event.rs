//! What a link tells its owner, and what it is told.

use alloc::vec::Vec;

use thiserror::Error as ThisError;

use crate::framing::EncodeError;

/// Which side of the transport connection a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opened the connection: authenticates at once (`AUTH-3`).
    Opener,
    /// Accepted it: authenticates after it has verified the opener (`AUTH-4`).
    Acceptor,
}

/// What a link tells its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer's greeting is complete; see [`Link::peer`](super::Link::peer). The link waits: go on with
    /// [`Link::accept`](super::Link::accept), now or later, or drop the link and close (`GREET-19`). Nothing that the
    /// greeting says is proven yet (`GREET-20`).
    Greeted,
    /// The peer is authenticated. Packets can be sent, and will arrive.
    Up,
    /// The peer is authenticated, and the connection belongs to [another protocol](super::Link::protocol) from here on:
    /// write what is in the output, then [hand it over](super::Link::hand_over).
    Stream,
}

/// How a link goes on with a peer that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "TLS may have to begin now"]
pub enum Accepted {
    /// It authenticates. Call [`receive`](super::Link::receive) again, with no octets: what has arrived already waits.
    Authenticating,
    /// TLS must begin now.
    StartTls(StartTls),
}

/// TLS must begin now, on the octets of the transport connection; the link sees what is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartTls {
    /// Which part to play (`TLS-3`).
    pub side: TlsSide,
    /// Octets of TLS that have arrived already (`TLS-4`).
    pub early: Vec<u8>,
}

/// The parts of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsSide {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// Why a message was not sent. The link goes on as before.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum SendError {
    /// The link is not up: nothing may be sent before the peer is authenticated (`AUTH-10`).
    #[error("the link is not up: packets can be sent only after Event::Up [AUTH-10]")]
    NotUp,
    /// The message cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
