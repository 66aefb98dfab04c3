//! Deliberately wrong nodes, which show that the suite can fail.
//!
//! A wrong node is a right one with a front before it: `aemp-conformance wrong --fault NAME -- CMD…` starts CMD, stands
//! between it and everyone else, and spoils what passes in one way that has a name. It knows the secret, so it can change
//! what is proven by it. TLS passes as it is, unless the fault is one of TLS: then it ends in the front, which has the
//! certificate of the node and its key. So any node can be made wrong, and the code of none has switches for that.

mod catalogue;
mod front;
mod handshake;
mod judge;
mod matrix;
mod packets;
mod secured;
mod streams;
mod trial;

pub use catalogue::{Entry, NOTHING, all, find, is_tried};
pub use front::run as stand_in_front;
pub use matrix::Matrix;
pub use trial::{Makers, Trial};

use aemp_proto::value::Value;

use self::secured::Secures;
use crate::subject::Start;

/// What the front does with something that passes.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Lets it pass as it is.
    Pass,
    /// Lets nothing of it pass.
    Drop,
    /// Lets these messages pass in its place.
    Replace(Vec<Vec<Value>>),
    /// Lets nothing of it pass, and answers with these instead.
    Answer(Vec<Vec<Value>>),
    /// Closes the connection.
    Close,
}

/// What the front makes of an authentication line that came for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// It stays as right or wrong as it is.
    AsItIs,
    /// The node is made to accept it.
    Right,
    /// The node is made to refuse it.
    Wrong,
}

/// How a node reads lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reads {
    /// As they come.
    #[default]
    Right,
    /// What comes in one read behind the end of a line is lost.
    OneOfEachRead,
    /// What has no end yet is taken for a line.
    EachReadAsOne,
    /// However long they are, they are waited for.
    Endless,
}

/// Which way something passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the node.
    In,
    /// From the node.
    Out,
}

/// One connection, as a fault sees it.
#[derive(Debug, Clone, Default)]
pub struct Between {
    /// A number for each connection.
    pub number: usize,
    /// Whether the node has opened it.
    pub opened: bool,
    /// The ID of the peer of the node, when it has greeted.
    pub peer: String,
    /// The lines of the node as it sent them, and as the peer has seen them.
    pub(crate) node: Lines,
    /// The lines of the peer as it sent them, and as the node has seen them.
    pub(crate) other: Lines,
}

/// The greeting lines of one side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines {
    /// As the side itself sent them, without line ends.
    pub(crate) sent: Vec<Vec<u8>>,
    /// As the other side has received them.
    pub(crate) seen: Vec<Vec<u8>>,
}

impl Between {
    /// Whether the opener has named this to be a data connection.
    pub(crate) fn is_data(&self) -> bool {
        let opener = if self.opened { &self.node } else { &self.other };
        opener.sent.first().is_some_and(|line| line.starts_with(b"aemp-dataconn;"))
    }
}

type OnStart = Box<dyn Fn(&mut Start) + Send>;
type OnLine = Box<dyn FnMut(&Between, usize, &mut Vec<u8>) + Send>;
type OnProof = Box<dyn FnMut(&Between, &str) -> Proof + Send>;
type OnPacket = Box<dyn FnMut(&Between, &[Value]) -> Fate + Send>;
type OnOctets = Box<dyn FnMut(&Between, &mut Vec<u8>) + Send>;

/// How the directions of a data connection end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ends {
    /// Each by itself; and what is reset is reset.
    #[default]
    Right,
    /// That of the node never does.
    Never,
    /// Both do with that of the node.
    Together,
    /// What is reset ends as if it were done.
    EvenIfReset,
}

/// What is wrong with data connections behind their handshake.
#[derive(Default)]
pub(crate) struct Streams {
    /// Changes octets to the node as they come in one read; first those that came with the authentication line, which may be
    /// none.
    pub(crate) octets_in: Option<OnOctets>,
    /// Changes octets from the node in the same way.
    pub(crate) octets_out: Option<OnOctets>,
    /// How they end.
    pub(crate) ends: Ends,
    /// Begins before anyone has proven anything.
    pub(crate) early: bool,
    /// All connections with a node end with the first one.
    pub(crate) with_the_node: bool,
}

/// What a wrong node does wrong: code for the places where something passes. What is not there is right.
#[derive(Default)]
pub struct Fault {
    /// Changes how the node runs.
    pub(crate) start: Option<OnStart>,
    /// Changes a line from the node: 0 and 1 the greeting, 2 the authentication line. Line ends are not in it.
    pub(crate) line_out: Option<OnLine>,
    /// Changes a line of the greeting to the node.
    pub(crate) line_in: Option<OnLine>,
    /// Decides about the authentication line to the node.
    pub(crate) proof: Option<OnProof>,
    /// Decides about a packet to the node.
    pub(crate) packet_in: Option<OnPacket>,
    /// Decides about a packet from the node.
    pub(crate) packet_out: Option<OnPacket>,
    /// Changes the octets of a packet from the node.
    pub(crate) octets_out: Option<OnOctets>,
    /// Changes octets to the node behind the handshake, as they come in one read.
    pub(crate) octets_in: Option<OnOctets>,
    /// What is wrong with data connections behind their handshake.
    pub(crate) streams: Streams,
    /// What is wrong with TLS. The front ends it then.
    pub(crate) secures: Option<Secures>,
    /// Says an address, and does not listen there.
    pub(crate) unreachable: bool,
    /// Does not pass on that the node has closed.
    pub(crate) keeps_open: bool,
    /// Waits with octets from the node until it has got some.
    pub(crate) speaks_second: bool,
    /// How lines to the node are read.
    pub(crate) reads: Reads,
    /// Does not let the node see malformed packets: it hears nothing more then.
    pub(crate) deaf: bool,
}

impl Fault {
    fn streams(streams: Streams) -> Self {
        Fault { streams, ..Fault::default() }
    }

    fn secures(secures: Secures) -> Self {
        Fault { secures: Some(secures), ..Fault::default() }
    }

    fn start(change: impl Fn(&mut Start) + Send + 'static) -> Self {
        Fault { start: Some(Box::new(change)), ..Fault::default() }
    }

    fn line_out(change: impl FnMut(&Between, usize, &mut Vec<u8>) + Send + 'static) -> Self {
        Fault { line_out: Some(Box::new(change)), ..Fault::default() }
    }

    fn line_in(change: impl FnMut(&Between, usize, &mut Vec<u8>) + Send + 'static) -> Self {
        Fault { line_in: Some(Box::new(change)), ..Fault::default() }
    }

    fn proof(decide: impl FnMut(&Between, &str) -> Proof + Send + 'static) -> Self {
        Fault { proof: Some(Box::new(decide)), ..Fault::default() }
    }

    fn packet_in(decide: impl FnMut(&Between, &[Value]) -> Fate + Send + 'static) -> Self {
        Fault { packet_in: Some(Box::new(decide)), ..Fault::default() }
    }

    fn packet_out(decide: impl FnMut(&Between, &[Value]) -> Fate + Send + 'static) -> Self {
        Fault { packet_out: Some(Box::new(decide)), ..Fault::default() }
    }

    fn octets_out(change: impl FnMut(&Between, &mut Vec<u8>) + Send + 'static) -> Self {
        Fault { octets_out: Some(Box::new(change)), ..Fault::default() }
    }

    fn octets_in(change: impl FnMut(&Between, &mut Vec<u8>) + Send + 'static) -> Self {
        Fault { octets_in: Some(Box::new(change)), ..Fault::default() }
    }
}
