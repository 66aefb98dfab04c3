//! A peer that writes every text as a cbor byte string, as nodes of the reference do (`VALUE-7`): what the program makes of
//! it.

use std::net::TcpListener;
use std::process::Output;
use std::thread;

use crate::support::attacker::Attacker;
use crate::support::{aemp, output, seed, text};
use aemp_node::proto::framing::{Framing, Limits};
use aemp_node::proto::value::Value;

/// The octets of a packet in which every text is bytes; keys of maps stay text.
fn packet(values: &[Value]) -> Vec<u8> {
    fn octets(value: &Value) -> Value {
        match value {
            Value::Text(text) => Value::Bytes(text.bytes().collect()),
            Value::Array(values) => values.iter().map(octets).collect::<Vec<_>>().into(),
            Value::Map(members) => Value::Map(members.iter().map(|(key, value)| (key.clone(), octets(value))).collect()),
            other => other.clone(),
        }
    }
    let mut packet = Vec::new();
    let values: Vec<Value> = values.iter().map(octets).collect();
    Framing::Cbor.encode(&values, &Limits::default(), &mut packet).expect("it can be written");
    packet
}

#[test]
fn the_service_echo_answers() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let mut peer = Attacker::connect(&address, "perl", Framing::Cbor);
    peer.say(&packet(&["echo".into(), "hello".into(), 42.into(), "perl#back".into()]));
    let came = peer.heard("seed");
    assert_eq!(came, [vec!["back".into(), Value::Bytes(b"hello".to_vec()), 42.into()]]);
}

#[test]
fn the_service_echo_outlives_what_it_cannot_answer() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let mut reader = Attacker::connect(&address, "reader", Framing::Json);
    let mut peer = Attacker::connect(&address, "perl", Framing::Cbor);
    // In json each of these octets becomes six, and that is more than the node sends in a packet.
    let long = Value::Bytes(vec![1; 1 << 19]);
    peer.say(&packet(&["echo".into(), long, "reader#back".into()]));
    peer.say(&packet(&["echo".into()]));
    peer.say(&packet(&["echo".into(), 1.into()]));
    peer.say(&packet(&["echo".into(), "still there".into(), "reader#back".into()]));
    assert_eq!(reader.next(|message| message[0] == "back".into()), ["back".into(), "still there".into()]);
}

#[test]
fn nodes_shows_the_addresses() {
    let (_seed, address) = seed("127.0.0.1:0", &["--global"]);
    let mut peer = Attacker::connect(&address, "perl", Framing::Cbor);
    let addresses = Value::Array(vec!["10.0.0.1:4040".into(), "10.0.0.2:4040".into()]);
    let own = Value::Map([("'l".to_owned(), Value::Map([("perl".to_owned(), addresses)].into()))].into());
    peer.say(&packet(&["".into(), "g_slave".into(), own]));
    peer.heard("seed");
    let nodes = text(&output(&mut aemp(&["nodes", "--seed", &address])).stdout);
    assert!(nodes.contains("perl  10.0.0.1:4040 10.0.0.2:4040\n"), "{nodes}");
}

/// What `aemp pipe` says when its request for a data connection is answered with these reasons.
fn refused(reasons: &[&str]) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let reasons: Vec<Value> = reasons.iter().map(|reason| Value::from(*reason)).collect();
    let peer = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the program connects");
        let mut peer = Attacker::accept(stream, "perl", Framing::Cbor);
        let request =
            peer.next(|message| message.get(1).and_then(Value::text).is_some_and(|name| name.ends_with("_expect")));
        // Its port, without the ID of its node.
        let port = request[3].text().expect("a port ID").split_once('#').expect("a port ID").1.to_owned();
        let kil1 = [vec!["".into(), "kil1".into(), port.into()], reasons].concat();
        peer.say(&packet(&kil1));
        // Until the program has read it.
        peer.hears_the_end();
    });
    let said = output(&mut aemp(&["pipe", "--seed", &address, "--framing", "cbor", "-n", "perl", "Files::get", "x"]));
    peer.join().expect("the peer does its part");
    said
}

#[test]
fn pipe_says_why_there_is_no_stream() {
    let said = refused(&["AnyEvent::MP::DataConn", "no such file"]);
    assert_eq!(text(&said.stderr), "aemp: perl: Files::get: no such file\n");
    let said = refused(&["transport_error", "perl", "connect timeout"]);
    let unreachable = "aemp: perl: connect timeout: `aemp nodes` lists the nodes that can be reached\n";
    assert_eq!((text(&said.stderr).as_str(), said.status.code()), (unreachable, Some(3)));
}
