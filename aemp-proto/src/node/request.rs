//! What other nodes ask of the node port (section 7.2 of the specification).

use alloc::vec;
use alloc::vec::Vec;

use super::core::Core;
use super::data;
use super::denials::Denied;
use super::port::Watcher;
use super::reasons::Reasons;
use crate::framing::Elements;
use crate::global::Request;
use crate::names::{NodeId, PortId};
use crate::permissions::Right;
use crate::value::Value;

/// The request that makes a port.
pub(super) const SPAWN: &str = "AnyEvent::MP::_spawn";

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
pub(super) fn handle(core: &mut Core, mut elements: Elements<'_>, source: &NodeId, peer: Option<usize>) {
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
            if let Some(request) = Request::decode(&name, elements) {
                core.tell_global(|global| global.receive(source, request));
            }
        }
        // Whoever asks is told, also in secure mode (`DATA-14`).
        data::EXPECT if peer.is_some() => data::expect(core, elements, source, peer),
        data::CONNECT if peer.is_some() => data::connect(core, elements, source),
        _ if refused => {}
        SPAWN => spawn(core, elements, source, peer),
        _ => {
            // A function that was registered, and nothing else (`NODE-7`).
            if let Some(function) = core.functions.to_call(&name)
                && core.may(peer, Right::Call, Denied::Call, &name)
            {
                core.call_function(&function, elements, source);
            }
        }
    }
}

fn mon1(core: &mut Core, mut elements: Elements<'_>, peer: Option<usize>) {
    let (Some(name), Some(index)) = (elements.name(), peer) else { return };
    let limit = core.config.watches;
    let found = core.ports.find(&name);
    if let Some(key) = found.filter(|key| core.may_reach(index, *key, &name, Denied::Watch)) {
        if let Some(port) = core.ports.get(key) {
            port.watchers.push(Watcher::Peer(index));
        }
        let watched = &mut core.peers[index].watched;
        *watched.entry(key).or_default() += 1;
        core.peers[index].watches_held += 1;
        if core.peers[index].watches_held > limit {
            core.lose_peer(index, "it watches too many ports");
        }
    } else if !name.is_empty() {
        // The node port never ends, so there is nothing to tell of it.
        let port = core.id.port(&name);
        kil0_to(core, index, &name, Reasons::no_such_port(&port));
    }
}

/// Tells a peer that a port has ended. It must hear of that: reasons that are too large to send become a text that says so.
pub(super) fn kil0_to(core: &mut Core, index: usize, port: &str, reasons: Reasons) {
    let mut elements = vec![Value::from("kil0"), port.into()];
    elements.extend(reasons.into_values());
    if core.try_request(index, &elements).is_err() {
        core.send_to_node(index, &("kil0", port, "die", "the reasons are too large to send"));
    }
}

fn mon0(core: &mut Core, mut elements: Elements<'_>, peer: Option<usize>) {
    let (Some(name), Some(index)) = (elements.name(), peer) else { return };
    let Some(key) = core.ports.find(&name) else { return };
    let Some(times) = core.peers[index].watched.get_mut(&key) else { return };
    *times -= 1;
    if *times == 0 {
        core.peers[index].watched.remove(&key);
    }
    core.peers[index].watches_held -= 1;
    if let Some(port) = core.ports.get(key) {
        let one = port.watchers.iter().position(|watcher| matches!(watcher, Watcher::Peer(other) if *other == index));
        one.map(|place| port.watchers.swap_remove(place));
    }
}

fn kil0(core: &mut Core, mut elements: Elements<'_>, peer: Option<usize>) {
    let (Some(name), Some(index)) = (elements.name(), peer) else { return };
    let Ok(reasons) = elements.rest::<Vec<Value>>() else { return };
    // The node itself is watched under the empty name, and does not end so.
    if name.is_empty() {
        return;
    }
    for watch in core.peers[index].watches.remove(&*name).unwrap_or_default() {
        core.fire(watch, reasons.clone().into());
    }
}

fn kil1(core: &mut Core, mut elements: Elements<'_>, peer: Option<usize>) {
    let Some(name) = elements.name() else { return };
    let Ok(reasons) = elements.rest::<Vec<Value>>() else { return };
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

/// Whether a node may have us send something there: in secure mode only to itself, and never a request to another node, ourselves included, since
/// that would come with our authority (`NODE-10`).
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
    let known = KNOWN.contains(&&*name) || Request::NAMES.contains(&&*name) || core.functions.has(&name);
    answer(core, &to, elements, [if known { "1" } else { "" }.into()]);
}

fn time(core: &mut Core, mut elements: Elements<'_>, asker: Option<&NodeId>, peer: Option<usize>) {
    if let Some(to) = destination(core, &mut elements, asker, peer) {
        let time = core.unix_time();
        answer(core, &to, elements, [time.into()]);
    }
}

fn eval(core: &mut Core, mut elements: Elements<'_>, asker: Option<&NodeId>, peer: Option<usize>) {
    let (Some(text), Some(to)) = (elements.name(), destination(core, &mut elements, asker, peer)) else { return };
    if text == UP_NODES {
        let mut nodes: Vec<_> = core.up_nodes().cloned().collect();
        nodes.sort();
        let nodes = nodes.iter().map(|node| node.as_str().into());
        return answer(core, &to, elements, [Value::from("")].into_iter().chain(nodes));
    }
    answer(core, &to, elements, [NO_CODE.into()]);
}

/// Sends the elements that were given for the answer, and the answer.
fn answer(core: &mut Core, to: &PortId, elements: Elements<'_>, answer: impl IntoIterator<Item = Value>) {
    if let Ok(mut reply) = elements.rest::<Vec<Value>>() {
        reply.extend(answer);
        core.send_or_report(to, &reply);
    }
}

fn spawn(core: &mut Core, mut elements: Elements<'_>, source: &NodeId, peer: Option<usize>) {
    let (Some(name), Some(function)) = (elements.name(), elements.name()) else { return };
    // `::function` is the main package's, and `main::function` the same.
    let main = || function.strip_prefix("main").filter(|rest| rest.starts_with("::"));
    let functions = &core.functions;
    let found = |name| Some((functions.to_spawn(name)?, name));
    let found = found(&function).or_else(|| found(main()?));
    if let Some((function, registered)) = found
        && core.may(peer, Right::Spawn, Denied::Spawn, registered)
        && let Some(port) = if peer.is_none() { core.ports.make(Some(&name)) } else { core.make_spawned(&name, source) }
    {
        core.init(port, &function, elements, source);
    }
}
