//! What is promised of the nodes of ours in a community: at any time, and once all has healed and been quiet for a while.
//!
//! Where some nodes behave as the reference does, these promises hold for our nodes all the same, at any time:
//!
//! - their tables and queues stay within bounds, and no two of them have two connections;
//! - a watch on a port, of any node, fires once at most, and for a reason that somebody gave;
//! - a view has only values that somebody has set under that key, and each change fits it;
//! - none is without a master that could have had one for some time.
//!
//! And once all has healed:
//!
//! - each watch on a port that has ended, or was lost, has fired;
//! - every two globals of which one knows the other have a connection; each reaches every other node that listens and that
//!   it knows;
//! - of the keys that only one node sets, each sees what [`Promise`] says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::actor::{Node, Tables};
use aemp_proto::global::Family;
use aemp_proto::value::Value;

use super::community::{Community, FAMILIES, Fault, HANDSHAKES, LARGEST, LOST, QUEUE, SEARCHED};
use super::ports::{heard, log, noting, noting_reasons, with};
use super::reference::Reference;
use super::traffic::OVER;

/// What a node of ours sees of the keys that one other node sets alone. That node's *home* is the global that has its
/// entries: itself, or its master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Promise {
    /// All of them, with their values, and no others. Not if any reference holds to a connection of that node that is gone,
    /// or is deaf on it: that one goes on telling what was. Nor if our node's master is a reference to which that has
    /// happened with any node. And of the setting node, its home and our node's master one is a reference at most, since two
    /// may be deaf to each other.
    All,
    /// Some of them, with their values: those of a reference that has lost its master, or a connection to it, without
    /// noticing.
    Some,
    /// Only what that node has set some time.
    Nothing,
}

/// A table, and how much of it there may be.
type Bound = (&'static str, fn(&mut Tables) -> &mut usize, usize);

/// How many tables have a bound.
pub const TABLES: usize = 23;

impl Community {
    /// The most that a node of ours holds: what its configuration allows, and else what there is in the network.
    fn bounds(&self, host: usize, tables: &Tables) -> [Bound; TABLES] {
        let (hosts, up) = (self.machines.len(), tables.up);
        let own: usize = 2 * (4 + 4);
        // What each node may set: shared keys and its own, and its address; and each global lists all globals and mirrors
        // them.
        let part = FAMILIES.len() * (4 + 4 * hosts) + 2 * hosts;
        let watches = self.mortals.iter().filter(|mortal| mortal.from == host).count();
        let watched = self.mortals.iter().filter(|mortal| mortal.to == host).count();
        // Globals are searched also if that is more.
        let searches = SEARCHED + tables.kept;
        [
            // Places of nodes that do not exist are taken again.
            ("peers", |tables| &mut tables.peers, 2 * hosts + 16),
            ("up", |tables| &mut tables.up, hosts - 1),
            ("connecting", |tables| &mut tables.connecting, hosts + SEARCHED),
            ("connections", |tables| &mut tables.connections, up + tables.handshakes),
            ("handshakes", |tables| &mut tables.handshakes, HANDSHAKES + tables.dials + self.machines[host].seeds.len()),
            // All that have no connection share a queue; the part of the database that is sent first does not count.
            ("waiting", |tables| &mut tables.waiting, (QUEUE + LARGEST) * (up + 1) + 40 * part * up),
            ("searches", |tables| &mut tables.searches, searches),
            // Where nobody answers, a dialling lasts as long as the cut, and another one begins every two seconds.
            ("dials", |tables| &mut tables.dials, 10 * hosts),
            ("kept", |tables| &mut tables.kept, hosts - 1),
            ("watched", |tables| &mut tables.watched, watched + 4),
            ("watches", |tables| &mut tables.watches, watches + 4),
            ("ports", |tables| &mut tables.ports, 1 + watched + 4),
            ("timers", |tables| &mut tables.timers, 0),
            // What has come since it ran last.
            ("steps", |tables| &mut tables.steps, 8 * (watches + hosts)),
            // The world takes these at once.
            ("events", |tables| &mut tables.events, 0),
            // As often as the world has written a part of what there was.
            ("actions", |tables| &mut tables.actions, 100 * tables.connections),
            ("outputs", |tables| &mut tables.global.outputs, 0),
            // Nothing stays of a node that has gone.
            ("shards", |tables| &mut tables.global.shards, up + 1),
            ("entries", |tables| &mut tables.global.entries, own + part * (up + 1)),
            ("watchers", |tables| &mut tables.global.watchers, FAMILIES.len() * up),
            ("viewed", |tables| &mut tables.global.viewed, 2 * part),
            ("questions", |tables| &mut tables.global.questions, FAMILIES.len() + 4),
            ("lost", |tables| &mut tables.global.lost, LOST),
        ]
    }

    fn check_tables(&mut self) {
        let all: Vec<_> = self.ours().map(|(host, node)| (host, node.tables())).collect();
        for (host, mut tables) in all {
            let (seed, global) = (self.seed, tables.global);
            assert!(global.peers == tables.up && global.told <= tables.up, "seed {seed}: host {host}: {tables:?}");
            assert!(global.searched <= tables.searches, "seed {seed}: host {host} asks for nodes that nobody searches");
            assert!(global.views <= FAMILIES.len() && global.seeds <= tables.up, "seed {seed}: host {host}: {tables:?}");
            for (place, (name, table, bound)) in self.bounds(host, &tables).into_iter().enumerate() {
                let held = table(&mut tables);
                let most = table(&mut self.most);
                *most = (*most).max(*held);
                *held += if self.fault == Fault::Overfull(place) { 1_000_000 } else { 0 };
                assert!(*held <= bound, "seed {seed}: host {host} holds {held} of {name}, and not {bound} at most");
            }
        }
    }

    /// What must hold at any time.
    pub fn check(&mut self) {
        self.check_tables();
        self.check_masters();
        let seed = self.seed;
        let ours: Vec<_> = self.ours().map(|(host, _)| host).collect();
        for (place, &host) in ours.iter().enumerate() {
            let view = self.machines[host].view.borrow();
            assert!(view.wrong.is_empty(), "seed {seed}: a watch of host {host}: {:?}", view.wrong);
            for &other in &ours[..place] {
                let count = self.world.established(host, other);
                assert!(count <= 1, "seed {seed}: hosts {other} and {host} have {count} connections: PEER-5");
            }
        }
        for (&place, fired) in self.fired.borrow().iter() {
            let mortal = &self.mortals[place];
            assert!(fired.len() == 1, "seed {seed}: a watch fired more than once: {mortal:?} {fired:?}");
            let node = mortal.port.node().as_str();
            let right = match fired[0].first().and_then(Value::text).as_deref() {
                Some("transport_error") => fired[0].get(1) == Some(&node.into()),
                Some("no_such_port") => true,
                word => word == Some(OVER) && mortal.ended,
            };
            assert!(right, "seed {seed}: a watch fired for no reason: {mortal:?} {fired:?}");
        }
    }

    /// What must hold at any time too, and takes longer to look at.
    pub fn check_values(&self) {
        for (host, _) in self.ours() {
            for (family, entries) in &self.machines[host].view.borrow().families {
                self.check_history(host, family, entries);
            }
        }
    }

    fn check_history(&self, host: usize, family: &'static str, entries: &Family) {
        for (key, value) in entries {
            let set = self.history.get(&(family, key.clone()));
            let known = set.is_some_and(|set| set.iter().any(|known| *value == Value::from(*known)));
            assert!(known, "seed {}: host {host} sees {key} as {value:?}, which nobody has set", self.seed);
        }
    }

    /// Whoever has had a connection to one of its seeds for a while has a master.
    fn check_masters(&mut self) {
        /// A node that is up by another connection turns out to be a seed node when its address is dialled.
        const WHILE: Duration = Duration::from_secs(8);
        for host in 0..self.machines.len() {
            let Some(node) = &self.world.hosts[host].node else { continue };
            let up: Vec<_> = node.up_nodes().map(ToString::to_string).collect();
            let seeds = self.machines[host].seeds.iter().copied().filter(|&seed| seed != host);
            let reached = seeds.filter(|&seed| up.contains(&self.world.id(seed).to_string()));
            let could = reached.filter(|&seed| !self.world.is_cut(host, seed)).count() > 0;
            if !could || node.is_global() || node.master().is_some() {
                self.machines[host].could_have_master = None;
                continue;
            }
            let since = *self.machines[host].could_have_master.get_or_insert(self.world.now);
            let what = "could have a master, and has none";
            assert!(self.world.now - since < WHILE, "seed {}: host {host} {what}{}", self.seed, self.picture());
        }
    }

    // --- when all has healed ---

    /// What must hold once everything has healed and been quiet for long enough.
    pub fn check_healed(&mut self) {
        self.check();
        let (seed, hosts) = (self.seed, self.machines.len());
        let is_mixed = self.machines.iter().any(|machine| machine.is_reference);
        let wires = self.world.wires.len();
        self.world.run_for(Duration::from_secs(5));
        for wire in wires..self.world.wires.len() {
            let opener = self.world.opener(wire);
            let still = "somebody is still dialled";
            assert!(self.machines[opener].is_reference, "seed {seed}: {still} by host {opener}{}", self.picture());
        }
        for (host, node) in self.ours() {
            assert!(node.is_global() || node.master().is_some(), "seed {seed}: host {host} has no master");
        }
        self.check_watches();
        match is_mixed {
            true => self.check_mixed(),
            false => self.check_database(),
        }
        for host in 0..hosts {
            for other in (0..host).filter(|&other| ![host, other].iter().any(|&host| self.machines[host].is_reference)) {
                assert!(self.world.wires_between(host, other).len() <= 1, "seed {seed}: hosts {other} and {host}: PEER-5");
            }
        }
        self.check_reach();
        self.check();
    }

    /// Every port that is watched ends, and every watch fires.
    fn check_watches(&mut self) {
        (0..self.mortals.len()).for_each(|place| self.end_mortal(place));
        self.world.run_for(Duration::from_secs(3));
        self.check();
        for (place, mortal) in self.mortals.iter().enumerate() {
            let lives = self.machines[mortal.from].start == mortal.from_start;
            let fired = self.fired.borrow().contains_key(&place);
            assert!(fired || !lives, "seed {}: a watch was lost: {mortal:?}{}", self.seed, self.picture());
        }
    }

    /// Where all are ours: the value of each key, by section 8.5, from who is global and who has which master.
    fn expected(&self) -> BTreeMap<&'static str, Family> {
        let mut winners: BTreeMap<(&str, &str), (_, u64)> = BTreeMap::new();
        for (host, node) in self.ours() {
            // The lowest global first, and there the lowest slave, and at last its own.
            let id = self.world.id(host);
            let rank = if node.is_global() { (id, None) } else { (node.master().expect("a master").clone(), Some(id)) };
            let rank = (rank.0, rank.1.is_none(), rank.1);
            for ((family, key), value) in &self.machines[host].own {
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

    /// What each node is told of a family when it asks, by node.
    fn answers(&mut self, family: &str) -> BTreeMap<usize, Option<Family>> {
        let hosts: Vec<_> = self.ours().map(|(host, _)| host).collect();
        let answers: Vec<_> = hosts.into_iter().map(|host| (host, self.ask(host, family))).collect();
        self.world.run_for(Duration::from_millis(400));
        answers.into_iter().map(|(host, answer): (usize, Rc<RefCell<Option<Family>>>)| (host, answer.take())).collect()
    }

    fn check_database(&mut self) {
        let seed = self.seed;
        let expected = self.expected();
        let globals: Family = self
            .ours()
            .filter(|(_, node)| node.is_global())
            .map(|(host, _)| (self.world.id(host).to_string(), Value::Null))
            .collect();
        let addresses: Family =
            self.ours().map(|(host, _)| (self.world.id(host).to_string(), self.addresses(host))).collect();
        for (family, right) in expected.clone().into_iter().chain([("'g", globals), ("'l", addresses)]) {
            for (host, answer) in self.answers(family) {
                assert_eq!(answer.as_ref(), Some(&right), "seed {seed}: {family} of host {host}{}", self.picture());
            }
        }
        for (host, machine) in self.machines.iter().enumerate() {
            assert_eq!(machine.view.borrow().families, expected, "seed {seed}: the view of host {host}: DB-20, DB-21");
        }
    }

    fn addresses(&self, host: usize) -> Value {
        let addresses = &self.world.hosts[host].config.addresses;
        Value::Array(addresses.iter().map(|address| address.as_str().into()).collect())
    }

    /// The global that has what a node sets: itself, or its master. A reference may have none that knows.
    fn home(&self, host: usize) -> Option<usize> {
        match (&self.world.hosts[host].node, self.reference(host)) {
            (Some(node), _) if node.is_global() => Some(host),
            (Some(node), _) => Some(self.host(node.master()?.as_str())),
            (None, Some(reference)) => {
                let reference = reference.borrow();
                let roles = reference.roles.as_ref().filter(|roles| !roles.is_global());
                roles.map_or(Some(host), |roles| Some(self.host(roles.registered_at()?.as_str())))
            }
            (None, None) => None,
        }
    }

    /// Whether two nodes have a connection, as far as each of ours knows.
    fn are_connected(&self, a: usize, b: usize) -> bool {
        let has = |host: usize, other: usize| match (&self.world.hosts[host].node, self.reference(host)) {
            (Some(node), _) => node.up_nodes().any(|up| *up == self.world.id(other)),
            (None, Some(reference)) => reference.borrow().up_nodes().contains(&self.world.id(other)),
            (None, None) => false,
        };
        a == b || (has(a, b) && has(b, a))
    }

    /// Whether some reference holds to a connection of a node that is gone, or is deaf on it.
    fn is_misjudged(&self, host: usize) -> bool {
        let id = self.world.id(host);
        let says_again = |other: usize| self.home(host) == Some(host) && self.are_connected(host, other);
        (0..self.machines.len()).filter(|&other| other != host).any(|other| {
            self.reference(other).is_some_and(|reference| {
                let reference = reference.borrow();
                reference.is_deaf_to(&id) || (reference.manners(&id).dropped_in_silence && !says_again(other))
            })
        })
    }

    fn promise(&self, viewer: usize, owner: usize) -> Promise {
        let is_ours = |host: usize| !self.machines[host].is_reference;
        let Some(source) = self.home(viewer).filter(|_| !self.is_misjudged(owner)) else { return Promise::Nothing };
        let Some(home) = self.home(owner) else {
            let owner =
                self.reference(owner).map(|owner| owner.borrow().roles.as_ref().and_then(|roles| roles.master().cloned()));
            let has_told_ours = owner.flatten().is_none_or(|master| is_ours(self.host(master.as_str())));
            return if is_ours(source) && has_told_ours { Promise::Some } else { Promise::Nothing };
        };
        // A master that has missed something of any node may have it from that one.
        let has_missed = |reference: &Reference| reference.deaf() > 0 || reference.has_dropped_in_silence();
        if self.reference(source).is_some_and(|source| has_missed(&source.borrow())) {
            return Promise::Nothing;
        }
        let stand_between = [owner, home, source].into_iter().filter(|&host| !is_ours(host)).collect::<BTreeSet<_>>();
        match self.are_connected(source, home) && stand_between.len() <= 1 {
            true => Promise::All,
            false => Promise::Nothing,
        }
    }

    /// Where some are references: what each of ours sees of the keys that one node sets alone, whom it knows, and whom it
    /// reaches.
    fn check_mixed(&mut self) {
        let seed = self.seed;
        let globals = self.answers("'g");
        for (&host, known) in &globals {
            let Some(known) = known else { panic!("seed {seed}: host {host} got no answer{}", self.picture()) };
            let is_global = |host: usize| self.world.hosts[host].node.as_ref().is_some_and(|node| node.is_global());
            for other in known.keys().map(|id| self.host(id)).filter(|&other| is_global(other) && is_global(host)) {
                let connected = self.are_connected(host, other);
                assert!(connected, "seed {seed}: {host} knows {other}: GLOBAL-18{}", self.picture());
            }
        }
        for family in FAMILIES {
            for (host, answer) in self.answers(family) {
                let Some(answer) = answer else { panic!("seed {seed}: host {host} got no answer{}", self.picture()) };
                self.check_history(host, family, &answer);
                let view = self.machines[host].view.borrow().families.get(family).cloned().unwrap_or_default();
                assert_eq!(view, answer, "seed {seed}: the view of host {host}: DB-20, DB-21");
                (0..self.machines.len()).for_each(|owner| self.check_promise(host, owner, family, &answer));
            }
        }
        for (host, answer) in self.answers("'l") {
            let answer = answer.unwrap_or_default();
            let whole = |owner: &usize| self.promise(host, *owner) == Promise::All;
            for owner in (0..self.machines.len()).filter(whole) {
                let found = answer.get(self.world.id(owner).as_str());
                let right = self.addresses(owner);
                assert_eq!(found, Some(&right), "seed {seed}: host {host} on the address of {owner}{}", self.picture());
            }
        }
    }

    fn check_promise(&self, host: usize, owner: usize, family: &'static str, answer: &Family) {
        let prefix = format!("of-{owner}-");
        let own = self.machines[owner].own.iter().filter(|((other, key), _)| *other == family && key.starts_with(&prefix));
        let own: Family = own.map(|((_, key), value)| (key.clone(), (*value).into())).collect();
        let seen: Family = answer
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let promise = self.promise(host, owner);
        let within = |part: &Family, whole: &Family| part.iter().all(|(key, value)| whole.get(key) == Some(value));
        let kept = match promise {
            Promise::All => seen == own,
            Promise::Some => within(&seen, &own),
            Promise::Nothing => true,
        };
        assert!(
            kept,
            "seed {}: host {host} sees of {family} of host {owner} {seen:?}, and not {own:?} ({promise:?}){}",
            self.seed,
            self.picture()
        );
        self.promised.borrow_mut()[promise as usize] += 1;
    }

    /// Every node reaches every other by its name, if one of the two listens, and the one knows the other.
    fn check_reach(&mut self) {
        let hosts = self.machines.len() as u64;
        let mut talks = Vec::new();
        for _ in 0..SEARCHED {
            let (from, to) = (self.world.random.below(hosts) as usize, self.world.random.below(hosts) as usize);
            if [from, to].iter().any(|&host| self.machines[host].is_reference) {
                continue;
            }
            let is_up =
                self.world.hosts[from].node.as_ref().is_some_and(|node| node.up_nodes().any(|up| *up == self.world.id(to)));
            // Who cannot be dialled is reached when it has come by itself.
            let can = is_up || (self.machines[to].listens && self.promise(from, to) == Promise::All);
            if from == to || !can {
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
