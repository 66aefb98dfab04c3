//! A whole node as a process over `std::net`: one thread drives the node, others wait for the network and tell it what has
//! happened.
//!
//! `AEMP_SECRET=… cargo run -p aemp-proto --example node -- echo 127.0.0.1:4040` listens and has a port `echo`, which sends
//! the text of each message back. `… --example node -- greet 127.0.0.1:4040` connects to it, says hello, and ends when the
//! echo has come.

use std::collections::HashMap;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::exit;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::spawn;
use std::time::{Duration, Instant, SystemTime};

use aemp_proto::actor::{ConnectionId, Context, DialId, NoAnswer, Node, NodeConfig, Outcome, Output};
use aemp_proto::link::{Config, Role};
use aemp_proto::{auth::Secret, framing::Elements, names::NodeId};

/// Something that a thread tells the node.
enum Input {
    Connected(TcpStream, Option<DialId>),
    DialFailed(DialId, String),
    Arrived(ConnectionId, Vec<u8>),
    Ended(ConnectionId, Option<String>),
}

/// A connection, as the node's thread sees it: `read` lets the thread that waits for its bytes read once more.
struct Connection {
    stream: TcpStream,
    read: Sender<()>,
    is_reading: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, address] = &arguments[..] else { return Err("usage: node echo|greet ADDRESS".into()) };
    let mut config = Config::new(NodeId::new(what)?);
    config.secret = Some(Secret::from_text(&std::env::var("AEMP_SECRET")?)?);
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)?;
    let mut node =
        Node::new(NodeConfig::new(config), u128::from_le_bytes(seed), Duration::ZERO, SystemTime::UNIX_EPOCH.elapsed()?);
    let (tell, inputs) = channel();
    if what == "echo" {
        let (listener, tell) = (TcpListener::bind(address)?, tell.clone());
        println!("listening on {}", listener.local_addr()?);
        spawn(move || listener.incoming().flatten().try_for_each(|stream| tell.send(Input::Connected(stream, None))));
        node.with(Duration::ZERO, |context| {
            context.named_port("echo", |context, elements| {
                let (text, reply) = elements.request::<String>()?;
                Ok(context.send(&reply, &text)?)
            })
        });
    } else {
        node.add_seed(Duration::ZERO, address);
        let echo = NodeId::new("echo")?.port("echo");
        node.with(Duration::ZERO, |context| context.call(&echo, "hello", Some(Duration::from_secs(10)), answered))?;
    }
    drive(node, &inputs, &tell)
}

/// Ends the process when the echo has come, or there will be none.
fn answered(_: &mut Context<'_>, answer: Result<Elements<'_>, NoAnswer>) -> Outcome {
    match answer {
        Ok(elements) => println!("{}", elements.rest::<String>()?),
        Err(error) => eprintln!("no echo: {error}"),
    }
    exit(0)
}

/// Drives a node for ever.
fn drive(mut node: Node, inputs: &Receiver<Input>, tell: &Sender<Input>) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut connections = HashMap::new();
    loop {
        let timeout = loop {
            match node.poll_output() {
                Output::Writable(id) => serve(&mut node, &mut connections, id),
                Output::Dial { dial, address } => drop(spawn({
                    let tell = tell.clone();
                    move || match TcpStream::connect(&address) {
                        Ok(stream) => tell.send(Input::Connected(stream, Some(dial))),
                        Err(error) => tell.send(Input::DialFailed(dial, error.to_string())),
                    }
                })),
                Output::Close(id) => drop(connections.remove(&id)),
                Output::Event(event) => eprintln!("{event:?}"),
                Output::Timeout(at) => break at,
                other => return Err(format!("this example has neither TLS nor data connections: {other:?}").into()),
            }
        };
        let now = start.elapsed();
        let wait = match timeout {
            Some(at) if at <= now => {
                node.run(now);
                Duration::ZERO
            }
            Some(at) => at.saturating_sub(now),
            None => Duration::from_secs(3600),
        };
        let Ok(input) = inputs.recv_timeout(wait) else { continue };
        let now = start.elapsed();
        match input {
            Input::Connected(stream, dial) => {
                let (mut random, peer) = ([0; 32], stream.peer_addr()?.to_string());
                getrandom::fill(&mut random)?;
                let role = if dial.is_some() { Role::Opener } else { Role::Acceptor };
                // What is refused is closed when the stream is dropped.
                if let Ok(id) = node.open(now, role, random, Some(&peer), dial) {
                    connections.insert(id, Connection::new(stream, id, tell.clone())?);
                }
            }
            Input::DialFailed(dial, error) => node.dial_failed(now, dial, &error),
            Input::Arrived(id, bytes) => {
                connections.entry(id).and_modify(|connection| connection.is_reading = false);
                node.receive(now, id, &bytes);
                serve(&mut node, &mut connections, id);
            }
            Input::Ended(id, error) => node.closed(now, id, error.as_deref()),
        }
    }
}

/// Writes what a connection has to write, and has it read again if the node wants that.
fn serve(node: &mut Node, connections: &mut HashMap<ConnectionId, Connection>, id: ConnectionId) {
    let Some(connection) = connections.get_mut(&id) else { return };
    while !node.output(id).is_empty() {
        match connection.stream.write(node.output(id)) {
            Ok(written) => node.advance_output(id, written),
            // The thread that reads notices, and says that the connection has ended.
            Err(_) => return drop(connection.stream.shutdown(Shutdown::Both)),
        }
    }
    if node.wants_input(id) && !connection.is_reading {
        connection.is_reading = connection.read.send(()).is_ok();
    }
}

impl Connection {
    /// Starts the thread that reads.
    fn new(stream: TcpStream, id: ConnectionId, tell: Sender<Input>) -> std::io::Result<Self> {
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        let (read, may_read) = channel();
        let mut reading = stream.try_clone()?;
        spawn(move || {
            let mut buffer = [0; 65536];
            while may_read.recv().is_ok() {
                let input = match reading.read(&mut buffer) {
                    Ok(0) => Input::Ended(id, None),
                    Ok(length) => Input::Arrived(id, buffer[..length].to_vec()),
                    Err(error) => Input::Ended(id, Some(error.to_string())),
                };
                drop(tell.send(input));
            }
        });
        Ok(Connection { stream, read, is_reading: false })
    }
}

/// Has the thread that reads end, too.
impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.stream.shutdown(Shutdown::Both));
    }
}
