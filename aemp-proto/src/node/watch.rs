//! Watches: what happens when a port ends.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::context::Context;
use super::port::PortKey;
use super::reasons::{Outcome, Reasons};
use crate::names::PortId;
use crate::value::Value;

/// Which watch; no two of a node are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WatchId(pub(super) u64);

/// A watch that was set, to give it up.
///
/// Dropping it does nothing: the watch stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchHandle {
    pub(super) target: PortId,
    pub(super) id: WatchId,
}

/// A watch that has not fired.
pub(super) struct Watch {
    pub(super) id: WatchId,
    pub(super) action: WatchAction,
}

/// What happens when a watch fires.
pub(super) enum WatchAction {
    /// The port ends too, with the same reasons, unless there are none.
    End(PortKey),
    /// The message is sent, with the reasons behind it.
    Message(PortId, Vec<Value>),
    /// The code runs, in the name of the port if it has not ended.
    Call(Option<PortKey>, Callback),
}

impl Watch {
    /// The port that the watch goes with: when that ends, the watch is given up.
    pub(super) fn owner(&self) -> Option<PortKey> {
        match self.action {
            WatchAction::End(port) => Some(port),
            WatchAction::Call(port, _) => port,
            WatchAction::Message(..) => None,
        }
    }
}

/// Code that runs once when a watch fires.
pub(super) type Callback = Box<dyn FnOnce(&mut Context<'_>, Reasons) -> Outcome>;
