//! What peers and strangers can do wrong with data connections, to live nodes.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use crate::support::attacker::{Attacker, is_closed_after, raw};
use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::Framing;
use aemp_node::proto::link::{self, Event, Link, OwnGreeting, Role};
use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use aemp_node::{Config, DataListener, Node};
use serde_json::json;
use tokio::io::AsyncReadExt as _;

/// A node that takes data connections for `Data::take`, and its address.
async fn victim() -> (Node, DataListener, String) {
    let mut config = Config::new(NodeId::new("seed").expect("a node ID"));
    config.listen = vec!["127.0.0.1:0".into()];
    config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    config.node.link.handshake_timeout = Duration::from_secs(1);
    let node = Node::start(config).await.expect("it starts");
    let listener = node.data_accept("Data::take").await.expect("the name is free");
    let address = node.addresses()[0].to_string();
    (node, listener, address)
}

/// Opens a data connection under this name; the stream, and what came of it behind the handshake. `None` if the node closed
/// it.
fn open(address: &str, name: &str, id: &str, behind: &[u8]) -> Option<(TcpStream, Vec<u8>)> {
    let mut config = link::Config::new(NodeId::new(name).expect("a node ID"));
    config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    let keys = BTreeMap::from([("dataconn_id".to_owned(), id.to_owned())]);
    let own = OwnGreeting::of_protocol("dataconn", keys, &config, [7; 32], None).expect("a greeting");
    let mut link = Link::new(Arc::new(config), Role::Opener, own, Duration::ZERO);
    let mut stream = raw(address);
    let mut octets = [0; 4096];
    loop {
        let mut output = link.output().to_vec();
        link.advance_output(output.len());
        if output.starts_with(b"hmac_") {
            output.extend_from_slice(behind);
        }
        stream.write_all(&output).ok()?;
        let length = stream.read(&mut octets).ok().filter(|length| *length > 0)?;
        let mut input = &octets[..length];
        while let Some(event) = link.receive(std::mem::take(&mut input), |_| {}).expect("what a node sends is right") {
            match event {
                Event::Greeted => drop(link.accept().expect("it may go on")),
                Event::Stream => return Some((stream, link.hand_over().expect("all is sent"))),
                _ => {}
            }
        }
    }
}

fn expect(id: &str, name: &str) -> serde_json::Value {
    json!(["", "AnyEvent::MP::DataConn::_expect", id, format!("{name}#w"), 20, "Data::take"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_that_are_wrong_used_or_of_another_node_are_refused() {
    // DATA-3, DATA-17
    let (_node, mut listener, address) = victim().await;
    let mut peer = Attacker::connect(&address, "peer", Framing::Json);
    let mut other = Attacker::connect(&address, "other", Framing::Json);
    peer.send(&expect("b@peer", "peer"));
    assert_eq!(peer.heard("seed"), Vec::<Vec<Value>>::new());
    for (name, id) in [("peer", "a@peer"), ("peer", ""), ("other", "b@peer"), ("third", "b@peer"), ("peer", "B@peer")] {
        assert!(open(&address, name, id, b"").is_none(), "{name} {id}");
    }
    let (mut stream, early) = open(&address, "peer", "b@peer", b"at once, ").expect("it is expected");
    assert_eq!(early, b"");
    for _ in 0..3 {
        assert!(open(&address, "peer", "b@peer", b"").is_none());
    }
    stream.write_all(b"[\"\",\"kil1\",\"w\"]").expect("it reads");
    stream.shutdown(std::net::Shutdown::Write).expect("it stands");
    let (mut taken, arguments) = listener.accept().await.expect("it runs");
    assert_eq!(arguments.source().map(NodeId::as_str), Some("peer"));
    let mut text = String::new();
    taken.read_to_string(&mut text).await.expect("an end in order");
    assert_eq!(text, "at once, [\"\",\"kil1\",\"w\"]");
    // Nobody else has noticed anything.
    assert_eq!((peer.heard("seed"), other.heard("seed")), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stalls_or_talks_nonsense_is_closed_and_what_is_expected_stays_good() {
    let (node, mut listener, address) = victim().await;
    let mut peer = Attacker::connect(&address, "peer", Framing::Json);
    peer.send(&expect("b@peer", "peer"));
    peer.heard("seed");
    let greeting = "aemp-dataconn;1;peer;hmac_sha3_512;json;dataconn_id=b@peer\n";
    let says = [
        // Nothing more comes.
        String::new(),
        greeting.into(),
        format!("{greeting}nonce\n"),
        // No authentication line, a wrong one, packets.
        format!("{greeting}nonce\n[\"\"]\n"),
        format!("{greeting}nonce\nhmac_sha3_512;{};json\n", "00".repeat(64)),
        format!("{greeting}nonce\ntls_anon;;json\n"),
        "aemp-other;1;peer;hmac_sha3_512;json;dataconn_id=b@peer\nnonce\n".into(),
        "aemp-dataconn;1;seed;hmac_sha3_512;json;dataconn_id=b@peer\nnonce\n".into(),
    ];
    for say in says {
        assert!(is_closed_after(&mut raw(&address), say.as_bytes()), "{say}");
    }
    let (stream, _) = open(&address, "peer", "b@peer", b"").expect("it is expected");
    drop(stream);
    listener.accept().await.expect("it runs").0.read_to_end(&mut Vec::new()).await.expect("an end");
    assert_eq!((peer.heard("seed"), node.connections().await), (Vec::new(), Ok(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_peer_has_expected_is_bounded_and_does_not_keep_others_out() {
    // DATA-18
    let (node, mut listener, address) = victim().await;
    let mut peer = Attacker::connect(&address, "peer", Framing::Json);
    for number in 0..1000 {
        peer.send(&expect(&format!("{number}@peer"), "peer"));
    }
    let refusals = peer.heard("seed");
    assert_eq!(refusals.len(), 900);
    assert!(refusals.iter().all(|refusal| refusal[1..4] == ["kil1".into(), "w".into(), "AnyEvent::MP::DataConn".into()]));
    let mut other = Attacker::connect(&address, "other", Framing::Json);
    other.send(&expect("b@other", "other"));
    other.heard("seed");
    assert!(open(&address, "other", "b@other", b"").is_some());
    listener.accept().await.expect("it runs");
    assert_eq!(node.connections().await, Ok(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_answers_a_message_connection_as_a_data_connection_is_left() {
    // GREET-3, DATA-6
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut config = Config::new(NodeId::new("dialler").expect("a node ID"));
    config.seeds = vec![listener.local_addr().expect("it listens").to_string()];
    config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    let node = Node::start(config).await.expect("it starts");
    let closed = tokio::task::spawn_blocking(move || {
        let (mut stream, _) = listener.accept().expect("it dials");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        is_closed_after(&mut stream, b"aemp-dataconn;1;peer;hmac_sha3_512;json;dataconn_id=b@peer\nnonce\n")
    });
    assert!(closed.await.expect("no panic"));
    assert_eq!(node.up_nodes().await, Ok(Vec::new()));
}
