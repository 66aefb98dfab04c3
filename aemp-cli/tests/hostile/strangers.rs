//! Those who do not have the secret.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ground::{Ground, size};

/// Threads that go on with something for so long; how often they did it.
fn for_a_while(threads: usize, time: Duration, work: impl Fn(usize) + Send + Sync + 'static) -> u64 {
    let (work, ended, times) = (Arc::new(work), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let running: Vec<_> = (0..threads)
        .map(|thread| {
            let (work, ended, times) = (work.clone(), ended.clone(), times.clone());
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    work(thread);
                    times.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let begun = Instant::now();
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(10));
    }
    ended.store(true, Ordering::Relaxed);
    running.into_iter().for_each(|thread| thread.join().expect("no panic"));
    times.load(Ordering::Relaxed)
}

fn patient(address: &str) -> Option<TcpStream> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    Some(stream)
}

#[test]
fn silent_connections() {
    let ground = Ground::new("silent connections", &[]);
    let address = ground.address();
    let held: Vec<_> = (0..size(1_100, 5_000)).filter_map(|_| TcpStream::connect(&address).ok()).collect();
    println!("{} connections", held.len());
    std::thread::sleep(Duration::from_secs(size(2, 40) as u64));
    drop(held);
    ground.end();
}

#[test]
fn slots_that_are_kept_full() {
    let ground = Ground::new("handshakes that are kept full", &[]);
    let address = ground.address();
    let mut held: Vec<_> = (0..size(1_000, 1_000)).filter_map(|_| TcpStream::connect(&address).ok()).collect();
    let begun = Instant::now();
    let mut dials = 0;
    while begun.elapsed() < Duration::from_secs(size(2, 20) as u64) {
        // One that was closed is dialled again.
        for stream in &mut held {
            stream.set_nonblocking(true).expect("a socket");
            let closed = loop {
                match stream.read(&mut [0; 1000]) {
                    Ok(0) => break true,
                    Ok(_) => {}
                    Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
                }
            };
            if closed && let Ok(again) = TcpStream::connect(&address) {
                *stream = again;
                dials += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(8));
    }
    println!("{dials} connections were opened again");
    drop(held);
    ground.end();
}

#[test]
fn wrong_tokens() {
    let ground = Ground::new("wrong tokens", &[]);
    let (address, sent) = (ground.address(), ground.counter());
    let token = "0".repeat(128);
    let line = format!("aemp;1;liar;hmac_sha3_512;json\nnonce\nhmac_sha3_512;{token};json\n");
    let tried = for_a_while(3, Duration::from_secs(size(1, 10) as u64), move |_| {
        if let Some(mut stream) = patient(&address)
            && stream.write_all(line.as_bytes()).is_ok()
        {
            sent.fetch_add(line.len() as u64, Ordering::Relaxed);
            // Until it closes.
            let mut ignored = Vec::new();
            let _reset = stream.read_to_end(&mut ignored);
        }
    });
    println!("{tried} tokens");
    ground.end();
}

#[test]
fn noise_and_other_protocols() {
    let ground = Ground::new("endless lines, HTTP, TLS, noise", &[]);
    let (address, sent) = (ground.address(), ground.counter());
    let tried = for_a_while(2, Duration::from_secs(size(1, 10) as u64), move |thread| {
        for octets in
            [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &[b'x'; 10_000], b"\x16\x03\x01\x02\x00\x01\x00", &[0xFF; 100]]
        {
            if let Some(mut stream) = patient(&address) {
                let half = if thread == 0 { octets } else { &octets[..octets.len() / 2] };
                // It may close before it has read all.
                if stream.write_all(half).is_ok() {
                    sent.fetch_add(half.len() as u64, Ordering::Relaxed);
                }
            }
        }
    });
    println!("{} connections", tried * 4);
    ground.end();
}

#[test]
fn the_id_of_a_living_peer() {
    let ground = Ground::new("connections under the ID of the probe", &[]);
    let (address, sent) = (ground.address(), ground.counter());
    let greeting = b"aemp;1;probe;hmac_sha3_512;json;mproto=1\nnonce\n";
    let tried = for_a_while(2, Duration::from_secs(size(1, 10) as u64), move |_| {
        if let Some(mut stream) = patient(&address)
            && stream.write_all(greeting).is_ok()
        {
            sent.fetch_add(greeting.len() as u64, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    println!("{tried} connections");
    ground.end();
}
