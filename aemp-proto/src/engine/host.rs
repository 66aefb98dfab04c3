//! The host: whose code runs when something arrives at a port.

use super::state::Core;
use super::tables::keys::{FunctionId, PortKey, Token};
use super::tables::reasons::Reasons;
use crate::framing::Elements;
use crate::global::{Answer, Changes, FamilyWatch, QuestionId};
use crate::names::NodeId;

/// Runs the code of a node's user. The engine calls it at once, in the order in which things happen, and lends it the
/// [`Core`], so that it can send, monitor, kill and spawn from there.
///
/// What such a call sends to ports of the same node is delivered later, never within the call. A host that keeps something
/// for ports and tokens drops it when [`Core::poll_released`] says that it will not be asked for any more.
///
/// Only [`deliver`](Self::deliver) must be written. A host gets the other calls only if it has asked for them.
pub trait Host {
    /// Handles a message to a port. `elements` is what is behind the port's name; `source` is the node that sent it.
    fn deliver(&mut self, core: &mut Core, port: PortKey, source: &NodeId, elements: Elements<'_>);

    /// Runs a function that a node has called, with these arguments. There is no port.
    fn call(&mut self, core: &mut Core, function: FunctionId, source: &NodeId, elements: Elements<'_>) {
        let _ = (core, function, source, elements);
    }

    /// Runs a function that makes a spawned port what it is, with these arguments (`SPAWN-2`).
    fn spawned(&mut self, core: &mut Core, port: PortKey, function: FunctionId, source: &NodeId, elements: Elements<'_>) {
        let _ = (core, port, function, source, elements);
    }

    /// Does work for which the time has come: a task that was [deferred](Core::defer), a [timer](Core::after), or a peer
    /// that is [drained](Core::when_drained). The token is not used again. If the work went with a port, that has not ended.
    fn resume(&mut self, core: &mut Core, port: Option<PortKey>, token: Token) {
        let _ = (core, port, token);
    }

    /// A monitor has fired, or a data connection has failed. The token is not used again. If it went with a port, that has
    /// not ended.
    fn fired(&mut self, core: &mut Core, port: Option<PortKey>, token: Token, reasons: Reasons) {
        let _ = (core, port, token, reasons);
    }

    /// A question about the database is answered. If it went with a port, that has not ended.
    fn answered(&mut self, core: &mut Core, port: Option<PortKey>, question: QuestionId, answer: Answer) {
        let _ = (core, port, question, answer);
    }

    /// A family of the database has changed of which there is a view. If the view goes with a port, that has not ended.
    fn changed(&mut self, core: &mut Core, port: Option<PortKey>, view: FamilyWatch, changes: Changes) {
        let _ = (core, port, view, changes);
    }
}
