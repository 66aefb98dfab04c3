//! A community: a network that is drawn from a number, of seeds, globals and slaves, some of which do not listen, and what
//! happens in it. In a mixed one some nodes behave as the Perl reference does, faults included.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::actor::{Node, NodeConfig, Reasons, Tables};
use aemp_proto::framing::Framing;
use aemp_proto::global::{Changes, Family, Limits};
use aemp_proto::link::Config;
use aemp_proto::value::Value;

use super::pair::config;
use super::ports::with;
use super::reference::{Reference, Roles};
use super::traffic::{Mortal, OVER, Watching};
use super::world::{Random, World, node_config, turn_budget};

/// Something that is done wrong on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// A node also sends its entries to a seed that is not its master, which so keeps what has long been deleted.
    SecondMaster,
    /// A node claims that it is global, and never tells what changes.
    SilentGlobal,
    /// A watch on a family misses a change.
    MissedChange,
    /// A watch on a family is told a value that nobody has set.
    InventedValue,
    /// A watch on a port is lost.
    LostWatch,
    /// A watch on a port fires twice.
    RepeatedWatch,
    /// A watch on a port fires for a reason that nobody gave.
    InventedReason,
    /// Nobody closes a connection.
    OpenConnections,
    /// A seed that behaves as the reference does not say that it speaks the global protocol.
    NoMaster,
    /// The nodes keep more for their peers than they should.
    LongQueues,
    /// The nodes have more handshakes under way than they should.
    ManyHandshakes,
    /// The nodes remember more lost globals than they should.
    ManyLost,
    /// The nodes search more others at once than they should.
    ManySearched,
    /// The table of that place seems to hold far too much.
    Overfull(usize),
}

pub const FAMILIES: [&str; 2] = ["fam", "worker"];

/// Octets that may wait for one peer, and for all that have no connection together.
pub const QUEUE: usize = 12_000;
/// No message that is sent here is larger.
pub const LARGEST: usize = 4_000;
/// Handshakes that others have begun and that a node goes on with at once.
pub const HANDSHAKES: usize = 3;
/// Lost globals that a node remembers.
pub const LOST: usize = 2;
/// Nodes that a node searches at once, globals left aside.
pub const SEARCHED: usize = 3;

/// What the watches of one node were told, put together.
#[derive(Default)]
pub struct View {
    pub families: BTreeMap<&'static str, Family>,
    told: usize,
    /// What should not have been told.
    pub wrong: Vec<String>,
}

impl View {
    fn apply(&mut self, name: &'static str, mut changes: Changes, fault: Fault) {
        self.told += 1;
        match fault {
            Fault::MissedChange if self.told == 6 => return,
            Fault::InventedValue => changes.added.values_mut().for_each(|value| *value = u64::MAX.into()),
            _ => {}
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

pub struct Machine {
    pub seeds: Vec<usize>,
    pub listens: bool,
    /// It repeats itself.
    pub chatty: bool,
    /// It behaves as the reference does.
    pub is_reference: bool,
    /// What it has set.
    pub own: BTreeMap<(&'static str, String), u64>,
    pub view: Rc<RefCell<View>>,
    /// How often its program was started.
    pub start: u64,
    pub reference: Option<Rc<RefCell<Reference>>>,
    /// Since when it could have had a master.
    pub could_have_master: Option<Duration>,
}

pub struct Community {
    pub seed: u64,
    pub world: World,
    pub machines: Vec<Machine>,
    pub fault: Fault,
    /// All that was ever set.
    pub history: BTreeMap<(&'static str, String), BTreeSet<u64>>,
    /// Ports that end some time, watched from nodes of ours.
    pub mortals: Vec<Mortal>,
    pub fired: Rc<RefCell<BTreeMap<usize, Vec<Vec<Value>>>>>,
    /// All that ever ran here.
    pub references: Vec<Rc<RefCell<Reference>>>,
    /// The most that was seen in each table.
    pub most: Tables,
    /// How often each promise was looked at.
    pub promised: RefCell<[usize; 3]>,
    next_value: u64,
    next_nobody: u64,
}

impl Community {
    pub fn new(seed: u64, mixed: bool, fault: Fault) -> Self {
        let mut world = World::new(seed);
        world.latency = Duration::from_millis(world.random.below(40));
        world.keeps_open = fault == Fault::OpenConnections;
        // Mostly small ones, which show as much; now and then a large one.
        let hosts = 3 + world.random.below(if seed % 50 == 7 { 48 } else { 10 }) as usize;
        let seeds = 1 + world.random.below(3) as usize;
        // Names are in another order than roles.
        let shift = world.random.below(hosts as u64) as usize;
        let mut community = Community {
            seed,
            world,
            machines: Vec::new(),
            fault,
            history: BTreeMap::new(),
            mortals: Vec::new(),
            fired: Rc::default(),
            references: Vec::new(),
            most: Tables::default(),
            promised: RefCell::default(),
            next_value: 0,
            next_nobody: 0,
        };
        for host in 0..hosts {
            let random = &mut community.world.random;
            let is_seed = host < seeds;
            let mut own_seeds: Vec<_> = (0..seeds).filter(|&other| other != host || random.chance(2)).collect();
            if !is_seed && random.chance(3) {
                own_seeds.truncate(1 + random.below(seeds as u64) as usize);
            }
            let listens = is_seed || !random.chance(3);
            let (chatty, is_global) = (random.chance(3), listens && random.chance(6));
            let machine = Machine {
                seeds: own_seeds,
                listens,
                chatty,
                is_reference: mixed && host != seed as usize % hosts && random.chance(3),
                own: BTreeMap::new(),
                view: Rc::default(),
                start: 0,
                reference: None,
                could_have_master: None,
            };
            // In half of the nodes a turn is over after an entry or two, so that whatever takes several is cut everywhere.
            let portion = if (seed as usize / 2 + host).is_multiple_of(2) { 150 } else { 64 << 10 };
            let mut config = NodeConfig {
                queue: QUEUE,
                quiet: Duration::from_secs(2),
                silence: Duration::from_secs(6),
                backoff: Duration::from_secs(2),
                handshakes: HANDSHAKES,
                // Two globals that do not listen could not meet.
                global: is_global,
                turn_budget: turn_budget(seed / 2, host),
                addresses: if machine.listens { vec![host.to_string()] } else { Vec::new() },
                database: Limits { lost: LOST, searched: SEARCHED, portion, jobs: 3, ..Limits::default() },
                ..node_config(&format!("n{:02}", (host + shift) % hosts))
            };
            config.link.handshake_timeout = Duration::from_secs(5);
            match fault {
                Fault::LongQueues => config.queue *= 100,
                Fault::ManyHandshakes => config.handshakes *= 100,
                Fault::ManyLost => config.database.lost *= 100,
                Fault::ManySearched => config.database.searched *= 100,
                _ => {}
            }
            match machine.is_reference {
                true => community.world.add_outsider(config, None),
                false => community.world.add(config),
            };
            community.machines.push(machine);
        }
        (0..hosts).for_each(|host| community.prepare(host));
        community
    }

    /// Gives a fresh program its watches and seeds.
    fn prepare(&mut self, host: usize) {
        let machine = &mut self.machines[host];
        (machine.own, machine.view, machine.could_have_master) = (BTreeMap::new(), Rc::default(), None);
        machine.start += 1;
        let seeds = machine.seeds.clone();
        if machine.is_reference {
            self.prepare_reference(host, &seeds);
        } else {
            let (view, fault) = (machine.view.clone(), self.fault);
            with(&mut self.world, host, |context| {
                context.named_port("in", |_, _| Ok(())).expect("the node is fresh");
                for family in FAMILIES {
                    let view = view.clone();
                    context.db_watch(family, move |_, changes| view.borrow_mut().apply(family, changes, fault));
                }
            });
            seeds.into_iter().for_each(|seed| self.world.dial(host, seed));
        }
        self.set(host);
    }

    fn prepare_reference(&mut self, host: usize, seeds: &[usize]) {
        let NodeConfig { addresses, global, .. } = &self.world.hosts[host].config;
        let addresses = Value::Array(addresses.iter().map(|address| address.as_str().into()).collect());
        let is_global = *global || seeds.contains(&host);
        let id = self.world.id(host);
        let seeds: Vec<_> = seeds.iter().filter(|&&seed| seed != host).map(|&seed| (seed, self.world.id(seed))).collect();
        let mut roles = Roles::new(id.clone(), addresses, &FAMILIES, seeds.iter().map(|(_, id)| id.clone()).collect());
        if is_global {
            roles.become_global();
        }
        let random = &mut self.world.random;
        let mut config = Config { framings: vec![Framing::Json], ..config(id.as_str()) };
        if random.chance(2) {
            config.framings.insert(0, Framing::Cbor);
        }
        config.keys.insert("mproto".into(), "1".into());
        if self.fault != Fault::NoMaster {
            config.keys.insert("gproto".into(), "1".into());
        }
        let mut reference = Reference::new(config, Duration::from_secs(5), seeds, Random(random.next()));
        reference.port("in");
        reference.roles = Some(roles);
        let reference = Rc::new(RefCell::new(reference));
        self.world.hosts[host].outsider = Some(reference.clone());
        self.machines[host].reference = Some(reference.clone());
        self.references.push(reference);
    }

    pub fn runs(&self, host: usize) -> bool {
        self.world.hosts[host].is_running()
    }

    /// The nodes of ours that run.
    pub fn ours(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.world.hosts.iter().enumerate().filter_map(|(host, program)| Some((host, program.node.as_ref()?)))
    }

    pub fn reference(&self, host: usize) -> Option<Rc<RefCell<Reference>>> {
        self.machines[host].reference.clone()
    }

    pub fn host(&self, id: &str) -> usize {
        (0..self.machines.len()).find(|&host| self.world.id(host).as_str() == id).expect("one of the nodes")
    }

    fn start(&mut self, host: usize) {
        if !self.machines[host].is_reference {
            self.world.start(host);
        }
        self.prepare(host);
    }

    fn set(&mut self, host: usize) {
        let random = &mut self.world.random;
        let family = FAMILIES[random.below(2) as usize];
        // Some keys are those of all nodes.
        let key = if random.chance(2) { format!("k{}", random.below(4)) } else { format!("of-{host}-{}", random.below(4)) };
        self.next_value += 1;
        let value = self.next_value;
        match self.reference(host) {
            Some(reference) => reference.borrow_mut().with_roles(|roles| roles.set(family, &key, value.into())),
            None => with(&mut self.world, host, |context| context.db_set(family, &key, &value).map(drop)).expect("allowed"),
        }
        self.history.entry((family, key.clone())).or_default().insert(value);
        self.machines[host].own.insert((family, key), value);
    }

    fn delete(&mut self, host: usize) {
        let place = self.world.random.below(1 + self.machines[host].own.len() as u64) as usize;
        let Some((family, key)) = self.machines[host].own.keys().nth(place).cloned() else { return };
        match self.reference(host) {
            Some(reference) => reference.borrow_mut().with_roles(|roles| roles.delete(family, &key)),
            None => with(&mut self.world, host, |context| context.db_del(family, [&key[..]])),
        }
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
        if let Some(reference) = self.reference(host) {
            return reference.borrow_mut().with_roles(Roles::repeat);
        }
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

    /// Something is sent to any node, which may need a connection, or to one that does not exist.
    fn talk(&mut self, host: usize, to: usize) {
        let mut to = self.world.id(to).port("in");
        let count = 1 + self.world.random.below(6);
        let text = "x".repeat(self.world.random.below(LARGEST as u64 - 100) as usize);
        if let Some(reference) = self.reference(host) {
            return (0..count).for_each(|_| reference.borrow_mut().send(&to, vec![text.as_str().into()]));
        }
        if self.world.random.chance(4) {
            self.next_nobody += 1;
            to = format!("nobody-{}#in", self.next_nobody).parse().expect("a port ID");
        }
        with(&mut self.world, host, |context| {
            (0..count).for_each(|_| context.send(&to, &text).expect("small"));
        });
    }

    /// Makes a port on one host, mostly, and watches it from a node of ours.
    fn watch_mortal(&mut self, from: usize, to: usize) {
        if self.machines[from].is_reference || !self.runs(to) {
            return;
        }
        let (place, now) = (self.mortals.len(), self.world.now);
        let port = self.world.id(to).port(&format!("mortal-{place}"));
        if !self.world.random.chance(8) {
            match self.reference(to) {
                Some(reference) => reference.borrow_mut().port(port.port()),
                None => drop(self.world.node(to).with(now, |context| context.named_port(port.port(), |_, _| Ok(())))),
            }
        }
        let (fired, fault) = (self.fired.clone(), self.fault);
        let watching = with(&mut self.world, from, |context| {
            context.watch(&port, move |_, reasons| {
                let reasons = reasons.values().to_vec();
                let told = match fault {
                    Fault::LostWatch => return,
                    Fault::InventedReason => vec![vec!["why not".into()]],
                    Fault::RepeatedWatch => vec![reasons.clone(), reasons],
                    _ => vec![reasons],
                };
                fired.borrow_mut().entry(place).or_default().extend(told);
            })
        });
        let (from_start, to_start) = (self.machines[from].start, self.machines[to].start);
        let watching = Some(Watching::Node(watching));
        let (fired, given_up, ended) = (Vec::new(), false, false);
        self.mortals.push(Mortal { port, from, from_start, to, to_start, watching, fired, given_up, ended });
    }

    /// Ends a port that is watched, if it is still there.
    pub fn end_mortal(&mut self, place: usize) {
        let Mortal { port, to, to_start, .. } = &self.mortals[place];
        let (port, to) = (port.clone(), *to);
        if !self.runs(to) || self.machines[to].start != *to_start {
            return;
        }
        self.mortals[place].ended = true;
        match self.reference(to) {
            Some(reference) => reference.borrow_mut().end(port.port(), &[OVER.into()]),
            None => with(&mut self.world, to, |context| context.end(&port, Reasons::new([OVER]))),
        }
    }

    /// Everything that may happen to a network in a tenth of a second.
    pub fn misfortune(&mut self) {
        let hosts = self.machines.len() as u64;
        let mut random = Random(self.world.random.next());
        let (a, b) = (random.below(hosts) as usize, random.below(hosts) as usize);
        match random.below(30) {
            0 if self.runs(a) => {
                self.world.crash(a, random.chance(2));
                self.machines[a].reference = None;
            }
            1..=6 if !self.runs(a) => self.start(a),
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
            18 => {
                let b = self.world.id(b);
                if let Some(reference) = self.reference(a) {
                    reference.borrow_mut().send_bad_input(&b);
                }
            }
            _ => {}
        }
    }

    /// Nothing passes between two parts of the network any more.
    pub fn cut_in_two(&mut self) {
        let hosts = self.machines.len();
        let first: Vec<_> = (0..hosts).map(|_| self.world.random.chance(2)).collect();
        for (a, b) in (0..hosts).flat_map(|a| (0..a).map(move |b| (a, b))).filter(|&(a, b)| first[a] != first[b]) {
            self.world.cut.push((a, b));
            for wire in self.world.wires_between(a, b) {
                self.world.wires[wire].dead = [true, true];
            }
        }
    }

    /// What programs do in a tenth of a second.
    pub fn live(&mut self) {
        let hosts = self.machines.len() as u64;
        for _ in 0..3 {
            let (host, other) = (self.world.random.below(hosts) as usize, self.world.random.below(hosts) as usize);
            if !self.runs(host) {
                continue;
            }
            match self.world.random.below(12) {
                0..=2 => self.set(host),
                3 | 4 => self.delete(host),
                5 | 6 if host != other => self.talk(host, other),
                7 if self.machines[host].chatty => self.repeat(host),
                8 | 9 if host != other => self.watch_mortal(host, other),
                10 if !self.mortals.is_empty() => {
                    let place = self.world.random.below(self.mortals.len() as u64) as usize;
                    self.end_mortal(place);
                }
                _ => {}
            }
        }
    }

    /// From now on nothing bad happens. What is dead stays dead, and must be noticed.
    pub fn heal(&mut self) {
        self.world.cut.clear();
        for host in 0..self.machines.len() {
            if !self.runs(host) {
                self.start(host);
            }
        }
        self.world.wires.iter_mut().for_each(|wire| wire.stuck = [false; 2]);
    }

    /// What a node is told when it asks.
    pub fn ask(&mut self, host: usize, family: &str) -> Rc<RefCell<Option<Family>>> {
        let answer = Rc::new(RefCell::new(None));
        let note = answer.clone();
        with(&mut self.world, host, |context| {
            context.db_family(family, move |_, family| *note.borrow_mut() = family.ok());
        });
        answer
    }

    /// The network, for people.
    pub fn picture(&self) -> String {
        let mut lines = String::new();
        for (host, machine) in self.machines.iter().enumerate() {
            let id = self.world.id(host);
            let what = match (&self.world.hosts[host].node, self.reference(host)) {
                (Some(node), _) => format!(
                    "global {} master {:?} up {:?}",
                    node.is_global(),
                    node.master(),
                    node.up_nodes().map(ToString::to_string).collect::<Vec<_>>()
                ),
                (None, Some(reference)) => reference.borrow().picture(),
                (None, None) => "down".into(),
            };
            let Machine { seeds, listens, chatty, .. } = machine;
            lines += &format!("\nhost {host} {id} seeds {seeds:?} listens {listens} chatty {chatty} {what}");
        }
        lines
    }
}
