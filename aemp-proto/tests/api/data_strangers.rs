//! Data connections with peers that know the protocol and keep to it, or do not: the reference, and worse.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::support::pair::{Told, config, give, link, take};
use crate::support::world::node_config;
use aemp_proto::Requirement;
use aemp_proto::actor::{Action, ConnectionId, Context, DataConnection, DataTaker, DialId, Node, Reasons};
use aemp_proto::auth::Secret;
use aemp_proto::error::Error;
use aemp_proto::line::Protocol;
use aemp_proto::link::{Config, Event, Link, OwnGreeting, Role, Tls};
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;

const NOW: Duration = Duration::ZERO;

/// A node, and peers by hand.
struct Stage {
    node: Node,
    actions: Vec<Action>,
    opened: u8,
}

/// A connection of the node, and the link at its other end.
struct Wire {
    id: ConnectionId,
    link: Link,
    told: Vec<Told>,
    error: Option<Error>,
}

/// A link that opens a data connection.
fn data_link(node: &str, id: &str, random: u8) -> Link {
    let config = config(node);
    let keys = BTreeMap::from([("dataconn_id".to_owned(), id.to_owned())]);
    let own = OwnGreeting::of_protocol("dataconn", keys, &config, [random; 32], None).expect("a greeting");
    Link::new(Arc::new(config), Role::Opener, own, NOW)
}

impl Stage {
    /// A node that takes data connections for `take`, and the peer `peer`.
    fn new() -> (Self, Wire) {
        let mut stage = Stage { node: Node::new(node_config("node"), 1, NOW, NOW), actions: Vec::new(), opened: 0 };
        stage.node.with(NOW, |context| assert!(context.data_accept("take")));
        let peer = stage.connect(link(config("peer"), Role::Opener));
        assert!(peer.link.is_up());
        (stage, peer)
    }

    /// A node that has dialled this one at `10.0.0.1:4040`.
    fn dialling(peer: Config) -> (Self, Wire) {
        let mut node = Node::new(node_config("node"), 1, NOW, NOW);
        node.add_seed(NOW, "10.0.0.1:4040");
        node.run(NOW);
        let mut stage = Stage { node, actions: Vec::new(), opened: 0 };
        stage.actions.extend(std::iter::from_fn(|| stage.node.poll_action()));
        let (dial, _) = stage.dialled();
        let peer = stage.answer(dial, link(peer, Role::Acceptor));
        assert!(peer.link.is_up());
        (stage, peer)
    }

    fn random(&mut self) -> [u8; 32] {
        self.opened += 1;
        [100 + self.opened; 32]
    }

    /// Somebody connects to the node.
    fn connect(&mut self, link: Link) -> Wire {
        let random = self.random();
        let id = self.node.open(NOW, Role::Acceptor, random, None, None).expect("a connection");
        let mut wire = Wire { id, link, told: Vec::new(), error: None };
        self.exchange(&mut wire);
        wire
    }

    /// The node has dialled somebody.
    fn answer(&mut self, dial: DialId, link: Link) -> Wire {
        let random = self.random();
        let id = self.node.open(NOW, Role::Opener, random, None, Some(dial)).expect("it is wanted");
        let mut wire = Wire { id, link, told: Vec::new(), error: None };
        self.exchange(&mut wire);
        wire
    }

    /// Carries octets until there is no more to carry.
    fn exchange(&mut self, wire: &mut Wire) {
        loop {
            let octets = take(&mut wire.link);
            self.node.receive(NOW, wire.id, &octets);
            while self.node.has_work() {
                self.node.run(NOW);
            }
            self.actions.extend(std::iter::from_fn(|| self.node.poll_action()));
            let output = self.node.output(wire.id).to_vec();
            self.node.advance_output(wire.id, output.len());
            if output.is_empty() || wire.error.is_some() {
                return;
            }
            wire.error = give(&mut wire.link, &output, &mut wire.told).err();
        }
    }

    /// A message from a peer; what it gets for that.
    fn say(&mut self, wire: &mut Wire, message: &Value) -> Vec<Value> {
        wire.told.clear();
        wire.link.send(message).expect("it is up");
        self.exchange(wire);
        let packet = |told: &Told| if let Told::Packet(packet) = told { Some(packet.clone()) } else { None };
        wire.told.iter().filter_map(packet).collect()
    }

    fn is_closed(&self, wire: &Wire) -> bool {
        self.actions.contains(&Action::Close(wire.id))
    }

    fn taken(&mut self, wire: &Wire) -> DataConnection {
        assert!(self.actions.contains(&Action::HandOver(wire.id)), "{:?}", self.actions);
        self.node.hand_over(NOW, wire.id).expect("somebody waits for it")
    }

    fn dialled(&mut self) -> (DialId, String) {
        let dialled = self.actions.iter().rev().find_map(|action| match action {
            Action::Dial { dial, address } => Some((*dial, address.clone())),
            _ => None,
        });
        dialled.expect("it dials")
    }
}

/// A message of texts.
fn array<const N: usize>(texts: [&str; N]) -> Value {
    Value::Array(texts.map(Value::from).into())
}

fn expect(id: &str, port: &str, time: impl Into<Value>, function: &str) -> Value {
    let mut request = vec!["".into(), "AnyEvent::MP::DataConn::_expect".into(), id.into(), port.into(), time.into()];
    request.push(function.into());
    Value::Array(request)
}

fn connect(id: &str, node: &str) -> Value {
    array(["", "AnyEvent::MP::DataConn::_connect", id, node])
}

fn failure(port: &str, text: &str) -> Value {
    array(["", "kil1", port, "AnyEvent::MP::DataConn", text])
}

/// The node asks for a data connection; the port by which it is known, and why there is none.
fn ask(stage: &mut Stage, node: &str, random: u8) -> (PortId, Rc<RefCell<Vec<Reasons>>>) {
    let failed = Rc::new(RefCell::new(Vec::new()));
    let told = failed.clone();
    let port = stage.node.with(NOW, |context| {
        let node = NodeId::new(node).expect("a node ID");
        let on_failure = move |_: &mut Context<'_>, reasons: Reasons| told.borrow_mut().push(reasons);
        let time = Duration::from_secs(7);
        context.data_connect([random; 16], &node, "main::take", &("x", 1), time, on_failure).expect("it is small")
    });
    (port, failed)
}

#[test]
fn the_stream_begins_behind_the_authentication_line_whatever_it_looks_like() {
    // DATA-4, DATA-6
    let (mut stage, mut peer) = Stage::new();
    let heard = Rc::new(RefCell::new(0));
    let count = heard.clone();
    stage.node.with(NOW, |context| {
        let handler = move |_: &mut Context<'_>, _: aemp_proto::framing::Elements<'_>| {
            *count.borrow_mut() += 1;
            Ok(())
        };
        context.named_port("port", handler).expect("the name is free");
    });
    assert_eq!(stage.say(&mut peer, &expect("b@peer", "peer#p", 10, "take")), []);
    let mut data = data_link("peer", "b@peer", 3);
    let random = stage.random();
    let id = stage.node.open(NOW, Role::Acceptor, random, None, None).expect("a connection");
    let mut told = Vec::new();
    stage.node.receive(NOW, id, &take(&mut data));
    let greeting = stage.node.output(id).to_vec();
    stage.node.advance_output(id, greeting.len());
    give(&mut data, &greeting, &mut told).expect("the node behaves");
    // The line and the beginning of the stream come in one read.
    let stream = b"[\"port\",1][\"\",\"kil1\",\"port\"]\nhmac_sha3_512;00;json\n";
    stage.node.receive(NOW, id, &[&take(&mut data)[..], stream].concat());
    assert!(!stage.node.wants_input(id));
    let line = stage.node.output(id).to_vec();
    assert_eq!(line.iter().filter(|octet| **octet == b'\n').count(), 1);
    // Not before the own line is out.
    assert!(data.hand_over().is_err());
    stage.node.advance_output(id, line.len());
    let mut wire = Wire { id, link: data, told, error: None };
    stage.exchange(&mut wire);
    let taken = stage.taken(&wire);
    assert_eq!((taken.peer.as_str(), &taken.early[..]), ("peer", &stream[..]));
    assert_eq!(*heard.borrow(), 0);
    // The peer's end, with octets behind the node's line.
    give(&mut wire.link, &[&line[..], b"[\"x\"]"].concat(), &mut wire.told).expect("it is right");
    assert_eq!(wire.told, [Told::Event(Event::Greeted), Told::Event(Event::Stream)]);
    assert!(wire.link.send(&array(["", "x"])).is_err(), "no packets on a data connection");
    assert_eq!(wire.link.hand_over().expect("it is up"), b"[\"x\"]");
}

#[test]
fn an_id_is_good_once_and_only_for_the_node_that_gave_it() {
    // DATA-3, DATA-17
    let (mut stage, mut peer) = Stage::new();
    let mut other = stage.connect(link(config("other"), Role::Opener));
    assert_eq!(stage.say(&mut peer, &expect("b@peer", "peer#p", 10, "take")), []);
    let refused = |stage: &mut Stage, node: &str, id: &str| {
        let wire = stage.connect(data_link(node, id, 3));
        // Nothing that is computed from the secret was sent.
        assert_eq!(wire.told, [Told::Event(Event::Greeted)], "{node} {id}");
        assert!(stage.is_closed(&wire), "{node} {id}");
    };
    refused(&mut stage, "peer", "c@peer");
    refused(&mut stage, "peer", "");
    refused(&mut stage, "other", "b@peer");
    // The same ID of another node is another one, and that it is in use is told to its own port.
    assert_eq!(stage.say(&mut other, &expect("b@peer", "other#p", 10, "take")), []);
    let again = stage.say(&mut peer, &expect("b@peer", "peer#q", 10, "take"));
    assert_eq!(again, [failure("q", "that ID is in use")]);
    let wire = stage.connect(data_link("peer", "b@peer", 4));
    assert_eq!(wire.told, [Told::Event(Event::Greeted), Told::Event(Event::Stream)]);
    // Used, also as long as nobody has taken it.
    refused(&mut stage, "peer", "b@peer");
    stage.taken(&wire);
    refused(&mut stage, "peer", "b@peer");
    let wire = stage.connect(data_link("other", "b@peer", 5));
    assert_eq!(stage.taken(&wire).peer.as_str(), "other");
}

#[test]
fn who_has_the_wrong_secret_learns_nothing_about_ids() {
    let (mut stage, mut peer) = Stage::new();
    stage.say(&mut peer, &expect("b@peer", "peer#p", 10, "take"));
    let mut seen = Vec::new();
    for id in ["b@peer", "c@peer"] {
        let mut config = config("peer");
        config.secret = Some(Secret::new(b"wrong").expect("a secret"));
        let keys = BTreeMap::from([("dataconn_id".to_owned(), id.to_owned())]);
        let own = OwnGreeting::of_protocol("dataconn", keys, &config, [6; 32], None).expect("a greeting");
        let wire = stage.connect(Link::new(Arc::new(config), Role::Opener, own, NOW));
        assert!(stage.is_closed(&wire));
        seen.push(wire.told);
    }
    assert_eq!(seen[0], seen[1]);
    // And the ID is as good as before.
    let wire = stage.connect(data_link("peer", "b@peer", 4));
    stage.taken(&wire);
}

#[test]
fn a_request_that_is_not_right_is_answered_or_ignored() {
    // DATA-14, DATA-15, DATA-22
    let (mut stage, mut peer) = Stage::new();
    let none = "no function of that name takes data connections here";
    assert_eq!(stage.say(&mut peer, &expect("b", "peer#p", 10, "other")), [failure("p", none)]);
    let no_time = "the time is no number of seconds";
    for time in [Value::from(0), (-1).into(), f64::NAN.into(), Value::Null, "soon".into()] {
        assert_eq!(stage.say(&mut peer, &expect("b", "peer#p", time, "take")), [failure("p", no_time)]);
    }
    let missing = array(["", "AnyEvent::MP::DataConn::_expect", "b", "peer#p", "10"]);
    assert_eq!(stage.say(&mut peer, &missing), [failure("p", "there is no function")]);
    // The ports of others, this node's, a node port, no port.
    for port in ["third#p", "node#p", "peer", ""] {
        assert_eq!(stage.say(&mut peer, &expect("b", port, 10, "other")), []);
        assert_eq!(stage.say(&mut peer, &expect("b", port, 10, "take")), []);
    }
    // Nothing is expected by that ID, or from another node.
    for message in [connect("b", "peer"), connect("b", "third"), array(["", "AnyEvent::MP::DataConn::_connect"])] {
        assert_eq!(stage.say(&mut peer, &message), []);
    }
    stage.say(&mut peer, &expect("b", "peer#p", "10.5", "main::take"));
    assert!(!stage.actions.iter().any(|action| matches!(action, Action::Dial { .. })));
    // Perl's main package has two names, and numbers may be texts.
    stage.node.with(NOW, |context| context.data_accept("::main_take"));
    assert_eq!(stage.say(&mut peer, &expect("c", "peer#p", "10.5", "main::main_take")), []);
    // What is expected here is not the other's to turn round twice, nor towards a third node.
    assert_eq!(stage.say(&mut peer, &connect("c", "third")), []);
    let gone = stage.say(&mut peer, &connect("c", "peer"));
    assert_eq!(gone, [failure("p", "peer does not listen")]);
}

#[test]
fn a_node_of_the_reference_asks_and_is_dialled() {
    // What wire facts say of it: an ID such as `b@NODE`, and that it has no address for anyone, so it always has the other
    // side connect.
    let (mut stage, mut reference) = Stage::dialling(config("ref"));
    stage.node.with(NOW, |context| assert!(context.data_accept("Some::function")));
    assert!(reference.link.is_up());
    assert_eq!(stage.say(&mut reference, &expect("b@ref", "ref#c", 10, "Some::function")), []);
    assert_eq!(stage.say(&mut reference, &array(["", "snd", "ref#d"])), [array(["d"])]);
    stage.say(&mut reference, &connect("b@ref", "ref"));
    let (dial, address) = stage.dialled();
    assert_eq!(address, "10.0.0.1:4040");
    let dials = |stage: &Stage| stage.actions.iter().filter(|action| matches!(action, Action::Dial { .. })).count();
    // Said again, it changes nothing.
    let before = dials(&stage);
    stage.say(&mut reference, &connect("b@ref", "ref"));
    assert_eq!(dials(&stage), before);
    // It greets as `aemp`, and sends its line at once, with the first octets of the stream.
    let mut config = config("ref");
    config.protocols = vec!["dataconn".into()];
    let wire = stage.answer(dial, link(config, Role::Acceptor));
    let greeting = wire.link.peer().expect("it has greeted");
    assert_eq!(greeting.protocol, Protocol::Other("dataconn".into()));
    assert_eq!((greeting.node.as_str(), &greeting.keys["dataconn_id"][..]), ("node", "b@ref"));
    assert!(["mproto", "gproto", "arbiter"].iter().all(|key| !greeting.keys.contains_key(*key)));
    let taken = stage.taken(&wire);
    let DataTaker::Function { name, .. } = taken.taker else { panic!("{taken:?}") };
    assert_eq!((&*name, taken.peer.as_str()), ("Some::function", "ref"));
}

#[test]
fn a_node_of_the_reference_is_asked_and_dialled() {
    // DATA-1, DATA-10, DATA-11, DATA-20, DATA-24
    let (mut stage, mut reference) = Stage::dialling(config("ref"));
    stage.actions.clear();
    let (port, _) = ask(&mut stage, "ref", 0xa1);
    reference.told.clear();
    stage.exchange(&mut reference);
    let id = "a1".repeat(16);
    let mut asked = expect(&id, &port.to_string(), 7.0, "main::take");
    if let Value::Array(elements) = &mut asked {
        elements.extend([Value::from("x"), 1.into()]);
    }
    assert_eq!(reference.told, [Told::Packet(asked), Told::Packet(array(["", "snd", &port.to_string()]))]);
    // Nothing is dialled before the echo.
    assert!(!stage.actions.iter().any(|action| matches!(action, Action::Dial { .. })));
    stage.say(&mut reference, &array([port.port()]));
    let (dial, address) = stage.dialled();
    assert_eq!(address, "10.0.0.1:4040");
    let mut config = config("ref");
    config.protocols = vec!["dataconn".into()];
    let wire = stage.answer(dial, link(config.clone(), Role::Acceptor));
    assert_eq!(wire.link.peer().expect("it has greeted").keys["dataconn_id"], id);
    assert_eq!(stage.taken(&wire).taker, DataTaker::Asked(port));

    // The reference ends the port when it gives up.
    let (port, failed) = ask(&mut stage, "ref", 0xa2);
    stage.exchange(&mut reference);
    let Value::Array(mut end) = array(["", "kil1", port.port(), "AnyEvent::MP::DataConn"]) else { unreachable!() };
    end.push(Value::Null);
    stage.say(&mut reference, &end.into());
    assert_eq!(failed.borrow_mut().pop(), Some(Reasons::from(vec!["AnyEvent::MP::DataConn".into(), Value::Null])));

    // Another node answers there.
    let (port, failed) = ask(&mut stage, "ref", 0xa3);
    stage.exchange(&mut reference);
    stage.say(&mut reference, &array([port.port()]));
    let (dial, _) = stage.dialled();
    config.node = NodeId::new("other").expect("a node ID");
    let wire = stage.answer(dial, link(config, Role::Acceptor));
    assert!(stage.is_closed(&wire) && wire.told.is_empty(), "{:?}", wire.told);
    stage.node.run(NOW);
    let text =
        "ref at 10.0.0.1:4040: that is another node than the one that is wanted [DATA-24], and this node does not listen";
    assert_eq!(failed.borrow_mut().pop(), Some(Reasons::new(["AnyEvent::MP::DataConn", text])));
}

#[test]
fn an_echo_of_somebody_else_is_none() {
    // DATA-20
    let (mut stage, mut peer) = Stage::new();
    let mut other = stage.connect(link(config("other"), Role::Opener));
    let (port, failed) = ask(&mut stage, "peer", 1);
    stage.exchange(&mut peer);
    stage.say(&mut other, &array([port.port()]));
    stage.exchange(&mut other);
    assert_eq!((failed.borrow().len(), stage.node.data_under_way()), (0, 1));
    // The right one is: neither can reach the other, so that is the end of it.
    stage.say(&mut peer, &array([port.port()]));
    stage.exchange(&mut peer);
    let text = "peer does not listen, and this node does not listen";
    assert_eq!(*failed.borrow(), [Reasons::new(["AnyEvent::MP::DataConn", text])]);
}

#[test]
fn what_is_expected_goes_with_the_connection_of_the_node_that_wanted_it() {
    // DATA-19
    let (mut stage, mut peer) = Stage::new();
    assert_eq!(stage.say(&mut peer, &expect("b@peer", "peer#p", 10, "take")), []);
    assert_eq!(stage.node.data_under_way(), 1);
    stage.node.closed(NOW, peer.id, None);
    assert_eq!(stage.node.data_under_way(), 0);
    let wire = stage.connect(data_link("peer", "b@peer", 3));
    assert!(stage.is_closed(&wire) && !stage.actions.contains(&Action::HandOver(wire.id)));
}

#[test]
fn nothing_is_expected_for_longer_than_the_limit() {
    // DATA-12, DATA-16
    let (mut stage, mut peer) = Stage::new();
    assert_eq!(stage.say(&mut peer, &expect("b@peer", "peer#p", 1e12, "take")), []);
    assert_eq!(stage.say(&mut peer, &expect("c@peer", "peer#p", 2, "take")), []);
    for (seconds, left) in [(1, 2), (3, 1), (299, 1), (301, 0)] {
        // The peer must not be silent all the time.
        stage.say(&mut peer, &array(["", ""]));
        stage.node.run(Duration::from_secs(seconds));
        assert_eq!(stage.node.data_under_way(), left, "after {seconds} seconds");
    }
}

#[test]
fn a_master_that_does_not_answer_holds_nothing_up() {
    // DATA-21
    let mut master = config("master");
    master.keys.insert("gproto".into(), "1".into());
    let (mut stage, mut master) = Stage::dialling(master);
    stage.node.set_addresses(NOW, vec!["10.0.0.9:4040".into()]);
    stage.exchange(&mut master);
    assert_eq!(stage.node.master().map(NodeId::as_str), Some("master"));
    let mut peer = stage.connect(link(config("peer"), Role::Opener));
    let (port, failed) = ask(&mut stage, "peer", 0xc1);
    stage.exchange(&mut peer);
    master.told.clear();
    assert_eq!(stage.say(&mut peer, &array([port.port()])), []);
    stage.exchange(&mut master);
    assert!(master.told.contains(&Told::Packet(array(["", "g_find", "peer"]))), "{:?}", master.told);
    peer.told.clear();
    stage.node.run(Duration::from_secs(3));
    stage.exchange(&mut peer);
    assert_eq!(peer.told, [Told::Packet(connect(&"c1".repeat(16), "node"))]);
    assert_eq!(failed.borrow().len(), 0);
}

#[test]
fn a_connection_that_ends_before_it_is_taken_is_a_failure() {
    let (mut stage, mut peer) = Stage::new();
    assert_eq!(stage.say(&mut peer, &expect("b@peer", "peer#p", 10, "take")), []);
    let wire = stage.connect(data_link("peer", "b@peer", 3));
    assert!(stage.actions.contains(&Action::HandOver(wire.id)));
    peer.told.clear();
    stage.node.closed(NOW, wire.id, Some("Broken pipe"));
    stage.exchange(&mut peer);
    assert_eq!(peer.told, [Told::Packet(failure("p", "Broken pipe"))]);
    assert_eq!((stage.node.hand_over(NOW, wire.id), stage.node.data_under_way()), (None, 0));
}

#[test]
fn a_connection_that_nobody_waits_for_any_more_is_closed_and_not_given() {
    let (mut stage, mut peer) = Stage::new();
    let addresses = vec!["10.0.0.9:4040".to_owned()];
    stage.node.set_addresses(NOW, addresses);
    let (port, failed) = ask(&mut stage, "peer", 0xb1);
    stage.exchange(&mut peer);
    // It is told to open it, and does.
    let asked = stage.say(&mut peer, &array([port.port()]));
    let id = "b1".repeat(16);
    assert_eq!(asked, [connect(&id, "node")]);
    let wire = stage.connect(data_link("peer", &id, 3));
    assert!(stage.actions.contains(&Action::HandOver(wire.id)));
    stage.node.with(NOW, |context| context.end(&port, Reasons::new(["enough"])));
    while stage.node.has_work() {
        stage.node.run(NOW);
    }
    stage.exchange(&mut peer);
    assert!(stage.is_closed(&wire));
    assert_eq!(stage.node.hand_over(NOW, wire.id), None);
    assert_eq!(*failed.borrow(), [Reasons::new(["enough"])]);
}

#[test]
fn an_opener_of_packets_finds_no_acceptor_of_streams_and_the_reverse() {
    // GREET-3, GREET-4, GREET-22
    let streams = |name: &str| Config { protocols: vec!["dataconn".into()], ..config(name) };
    let outcome = |mut opener: Link, mut acceptor: Link| {
        crate::support::pair::run(&mut opener, &mut acceptor, &[1000])
            .map_err(|error| error.requirement().map(Requirement::id))
    };
    // One that greets as `aemp-dataconn` though it has accepted.
    let lying = || {
        let own = OwnGreeting::of_protocol("dataconn", BTreeMap::new(), &config("peer"), [9; 32], None).expect("a greeting");
        Link::new(Arc::new(config("peer")), Role::Acceptor, own, NOW)
    };
    assert_eq!(outcome(link(streams("link"), Role::Opener), lying()).err(), Some(Some("GREET-4")));
    // To the opener of that protocol it is the same.
    assert!(outcome(data_link("link", "x", 1), lying()).is_ok());
    // Nobody takes it.
    assert_eq!(outcome(data_link("link", "x", 1), link(config("peer"), Role::Acceptor)).err(), Some(Some("GREET-4")));
    let [told, _] = outcome(data_link("link", "x", 1), link(streams("peer"), Role::Acceptor)).expect("it is taken");
    assert_eq!(told, [Told::Event(Event::Greeted), Told::Event(Event::Stream)]);
    // TLS is a part of it, and required where it is for all else.
    let required = Config { tls: Tls::Required, ..streams("peer") };
    assert_eq!(outcome(data_link("link", "x", 1), link(required, Role::Acceptor)).err(), Some(Some("TLS-7")));
}
