//! Why connections do not come up.

use crate::error::{Error, LimitExceeded, PeerIncompatible, PeerMisbehaved};

/// Why a connection did not come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// The address could not be reached.
    Unreachable,
    /// Too many connections are in their handshake, in all or from that address (`SEC-5`, `SEC-8`).
    Crowded,
    /// It did not greet, and another one needed its place (`SEC-10`).
    GaveWay,
    /// The handshake took too long (`LIMIT-1`, `SEC-9`).
    TooSlow,
    /// The other side did not prove that it knows the secret (`AUTH-16`).
    WrongToken,
    /// The other side broke the protocol.
    Misbehaved,
    /// The other side has the ID of this node (`GREET-9`): it is this node itself, or another one that was given the same
    /// ID.
    OwnNodeId,
    /// The two sides have too little in common, or one of them does not want the other.
    Incompatible,
    /// The other side exceeded a limit.
    OverLimit,
    /// The other side closed, or the transport connection failed.
    Ended,
    /// Another connection to that node is up, or is being made.
    Superseded,
    /// Nobody waits for it any more.
    Unwanted,
    /// Something else.
    Other,
}

impl Refusal {
    /// The kind of an error of a link.
    pub(in crate::engine) fn of(error: &Error) -> Self {
        match error {
            Error::Misbehaved(PeerMisbehaved::WrongToken { .. }) => Refusal::WrongToken,
            Error::Misbehaved(_) => Refusal::Misbehaved,
            Error::Incompatible(PeerIncompatible::OwnNodeId) => Refusal::OwnNodeId,
            Error::Incompatible(_) => Refusal::Incompatible,
            Error::Limit(LimitExceeded::HandshakeTime { .. } | LimitExceeded::GreetingTime { .. }) => Refusal::TooSlow,
            Error::Limit(LimitExceeded::Handshakes { .. } | LimitExceeded::HandshakesOfAddress { .. }) => Refusal::Crowded,
            Error::Limit(_) => Refusal::OverLimit,
            Error::Lost(_) => Refusal::Ended,
            _ => Refusal::Other,
        }
    }
}
