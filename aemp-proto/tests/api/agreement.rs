//! Globals and slaves without a network: whatever the order in which their messages arrive, and whichever connections are
//! lost and made again meanwhile, they agree in the end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::framing::{Framing, Limits as PacketLimits, Packet};
use aemp_proto::global::{Database, Family, Global, Limits, Output, Owner, Request};
use aemp_proto::names::NodeId;
use proptest::prelude::*;

const GLOBALS: usize = 3;
const NODES: usize = 7;

/// What happens next.
#[derive(Debug, Clone)]
enum Happens {
    Set(usize, u8, u64),
    Delete(usize, u8),
    /// The next message of one of the connections that have some arrives.
    Arrives(usize),
    /// The connection between two nodes is lost, with all that is on its way.
    Lost(usize, usize),
    Made(usize, usize),
    /// A node goes on with what takes longer than one turn.
    Runs(usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    let node = || 0..NODES;
    prop_oneof![
        3 => (node(), 0..4u8, 0..3u64).prop_map(|(node, key, value)| Happens::Set(node, key, value)),
        1 => (node(), 0..4u8).prop_map(|(node, key)| Happens::Delete(node, key)),
        8 => any::<usize>().prop_map(Happens::Arrives),
        1 => (node(), 0..GLOBALS).prop_map(|(a, b)| Happens::Lost(a, b)),
        2 => (node(), 0..GLOBALS).prop_map(|(a, b)| Happens::Made(a, b)),
        4 => node().prop_map(Happens::Runs),
    ]
}

struct Nodes {
    nodes: Vec<Global>,
    /// What is on its way from one to another; there is a connection if there is a queue.
    links: BTreeMap<(usize, usize), VecDeque<Arc<Request>>>,
    own: Vec<BTreeMap<String, (u64, Owner)>>,
    views: Vec<Family>,
}

/// The lower half of the names is not that of the globals.
fn id(node: usize) -> NodeId {
    NodeId::new(["m", "c", "x", "a", "b", "n", "z"][node]).expect("a node ID")
}

impl Nodes {
    fn new(portion: usize) -> Self {
        let node = |node| {
            let mut global = Global::new(id(node), vec![], Limits { portion, ..Limits::default() });
            global.watch("fam");
            if node < GLOBALS {
                global.become_global();
            }
            global
        };
        let nodes = (0..NODES).map(node).collect();
        Nodes { nodes, links: BTreeMap::new(), own: vec![BTreeMap::new(); NODES], views: vec![Family::new(); NODES] }
    }

    fn make(&mut self, a: usize, b: usize) {
        if a == b || self.links.contains_key(&(a, b)) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            self.links.insert((from, to), VecDeque::new());
            self.nodes[from].up(&id(to), true);
            if to < GLOBALS {
                self.nodes[from].seed(&id(to));
            }
        }
        self.take(a);
        self.take(b);
    }

    fn lose(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a, b)).is_none() {
            return;
        }
        self.links.remove(&(b, a));
        for (node, other) in [(a, b), (b, a)] {
            self.nodes[node].down(&id(other), Duration::ZERO);
            self.take(node);
        }
    }

    /// Takes the outputs of a node.
    fn take(&mut self, node: usize) {
        while let Some(output) = self.nodes[node].poll() {
            match output {
                Output::Send(to, request) => {
                    let to = (0..NODES).find(|&other| id(other) == to).expect("one of them");
                    self.links.get_mut(&(node, to)).expect("only to those that are up").push_back(request);
                }
                Output::Changes(_, delta) => {
                    let changes = delta.changes();
                    let view = &mut self.views[node];
                    assert!(changes.added.keys().all(|key| !view.contains_key(key)), "DB-20: {changes:?} to {view:?}");
                    assert!(changes.changed.keys().chain(&changes.deleted).all(|key| view.contains_key(key)), "DB-20");
                    changes.deleted.iter().for_each(|key| drop(view.remove(key)));
                    view.extend(changes.added.into_iter().chain(changes.changed));
                }
                _ => {}
            }
        }
    }

    fn arrive(&mut self, which: usize) -> bool {
        let waiting: Vec<_> = self.links.iter().filter(|(_, link)| !link.is_empty()).map(|(ends, _)| *ends).collect();
        if waiting.is_empty() {
            return false;
        }
        let (from, to) = waiting[which % waiting.len()];
        let request = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front).expect("one waits");
        let mut octets = Vec::new();
        Framing::Cbor.encode_elements(&*request, &PacketLimits::LEAST, &mut octets).expect("it fits");
        let packet = Packet::parse(Framing::Cbor, &octets, &PacketLimits::LEAST).expect("a packet");
        let mut elements = packet.elements();
        let name = elements.name().expect("a name");
        self.nodes[to].receive_packet(&id(from), &name, elements);
        self.take(to);
        true
    }

    fn run(&mut self, node: usize) -> bool {
        let ran = self.nodes[node].run(|_| true);
        self.take(node);
        ran
    }

    fn happen(&mut self, what: &Happens) {
        match *what {
            Happens::Set(node, key, value) => {
                let key = format!("k{key}");
                let owner = self.nodes[node].set("fam", &key, &value.into()).expect("allowed");
                self.own[node].insert(key, (value, owner));
                self.take(node);
            }
            Happens::Delete(node, key) => {
                let key = format!("k{key}");
                if let Some((_, owner)) = self.own[node].remove(&key) {
                    assert!(self.nodes[node].remove("fam", &key, owner));
                }
                self.take(node);
            }
            Happens::Arrives(which) => drop(self.arrive(which)),
            Happens::Lost(a, b) => self.lose(a, b),
            Happens::Made(a, b) => self.make(a, b),
            Happens::Runs(node) => drop(self.run(node)),
        }
    }

    /// The values by section 8.5.
    fn expected(&self) -> Family {
        let mut winners: BTreeMap<&String, _> = BTreeMap::new();
        for (node, own) in self.own.iter().enumerate() {
            let rank = match self.nodes[node].master() {
                Some(master) => (master.clone(), false, id(node)),
                None => (id(node), true, id(node)),
            };
            for (key, (value, _)) in own {
                let winner = winners.entry(key).or_insert_with(|| (rank.clone(), *value));
                if rank < winner.0 {
                    *winner = (rank.clone(), *value);
                }
            }
        }
        winners.into_iter().map(|(key, (_, value))| (key.clone(), value.into())).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn in_any_order_of_arrival_all_agree_in_the_end(
        story in proptest::collection::vec(happens(), 0..150),
        last in any::<usize>(),
        portion in prop_oneof![1..400usize, Just(1 << 16)],
    ) {
        // DB-42: whatever is done in one turn.
        let mut nodes = Nodes::new(portion);
        story.iter().for_each(|what| nodes.happen(what));
        for a in 0..NODES {
            for b in 0..GLOBALS {
                nodes.make(a, b);
            }
        }
        let mut which = last;
        while nodes.arrive(which) || (0..NODES).any(|node| nodes.run(node)) {
            which = which.wrapping_mul(31).wrapping_add(7);
        }
        let expected = nodes.expected();
        let databases: Vec<Database> = nodes.nodes[..GLOBALS].iter().map(Global::database).collect();
        for database in &databases {
            // DB-7, DB-9, DB-10, DB-11, DB-12, DB-13, DB-14
            prop_assert_eq!(database, &databases[0]);
            prop_assert_eq!(database.get("fam").cloned().unwrap_or_default(), expected.clone());
            prop_assert_eq!(database["'g"].len(), GLOBALS);
            prop_assert_eq!(database["'l"].len(), NODES);
        }
        for view in &nodes.views {
            prop_assert_eq!(view, &expected);
        }
    }
}
