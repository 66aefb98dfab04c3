//! Calls: a message with a port for the answer as its last element.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

use serde::Serialize;
use thiserror::Error;

use super::state::{Change, Context, Work};
use crate::engine::{IntoOutcome, MonitorAction, Reasons};
use crate::framing::{Elements, EncodeError, Framing, Packet};
use crate::names::PortId;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// The port that was called has ended, or its node is lost.
    #[error("the port has ended: {0}")]
    Ended(Reasons),
    /// The time is up.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

impl Context<'_> {
    /// Sends a message with a port for the answer as its last element, and runs `answer` once, in the name of the own port:
    /// with the elements of the answer, or with the reason why there will be none. The port is monitored: when it has ended,
    /// never was, or its node cannot be reached, that reason comes at once. A port that lives and does not answer is waited
    /// for until the time-out; without one, until it ends.
    ///
    /// Whoever is called takes the message with [`Elements::request`], as the type that was given here.
    ///
    /// Gives the port for the answer: to end it is to give the call up.
    ///
    /// # Errors
    ///
    /// When the message cannot be written; `answer` does not run then.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use aemp_proto::{link, names::NodeId, actor::{Context, Node, NodeConfig}};
    /// # let config = NodeConfig::new(link::Config::new(NodeId::new("n").unwrap()));
    /// # let mut node = Node::new(config, 1, Duration::ZERO, Duration::ZERO);
    /// node.with(Duration::ZERO, |context: &mut Context<'_>| {
    ///     let doubler = context.port(|context, elements| {
    ///         let (number, reply) = elements.request::<u64>()?;
    ///         Ok(context.send(&reply, &(2 * number))?)
    ///     });
    ///     context.call(&doubler, &21, None, |_, answer| {
    ///         let doubled: u64 = answer.expect("the port lives").rest()?;
    ///         assert_eq!(doubled, 42);
    ///         Ok(())
    ///     })
    /// }).unwrap();
    /// # while node.has_work() { node.run(Duration::ZERO) }
    /// # assert_eq!(node.poll_event(), None);
    /// ```
    pub fn call<T: Serialize + ?Sized, O: IntoOutcome>(
        &mut self,
        to: &PortId,
        elements: &T,
        timeout: Option<Duration>,
        answer: impl FnOnce(&mut Context<'_>, Result<Elements<'_>, NoAnswer>) -> O + 'static,
    ) -> Result<PortId, EncodeError> {
        let limits = self.core.limits_to(to.node());
        let mut message = Vec::new();
        Framing::Cbor.encode_elements(elements, &limits, &mut message)?;
        self.call_with(to, Packet::scanned(Framing::Cbor, &message).elements(), timeout, answer)
    }

    /// The same with elements that are encoded already.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn call_with<O: IntoOutcome>(
        &mut self,
        to: &PortId,
        elements: Elements<'_>,
        timeout: Option<Duration>,
        answer: impl FnOnce(&mut Context<'_>, Result<Elements<'_>, NoAnswer>) -> O + 'static,
    ) -> Result<PortId, EncodeError> {
        let owner = self.port;
        let reply = self.core.make_port();
        let id = self.core.port_id(reply);
        // The monitor comes before the message, so that it notices what happens to that.
        let waiting = Rc::new(Cell::new(Some(answer)));
        // The first of the three ends the port for the answer, and with it the others.
        let finish = move |context: &mut Context<'_>, answered: Result<Elements<'_>, NoAnswer>| {
            let Some(answer) = waiting.take() else { return };
            let Context { core, actors, source, .. } = context;
            core.end(reply, &Reasons::normal());
            if let Some(owner) = owner {
                core.detach(owner, reply);
            }
            actors.run_code(core, owner, *source, |context| answer(context, answered).into_outcome());
        };
        let end = finish.clone();
        let ended = move |context: &mut Context<'_>, reasons| {
            end(context, Err(NoAnswer::Ended(reasons)));
            Ok(())
        };
        let ended = self.actors.keep(Work::Callback(Box::new(ended)));
        self.core.monitor(to, MonitorAction::Notify(Some(reply), ended));
        if let Some(timeout) = timeout {
            let finish = finish.clone();
            let late = move |context: &mut Context<'_>| {
                finish(context, Err(NoAnswer::TimedOut(timeout)));
                Ok(())
            };
            let late = self.actors.keep(Work::Task(Box::new(late)));
            self.core.after(timeout, Some(reply), late);
        }
        let answered = move |context: &mut Context<'_>, elements: Elements<'_>| {
            finish(context, Ok(elements));
            Ok(())
        };
        self.actors.code(self.core, reply).change(Change::Default(Some(Box::new(answered))));
        if let Err(error) = self.core.forward_with_reply(to, elements, &id) {
            self.core.end(reply, &Reasons::normal());
            self.actors.release(self.core);
            return Err(error);
        }
        if let Some(owner) = owner {
            self.core.attach(owner, reply);
        }
        Ok(id)
    }
}
