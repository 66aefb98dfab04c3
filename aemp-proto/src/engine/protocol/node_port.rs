//! What other nodes ask of the node port (section 7.2 of the specification).

use alloc::vec::Vec;

use super::super::host::Host;
use super::super::state::Core;
use super::super::tables::denials::Denied;
use super::super::tables::reasons::Reasons;
use super::super::tables::steps::OPERATION;
use super::data_requests as data;
use crate::framing::{Elements, Tail};
use crate::global::Request;
use crate::names::{LONGEST, NodeId, PortId};
use crate::permissions::Right;
use crate::value::Value;

/// The request that makes a port.
pub(in crate::engine) const SPAWN: &str = "AnyEvent::MP::_spawn";

/// The requests that every node has.
const KNOWN: [&str; 12] =
    ["mon0", "mon1", "kil0", "kil1", "snd", "can", "time", "devnull", "eval", SPAWN, data::EXPECT, data::CONNECT];

/// The one text that is answered, so that others can draw the network (`NODE-11`).
const UP_NODES: &str = "AnyEvent::MP::Kernel::up_nodes";

/// The text with which a node that runs no code answers `eval` (`NODE-6`).
const NO_CODE: &str = "this node runs no code";

/// Handles a request whose port name has been taken. `peer` is the place of the node that sent it; none for ourselves.
///
/// Arguments that are missing or of the wrong kind make the request nothing (`NODE-1`).
pub(in crate::engine) fn handle(
    core: &mut Core,
    host: &mut impl Host,
    mut elements: Elements<'_>,
    source: &NodeId,
    peer: Option<usize>,
) {
    let Some(name) = elements.name() else { return };
    let refused = core.config.secure && peer.is_some();
    // What we send for a peer may not make us act as if we had asked ourselves.
    let asker = peer.map(|_| source);
    match &*name {
        // A keepalive (`MSG-4`).
        "" | "devnull" => {}
        "mon1" => mon1(core, elements, peer),
        "mon0" => mon0(core, elements, peer),
        "kil0" => kil0(core, elements, peer),
        "kil1" => kil1(core, elements, peer),
        "eval" => eval(core, elements, asker, peer),
        "can" => can(core, elements, asker, peer),
        "time" => time(core, elements, asker, peer),
        "snd" => snd(core, elements, asker, peer),
        _ if Request::NAMES.contains(&&*name) => {
            core.tell_global(|global| global.receive_packet(source, &name, elements));
        }
        // Whoever asks is told, also in secure mode (`DATA-14`).
        data::EXPECT if peer.is_some() => data::expect(core, elements, source, peer),
        data::CONNECT if peer.is_some() => data::connect(core, elements, source),
        _ if refused => {}
        SPAWN => spawn(core, host, elements, source, peer),
        _ => {
            // A function that was registered, and nothing else (`NODE-7`).
            if let Some(function) = core.functions.to_call(&name)
                && core.may(peer, Right::Call, Denied::Call, &name)
            {
                host.call(core, function, source, elements);
            }
        }
    }
}

fn mon1(core: &mut Core, mut elements: Elements<'_>, peer: Option<usize>) {
    let (Some(name), Some(index)) = (elements.name(), peer) else { return };
    let Some(run) = core.peers[index].up().map(|up| up.connection.0) else { return };
    let limit = core.config.watches;
    core.work += 2 * OPERATION;
    let found = core.ports.find(&name);
    if let Some(key) = found.filter(|key| core.may_reach(index, *key, &name, Denied::Watch)) {
        if let Some(port) = core.ports.get_mut(key) {
            port.observers().ask(index, run);
        }
        let peer = &mut core.peers[index];
        peer.watched.insert(key);
        peer.watches_held += 1;
        if peer.watches_held > limit {
            core.lose_peer(index, "it watches too many ports");
        }
    } else if !name.is_empty() && name.len() <= LONGEST {
        // The node port never ends, so there is nothing to tell of it. A longer name can be used for nothing (`LIMIT-10`).
        core.no_such_port(index, &name);
    }
}

fn mon0(core: &mut Core, mut elements: Elements<'_>, peer: Option<usize>) {
    let (Some(name), Some(index)) = (elements.name(), peer) else { return };
    let Some(run) = core.peers[index].up().map(|up| up.connection.0) else { return };
    let Some(key) = core.ports.find(&name) else { return };
    core.work += 2 * OPERATION;
    let observers = core.ports.get_mut(key).and_then(|port| port.observers.as_mut());
    let Some(left) = observers.and_then(|observers| observers.take_back(index, run)) else { return };
    core.peers[index].watches_held -= 1;
    if left == 0 {
        core.peers[index].watched.remove(&key);
    }
}

fn kil0(core: &mut Core, mut elements: Elements<'_>, peer: Option<usize>) {
    let (Some(name), Some(index)) = (elements.name(), peer) else { return };
    // The node itself is watched under the empty name, and does not end so. Reasons that nobody wants are not looked at.
    if name.is_empty() || !core.peers[index].monitors.contains_key(&*name) {
        return;
    }
    let Ok(reasons) = elements.rest::<Vec<Value>>() else { return };
    let reasons = Reasons::from(reasons);
    for monitor in core.peers[index].monitors.remove(&*name).unwrap_or_default().into_iter() {
        core.work += OPERATION;
        core.fire(monitor, reasons.clone());
    }
}

fn kil1(core: &mut Core, mut elements: Elements<'_>, peer: Option<usize>) {
    let Some(name) = elements.name() else { return };
    let Some(port) = core.ports.find(&name) else { return };
    if let Some(index) = peer {
        if core.ports.get(port).is_some_and(|port| port.protected) {
            // It offers something to all, so none of them takes it from the others (`KILL-4`).
            let node = core.peers[index].node.clone();
            return core.denied(&node, Denied::End, &name);
        }
        if !core.may_reach(index, port, &name, Denied::End) {
            return;
        }
    }
    let Ok(reasons) = elements.rest::<Vec<Value>>() else { return };
    core.end(port, &reasons.into());
}

/// Where a node may have us send something.
fn destination(core: &mut Core, elements: &mut Elements<'_>, asker: Option<&NodeId>, peer: Option<usize>) -> Option<PortId> {
    let to = port_id(elements).filter(|to| may_send(core, to, asker))?;
    peer.is_none_or(|index| core.may_have_sent(index, &to)).then_some(to)
}

fn port_id(elements: &mut Elements<'_>) -> Option<PortId> {
    elements.name()?.parse().ok()
}

/// Whether a node may have us send something there: in secure mode only to itself, and never a request to another node,
/// ourselves included, since that would come with our authority (`NODE-10`).
fn may_send(core: &Core, to: &PortId, asker: Option<&NodeId>) -> bool {
    match asker {
        Some(asker) if core.config.secure => to.node() == asker,
        Some(asker) => to.node() == asker || !to.port().is_empty(),
        None => true,
    }
}

fn snd(core: &mut Core, mut elements: Elements<'_>, asker: Option<&NodeId>, peer: Option<usize>) {
    let Some(to) = port_id(&mut elements) else { return };
    let passes_on = !core.config.secure && *to.node() != core.id && is_for_a_port(elements.clone());
    if (passes_on || may_send(core, &to, asker)) && peer.is_none_or(|index| core.may_have_sent(index, &to)) {
        core.relay_or_report(&to, elements);
    }
}

/// Whether a request is a `snd` to what is no node port. It gives nobody more than he has, and ends there (`NODE-12`).
fn is_for_a_port(mut request: Elements<'_>) -> bool {
    request.name().is_some_and(|name| name == "snd") && port_id(&mut request).is_some_and(|to| !to.port().is_empty())
}

fn can(core: &mut Core, mut elements: Elements<'_>, asker: Option<&NodeId>, peer: Option<usize>) {
    let (Some(name), Some(to)) = (elements.name(), destination(core, &mut elements, asker, peer)) else { return };
    let is_registered = core.functions.has(&name) || core.data.has_function(&name);
    let known = is_registered || KNOWN.contains(&&*name) || Request::NAMES.contains(&&*name);
    core.answer(&to, elements, &[Tail::Text(if known { "1" } else { "" })]);
}

fn time(core: &mut Core, mut elements: Elements<'_>, asker: Option<&NodeId>, peer: Option<usize>) {
    if let Some(to) = destination(core, &mut elements, asker, peer) {
        let time = core.unix_time();
        core.answer(&to, elements, &[Tail::Float(time)]);
    }
}

fn eval(core: &mut Core, mut elements: Elements<'_>, asker: Option<&NodeId>, peer: Option<usize>) {
    let (Some(text), Some(to)) = (elements.name(), destination(core, &mut elements, asker, peer)) else { return };
    if text == UP_NODES {
        let mut nodes: Vec<_> = core.up_nodes().cloned().collect();
        nodes.sort();
        core.work += OPERATION * core.peers.len() as u64;
        let nodes = nodes.iter().map(|node| Tail::Text(node.as_str()));
        return core.answer(&to, elements, &[Tail::Text("")].into_iter().chain(nodes).collect::<Vec<_>>());
    }
    core.answer(&to, elements, &[Tail::Text(NO_CODE)]);
}

fn spawn(core: &mut Core, host: &mut impl Host, mut elements: Elements<'_>, source: &NodeId, peer: Option<usize>) {
    let (Some(name), Some(function)) = (elements.name(), elements.name()) else { return };
    // `::function` is the main package's, and `main::function` the same.
    let main = || function.strip_prefix("main").filter(|rest| rest.starts_with("::"));
    let functions = &core.functions;
    let found = |name| Some((functions.to_spawn(name)?, name));
    let found = found(&function).or_else(|| found(main()?));
    if let Some((function, registered)) = found
        && core.may(peer, Right::Spawn, Denied::Spawn, registered)
        && let Some(port) = if peer.is_none() { core.ports.make(&name) } else { core.make_spawned(&name, source) }
    {
        host.spawned(core, port, function, source, elements);
    }
}
