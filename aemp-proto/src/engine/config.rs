//! What a node is told beforehand.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::tables::memory::Memory;
use crate::permissions::Permissions;
use crate::{global, link};

/// How a node behaves. What concerns each connection is in [`link`](NodeConfig::link).
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// How connections greet, authenticate and are bounded.
    pub link: link::Config,
    /// Units of [work](crate::engine::Engine::work) for which one connection is served before others have their turn,
    /// 100,000 by default: about a millisecond. A read of 64 KiB with messages of 40 octets costs less, so ordinary traffic
    /// is not cut. One packet is never cut.
    pub turn_budget: u64,
    /// Octets that may wait for one peer, and for all together that have no connection, 64 MiB by default; more is the loss
    /// of the connection (`PEER-3`). Bounds what a reader that has stopped can cost, and nodes that cannot be found.
    pub queue: usize,
    /// The memory that may be used for all peers together, by kind: [`Memory::of`] 1 GiB by default (`SEC-13`). Beyond one
    /// of these shares the peer for which most of that kind is held is given up
    /// ([`NodeEvent::GivenUp`](super::NodeEvent::GivenUp)), so that the others stay. Without it many peers together could
    /// use all memory, each of them within its own limits. Packets are looked at with each read, queues and tables ten times
    /// a second.
    pub memory: Memory,
    /// Nodes without a connection that are tried at once, 10,000 by default; beyond it they are unreachable at once
    /// (`MON-10`). A quarter of that is for what this node's own programs send (`FIND-11`).
    pub connecting: usize,
    /// How many of them may be tried because of one peer, 1,000 by default (`FIND-10`): it has passed on, or answered,
    /// something to them. So one member that names unknown nodes does not keep others from being found.
    pub connecting_of_peer: usize,
    /// Below how many waiting octets a peer is ready for more again, 1 MiB by default.
    pub ready: usize,
    /// MonitorList that one peer may have on our ports, 1,000,000 by default (`MON-11`).
    pub watches: usize,
    /// Ports that all peers together may have spawned here and that have not ended, 100,000 by default (`SPAWN-5`). A
    /// spawned port stays when its peer goes, so without this limit peers could fill the memory for good.
    pub spawned: usize,
    /// How many of them one peer may have spawned, 10,000 by default: one peer cannot keep others from spawning.
    pub spawned_by_peer: usize,
    /// Connections that others have opened and that may be in their handshake at once, 1,000 by default (`SEC-5`). Bounds
    /// what strangers can cost. Beyond it the connection that has said nothing for longest gives way to a new one
    /// (`SEC-10`).
    pub handshakes: usize,
    /// How many of them may come from one address, 250 by default (`SEC-8`): nobody keeps others out with less than several
    /// addresses. The port does not count, and of an IPv6 address only the network (/64) does.
    pub handshakes_of_address: usize,
    /// How long somebody who has connected may take for the greeting, 5 seconds by default (`SEC-9`). Shorter than the
    /// [time for the whole handshake](link::Config::handshake_timeout), so that silent connections go sooner.
    pub greeting_timeout: Duration,
    /// How long a node without a connection is tried, 2 seconds by default (`MON-10`).
    pub connect_timeout: Duration,
    /// How long a connection may take to show that it lives when its node greets again, 1 second by default (`PEER-9`).
    pub probe_timeout: Duration,
    /// After how much silence a peer is asked for a sign of life, 10 seconds by default.
    pub quiet: Duration,
    /// After how much silence a peer is given up, 2 minutes by default (`PEER-10`): a busy peer is not a dead one.
    pub silence: Duration,
    /// The longest time between two tries to reach a seed, 30 seconds by default.
    pub backoff: Duration,
    /// Data connections that peers may have this node expect at once, 1,000 by default (`DATA-18`). Beyond it the peer that
    /// has most loses one to a peer that has fewer (`DATA-29`), so that a few peers cannot keep others from getting any.
    pub data_expected: usize,
    /// How many of them one peer may have this node expect, 100 by default (`DATA-18`).
    pub data_expected_of_peer: usize,
    /// Data connections for which programs of this node may have asked at once, 1,000 by default. They do not count among
    /// those that peers want, so peers cannot use them up (`DATA-30`).
    pub data_asked: usize,
    /// Octets that the arguments of one of those may take, 64 KiB by default (`DATA-18`).
    pub data_arguments: usize,
    /// The longest time for which one is expected, 5 minutes by default, whatever the peer asks for.
    pub data_time: Duration,
    /// Refuses `snd`, `eval`, spawning and calls from all peers (`NODE-9`).
    pub secure: bool,
    /// What other nodes may do, by their IDs; everything by default. An ID is proven only where certificates are bound to
    /// IDs (`SEC-12`). Changed at run time by [`set_permissions`](crate::engine::Engine::set_permissions).
    pub permissions: Permissions,
    /// Is global from the start (section 8.1).
    pub global: bool,
    /// The addresses `HOST:PORT` under which others can reach the node; none by default (`DB-4`).
    pub addresses: Vec<String>,
    /// What others may have the node hold of the database.
    pub database: global::Limits,
}

impl NodeConfig {
    /// The defaults around a configuration of connections.
    pub fn new(link: link::Config) -> Self {
        NodeConfig {
            link,
            turn_budget: 100_000,
            queue: 64 << 20,
            memory: Memory::default(),
            connecting: 10_000,
            connecting_of_peer: 1_000,
            ready: 1 << 20,
            watches: 1_000_000,
            spawned: 100_000,
            spawned_by_peer: 10_000,
            handshakes: 1_000,
            handshakes_of_address: 250,
            greeting_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(1),
            quiet: Duration::from_secs(10),
            silence: Duration::from_secs(120),
            backoff: Duration::from_secs(30),
            data_expected: 1_000,
            data_expected_of_peer: 100,
            data_asked: 1_000,
            data_arguments: 64 << 10,
            data_time: Duration::from_secs(300),
            secure: false,
            permissions: Permissions::default(),
            global: false,
            addresses: Vec::new(),
            database: global::Limits::default(),
        }
    }
}
