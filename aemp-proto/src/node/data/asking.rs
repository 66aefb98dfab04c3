//! The verbs: asking for data connections, and taking those that others ask for.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::request::EXPECT;
use super::table::{Key, Purpose};
use crate::framing::{Elements, EncodeError, Framing, Packet};
use crate::names::{NodeId, PortId};
use crate::node::context::Context;
use crate::node::core::Core;
use crate::node::port::PortKey;
use crate::node::reasons::Reasons;
use crate::node::watch::WatchAction;
use crate::value::Value;

impl Context<'_> {
    /// Takes data connections that other nodes ask for under this name: the owner of the node gets each one ([`Node::hand_over`](crate::node::Node::hand_over)).
    /// False if they are taken already. In secure mode nobody can ask for any (`NODE-9`).
    pub fn data_accept(&mut self, function: &str) -> bool {
        self.core.data.add_function(function)
    }

    /// Takes no more data connections under this name; false if none were taken.
    pub fn data_refuse(&mut self, function: &str) -> bool {
        self.core.data.remove_function(function)
    }

    /// Asks for a data connection to a function of another node, with these arguments. It is opened from whichever side can, and given to the owner
    /// of the node ([`Node::hand_over`](crate::node::Node::hand_over)). If that has not come about within the time, or cannot, `on_failure` runs, in the name
    /// of the own port; one of the two always happens, unless the own port ends before.
    ///
    /// `random` must be new for each and come from the operating system (`DATA-10`).
    ///
    /// Gives the port by which it is known: to end that is to give it up.
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written; `on_failure` does not run then.
    pub fn data_connect<T: Serialize + ?Sized>(
        &mut self,
        random: [u8; 16],
        node: &NodeId,
        function: &str,
        arguments: &T,
        timeout: Duration,
        on_failure: impl FnOnce(&mut Context<'_>, Reasons) + 'static,
    ) -> Result<PortId, EncodeError> {
        let limits = self.core.send_limits();
        let mut encoded = Vec::new();
        Framing::Cbor.encode_elements(arguments, &limits, &mut encoded)?;
        let arguments: Vec<Value> = Packet::scanned(Framing::Cbor, &encoded).elements().rest()?;
        let id: String = random.iter().map(|octet| alloc::format!("{octet:02x}")).collect();
        let key: Key = (node.clone(), id.into());
        let owner = self.port;
        // Only names can be taken.
        let Some(waits) = self.core.ports.make(None) else { return Ok(self.core.id.port("")) };
        let port = self.core.port_id(waits);
        let mut request = vec![Value::from(EXPECT), (*key.1).into(), port.to_string().into(), timeout.as_secs_f64().into()];
        request.push(function.into());
        request.extend(arguments);
        let purpose = Purpose::Asked { owner, on_failure: Box::new(on_failure) };
        self.core.data_ask(&key, waits, &port, &request, purpose, timeout).inspect_err(|_| {
            self.core.end(waits, &Reasons::normal());
        })?;
        self.core.hold_call(owner, waits);
        Ok(port)
    }
}

impl Core {
    fn data_ask(
        &mut self,
        key: &Key,
        waits: PortKey,
        port: &PortId,
        request: &[Value],
        purpose: Purpose,
        timeout: Duration,
    ) -> Result<(), EncodeError> {
        let owner = match &purpose {
            Purpose::Asked { owner, .. } => *owner,
            Purpose::Function { .. } => None,
        };
        let refused = if key.0 == self.id {
            Some("a node has no data connections to itself")
        } else if self.data.asked() >= self.config.data_asked {
            Some("this node has asked for too many data connections already")
        } else {
            None
        };
        if refused.is_none() {
            // Its loss is the end of this, too.
            self.watch(&key.0.port(""), WatchAction::End(waits));
            let index = self.peer(&key.0);
            self.try_request(index, request)?;
        }
        let ended = key.clone();
        let on_end = move |context: &mut Context<'_>, reasons| {
            context.core.forget_call(owner, waits);
            context.core.data_ended(&ended, reasons);
            Ok(())
        };
        self.watch(port, WatchAction::Call(None, Box::new(on_end)));
        self.data_want(key, port.clone(), purpose, timeout);
        if let Some(text) = refused {
            self.data_failed(key, text);
            return Ok(());
        }
        // When this comes back, the other node knows what to expect (`DATA-20`).
        let (echoed, mut first) = (key.clone(), true);
        let on_echo = move |context: &mut Context<'_>, _: Elements<'_>| {
            if context.source() == Some(&echoed.0) && core::mem::take(&mut first) {
                context.core.data.to_open.push(echoed.clone());
            }
            Ok(())
        };
        self.ports.set_default(waits, Some(Box::new(on_echo)));
        let index = self.peer(&key.0);
        self.send_to_node(index, &("snd", port.to_string()));
        Ok(())
    }
}
