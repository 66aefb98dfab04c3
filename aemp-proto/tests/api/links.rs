//! Two links wired together in memory, and what the contract promises to their owners.

use std::time::Duration;

use crate::support::pair::{Told, config, give, link, run, take};
use aemp_proto::auth::{Method, Secret};
use aemp_proto::error::{ApiMisuse, Error, PeerMisbehaved};
use aemp_proto::framing::{Framing, Packet};
use aemp_proto::link::{Accepted, Config, Event, Link, OwnGreeting, Role, SendError, Tls, TlsSide};
use aemp_proto::names::PortId;
use aemp_proto::value::Value;

/// Brings two links up.
fn up(opener: Config, acceptor: Config) -> (Link, Link) {
    let (mut opener, mut acceptor) = (link(opener, Role::Opener), link(acceptor, Role::Acceptor));
    run(&mut opener, &mut acceptor, &[usize::MAX]).expect("the two fit");
    assert!(opener.is_up() && acceptor.is_up());
    (opener, acceptor)
}

#[test]
fn every_combination_of_framing_method_and_split_exchanges_messages() {
    let methods = [
        (Method::TlsSha3_512, Tls::Wanted),
        (Method::TlsAnon, Tls::Required),
        (Method::HmacSha3_512, Tls::Off),
        (Method::HmacSha2_256, Tls::Off),
        (Method::HmacSha3_512, Tls::Wanted),
        (Method::Cleartext, Tls::Off),
    ];
    let framings = [Framing::Json, Framing::Cbor];
    let mut combinations = 0;
    for (from_opener, tls) in methods {
        for (from_acceptor, other_tls) in methods {
            if (tls == Tls::Off) != (other_tls == Tls::Off) {
                continue;
            }
            for [to_opener, to_acceptor] in framings.map(|first| framings.map(|second| [first, second])).concat() {
                for sizes in [&[usize::MAX][..], &[1], &[2, 3, 5, 7, 11], &[64, 1]] {
                    let side = |node, send: Method, accept: Method, receive: Framing, tls| {
                        let mut config = config(node);
                        (config.send, config.accept, config.tls) = (vec![send], vec![accept], tls);
                        // Both can be sent; what is offered comes first.
                        config.framings = vec![receive];
                        config.framings.extend(framings.iter().filter(|other| **other != receive));
                        link(config, if node == "a" { Role::Opener } else { Role::Acceptor })
                    };
                    let mut opener = side("a", from_opener, from_acceptor, to_opener, tls);
                    let mut acceptor = side("b", from_acceptor, from_opener, to_acceptor, other_tls);
                    run(&mut opener, &mut acceptor, sizes).expect("the two fit");
                    assert_eq!((opener.method(), acceptor.method()), (Some(from_acceptor), Some(from_opener)));
                    assert_eq!((opener.receives(), acceptor.receives()), (Some(to_opener), Some(to_acceptor)));
                    let messages: Vec<Value> = (0..20u64).map(|n| Value::from(vec!["port".into(), n.into()])).collect();
                    for message in &messages {
                        opener.send(message).expect("it is up");
                        acceptor.send(message).expect("it is up");
                    }
                    let told = run(&mut opener, &mut acceptor, sizes).expect("the two fit");
                    let right: Vec<_> = messages.into_iter().map(Told::Packet).collect();
                    assert_eq!(told, [right.clone(), right]);
                    combinations += 1;
                }
            }
        }
    }
    assert_eq!(combinations, (9 + 9) * 4 * 4);
}

#[test]
fn the_side_with_the_lower_nonce_is_the_tls_client() {
    let side = |node| Config { tls: Tls::Wanted, ..config(node) };
    let (mut opener, mut acceptor) = (link(side("a"), Role::Opener), link(side("b"), Role::Acceptor));
    let told = run(&mut opener, &mut acceptor, &[usize::MAX]).expect("the two fit");
    assert!(told[0].contains(&Told::Tls(TlsSide::Client)), "TLS-3");
    assert!(told[1].contains(&Told::Tls(TlsSide::Server)), "TLS-3");
}

#[test]
fn tls_that_only_one_side_wants_is_not_begun() {
    let (opener, _) = up(Config { tls: Tls::Wanted, ..config("a") }, config("b"));
    assert_eq!(opener.method(), Some(Method::HmacSha3_512), "TLS-1, TLS-2, AUTH-25");
}

#[test]
fn the_greeting_waits_from_the_beginning_and_names_what_is_offered_best_first() {
    let opener = link(config("alice"), Role::Opener);
    let text = String::from_utf8(opener.output().to_vec()).expect("text");
    let nonce = "61".repeat(32);
    let provider = concat!("provider=aemp-proto-", env!("CARGO_PKG_VERSION"));
    let first = format!("aemp;1;alice;tls_sha3_512,hmac_sha3_512,hmac_sha2_256;cbor,json;{provider}");
    // CONN-1, CONN-2, CONN-3, GREET-1, GREET-3, GREET-5, GREET-10, GREET-11, AUTH-21, NONCE-1
    assert_eq!(text, format!("{first}\n{nonce}\n"));
}

#[test]
fn no_line_is_sent_that_is_too_long() {
    // CONN-5
    let mut long = config("alice");
    long.keys.insert("x".into(), "y".repeat(4096));
    let error = OwnGreeting::new(&long, [1; 32], None).expect_err("a line of over 4096 octets");
    insta::assert_snapshot!(error, @"misuse: the own greeting is none: a line is too long or contains a line end");
    let cleartext = |node| Config {
        secret: Some(Secret::new(&[b'x'; 2100]).expect("a secret")),
        send: vec![Method::Cleartext],
        accept: vec![Method::Cleartext],
        ..config(node)
    };
    let mut opener = link(cleartext("a"), Role::Opener);
    let acceptor = link(cleartext("b"), Role::Acceptor);
    let error = give(&mut opener, acceptor.output(), &mut Vec::new()).expect_err("a token of over 4096 octets");
    insta::assert_snapshot!(error, @r#"incompatible: no common authentication method: the peer accepts "cleartext" [AUTH-8]"#);
}

#[test]
fn only_framings_that_can_be_received_can_be_offered() {
    for name in ["Storable", "xml", ""] {
        assert_eq!(Framing::from_name(name), None, "FRAME-8");
    }
}

#[test]
fn without_a_secret_no_method_that_needs_one_is_offered() {
    let opener = link(Config { secret: None, ..config("alice") }, Role::Opener);
    assert!(opener.output().starts_with(b"aemp;1;alice;tls_sha3_512;cbor,json;"), "AUTH-19");
}

#[test]
fn an_acceptor_shows_nothing_of_the_secret_before_it_has_verified_the_opener() {
    let (mut opener, mut acceptor) = (link(config("a"), Role::Opener), link(config("b"), Role::Acceptor));
    let greeting = take(&mut acceptor);
    give(&mut acceptor, &take(&mut opener), &mut Vec::new()).expect("a greeting");
    assert_eq!(take(&mut acceptor), b"", "AUTH-4: nothing behind the greeting yet");
    // AUTH-3: the opener does not wait.
    give(&mut opener, &greeting, &mut Vec::new()).expect("a greeting");
    let line = take(&mut opener);
    assert!(line.starts_with(b"hmac_sha3_512;"));
    give(&mut acceptor, &line, &mut Vec::new()).expect("the right token");
    assert!(acceptor.is_up() && take(&mut acceptor).starts_with(b"hmac_sha3_512;"), "AUTH-4");
}

#[test]
fn an_acceptor_takes_further_secrets_and_answers_with_the_one_that_the_opener_has() {
    let secret = |text: &str| Secret::new(text.as_bytes()).expect("a secret");
    let knows = |node, own: &str, further: &[&str]| {
        let further_secrets = further.iter().map(|text| secret(text)).collect();
        Config { secret: Some(secret(own)), further_secrets, ..config(node) }
    };
    let meet = |opener: Config, acceptor: Config| {
        let (mut opener, mut acceptor) = (link(opener, Role::Opener), link(acceptor, Role::Acceptor));
        run(&mut opener, &mut acceptor, &[usize::MAX]).map(|_| assert!(opener.is_up() && acceptor.is_up()))
    };
    // SEC-6, SEC-7
    for opener in ["old", "new", "newer"] {
        assert_eq!(meet(knows("a", opener, &[]), knows("b", "old", &["new", "newer"])), Ok(()), "{opener}");
    }
    assert_eq!(meet(knows("a", "old", &["new"]), knows("b", "new", &["old"])), Ok(()));
    assert!(matches!(
        meet(knows("a", "other", &["old", "new"]), knows("b", "old", &["new"])),
        Err(Error::Misbehaved(PeerMisbehaved::WrongToken { .. }))
    ));
    // Without a secret of its own, a side has none.
    let none = Config { secret: None, ..knows("b", "old", &["new"]) };
    assert!(meet(knows("a", "new", &[]), none).is_err());
}

#[test]
fn an_acceptor_that_authenticated_first_is_taken_by_the_opener_all_the_same() {
    // AUTH-5: what the reference does.
    let (mut opener, mut acceptor) = (link(config("a"), Role::Opener), link(config("b"), Role::Opener));
    let from_acceptor = take(&mut acceptor);
    give(&mut acceptor, &take(&mut opener), &mut Vec::new()).expect("a greeting");
    give(&mut opener, &[from_acceptor, take(&mut acceptor)].concat(), &mut Vec::new()).expect("AUTH-5");
    assert!(opener.is_up());
}

#[test]
fn packets_behind_the_peers_own_line_are_kept_until_it_is_accepted_and_verified() {
    let (mut opener, mut acceptor) = (link(config("a"), Role::Opener), link(config("b"), Role::Acceptor));
    give(&mut opener, &take(&mut acceptor), &mut Vec::new()).expect("a greeting");
    let mut octets = take(&mut opener);
    // The opener of this test does not wait, as simple clients do.
    octets.extend_from_slice(b"\x82\x61p\x01\x82\x61p\x02");
    for cut in 0..octets.len() {
        let mut acceptor = link(config("b"), Role::Acceptor);
        let mut packets = Vec::new();
        let mut visit = |packet: Packet<'_>| packets.push(packet.decode::<(String, u64)>().expect("its type").1);
        let mut events = Vec::new();
        for piece in [&octets[..cut], &octets[cut..]] {
            // The owner of this link decides only when everything has arrived.
            events.extend(acceptor.receive(piece, &mut visit).expect("the peer behaves"));
        }
        assert_eq!(events, [Event::Greeted]);
        assert!(!acceptor.wants_input());
        assert_eq!(acceptor.accept(), Ok(Accepted::Authenticating));
        assert_eq!(acceptor.receive(&[], &mut visit), Ok(Some(Event::Up)), "AUTH-11");
        assert_eq!(acceptor.receive(&[], &mut visit), Ok(None));
        assert_eq!(packets, [1, 2], "AUTH-11, CONN-7");
    }
}

#[test]
fn nothing_can_be_sent_before_the_peer_is_verified() {
    let mut opener = link(config("a"), Role::Opener);
    assert_eq!(opener.send(&("port", 1)), Err(SendError::NotUp), "AUTH-10");
    let acceptor = link(config("b"), Role::Acceptor);
    give(&mut opener, acceptor.output(), &mut Vec::new()).expect("a greeting");
    assert_eq!(opener.send_to("port", &1), Err(SendError::NotUp), "AUTH-10");
}

#[test]
fn the_peers_order_decides_what_is_sent() {
    let acceptor = Config {
        accept: vec![Method::HmacSha2_256, Method::HmacSha3_512],
        framings: vec![Framing::Json, Framing::Cbor],
        ..config("b")
    };
    let opener = Config { send: vec![Method::HmacSha3_512, Method::HmacSha2_256], ..config("a") };
    let (opener, acceptor) = up(opener, acceptor);
    assert_eq!(acceptor.method(), Some(Method::HmacSha2_256), "AUTH-6");
    assert_eq!(opener.sends(), Some(Framing::Json), "AUTH-7");
    assert_eq!(acceptor.sends(), Some(Framing::Cbor), "AUTH-7");
}

#[test]
fn storable_is_offered_and_chosen_last() {
    // STORABLE-15, STORABLE-16
    assert_eq!(Framing::ALL.last(), Some(&Framing::Storable));
    assert!(!config("alice").framings.contains(&Framing::Storable), "only who asks for it offers it");
    let prefers = |framings: &[Framing]| Config { framings: framings.into(), ..config("b") };
    for (offered, sent) in [
        (&[Framing::Storable][..], Framing::Storable),
        (&[Framing::Storable, Framing::Json], Framing::Json),
        (&[Framing::Storable, Framing::Json, Framing::Cbor], Framing::Json),
    ] {
        let opener = Config { framings: Framing::ALL.into(), ..config("a") };
        let (opener, _) = up(opener, prefers(offered));
        assert_eq!(opener.sends(), Some(sent), "{offered:?}");
    }
}

#[test]
fn two_that_have_nothing_but_storable_talk() {
    let only = |node| Config { framings: vec![Framing::Storable], ..config(node) };
    for sizes in [&[usize::MAX][..], &[1], &[2, 3, 5, 7, 11]] {
        let (mut opener, mut acceptor) = up(only("a"), only("b"));
        assert_eq!((opener.sends(), opener.receives()), (Some(Framing::Storable), Some(Framing::Storable)));
        let message: Value = vec!["port".into(), "☺".into(), true.into(), Value::Bytes(vec![0, 255]), 7u64.into()].into();
        opener.send(&message).expect("it is up");
        let told = run(&mut opener, &mut acceptor, sizes).expect("well-formed");
        assert!(format!("{told:?}").contains("☺"), "{told:?}");
    }
}

#[test]
fn a_message_goes_to_a_port_with_the_elements_of_its_type() {
    #[derive(serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Request {
        Work(u64, &'static str),
        Rename { to: &'static str },
        Wrap(Vec<u8>),
        Stop,
    }
    let json = |node| Config { framings: vec![Framing::Json], ..config(node) };
    let (mut opener, _) = up(json("a"), json("b"));
    let me: PortId = "a#me".parse().expect("a port ID");
    opener.send_to("p", &("hello", &me)).expect("a tuple");
    opener.send_to("p", &Request::Work(1, "x")).expect("an enum");
    opener.send_to("p", &Request::Rename { to: "y" }).expect("an enum");
    opener.send_to("p", &Request::Wrap(vec![1])).expect("an enum");
    opener.send_to("p", &Request::Stop).expect("an enum");
    opener.send_to("p", &()).expect("no elements");
    opener.send_to("p", &"alone").expect("one element");
    opener.send_to("p", &[1, 2]).expect("a sequence");
    opener.send_to("p", &std::collections::BTreeMap::from([(1, true)])).expect("one element");
    // MSG-1: the name of the port comes first.
    assert_eq!(
        String::from_utf8(take(&mut opener)).expect("text"),
        concat!(
            r#"["p","hello","a#me"]["p","work",1,"x"]["p","rename",{"to":"y"}]["p","wrap",[1]]["p","stop"]"#,
            r#"["p"]["p","alone"]["p",1,2]["p",{"1":true}]"#
        )
    );
}

#[test]
fn what_cannot_be_a_packet_is_refused_and_leaves_no_trace() {
    let (mut opener, mut acceptor) = up(config("a"), config("b"));
    let mut nested = Value::Array(Vec::new());
    for _ in 0..512 {
        nested = Value::Array(vec![nested]);
    }
    struct Liar;
    impl serde::Serialize for Liar {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut seq = serializer.serialize_seq(Some(2))?;
            seq.serialize_element(&1)?;
            seq.end()
        }
    }
    let key = std::collections::BTreeMap::from([([1, 2], 3)]);
    let refusals = [
        opener.send(&"text").expect_err("no array").to_string(),
        opener.send(&Value::Map(Default::default())).expect_err("no array").to_string(),
        opener.send(&nested).expect_err("too deep").to_string(),
        opener.send(&vec![0; 1_000_000]).expect_err("too many values").to_string(),
        opener.send(&("p", serde_bytes::Bytes::new(&vec![0; 64 << 20]))).expect_err("too long").to_string(),
        opener.send(&("p", key)).expect_err("composite key").to_string(),
        opener.send(&("p", Liar)).expect_err("a length that is not right").to_string(),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @"
    a packet must be an array, such as a tuple [FRAME-2]
    a packet must be an array, such as a tuple [FRAME-2]
    the message is too large to send: over a limit: a packet is nested deeper than 512 levels [LIMIT-3]
    the message is too large to send: over a limit: a packet has more than 100000 values [LIMIT-4]
    the message is too large to send: over a limit: a packet is longer than 1048576 octets [LIMIT-2]
    a map key must be a text, a number or a bool
    an array or a map has another length than its type said
    ");
    opener.send(&("p", 1)).expect("the link goes on");
    let told = run(&mut opener, &mut acceptor, &[1]).expect("nothing else was written");
    assert_eq!(told[1], [Told::Packet(Value::from(vec!["p".into(), 1u64.into()]))]);
}

#[test]
fn a_message_is_relayed_in_the_framing_of_the_next_link() {
    let (mut from, mut relay) = up(config("a"), config("b"));
    let json = |node| Config { framings: vec![Framing::Json], ..config(node) };
    let (mut next, mut last) = up(json("b"), json("c"));
    from.send(&("port", f64::INFINITY, serde_bytes::Bytes::new(&[0xE4]), [(); 2], Some(-1))).expect("a packet");
    let octets = take(&mut from);
    let nothing = relay.receive(&octets, |packet| next.relay(&packet).expect("a packet")).expect("a packet");
    assert_eq!(nothing, None);
    assert_eq!(next.output(), r#"["port","Inf","ä",[null,null],-1]"#.as_bytes());
    let mut arrived = Vec::new();
    give(&mut last, next.output(), &mut arrived).expect("a packet");
    let [Told::Packet(Value::Array(elements))] = &arrived[..] else { panic!("{arrived:?}") };
    assert_eq!(elements.len(), 5);
}

#[test]
fn a_handshake_that_takes_too_long_ends_however_often_octets_arrive() {
    let start = Duration::from_secs(1000);
    let config = config("a");
    let own = OwnGreeting::new(&config, [1; 32], None).expect("a greeting");
    let mut opener = Link::new(config.into(), Role::Opener, own, start);
    assert_eq!(opener.deadline(), Some(start + Duration::from_secs(30)));
    for second in 0..30 {
        opener.receive(b"x", |_| {}).expect("a long line");
        opener.handle_timeout(start + Duration::from_secs(second)).expect("in time");
    }
    let error = opener.handle_timeout(start + Duration::from_secs(30)).expect_err("too late");
    insta::assert_snapshot!(error, @"over a limit: no handshake within 30s: it ended before the peer's greeting was complete [LIMIT-1]");
    assert_eq!(opener.receive(b"", |_| {}), Err(ApiMisuse::Ended.into()));
}

#[test]
fn a_link_that_is_up_has_no_deadline() {
    let (mut opener, _) = up(config("a"), config("b"));
    assert_eq!(opener.deadline(), None);
    opener.handle_timeout(Duration::MAX).expect("nothing to wait for");
}

#[test]
fn the_end_of_the_transport_is_an_error_unless_it_is_between_packets() {
    let ended = |prepare: &dyn Fn(&mut Link, &mut Link)| {
        let (mut opener, mut acceptor) = (link(config("a"), Role::Opener), link(config("b"), Role::Acceptor));
        prepare(&mut opener, &mut acceptor);
        opener.end_of_input().map_err(|error| error.to_string())
    };
    let bring_up = |opener: &mut Link, acceptor: &mut Link| {
        run(opener, acceptor, &[usize::MAX]).expect("the two fit");
    };
    let nothing = ended(&|_, _| {}).expect_err("no greeting");
    let half = ended(&|opener, _| drop(opener.receive(b"aemp;1;b;;\n", |_| {}))).expect_err("half a greeting");
    let undecided = ended(&|opener, acceptor| {
        opener.receive(acceptor.output(), |_| {}).expect("a greeting");
    });
    let unanswered = ended(&|opener, acceptor| give(opener, acceptor.output(), &mut Vec::new()).expect("a greeting"));
    let within = ended(&|opener, acceptor| {
        bring_up(opener, acceptor);
        opener.receive(b"\x82", |_| {}).expect("half a packet");
    });
    let texts =
        [nothing, half, undecided.expect_err("undecided"), unanswered.expect_err("refused"), within.expect_err("cut")];
    // FRAME-7
    insta::assert_snapshot!(texts.join("\n"), @"
    connection lost: it ended before the peer's greeting was complete: is that an AEMP node?
    connection lost: it ended before the peer's greeting was complete
    connection lost: it ended before the peer was accepted here
    connection lost: it ended before the peer's authentication line, after ours: the secret is wrong, or the peer does not want this node
    connection lost: it ended within a packet
    ");
    assert_eq!(ended(&bring_up), Ok(()));
}

#[test]
fn calls_out_of_turn_are_misuse_and_change_nothing() {
    let mut opener = link(config("a"), Role::Opener);
    assert_eq!(opener.accept(), Err(ApiMisuse::OutOfTurn("accept").into()));
    assert_eq!(opener.tls_established(), Err(ApiMisuse::OutOfTurn("tls_established").into()));
    let (opener, acceptor) = up(config("a"), config("b"));
    for mut link in [opener, acceptor] {
        assert!(matches!(link.accept(), Err(Error::Misuse(_))));
        assert!(link.is_up());
    }
}

#[test]
fn octets_of_tls_are_never_taken_for_what_is_inside() {
    let side = |node| Config { tls: Tls::Wanted, ..config(node) };
    let (mut opener, acceptor) = (link(side("a"), Role::Opener), link(side("b"), Role::Acceptor));
    assert_eq!(opener.receive(acceptor.output(), |_| {}), Ok(Some(Event::Greeted)));
    assert!(matches!(opener.accept(), Ok(Accepted::StartTls(_))));
    assert!(!opener.wants_input());
    let early = Err(ApiMisuse::OutOfTurn("receive").into());
    assert_eq!(opener.receive(b"tls_sha3_512;00;json\n", |_| {}), early, "TLS-4");
    // Our greeting must not go out inside TLS.
    assert_eq!(opener.tls_established(), Err(ApiMisuse::OutOfTurn("tls_established").into()));
    take(&mut opener);
    opener.tls_established().expect("the greeting is out");
    assert!(take(&mut opener).starts_with(b"tls_sha3_512;"));
}

#[test]
fn a_visitor_that_panics_ends_the_link() {
    let (_, mut acceptor) = up(config("a"), config("b"));
    let packets = b"\x82\x61p\x01\x82\x61p\x02\x82\x61p";
    let visit = || acceptor.receive(packets, |_| panic!("a visitor that panics"));
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(visit)).is_err());
    // Part of the stream is gone, so nothing that follows can be understood.
    assert_eq!(acceptor.receive(b"\x03", |_| {}), Err(ApiMisuse::Ended.into()));
}

#[test]
fn keys_that_would_change_the_greeting_are_refused() {
    for (key, value) in [("x;tls", "1.0"), ("y=z", "1"), ("tls", "1.0"), ("peeraddr", "here"), ("a\n", "b"), ("c", "d\re")] {
        let mut odd = config("a");
        odd.keys.insert(key.into(), value.into());
        // GREET-1, GREET-16
        assert!(OwnGreeting::new(&odd, [1; 32], Some("127.0.0.1:1")).is_err(), "{key}={value}");
    }
}

#[test]
fn a_peer_that_knows_only_sha_2_is_a_peer() {
    let only_sha2 = |node| Config { send: vec![Method::HmacSha2_256], accept: vec![Method::HmacSha2_256], ..config(node) };
    for (opener, acceptor) in [(only_sha2("a"), config("b")), (config("a"), only_sha2("b"))] {
        let (opener, acceptor) = up(opener, acceptor);
        assert_eq!([opener.method(), acceptor.method()], [Some(Method::HmacSha2_256); 2], "AUTH-26");
    }
}

#[test]
fn what_arrived_before_the_end_of_the_stream_is_delivered() {
    let (_, mut acceptor) = up(config("a"), config("b"));
    let mut told = Vec::new();
    give(&mut acceptor, b"\x82\x61p\x01\x82\x61p\x02\x82", &mut told).expect("well-formed so far");
    // CONN-10
    assert_eq!(told.len(), 2);
    acceptor.end_of_input().expect_err("half a packet");
}

#[test]
fn secrets_and_tokens_never_show_in_debug_output() {
    let mut with_cleartext = config("a");
    with_cleartext.secret = Some(Secret::new(b"hunter2").expect("a secret"));
    (with_cleartext.send, with_cleartext.accept) = (vec![Method::Cleartext], vec![Method::Cleartext]);
    let shown = format!("{with_cleartext:?}");
    let mut opener = link(with_cleartext.clone(), Role::Opener);
    let acceptor = link(Config { node: config("b").node, ..with_cleartext }, Role::Acceptor);
    give(&mut opener, acceptor.output(), &mut Vec::new()).expect("a greeting");
    let token = "68756e74657232";
    assert!(String::from_utf8_lossy(opener.output()).contains(token));
    let line = aemp_proto::line::Authentication { method: "cleartext", token, framing: "json" };
    // ERR-3
    for shown in [shown, format!("{opener:?}"), format!("{line:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains(token), "{shown}");
    }
}

#[test]
fn an_idle_link_is_small() {
    let (opener, _) = up(config("a"), config("b"));
    assert!(size_of_val(&opener) <= 1024, "{} octets", size_of_val(&opener));
}

/// Two sides within TLS, with the secret as the proof.
fn within_tls(bind: [bool; 2]) -> [Link; 2] {
    let mut bind = bind.iter();
    [("a", Role::Opener), ("b", Role::Acceptor)].map(|(name, role)| {
        let mut config = config(name);
        (config.tls, config.exporter) = (Tls::Required, *bind.next().expect("two"));
        (config.send, config.accept) = (vec![Method::HmacSha3_512], vec![Method::HmacSha3_512]);
        link(config, role)
    })
}

/// Brings both within TLS, as if by these two connections.
fn secure([a, b]: &mut [Link; 2], exporters: [[u8; 32]; 2]) {
    for _ in 0..2 {
        let (from_a, from_b) = (take(a), take(b));
        for (link, octets) in [(&mut *a, from_b), (&mut *b, from_a)] {
            if link.receive(&octets, |_| {}).expect("a greeting") == Some(Event::Greeted) {
                assert!(matches!(link.accept(), Ok(Accepted::StartTls(_))));
            }
        }
    }
    for (link, exporter) in [a, b].into_iter().zip(exporters) {
        link.tls_established_with(&exporter).expect("it stands");
    }
}

#[test]
fn who_sits_between_two_tls_connections_cannot_pass_tokens_on() {
    for bind in [[true, true], [true, false], [false, true], [false, false]] {
        for exporters in [[[1; 32], [1; 32]], [[1; 32], [2; 32]]] {
            let mut links = within_tls(bind);
            secure(&mut links, exporters);
            let [a, b] = &mut links;
            let outcome = run(a, b, &[usize::MAX]).map(drop);
            let is_refused = matches!(outcome, Err(Error::Misbehaved(PeerMisbehaved::WrongToken { .. })));
            let is_bound = bind == [true, true];
            assert_eq!(is_refused, is_bound && exporters[0] != exporters[1], "AUTH-27, AUTH-28: {bind:?}, {outcome:?}");
        }
    }
}

#[test]
fn a_link_that_announces_the_exporter_is_given_it() {
    let mut links = within_tls([true, true]);
    let [a, b] = &mut links;
    let (from_a, from_b) = (take(a), take(b));
    for (link, octets) in [(&mut *a, from_b), (&mut *b, from_a)] {
        link.receive(&octets, |_| {}).expect("a greeting");
        let _tls = link.accept().expect("it may go on");
    }
    assert_eq!(a.tls_established(), Err(ApiMisuse::OutOfTurn("tls_established").into()), "AUTH-28");
}
