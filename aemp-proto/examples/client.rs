//! A complete client over `std::net`, which shows what passes on the wire.
//!
//! `AEMP_SECRET=… cargo run -p aemp-proto --example client ADDRESS [FRAMING…]` sends a message to the port `echo` of the
//! listener and waits for the answer.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aemp_proto::auth::Secret;
use aemp_proto::framing::{Framing, Packet};
use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role};
use aemp_proto::names::NodeId;

fn main() -> ExitCode {
    run(std::env::args().skip(1)).map_or_else(
        |error| {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

pub(crate) fn run(mut arguments: impl Iterator<Item = String>) -> Result<(), Box<dyn Error>> {
    let mut stream = TcpStream::connect(arguments.next().ok_or("usage: client ADDRESS [FRAMING…]")?)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut config = Config::new(NodeId::new("client")?);
    config.secret = Some(Secret::from_text(&std::env::var("AEMP_SECRET")?)?);
    let framings: Vec<_> = arguments.filter_map(|name| Framing::from_name(&name)).collect();
    if !framings.is_empty() {
        config.framings = framings;
    }
    let me = config.node.port("me");
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let greeting = OwnGreeting::new(&config, random, Some(&stream.peer_addr()?.to_string()))?;
    let mut link = Link::new(Arc::new(config), Role::Opener, greeting, Duration::ZERO);

    let mut buffer = [0; 4096];
    let mut answer = None;
    let (text, number) = loop {
        if let Some(answer) = answer {
            break answer?;
        }
        show('>', link.output());
        stream.write_all(link.output())?;
        link.advance_output(link.output().len());
        let octets = stream.read(&mut buffer)?;
        if octets == 0 {
            link.end_of_input()?;
            return Err("the listener left without an answer".into());
        }
        let mut input = &buffer[..octets];
        show('<', input);
        let mut visit = |packet: Packet<'_>| {
            let mut elements = packet.elements();
            if elements.name().as_deref() == Some("me") {
                answer = Some(elements.rest::<(String, u64)>());
            }
        };
        while let Some(event) = link.receive(std::mem::take(&mut input), &mut visit)? {
            match event {
                Event::Greeted => match link.accept()? {
                    Accepted::Authenticating => {}
                    Accepted::StartTls(_) => return Err("TLS was not asked for".into()),
                },
                Event::Up => link.send_to("echo", &("hello ☺", 42, &me))?,
                _ => {}
            }
        }
    };
    println!("  the answer, decoded: text {text:?}, number {number}");
    Ok(())
}

/// Shows octets as text, a line at a time.
fn show(direction: char, octets: &[u8]) {
    for line in octets.split_inclusive(|&octet| octet == b'\n') {
        let text = String::from_utf8_lossy(line);
        let shown =
            if text.contains('\u{FFFD}') { line.escape_ascii().to_string() } else { text.escape_debug().to_string() };
        println!("{direction} {}", shown.replace("\\\"", "\""));
    }
}
