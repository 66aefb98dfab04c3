//! The front: it stands between a right node and everyone else.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use aemp_proto::auth::Secret;
use aemp_proto::framing::Framing;

use super::handshake::Handshake;
use super::packets::{Packets, encode};
use super::secured::{Secured, Securing};
use super::streams::{self, ByNode};
use super::{Between, Fault, Way};
use crate::failure::{Failure, Step};
use crate::subject::{Start, Subject};

/// How long a node may take until it is ready.
const STARTING: Duration = Duration::from_secs(20);

/// An address with a port that is free.
const ANYWHERE: &str = "127.0.0.1:0";

/// Reads the first line of standard input, starts a node with `command` that is made wrong by `fault`, and stands in front
/// of it until standard input ends.
///
/// # Errors
///
/// When the line is not as in PROTOCOL.md, or the node does not start.
pub fn run(command: &[String], mut fault: Fault) -> Step {
    let mut lines = io::stdin().lock().lines();
    let line = lines.next().and_then(Result::ok).unwrap_or_default();
    let mut start: Start =
        serde_json::from_str(&line).map_err(|error| Failure::Suite(format!("the first line: {error}")))?;
    if let Some(change) = &fault.start {
        change(&mut start);
    }
    fault.start = None;
    let secures = fault.secures.take().map(|wrong| Securing::new(wrong, &mut start)).transpose()?.flatten();
    let secret = start.secret.as_deref().and_then(|text| Secret::from_text(text).ok());
    let (fault, connections, address) = (Mutex::new(fault), Mutex::new(0), OnceLock::new());
    let shared = Arc::new(Shared { fault, secret, secures, connections, by_node: ByNode::default(), address });
    // The front listens where the node was told to, and the node anywhere else.
    let listens_at = start.listen.as_mut().map(|address| std::mem::replace(address, ANYWHERE.into()));
    let mut fronts = Vec::new();
    for seed in &mut start.seeds {
        let (listener, address) = listen(ANYWHERE)?;
        fronts.push((listener, Front::ToOthers(std::mem::replace(seed, address))));
    }
    let node = Subject::start(command, &start, STARTING)?;
    let mut ready = node.ready.clone();
    if let Some(address) = node.address {
        let (listener, seen) = listen(listens_at.as_deref().unwrap_or(ANYWHERE))?;
        shared.address.get_or_init(|| [ready.listen.first().cloned().unwrap_or_default(), seen.clone()]);
        ready.listen = vec![seen];
        if !shared.fault().unreachable {
            fronts.push((listener, Front::ToNode(address)));
        }
    }
    // Nothing passes before it is known what the addresses of the node stand for.
    fronts.into_iter().for_each(|(listener, front)| stand(&shared, listener, front));
    let mut said = serde_json::to_value(&ready).map_err(|error| Failure::Suite(error.to_string()))?;
    said["ready"] = true.into();
    println!("{said}");
    // The node ends with the front, and that with the input.
    while lines.next().is_some() {}
    Ok(())
}

struct Shared {
    fault: Mutex<Fault>,
    secret: Option<Secret>,
    /// How TLS ends here, if it does.
    secures: Option<Securing>,
    connections: Mutex<usize>,
    by_node: ByNode,
    /// The address of the node, and that of the front, which the node has to tell others instead.
    address: OnceLock<[String; 2]>,
}

impl Shared {
    fn fault(&self) -> MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom a listener of the front stands for.
#[derive(Clone)]
enum Front {
    ToNode(SocketAddr),
    ToOthers(String),
}

fn listen(address: &str) -> Step<(TcpListener, String)> {
    let listener = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?.to_string(), listener)));
    listener
        .map(|(address, listener)| (listener, address))
        .map_err(|error| Failure::suite("the front cannot listen", &error))
}

/// Takes connections, for as long as the program runs.
fn stand(shared: &Arc<Shared>, listener: TcpListener, front: Front) {
    let shared = shared.clone();
    thread::spawn(move || {
        for came in listener.incoming().map_while(Result::ok) {
            // The other side may be gone by now, and so is what came then.
            let (node, other, opened) = match &front {
                Front::ToNode(address) => (TcpStream::connect(address), Ok(came), false),
                Front::ToOthers(address) => (Ok(came), TcpStream::connect(address), true),
            };
            if let (Ok(node), Ok(other)) = (node, other) {
                stand_between(&shared, &node, &other, opened);
            }
        }
    });
}

/// One connection through the front.
struct Passage {
    between: Mutex<Between>,
    /// The framing in which each side sends, in the order in, out, when it is known.
    framings: Mutex<[Option<Framing>; 2]>,
    heard: (Mutex<bool>, Condvar),
    /// TLS, when it has begun and ends here.
    secured: OnceLock<Option<Secured>>,
}

fn stand_between(shared: &Arc<Shared>, node: &TcpStream, other: &TcpStream, opened: bool) {
    let number = {
        let mut connections = shared.connections.lock().unwrap_or_else(PoisonError::into_inner);
        *connections += 1;
        *connections
    };
    let passage = Arc::new(Passage {
        between: Mutex::new(Between { number, opened, ..Between::default() }),
        framings: Mutex::default(),
        heard: Default::default(),
        secured: OnceLock::new(),
    });
    let _ = node.set_nodelay(true);
    let _ = other.set_nodelay(true);
    for way in [Way::In, Way::Out] {
        let (from, to) = if way == Way::In { (other, node) } else { (node, other) };
        if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
            let (shared, passage) = (shared.clone(), passage.clone());
            thread::spawn(move || carry(&shared, &passage, from, to, way));
        }
    }
}

/// Carries one direction until it ends.
fn carry(shared: &Shared, passage: &Passage, mut from: TcpStream, mut to: TcpStream, way: Way) {
    let mut handshake = Some(Handshake::default());
    let (mut packets, mut is_data, mut was_reset) = (None, false, false);
    let mut piece = vec![0; 65536];
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(_) => {
                was_reset = true;
                break;
            }
        };
        if way == Way::In {
            *passage.heard.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            passage.heard.1.notify_all();
        } else if shared.fault().speaks_second {
            let heard = passage.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
            drop(passage.heard.1.wait_while(heard, |heard| !*heard));
        }
        let mut octets = piece[..length].to_vec();
        if let Some(lines) = &mut handshake {
            let mut between = passage.between.lock().unwrap_or_else(PoisonError::into_inner);
            let mut fault = shared.fault();
            let greeted_before = lines.passed >= 2;
            let passed = lines.take(&octets, way, &mut between, &mut fault, shared.secret.as_ref());
            is_data = between.is_data();
            if way == Way::In && lines.passed >= 2 && !greeted_before {
                if is_data && fault.streams.early {
                    let _ = from.write_all(streams::EARLY);
                }
                if fault.streams.with_the_node {
                    shared.by_node.add(&between.peer, &from);
                    shared.by_node.add(&between.peer, &to);
                }
            }
            drop(fault);
            let written = to.write_all(&passed.forward);
            // TLS may begin as soon as both sides have greeted, and comes behind the greetings.
            drop(between);
            if written.is_err() {
                was_reset = true;
                break;
            }
            if !passed.done {
                continue;
            }
            packets = lines.framing.filter(|_| !is_data).map(|framing| Packets::new(framing, shared.address.get().cloned()));
            passage.framings.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(way == Way::Out)] = lines.framing;
            let begins_tls = lines.passed == 2;
            handshake = None;
            octets = passed.behind;
            if begins_tls && let Some(securing) = &shared.secures {
                let secured = passage.secured.get_or_init(|| {
                    let (node, other) = if way == Way::In { (&to, &from) } else { (&from, &to) };
                    let between = passage.between.lock().unwrap_or_else(PoisonError::into_inner);
                    securing.begin(&between, node, other).ok()
                });
                was_reset = secured.as_ref().is_none_or(|secured| secured.carry(&from, way, octets));
                break;
            }
        }
        let (mut forward, mut back, mut close) = (octets, Vec::new(), false);
        {
            let between = passage.between.lock().unwrap_or_else(PoisonError::into_inner);
            if is_data {
                forward = streams::passes(forward, way, &between, &mut shared.fault());
            } else if let Some(packets) = &mut packets {
                let passed = packets.take(&forward, way, &between, &mut shared.fault());
                (forward, back, close) = (passed.forward, passed.back, passed.close);
            }
        }
        if to.write_all(&forward).is_err() {
            was_reset = true;
            break;
        }
        let framing = passage.framings.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(way == Way::In)];
        for message in back {
            // Before the other side has said in what it sends, nothing can be answered.
            if let Some(octets) = framing.and_then(|framing| encode(framing, &message)) {
                let _ = from.write_all(&octets);
            }
        }
        if close {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    if let Some(packets) = &mut packets {
        let _ = to.write_all(&packets.rest());
    }
    if shared.fault().streams.with_the_node {
        shared.by_node.end(&passage.between.lock().unwrap_or_else(PoisonError::into_inner).peer);
    }
    // A handshake that fails is the affair of both sides, as any connection is.
    if is_data && handshake.is_none() {
        return streams::end(&from, &to, way, was_reset, shared.fault().streams.ends);
    }
    if way == Way::Out && shared.fault().keeps_open {
        return;
    }
    let _ = to.shutdown(Shutdown::Write);
    if way == Way::Out {
        // The node has closed both directions, as far as anyone can tell.
        let _ = to.shutdown(Shutdown::Read);
        let _ = from.shutdown(Shutdown::Both);
    }
}
