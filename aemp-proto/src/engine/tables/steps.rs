//! Steps: what is to be done within the node, in its order (`PORT-4`).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::keys::{DataKey, FunctionId, PortKey, Token};
use super::monitors::{Asked, Monitor};
use super::reasons::Reasons;
use crate::framing::{Elements, Framing, Packet};
use crate::global::{Answer, Delta, FamilyWatch, QuestionId};

/// What a packet, a step, or an operation on a table costs beside its bytes, in units of work.
pub(in crate::engine) const OPERATION: u64 = 16;

/// Steps that are being done, and the bytes of the messages among them.
#[derive(Default)]
pub(in crate::engine) struct Batch {
    pub(in crate::engine) steps: VecDeque<Step>,
    pub(in crate::engine) bytes: Vec<u8>,
    /// Where the next message begins.
    pub(in crate::engine) start: usize,
}

impl Batch {
    /// Returns the elements of the next message, which ends there.
    pub(in crate::engine) fn elements<'a>(bytes: &'a [u8], start: &mut usize, end: usize) -> Elements<'a> {
        Packet::scanned(Framing::Cbor, &bytes[core::mem::replace(start, end)..end]).elements()
    }
}

/// Something to do after what goes on now (`PORT-4`).
pub(in crate::engine) enum Step {
    /// The packet that ends there in the batch's bytes is for the port.
    Message {
        port: PortKey,
        end: usize,
    },
    /// The packet that ends there in the batch's bytes is a request of our own.
    Request {
        end: usize,
    },
    /// The packet that ends there in the batch's bytes has the arguments for the function that makes the port what it is.
    Init {
        port: PortKey,
        function: FunctionId,
        end: usize,
    },
    Fire(Monitor, Reasons),
    /// A peer was lost: these monitors fire, all in one step.
    Lost {
        peer: usize,
        monitors: Vec<Monitor>,
        reasons: Reasons,
    },
    /// Peers are told of the end of a port.
    Tell(Box<Telling>),
    /// What a lost peer has monitored is forgotten.
    Forget(Box<Forgetting>),
    /// The host does some work, which goes with the port, if there is one.
    Run(Option<PortKey>, Token),
    /// The host gets the answer to a question about the database, which goes with the port, if there is one.
    Answer(Option<PortKey>, QuestionId, Box<Answer>),
    /// The host gets what has changed in a family of the database.
    Changes(FamilyWatch, Arc<Delta>),
    /// The engine gives up waiting for a data connection, after so long.
    DataLate(Box<DataKey>, Duration),
}

/// Peers that are to be told that a port has ended.
pub(in crate::engine) struct Telling {
    pub(in crate::engine) port: PortKey,
    pub(in crate::engine) name: Box<str>,
    pub(in crate::engine) reasons: Reasons,
    pub(in crate::engine) peers: BTreeMap<usize, Asked>,
    /// Framings in which the reasons are too large to send.
    pub(in crate::engine) too_large: Vec<Framing>,
}

/// What a lost peer has monitored.
pub(in crate::engine) struct Forgetting {
    pub(in crate::engine) peer: usize,
    pub(in crate::engine) run: u64,
    pub(in crate::engine) ports: BTreeSet<PortKey>,
}
