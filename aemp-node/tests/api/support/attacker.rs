//! A peer that can say anything, at any time: a socket, and a link that helps it through the handshake.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::Framing;
use aemp_node::proto::link::{Config, Event, Link, OwnGreeting, Role};
use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;

pub struct Attacker {
    pub stream: TcpStream,
    link: Link,
    name: String,
}

impl Attacker {
    /// Connects, greets under this name, and authenticates.
    pub fn connect(address: &str, name: &str, framing: Framing) -> Self {
        Self::greet(raw(address), Role::Opener, name, framing)
    }

    /// The same, on a connection that the node has opened.
    pub fn accept(stream: TcpStream, name: &str, framing: Framing) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        Self::greet(stream, Role::Acceptor, name, framing)
    }

    fn greet(stream: TcpStream, role: Role, name: &str, framing: Framing) -> Self {
        let mut config = Config::new(NodeId::new(name).expect("a node ID"));
        config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
        config.framings = vec![framing];
        config.keys.insert("mproto".into(), "1".into());
        let own = OwnGreeting::new(&config, [7; 32], None).expect("a greeting");
        let link = Link::new(Arc::new(config), role, own, Duration::ZERO);
        let mut attacker = Attacker { stream, link, name: name.to_owned() };
        while !attacker.step(&mut |_| {}) {}
        attacker
    }

    /// Carries octets once; true if the link came up.
    fn step(&mut self, visit: &mut dyn FnMut(Vec<Value>)) -> bool {
        let output = self.link.output().to_vec();
        self.link.advance_output(output.len());
        self.stream.write_all(&output).expect("it reads");
        let mut octets = [0; 16 << 10];
        let length = self.stream.read(&mut octets).expect("it says something");
        assert!(length > 0, "it closed");
        let (mut input, mut up) = (&octets[..length], false);
        while let Some(event) = self
            .link
            .receive(std::mem::take(&mut input), |packet| visit(packet.decode().expect("values")))
            .expect("what a node sends is right")
        {
            match event {
                Event::Greeted => drop(self.link.accept().expect("it may go on")),
                Event::Up => up = true,
                _ => {}
            }
        }
        up
    }

    pub fn say(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).expect("it reads");
    }

    /// Sends a message in json.
    pub fn send(&mut self, message: &serde_json::Value) {
        self.say(message.to_string().as_bytes());
    }

    /// Reads until a message comes that fits.
    pub fn next(&mut self, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let mut found = None;
        while found.is_none() {
            self.step(&mut |message| {
                if found.is_none() && fits(&message) {
                    found = Some(message);
                }
            });
        }
        found.unwrap_or_default()
    }

    /// Reads until the node ends the connection.
    pub fn hears_the_end(&mut self) {
        let mut ignored = [0; 4096];
        while matches!(self.stream.read(&mut ignored), Ok(1..)) {}
    }

    /// Reads until the node has answered an echo that is sent now; what came before that.
    pub fn heard(&mut self, node: &str) -> Vec<Vec<Value>> {
        let echo = format!("{}#echo", self.name);
        self.link.send_to("", &("snd", echo.as_str(), "still there?")).unwrap_or_else(|error| panic!("{node}: {error}"));
        let (mut messages, mut answered) = (Vec::new(), false);
        while !answered {
            self.step(&mut |message| match &message[..] {
                [Value::Text(port), ..] if port == "echo" => answered = true,
                _ => messages.push(message),
            });
        }
        messages
    }
}

/// A connection that waits at most this long for anything.
pub fn raw(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    stream
}

/// Says something on a connection, then nothing more; whether the node closed it by itself, and in time.
pub fn is_closed_after(stream: &mut TcpStream, octets: &[u8]) -> bool {
    // It may have closed before all of that was written.
    if stream.write_all(octets).is_err() {
        return true;
    }
    let mut ignored = [0; 4096];
    loop {
        match stream.read(&mut ignored) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

/// Ends what is said, and waits for the node to close.
pub fn hang_up(stream: &mut TcpStream) -> bool {
    stream.shutdown(Shutdown::Write).is_err() || is_closed_after(stream, &[])
}
