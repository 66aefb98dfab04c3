//! A peer with the secret that can say anything: a socket, and a link that helps it through the handshake.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::{Framing, Limits};
use aemp_node::proto::link::{Config, Event, Link, OwnGreeting, Role};
use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use serde::Serialize;

pub(crate) const SECRET: &str = "a secret that is long enough to be one";

/// How long a member waits for an answer at most.
pub(crate) fn patience() -> Duration {
    Duration::from_secs(super::ground::size(60, 300) as u64)
}

/// What a member has heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// The answers to its echoes.
    echoes: u64,
    /// The messages to other ports, as long as they are few.
    pub(crate) messages: Vec<Vec<Value>>,
    ended: bool,
}

/// A member of the network.
pub(crate) struct Member {
    pub(crate) stream: TcpStream,
    pub(crate) name: String,
    pub(crate) framing: Framing,
    sent: Arc<AtomicU64>,
    echoes: u64,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

fn config(name: &str, framing: Framing) -> Config {
    let mut config = Config::new(NodeId::new(name).expect("a node ID"));
    config.secret = Some(Secret::new(SECRET.as_bytes()).expect("a secret"));
    (config.framings, config.send_framings) = (vec![framing, Framing::Cbor], Some(vec![framing]));
    config.limits = Limits { octets: 1 << 30, depth: 1000, values: 100_000_000 };
    config.keys.extend(["mproto", "gproto"].map(|key| (key.into(), "1".into())));
    config.protocols = vec!["dataconn".into()];
    config
}

fn random() -> [u8; 32] {
    let mut random = [0; 32];
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut random)).expect("randomness");
    random
}

/// Goes through a handshake; the link is up then.
pub(crate) fn handshake(stream: &mut TcpStream, link: &mut Link) -> io::Result<()> {
    let refused = |error: String| io::Error::new(io::ErrorKind::ConnectionRefused, error);
    loop {
        let output = link.output().to_vec();
        stream.write_all(&output)?;
        link.advance_output(output.len());
        if link.is_up() {
            return Ok(());
        }
        let mut octets = [0; 4096];
        let length = stream.read(&mut octets)?;
        if length == 0 {
            return Err(refused("it closed".into()));
        }
        let mut input = &octets[..length];
        while let Some(event) =
            link.receive(std::mem::take(&mut input), |_| {}).map_err(|error| refused(error.to_string()))?
        {
            match event {
                Event::Greeted => drop(link.accept().map_err(|error| refused(error.to_string()))?),
                Event::Stream => return Ok(()),
                _ => {}
            }
        }
    }
}

/// Connects as a node of this name; gives up after so long.
pub(crate) fn connect(address: &str, name: &str, framing: Framing, time: Duration) -> io::Result<(TcpStream, Link)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(time))?;
    let config = config(name, framing);
    let own = OwnGreeting::new(&config, random(), None).expect("a greeting");
    let mut link = Link::new(Arc::new(config), Role::Opener, own, Duration::ZERO);
    handshake(&mut stream, &mut link)?;
    stream.set_read_timeout(None)?;
    Ok((stream, link))
}

impl Member {
    /// Joins, and counts what it sends and what it gets.
    pub(crate) fn join(
        address: &str,
        name: &str,
        framing: Framing,
        sent: Arc<AtomicU64>,
        got: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let (stream, mut link) = connect(address, name, framing, patience())?;
        let heard = Arc::<(Mutex<Heard>, Condvar)>::default();
        let (mut reads, listens) = (stream.try_clone()?, heard.clone());
        std::thread::spawn(move || {
            let mut octets = vec![0; 64 << 10];
            loop {
                let length = reads.read(&mut octets).unwrap_or_default();
                got.fetch_add(length as u64, Ordering::Relaxed);
                let mut input = &octets[..length];
                let take = |packet: aemp_node::proto::framing::Packet<'_>| {
                    let mut elements = packet.elements();
                    let is_echo = elements.name().is_some_and(|name| name == "heard");
                    let mut heard = listens.0.lock().expect("no panic");
                    if is_echo {
                        heard.echoes += 1;
                        listens.1.notify_all();
                    } else if heard.messages.len() < 1000 && packet.octets().len() < 1000 {
                        heard.messages.extend(packet.decode::<Vec<Value>>());
                    }
                };
                let mut take = take;
                let mut fine = length > 0;
                while fine {
                    match link.receive(std::mem::take(&mut input), &mut take) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => fine = false,
                    }
                }
                if !fine {
                    listens.0.lock().expect("no panic").ended = true;
                    return listens.1.notify_all();
                }
            }
        });
        Ok(Member { stream, name: name.into(), framing, sent, echoes: 0, heard })
    }

    /// Sends octets; false if the node has closed the connection.
    pub(crate) fn say(&mut self, octets: &[u8]) -> bool {
        let said = self.stream.write_all(octets).is_ok();
        self.sent.fetch_add(if said { octets.len() as u64 } else { 0 }, Ordering::Relaxed);
        said
    }

    /// Sends a packet.
    pub(crate) fn send<T: Serialize + ?Sized>(&mut self, packet: &T) -> bool {
        self.say(&encoded(self.framing, packet))
    }

    /// Sends the same octets again and again, in large writes.
    pub(crate) fn repeat(&mut self, octets: &[u8], times: usize) -> bool {
        let at_once = (64_usize << 10).div_ceil(octets.len()).min(times.max(1));
        let batch = octets.repeat(at_once);
        (0..times / at_once).all(|_| self.say(&batch)) && self.say(&octets.repeat(times % at_once))
    }

    /// Waits until the node has done what was sent before; false if it has closed the connection.
    pub(crate) fn settled(&mut self) -> bool {
        self.echoes += 1;
        let echo = format!("{}#heard", self.name);
        if !self.send(&("", "snd", &echo)) {
            return false;
        }
        let (heard, told) = &*self.heard;
        let waits = |heard: &mut Heard| heard.echoes < self.echoes && !heard.ended;
        let heard = told.wait_timeout_while(heard.lock().expect("no panic"), patience(), waits).expect("no panic").0;
        heard.echoes >= self.echoes
    }

    /// Takes the messages that have come, but the large ones.
    pub(crate) fn messages(&self) -> Vec<Vec<Value>> {
        std::mem::take(&mut self.heard.0.lock().expect("no panic").messages)
    }

    /// Closes the connection.
    pub(crate) fn leave(self) {
        // The node may have closed it.
        let _closed = self.stream.shutdown(Shutdown::Both);
    }
}

/// A packet in a framing, whatever its size.
pub(crate) fn encoded<T: Serialize + ?Sized>(framing: Framing, packet: &T) -> Vec<u8> {
    let mut octets = Vec::new();
    let unlimited = Limits { octets: usize::MAX, depth: usize::MAX, values: usize::MAX };
    framing.encode(packet, &unlimited, &mut octets).expect("it can be written");
    octets
}

/// Opens a data connection that the node expects.
pub(crate) fn data_connection(address: &str, name: &str, id: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience()))?;
    let config = config(name, Framing::Json);
    let keys = BTreeMap::from([("dataconn_id".into(), id.into())]);
    let own = OwnGreeting::of_protocol("dataconn", keys, &config, random(), None).expect("a greeting");
    let mut link = Link::new(Arc::new(config), Role::Opener, own, Duration::ZERO);
    handshake(&mut stream, &mut link)?;
    Ok(stream)
}
