//! What plain sockets do: below that no protocol over sockets and no json can go.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Deserializer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::latency::Latencies;
use super::options::Arrangement;
use super::{Figures, together};
use crate::Failure;

/// What goes over the sockets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Messages one way, written in batches and decoded one by one.
    OneWay,
    /// The octets of a message to and fro over blocking sockets.
    Blocking,
    /// The octets of a message to and fro over tokio's sockets.
    Tokio,
}

/// A message as the nodes have it: the name of a port, a number, a text.
type Message<'a> = (&'a str, u64, &'a str);

/// The name of a port, as long as one of the first ones of a node.
const PORT: &str = "yPLm38241";

/// Octets that are written at once, and read at once.
const BATCH: usize = 64 << 10;

impl Kind {
    /// The octet with which a connection begins.
    fn letter(self) -> u8 {
        match self {
            Kind::OneWay => b'o',
            Kind::Blocking => b'b',
            Kind::Tokio => b't',
        }
    }
}

/// The octets of a message, which round trips carry.
fn message(payload: &str) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(&(PORT, 0, payload))?)
}

fn payload(arrangement: &Arrangement) -> String {
    "x".repeat(arrangement.size as usize)
}

// --- the receiving side ---

/// Serves whoever connects, for as long as the process runs.
pub(super) fn listen(arrangement: &Arrangement) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let length = message(&payload(arrangement))?.len();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            // The sending side sees that its connection ends early.
            thread::spawn(move || serve(stream, length));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream, length: usize) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut letter = [0];
    stream.read_exact(&mut letter)?;
    if letter[0] == Kind::OneWay.letter() {
        let arrived = receive(&stream)?;
        return stream.write_all(&arrived.to_be_bytes());
    }
    let mut octets = vec![0; length];
    if letter[0] == Kind::Blocking.letter() {
        loop {
            stream.read_exact(&mut octets)?;
            stream.write_all(&octets)?;
        }
    }
    with_tokio(stream, async move |mut stream| {
        loop {
            stream.read_exact(&mut octets).await?;
            stream.write_all(&octets).await?;
        }
    })
}

/// Decodes all messages of a stream and checks their numbers; how many there were.
fn receive(mut stream: &TcpStream) -> io::Result<u64> {
    let mut buffer = vec![0; 2 * BATCH];
    let (mut filled, mut count) = (0, 0);
    loop {
        if filled == buffer.len() {
            // A message that is longer.
            buffer.resize(2 * filled, 0);
        }
        let octets = stream.read(&mut buffer[filled..])?;
        if octets == 0 {
            return Ok(count);
        }
        filled += octets;
        let mut messages = Deserializer::from_slice(&buffer[..filled]).into_iter::<Message<'_>>();
        let mut done = 0;
        while let Some(message) = messages.next() {
            match message {
                Ok((_, number, _)) if number == count => count += 1,
                Ok((_, number, _)) => {
                    return Err(io::Error::other(format!("message {number} came in the place of {count}")));
                }
                Err(error) if error.is_eof() => break,
                Err(error) => return Err(error.into()),
            }
            done = messages.byte_offset();
        }
        buffer.copy_within(done..filled, 0);
        filled -= done;
    }
}

// --- the sending side ---

/// As many connections as there are pairs of nodes, all at once, each with its threads.
pub(super) async fn measure(
    kind: Kind,
    address: SocketAddr,
    arrangement: &Arrangement,
    time: Duration,
) -> Result<Figures, Failure> {
    let payload = payload(arrangement);
    let connections = 0..arrangement.connections;
    let streams = connections.map(|_| TcpStream::connect(address)).collect::<io::Result<Vec<_>>>();
    let streams = streams.map_err(|error| failed(&error))?;
    let start = Instant::now();
    let running: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            let payload = payload.clone();
            tokio::task::spawn_blocking(move || talk(kind, stream, &payload, start, time))
        })
        .collect();
    let mut each = Vec::new();
    for running in running {
        each.push(running.await.map_err(Failure::refused)?.map_err(|error| failed(&error))?);
    }
    Ok(together(each, start.elapsed()))
}

fn failed(error: &io::Error) -> Failure {
    Failure::refused(format!("plain sockets: {error}"))
}

fn talk(kind: Kind, mut stream: TcpStream, payload: &str, start: Instant, time: Duration) -> io::Result<Figures> {
    stream.set_nodelay(true)?;
    stream.write_all(&[kind.letter()])?;
    if kind == Kind::OneWay {
        return send(stream, payload, start, time);
    }
    let mut octets = message(payload)?;
    let (mut latencies, mut count, mut sent) = (Latencies::new(), 0, start);
    let mut is_last = move |latencies: &mut Latencies| {
        let now = Instant::now();
        latencies.add(now - sent);
        sent = now;
        now - start >= time
    };
    if kind == Kind::Blocking {
        loop {
            stream.write_all(&octets)?;
            stream.read_exact(&mut octets)?;
            count += 1;
            if is_last(&mut latencies) {
                break;
            }
        }
    } else {
        (latencies, count) = with_tokio(stream, async move |mut stream| {
            loop {
                stream.write_all(&octets).await?;
                stream.read_exact(&mut octets).await?;
                count += 1;
                if is_last(&mut latencies) {
                    return Ok((latencies, count));
                }
            }
        })?;
    }
    Ok(Figures { count, time: start.elapsed(), latencies: Some(latencies) })
}

/// Writes messages in batches; at the end the other side says how many have arrived.
fn send(mut stream: TcpStream, payload: &str, start: Instant, time: Duration) -> io::Result<Figures> {
    let mut batch = Vec::new();
    let mut count = 0u64;
    while start.elapsed() < time {
        batch.clear();
        while batch.len() < BATCH {
            serde_json::to_writer(&mut batch, &(PORT, count, payload))?;
            count += 1;
        }
        stream.write_all(&batch)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut arrived = [0; 8];
    stream.read_exact(&mut arrived)?;
    let arrived = u64::from_be_bytes(arrived);
    if arrived != count {
        return Err(io::Error::other(format!("messages were lost: {count} were sent, {arrived} arrived")));
    }
    Ok(Figures { count, time: start.elapsed(), latencies: None })
}

/// Runs code on a stream of tokio's, on this thread.
fn with_tokio<R>(stream: TcpStream, code: impl AsyncFnOnce(tokio::net::TcpStream) -> io::Result<R>) -> io::Result<R> {
    stream.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { code(tokio::net::TcpStream::from_std(stream)?).await })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader makes of these octets, in two pieces.
    fn received(octets: &[u8], split: usize) -> io::Result<u64> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut sender = TcpStream::connect(listener.local_addr()?)?;
        let (receiver, _) = listener.accept()?;
        let reader = thread::spawn(move || receive(&receiver));
        sender.write_all(&octets[..split])?;
        sender.write_all(&octets[split..])?;
        drop(sender);
        reader.join().expect("it does not panic")
    }

    #[test]
    fn messages_that_are_cut_anywhere_are_counted_and_a_wrong_number_is_an_error() -> io::Result<()> {
        let octets = br#"["p",0,"x"]["p",1,""]["p",2,"y"]"#;
        for split in 0..octets.len() {
            assert_eq!(received(octets, split)?, 3, "{split}");
        }
        assert!(received(br#"["p",0,"x"]["p",2,""]"#, 5).is_err());
        assert!(received(br#"["p",0,"x"]nonsense"#, 5).is_err());
        assert_eq!(received(br#"["p",0,"x"]["p",1"#, 5)?, 1);
        Ok(())
    }
}
