//! Networks that are drawn from a number: latency, cuts, crashes, slow readers, simultaneous connects. What the specification promises
//! in section 7.7 is checked throughout.
//!
//! A failing number replays exactly: `SEED=number cargo test -p aemp-proto --test simulation`. More numbers than the usual two thousand:
//! `SEEDS=count`, best with `--release`.

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::names::PortId;
use aemp_proto::node::{Context, NodeConfig};
use support::world::{Random, World, node_config};

/// A message of the traffic: from which host and start of its node, which run, and which one of the run.
type Message = (u64, u64, u64, u64);

/// Something that is done wrong on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LoseOne,
    RepeatOne,
    SwapTwo,
    ForgetToFire,
    FireTwice,
}

/// What one host sends to another: the present run, and whether a watch stands.
#[derive(Debug, Default, Clone)]
struct Sending {
    run: u64,
    next: u64,
    watched: bool,
    /// How often the watch of each run fired.
    fired: BTreeMap<u64, u64>,
}

/// The runs and numbers of messages, in order.
type Arrived = Vec<(u64, u64)>;

#[derive(Default)]
struct Record {
    /// By the start of the receiving node and of the sending one: what arrived.
    arrived: BTreeMap<(usize, u64, u64, u64), Arrived>,
    /// By sender, its start, and receiver.
    sending: BTreeMap<(usize, u64, usize), Sending>,
}

struct Simulation {
    world: World,
    record: Rc<RefCell<Record>>,
    /// How often the node of each host was started.
    starts: Vec<u64>,
    fault: Fault,
}

fn port_of(host: usize) -> PortId {
    format!("n{host}#in").parse().expect("a port ID")
}

impl Simulation {
    fn new(seed: u64, hosts: usize, fault: Fault) -> Self {
        let mut world = World::new(seed);
        world.latency = Duration::from_millis(world.random.below(60));
        let mut simulation = Simulation { world, record: Rc::default(), starts: vec![0; hosts], fault };
        for host in 0..hosts {
            let mut config = NodeConfig {
                queue: 20_000,
                quiet: Duration::from_secs(2),
                silence: Duration::from_secs(6),
                backoff: Duration::from_secs(2),
                ..node_config(&format!("n{host}"))
            };
            config.link.handshake_timeout = Duration::from_secs(5);
            simulation.world.add(config);
            simulation.prepare(host);
        }
        simulation
    }

    /// Gives a fresh node its port, and its seeds: everyone else.
    fn prepare(&mut self, host: usize) {
        self.starts[host] += 1;
        let (start, record, fault) = (self.starts[host], self.record.clone(), self.fault);
        let now = self.world.now;
        self.world.node(host).with(now, |context| {
            let handler = move |_: &mut Context<'_>, elements: aemp_proto::framing::Elements<'_>| {
                let ((sender, sender_start, run, number), _): (Message, serde::de::IgnoredAny) = elements.rest()?;
                let mut record = record.borrow_mut();
                let arrived = record.arrived.entry((host, start, sender, sender_start)).or_default();
                arrived.push((run, number));
                let length = arrived.len();
                match fault {
                    Fault::LoseOne if length == 7 => drop(arrived.pop()),
                    Fault::RepeatOne if length == 7 => arrived.push((run, number)),
                    Fault::SwapTwo if length == 7 => arrived.swap(5, 6),
                    _ => {}
                }
                Ok(())
            };
            context.named_port("in", handler).expect("the node is fresh");
        });
        for other in (0..self.starts.len()).filter(|&other| other != host) {
            self.world.dial(host, other);
        }
    }

    /// Sends some messages, with a watch standing before the first one of a run.
    fn send(&mut self, from: usize, to: usize, count: u64) {
        if self.world.hosts[from].node.is_none() {
            return;
        }
        let start = self.starts[from];
        let key = (from, start, to);
        let (record, fault, now) = (self.record.clone(), self.fault, self.world.now);
        let padding = "x".repeat(self.world.random.below(400) as usize);
        self.world.node(from).with(now, |context| {
            let mut sending = record.borrow_mut().sending.entry(key).or_default().clone();
            if !sending.watched {
                sending.watched = true;
                let (record, run) = (record.clone(), sending.run);
                context.watch(&port_of(to), move |_, _| {
                    let mut record = record.borrow_mut();
                    let sending = record.sending.get_mut(&key).expect("it was sent before");
                    *sending.fired.entry(run).or_default() += if fault == Fault::FireTwice { 2 } else { 1 };
                    sending.watched = false;
                    if fault != Fault::ForgetToFire {
                        sending.run += 1;
                        sending.next = 0;
                    }
                });
            }
            for _ in 0..count {
                let message: Message = (from as u64, start, sending.run, sending.next);
                context.send(&port_of(to), &(message, &padding)).expect("it is small");
                sending.next += 1;
            }
            record.borrow_mut().sending.insert(key, sending);
        });
    }

    /// Everything that may happen to a network in a tenth of a second.
    fn misfortune(&mut self) {
        let hosts = self.starts.len() as u64;
        let mut random = Random(self.world.random.next());
        let (a, b) = (random.below(hosts) as usize, random.below(hosts) as usize);
        match random.below(30) {
            0 if self.world.hosts[a].node.is_some() => self.world.crash(a, random.chance(2)),
            1..=4 if self.world.hosts[a].node.is_none() => {
                self.world.start(a);
                self.prepare(a);
            }
            5 if a != b => self.world.cut.push((a, b)),
            6..=8 => {
                self.world.cut.pop();
            }
            9 | 10 => {
                for wire in self.world.wires_between(a, b) {
                    // From now on nothing arrives at one end, or at both, and nobody says so.
                    let wire = &mut self.world.wires[wire];
                    wire.dead[0] |= random.chance(2);
                    wire.dead[1] |= random.chance(2);
                }
            }
            11..=13 => {
                for wire in self.world.wires_between(a, b) {
                    self.world.wires[wire].stuck = [random.chance(2), random.chance(2)];
                }
            }
            _ => {}
        }
    }

    /// What must hold at any time.
    fn check(&self, seed: u64) {
        let record = self.record.borrow();
        for ((host, start, sender, sender_start), arrived) in &record.arrived {
            let about = || format!("seed {seed}: n{sender} ({sender_start}) to n{host} ({start}): {arrived:?}");
            let mut last = None;
            for &(run, number) in arrived {
                let follows = match last {
                    // A receiver that was started in the middle of a run hears nothing of that run.
                    None => number == 0,
                    Some((last_run, last_number)) => {
                        (run == last_run && number == last_number + 1) || (run > last_run && number == 0)
                    }
                };
                assert!(follows, "not a series of unbroken runs, {}", about());
                last = Some((run, number));
            }
        }
        for (who, sending) in &record.sending {
            assert!(
                sending.fired.values().all(|&times| times == 1),
                "seed {seed}: a watch fired twice: {who:?} {sending:?}"
            );
        }
        for (host, state) in self.world.hosts.iter().enumerate() {
            let Some(node) = &state.node else { continue };
            assert!(
                node.waiting() <= 2 * 20_000 * self.starts.len(),
                "seed {seed}: n{host} holds {} octets",
                node.waiting()
            );
            for other in 0..self.starts.len() {
                let up = node.up_nodes().filter(|id| **id == self.world.id(other)).count();
                assert!(up <= 1, "seed {seed}: n{host} has {up} connections to n{other}");
            }
        }
    }

    /// What must hold once everything has healed and been quiet for long enough.
    fn check_healed(&mut self, seed: u64) {
        let hosts = self.starts.len();
        for host in 0..hosts {
            assert_eq!(
                self.world.node(host).up_nodes().count(),
                hosts - 1,
                "seed {seed}: n{host} has not found everyone again"
            );
        }
        for a in 0..hosts {
            for b in 0..a {
                assert_eq!(self.world.wires_between(a, b).len(), 1, "seed {seed}: n{a} and n{b}");
            }
        }
        // In the last run nothing is lost.
        for from in 0..hosts {
            for to in (0..hosts).filter(|&to| to != from) {
                self.send(from, to, 3);
            }
        }
        self.world.run_for(Duration::from_secs(2));
        self.check(seed);
        let record = self.record.borrow();
        for (&(from, start, to), sending) in &record.sending {
            if start != self.starts[from] {
                continue;
            }
            let arrived = record.arrived.get(&(to, self.starts[to], from as u64, start)).and_then(|arrived| arrived.last());
            assert_eq!(arrived, Some(&(sending.run, sending.next - 1)), "seed {seed}: n{from} to n{to}: the last run");
        }
    }
}

fn simulate(seed: u64, fault: Fault) {
    let hosts = 2 + seed as usize % 3;
    let mut simulation = Simulation::new(seed, hosts, fault);
    for _ in 0..100 {
        simulation.misfortune();
        for _ in 0..2 {
            let (from, to) =
                (simulation.world.random.below(hosts as u64) as usize, simulation.world.random.below(hosts as u64) as usize);
            if from != to {
                let count = 1 + simulation.world.random.below(8);
                simulation.send(from, to, count);
            }
        }
        simulation.world.run_for(Duration::from_millis(100));
    }
    simulation.check(seed);
    // Now everything heals: what is dead stays dead, and must be noticed.
    simulation.world.cut.clear();
    for host in 0..hosts {
        if simulation.world.hosts[host].node.is_none() {
            simulation.world.start(host);
            simulation.prepare(host);
        }
    }
    simulation.world.wires.iter_mut().for_each(|wire| wire.stuck = [false; 2]);
    simulation.world.run_for(Duration::from_secs(25));
    simulation.check_healed(seed);
}

#[test]
fn what_arrives_is_a_series_of_unbroken_runs_and_every_cut_is_noticed() {
    // MSG-7, MON-7, MON-8, PEER-1 to PEER-10: PEER-1, PEER-2, PEER-3, PEER-4, PEER-5, PEER-8, PEER-9, PEER-11
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    if let Some(seed) = number("SEED") {
        return simulate(seed, Fault::None);
    }
    for seed in 0..number("SEEDS").unwrap_or(2000) {
        simulate(seed, Fault::None);
    }
}

#[test]
fn each_check_finds_the_fault_that_it_is_for() {
    let finds = |fault| (0..20).any(|seed| std::panic::catch_unwind(|| simulate(seed, fault)).is_err());
    for fault in [Fault::LoseOne, Fault::RepeatOne, Fault::SwapTwo, Fault::ForgetToFire, Fault::FireTwice] {
        assert!(finds(fault), "{fault:?} went unnoticed");
    }
}
