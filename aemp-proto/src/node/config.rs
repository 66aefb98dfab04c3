//! What a node is told beforehand.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::{global, link};

/// How a node behaves. What concerns each connection is in [`link`](NodeConfig::link).
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// How connections greet, authenticate and are bounded.
    pub link: link::Config,
    /// Units of [work](super::Node::work) for which one connection is served before others have their turn, 100,000 by default: about a
    /// millisecond. A read of 64 KiB with messages of 40 octets costs less, so ordinary traffic is not cut. One packet is never cut.
    pub turn_budget: u64,
    /// Octets that may wait for one peer, and for all together that have no connection, 64 MiB by default; more is the loss of the
    /// connection (`PEER-3`). Bounds what a reader that has stopped can cost, and nodes that cannot be found.
    pub queue: usize,
    /// Octets that may wait for all peers together, 1 GiB by default; beyond it the peer for which most waits is given up. Looked at ten times
    /// a second.
    pub queues: usize,
    /// Nodes without a connection that are tried at once, 10,000 by default; beyond it they are unreachable at once (`MON-10`).
    pub connecting: usize,
    /// Below how many waiting octets a peer is ready for more again, 1 MiB by default.
    pub ready: usize,
    /// Watches that one peer may have on our ports, 1,000,000 by default (`MON-11`).
    pub watches: usize,
    /// Ports that all peers together may have spawned here and that have not ended, 100,000 by default (`SPAWN-5`). A spawned port stays when its
    /// peer goes, so without this limit peers could fill the memory for good.
    pub spawned: usize,
    /// How many of them one peer may have spawned, 10,000 by default: one peer cannot keep others from spawning.
    pub spawned_by_peer: usize,
    /// Connections that may be in their handshake at once, 1,000 by default (`SEC-5`).
    pub handshakes: usize,
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
    /// Data connections that may be expected or under way at once, 1,000 by default (`DATA-18`).
    pub data_expected: usize,
    /// How many of them one peer may have this node expect, 100 by default (`DATA-18`).
    pub data_expected_of_peer: usize,
    /// Octets that the arguments of one of those may take, 64 KiB by default (`DATA-18`).
    pub data_arguments: usize,
    /// The longest time for which one is expected, 5 minutes by default, whatever the peer asks for.
    pub data_time: Duration,
    /// Refuses `snd`, `eval`, spawning and calls from all peers (`NODE-9`).
    pub secure: bool,
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
            queues: 1 << 30,
            connecting: 10_000,
            ready: 1 << 20,
            watches: 1_000_000,
            spawned: 100_000,
            spawned_by_peer: 10_000,
            handshakes: 1_000,
            connect_timeout: Duration::from_secs(2),
            probe_timeout: Duration::from_secs(1),
            quiet: Duration::from_secs(10),
            silence: Duration::from_secs(120),
            backoff: Duration::from_secs(30),
            data_expected: 1_000,
            data_expected_of_peer: 100,
            data_arguments: 64 << 10,
            data_time: Duration::from_secs(300),
            secure: false,
            global: false,
            addresses: Vec::new(),
            database: global::Limits::default(),
        }
    }
}
