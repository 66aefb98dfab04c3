//! What other nodes ask: to expect a data connection, and to open one.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::super::host::Host;
use super::super::state::Core;
use super::super::tables::data_connections::{Purpose, Wanted, failed};
use super::super::tables::denials::Denied;
use super::super::tables::keys::{DataKey, PortKey, Released};
use super::super::tables::reasons::Reasons;
use crate::framing::{Elements, Framing, Limits};
use crate::names::{NodeId, PortId};
use crate::permissions::Right;

/// The request to expect a data connection.
pub(in crate::engine) const EXPECT: &str = "AnyEvent::MP::DataConn::_expect";

/// The request to open one that is expected.
pub(in crate::engine) const CONNECT: &str = "AnyEvent::MP::DataConn::_connect";

/// Octets of an ID, and of the name of a port that waits (`DATA-28`).
const LONGEST: usize = 256;

/// Another node wants a data connection to a function of this one.
pub(in crate::engine) fn expect(core: &mut Core, mut elements: Elements<'_>, source: &NodeId, peer: Option<usize>) {
    let (Some(id), Some(port)) = (elements.name(), elements.name()) else { return };
    let Ok(port) = port.parse::<PortId>() else { return };
    // Nobody has us end the ports of others (`DATA-15`).
    if port.node() != source || port.port().is_empty() {
        return;
    }
    let key: DataKey = (source.clone(), Box::from(&*id));
    if let Err(text) = expected(core, &key, &port, elements, peer) {
        core.kill(&port, &failed(&text));
    }
}

/// Expects a data connection; or says why not (`DATA-14`).
fn expected(
    core: &mut Core,
    key: &DataKey,
    port: &PortId,
    mut elements: Elements<'_>,
    peer: Option<usize>,
) -> Result<(), Box<str>> {
    let time = elements.next_as::<f64>().and_then(Result::ok).filter(|time| *time > 0.0);
    let time = time.ok_or("the time is no number of seconds")?;
    let name = elements.name().ok_or("there is no function")?;
    // `::function` is the main package's, and `main::function` the same.
    let main = || name.strip_prefix("main").filter(|rest| rest.starts_with("::"));
    let name = if core.data.has_function(&name) { Some(&*name) } else { main().filter(|name| core.data.has_function(name)) };
    let Some(name) = name.filter(|name| !core.config.secure && core.may(peer, Right::Stream, Denied::Stream, name)) else {
        return Err("no function of that name takes data connections here".into());
    };
    if core.data.contains(key) {
        return Err("that ID is in use".into());
    }
    if key.1.len() > LONGEST || port.port().len() > LONGEST {
        return Err("the ID, or the name of the port, is longer than 256 octets [DATA-28]".into());
    }
    let config = &core.config;
    let of_peer = core.data.expected(&key.0);
    if of_peer >= config.data_expected_of_peer {
        return Err("too many data connections are expected already [DATA-18]".into());
    }
    let is_full = core.data.all_expected() >= config.data_expected;
    // A node that has fewer gets its share of the table, and the one that has most loses one (`DATA-29`).
    let most = if is_full { core.data.of_most(of_peer + 1) } else { None };
    if is_full && most.is_none() {
        return Err("too many data connections are expected already [DATA-18]".into());
    }
    let limits = Limits { octets: config.data_arguments, ..Limits::default() };
    let time = Duration::try_from_secs_f64(time).unwrap_or(Duration::MAX).min(config.data_time);
    let mut arguments = Vec::new();
    let too_large = "the arguments are too large [DATA-18]";
    elements.relay(&[], Framing::Cbor, &limits, &mut arguments).map_err(|_| too_large)?;
    if let Some(most) = most {
        core.data_failed(&most, "other nodes need data connections, too, and this one expects most of them [DATA-29]");
    }
    let purpose = Purpose::Function { name: name.into(), arguments };
    core.data_want(key, port.clone(), purpose, time);
    Ok(())
}

/// The node that wants a data connection has this one open it.
pub(in crate::engine) fn connect(core: &mut Core, mut elements: Elements<'_>, source: &NodeId) {
    let (Some(id), Some(node)) = (elements.name(), elements.name()) else { return };
    let key: DataKey = (source.clone(), Box::from(&*id));
    // One that this node has asked for is not the other's to turn round (`DATA-22`).
    let is_expected = |wanted: &mut Wanted| matches!(wanted.purpose, Purpose::Function { .. }) && wanted.opening.is_none();
    if *node == *source.as_str() && core.data.get(&key).is_some_and(is_expected) {
        core.data.to_open.push(key);
    }
}

impl Core {
    /// Waits for a data connection for so long.
    pub(in crate::engine) fn data_want(&mut self, key: &DataKey, port: PortId, purpose: Purpose, time: Duration) {
        let timer = self.data_timer(time, key.clone());
        let wanted = Wanted { purpose, port, timer, opening: None, claimed: None };
        self.data.insert(key, wanted);
    }

    /// Has the other node open a data connection to this one.
    pub(in crate::engine) fn data_reverse(&mut self, key: &DataKey) {
        let index = self.peer(&key.0);
        let own = self.id.to_string();
        self.send_to_node(index, &(CONNECT, &*key.1, own));
    }

    /// There will be no such data connection, and the port that waits ends for that reason (`DATA-8`).
    pub(in crate::engine) fn data_failed(&mut self, key: &DataKey, text: &str) {
        let Some(wanted) = self.data.get(key) else { return };
        let port = wanted.port.clone();
        // What is asked for here goes with its port.
        if let Purpose::Function { .. } = wanted.purpose {
            self.data_forget(key);
        }
        self.kill(&port, &failed(text));
    }

    /// The port that has asked for a data connection has ended.
    pub(in crate::engine) fn data_ended(&mut self, host: &mut impl Host, key: &DataKey, reasons: Reasons) {
        if let Some(Purpose::Asked { owner, token }) = self.data_forget(key) {
            if owner.is_none_or(|owner| self.ports.has(owner)) {
                host.fired(self, owner, token, reasons);
            } else {
                self.released.push_back(Released::Token(token));
            }
        }
    }

    /// A message has come to a port that waits for a data connection: if the other node has sent it, that node knows now
    /// what to expect (`DATA-20`).
    pub(in crate::engine) fn data_echoed(&mut self, port: PortKey, source: &NodeId) {
        let echo = self.ports.get_mut(port).and_then(|port| port.held.as_mut()).map(|held| &mut held.echo);
        if let Some(key) = echo.and_then(|echo| echo.take_if(|key| key.0 == *source)) {
            self.data.to_open.push(key);
        }
    }

    /// Forgets a data connection that does not stand yet, and has what there is of it closed.
    fn data_forget(&mut self, key: &DataKey) -> Option<Purpose> {
        let wanted = self.data.remove(key)?;
        self.cancel(&wanted.timer);
        self.closing.extend(wanted.claimed);
        Some(wanted.purpose)
    }

    /// The owner has taken the connection.
    pub(in crate::engine) fn data_taken(&mut self, key: &DataKey) -> Option<Wanted> {
        let wanted = self.data.remove(key)?;
        self.cancel(&wanted.timer);
        if let Purpose::Asked { token, .. } = &wanted.purpose {
            self.released.push_back(Released::Token(*token));
        }
        Some(wanted)
    }

    /// The connection to a node is lost: nothing is expected from it any more (`DATA-19`). What was asked of it ends by its
    /// watch.
    pub(in crate::engine) fn data_lost(&mut self, node: &NodeId) {
        let of_node: Vec<_> = self.data.of_node(node).cloned().collect();
        for key in of_node {
            if let Some(Wanted { purpose: Purpose::Function { .. }, .. }) = self.data.get(&key) {
                self.data_forget(&key);
            }
        }
    }
}
