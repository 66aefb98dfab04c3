//! What one network costs: its start, a change, a watch, the loss of a global, and doing nothing.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::actor::{Context, NodeConfig};
use aemp_proto::auth::Secret;
use aemp_proto::link;
use aemp_proto::names::NodeId;

use super::heap::given_back;
use super::world::{Random, Traffic, World, address};

/// How large a network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// All nodes, the globals among them.
    pub(crate) nodes: usize,
    pub(crate) globals: usize,
}

/// What was measured of one network.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) size: Size,
    /// What passed until every global had all entries.
    pub(crate) start: Traffic,
    /// When that was, after the first node started, to a millisecond.
    pub(crate) converged: Duration,
    /// The time of the processor that this took, with the simulation itself; none where the system does not tell.
    pub(crate) processor: Option<Duration>,
    /// What passed because one node changed its entry.
    pub(crate) change: Traffic,
    /// What passed because one node began to watch the addresses of all.
    pub(crate) watch: Traffic,
    /// What that node has on the heap for it, in octets.
    pub(crate) view: usize,
    /// None if there is one global only.
    pub(crate) loss: Option<Loss>,
    /// What passed in the minute after, in which nothing happened.
    pub(crate) idle: Traffic,
    pub(crate) idle_processor: Option<Duration>,
    pub(crate) reach: Reach,
    /// The octets that an ordinary node has on the heap.
    pub(crate) ordinary: usize,
    /// The octets that a global has on the heap.
    pub(crate) global: usize,
}

/// The loss of one global.
#[derive(Debug)]
pub(crate) struct Loss {
    /// The nodes that had it as their master.
    pub(crate) slaves: usize,
    /// After which time each of them had another one.
    pub(crate) time: Duration,
    /// What passed until the other globals had all entries again.
    pub(crate) traffic: Traffic,
}

/// A node that sends a message to each other one.
#[derive(Debug)]
pub(crate) struct Reach {
    /// The nodes to which it has a connection then.
    pub(crate) nodes: usize,
    pub(crate) time: Duration,
    pub(crate) processor: Option<Duration>,
    pub(crate) traffic: Traffic,
}

/// How many of the globals each node has as seeds.
const SEEDS: usize = 3;

/// The nodes start within this time.
const START: Duration = Duration::from_secs(1);

/// When all seeds that did not run when they were first tried have been tried again; connections are asked for a sign of
/// life only later.
const SETTLED: Duration = Duration::from_secs(6);

/// How long a network may take to converge.
const PATIENCE: Duration = Duration::from_secs(120);

const MINUTE: Duration = Duration::from_secs(60);

/// The family in which each node has an entry, and the port under which it is.
const WORKER: &str = "worker";

pub(crate) struct Network {
    pub(crate) world: World,
    pub(crate) size: Size,
    /// How many nodes run.
    pub(crate) running: usize,
    began: Duration,
}

fn name(host: usize) -> String {
    format!("node-{host:05}")
}

impl Network {
    pub(crate) fn new(size: Size) -> Self {
        let mut world = World::new(size.nodes as u64 * 1000 + size.globals as u64, register);
        let began = world.now;
        for host in 0..size.nodes {
            let mut link = link::Config::new(NodeId::new(&name(host)).expect("a node ID"));
            link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
            let config = NodeConfig { addresses: vec![address(host)], global: host < size.globals, ..NodeConfig::new(link) };
            let seeds = seeds(&mut world.random, host, size.globals);
            let at = began + Duration::from_micros(world.random.below(START.as_micros() as u64));
            world.add(config, seeds, at);
        }
        Network { world, size, running: size.nodes, began }
    }

    /// How many entries a global holds over all shards, once there is nothing more to learn: an address and a worker of each
    /// node; of each global, from each global, that it is one; and the addresses of each global, as each other one mirrors
    /// them (`DB-13`, `DB-14`).
    pub(crate) fn all_entries(&self, globals: usize) -> usize {
        2 * self.running + globals * globals + globals * (globals - 1)
    }

    fn holds_all(&self, host: usize, globals: usize) -> bool {
        self.world.node(host).is_some_and(|node| node.entries() == self.all_entries(globals))
    }

    /// Lets time pass until these globals, which are all that there are, have all entries.
    pub(crate) fn converge(&mut self, hosts: Range<usize>) -> Result<(), String> {
        let globals = hosts.len();
        let end = self.world.now + PATIENCE;
        loop {
            // As long as one has not, there is no need to look at the others.
            let Some(host) = hosts.clone().find(|&host| !self.holds_all(host, globals)) else { return Ok(()) };
            while !self.holds_all(host, globals) {
                if self.world.now >= end {
                    let entries = self.world.node(host).map_or(0, |node| node.entries());
                    let all = self.all_entries(globals);
                    return Err(format!("{:?}: {} has {entries} entries, and should have {all}", self.size, name(host)));
                }
                self.world.run_until(self.world.now + Duration::from_millis(1));
            }
        }
    }

    /// Lets a seed that is tried again come up, and whatever is still on its way arrive.
    pub(crate) fn settle(&mut self) {
        self.world.run_until(self.began + SETTLED);
    }

    /// Sees to it that all is as it should be once it has converged: each node has a global as its master, or is one, and a
    /// global that is asked for the workers tells of all.
    fn check(&mut self) -> Result<(), String> {
        for host in 0..self.size.nodes {
            let node = self.world.node(host).ok_or("a node has gone")?;
            let is_global = |id: &NodeId| (0..self.size.globals).any(|global| name(global) == id.as_str());
            if node.is_global() != (host < self.size.globals) || node.is_global() == node.master().is_some_and(is_global) {
                return Err(format!("{:?}: {} has {:?} as its master", self.size, name(host), node.master()));
            }
        }
        for host in 0..self.size.globals {
            let count = Rc::new(Cell::new(0));
            let note = count.clone();
            let counts =
                move |_: &mut Context<'_>, keys: Result<Vec<String>, _>| note.set(keys.map_or(0, |keys| keys.len()));
            self.with(host, |context| context.db_keys(WORKER, counts));
            if count.get() != self.size.nodes {
                return Err(format!("{:?}: {} knows of {} workers", self.size, name(host), count.get()));
            }
        }
        Ok(())
    }

    fn with<R>(&mut self, host: usize, code: impl FnOnce(&mut Context<'_>) -> R) -> Option<R> {
        self.world.with(host, |node, now| node.with(now, code))
    }

    /// What passes because of something, until nothing is on its way.
    fn passes(&mut self, cause: impl FnOnce(&mut Self)) -> Traffic {
        let before = self.world.traffic;
        cause(self);
        self.world.run_until_quiet(self.world.now + PATIENCE);
        self.world.traffic.since(before)
    }

    fn last(&self) -> usize {
        self.size.nodes - 1
    }

    /// One node changes its entry.
    pub(crate) fn change(&mut self) -> Traffic {
        let host = self.last();
        self.passes(|network| {
            let key = format!("{}#{WORKER}", name(host));
            network.with(host, |context| context.db_set(WORKER, &key, &1).map(drop)).expect("it runs").expect("it is small");
        })
    }

    /// A node ends. Gives what it had on the heap.
    fn end(&mut self, host: usize) -> usize {
        self.running -= 1;
        given_back(self.world.kill(host))
    }

    /// One node watches the addresses of all.
    pub(crate) fn watch(&mut self, host: usize) -> Traffic {
        self.passes(|network| {
            network.with(host, |context| context.db_watch("'l", |_, _| {}));
        })
    }

    /// The first global is lost. Gives what it had on the heap, too.
    pub(crate) fn lose_global(&mut self) -> Result<(Loss, usize), String> {
        let lost = NodeId::new(&name(0)).expect("a node ID");
        let is_slave = |host: &usize| self.world.node(*host).is_some_and(|node| node.master() == Some(&lost));
        let mut orphans: BTreeSet<usize> = (self.size.globals..self.size.nodes).filter(is_slave).collect();
        let (slaves, began, before) = (orphans.len(), self.world.now, self.world.traffic);
        let heap = self.end(0);
        let mut time = Duration::ZERO;
        while !orphans.is_empty()
            && let Some(host) = self.world.step(began + PATIENCE)
        {
            if self.world.node(host).and_then(|node| node.master()).is_some_and(|master| *master != lost)
                && orphans.remove(&host)
            {
                time = self.world.now - began;
            }
        }
        if !orphans.is_empty() {
            return Err(format!("{:?}: {} nodes have no master any more", self.size, orphans.len()));
        }
        self.world.run_until_quiet(began + PATIENCE);
        self.converge(1..self.size.globals)?;
        Ok((Loss { slaves, time, traffic: self.world.traffic.since(before) }, heap))
    }

    /// The last node sends a message to each other one, which it has to find first.
    pub(crate) fn reach(&mut self) -> Reach {
        let from = self.last();
        let others: Vec<_> = (0..from).filter(|&host| self.world.node(host).is_some()).collect();
        let (began, processor) = (self.world.now, Processor::begin());
        let traffic = self.passes(|network| {
            network.with(from, |context| {
                for other in others {
                    let port = NodeId::new(&name(other)).expect("a node ID").port(WORKER);
                    context.send(&port, &"hello").expect("it is small");
                }
            });
        });
        let nodes = self.world.node(from).map_or(0, |node| node.up_nodes().count());
        Reach { nodes, time: self.world.now - began, processor: processor.end(), traffic }
    }
}

/// The seeds of a node: some globals, drawn; of a global the next one, so that all of them meet, and some others.
fn seeds(random: &mut Random, host: usize, globals: usize) -> Vec<usize> {
    let is_global = host < globals;
    let mut seeds = Vec::new();
    if is_global && globals > 1 {
        seeds.push((host + 1) % globals);
    }
    while seeds.len() < SEEDS.min(globals - usize::from(is_global)) {
        let seed = random.below(globals as u64) as usize;
        if seed != host && !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    seeds
}

/// What each node does when it starts: a port of it is a worker.
fn register(context: &mut Context<'_>) {
    let port = context.named_port(WORKER, |_, _| Ok(())).expect("the node is fresh");
    context.db_reg(&port, WORKER, &0).expect("it is small");
}

/// Measures one network.
pub(crate) fn measure(size: Size) -> Result<Measured, String> {
    let mut network = Network::new(size);
    let began = network.world.now;
    let processor = Processor::begin();
    network.world.run_until(began + START);
    network.converge(0..size.globals)?;
    let (start, converged, processor) = (network.world.traffic, network.world.now - began, processor.end());
    network.check()?;
    network.settle();
    let change = network.change();
    // Two nodes go, to see what they had.
    let (ordinary, watcher) = (network.end(network.last() - 2), network.last() - 1);
    network.world.run_until_quiet(network.world.now + PATIENCE);
    let watch = network.watch(watcher);
    let view = network.end(watcher).saturating_sub(ordinary);
    network.world.run_until_quiet(network.world.now + PATIENCE);
    let (loss, lost) = match size.globals {
        1 => (None, None),
        _ => network.lose_global().map(|(loss, heap)| (Some(loss), Some(heap)))?,
    };
    let (before, idle_processor) = (network.world.traffic, Processor::begin());
    network.world.run_until(network.world.now + MINUTE);
    let (idle, idle_processor) = (network.world.traffic.since(before), idle_processor.end());
    let reach = network.reach();
    let global = lost.unwrap_or_else(|| network.end(0));
    Ok(Measured {
        size,
        start,
        converged,
        processor,
        change,
        watch,
        view,
        loss,
        idle,
        idle_processor,
        reach,
        ordinary,
        global,
    })
}

/// The time that the processor has spent on this thread since it began.
struct Processor(Option<Duration>);

impl Processor {
    fn begin() -> Self {
        Processor(Self::now())
    }

    /// None where the system does not tell.
    fn end(self) -> Option<Duration> {
        Some(Self::now()? - self.0?)
    }

    fn now() -> Option<Duration> {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(Duration::from_nanos(statistics.split(' ').next()?.parse().ok()?))
    }
}
