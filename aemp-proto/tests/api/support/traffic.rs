//! What hosts send to each other and watch, what arrives, and what must hold of that.

use std::collections::{BTreeMap, BTreeSet};

use aemp_proto::actor::MonitorHandle;
use aemp_proto::names::PortId;
use aemp_proto::value::Value;

use super::reference::Manners;

/// A message of the traffic: from which host and start of its program, which run, and which one of the run.
pub type Message = (u64, u64, u64, u64);

/// What goes from one start of a host to one start of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane {
    pub to: usize,
    pub to_start: u64,
    pub from: usize,
    pub from_start: u64,
}

/// Which kinds of hosts are at the ends of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    BetweenNodes,
    ToReference,
    FromReference,
}

/// Something that is done wrong on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    LoseOne(Way),
    RepeatOne(Way),
    SwapTwo(Way),
    ForgetToFire,
    FireTwice,
    /// A watch of a port that ends is lost.
    LoseWatch,
    /// A watch of a port fires twice.
    RepeatWatch,
    /// A watch is given up, and fires all the same.
    KeepWatch,
    /// A watch fires for a reason that nobody gave.
    InventReason,
    /// At a reference that went over to another connection, a run begins again there.
    RunAgain,
    /// A node does not give up the connection on which it has authenticated before another one.
    KeepBoth,
    /// After a time the reference neither dials nor accepts.
    DeafReference,
    /// The hostile peer that should not have the secret has it.
    LeakSecret,
    /// A connection ends without misfortune.
    EndOne,
    /// The nodes keep more for their peers than they should.
    LongQueues,
    /// The nodes let more strangers in than they should.
    ManyHandshakes,
    /// Two ports talk to each other without end.
    Loop,
    /// A port talks to itself without end.
    LoopWithin,
}

/// A message that has arrived.
#[derive(Debug, Clone, Copy)]
pub struct Noted {
    /// At a reference the connection over which it came; from a reference the number of our present watch on it, twice, and
    /// one more if that stands.
    pub part: u64,
    pub run: u64,
    pub number: u64,
}

/// What one host sends to another: the present run, and whether a watch stands.
#[derive(Debug, Default, Clone)]
pub struct Sending {
    pub run: u64,
    pub next: u64,
    pub watched: bool,
    /// How often the watch of each run fired.
    pub fired: BTreeMap<u64, u64>,
    /// The monitor of the present run, at a reference.
    pub monitor: u64,
}

impl Sending {
    /// The watch of the present run has fired.
    pub fn fire(&mut self, fault: Fault) {
        *self.fired.entry(self.run).or_default() += if fault == Fault::FireTwice { 2 } else { 1 };
        self.watched = false;
        if fault != Fault::ForgetToFire {
            self.run += 1;
            self.next = 0;
        }
    }
}

/// How a watch is named where it stands.
#[derive(Debug, Clone)]
pub enum Watching {
    Node(MonitorHandle),
    Reference(u64),
}

/// A port that is watched from another host, and ends some time.
#[derive(Debug)]
pub struct Mortal {
    pub port: PortId,
    pub from: usize,
    pub from_start: u64,
    pub to: usize,
    pub to_start: u64,
    pub watching: Option<Watching>,
    /// Why the watch fired, each time.
    pub fired: Vec<Vec<Value>>,
    /// The watch was given up before it fired.
    pub given_up: bool,
    /// Somebody has ended the port.
    pub ended: bool,
}

/// What a port ends for here.
pub const OVER: &str = "over";

#[derive(Default)]
pub struct Traffic {
    /// The host that the reference runs on.
    pub reference: Option<usize>,
    pub arrived: BTreeMap<Lane, Vec<Noted>>,
    /// By sender, its start, and receiver.
    pub sending: BTreeMap<(usize, u64, usize), Sending>,
    pub mortals: Vec<Mortal>,
}

impl Traffic {
    fn way(&self, lane: &Lane) -> Way {
        match self.reference {
            Some(reference) if reference == lane.to => Way::ToReference,
            Some(reference) if reference == lane.from => Way::FromReference,
            _ => Way::BetweenNodes,
        }
    }

    /// Notes a message that has arrived.
    pub fn note(&mut self, lane: Lane, connection: u64, run: u64, number: u64, fault: Fault) {
        let way = self.way(&lane);
        let part = match way {
            Way::BetweenNodes => 0,
            Way::ToReference => connection,
            Way::FromReference => {
                let watch = self.sending.get(&(lane.to, lane.to_start, lane.from));
                watch.map_or(0, |watch| 2 * watch.run + u64::from(watch.watched))
            }
        };
        let noted = Noted { part, run, number };
        let arrived = self.arrived.entry(lane).or_default();
        if fault == Fault::RunAgain && way == Way::ToReference && (run, number) == (1, 0) {
            arrived.push(Noted { part: u64::MAX, run: 0, number: 0 });
        }
        arrived.push(noted);
        let length = arrived.len();
        match fault {
            Fault::LoseOne(here) if here == way && number == 3 => drop(arrived.pop()),
            Fault::RepeatOne(here) if here == way && number == 3 => arrived.push(noted),
            Fault::SwapTwo(here) if here == way && number == 3 => arrived.swap(length - 1, length - 2),
            _ => {}
        }
    }

    /// How often watches fired.
    pub fn fired(&self) -> u64 {
        self.sending.values().flat_map(|sending| sending.fired.values()).sum()
    }

    /// What must hold at any time. `manners` says how the reference of that start of its host dealt with another host.
    pub fn check(&self, seed: u64, manners: impl Fn(u64, usize) -> Manners) {
        for (lane, arrived) in &self.arrived {
            let way = self.way(lane);
            let manners = match way {
                Way::BetweenNodes => Manners::default(),
                Way::ToReference => manners(lane.to_start, lane.from),
                Way::FromReference => manners(lane.from_start, lane.to),
            };
            let mut last = None;
            for &noted in arrived {
                let follows = match way {
                    Way::BetweenNodes => follows_between_nodes(last, noted),
                    Way::ToReference => follows_at_reference(last, noted, manners),
                    Way::FromReference => follows_from_reference(last, noted, manners),
                };
                assert!(
                    follows,
                    "seed {seed}: not a series of unbroken runs, {lane:?}, {manners:?}, {noted:?} in {arrived:?}"
                );
                last = Some(noted);
            }
            if way == Way::ToReference {
                let parts: BTreeSet<_> = arrived.iter().map(|noted| (noted.run, noted.part)).collect();
                let runs: BTreeSet<_> = parts.iter().map(|(run, _)| run).collect();
                assert_eq!(parts.len(), runs.len(), "seed {seed}: a run came over two connections, {lane:?}: {arrived:?}");
            }
        }
        for (who, sending) in &self.sending {
            let once = sending.fired.values().all(|&times| times == 1);
            assert!(once, "seed {seed}: a watch fired twice: {who:?} {sending:?}");
        }
        for mortal in &self.mortals {
            assert!(mortal.fired.len() <= 1, "seed {seed}: a watch fired twice: {mortal:?}");
            assert!(!mortal.given_up || mortal.fired.is_empty(), "seed {seed}: a watch fired that was given up: {mortal:?}");
            for reasons in &mortal.fired {
                let node = mortal.port.node().as_str();
                let right = match reasons.first() {
                    Some(Value::Text(word)) if word == "transport_error" => reasons.get(1) == Some(&node.into()),
                    Some(Value::Text(word)) if word == "no_such_port" => true,
                    Some(Value::Text(word)) => word == OVER && mortal.ended,
                    _ => false,
                };
                assert!(right, "seed {seed}: a watch fired for no reason: {mortal:?}");
            }
        }
    }

    /// What must hold when everything has healed, every port has ended, and what was sent since has had time to arrive.
    pub fn check_healed(&self, seed: u64, starts: &[u64], manners: impl Fn(u64, usize) -> Manners) {
        for (&(from, from_start, to), sending) in &self.sending {
            if from_start != starts[from] {
                continue;
            }
            let lane = Lane { to, to_start: starts[to], from, from_start };
            let arrived = self.arrived.get(&lane).and_then(|arrived| arrived.last()).map(|noted| (noted.run, noted.number));
            assert_eq!(arrived, Some((sending.run, sending.next - 1)), "seed {seed}: the last run of {lane:?}");
        }
        for mortal in &self.mortals {
            let excused = Some(mortal.from) == self.reference && manners(mortal.from_start, mortal.to).dropped_in_silence;
            if mortal.from_start == starts[mortal.from] && !mortal.given_up && !excused {
                assert_eq!(mortal.fired.len(), 1, "seed {seed}: a watch was lost: {mortal:?}");
            }
        }
    }
}

/// The sender's watch fires between two runs.
fn follows_between_nodes(last: Option<Noted>, this: Noted) -> bool {
    match last {
        // A receiver that was started in the middle of a run hears nothing of that run.
        None => this.number == 0,
        Some(last) => (this.run == last.run && this.number == last.number + 1) || (this.run > last.run && this.number == 0),
    }
}

/// The sender's watch fires when its connection is lost, so each connection carries one run. The reference may take up an
/// older one again.
fn follows_at_reference(last: Option<Noted>, this: Noted, manners: Manners) -> bool {
    match last {
        None => this.number == 0,
        Some(last) if last.part == this.part => this.run == last.run && this.number == last.number + 1,
        Some(last) => this.number == 0 && (this.run > last.run || manners.switched),
    }
}

/// The receiver's watch fires between two runs. The reference does not always tell its own ports of a loss.
fn follows_from_reference(last: Option<Noted>, this: Noted, manners: Manners) -> bool {
    let begins = this.number == 0 || manners.dropped_in_silence;
    let Some(last) = last else { return begins };
    let goes_on = this.run == last.run && this.number == last.number + 1;
    let watched = this.part % 2 == 1;
    if last.part == this.part && watched {
        return goes_on;
    }
    goes_on || (this.run > last.run && begins) || (this.run == last.run && this.number > last.number && begins)
}
