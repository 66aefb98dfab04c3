//! What a peer can do wrong, whether the link ends, and what the error says.

use std::fmt::Write as _;

use crate::support::pair::{Told, config, give, link, take};
use crate::support::vectors::{Octets, cases, doubled, hex};
use aemp_proto::auth::{Method, Secret, Transcript};
use aemp_proto::error::{ApiMisuse, Error};
use aemp_proto::framing::{Framing, Limits};
use aemp_proto::link::{Config, Event, Link, OwnGreeting, Role, Tls};
use aemp_proto::names::NodeId;
use serde::Deserialize;

/// A peer that is written by hand, against a link that accepts its connection.
struct Peer {
    link: Link,
    /// The two lines of the link.
    lines: [Vec<u8>; 2],
}

const PEER: [&[u8]; 2] = [b"aemp;1;peer;hmac_sha3_512;json", b"a nonce"];

impl Peer {
    fn new(config: Config) -> Self {
        let mut link = link(config, Role::Acceptor);
        let sent = take(&mut link);
        let mut lines = sent.split(|&octet| octet == b'\n').map(<[u8]>::to_vec);
        Peer { lines: [lines.next().expect("a line"), lines.next().expect("a line")], link }
    }

    /// The authentication line that is right for the greeting [`PEER`], with its line end.
    fn right_line(&self, framing: Framing) -> Vec<u8> {
        let transcript = Transcript { own: PEER, other: [&self.lines[0], &self.lines[1]] };
        let secret = Secret::new(b"swordfish").expect("a secret");
        let token = Method::HmacSha3_512.token(&transcript, Some(&secret)).expect("there is a secret");
        format!("hmac_sha3_512;{};{framing}\n", *token).into_bytes()
    }

    fn greeting(&self) -> Vec<u8> {
        [PEER[0], b"\n", PEER[1], b"\n"].concat()
    }

    /// Everything up to the first packet.
    fn handshake(&self, framing: Framing) -> Vec<u8> {
        [self.greeting(), self.right_line(framing)].concat()
    }
}

/// One way to misbehave: what it is, the configuration it meets, and the octets.
struct Way {
    what: &'static str,
    config: Config,
    octets: Box<Sends>,
}

type Sends = dyn Fn(&Peer) -> Vec<u8>;

fn way(what: &'static str, octets: impl Fn(&Peer) -> Vec<u8> + 'static) -> Way {
    Way { what, config: config("link"), octets: Box::new(octets) }
}

fn with(mut way: Way, change: impl FnOnce(&mut Config)) -> Way {
    change(&mut way.config);
    way
}

fn greets(what: &'static str, first: impl AsRef<[u8]> + 'static) -> Way {
    way(what, move |_| [first.as_ref(), b"\nnonce\n"].concat())
}

fn authenticates(what: &'static str, line: impl Fn(String) -> String + 'static) -> Way {
    way(what, move |peer| {
        let right = String::from_utf8(peer.right_line(Framing::Json)).expect("text");
        [peer.greeting(), line(right).into_bytes()].concat()
    })
}

fn says(what: &'static str, framing: Framing, packets: impl AsRef<[u8]> + 'static) -> Way {
    let says = way(what, move |peer| [&peer.handshake(framing), packets.as_ref()].concat());
    with(says, |config| config.framings = Framing::ALL.into())
}

fn ways() -> Vec<Way> {
    use Framing::{Cbor, Json, Storable};
    let json = |what, packets: &'static str| says(what, Json, packets);
    let cbor = |what, packets: &'static [u8]| says(what, Cbor, packets);
    // An array of one element.
    let storable = |what, element: &'static [u8]| {
        let length = 7 + element.len() as u8;
        says(what, Storable, [&[length, 5, 11, 2, 0, 0, 0, 1], element].concat())
    };
    vec![
        // Lines.
        way("a line of 4097 octets", |_| [vec![b'x'; 4096], vec![b'\n']].concat()),
        way("a line that never ends", |_| vec![b'x'; 100_000]),
        way("a carriage return within a line", |_| b"aemp;1;peer;\rhmac_sha3_512;json\n".to_vec()),
        way("a carriage return in a line that never ends", |_| [&b"aemp\r"[..], &[b'x'; 5000]].concat()),
        way("a second line of 4097 octets", |_| [PEER[0], b"\n", &[b'x'; 4096], b"\n"].concat()),
        // The greeting.
        greets("too few parts", "aemp;1;peer;hmac_sha3_512"),
        greets("not UTF-8", b"aemp;1;p\xFFeer;hmac_sha3_512;json"),
        greets("another protocol of the same family", "aemp-dataconn;1;peer;hmac_sha3_512;json;dataconn_id=b@seed"),
        greets("something else altogether", "GET / HTTP/1.1\r\nHost: localhost; a; b; c; d\r\n"),
        greets("an SSH client", "SSH-2.0-OpenSSH_9.2;;;;"),
        greets("version 2", "aemp;2;peer;hmac_sha3_512;json"),
        greets("an empty node ID", "aemp;1;;hmac_sha3_512;json"),
        greets("a node ID with a #", "aemp;1;peer#port;hmac_sha3_512;json"),
        greets("a node ID of 257 octets", format!("aemp;1;{};hmac_sha3_512;json", "x".repeat(257))),
        greets("our own node ID", "aemp;1;link;hmac_sha3_512;json"),
        way("our own greeting", |peer| [&peer.lines[0], &b"\n"[..], &peer.lines[1], b"\n"].concat()),
        way("our own nonce", |peer| [PEER[0], b"\n", &peer.lines[1], b"\n"].concat()),
        greets("no common method", "aemp;1;peer;hmac_md6_64_256,none;json"),
        greets("only methods that need TLS", "aemp;1;peer;tls_sha3_512,tls_anon;json"),
        greets("no methods", "aemp;1;peer;;json"),
        // AUTH-9
        greets("no common framing", "aemp;1;peer;hmac_sha3_512;yaml,xml"),
        greets("no framings", "aemp;1;peer;hmac_sha3_512;"),
        // TLS-7
        with(greets("no TLS where it is required", "aemp;1;peer;hmac_sha3_512;json"), |config| config.tls = Tls::Required),
        // TLS-15
        with(greets("another version of TLS where it is required", "aemp;1;peer;hmac_sha3_512;json;tls=2.0"), |config| {
            config.tls = Tls::Required;
        }),
        with(greets("no secret here", "aemp;1;peer;hmac_sha3_512;json"), |config| config.secret = None),
        // The authentication line.
        authenticates("packets instead of a line", |_| "[\"port\",\"hello\"]\n".into()),
        authenticates("binary octets instead of a line", |_| "\u{1}\u{2}\u{3}\n".into()),
        way("a line that is not UTF-8", |peer| [&peer.greeting(), &b"hmac_sha3_512;\xFF;json\n"[..]].concat()),
        way("4097 octets without a line end", |peer| [peer.greeting(), vec![b'['; 4097]].concat()),
        authenticates("a wrong token", |right| {
            let (method, token) = right.split_once(';').expect("a line");
            format!("{method};{}{}", if token.starts_with('0') { '1' } else { '0' }, &token[1..])
        }),
        authenticates("a token that is too short", |right| right.replace(";json", "x;json").replacen("512;", "512;x", 1)),
        authenticates("an empty token", |_| "hmac_sha3_512;;json\n".into()),
        authenticates("an uppercase token", |right| {
            right.to_uppercase().replace("HMAC_SHA3_512", "hmac_sha3_512").replace("JSON", "json")
        }),
        authenticates("a method that is not known", |right| right.replace("hmac_sha3_512", "hmac_md6_64_256")),
        authenticates("the secret in clear text, which was not offered", |_| "cleartext;73776f726466697368;json\n".into()),
        authenticates("nothing, by a method that was not offered", |_| "tls_anon;;json\n".into()),
        authenticates("a TLS method without TLS", |right| right.replace("hmac_sha3_512", "tls_sha3_512")),
        with(authenticates("tls_anon without TLS", |_| "tls_anon;;json\n".into()), |config| {
            config.accept.push(Method::TlsAnon);
        }),
        authenticates("a framing that is not known", |right| right.replace("json", "xml")),
        // Packets in json.
        json("a map", "[]{}"),
        json("a text", "\"port\""),
        json("a number", "[1]2"),
        json("null", "null"),
        json("nothing that json has", "[1]x"),
        json("an array that ends as a map", "[1}"),
        json("a comma too many", "[1,]"),
        json("a comma too few", "[1 2]"),
        json("a colon too few", "[{\"a\" 1}]"),
        json("a key that is no text", "[{1:2}]"),
        json("a number without digits", "[-]"),
        json("a number that begins with 0", "[01]"),
        json("NaN", "[NaN]"),
        json("Perl's infinity", "[inf]"),
        json("half a literal", "[trux]"),
        json("an escape that does not exist", "[\"\\x\"]"),
        json("half a surrogate pair", "[\"\\ud800\"]"),
        json("a control character in a text", "[\"a\nb\"]"),
        says("a text that is not UTF-8", Json, b"[\"a\xFFb\"]"),
        says("a byte order mark", Json, b"\xEF\xBB\xBF[]"),
        says("100,000 arrays in json", Json, "[".repeat(100_000)),
        with(json("a json packet over the limit", "[\"1234567\"]"), |config| config.limits.octets = 10),
        with(json("too many json values", "[1,2,{\"3\":4},[]]"), |config| config.limits.values = 6),
        // Packets in cbor.
        cbor("a cbor map", b"\x80\xA0"),
        cbor("a cbor integer", b"\x01"),
        cbor("a cbor text", b"\x61a"),
        cbor("a reserved length", b"\x81\x1C"),
        cbor("a break where none can be", b"\x81\xFF"),
        cbor("a map that ends behind a key", b"\x81\xBF\x01\xFF"),
        cbor("a chunk of another kind", b"\x81\x5F\x61a\xFF"),
        cbor("an integer of indefinite length", b"\x81\x1F"),
        cbor("a tag of indefinite length", b"\x81\xDF"),
        cbor("a simple value in two octets", b"\x81\xF8\x14"),
        cbor("an unassigned simple value", b"\x81\xE0"),
        cbor("a large integer", b"\x81\xC2\x41\x01"),
        cbor("an array as a key", b"\x81\xA1\x80\x01"),
        cbor("a cbor text that is not UTF-8", b"\x81\x62\xC3\x28"),
        says("100,000 arrays in cbor", Cbor, [0x81; 100_000]),
        cbor("an array of 2^64-1 elements", b"\x9B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
        cbor("a text of 2^64-1 octets", b"\x81\x7B\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
        // Packets in storable.
        storable("code", b"\x04\x1A\x0A\x05{ 1 }"),
        storable("an object", b"\x04\x11\x05Thing\x03\x00\x00\x00\x00"),
        storable("a hook", b"\x04\x13\x02\x06Hooked\x01x"),
        storable("a regular expression", b"\x20\x00\x01x\x00"),
        storable("a tag that nobody knows", b"\x7F"),
        storable("an array that contains itself", b"\x04\x00\x00\x00\x00\x00"),
        storable("an object that was not there", b"\x00\x00\x00\x00\x09"),
        storable("an array without a reference", b"\x02\x00\x00\x00\x00"),
        storable("a reference to a reference", b"\x04\x04\x05"),
        storable("bytes of 2^31-1 octets", b"\x01\x7F\xFF\xFF\xFFx"),
        storable("a storable text that is not UTF-8", b"\x17\x02\xC3\x28"),
        says("a storable map", Storable, b"\x07\x05\x0B\x03\x00\x00\x00\x00"),
        says("a storable file", Storable, b"\x0Bpst0\x05\x0B\x02\x00\x00\x00\x00"),
        says("a length that the reference would misread", Storable, b"\x80\x07"),
        says("a length beyond all limits", Storable, [0xFF; 9]),
        says("copies of copies of copies", Storable, doubled(9)),
        with(cbor("a cbor packet over the limit", b"\x81\x491234567890"), |config| config.limits.octets = 10),
    ]
}

/// Feeds a link with what the peer sends, in pieces; the error, and whether packets arrived before.
fn meet(way: &Way, piece: usize) -> (Error, Link, Vec<Told>) {
    let mut peer = Peer::new(way.config.clone());
    let octets = (way.octets)(&peer);
    let mut told = Vec::new();
    for piece in octets.chunks(piece) {
        if let Err(error) = give(&mut peer.link, piece, &mut told) {
            return (error, peer.link, told);
        }
    }
    panic!("{}: nothing ended the link", way.what);
}

#[test]
fn each_misbehaviour_ends_the_link_with_an_error_that_names_its_requirement() {
    let mut report = String::new();
    for way in &ways() {
        let (error, mut link, told) = meet(way, usize::MAX);
        let requirement = error.requirement().unwrap_or_else(|| panic!("{}: {error}", way.what));
        assert!(error.to_string().contains(requirement.id()), "{error} does not name {requirement}");
        // ERR-1: the link has ended for good, and has nothing more to say.
        assert_eq!(link.receive(b"[]", |_| {}), Err(ApiMisuse::Ended.into()), "{}", way.what);
        assert_eq!((link.output(), link.deadline(), link.is_up()), (&b""[..], None, false));
        // However it arrives.
        let (octetwise, _, told_octetwise) = meet(way, 1);
        assert_eq!((octetwise, told_octetwise), (error.clone(), told), "{}", way.what);
        writeln!(report, "{}: {error}", way.what).expect("memory");
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_framing_that_was_not_offered_is_refused() {
    let mut json_only = config("link");
    json_only.framings = vec![Framing::Json];
    let peer = Peer::new(json_only);
    let octets = [peer.greeting(), peer.right_line(Framing::Cbor)].concat();
    let mut link = peer.link;
    let error = give(&mut link, &octets, &mut Vec::new()).expect_err("cbor was not offered");
    insta::assert_snapshot!(error, @r#"the peer broke the protocol: the peer wants to send in framing "cbor", which we did not offer [AUTH-15]"#);
}

#[test]
fn what_came_before_the_fault_is_delivered() {
    for (framing, good, bad) in
        [(Framing::Json, &b"[\"p\",1][\"p\",2]"[..], &b"[x"[..]), (Framing::Cbor, b"\x81\x01\x81\x02", b"\x81\xFF")]
    {
        let way = says("a fault behind two packets", framing, [good, bad].concat());
        let (_, _, told) = meet(&way, usize::MAX);
        let packets = told.iter().filter(|told| matches!(told, Told::Packet(_)));
        assert_eq!(packets.count(), 2, "FRAME-3, FRAME-4, FRAME-10");
    }
}

#[test]
fn tolerated_oddities_do_not_end_the_link() {
    let limits = Limits::default();
    let odd: [(&str, Vec<u8>); 8] = [
        ("CONN-4, CONN-9: CR LF", b"aemp;1;peer;hmac_sha3_512;json\r\na nonce\r\n".to_vec()),
        ("CONN-6: a line of 4096 octets", [&b"aemp;1;peer;hmac_sha3_512;json;x="[..], &vec![b'x'; 4062], b"\n\n"].concat()),
        ("NONCE-3: an empty nonce", b"aemp;1;peer;hmac_sha3_512;json\n\n".to_vec()),
        ("NONCE-3: a nonce of any octets", b"aemp;1;peer;hmac_sha3_512;json\n\x00\xFF;\x7F\n".to_vec()),
        ("GREET-6: version 1.0", b"aemp;1.0;peer;hmac_sha3_512;json\nnonce\n".to_vec()),
        ("GREET-21: our own node ID but for its case", b"aemp;1;LINK;hmac_sha3_512;json\nnonce\n".to_vec()),
        ("GREET-12: unknown names", b"aemp;1;peer;x,hmac_sha3_512,y;z,json\nnonce\n".to_vec()),
        ("GREET-13: unknown keys", b"aemp;1;peer;hmac_sha3_512;json;a=b;c;=;;d=e=f\nnonce\n".to_vec()),
    ];
    for (what, octets) in odd {
        let mut link = link(config("link"), Role::Acceptor);
        let mut told = Vec::new();
        give(&mut link, &octets, &mut told).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(told, [Told::Event(Event::Greeted)], "{what}");
    }
    for (what, packets) in [
        ("JSON-2: white space", &b" \t\r\n[ ] \r\n [\"p\" , { } ]\n"[..]),
        ("MSG-3: a number as a port name", b"[42,\"x\"]"),
        ("MSG-15: any port name", br#"["\u0000 #;\n",1]"#),
        ("VALUE-4, VALUE-10: a key twice", br#"["p",{"a":1,"a":2}]"#),
        ("MSG-13: no port name at all", br#"[{"a":1}][[[]]][1.5][true]"#),
    ] {
        let mut peer = Peer::new(config("link"));
        let octets = [&peer.handshake(Framing::Json), packets].concat();
        give(&mut peer.link, &octets, &mut Vec::new()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(peer.link.is_up() && peer.link.end_of_input().is_ok(), "{what}");
    }
    assert_eq!(
        (limits.octets >= 1 << 20, limits.depth >= 512, limits.values >= 100_000),
        (true, true, true),
        "LIMIT-2 to 4"
    );
}

#[test]
fn octets_before_the_decision_are_bounded() {
    let mut small = config("link");
    small.limits.octets = 1000;
    let mut peer = Peer::new(small);
    let greeting = peer.greeting();
    assert_eq!(peer.link.receive(&greeting, |_| {}), Ok(Some(Event::Greeted)));
    let mut given = 0;
    let error = loop {
        match peer.link.receive(&[b'x'; 100], |_| {}) {
            Ok(event) => assert_eq!(event, None),
            Err(error) => break error,
        }
        given += 100;
    };
    assert!((5000..5200).contains(&given), "LIMIT-7");
    insta::assert_snapshot!(error, @"over a limit: the peer sent more than 5096 octets before it was authenticated [LIMIT-7]");
}

#[derive(Deserialize)]
struct Greetings {
    own: [Octets; 2],
    other: [Octets; 2],
}

#[test]
fn the_other_side_is_greeted_or_refused_as_the_vectors_say() {
    for case in cases::<Greetings>("nonces.json") {
        let Greetings { own: [first, second], other } = &case.with;
        let own = OwnGreeting::exact(&first.0, &second.0).expect("our own greeting");
        let mut link = Link::new(config("unused").into(), Role::Opener, own, Default::default());
        let octets = [&other[0].0, &b"\n"[..], &other[1].0, b"\n"].concat();
        let greeted = link.receive(&octets, |_| {});
        let told = greeted.map_err(|error| error.requirement().expect("a requirement").id().to_owned());
        case.check(&told, || Some(Event::Greeted));
    }
}

#[derive(Deserialize)]
#[allow(non_snake_case, reason = "the names of the specification")]
struct Token {
    secret_hex: Option<String>,
    L1: Octets,
    L2: Octets,
    R1: Octets,
    R2: Octets,
    line: Octets,
}

#[test]
fn tokens_are_verified_as_the_vectors_say() {
    for case in cases::<Token>("tokens.json") {
        let Token { secret_hex, L1, L2, R1, R2, line } = &case.with;
        let own = OwnGreeting::exact(&R1.0, &R2.0).expect("our own greeting");
        let mut config = Config::new(NodeId::new("unused").expect("a node ID"));
        config.secret = secret_hex.as_ref().and_then(|digits| Secret::new(&hex(digits)).ok());
        let all = [Method::TlsSha3_512, Method::HmacSha3_512, Method::HmacSha2_256, Method::TlsAnon, Method::Cleartext];
        (config.send, config.accept, config.framings) = (all.into(), all.into(), Framing::ALL.into());
        let mut link = Link::new(config.into(), Role::Acceptor, own, Default::default());
        let octets = [&L1.0, &b"\n"[..], &L2.0, b"\n", &line.0, b"\n"].concat();
        let mut told = Vec::new();
        let ended = give(&mut link, &octets, &mut told).map(|()| link.is_up());
        let ended =
            ended.map_err(|error| error.requirement().map_or(error.to_string(), |requirement| requirement.id().into()));
        case.check(&ended, || true);
    }
}
