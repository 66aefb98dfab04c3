//! The receiving side: nodes whose ports count, or send back, and the plain sockets beside them.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use aemp_node::proto::actor::Context;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::Elements;
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::{Config, Node};

use super::floor;
use super::options::Arrangement;
use crate::{Failure, say};

/// The port that makes the others.
pub(super) const DESK: &str = "desk";

/// The nodes that receive, with the addresses to reach them at. They end with this.
pub(super) struct Receivers {
    pub(super) nodes: Vec<SocketAddr>,
    pub(super) floor: SocketAddr,
    _alive: Alive,
}

/// What keeps the receivers running.
enum Alive {
    Here(#[allow(dead_code, reason = "held until it is dropped")] Vec<Node>),
    Elsewhere(Child),
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Alive::Elsewhere(child) = self {
            // It would end with its standard input, too; but it may hang.
            let _it_has_ended = child.kill();
            let _it_has_ended = child.wait();
        }
    }
}

/// The receiving node of a pair.
pub(super) fn node_id(pair: usize) -> NodeId {
    NodeId::new(&format!("receiver{pair}")).expect("letters and digits")
}

/// A node of this measurement.
pub(super) fn config(id: NodeId, secret: &str, arrangement: &Arrangement) -> Result<Config, Failure> {
    let mut config = Config::new(id);
    config.node.link.secret = Some(Secret::from_text(secret).map_err(Failure::usage)?);
    config.node.link.framings = vec![arrangement.framing];
    Ok(config)
}

/// A secret for this measurement alone.
pub(super) fn new_secret() -> Result<String, Failure> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(Failure::refused)?;
    Ok(octets.iter().map(|octet| format!("{octet:02x}")).collect())
}

impl Receivers {
    /// Starts them in this process.
    pub(super) async fn here(arrangement: &Arrangement, secret: &str) -> Result<Self, Failure> {
        let (mut nodes, mut running) = (Vec::new(), Vec::new());
        for pair in 0..arrangement.connections as usize {
            let mut config = config(node_id(pair), secret, arrangement)?;
            config.listen = vec!["127.0.0.1:0".into()];
            let node = Node::start(config).await.map_err(Failure::unreachable)?;
            node.with(open_desk).await.map_err(Failure::refused)?;
            nodes.extend_from_slice(node.addresses());
            running.push(node);
        }
        let floor = floor::listen(arrangement).map_err(Failure::unreachable)?;
        Ok(Receivers { nodes, floor, _alive: Alive::Here(running) })
    }

    /// Starts them in a process of their own, which ends with this one: it sees the end of its standard input.
    pub(super) fn elsewhere(arrangement: &Arrangement, secret: &str) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::refused(format!("the receiving process: {error}"));
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.args(["bench", "receive", "--framing", arrangement.framing.name()]);
        command.args(["--size", &arrangement.size.to_string(), "--connections", &arrangement.connections.to_string()]);
        command.env("AEMP_SECRET", secret).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take();
        let alive = Alive::Elsewhere(child);
        let mut ready = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut ready).map_err(failed)?;
        }
        let mut addresses = ready.split_whitespace().skip(1).map(str::parse);
        let floor = addresses.next().and_then(Result::ok);
        let nodes: Result<Vec<_>, _> = addresses.collect();
        match (floor, nodes) {
            (Some(floor), Ok(nodes)) if nodes.len() == arrangement.connections as usize => {
                Ok(Receivers { nodes, floor, _alive: alive })
            }
            _ => Err(Failure::refused("the receiving process did not start")),
        }
    }
}

/// The receiving process: says where it listens, and ends with the process that started it.
pub(super) async fn serve(arrangement: &Arrangement) -> Result<(), Failure> {
    let secret = std::env::var("AEMP_SECRET").map_err(|_| Failure::usage("this is for `aemp bench` to start"))?;
    let receivers = Receivers::here(arrangement, &secret).await?;
    let nodes: Vec<_> = receivers.nodes.iter().map(ToString::to_string).collect();
    say(format_args!("ready {} {}", receivers.floor, nodes.join(" ")))?;
    // Everything else runs on threads of its own.
    let mut nothing = Vec::new();
    io::stdin().read_to_end(&mut nothing).map(drop).map_err(Failure::refused)
}

/// Makes the port that makes the others. Whoever asks has a port for the answer as the last element.
fn open_desk(context: &mut Context<'_>) {
    let counted = Rc::new(Cell::new(0));
    let arrived = counted.clone();
    let Some(desk) = context.named_port(DESK, |_, _| Ok(())) else { return };
    context.receive_tag(&desk, "count", move |context, elements| {
        let whom: PortId = elements.rest()?;
        counted.set(0);
        let counted = counted.clone();
        let port = context.port(move |_, elements| check(elements, &counted).map(drop));
        Ok(context.send(&whom, &port)?)
    });
    context.receive_tag(&desk, "arrived", move |context, elements| {
        Ok(context.send(&elements.rest::<PortId>()?, &arrived.get())?)
    });
    context.receive_tag(&desk, "return", |context, elements| {
        let (back, whom): (PortId, PortId) = elements.rest()?;
        let numbers = Cell::new(0);
        let port = context.port(move |context, elements| Ok(context.send(&back, &check(elements, &numbers)?)?));
        Ok(context.send(&whom, &port)?)
    });
}

/// Decodes a message and checks that its number is the next one.
pub(super) fn check<'a>(
    elements: Elements<'a>,
    numbers: &Cell<u64>,
) -> Result<(u64, &'a str), aemp_node::proto::actor::Failure> {
    let (number, payload) = elements.rest()?;
    let expected = numbers.get();
    if number != expected {
        return Err(format!("message {number} came in the place of message {expected}").as_str().into());
    }
    numbers.set(number + 1);
    Ok((number, payload))
}

#[cfg(test)]
mod tests {
    use aemp_node::proto::framing::{Framing, Limits, Packet};

    use super::*;

    #[test]
    fn a_number_that_is_not_the_next_one_is_an_error() {
        let numbers = Cell::new(0);
        let is_next = |octets: &[u8]| {
            let packet = Packet::parse(Framing::Json, octets, &Limits::default()).expect("a packet");
            check(packet.elements(), &numbers).is_ok()
        };
        assert!(is_next(br#"[0,"x"]"#) && is_next(br#"[1,""]"#));
        for wrong in [&br#"[1,"x"]"#[..], br#"[3,"x"]"#, br#"[2]"#, br#"[2,[]]"#] {
            assert!(!is_next(wrong), "{}", String::from_utf8_lossy(wrong));
        }
        assert!(is_next(br#"[2,"x"]"#));
    }
}
