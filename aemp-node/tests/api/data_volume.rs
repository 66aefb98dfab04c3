//! Much data over a data connection, hashed on both sides, while messages pass between the same nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::names::NodeId;
use aemp_node::{Certificates, Config, Node};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const BLOCK: usize = 64 << 10;

/// Writes so many octets that are never the same, then ends that direction; their hash.
async fn send(mut stream: impl AsyncWrite + Unpin, octets: u64) -> [u8; 32] {
    let (mut block, mut hash, mut sent) = (vec![0; BLOCK], Sha256::new(), 0);
    for (place, octet) in block.iter_mut().enumerate() {
        *octet = (place * 7) as u8;
    }
    while sent < octets {
        block[..8].copy_from_slice(&sent.to_be_bytes());
        let length = BLOCK.min(usize::try_from(octets - sent).unwrap_or(BLOCK));
        hash.update(&block[..length]);
        stream.write_all(&block[..length]).await.expect("it reads");
        sent += length as u64;
    }
    stream.shutdown().await.expect("it reads");
    hash.finalize().into()
}

/// Reads to the end: how much there was, and its hash.
async fn receive(mut stream: impl AsyncRead + Unpin) -> (u64, [u8; 32]) {
    let (mut block, mut hash, mut received) = (vec![0; BLOCK], Sha256::new(), 0);
    loop {
        match stream.read(&mut block).await.expect("it is not cut off") {
            0 => return (received, hash.finalize().into()),
            length => {
                hash.update(&block[..length]);
                received += length as u64;
            }
        }
    }
}

fn config(id: &str, certificates: Option<&Certificates>) -> Config {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    match certificates {
        None => config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret")),
        some => config.certificates = some.cloned(),
    }
    config
}

/// Sends so much from one node to another, with or without messages beside it: how long that took, and how many messages
/// passed meanwhile.
async fn pass(octets: u64, certificates: Option<&Certificates>, talk: bool) -> (Duration, u64) {
    let mut to = config("to", certificates);
    to.listen = vec!["127.0.0.1:0".into()];
    let to = Node::start(to).await.expect("it starts");
    let mut from = config("from", certificates);
    from.seeds = vec![to.addresses()[0].to_string()];
    let from = Node::start(from).await.expect("it starts");
    let mut events = from.events();
    while !matches!(events.recv().await, Some(NodeEvent::Up(_))) {}

    let (mut next, mut lost) = (0, 0u64);
    let (heard, wrong) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, mistakes) = (heard.clone(), wrong.clone());
    let port = to
        .port(move |_, elements| {
            let number: u64 = elements.rest()?;
            lost += u64::from(number != next);
            next = number + 1;
            count.fetch_add(1, Ordering::Relaxed);
            mistakes.store(lost, Ordering::Relaxed);
            Ok(())
        })
        .await
        .expect("it runs");
    let done = Arc::new(AtomicBool::new(false));
    let (stop, node, target) = (done.clone(), from.clone(), port.clone());
    let messages = tokio::spawn(async move {
        let mut sent = 0u64;
        while talk && !stop.load(Ordering::Relaxed) {
            node.ready(target.node()).await.expect("it runs");
            node.send(&target, &sent).expect("there is room");
            sent += 1;
        }
        sent
    });

    let mut listener = to.data_accept("Data::take").await.expect("the name is free");
    let taking = tokio::spawn(async move {
        let (stream, arguments) = listener.accept().await.expect("it runs");
        let announced: u64 = arguments.decode().expect("a number");
        let (received, hash) = receive(stream).await;
        assert_eq!(received, announced);
        hash
    });
    let stream = from.data_connect(to.id(), "Data::take", &octets).await.expect("it stands");
    let begun = Instant::now();
    let sent = send(stream, octets).await;
    let received = taking.await.expect("no panic");
    let time = begun.elapsed();
    assert_eq!(sent, received);
    done.store(true, Ordering::Relaxed);
    let sent = messages.await.expect("no panic");
    // An echo comes back behind all that was sent before.
    from.call(&to.id().port(""), &"snd", Some(Duration::from_secs(60))).await.expect("it answers");
    assert_eq!((heard.load(Ordering::Relaxed), wrong.load(Ordering::Relaxed)), (sent, 0));
    assert_eq!(sent > 0, talk);
    (time, sent)
}

/// The same without nodes.
async fn copy(octets: u64) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it listens");
    let taking = tokio::spawn(async move { receive(listener.accept().await.expect("it comes").0).await });
    let stream = TcpStream::connect(address).await.expect("it listens");
    let begun = Instant::now();
    let sent = send(stream, octets).await;
    let received = taking.await.expect("no panic");
    assert_eq!(received, (octets, sent));
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_is_what_arrives_while_messages_pass() {
    let certificates = Certificates::shared(crate::support::certificates::shared().as_bytes()).expect("a certificate");
    for certificates in [None, Some(&certificates)] {
        pass((64 << 20) + 1, certificates, true).await;
    }
}

/// `cargo test --release -p aemp-node --test api data_volume -- --ignored --nocapture` prints how fast that was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes a while"]
async fn a_gibibyte_is_what_arrives_while_messages_pass() {
    const GIBIBYTE: u64 = 1 << 30;
    let certificates = Certificates::shared(crate::support::certificates::shared().as_bytes()).expect("a certificate");
    let show = |what: &str, time: Duration, messages: u64| {
        let rate = GIBIBYTE as f64 / time.as_secs_f64() / f64::from(1 << 20);
        println!("{what}: 1 GiB in {time:.2?}, {rate:.0} MiB/s, {messages} messages meanwhile");
    };
    show("plain TCP without nodes", copy(GIBIBYTE).await, 0);
    for (what, certificates) in [("data connection", None), ("data connection, TLS", Some(&certificates))] {
        for talk in [false, true] {
            let (time, messages) = pass(GIBIBYTE, certificates, talk).await;
            show(what, time, messages);
        }
    }
    show("plain TCP without nodes", copy(GIBIBYTE).await, 0);
}
