//! Asking for data connections, and saying which of them this node takes (chapter 9 of the specification).

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::super::state::Core;
use super::super::tables::data_connections::Purpose;
use super::super::tables::keys::{DataKey, PortKey, Token};
use super::super::tables::monitors::{DataEnded, MonitorAction, OnEnd};
use super::super::tables::reasons::Reasons;
use super::data_requests::EXPECT;
use crate::framing::{EncodeError, Framing, Packet};
use crate::names::{NodeId, PortId};
use crate::value::Value;

impl Core {
    /// Takes data connections that other nodes ask for under this name. The owner of the node gets each one
    /// ([`Engine::hand_over`](crate::engine::Engine::hand_over)). Returns false if they are taken already. In secure mode
    /// nobody can ask for any (`NODE-9`).
    pub fn data_accept(&mut self, function: &str) -> bool {
        self.data.add_function(function)
    }

    /// Takes no more data connections under this name. Returns false if none were taken.
    pub fn data_refuse(&mut self, function: &str) -> bool {
        self.data.remove_function(function)
    }

    /// Asks for a data connection to a function of another node, with these arguments. It is opened from whichever side can,
    /// and given to the owner of the node ([`Engine::hand_over`](crate::engine::Engine::hand_over)). If there is none within
    /// the time, or there can be none, the host is told with [`fired`](crate::engine::Host::fired), for the port `owner`.
    /// One of the two always happens, unless that port ends before; the token is [released](Self::poll_released) if it is
    /// not used.
    ///
    /// `random` must be new for each and come from the operating system (`DATA-10`).
    ///
    /// Returns the port by which the connection is known: to kill it is to give the connection up.
    ///
    /// # Errors
    ///
    /// When the arguments or the request cannot be written. The token is not used then.
    pub fn data_connect<T: Serialize + ?Sized>(
        &mut self,
        owner: Option<PortKey>,
        token: Token,
        random: [u8; 16],
        (node, function): (&NodeId, &str),
        arguments: &T,
        timeout: Duration,
    ) -> Result<PortId, EncodeError> {
        let mut encoded = Vec::new();
        Framing::Cbor.encode_elements(arguments, &self.send_limits(), &mut encoded)?;
        let arguments: Vec<Value> = Packet::scanned(Framing::Cbor, &encoded).elements().rest()?;
        let id: alloc::string::String = random.iter().map(|byte| alloc::format!("{byte:02x}")).collect();
        let key: DataKey = (node.clone(), id.into());
        let waits = self.make_port();
        let port = self.port_id(waits);
        let mut request = vec![Value::from(EXPECT), (*key.1).into(), port.to_string().into(), timeout.as_secs_f64().into()];
        request.push(function.into());
        request.extend(arguments);
        self.data_ask(&key, waits, (owner, token), &request, timeout).inspect_err(|_| {
            self.end(waits, &Reasons::normal());
        })?;
        if let Some(owner) = owner {
            self.attach(owner, waits);
        }
        Ok(port)
    }

    fn data_ask(
        &mut self,
        key: &DataKey,
        waits: PortKey,
        (owner, token): (Option<PortKey>, Token),
        request: &[Value],
        timeout: Duration,
    ) -> Result<(), EncodeError> {
        let port = self.port_id(waits);
        let refused = if key.0 == self.id {
            Some("a node has no data connections to itself")
        } else if self.data.asked() >= self.config.data_asked {
            Some("this node has asked for too many data connections already")
        } else {
            None
        };
        if refused.is_none() {
            // Its loss is the end of this, too.
            self.monitor(&key.0.port(""), MonitorAction::Kill(waits));
            let index = self.peer(&key.0);
            self.try_request(index, request)?;
        }
        self.set_monitor(&port, OnEnd::DataEnded(Box::new(DataEnded { key: key.clone(), owner, waits })));
        self.data_want(key, port.clone(), Purpose::Asked { owner, token }, timeout);
        if let Some(text) = refused {
            self.data_failed(key, text);
            return Ok(());
        }
        // When this comes back, the other node knows what to expect (`DATA-20`).
        if let Some(port) = self.ports.get_mut(waits) {
            port.wait_for_echo(key.clone());
        }
        let index = self.peer(&key.0);
        self.send_to_node(index, &("snd", port.to_string()));
        Ok(())
    }
}
