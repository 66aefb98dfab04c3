//! Strangers at the door: a share for each address, who gives way, and what wrong tokens cost.

use std::time::Duration;

use crate::support::pair::{Told, config, give, link, take};
use crate::support::world::node_config;
use aemp_proto::actor::{ConnectionId, Node, NodeConfig, NodeEvent, Refusal};
use aemp_proto::auth::Secret;
use aemp_proto::link::{Link, Role};

const START: Duration = Duration::from_secs(100);

/// A node, and what knocks at its door.
struct Door {
    node: Node,
    now: Duration,
    opened: u32,
}

impl Door {
    fn new(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut config = node_config("node");
        change(&mut config);
        Door { node: Node::new(config, 1, START, START), now: START, opened: 0 }
    }

    /// Somebody connects from an address, and says nothing yet.
    fn open(&mut self, from: &str) -> Result<ConnectionId, String> {
        self.opened += 1;
        let mut random = [0; 32];
        random[..4].copy_from_slice(&self.opened.to_be_bytes());
        self.node.open(self.now, Role::Acceptor, random, Some(from), None).map_err(|error| error.to_string())
    }

    /// Time passes; the node does what is due whenever it is.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.node.deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.node.run(self.now);
        }
        self.now = end;
        self.node.run(self.now);
    }

    /// A peer with this name and secret tries to get in; whether it is up, after how long at most.
    fn enter(&mut self, from: &str, name: &str, secret: &[u8]) -> Result<Duration, String> {
        let id = self.open(from)?;
        let mut settings = config(name);
        settings.secret = Some(Secret::new(secret).expect("a secret"));
        let (mut peer, begun) = (link(settings, Role::Opener), self.now);
        while self.now - begun < Duration::from_secs(3) {
            self.turn(id, &mut peer);
            if peer.is_up() {
                return Ok(self.now - begun);
            }
            self.wait(Duration::from_millis(10));
        }
        Err("it is not up after 3 seconds".into())
    }

    /// Carries octets to and fro, as far as the node reads and writes.
    fn turn(&mut self, id: ConnectionId, peer: &mut Link) {
        let mut told: Vec<Told> = Vec::new();
        for _ in 0..6 {
            let output = self.node.output(id).to_vec();
            self.node.advance_output(id, output.len());
            let _it_may_refuse = give(peer, &output, &mut told);
            if self.node.wants_input(id) {
                let octets = take(peer);
                if !octets.is_empty() {
                    self.node.receive(self.now, id, &octets);
                }
            }
            self.node.run(self.now);
        }
    }

    /// The connections that did not come up: from where, and why.
    fn refusals(&mut self) -> Vec<(String, Refusal)> {
        let refused = |event| match event {
            NodeEvent::Refused { from, reason, .. } => Some((from?, reason)),
            _ => None,
        };
        std::iter::from_fn(|| self.node.poll_event()).filter_map(refused).collect()
    }
}

#[test]
fn one_address_has_a_share_of_the_handshakes_whatever_its_ports() {
    let mut door = Door::new(|config| (config.handshakes, config.handshakes_of_address) = (10, 3));
    let greet = |door: &mut Door, id, name: &str| {
        door.node.receive(door.now, id, format!("aemp;1;{name};hmac_sha3_512;json\nnonce\n").as_bytes());
    };
    for address in ["10.0.0.1", "[2001:db8::1]"] {
        for port in 1..=3 {
            let id = door.open(&format!("{address}:{port}")).expect("there is room");
            greet(&mut door, id, &format!("{address}-{port}").replace(['[', ']', ':'], "-"));
        }
    }
    let error = door.open("10.0.0.1:4").expect_err("SEC-8");
    insta::assert_snapshot!(error, @"over a limit: 3 connections from that address are in their handshake already [SEC-8]");
    // The same network of version 6, and the same address written in that way.
    door.open("[2001:db8::2:3:4:5]:1").expect_err("SEC-8");
    door.open("[::ffff:10.0.0.1]:5").expect_err("SEC-8");
    let crowded = |from: &str| (from.to_owned(), Refusal::Crowded);
    assert_eq!(door.refusals(), ["10.0.0.1:4", "[2001:db8::2:3:4:5]:1", "[::ffff:10.0.0.1]:5"].map(crowded));
    // Others are not concerned, and get in.
    door.enter("10.0.0.2:1", "friend", b"swordfish").expect("SEC-8");
    door.enter("[2001:db8:0:1::1]:1", "other", b"swordfish").expect("SEC-8");
    let no_ip: Vec<_> = (0..4).map(|_| door.open("pipe:7").is_ok()).collect();
    assert_eq!(no_ip, [true, true, true, true], "the fourth took the place of the first");
    assert_eq!(door.refusals(), [("pipe:7".to_owned(), Refusal::GaveWay)], "SEC-10");
}

#[test]
fn who_says_nothing_gives_way_the_oldest_first_and_who_has_greeted_stays() {
    let mut door = Door::new(|config| (config.handshakes, config.handshakes_of_address) = (4, 100));
    let greeted = door.open("10.0.0.1:1").expect("there is room");
    door.node.receive(door.now, greeted, b"aemp;1;slow;hmac_sha3_512;json\nnonce\n");
    let half = door.open("10.0.0.1:2").expect("there is room");
    door.node.receive(door.now, half, b"aemp;1;sl");
    let silent = [3, 4].map(|port| door.open(&format!("10.0.0.{port}:{port}")).expect("there is room"));
    door.refusals();
    let mut gone = Vec::new();
    for number in 0..4 {
        let id = door.open("10.9.9.9:9").expect("SEC-10");
        door.node.receive(door.now, id, format!("aemp;1;n{number};hmac_sha3_512;json\nnonce\n").as_bytes());
        gone.extend(door.refusals());
        if number == 2 {
            break;
        }
    }
    let from = |from: &str| (from.to_owned(), Refusal::GaveWay);
    // First those that are silent, then the one whose greeting is not complete.
    assert_eq!(gone, [from("10.0.0.3:3"), from("10.0.0.4:4"), from("10.0.0.1:2")], "SEC-10");
    assert!(silent.iter().all(|id| door.node.output(*id).is_empty()), "they are forgotten");
    let error = door.open("10.9.9.9:9").expect_err("SEC-5");
    insta::assert_snapshot!(error, @"over a limit: 4 connections are in their handshake already [SEC-5]");
    assert!(door.node.greeted_as(greeted).is_some());
}

#[test]
fn members_get_in_while_somebody_fills_the_table_with_silent_connections() {
    let mut door = Door::new(|config| (config.handshakes, config.handshakes_of_address) = (100, 25));
    let mut up = 0;
    for number in 0..200 {
        // From ten addresses, and from the one that the member has, too: 20 new connections for each try.
        for port in 0..20 {
            door.open(&format!("10.0.0.{}:{port}", (number + port) % 10)).expect("SEC-10");
        }
        let from = if number % 2 == 0 { "10.0.0.1:77" } else { "10.1.1.1:77" };
        up += usize::from(door.enter(from, &format!("member{number}"), b"swordfish").is_ok());
        assert!(door.node.tables().handshakes <= 100, "SEC-5");
    }
    assert_eq!(up, 200, "SEC-8, SEC-10");
}

#[test]
fn a_greeting_that_does_not_come_ends_the_connection_before_the_handshake_must() {
    let mut door = Door::new(|_| {});
    let silent = door.open("10.0.0.1:1").expect("there is room");
    let half = door.open("10.0.0.1:2").expect("there is room");
    let greeted = door.open("10.0.0.1:3").expect("there is room");
    door.node.receive(door.now, half, b"aemp;1;sl");
    door.node.receive(door.now, greeted, b"aemp;1;slow;hmac_sha3_512;json\nnonce\n");
    door.wait(Duration::from_millis(4900));
    assert_eq!(door.refusals(), []);
    door.wait(Duration::from_millis(300));
    let slow = |from: &str| (from.to_owned(), Refusal::TooSlow);
    assert_eq!(door.refusals(), [slow("10.0.0.1:1"), slow("10.0.0.1:2")], "SEC-9");
    assert!([silent, half].iter().all(|id| !door.node.wants_input(*id)));
    door.wait(Duration::from_secs(25));
    assert_eq!(door.refusals(), [slow("10.0.0.1:3")], "LIMIT-1");
}

#[test]
fn wrong_tokens_slow_down_their_address_and_no_other() {
    let mut door = Door::new(|_| {});
    let mut times = Vec::new();
    for number in 0..20 {
        let begun = door.now;
        let id = door.open("10.0.0.1:1").expect("there is room");
        let mut settings = config(&format!("guesser{number}"));
        settings.secret = Some(Secret::new(b"a guess").expect("a secret"));
        let mut peer = link(settings, Role::Opener);
        while door.node.greeted_as(id).is_none() || door.node.wants_input(id) {
            door.turn(id, &mut peer);
            if door.refusals().iter().any(|(_, reason)| *reason == Refusal::WrongToken) {
                break;
            }
            door.wait(Duration::from_millis(1));
        }
        times.push((door.now - begun).as_millis());
    }
    // SEC-11
    assert_eq!(times[..6], [0; 6], "a few are free: {times:?}");
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]), "later and later: {times:?}");
    assert!(times[19] >= 900 && times.iter().all(|time| *time <= 1000), "a second at most: {times:?}");
    // A node at the same address gets in, only later; one at another address at once.
    let honest = door.enter("10.0.0.1:2", "honest", b"swordfish").expect("SEC-11");
    assert!(honest >= Duration::from_millis(900) && honest <= Duration::from_millis(1100), "{honest:?}");
    assert_eq!(door.enter("10.0.0.2:1", "other", b"swordfish"), Ok(Duration::ZERO), "SEC-11");
    // It is forgiven.
    door.wait(Duration::from_secs(181));
    assert_eq!(door.enter("10.0.0.1:3", "later", b"swordfish"), Ok(Duration::ZERO), "SEC-11");
}

#[test]
fn what_is_remembered_of_addresses_has_a_bound() {
    let mut door = Door::new(|_| {});
    let guess = |door: &mut Door, address: &str| {
        let id = door.open(address).expect("there is room");
        let mut settings = config("guesser");
        settings.secret = Some(Secret::new(b"a guess").expect("a secret"));
        let mut peer = link(settings, Role::Opener);
        let begun = door.now;
        while !door.refusals().iter().any(|(_, reason)| *reason == Refusal::WrongToken) {
            door.turn(id, &mut peer);
            door.wait(Duration::from_millis(1));
        }
        door.now - begun
    };
    for _ in 0..10 {
        guess(&mut door, "10.0.0.1:1");
    }
    assert!(guess(&mut door, "10.0.0.1:1") > Duration::from_millis(100), "SEC-11");
    for number in 0..1100 {
        guess(&mut door, &format!("10.1.{}.{}:1", number / 250, number % 250));
    }
    assert_eq!(door.node.tables().wrong_tokens, 1000);
    // Those go first that would be forgiven first: nobody has himself forgotten by guessing from elsewhere.
    assert!(guess(&mut door, "10.0.0.1:1") > Duration::from_millis(100), "SEC-11");
    door.wait(Duration::from_secs(200));
    assert_eq!(door.node.tables().wrong_tokens, 0);
}
