//! What can go wrong on a connection, and whose doing it is.
//!
//! Texts that come from a peer are shortened and escaped; secrets and tokens never occur.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use thiserror::Error;

use crate::requirement::Requirement;

/// Why a link ended, or why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer did what the specification forbids.
    #[error("the peer broke the protocol: {0}")]
    Misbehaved(#[from] PeerMisbehaved),
    /// The peer did nothing wrong, but the two sides cannot talk.
    #[error("incompatible: {0}")]
    Incompatible(#[from] PeerIncompatible),
    /// The peer exceeded a limit.
    #[error("over a limit: {0}")]
    Limit(#[from] LimitExceeded),
    /// The transport connection ended where it must not.
    #[error("connection lost: {0}")]
    Lost(#[from] Lost),
    /// The program that owns the link broke its contract. No peer can cause this.
    #[error("misuse: {0}")]
    Misuse(#[from] ApiMisuse),
}

impl Error {
    /// The sentence of the specification that the peer broke, or that bound this side to end the link.
    pub fn requirement(&self) -> Option<Requirement> {
        match self {
            Error::Misbehaved(error) => Some(error.requirement()),
            Error::Incompatible(error) => Some(error.requirement()),
            Error::Limit(error) => Some(error.requirement()),
            Error::Lost(Lost { phase: Phase::Packet, .. }) => Some(Requirement::new("FRAME-7")),
            Error::Lost(_) | Error::Misuse(_) => None,
        }
    }
}

/// Generates the error enums: each variant with its requirement and its text.
macro_rules! violations {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty),* })?
        => $id:literal, $text:literal;)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Error)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* #[error($text, id = $id)] $variant $({ $($(#[$field_doc])* $field: $type),* })?,)*
        }

        impl $name {
            /// The sentence of the specification behind this error.
            pub fn requirement(&self) -> Requirement {
                Requirement::new(match self {
                    $($name::$variant $({ $($field: _),* })? => $id,)*
                })
            }
        }
    };
}

violations! {
    /// What the peer did that the specification forbids, one variant for each violation.
    PeerMisbehaved {
        /// A carriage return within a line.
        StrayCarriageReturn => "CONN-8", "a line contains a carriage return that does not end it [{id}]";
        /// The first line does not follow the grammar.
        MalformedGreeting {
            /// What is wrong with it.
            what: &'static str
        } => "GREET-2", "first line malformed: {what} [{id}]";
        /// The node ID is empty or contains what it must not.
        ForbiddenNodeId {
            /// The node ID.
            node: Excerpt
        } => "GREET-8", "not a node ID: {node} [{id}]";
        /// Both lines of the peer are our own.
        ReflectedGreeting => "NONCE-4", "the peer sends our own greeting back [{id}]";
        /// The peer's nonce is our own.
        EqualNonces => "NONCE-5", "the peer's nonce equals ours [{id}]";
        /// The line behind the greeting is no authentication line.
        MalformedAuthentication {
            /// What is wrong with it.
            what: &'static str
        } => "AUTH-2", "authentication line malformed: {what} [{id}]";
        /// A method that we did not offer.
        MethodNotOffered {
            /// The method.
            method: Excerpt
        } => "AUTH-14", "the peer authenticates by {method}, which we did not offer [{id}]";
        /// A framing that we did not offer.
        FramingNotOffered {
            /// The framing.
            framing: Excerpt
        } => "AUTH-15", "the peer wants to send in framing {framing}, which we did not offer [{id}]";
        /// The token is not the right one.
        WrongToken {
            /// What is known about the reason.
            hint: &'static str
        } => "AUTH-16", "wrong token: {hint} [{id}]";
        /// A `tls_` method on a connection without TLS.
        MethodRequiresTls {
            /// The method.
            method: Excerpt
        } => "AUTH-18", "the peer authenticates by {method} without TLS [{id}]";
        /// A packet that is no array.
        NotAnArray {
            /// What came.
            what: &'static str
        } => "FRAME-5", "a packet must be an array, not {what} [{id}]";
        /// A json packet does not follow the grammar.
        MalformedJson {
            /// What is wrong with it.
            what: &'static str,
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "JSON-4", "malformed json packet, octet {at}: {what} [{id}]";
        /// A json packet is not UTF-8.
        JsonNotUtf8 {
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "JSON-5", "malformed json packet, octet {at}: not UTF-8 [{id}]";
        /// A json text has half a surrogate pair.
        LoneSurrogate {
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "JSON-6", "malformed json packet, octet {at}: \\u with half a surrogate pair [{id}]";
        /// A cbor packet is not well-formed.
        MalformedCbor {
            /// What is wrong with it.
            what: &'static str,
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "CBOR-3", "malformed cbor packet, octet {at}: {what} [{id}]";
        /// A cbor text is not UTF-8.
        CborNotUtf8 {
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "CBOR-4", "malformed cbor packet, octet {at}: text that is not UTF-8 [{id}]";
        /// A cbor simple value without a meaning.
        UnassignedSimpleValue {
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "CBOR-9", "malformed cbor packet, octet {at}: a simple value without a meaning [{id}]";
        /// A cbor tag whose content is not the value.
        UnsupportedTag {
            /// The tag.
            tag: u64,
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "CBOR-14", "unsupported cbor packet, octet {at}: tag {tag}, whose content is not the value [{id}]";
        /// A cbor map key is an array or a map.
        CompositeMapKey {
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "CBOR-13", "malformed cbor packet, octet {at}: an array or a map as a map key [{id}]";
        /// A storable packet is not well-formed.
        MalformedStorable {
            /// What is wrong with it.
            what: &'static str,
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "STORABLE-5", "malformed storable packet, octet {at}: {what} [{id}]";
        /// The length of a storable packet has more octets than necessary.
        StorableLength => "STORABLE-2", "malformed storable packet, octet 0: a length with more octets than necessary [{id}]";
        /// A storable value where it cannot stand, with or without a reference to it.
        StorableMisplaced {
            /// What is wrong with it.
            what: &'static str,
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "STORABLE-6", "malformed storable packet, octet {at}: {what} [{id}]";
        /// A storable value refers to one that was not there before.
        StorableUnknownObject {
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "STORABLE-7", "malformed storable packet, octet {at}: refers to what was not there before [{id}]";
        /// A storable packet of a version, or for a kind of machine, that is not known.
        StorableLayout {
            /// What is wrong with it.
            what: &'static str,
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "STORABLE-4", "unsupported storable packet, octet {at}: {what} [{id}]";
        /// A storable packet with a value that is no plain data.
        StorableNotPlain {
            /// The tag.
            tag: u8,
            /// What it means.
            what: &'static str,
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "STORABLE-9", "unsupported storable packet, octet {at}: tag {tag:02x} is {what}, not plain data [{id}]";
        /// A storable text or key is not UTF-8.
        StorableNotUtf8 {
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "STORABLE-10", "malformed storable packet, octet {at}: text that is not UTF-8 [{id}]";
        /// A storable array, map or reference that contains itself.
        StorableCycle {
            /// Where, in octets from the beginning of the packet.
            at: usize
        } => "STORABLE-8", "unsupported storable packet, octet {at}: a value that contains itself [{id}]";
    }
}

violations! {
    /// Why two sides cannot talk although neither did anything wrong.
    PeerIncompatible {
        /// Another protocol.
        Protocol {
            /// The protocol.
            protocol: Excerpt
        } => "GREET-4", "the peer speaks {protocol}, not aemp [{id}]";
        /// Another version of the protocol.
        Version {
            /// The version.
            version: Excerpt
        } => "GREET-6", "the peer speaks version {version}, not 1 [{id}]";
        /// The peer has our own node ID: this node reached itself, or another one has its name.
        OwnNodeId => "GREET-9", "the peer has our own node ID [{id}]";
        /// No method that we are willing to send is in the peer's list.
        NoCommonMethod {
            /// The peer's list.
            offered: Excerpt
        } => "AUTH-8", "no common authentication method: the peer accepts {offered} [{id}]";
        /// No framing in which we can send is in the peer's list.
        NoCommonFraming {
            /// The peer's list.
            offered: Excerpt
        } => "AUTH-9", "no common framing: the peer receives {offered} [{id}]";
        /// TLS is required here, and the peer did not ask for it.
        TlsRequired => "TLS-7", "TLS is required here, and the peer does not want it [{id}]";
        /// TLS is required here, and the peer asked for another version of it.
        TlsVersion {
            /// The version.
            version: Excerpt
        } => "TLS-15", "TLS is required here, and the peer asks for version {version} of it, not 1 [{id}]";
    }
}

violations! {
    /// Which limit the peer exceeded.
    LimitExceeded {
        /// A line of more than 4096 octets.
        Line => "CONN-6", "a line is longer than 4096 octets [{id}]";
        /// The handshake took too long.
        HandshakeTime {
            /// What was missing still.
            phase: Phase,
            /// The limit.
            limit: Duration
        } => "LIMIT-1", "no handshake within {limit:?}: it ended {phase} [{id}]";
        /// A packet is too long.
        PacketOctets {
            /// The limit, in octets.
            limit: usize
        } => "LIMIT-2", "a packet is longer than {limit} octets [{id}]";
        /// A packet is nested too deeply.
        PacketDepth {
            /// The limit; the packet itself counts as 1.
            limit: usize
        } => "LIMIT-3", "a packet is nested deeper than {limit} levels [{id}]";
        /// A packet has too many values.
        PacketValues {
            /// The limit; arrays, maps and keys count.
            limit: usize
        } => "LIMIT-4", "a packet has more than {limit} values [{id}]";
        /// In a storable packet, more octets come another time than its own allow.
        StorableAgain {
            /// The limit, in octets.
            limit: usize
        } => "STORABLE-19", "in a storable packet, more than {limit} octets come another time [{id}]";
        /// Too many connections are in their handshake.
        Handshakes {
            /// The limit.
            limit: usize
        } => "SEC-5", "{limit} connections are in their handshake already [{id}]";
        /// Too many connections from one address are in their handshake.
        HandshakesOfAddress {
            /// The limit.
            limit: usize
        } => "SEC-8", "{limit} connections from that address are in their handshake already [{id}]";
        /// The greeting took too long.
        GreetingTime {
            /// The limit.
            limit: Duration
        } => "SEC-9", "no greeting within {limit:?} [{id}]";
        /// Too much arrived before the peer was authenticated.
        Unauthenticated {
            /// The limit, in octets.
            limit: usize
        } => "LIMIT-7", "the peer sent more than {limit} octets before it was authenticated [{id}]";
    }
}

/// How far a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Not both lines of the peer's greeting had arrived.
    Greeting,
    /// The owner of the link had not decided about the peer.
    Deciding,
    /// TLS did not stand.
    Securing,
    /// The peer's authentication line had not arrived.
    Authenticating,
    /// A packet was incomplete.
    Packet,
    /// Between two packets.
    Up,
    /// Over.
    Ended,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Greeting => "before the peer's greeting was complete",
            Phase::Deciding => "before the peer was accepted here",
            Phase::Securing => "during the TLS handshake",
            Phase::Authenticating => "before the peer's authentication line",
            Phase::Packet => "within a packet",
            Phase::Up => "between two packets",
            Phase::Ended => "before",
        })
    }
}

/// The transport connection ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("it ended {phase}{hint}")]
pub struct Lost {
    /// How far it had come.
    pub phase: Phase,
    pub(crate) hint: &'static str,
}

/// A call that the contract of the link does not allow at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// The link has ended.
    #[error("it has ended already")]
    Ended,
    /// `accept`, `tls_established` or `hand_over` when nothing waits for it.
    #[error("{0} is not what it waits for now")]
    OutOfTurn(&'static str),
    /// A connection was opened for something that was given up meanwhile.
    #[error("nobody waits for that connection any more")]
    Unwanted,
    /// The octets that were given as a packet are not exactly one.
    #[error("not one packet: {0}")]
    NotOnePacket(&'static str),
    /// The exact lines that were given for our own greeting are no greeting.
    #[error("the own greeting is none: {0}")]
    OwnGreeting(&'static str),
}

/// A text from a peer, shortened to what an error message can show.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// Characters that are kept.
    const LENGTH: usize = 60;
}

impl Excerpt {
    /// The text as it is shown within quotation marks.
    pub(crate) fn quoted(text: &str) -> Self {
        Excerpt(alloc::format!("{:?}", Excerpt::from(text)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Excerpt {
    fn from(text: &str) -> Self {
        let mut kept: String = text.chars().take(Self::LENGTH).collect();
        if kept.len() < text.len() {
            kept.push('…');
        }
        Excerpt(kept)
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
