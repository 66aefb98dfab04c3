//! The suite's side of one connection: it does as it is told, right or wrong, and keeps what comes.

mod contract;
mod greeting;
mod inbox;
mod octets;
mod stream;
mod tls;

pub use contract::{same, to_port};
pub use greeting::Greets;
pub use inbox::{Message, json};
pub use stream::Stream;
pub use tls::Secured;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use aemp_proto::auth::{Method, Secret, Transcript};
use aemp_proto::framing::{Framing, Scanner};
use aemp_proto::line::{Authentication, Greeting, MAX_LINE};
use socket2::SockRef;

use crate::diagnosis;
use crate::failure::{Breaks as _, Failure, Step};
use crate::wire::{Direction, Log, readable};

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// In order.
    Closed,
    /// Cut off.
    Reset,
}

/// The suite's side of one connection.
pub struct Peer {
    /// What this side greets with.
    pub greets: Greets,
    /// The secret that this side knows.
    pub secret: Option<Vec<u8>>,
    /// How long this side waits for anything that has to come.
    pub patience: Duration,
    /// The greeting of the node under test, when it was read.
    pub greeting: Option<Greeting>,
    /// The framing in which this side sends.
    pub sends: Framing,
    /// Whether this side writes text in cbor as byte strings, as nodes of the reference do.
    pub octets: bool,
    /// The framing in which the node under test sends, when its authentication line was read.
    pub receives: Option<Framing>,
    stream: Box<dyn Stream>,
    number: u32,
    log: Log,
    own: [Vec<u8>; 2],
    other: [Vec<u8>; 2],
    input: Vec<u8>,
    ended: Option<Ending>,
    scanner: Option<Scanner>,
    inbox: VecDeque<Message>,
    probes: u64,
}

impl Peer {
    /// One side of a connection that stands. Nothing is sent yet.
    pub fn new(stream: TcpStream, greets: Greets, log: Log, patience: Duration) -> Step<Self> {
        stream.set_nodelay(true).map_err(|error| Failure::suite("a connection", &error))?;
        let number = log.connection();
        log.note(number, format!("connection {number} stands; the suite is {:?}", greets.node));
        let own = greets.lines();
        Ok(Peer {
            greets,
            secret: Some(b"swordfish".to_vec()),
            patience,
            greeting: None,
            sends: Framing::Json,
            octets: false,
            receives: None,
            stream: Box::new(stream),
            number,
            log,
            own,
            other: Default::default(),
            input: Vec::new(),
            ended: None,
            scanner: None,
            inbox: VecDeque::new(),
            probes: 0,
        })
    }

    /// This side's node ID.
    pub fn node(&self) -> &str {
        &self.greets.node
    }

    /// The ID of a port of this side.
    pub fn port(&self, name: &str) -> String {
        format!("{}#{name}", self.greets.node)
    }

    /// This side's two lines, as they were sent last.
    pub fn own_lines(&self) -> &[Vec<u8>; 2] {
        &self.own
    }

    /// The two lines of the node under test, as far as they were read.
    pub fn other_lines(&self) -> &[Vec<u8>; 2] {
        &self.other
    }

    /// Octets that were read and not looked at yet.
    pub fn unread(&self) -> &[u8] {
        &self.input
    }

    /// Sends octets as they are. That the other side does not take them is seen when something is read.
    pub fn send_octets(&mut self, octets: &[u8], meaning: &str) {
        self.log.add(self.number, Direction::Sent, octets, meaning);
        self.write(octets);
    }

    fn write(&mut self, octets: &[u8]) {
        if self.stream.write_all(octets).and_then(|()| self.stream.flush()).is_err() {
            self.log.note(self.number, "the other side takes no more");
        }
    }

    /// Sends octets one by one, so that each may arrive in a read of its own. Returns the longest time from one to the next,
    /// which a machine with much to do makes longer than the pause.
    pub fn send_slowly(&mut self, octets: &[u8], pause: Duration, meaning: &str) -> Duration {
        self.log.add(self.number, Direction::Sent, octets, format!("{meaning}, octet by octet"));
        let mut longest = Duration::ZERO;
        for octet in octets {
            let sent = Instant::now();
            if self.stream.write_all(&[*octet]).and_then(|()| self.stream.flush()).is_err() {
                self.log.note(self.number, "the other side takes no more");
                break;
            }
            std::thread::sleep(pause);
            longest = longest.max(sent.elapsed());
        }
        longest
    }

    /// Ends this side's direction of the connection.
    pub fn end_direction(&mut self) {
        self.log.note(self.number, "the suite ends its direction");
        self.stream.end_direction();
    }

    /// Ends this side's direction of the transport connection below TLS, where TLS says nothing of it.
    pub fn cut_direction(&mut self) {
        self.log.note(self.number, "the suite ends its direction, below TLS");
        if let Some(socket) = self.stream.socket() {
            // It may be gone already.
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    /// Cuts the connection off, so that the other side sees no end, but an error.
    pub fn reset(&mut self) -> Step {
        self.log.note(self.number, "the suite resets the connection");
        if let Some(socket) = self.stream.socket() {
            let cut = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            cut.map_err(|error| Failure::suite("a reset", &error))?;
        }
        self.stream = Box::new(stream::Ended);
        Ok(())
    }

    /// Sends octets while others can be read, and ends this direction behind them. Not inside TLS.
    pub fn send_meanwhile(&mut self, octets: Vec<u8>, meaning: &str) -> Step {
        self.log.add(self.number, Direction::Sent, &octets, meaning);
        let socket = self.stream.socket().filter(|_| !self.stream.is_tls()).map(TcpStream::try_clone);
        let mut socket = socket
            .ok_or_else(|| Failure::Suite("a connection that is no plain one".into()))?
            .map_err(|error| Failure::suite("a connection", &error))?;
        std::thread::spawn(move || {
            // That the other side does not take them is seen when something is read.
            let _ = socket.write_all(&octets);
            let _ = socket.shutdown(Shutdown::Write);
        });
        Ok(())
    }

    /// Whether the other side has said inside TLS that nothing more comes.
    pub fn was_told_of_the_end(&self) -> bool {
        self.stream.was_told_of_the_end()
    }

    /// Puts another stream, such as TLS over the present one, in the place of the stream. What was read already is handed
    /// over.
    pub fn replace_stream(&mut self, with: impl FnOnce(Box<dyn Stream>, Vec<u8>) -> Step<Box<dyn Stream>>) -> Step {
        let stream = std::mem::replace(&mut self.stream, Box::new(stream::Ended));
        self.stream = with(stream, std::mem::take(&mut self.input))?;
        self.log.note(self.number, "what follows is inside TLS");
        Ok(())
    }

    /// Sends the two lines of the greeting.
    pub fn greet(&mut self) {
        let octets = self.greeting_octets();
        self.send_octets(&octets, "greeting");
    }

    /// The octets of the greeting, for a case that sends them itself. They count as sent from now on.
    pub fn greeting_octets(&mut self) -> Vec<u8> {
        self.own = self.greets.lines();
        [&self.own[0][..], b"\n", &self.own[1], b"\n"].concat()
    }

    /// Reads the two lines of the other side's greeting.
    pub fn read_greeting(&mut self) -> Step<Greeting> {
        let first = self.read_line("the first line of its greeting").breaks("CONN-1")?;
        let greeting = Greeting::parse(&first).map_err(|error| {
            Failure::wrong("a first line as in spec/grammar.abnf", format!("{}: {error}", readable(&first)))
                .breaks("GREET-1")
        })?;
        self.other = [first, self.read_line("the second line of its greeting").breaks("CONN-1")?];
        self.greeting = Some(greeting.clone());
        Ok(greeting)
    }

    /// The first method in the other side's list that this side can send.
    pub fn method(&self) -> Step<Method> {
        let greeting = self.greeting.as_ref().ok_or_else(|| Failure::Suite("no greeting was read".into()))?;
        let mut known = greeting.methods.iter().filter_map(|name| Method::from_name(name));
        known
            .find(|method| {
                method.requires_secret() && self.secret.is_some() || method.requires_tls() && self.stream.is_tls()
            })
            .ok_or_else(|| Failure::wrong("a method that the suite can send", greeting.methods.join(",")).breaks("GREET-10"))
    }

    /// The token that proves by `method` that this side knows its secret.
    pub fn token(&self, method: Method) -> Step<String> {
        self.token_of(method, [&self.own, &self.other])
    }

    /// The token by `method` that the other side would send.
    pub fn swapped_token(&self, method: Method) -> Step<String> {
        self.token_of(method, [&self.other, &self.own])
    }

    fn token_of(&self, method: Method, [sender, receiver]: [&[Vec<u8>; 2]; 2]) -> Step<String> {
        let last = self.last_line(receiver);
        let transcript = Transcript { own: sender.each_ref().map(|line| &line[..]), other: [&receiver[0], &last] };
        let token = method.token(&transcript, self.known_secret()?.as_ref());
        token
            .map(|token| token.to_string())
            .ok_or_else(|| Failure::Suite("a method that needs a secret, without one".into()))
    }

    /// The last line of a transcript whose receiver has these lines; with the exporter of TLS behind it where that belongs
    /// to the transcript [AUTH-27].
    fn last_line(&self, receiver: &[Vec<u8>; 2]) -> Vec<u8> {
        let announced = self.greeting.as_ref().is_some_and(|greeting| greeting.says("exporter"))
            && self.greets.keys.iter().any(|key| key == "exporter=1");
        match self.stream.exporter().filter(|_| announced) {
            Some(exporter) => [&receiver[1][..], b"\n", crate::hex::hex(&exporter).as_bytes()].concat(),
            None => receiver[1].clone(),
        }
    }

    fn known_secret(&self) -> Step<Option<Secret>> {
        self.secret.as_deref().map(Secret::new).transpose().map_err(|error| Failure::Suite(error.to_string()))
    }

    /// The right authentication line, without a line end.
    pub fn authentication(&self) -> Step<String> {
        let method = self.method()?;
        Ok(format!("{method};{};{}", self.token(method)?, self.sends))
    }

    /// Sends the right authentication line.
    pub fn authenticate(&mut self) -> Step {
        let line = self.authentication()? + "\n";
        self.send_octets(line.as_bytes(), "authentication line");
        Ok(())
    }

    /// Reads the other side's authentication line, and verifies it.
    pub fn read_authentication(&mut self) -> Step {
        let line = self.read_line("its authentication line").breaks("AUTH-1")?;
        self.verify(&line).map(drop)
    }

    /// Verifies an authentication line of the other side, without its line end: the method by which it is right.
    pub fn verify(&mut self, line: &[u8]) -> Step<Method> {
        let shown = readable(line);
        let read = Authentication::parse(line).map_err(|error| {
            Failure::wrong("a line as in spec/grammar.abnf", format!("{shown}: {error}")).breaks("AUTH-1")
        })?;
        let offered = |list: &[String], name: &str| list.iter().any(|offered| offered == name);
        let method =
            Method::from_name(read.method).filter(|method| offered(&self.greets.methods, method.name())).ok_or_else(
                || Failure::wrong(format!("one of the methods {}", self.greets.methods.join(",")), &shown).breaks("AUTH-6"),
            )?;
        let framing = Framing::from_name(read.framing)
            .filter(|framing| offered(&self.greets.framings, framing.name()))
            .ok_or_else(|| {
                Failure::wrong(format!("one of the framings {}", self.greets.framings.join(",")), &shown).breaks("AUTH-7")
            })?;
        let last = self.last_line(&self.own);
        let transcript = Transcript { own: [&self.other[0], &self.other[1]], other: [&self.own[0], &last] };
        let right = method.token(&transcript, self.known_secret()?.as_ref());
        if right.as_ref().is_none_or(|right| ***right != *read.token) {
            let right = right.map_or("none: the suite has no secret".into(), |right| right.to_string());
            let secret = self.secret.as_deref().unwrap_or_default();
            let why = diagnosis::of_token(read.token, method, &transcript, secret);
            let actual = why.map_or(read.token.to_owned(), |why| format!("{}: {why}", read.token));
            return Err(Failure::wrong(format!("the token {right}"), actual).breaks("AUTH-12"));
        }
        self.receives = Some(framing);
        Ok(method)
    }

    /// The whole handshake, without TLS; or the rest of it, if the other side's greeting was read before.
    pub fn handshake(&mut self) -> Step {
        self.greet();
        if self.greeting.is_none() {
            self.read_greeting()?;
        }
        self.authenticate()?;
        self.read_authentication()
    }

    /// Reads a line, and takes its line end off.
    pub fn read_line(&mut self, what: &str) -> Step<Vec<u8>> {
        let until = Instant::now() + self.patience;
        loop {
            if let Some(end) = self.input.iter().position(|octet| *octet == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                self.log.add(self.number, Direction::Received, &line, what);
                line.pop();
                line.pop_if(|octet| *octet == b'\r');
                return Ok(line);
            }
            if self.input.len() > MAX_LINE {
                return Err(Failure::wrong(what, format!("more than {MAX_LINE} octets without a line end")).breaks("CONN-5"));
            }
            if !self.read_some(until)? {
                return Err(Failure::wrong(what, self.nothing_more()));
            }
        }
    }

    /// Waits for octets. False: time is up, or there are no more.
    fn read_some(&mut self, until: Instant) -> Step<bool> {
        if self.ended.is_some() {
            return Ok(false);
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        self.stream.set_patience(left).map_err(|error| Failure::suite("a time-out", &error))?;
        let mut piece = [0; 65536];
        match self.stream.read(&mut piece) {
            Ok(0) => self.ended = Some(Ending::Closed),
            Ok(length) => self.input.extend_from_slice(&piece[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(_) => self.ended = Some(Ending::Reset),
        }
        if let Some(ended) = self.ended {
            let how = if ended == Ending::Closed { "ends the connection" } else { "cuts the connection off" };
            self.log.note(self.number, format!("the node under test {how}"));
        }
        Ok(self.ended.is_none())
    }

    /// Why nothing more has come.
    fn nothing_more(&self) -> String {
        let rest = if self.input.is_empty() {
            String::new()
        } else {
            format!(", after {:?}", readable(&self.input[..self.input.len().min(200)]))
        };
        match self.ended {
            Some(Ending::Closed) => format!("it closed the connection{rest}"),
            Some(Ending::Reset) => format!("it cut the connection off{rest}"),
            None => format!("nothing came within {:?}{rest}", self.patience),
        }
    }

    /// Waits for octets that are not to be taken apart, until there are at least `count`, or the end.
    pub fn read_octets(&mut self, count: usize) -> Step<Vec<u8>> {
        let until = Instant::now() + self.patience;
        while self.input.len() < count && self.read_some(until)? {}
        let octets = std::mem::take(&mut self.input);
        if !octets.is_empty() {
            self.log.add(self.number, Direction::Received, &octets, "octets");
        }
        Ok(octets)
    }

    /// Waits until the other side ends the connection; whatever it still sends is kept as octets. None: it does not.
    pub fn ended(&mut self) -> Step<Option<Ending>> {
        self.ended_within(self.patience)
    }

    /// The same, with another time to wait.
    pub fn ended_within(&mut self, time: Duration) -> Step<Option<Ending>> {
        let until = Instant::now() + time;
        while self.read_some(until)? {}
        // Time may have been up before anything was looked at.
        Ok(self.ended)
    }

    /// Whether octets can be read at this moment, or the end; waits for `time` at most.
    pub fn hears_within(&mut self, time: Duration) -> Step<bool> {
        let before = self.input.len();
        self.read_some(Instant::now() + time)?;
        Ok(self.input.len() > before || self.ended.is_some())
    }
}
