//! A complete listener over `std::net`, one thread for each connection.
//!
//! `AEMP_SECRET=… cargo run -p aemp-proto --example listener ADDRESS [FRAMING…]` has one port, `echo`: it takes the last
//! element of a message as the port to answer, and sends the others back.

use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aemp_proto::auth::Secret;
use aemp_proto::framing::{Framing, Packet};
use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;

fn main() -> ExitCode {
    run(std::env::args().skip(1)).map_or_else(
        |error| {
            eprintln!("listener: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(arguments.next().ok_or("usage: listener ADDRESS [FRAMING…]")?)?;
    let mut config = Config::new(NodeId::new("listener")?);
    config.secret = Some(Secret::from_text(&std::env::var("AEMP_SECRET")?)?);
    let framings: Vec<_> = arguments.filter_map(|name| Framing::from_name(&name)).collect();
    if !framings.is_empty() {
        config.framings = framings;
    }
    let config = Arc::new(config);
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        // A connection that ended before it was ours is no reason to stop.
        let (Ok(stream), config) = (stream, config.clone()) else { continue };
        std::thread::spawn(move || match serve(stream, config) {
            Ok(()) => println!("closed by the peer"),
            Err(error) => println!("closed: {error}"),
        });
    }
    Ok(())
}

fn serve(mut stream: TcpStream, config: Arc<Config>) -> Result<(), Box<dyn Error>> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let greeting = OwnGreeting::new(&config, random, Some(&stream.peer_addr()?.to_string()))?;
    let start = Instant::now();
    let mut link = Link::new(config, Role::Acceptor, greeting, Duration::ZERO);
    let mut buffer = [0; 4096];
    loop {
        stream.write_all(link.output())?;
        link.advance_output(link.output().len());
        // The time that is left for the handshake; none once it is over.
        stream
            .set_read_timeout(link.deadline().map(|at| at.saturating_sub(start.elapsed()).max(Duration::from_millis(1))))?;
        let mut input = match stream.read(&mut buffer) {
            Ok(0) => return Ok(link.end_of_input()?),
            Ok(octets) => &buffer[..octets],
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => &[],
            Err(error) => return Err(error.into()),
        };
        link.handle_timeout(start.elapsed())?;
        let mut answers = Vec::new();
        while let Some(event) = link.receive(std::mem::take(&mut input), |packet| answers.extend(echo(&packet)))? {
            if event == Event::Greeted
                && let Accepted::StartTls(_) = link.accept()?
            {
                return Err("TLS was not asked for".into());
            }
        }
        for (port, elements) in answers {
            // What is too large to send is the sender's loss, not the connection's (`MSG-6`).
            if let Err(error) = link.send_to(port.port(), &elements) {
                println!("not sent: {error}");
            }
        }
    }
}

/// What the port `echo` answers, and to whom. Messages for ports that do not exist are dropped (`MSG-5`).
fn echo(packet: &Packet<'_>) -> Option<(PortId, Vec<Value>)> {
    let mut elements = packet.elements();
    if elements.name()? != "echo" {
        return None;
    }
    let mut elements: Vec<Value> = elements.rest().ok()?;
    match elements.pop()? {
        Value::Text(port) => Some((port.parse().ok()?, elements)),
        _ => None,
    }
}
