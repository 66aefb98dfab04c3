//! A network of the simulation: what it is made of, and what its hosts do.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;
use std::time::Duration;

use aemp_proto::actor::{Access, Context, NodeConfig, Reasons};
use aemp_proto::framing::{Elements, Framing};
use aemp_proto::link::Config;
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;

use super::hostile::{Hostile, Means};
use super::pair::config;
use super::reference::{Manners, Reference};
use super::traffic::{Fault, Lane, Message, Mortal, OVER, Traffic, Watching};
use super::world::{Random, World, node_config, turn_budget};

/// Octets that may wait for one peer, and for all that have no connection together.
pub const QUEUE: usize = 20_000;
/// No packet that is sent here is larger.
pub const LARGEST: usize = 8_000;
/// Handshakes that a node has under way at most before it lets nobody in.
pub const HANDSHAKES: usize = 10;
/// Stops handshakes, and bounds the time between two tries to connect.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What a network is made of.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    pub nodes: usize,
    /// One more host behaves as the reference does.
    pub reference: bool,
    /// There is a hostile peer, and whether it has the secret.
    pub hostile: Option<bool>,
    /// Nothing happens to the network; only readers are slow.
    pub calm: bool,
}

impl Cast {
    pub fn of(seed: u64) -> Self {
        let nodes = 2 + seed as usize % 3;
        let (hostile, reference, calm) = match seed / 3 % 8 {
            0 => (None, false, false),
            1 | 2 => (None, true, false),
            3 => (Some(true), false, false),
            4 => (Some(true), true, false),
            5 => (Some(false), true, false),
            6 => (Some(false), false, true),
            _ => (Some(false), true, true),
        };
        Cast { nodes, reference, hostile, calm }
    }

    /// All hosts but the hostile one.
    pub fn hosts(self) -> usize {
        self.nodes + usize::from(self.reference)
    }
}

pub struct Network {
    pub seed: u64,
    pub cast: Cast,
    pub fault: Fault,
    pub world: World,
    pub traffic: Rc<RefCell<Traffic>>,
    /// How often the program of each host was started.
    pub starts: Vec<u64>,
    /// Each start of the reference.
    pub references: Vec<Rc<RefCell<Reference>>>,
    pub hostile: Option<Rc<RefCell<Hostile>>>,
    /// The name of the port that each host has. Who has the secret may end any port whose name it knows.
    pub inbox: String,
}

pub fn name(host: usize) -> NodeId {
    NodeId::new(&format!("n{host}")).expect("a node ID")
}

/// What one start of a node of ours sends to another host.
#[derive(Clone)]
struct Speaker {
    traffic: Rc<RefCell<Traffic>>,
    /// The sender, its start, and the receiver.
    key: (usize, u64, usize),
    target: PortId,
    padding: String,
    fault: Fault,
}

impl Speaker {
    /// Sends the next messages of the present run, and watches the receiver. Every other time that the watch fires, the next
    /// run begins at once.
    fn send(&self, context: &mut Context<'_>, count: u64) {
        let mut traffic = self.traffic.borrow_mut();
        let sending = traffic.sending.entry(self.key).or_default();
        if !std::mem::replace(&mut sending.watched, true) {
            let again = self.clone();
            context.watch(&self.target, move |context, _| {
                let run = {
                    let mut traffic = again.traffic.borrow_mut();
                    let sending = traffic.sending.get_mut(&again.key).expect("it was sent before");
                    sending.fire(again.fault);
                    sending.run
                };
                if run % 2 == 1 {
                    again.send(context, 2);
                }
            });
        }
        for _ in 0..count {
            let message: Message = (self.key.0 as u64, self.key.1, sending.run, sending.next);
            context.send(&self.target, &(message, &self.padding)).expect("it is small");
            sending.next += 1;
        }
    }
}

impl Network {
    pub fn new(seed: u64, fault: Fault) -> Self {
        let cast = Cast::of(seed);
        let mut world = World::new(seed);
        world.latency = Duration::from_millis(world.random.below(60));
        world.frailty = if cast.calm { 0 } else { 3 };
        let inbox = match cast.hostile {
            Some(true) => format!("in{:x}", world.random.next()),
            _ => "in".into(),
        };
        let mut network = Network {
            seed,
            cast,
            fault,
            world,
            traffic: Rc::default(),
            starts: vec![0; cast.hosts()],
            references: Vec::new(),
            hostile: None,
            inbox,
        };
        for host in 0..cast.nodes {
            network.world.add(network.node_config(host));
            network.prepare(host);
        }
        if cast.reference {
            network.traffic.borrow_mut().reference = Some(cast.nodes);
            let host = network.world.add_outsider(node_config(name(cast.nodes).as_str()), None);
            network.prepare(host);
        }
        if let Some(has_secret) = cast.hostile {
            let random = &mut network.world.random;
            let victim = random.below(cast.nodes as u64) as usize;
            let name = (victim + 1 + random.below(cast.hosts() as u64 - 1) as usize) % cast.hosts();
            let siege = (!has_secret && random.chance(3)).then_some((victim, name));
            let means = Means {
                honest: (0..cast.hosts()).map(self::name).collect(),
                victims: cast.nodes,
                port: "in".into(),
                has_secret: has_secret || fault == Fault::LeakSecret,
                held: if siege.is_some() { HANDSHAKES - 4 } else { 4 * HANDSHAKES },
                siege,
            };
            let hostile = Hostile::new(means, Random(random.next()));
            let hostile = Rc::new(RefCell::new(hostile));
            network.world.add_outsider(node_config("evil"), Some(hostile.clone()));
            network.hostile = Some(hostile);
        }
        network
    }

    pub fn node_config(&self, host: usize) -> NodeConfig {
        let mut config = NodeConfig {
            queue: QUEUE,
            quiet: Duration::from_secs(2),
            silence: Duration::from_secs(6),
            backoff: Duration::from_secs(2),
            handshakes: HANDSHAKES,
            watches: 500,
            turn_budget: turn_budget(self.seed, host),
            ..node_config(name(host).as_str())
        };
        config.link.handshake_timeout = PATIENCE;
        match self.fault {
            Fault::LongQueues => config.queue = 100 * QUEUE,
            Fault::ManyHandshakes => config.handshakes = 100 * HANDSHAKES,
            _ => {}
        }
        config
    }

    pub fn is_reference(&self, host: usize) -> bool {
        self.cast.reference && host == self.cast.nodes
    }

    pub fn is_running(&self, host: usize) -> bool {
        self.world.hosts[host].is_running()
    }

    pub fn inbox_of(&self, host: usize) -> PortId {
        name(host).port(&self.inbox)
    }

    /// The reference that runs now.
    pub fn reference(&self) -> RefMut<'_, Reference> {
        self.references.last().expect("there is one").borrow_mut()
    }

    /// Starts the program of a host that is down.
    pub fn start(&mut self, host: usize) {
        if !self.is_reference(host) {
            self.world.start(host);
        }
        self.prepare(host);
    }

    /// Gives a fresh program its port, and its seeds: everyone else.
    pub fn prepare(&mut self, host: usize) {
        self.starts[host] += 1;
        let others: Vec<_> = (0..self.cast.hosts()).filter(|&other| other != host).collect();
        if self.is_reference(host) {
            let mut config = Config { framings: vec![Framing::Json], ..config(name(host).as_str()) };
            if self.world.random.chance(2) {
                config.framings.insert(0, Framing::Cbor);
            }
            config.keys.insert("mproto".into(), "1".into());
            let seeds = others.into_iter().map(|other| (other, name(other))).collect();
            let mut reference = Reference::new(config, PATIENCE, seeds, Random(self.world.random.next()));
            reference.port(&self.inbox);
            let reference = Rc::new(RefCell::new(reference));
            self.world.hosts[host].outsider = Some(reference.clone());
            self.references.push(reference);
            return;
        }
        let (start, traffic, fault) = (self.starts[host], self.traffic.clone(), self.fault);
        let (now, inbox) = (self.world.now, &self.inbox);
        self.world.node(host).with(now, |context| {
            let handler = move |_: &mut Context<'_>, elements: Elements<'_>| {
                let ((from, from_start, run, number), _): (Message, serde::de::IgnoredAny) = elements.rest()?;
                let lane = Lane { to: host, to_start: start, from: from as usize, from_start };
                traffic.borrow_mut().note(lane, 0, run, number, fault);
                Ok(())
            };
            context.named_port(inbox, handler).expect("the node is fresh");
            context.register("Worker::start", Access::SPAWN, Rc::new(|_, _| Ok(())));
            if let Fault::Loop | Fault::LoopWithin = fault {
                let other = if fault == Fault::Loop { usize::from(host == 0) } else { host };
                let other = name(other).port("loop");
                context.named_port("loop", move |context, _| Ok(context.send(&other, &())?)).expect("the node is fresh");
            }
        });
        for other in others {
            self.world.dial(host, other);
        }
        if self.cast.hostile.is_some() {
            // A false seed.
            self.world.dial(host, self.cast.hosts());
        }
    }

    /// Sends some messages, with a watch standing before the first one of a run.
    pub fn send(&mut self, from: usize, to: usize, count: u64) {
        if !self.is_running(from) {
            return;
        }
        let (start, target) = (self.starts[from], self.inbox_of(to));
        let key = (from, start, to);
        let (traffic, fault, now) = (self.traffic.clone(), self.fault, self.world.now);
        let padding = "x".repeat(self.world.random.below(400) as usize);
        if !self.is_reference(from) {
            let speaker = Speaker { traffic, key, target, padding, fault };
            self.world.node(from).with(now, |context| speaker.send(context, count));
            return;
        }
        let mut traffic = traffic.borrow_mut();
        let sending = traffic.sending.entry(key).or_default();
        let mut reference = self.reference();
        if !std::mem::replace(&mut sending.watched, true) {
            sending.monitor = reference.monitor(&target);
        }
        for _ in 0..count {
            let message = [from as u64, start, sending.run, sending.next].map(Value::from).to_vec();
            reference.send(&target, vec![message.into(), padding.as_str().into()]);
            sending.next += 1;
        }
    }

    /// Notes what came to the reference, and which of its monitors fired.
    pub fn collect(&mut self) {
        for (place, reference) in self.references.iter().enumerate() {
            let (to, to_start) = (self.cast.nodes, place as u64 + 1);
            let (inbox, fired) = {
                let mut reference = reference.borrow_mut();
                (std::mem::take(&mut reference.inbox), std::mem::take(&mut reference.fired))
            };
            let mut traffic = self.traffic.borrow_mut();
            for received in inbox {
                let Some(Value::Array(message)) = received.elements.first() else { panic!("a message of the traffic") };
                let number = |place: usize| match message[place] {
                    Value::Integer(integer) => integer.as_u64().expect("it is not below zero"),
                    ref other => panic!("a number, not {other:?}"),
                };
                let lane = Lane { to, to_start, from: number(0) as usize, from_start: number(1) };
                traffic.note(lane, received.connection, number(2), number(3), self.fault);
            }
            for (monitor, reasons) in fired {
                let of = |key: &(usize, u64, usize)| (key.0, key.1) == (to, to_start);
                if let Some((_, sending)) = traffic
                    .sending
                    .iter_mut()
                    .find(|(key, sending)| of(key) && sending.watched && sending.monitor == monitor)
                {
                    sending.fire(self.fault);
                }
                let of = |mortal: &&mut Mortal| {
                    (mortal.from, mortal.from_start) == (to, to_start)
                        && matches!(mortal.watching, Some(Watching::Reference(id)) if id == monitor)
                };
                if let Some(mortal) = traffic.mortals.iter_mut().find(of) {
                    mortal.fired.push(reasons);
                }
            }
        }
    }

    /// Makes a port on one host, mostly, and watches it from another.
    pub fn watch_mortal(&mut self, from: usize, to: usize) {
        if from == to || !self.is_running(from) || !self.is_running(to) {
            return;
        }
        let (place, now, fault) = (self.traffic.borrow().mortals.len(), self.world.now, self.fault);
        let port = name(to).port(&format!("{}m{place}", self.inbox));
        if !self.world.random.chance(8) {
            if self.is_reference(to) {
                self.reference().port(port.port());
            } else {
                self.world.node(to).with(now, |context| context.named_port(port.port(), |_, _| Ok(())));
            }
        }
        let (from_start, to_start) = (self.starts[from], self.starts[to]);
        self.traffic.borrow_mut().mortals.push(Mortal {
            port: port.clone(),
            from,
            from_start,
            to,
            to_start,
            watching: None,
            fired: Vec::new(),
            given_up: false,
            ended: false,
        });
        let watching = if self.is_reference(from) {
            Watching::Reference(self.reference().monitor(&port))
        } else {
            let traffic = self.traffic.clone();
            Watching::Node(self.world.node(from).with(now, |context| {
                context.watch(&port, move |_, reasons| {
                    let fired = &mut traffic.borrow_mut().mortals[place].fired;
                    match fault {
                        Fault::LoseWatch => {}
                        Fault::InventReason => fired.push(vec!["why not".into()]),
                        Fault::RepeatWatch => fired.extend([reasons.values().to_vec(), reasons.values().to_vec()]),
                        _ => fired.push(reasons.values().to_vec()),
                    }
                })
            }))
        };
        self.traffic.borrow_mut().mortals[place].watching = Some(watching);
    }

    /// Ends a port that is watched, from its own host or from the one that watches it, or gives up the watch.
    pub fn end_mortal(&mut self, place: usize, random: &mut Random) {
        let mut traffic = self.traffic.borrow_mut();
        let mortal = &mut traffic.mortals[place];
        let (port, watching) = (mortal.port.clone(), mortal.watching.clone());
        let (from, to, now) = (mortal.from, mortal.to, self.world.now);
        let watches = self.starts[from] == mortal.from_start && self.world.hosts[from].is_running();
        let lives = self.starts[to] == mortal.to_start && self.world.hosts[to].is_running();
        let from_afar = random.chance(3);
        mortal.ended |= !random.chance(4) && if from_afar { watches } else { lives };
        let ends = mortal.ended;
        drop(traffic);
        if !ends && watches {
            let unwatched = match watching.expect("it is watched") {
                Watching::Reference(monitor) => self.reference().unmonitor(&port, monitor),
                Watching::Node(watch) => match self.fault {
                    Fault::KeepWatch => true,
                    _ => self.world.node(from).with(now, |context| context.unwatch(&watch)),
                },
            };
            // What has fired before stays so.
            let mortal = &mut self.traffic.borrow_mut().mortals[place];
            mortal.given_up |= unwatched;
        } else if ends && from_afar && watches {
            match self.is_reference(from) {
                true => self.reference().end_there(&port, OVER),
                false => self.world.node(from).with(now, |context| context.end(&port, Reasons::new([OVER]))),
            }
        } else if ends && lives {
            self.end_here(place);
        }
    }

    /// Ends a port from its own host.
    pub fn end_here(&mut self, place: usize) {
        let (port, to) = {
            let mortal = &mut self.traffic.borrow_mut().mortals[place];
            mortal.ended = true;
            (mortal.port.clone(), mortal.to)
        };
        let now = self.world.now;
        match self.is_reference(to) {
            true => self.reference().end(port.port(), &[OVER.into()]),
            false => self.world.node(to).with(now, |context| context.end(&port, Reasons::new([OVER]))),
        }
    }

    /// How the reference of that start dealt with another host.
    pub fn manners(&self, start: u64, host: usize) -> Manners {
        let manners = self.references[start as usize - 1].borrow().manners(&name(host));
        Manners { switched: manners.switched || self.fault == Fault::RunAgain, ..manners }
    }
}
