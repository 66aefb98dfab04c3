//! A peer that means harm: it greets under any name, sends what nobody should, stops reading, stalls, and comes back.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::auth::Secret;
use aemp_proto::framing::{Framing, Limits};
use aemp_proto::link::{Event, Link, OwnGreeting, Role};
use aemp_proto::names::NodeId;
use aemp_proto::value::Value;

use super::host::Outsider;
use super::pair::config;
use super::world::Random;

/// How a connection is abused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// Says nothing.
    Silence,
    /// Sends a part of a greeting, and no more.
    Half,
    /// Sends random octets at once.
    Noise,
    /// Greets, and waits.
    Stall,
    /// Greets, and sends random octets or packets where the authentication line belongs.
    Intrude,
    /// Sends back what it hears.
    Mirror,
    /// Goes through the handshake, with the secret if it has it, and then sends what nobody should.
    Attack,
}

struct Attempt {
    plan: Plan,
    link: Link,
    /// Octets that no link would send, behind what the link sends.
    wild: Vec<u8>,
    /// What goes out next.
    output: Vec<u8>,
    /// Line ends that have come.
    lines: usize,
    /// It came to us, so the other side may send its line first (`AUTH-3`).
    accepted: bool,
    reads: bool,
    until: Duration,
}

/// What a hostile peer can do, and wants.
pub struct Means {
    /// The names of all honest hosts, by their addresses.
    pub honest: Vec<NodeId>,
    /// How many of them, from the first one on, it attacks.
    pub victims: usize,
    /// A port that it knows.
    pub port: String,
    pub has_secret: bool,
    /// Connections that it holds at once.
    pub held: usize,
    /// It only stands at the door of one host, in the name of another.
    pub siege: Option<(usize, usize)>,
}

pub struct Hostile {
    means: Means,
    secret: Option<Secret>,
    random: Random,
    attempts: BTreeMap<u64, Attempt>,
    next: u64,
    next_act: Duration,
    now: Duration,
    dials: Vec<usize>,
    closes: Vec<u64>,
    /// It has begun, and has not been stopped.
    pub is_active: bool,
    /// Connections on which a listener told it more than a greeting.
    pub told: usize,
    /// Connections that came up.
    pub admitted: usize,
}

impl Hostile {
    pub fn new(means: Means, random: Random) -> Self {
        Hostile {
            secret: means.has_secret.then(|| config("any").secret.expect("the secret of the network")),
            means,
            random,
            attempts: BTreeMap::new(),
            next: 0,
            next_act: Duration::ZERO,
            now: Duration::ZERO,
            dials: Vec::new(),
            closes: Vec::new(),
            is_active: false,
            told: 0,
            admitted: 0,
        }
    }

    /// Gives up, and closes everything.
    pub fn stop(&mut self) {
        self.is_active = false;
        self.closes.extend(mem::take(&mut self.attempts).into_keys());
    }

    pub fn is_siege(&self) -> bool {
        self.means.siege.is_some()
    }

    fn draw<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize].clone()
    }

    fn word(&mut self) -> String {
        let words = ["", "#", "evil", "m1", "mon1", "snd", "Worker::start", "::", "\u{0}", "in\n", "kil1", "é"];
        match self.random.below(4) {
            0 => self.means.port.clone(),
            1 => format!("w{}", self.random.below(5)),
            _ => self.draw(&words).into(),
        }
    }

    fn noise(&mut self, most: u64) -> Vec<u8> {
        let length = self.random.below(most);
        (0..length).map(|_| self.random.next() as u8).collect()
    }

    /// Some value, often of the wrong kind.
    fn value(&mut self, depth: u64) -> Value {
        match self.random.below(10) {
            0 => Value::Null,
            1 => Value::Integer(self.random.next().into()),
            2 => Value::Float(self.draw(&[-0.0, f64::NAN, f64::INFINITY, 1e300])),
            3 => Value::Bytes(self.noise(20)),
            4 if depth > 0 => Value::Array((0..self.random.below(4)).map(|_| self.value(depth - 1)).collect()),
            5 if depth > 0 => Value::Map(BTreeMap::from([(self.word(), self.value(depth - 1))])),
            _ => Value::Text(self.word()),
        }
    }

    fn honest(&mut self) -> NodeId {
        let place = self.random.below(self.means.honest.len() as u64);
        self.means.honest[place as usize].clone()
    }

    /// A node that there is not.
    fn nobody(&mut self) -> String {
        format!("nobody{}", self.random.below(1000))
    }

    /// Where something is to be sent: to a node port, a port, or a node that there is not.
    fn destination(&mut self) -> String {
        let node = match self.random.below(4) {
            0 => self.nobody(),
            _ => self.honest().to_string(),
        };
        match self.random.below(4) {
            0 => format!("{node}#{}", self.word()),
            1 => self.word(),
            _ => node,
        }
    }

    /// A request to a node port that nobody should send.
    fn request(&mut self) -> Vec<Value> {
        let requests = ["mon1", "mon0", "kil0", "kil1", "snd", "can", "time", "eval", "devnull", "AnyEvent::MP::_spawn"];
        let mut packet: Vec<Value> = vec!["".into()];
        match self.random.below(8) {
            0 => packet.extend((0..self.random.below(5)).map(|_| self.value(3))),
            1 => packet.extend(["AnyEvent::MP::_spawn".into(), self.word().into(), "Worker::start".into(), self.value(2)]),
            2 => packet.extend(["kil1".into(), "".into(), "because".into()]),
            3 => {
                packet.extend([
                    "snd".into(),
                    self.destination().into(),
                    "x".repeat(self.random.below(6000) as usize).into(),
                ]);
            }
            4 => {
                // Round and round.
                for _ in 0..self.random.below(30) {
                    packet.extend(["snd".into(), self.destination().into()]);
                }
                packet.push(self.value(1));
            }
            _ => {
                packet.extend([self.draw(&requests).into(), self.word().into()]);
                packet.extend((0..self.random.below(4)).map(|_| self.value(2)));
                packet.push(self.destination().into());
            }
        }
        packet
    }

    /// The octets of something that is not to be sent.
    fn harm(&mut self, framing: Framing) -> Vec<u8> {
        let mut octets = Vec::new();
        let (times, kind) = match self.random.below(24) {
            kind @ 0..2 => (250, kind),
            kind => (1 + self.random.below(6), kind),
        };
        let request = self.request();
        for _ in 0..times {
            let packet = match kind {
                0 => request.clone(),
                1 => vec!["".into(), "snd".into(), format!("{}#p", self.nobody()).into(), "x".repeat(1000).into()],
                _ => self.request(),
            };
            // What cannot be written is not sent.
            let _ = framing.encode(&packet, &Limits::LEAST, &mut octets);
        }
        match self.random.below(12) {
            0 => octets.extend(self.noise(300)),
            1 => octets.truncate(self.random.below(octets.len() as u64 + 1) as usize),
            2 => octets.extend([if framing == Framing::Json { b'[' } else { 0x81 }].repeat(600)),
            3 => octets.extend(b"[]\nnull{}[\"\",\"\"]"),
            _ => {}
        }
        octets
    }

    /// Goes on with an attempt that has sent its greeting, or whatever it sends in its place.
    fn go_on(&mut self, id: u64) {
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        if attempt.plan == Plan::Attack && attempt.link.is_up() {
            let framing = attempt.link.sends().expect("it is up");
            attempt.wild.extend(self.harm(framing));
            if self.random.chance(10) {
                attempt.reads = !attempt.reads;
            }
        }
        flush(&mut attempt);
        self.attempts.insert(id, attempt);
    }
}

/// Moves what is to be sent to the output.
fn flush(attempt: &mut Attempt) {
    let octets = attempt.link.output().to_vec();
    attempt.link.advance_output(octets.len());
    match attempt.plan {
        Plan::Silence | Plan::Noise | Plan::Mirror => {}
        Plan::Half => attempt.output.extend(&octets[..octets.len() / 2]),
        _ => attempt.output.extend(octets),
    }
    attempt.output.append(&mut attempt.wild);
}

impl Outsider for Hostile {
    fn run(&mut self, now: Duration) {
        self.now = now;
        if !self.is_active || now < self.next_act {
            return;
        }
        self.next_act = now + Duration::from_millis(self.random.below(120));
        let late: Vec<_> = self.attempts.iter().filter(|(_, attempt)| now >= attempt.until).map(|(id, _)| *id).collect();
        for id in late {
            self.attempts.remove(&id);
            self.closes.push(id);
        }
        let more = if self.random.chance(30) { 8 } else { self.random.below(2) };
        for _ in 0..more.min(self.means.held.saturating_sub(self.attempts.len()) as u64) {
            let drawn = self.random.below(self.means.victims as u64) as usize;
            self.dials.push(self.means.siege.map_or(drawn, |(victim, _)| victim));
        }
        let ids: Vec<_> = self.attempts.keys().copied().collect();
        for id in ids {
            if self.random.chance(4) {
                self.go_on(id);
            }
        }
    }

    fn dials(&mut self) -> Vec<usize> {
        mem::take(&mut self.dials)
    }

    fn closes(&mut self) -> Vec<u64> {
        mem::take(&mut self.closes)
    }

    fn dial_failed(&mut self, _: Duration, _: usize) {}

    fn open(&mut self, now: Duration, dialled: Option<usize>, random: [u8; 32]) -> Option<u64> {
        if !self.is_active {
            return None;
        }
        // Its own name, or one of the others', the victim's own among them.
        let name = match self.means.siege {
            Some((_, name)) => self.means.honest[name].to_string(),
            None if self.random.chance(3) => format!("evil{}", self.random.below(3)),
            None => self.honest().to_string(),
        };
        let mut own = config(&name);
        own.keys.insert("mproto".into(), "1".into());
        if self.random.chance(2) {
            own.keys.insert("arbiter".into(), "1".into());
        }
        own.framings =
            self.draw(&[vec![Framing::Json], vec![Framing::Cbor], vec![Framing::Storable], Framing::DEFAULT.to_vec()]);
        own.handshake_timeout = Duration::from_secs(3600);
        own.limits = Limits { octets: 1 << 20, ..Limits::default() };
        own.secret = self.secret.clone().or_else(|| Secret::new(b"sesame").ok());
        let greeting = OwnGreeting::new(&own, random, None).expect("a greeting");
        let link = Link::new(Arc::new(own), Role::Opener, greeting, now);
        let all = [
            Plan::Silence,
            Plan::Half,
            Plan::Noise,
            Plan::Stall,
            Plan::Intrude,
            Plan::Mirror,
            Plan::Attack,
            Plan::Attack,
            Plan::Attack,
        ];
        let plan = if self.means.siege.is_some() { Plan::Stall } else { self.draw(&all) };
        let mut wild = match plan {
            Plan::Noise => self.noise(6000),
            _ => Vec::new(),
        };
        if plan == Plan::Intrude {
            wild = match self.random.below(3) {
                0 => self.noise(6000),
                1 => {
                    format!("hmac_sha3_512;{};json\n[\"{}\",[0,1,0,0],\"\"]", "0".repeat(128), self.means.port).into_bytes()
                }
                _ => format!("[\"{}\",[0,1,0,0],\"\"]\n", self.means.port).into_bytes(),
            };
        }
        let stays = if self.means.siege.is_some() { 1_000_000 } else { self.random.below(8000) };
        let until = now + Duration::from_millis(stays);
        let accepted = dialled.is_none();
        let mut attempt = Attempt { plan, link, wild, output: Vec::new(), lines: 0, accepted, reads: true, until };
        if plan != Plan::Half || self.random.chance(2) {
            flush(&mut attempt);
        }
        self.next += 1;
        self.attempts.insert(self.next, attempt);
        Some(self.next)
    }

    fn receive(&mut self, now: Duration, connection: u64, octets: &[u8]) {
        self.now = now;
        let Some(attempt) = self.attempts.get_mut(&connection) else { return };
        let before = attempt.lines;
        let ends = octets.iter().filter(|octet| **octet == b'\n').count();
        let behind = octets.iter().rposition(|octet| *octet == b'\n').map_or(octets.len(), |place| octets.len() - 1 - place);
        attempt.lines += ends;
        // A line or a part of one behind the two of the greeting.
        let told = attempt.lines > 2 || (attempt.lines == 2 && if ends > 0 { behind > 0 } else { !octets.is_empty() });
        if told && before <= 2 && !attempt.accepted {
            self.told += 1;
        }
        match attempt.plan {
            Plan::Mirror if attempt.output.len() < 10_000 => attempt.output.extend(octets),
            Plan::Attack => {
                let mut input = octets;
                loop {
                    match attempt.link.receive(mem::take(&mut input), |_| {}) {
                        Ok(Some(Event::Greeted)) => {
                            if attempt.link.accept().is_err() {
                                break;
                            }
                        }
                        Ok(Some(Event::Up)) => self.admitted += 1,
                        Ok(Some(_)) => {}
                        Ok(None) | Err(_) => break,
                    }
                }
            }
            _ => {}
        }
        flush(attempt);
    }

    fn reads(&self, connection: u64) -> bool {
        self.attempts.get(&connection).is_none_or(|attempt| attempt.reads)
    }

    fn closed(&mut self, _: Duration, connection: u64) {
        self.attempts.remove(&connection);
    }

    fn output(&self, connection: u64) -> &[u8] {
        self.attempts.get(&connection).map_or(&[], |attempt| &attempt.output)
    }

    fn advance_output(&mut self, connection: u64, octets: usize) {
        if let Some(attempt) = self.attempts.get_mut(&connection) {
            attempt.output.drain(..octets);
        }
    }
}
