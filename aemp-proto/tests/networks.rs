//! Networks that are drawn from a number: seeds, globals and slaves, some of which do not listen, under latency, cuts, crashes and slow
//! readers, while entries come and go. Once all has healed, what section 8.9 of the specification promises must hold.
//!
//! Some nodes talk as much as the reference does, which repeats itself. A failing number replays exactly: `SEED=number cargo test -p
//! aemp-proto --test networks`. More numbers than the usual: `SEEDS=count`, best with `--release`.

mod support;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::global::{Changes, Family};
use aemp_proto::node::{Node, NodeConfig};
use aemp_proto::value::Value;
use support::ports::{heard, log, noting, noting_reasons, with};
use support::world::{Random, World, node_config};

/// Something that is done wrong on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// A node also sends its entries to a seed that is not its master, which so keeps what has long been deleted.
    SecondMaster,
    /// A node claims that it is global, and never tells what changes.
    SilentGlobal,
    /// A watch misses a change.
    MissedChange,
}

const FAMILIES: [&str; 2] = ["fam", "worker"];

/// What the watches of one node were told, put together.
#[derive(Default)]
struct View {
    families: BTreeMap<&'static str, Family>,
    told: usize,
    /// What should not have been told.
    wrong: Vec<String>,
}

impl View {
    fn apply(&mut self, name: &'static str, changes: Changes, fault: Fault) {
        self.told += 1;
        if fault == Fault::MissedChange && self.told == 6 {
            return;
        }
        let is_first = !self.families.contains_key(name);
        let family = self.families.entry(name).or_default();
        let right = changes.added.keys().all(|key| !family.contains_key(key))
            && changes.changed.iter().all(|(key, value)| family.get(key).is_some_and(|old| old != value))
            && changes.deleted.iter().all(|key| family.contains_key(key))
            && (is_first || !changes.is_empty());
        if !right {
            self.wrong.push(format!("{name}: {changes:?} to {family:?}"));
        }
        changes.deleted.iter().for_each(|key| drop(family.remove(key)));
        family.extend(changes.added.into_iter().chain(changes.changed));
    }
}

struct Machine {
    seeds: Vec<usize>,
    listens: bool,
    /// It repeats itself.
    chatty: bool,
    /// What it has set.
    own: BTreeMap<(&'static str, String), u64>,
    view: Rc<RefCell<View>>,
}

struct Network {
    seed: u64,
    world: World,
    machines: Vec<Machine>,
    next_value: u64,
    fault: Fault,
}

impl Network {
    fn new(seed: u64, fault: Fault) -> Self {
        let mut world = World::new(seed);
        world.latency = Duration::from_millis(world.random.below(40));
        // Mostly small ones, which show as much; now and then a large one.
        let hosts = 3 + world.random.below(if seed % 50 == 7 { 48 } else { 10 }) as usize;
        let seeds = 1 + world.random.below(3) as usize;
        // Names are in another order than roles.
        let shift = world.random.below(hosts as u64) as usize;
        let mut network = Network { seed, world, machines: Vec::new(), next_value: 0, fault };
        for host in 0..hosts {
            let random = &mut network.world.random;
            let is_seed = host < seeds;
            let mut own_seeds: Vec<_> = (0..seeds).filter(|&other| other != host || random.chance(2)).collect();
            if !is_seed && random.chance(3) {
                own_seeds.truncate(1 + random.below(seeds as u64) as usize);
            }
            let machine = Machine {
                seeds: own_seeds,
                listens: is_seed || !random.chance(3),
                chatty: random.chance(3),
                own: BTreeMap::new(),
                view: Rc::default(),
            };
            let mut config = NodeConfig {
                queue: 200_000,
                quiet: Duration::from_secs(2),
                silence: Duration::from_secs(6),
                backoff: Duration::from_secs(2),
                // Two globals that do not listen could not meet.
                global: machine.listens && random.chance(6),
                addresses: if machine.listens { vec![host.to_string()] } else { Vec::new() },
                ..node_config(&format!("n{:02}", (host + shift) % hosts))
            };
            config.link.handshake_timeout = Duration::from_secs(5);
            network.machines.push(machine);
            network.world.add(config);
            network.prepare(host);
        }
        network
    }

    /// Gives a fresh node its watches and seeds.
    fn prepare(&mut self, host: usize) {
        let fault = self.fault;
        let machine = &mut self.machines[host];
        (machine.own, machine.view) = (BTreeMap::new(), Rc::default());
        let (view, seeds) = (machine.view.clone(), machine.seeds.clone());
        with(&mut self.world, host, |context| {
            context.named_port("in", |_, _| Ok(())).expect("the node is fresh");
            for family in FAMILIES {
                let view = view.clone();
                context.db_watch(family, move |_, changes| view.borrow_mut().apply(family, changes, fault));
            }
        });
        for seed in seeds {
            self.world.dial(host, seed);
        }
        self.set(host);
    }

    fn runs(&self, host: usize) -> bool {
        self.world.hosts[host].node.is_some()
    }

    fn set(&mut self, host: usize) {
        let random = &mut self.world.random;
        let family = FAMILIES[random.below(2) as usize];
        // Some keys are those of all nodes.
        let key = if random.chance(2) { format!("k{}", random.below(4)) } else { format!("of-{host}-{}", random.below(4)) };
        self.next_value += 1;
        let value = self.next_value;
        with(&mut self.world, host, |context| context.db_set(family, &key, &value).map(drop)).expect("allowed");
        self.machines[host].own.insert((family, key), value);
    }

    fn delete(&mut self, host: usize) {
        let place = self.world.random.below(1 + self.machines[host].own.len() as u64) as usize;
        let Some((family, key)) = self.machines[host].own.keys().nth(place).cloned() else { return };
        with(&mut self.world, host, |context| context.db_del(family, [&key[..]]));
        self.machines[host].own.remove(&(family, key));
    }

    /// What a node has set, as it is sent.
    fn database(&self, host: usize) -> BTreeMap<&'static str, BTreeMap<String, u64>> {
        let mut database: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for ((family, key), value) in &self.machines[host].own {
            database.entry(*family).or_default().insert(key.clone(), *value);
        }
        database
    }

    /// Says what was said before, as the reference does.
    fn repeat(&mut self, host: usize) {
        let database = self.database(host);
        let up: BTreeSet<_> = self.world.node(host).up_nodes().cloned().collect();
        let master = self.world.node(host).master().cloned();
        let seeds: Vec<_> = self.machines[host].seeds.iter().map(|&seed| self.world.id(seed)).collect();
        let fault = self.fault;
        with(&mut self.world, host, |context| {
            for seed in seeds.iter().filter(|seed| up.contains(seed)) {
                context.send(&seed.port(""), &("g_slave",)).expect("small");
                context.send(&seed.port(""), &("g_find", seed)).expect("small");
                if master.as_ref() == Some(seed) || fault == Fault::SecondMaster {
                    context.send(&seed.port(""), &("g_slave", &database)).expect("small");
                }
                if fault == Fault::SilentGlobal && master.as_ref() == Some(seed) {
                    context.send(&seed.port(""), &("g_global",)).expect("small");
                }
            }
        });
    }

    /// Something is sent to any node, which may need a connection.
    fn talk(&mut self, host: usize, to: usize) {
        let to = self.world.id(to).port("in");
        with(&mut self.world, host, |context| context.send(&to, &"hello").expect("small"));
    }

    /// Everything that may happen to a network in a tenth of a second.
    fn misfortune(&mut self) {
        let hosts = self.machines.len() as u64;
        let mut random = Random(self.world.random.next());
        let (a, b) = (random.below(hosts) as usize, random.below(hosts) as usize);
        match random.below(30) {
            0 if self.runs(a) => self.world.crash(a, random.chance(2)),
            1..=6 if !self.runs(a) => {
                self.world.start(a);
                self.prepare(a);
            }
            7 | 8 if a != b => self.world.cut.push((a, b)),
            9..=11 => {
                self.world.cut.pop();
            }
            12 | 13 => {
                for wire in self.world.wires_between(a, b) {
                    self.world.wires[wire].dead = [true, true];
                }
            }
            14..=16 => {
                for wire in self.world.wires_between(a, b) {
                    self.world.wires[wire].stuck = [random.chance(3), random.chance(3)];
                }
            }
            17 => self.world.wires_between(a, b).into_iter().for_each(|wire| self.world.break_wire(wire)),
            _ => {}
        }
    }

    /// Nothing passes between two parts of the network any more.
    fn cut_in_two(&mut self) {
        let hosts = self.machines.len();
        let first: Vec<_> = (0..hosts).map(|_| self.world.random.chance(2)).collect();
        for (a, b) in (0..hosts).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|&(a, b)| first[a] != first[b]) {
            self.world.cut.push((a, b));
            for wire in self.world.wires_between(a, b) {
                self.world.wires[wire].dead = [true, true];
            }
        }
    }

    fn live(&mut self) {
        let hosts = self.machines.len() as u64;
        for _ in 0..2 {
            let (host, other) = (self.world.random.below(hosts) as usize, self.world.random.below(hosts) as usize);
            if !self.runs(host) {
                continue;
            }
            match self.world.random.below(8) {
                0..=2 => self.set(host),
                3 | 4 => self.delete(host),
                5 if host != other => self.talk(host, other),
                6 if self.machines[host].chatty => self.repeat(host),
                _ => {}
            }
        }
    }

    /// What must hold at any time.
    fn check(&self) {
        for (host, machine) in self.machines.iter().enumerate() {
            let Some(node) = &self.world.hosts[host].node else { continue };
            let wrong = &machine.view.borrow().wrong;
            assert!(wrong.is_empty(), "seed {}: a watch of host {host}: {wrong:?}", self.seed);
            let mut up: Vec<_> = node.up_nodes().collect();
            let count = up.len();
            up.dedup();
            assert_eq!(up.len(), count, "seed {}: host {host} has two connections to one node", self.seed);
            assert!(node.waiting() <= 210_000 * self.machines.len(), "seed {}: host {host} keeps too much", self.seed);
        }
    }

    /// The value of each key, by section 8.5, from who is global and who has which master.
    fn expected(&self) -> BTreeMap<&'static str, Family> {
        let mut winners: BTreeMap<(&str, &str), (_, u64)> = BTreeMap::new();
        for (host, machine) in self.machines.iter().enumerate() {
            let node = self.world.hosts[host].node.as_ref().expect("it runs");
            // The lowest global first, and there the lowest slave, and at last its own.
            let id = self.world.id(host);
            let rank = if node.is_global() { (id, None) } else { (node.master().expect("a master").clone(), Some(id)) };
            let rank = (rank.0, rank.1.is_none(), rank.1);
            for ((family, key), value) in &machine.own {
                let candidate = (rank.clone(), *value);
                let winner = winners.entry((family, key)).or_insert_with(|| candidate.clone());
                if candidate.0 < winner.0 {
                    *winner = candidate;
                }
            }
        }
        let mut expected: BTreeMap<_, Family> = FAMILIES.map(|family| (family, Family::new())).into();
        for ((family, key), (_, value)) in winners {
            let (_, entries) = expected.iter_mut().find(|(name, _)| **name == family).expect("one of the families");
            entries.insert(key.into(), value.into());
        }
        expected
    }

    /// What a node is told when it asks.
    fn ask(&mut self, host: usize, family: &str) -> Rc<RefCell<Option<Family>>> {
        let answer = Rc::new(RefCell::new(None));
        let note = answer.clone();
        with(&mut self.world, host, |context| {
            context.db_family(family, move |_, family| *note.borrow_mut() = family.ok());
        });
        answer
    }

    /// The network, for people.
    fn picture(&self) -> String {
        let mut lines = String::new();
        for (host, machine) in self.machines.iter().enumerate() {
            let node = self.world.hosts[host].node.as_ref();
            let up: Vec<_> = node.map(|node| node.up_nodes().map(ToString::to_string).collect()).unwrap_or_default();
            lines += &format!(
                "\nhost {host} {} global {:?} master {:?} seeds {:?} listens {} chatty {} up {up:?}",
                self.world.id(host),
                node.map(Node::is_global),
                node.and_then(|node| node.master().cloned()),
                machine.seeds,
                machine.listens,
                machine.chatty,
            );
        }
        lines
    }

    /// What must hold once everything has healed and been quiet for long enough.
    fn check_healed(&mut self) {
        self.check();
        let (seed, hosts) = (self.seed, self.machines.len());
        let wires = self.world.wires.len();
        self.world.run_for(Duration::from_secs(5));
        assert_eq!(self.world.wires.len(), wires, "seed {seed}: somebody is still dialled");
        for host in 0..hosts {
            let node = self.world.node(host);
            assert!(node.is_global() || node.master().is_some(), "seed {seed}: host {host} has no master");
            for other in 0..host {
                assert!(self.world.wires_between(host, other).len() <= 1, "seed {seed}: hosts {other} and {host}: PEER-5");
            }
        }
        let expected = self.expected();
        let globals: Family = (0..hosts)
            .filter(|&host| self.world.hosts[host].node.as_ref().is_some_and(Node::is_global))
            .map(|host| (self.world.id(host).to_string(), Value::Null))
            .collect();
        let addresses: Family = (0..hosts)
            .map(|host| {
                let addresses = self.world.hosts[host].config.addresses.iter().map(|address| address.as_str().into());
                (self.world.id(host).to_string(), Value::Array(addresses.collect()))
            })
            .collect();
        let families = expected.clone().into_iter().chain([("'g", globals), ("'l", addresses)]);
        for (family, right) in families {
            let answers: Vec<_> = (0..hosts).map(|host| self.ask(host, family)).collect();
            self.world.run_for(Duration::from_millis(400));
            for (host, answer) in answers.iter().enumerate() {
                let answer = answer.take();
                assert_eq!(answer.as_ref(), Some(&right), "seed {seed}: {family} of host {host}{}", self.picture());
            }
        }
        for (host, machine) in self.machines.iter().enumerate() {
            assert_eq!(machine.view.borrow().families, expected, "seed {seed}: the view of host {host}: DB-20, DB-21");
        }
        self.check_reach();
    }

    /// Every node reaches every other by its name, if one of the two listens.
    fn check_reach(&mut self) {
        let hosts = self.machines.len();
        let mut talks = Vec::new();
        for _ in 0..4 {
            let (from, to) =
                (self.world.random.below(hosts as u64) as usize, self.world.random.below(hosts as u64) as usize);
            let is_up =
                self.world.hosts[from].node.as_ref().is_some_and(|node| node.up_nodes().any(|up| *up == self.world.id(to)));
            // Who cannot be dialled is reached when it has come by itself.
            if from == to || (!self.machines[to].listens && !is_up) {
                continue;
            }
            let (got, fired) = (log(), log());
            let id = with(&mut self.world, to, |context| context.port(noting(&got)));
            with(&mut self.world, from, |context| {
                context.watch(&id, noting_reasons(&fired));
                context.send(&id, &"are you there?").expect("small");
            });
            talks.push((from, to, got, fired));
        }
        self.world.run_for(Duration::from_secs(3));
        for (from, to, got, fired) in talks {
            let seed = self.seed;
            assert_eq!((heard(&got).len(), heard(&fired)), (1, vec![]), "seed {seed}: host {from} to host {to}: FIND-4");
        }
    }
}

fn simulate(seed: u64, fault: Fault) {
    let mut network = Network::new(seed, fault);
    for _ in 0..80 {
        network.misfortune();
        network.live();
        network.world.run_for(Duration::from_millis(100));
        network.check();
    }
    if seed.is_multiple_of(3) {
        network.cut_in_two();
        // Longer than it takes to find that out.
        for _ in 0..100 {
            network.live();
            network.world.run_for(Duration::from_millis(100));
            network.check();
        }
    }
    // Now everything heals: what is dead stays dead, and must be noticed.
    network.world.cut.clear();
    for host in 0..network.machines.len() {
        if !network.runs(host) {
            network.world.start(host);
            network.prepare(host);
        }
    }
    network.world.wires.iter_mut().for_each(|wire| wire.stuck = [false; 2]);
    network.world.run_for(Duration::from_secs(25));
    network.check_healed();
}

#[test]
fn after_healing_all_nodes_see_the_same_database_which_is_that_of_all_that_live() {
    // GLOBAL-4, GLOBAL-9, GLOBAL-12, GLOBAL-16, GLOBAL-17, GLOBAL-18, DB-7, DB-9, DB-10, DB-12, DB-13, DB-14, DB-20, DB-21
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    if let Some(seed) = number("SEED") {
        return simulate(seed, Fault::None);
    }
    for seed in 0..number("SEEDS").unwrap_or(500) {
        simulate(seed, Fault::None);
    }
}

#[test]
fn each_check_finds_the_fault_that_it_is_for() {
    let finds = |fault| (0..30).any(|seed| std::panic::catch_unwind(|| simulate(seed, fault)).is_err());
    for fault in [Fault::SecondMaster, Fault::SilentGlobal, Fault::MissedChange] {
        assert!(finds(fault), "{fault:?} went unnoticed");
    }
}
