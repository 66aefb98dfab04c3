//! An honest peer that talks all the while, and newcomers that connect all the while.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use aemp_node::proto::framing::{Framing, Packet};

use super::member::{connect, patience};

/// Between two messages of the probe.
const BEAT: Duration = Duration::from_millis(25);

/// Between two newcomers.
const NEWCOMER: Duration = Duration::from_millis(500);

#[derive(Default)]
struct Talk {
    /// When each message was sent.
    sent: Vec<Instant>,
    /// How long each took to come back.
    times: Vec<Duration>,
    /// What came back in the wrong order, or did not.
    lost: usize,
    /// What else was told.
    told: Vec<String>,
    ended: bool,
}

/// A peer that sends numbers, every other one through the port `echo`, and hears them come back.
pub(crate) struct Probe {
    talk: Arc<Mutex<Talk>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    newcomers: Arc<Newcomers>,
    stream: std::net::TcpStream,
}

#[derive(Default)]
struct Newcomers {
    tried: AtomicUsize,
    admitted: AtomicUsize,
    slowest: Mutex<Duration>,
}

/// What the probe saw.
pub(crate) struct Seen {
    /// Round trips from the one that was asked for on, in the order of their length.
    pub(crate) times: Vec<Duration>,
    pub(crate) sent: usize,
    pub(crate) lost: usize,
    pub(crate) told: Vec<String>,
    pub(crate) ended: bool,
    pub(crate) newcomers: usize,
    pub(crate) admitted: usize,
    pub(crate) slowest: Duration,
}

impl Probe {
    pub(crate) fn start(address: &str) -> Self {
        let (stream, mut link) = connect(address, "probe", Framing::Json, patience()).expect("it takes the probe");
        let (talk, stop) = (Arc::<Mutex<Talk>>::default(), Arc::<AtomicBool>::default());
        let (mut writes, mut reads) = (stream.try_clone().expect("a handle"), stream.try_clone().expect("a handle"));
        writes.write_all(br#"["","mon1","echo"]"#).expect("it reads");
        let (says, ends) = (talk.clone(), stop.clone());
        let writer = std::thread::spawn(move || {
            let mut next = Instant::now();
            while !ends.load(Ordering::Relaxed) {
                let number = {
                    let mut talk = says.lock().expect("no panic");
                    talk.sent.push(Instant::now());
                    talk.sent.len() - 1
                };
                let message = match number % 2 {
                    0 => format!(r#"["","snd","probe#n",{number}]"#),
                    _ => format!(r#"["echo",{number},"probe#n"]"#),
                };
                if writes.write_all(message.as_bytes()).is_err() {
                    return;
                }
                next += BEAT;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        let hears = talk.clone();
        let reader = std::thread::spawn(move || {
            let mut octets = vec![0; 64 << 10];
            loop {
                let length = reads.read(&mut octets).unwrap_or_default();
                let now = Instant::now();
                let mut talk = hears.lock().expect("no panic");
                if length == 0 {
                    talk.ended = true;
                    return;
                }
                let mut input = &octets[..length];
                let mut take = |packet: Packet<'_>| match packet.decode::<(String, usize)>() {
                    Ok((port, number)) if port == "n" => {
                        let expected = talk.times.len() + talk.lost;
                        talk.lost += number.saturating_sub(expected);
                        let sent = talk.sent[number];
                        if number < expected {
                            talk.told.push(format!("number {number} after {expected}"));
                        } else {
                            talk.times.push(now - sent);
                        }
                    }
                    // What nodes say to each other, but for the end of a port that is watched.
                    _ if format!("{packet:?}").starts_with("[\"\",") && !format!("{packet:?}").contains("kil0") => {}
                    _ => talk.told.push(format!("{packet:?}")),
                };
                while link.receive(std::mem::take(&mut input), &mut take).expect("what it sends is right").is_some() {}
            }
        });
        let newcomers = Arc::<Newcomers>::default();
        let (comes, address, ends) = (newcomers.clone(), address.to_owned(), stop.clone());
        let coming = std::thread::spawn(move || {
            let mut next = Instant::now();
            while !ends.load(Ordering::Relaxed) {
                let number = comes.tried.fetch_add(1, Ordering::Relaxed);
                let begun = Instant::now();
                if let Ok((stream, _)) = connect(&address, &format!("new{number}"), Framing::Cbor, Duration::from_secs(5)) {
                    comes.admitted.fetch_add(1, Ordering::Relaxed);
                    let mut slowest = comes.slowest.lock().expect("no panic");
                    *slowest = begun.elapsed().max(*slowest);
                    // The node may have closed it.
                    let _closed = stream.shutdown(Shutdown::Both);
                }
                next = (next + NEWCOMER).max(Instant::now());
                while Instant::now() < next && !ends.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        Probe { talk, stop, threads: vec![writer, coming, reader], newcomers, stream }
    }

    /// How many messages were sent so far.
    pub(crate) fn sent(&self) -> usize {
        self.talk.lock().expect("no panic").sent.len()
    }

    /// Waits until what was sent so far has come back; false if it did not.
    pub(crate) fn settled(&self) -> bool {
        let (sent, begun) = (self.sent(), Instant::now());
        loop {
            let talk = self.talk.lock().expect("no panic");
            if talk.times.len() + talk.lost >= sent {
                return true;
            }
            if talk.ended || begun.elapsed() > patience() {
                return false;
            }
            drop(talk);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends when everything that was sent has come back; what was seen since so many messages had been sent.
    pub(crate) fn stop(self, since: usize) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut threads = self.threads.into_iter();
        threads.by_ref().take(2).for_each(|thread| thread.join().expect("no panic"));
        let begun = Instant::now();
        let unanswered = || {
            let talk = self.talk.lock().expect("no panic");
            !talk.ended && talk.times.len() + talk.lost < talk.sent.len()
        };
        while unanswered() && begun.elapsed() < patience() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = self.talk.lock().expect("no panic").ended;
        // The node may have closed it.
        let _closed = self.stream.shutdown(Shutdown::Both);
        threads.for_each(|thread| thread.join().expect("no panic"));
        let talk = self.talk.lock().expect("no panic");
        let mut times: Vec<_> = talk.times.iter().skip(since).copied().collect();
        times.sort();
        Seen {
            times,
            sent: talk.sent.len(),
            lost: talk.sent.len() - talk.times.len(),
            told: talk.told.clone(),
            ended,
            newcomers: self.newcomers.tried.load(Ordering::Relaxed),
            admitted: self.newcomers.admitted.load(Ordering::Relaxed),
            slowest: *self.newcomers.slowest.lock().expect("no panic"),
        }
    }
}
