//! Networks that are drawn from a number: latency, cuts, crashes, slow readers, simultaneous connects, with a peer among
//! them that behaves as the Perl reference does, and with one that means harm. What the specification promises in section
//! 7.7 is checked throughout.
//!
//! A failing number replays exactly: `SEED=number cargo test -p aemp-proto --test api simulation`. More numbers than usual:
//! `SEEDS=count`, best with `--release`.

use std::time::Duration;

use crate::support::network::{HANDSHAKES, LARGEST, Network, QUEUE, name};
use crate::support::traffic::{Fault, Way};
use crate::support::world::{Authenticated, Random};

/// How often things happened that the checks are about.
#[derive(Debug, Default, Clone, Copy)]
struct Coverage {
    switched: usize,
    dropped_in_silence: usize,
    refused: usize,
    admitted: usize,
}

impl Network {
    /// Everything that may happen to a network in a tenth of a second.
    fn misfortune(&mut self) {
        let hosts = self.cast.hosts() as u64;
        let mut random = Random(self.world.random.next());
        let (a, b) = (random.below(hosts) as usize, random.below(hosts) as usize);
        let what = random.below(30);
        match what {
            _ if self.cast.calm && !(11..=13).contains(&what) => {}
            0 if self.is_running(a) => self.world.crash(a, random.chance(2)),
            1..=4 if !self.is_running(a) => self.start(a),
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

    /// A tenth of a second of traffic.
    fn traffic(&mut self) {
        let hosts = self.cast.hosts() as u64;
        for _ in 0..2 {
            let (from, to) = (self.world.random.below(hosts) as usize, self.world.random.below(hosts) as usize);
            if from != to {
                let count = 1 + self.world.random.below(8);
                self.send(from, to, count);
            }
        }
        let mut random = Random(self.world.random.next());
        if random.chance(3) {
            self.watch_mortal(random.below(hosts) as usize, random.below(hosts) as usize);
        }
        let mortals = self.traffic.borrow().mortals.len() as u64;
        if mortals > 0 && random.chance(4) {
            self.end_mortal(random.below(mortals) as usize, &mut random);
        }
        self.world.run_for(Duration::from_millis(100));
        self.collect();
        self.check_bounds();
    }

    fn check(&self) {
        self.traffic.borrow().check(self.seed, |start, host| self.manners(start, host));
        self.check_arbiters();
        self.check_bounds();
    }

    /// A node that is the arbiter authenticates on one connection, and on another one after that has failed (`PEER-7`).
    fn check_arbiters(&self) {
        /// Longer than a handshake takes, and shorter than the time in which a connection shows that it lives.
        const MEANWHILE: Duration = Duration::from_millis(500);
        for (host, other) in (0..self.cast.nodes).flat_map(|host| (0..self.cast.hosts()).map(move |other| (host, other))) {
            if !self.is_reference(other) && name(host) >= name(other) {
                continue;
            }
            let all = self.world.authenticated(host, other);
            let keeps = |one: &Authenticated, next: &Authenticated| {
                !one.ended && one.left.is_none_or(|left| left >= next.at) || self.fault == Fault::KeepBoth
            };
            for one in &all {
                let meanwhile =
                    |next: &&Authenticated| next.wire != one.wire && next.at >= one.at && next.at < one.at + MEANWHILE;
                let two = all.iter().filter(meanwhile).find(|next| keeps(one, next));
                assert!(two.is_none(), "seed {}: n{host} authenticates twice to n{other}: {one:?} {two:?}", self.seed);
            }
        }
    }

    /// What a node costs, whatever its peers do.
    fn check_bounds(&self) {
        let seed = self.seed;
        for host in 0..self.cast.nodes {
            let Some(node) = &self.world.hosts[host].node else { continue };
            let up = node.up_nodes().count();
            // All that have no connection share a queue. One packet may lie above each.
            let most = (QUEUE + LARGEST) * (up + 1);
            assert!(node.waiting() <= most, "seed {seed}: {} octets wait at n{host}", node.waiting());
            // It opens one to each seed, and one to each node that it searches.
            let (hosts, [opened, accepted]) = (self.cast.hosts(), self.world.sockets(host));
            assert!(opened <= up + 2 * hosts, "seed {seed}: n{host} has opened {opened} connections");
            assert!(accepted <= up + HANDSHAKES, "seed {seed}: {accepted} accepted connections stand at n{host}");
            for other in node.up_nodes() {
                let known = (0..self.cast.hosts()).any(|honest| name(honest) == *other);
                assert!(known || self.cast.hostile == Some(true), "seed {seed}: n{host} has let {other} in");
            }
        }
        if let (Some(hostile), Some(false)) = (&self.hostile, self.cast.hostile) {
            let hostile = hostile.borrow();
            assert_eq!((hostile.told, hostile.admitted), (0, 0), "seed {seed}: a stranger was told something");
        }
    }

    /// Everything heals: what is dead stays dead, and must be noticed.
    fn heal(&mut self) {
        self.world.cut.clear();
        self.world.frailty = 0;
        for host in 0..self.cast.hosts() {
            if !self.is_running(host) {
                self.start(host);
            }
        }
        self.world.wires.iter_mut().for_each(|wire| wire.stuck = [false; 2]);
        if self.cast.hostile == Some(true) {
            // Any holder of the secret can be any node, and keep it out. It goes, perhaps without a word.
            let silently = self.world.random.chance(2);
            self.world.crash(self.cast.hosts(), silently);
        }
        self.world.run_for(Duration::from_secs(15));
        self.collect();
        if let Some(hostile) = &self.hostile
            && !hostile.borrow().is_siege()
        {
            // While strangers take all places, nobody else gets in.
            hostile.borrow_mut().stop();
        }
        self.world.run_for(Duration::from_secs(10));
        self.collect();
    }

    /// What must hold once everything has healed and been quiet for long enough.
    fn check_healed(&mut self) {
        let (seed, hosts) = (self.seed, self.cast.hosts());
        for host in 0..hosts {
            let up = match self.is_reference(host) {
                true => self.reference().up_nodes().len(),
                false => self.world.node(host).up_nodes().count(),
            };
            assert_eq!(up, hosts - 1, "seed {seed}: n{host} has not found everyone again");
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
        let mortals = self.traffic.borrow().mortals.len();
        for place in 0..mortals {
            let lives = {
                let mortal = &self.traffic.borrow().mortals[place];
                self.starts[mortal.to] == mortal.to_start
            };
            if lives {
                self.end_here(place);
            }
        }
        self.world.run_for(Duration::from_secs(2));
        self.collect();
        self.check();
        self.traffic.borrow().check_healed(seed, &self.starts, |start, host| self.manners(start, host));
        // Then there is nothing to do but to show signs of life.
        if let Some(hostile) = &self.hostile {
            hostile.borrow_mut().stop();
        }
        self.world.run_for(Duration::from_secs(1));
        let before = self.world.carried;
        self.world.run_for(Duration::from_secs(2));
        let carried = self.world.carried - before;
        assert!(carried <= 40 * hosts * hosts, "seed {seed}: {carried} octets were carried while nothing went on");
        for host in 0..self.cast.nodes {
            assert!(!self.world.node(host).has_work(), "seed {seed}: n{host} is busy while nothing goes on");
        }
    }

    fn coverage(&self) -> Coverage {
        let mut coverage = Coverage::default();
        for reference in &self.references {
            for host in 0..self.cast.nodes {
                let manners = reference.borrow().manners(&name(host));
                coverage.switched += usize::from(manners.switched);
                coverage.dropped_in_silence += usize::from(manners.dropped_in_silence);
                coverage.refused += usize::from(manners.refused);
            }
        }
        coverage.admitted += self.hostile.as_ref().map_or(0, |hostile| hostile.borrow().admitted);
        coverage
    }
}

fn simulate(seed: u64, fault: Fault) -> Coverage {
    let mut network = Network::new(seed, fault);
    let cast = network.cast;
    if cast.calm {
        network.world.run_for(Duration::from_secs(8));
        network.collect();
        (0..20).for_each(|_| network.traffic());
    }
    let fired = network.traffic.borrow().fired();
    if let Some(hostile) = &network.hostile {
        hostile.borrow_mut().is_active = true;
    }
    for tenth in 0..100 {
        network.misfortune();
        if cast.calm && tenth % 8 == 0 {
            // Slow, but not for long.
            network.world.wires.iter_mut().for_each(|wire| wire.stuck = [false; 2]);
        }
        match fault {
            Fault::EndOne if tenth == 50 => {
                network.world.wires_between(0, 1).into_iter().for_each(|wire| network.world.break_wire(wire));
            }
            Fault::DeafReference if tenth == 50 && cast.reference => network.reference().is_deaf = true,
            Fault::Loop | Fault::LoopWithin if tenth == 99 && network.is_running(0) => {
                let now = network.world.now;
                network.world.node(0).with(now, |context| context.send(&name(0).port("loop"), &()).expect("small"));
            }
            _ => {}
        }
        network.traffic();
    }
    network.check();
    if cast.calm {
        let after = network.traffic.borrow().fired();
        assert_eq!(after, fired, "seed {seed}: a stranger without the secret has ended a connection");
    }
    network.heal();
    network.check_healed();
    network.coverage()
}

#[test]
fn what_arrives_is_a_series_of_unbroken_runs_and_every_cut_is_noticed() {
    // MSG-7, MON-1, MON-2, MON-7, MON-8, MON-12, PEER-1, PEER-2, PEER-3, PEER-4, PEER-5, PEER-7, PEER-8, PEER-9, PEER-11,
    // AUTH-4, SEC-5
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    if let Some(seed) = number("SEED") {
        simulate(seed, Fault::None);
        return;
    }
    let mut coverage = Coverage::default();
    for seed in 0..number("SEEDS").unwrap_or(1600) {
        let here = simulate(seed, Fault::None);
        coverage.switched += here.switched;
        coverage.dropped_in_silence += here.dropped_in_silence;
        coverage.refused += here.refused;
        coverage.admitted += here.admitted;
    }
    let Coverage { switched, dropped_in_silence, refused, admitted } = coverage;
    assert!([switched, dropped_in_silence, refused, admitted].iter().all(|&times| times > 0), "{coverage:?}");
    println!("{coverage:?}");
}

#[test]
fn each_check_finds_the_fault_that_it_is_for() {
    let runs = "not a series of unbroken runs";
    let tampering = [Way::BetweenNodes, Way::ToReference, Way::FromReference]
        .map(|way| [Fault::LoseOne(way), Fault::RepeatOne(way), Fault::SwapTwo(way)].map(|fault| (fault, runs)));
    let others = [
        (Fault::ForgetToFire, runs),
        (Fault::FireTwice, "a watch fired twice"),
        (Fault::LoseWatch, "a watch was lost"),
        (Fault::RepeatWatch, "a watch fired twice"),
        (Fault::KeepWatch, "a watch fired that was given up"),
        (Fault::DeafReference, "has not found everyone again"),
        (Fault::LeakSecret, "has let"),
        (Fault::LeakSecret, "a stranger was told something"),
        (Fault::EndOne, "a stranger without the secret has ended a connection"),
        (Fault::InventReason, "a watch fired for no reason"),
        (Fault::RunAgain, "a run came over two connections"),
        (Fault::KeepBoth, "authenticates twice"),
        (Fault::LongQueues, "octets wait"),
        (Fault::ManyHandshakes, "connections stand"),
        (Fault::Loop, "while nothing went on"),
        (Fault::LoopWithin, "is busy while nothing goes on"),
    ];
    for (fault, what) in tampering.into_iter().flatten().chain(others) {
        let finds = |seed| {
            let Err(said) = std::panic::catch_unwind(|| simulate(seed, fault)) else { return false };
            said.downcast_ref::<String>().is_some_and(|said| said.contains(what))
        };
        assert!((0..400).any(finds), "{fault:?} went unnoticed");
    }
}
