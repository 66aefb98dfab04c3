//! Data connections between live nodes.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aemp_node::proto::actor::NodeEvent;
use aemp_node::proto::auth::Secret;
use aemp_node::proto::names::NodeId;
use aemp_node::{Certificates, Config, DataListener, DataStream, Node, Tap};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How a network authenticates.
#[derive(Clone)]
enum Kind {
    Plain,
    Tls(Certificates),
}

impl Kind {
    fn both() -> [Kind; 2] {
        [
            Kind::Plain,
            Kind::Tls(Certificates::shared(crate::support::certificates::shared().as_bytes()).expect("a certificate")),
        ]
    }

    fn config(&self, id: &str) -> Config {
        let mut config = Config::new(NodeId::new(id).expect("a node ID"));
        match self {
            Kind::Plain => config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret")),
            Kind::Tls(certificates) => config.certificates = Some(certificates.clone()),
        }
        config
    }

    /// A node that listens.
    async fn listening(&self, id: &str) -> Node {
        let mut config = self.config(id);
        config.listen = vec!["127.0.0.1:0".into()];
        Node::start(config).await.expect("it starts")
    }

    /// A node that does not listen, and knows the other one.
    async fn dialling(&self, id: &str, seed: &Node) -> Node {
        let mut config = self.config(id);
        config.seeds = vec![seed.addresses()[0].to_string()];
        let node = Node::start(config).await.expect("it starts");
        let mut events = node.events();
        while !matches!(events.recv().await, Some(NodeEvent::Up(_))) {}
        node
    }
}

/// Sends back what it gets, reversed, when it has all of it.
async fn reverses(mut listener: DataListener) {
    while let Some((mut stream, arguments)) = listener.accept().await {
        tokio::spawn(async move {
            let mut octets = Vec::new();
            stream.read_to_end(&mut octets).await.expect("all of it");
            octets.extend(arguments.decode::<String>().expect("a text").into_bytes());
            octets.reverse();
            stream.write_all(&octets).await.expect("it reads");
            stream.shutdown().await.expect("it reads");
        });
    }
}

async fn exchange(mut stream: DataStream, octets: &[u8]) -> Vec<u8> {
    stream.write_all(octets).await.expect("it reads");
    // The other direction goes on.
    stream.shutdown().await.expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("all of it");
    answer
}

/// A stream between two nodes: the end of who asked for it, and the other.
async fn stream(asks: &Node, takes: &Node) -> [DataStream; 2] {
    let mut listener = takes.data_accept("Data::stream").await.expect("the name is free");
    let (asked, taken) = tokio::join!(asks.data_connect(takes.id(), "Data::stream", &()), listener.accept());
    [asked.expect("it stands"), taken.expect("the node runs").0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_side_can_ask_and_each_direction_ends_by_itself() {
    // DATA-2, DATA-5, DATA-6, DATA-21, DATA-22
    for kind in Kind::both() {
        let (listening, is_tls) = (kind.listening("listening").await, matches!(kind, Kind::Tls(_)));
        let dialling = kind.dialling("dialling", &listening).await;
        let octets: Vec<u8> = (0..300_000u32).map(|number| (number % 251) as u8).collect();
        for (asks, takes) in [(&dialling, &listening), (&listening, &dialling), (&listening, &listening)] {
            let listener = takes.data_accept("Data::reverse").await.expect("the name is free");
            assert!(takes.data_accept("Data::reverse").await.is_err());
            let task = tokio::spawn(reverses(listener));
            let stream = asks.data_connect(takes.id(), "Data::reverse", &"begin").await.expect("it stands");
            assert_eq!((stream.peer(), stream.is_secured()), (takes.id(), is_tls && asks.id() != takes.id()));
            let mut expected = [&octets[..], b"begin"].concat();
            expected.reverse();
            assert!(exchange(stream, &octets).await == expected);
            task.abort();
            // Nobody takes them any more once the listener is gone.
            while asks.data_connect(takes.id(), "Data::reverse", &"begin").await.is_ok() {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_that_was_meant_is_told_from_others() {
    // DATA-7, DATA-26
    for kind in Kind::both() {
        let listening = kind.listening("listening").await;
        let dialling = kind.dialling("dialling", &listening).await;
        let mut octets = Vec::new();

        let [mut asked, mut taken] = stream(&dialling, &listening).await;
        asked.write_all(b"all of it").await.expect("it reads");
        asked.shutdown().await.expect("it reads");
        drop(asked);
        taken.read_to_end(&mut octets).await.expect("an end in order");
        assert_eq!(octets, b"all of it");

        // All that was written arrives, but TLS tells that nobody has said so.
        let [mut asked, mut taken] = stream(&dialling, &listening).await;
        asked.write_all(b" but").await.expect("it reads");
        asked.flush().await.expect("it reads");
        drop(asked);
        let ended = taken.read_to_end(&mut octets).await;
        assert_eq!(octets, b"all of it but");
        match kind {
            Kind::Plain => assert_eq!(ended.expect("it cannot be told"), 4),
            Kind::Tls(_) => {
                let error = ended.expect_err("it is cut off");
                let told = "dialling has cut the connection off before its end";
                assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::UnexpectedEof, told));
            }
        }

        // Whoever gives up says so in any case.
        let [asked, mut taken] = stream(&dialling, &listening).await;
        asked.reset();
        let error = taken.read_to_end(&mut octets).await.expect_err("it is no end");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_holds_up_its_writer_and_nobody_else() {
    for kind in Kind::both() {
        let listening = kind.listening("listening").await;
        let dialling = kind.dialling("dialling", &listening).await;
        let [mut asked, mut taken] = stream(&dialling, &listening).await;
        let block = vec![7; 1 << 20];
        let mut written = 0;
        // The buffers of the system fill up, and nothing else does.
        while let Ok(octets) = tokio::time::timeout(Duration::from_millis(500), asked.write(&block)).await {
            written += octets.expect("it stands");
            assert!(written < 64 << 20, "somebody keeps what nobody reads");
        }
        let echo = listening.port(aemp_node::echo).await.expect("it runs");
        for number in 0..100u64 {
            let answer = dialling.call(&echo, &number, None).await.expect("it answers");
            assert_eq!(answer.decode::<u64>().expect("a number"), number);
        }
        // And it goes on when it is read.
        let reading = tokio::spawn(async move { tokio::io::copy(&mut taken, &mut tokio::io::sink()).await });
        asked.write_all(&block).await.expect("it is read");
        asked.shutdown().await.expect("it is read");
        assert!(reading.await.expect("no panic").expect("an end in order") >= written as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_says_why() {
    // DATA-13, DATA-14, DATA-25
    let mut config = Kind::Plain.config("secure");
    (config.node.secure, config.listen) = (true, vec!["127.0.0.1:0".into()]);
    let secure = Node::start(config).await.expect("it starts");
    let listening = Kind::Plain.listening("listening").await;
    let dialling = Kind::Plain.dialling("dialling", &listening).await;
    dialling.add_seed(&secure.addresses()[0].to_string());
    let quiet = Kind::Plain.dialling("quiet", &listening).await;
    let _taken = secure.data_accept("Data::there").await.expect("the name is free");
    let _not_reached = quiet.data_accept("Data::there").await.expect("the name is free");
    let none = "no function of that name takes data connections here";
    for (node, function, told) in [
        ("listening", "Data::none", none),
        ("dialling", "Data::none", none),
        ("secure", "Data::there", none),
        ("nobody", "Data::there", "nobody: no known address"),
        ("quiet", "Data::there", "quiet: it does not listen"),
    ] {
        let node = NodeId::new(node).expect("a node ID");
        let error = dialling.data_connect(&node, function, &()).await.expect_err("it is not there");
        // Who does not listen is no known address, too.
        let error = error.to_string().replace("quiet: no known address", "quiet: it does not listen");
        assert_eq!(error, told, "{node}");
    }
    let large = "x".repeat(100_000);
    let _there = listening.data_accept("Data::there").await.expect("the name is free");
    let error = dialling.data_connect(listening.id(), "Data::there", &large).await.expect_err("it is too much");
    assert_eq!(error.to_string(), "the arguments are too large [DATA-18]");
    listening.stop().await;
    let error = listening.data_connect(dialling.id(), "Data::there", &()).await.expect_err("it has ended");
    assert_eq!(error.to_string(), "the node has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_without_the_handle_of_its_node_and_ends_when_that_is_stopped() {
    let listening = Kind::Plain.listening("listening").await;
    let dialling = Kind::Plain.dialling("dialling", &listening).await;
    let [mut asked, mut taken] = stream(&dialling, &listening).await;
    drop(dialling);
    asked.write_all(b"still there").await.expect("it reads");
    let mut octets = [0; 11];
    taken.read_exact(&mut octets).await.expect("it is written");
    assert_eq!(&octets, b"still there");
    listening.stop().await;
    taken.read_exact(&mut octets).await.expect_err("its node has ended");
    drop(taken);
    assert_eq!(asked.read(&mut octets).await.ok().unwrap_or(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_up_is_forgotten_and_what_nobody_takes_is_closed() {
    let listening = Kind::Plain.listening("listening").await;
    let dialling = Kind::Plain.dialling("dialling", &listening).await;
    let mut listener = listening.data_accept("Data::stream").await.expect("the name is free");
    for _ in 0..20 {
        let asking = dialling.data_connect(listening.id(), "Data::stream", &());
        // It may be anywhere between the request and the stream.
        let _given_up = tokio::time::timeout(Duration::from_micros(300), asking).await;
    }
    let mut streams = Vec::new();
    for _ in 0..80 {
        streams.push(dialling.data_connect(listening.id(), "Data::stream", &()).await.expect("it stands"));
    }
    // 64 wait to be taken, those that were given up among them; the others are closed.
    let (mut taken, mut closed, mut waiting) = (0, 0, Vec::new());
    for mut stream in streams {
        match tokio::time::timeout(Duration::from_millis(20), stream.read_u8()).await {
            Ok(ended) => {
                // DATA-27: an end in order would be an empty stream.
                assert_eq!(ended.expect_err("nobody writes").kind(), ErrorKind::ConnectionReset);
                closed += 1;
            }
            Err(_) => {
                taken += 1;
                waiting.push(stream);
            }
        }
    }
    assert!(taken <= 64 && closed >= 16 && taken + closed == 80, "{taken} {closed}");
    let (first, _) = listener.accept().await.expect("it runs");
    drop(listener);
    let mut ends = Vec::new();
    for mut stream in waiting {
        if let Ok(ended) = tokio::time::timeout(Duration::from_secs(1), stream.read_u8()).await {
            ends.push(ended.expect_err("nobody writes").kind());
        }
    }
    // All but the one that was taken, if that is one of these.
    assert!(ends.len() + 1 >= taken && ends.iter().all(|end| *end == ErrorKind::ConnectionReset), "{taken} {ends:?}");
    drop(first);
    // Only the connection of the two nodes is left for the nodes to know.
    assert_eq!(dialling.connections().await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_stream_is_shown_on_the_wire() {
    let shown = Arc::new(Mutex::new(String::new()));
    let listening = Kind::Plain.listening("listening").await;
    let mut config = Kind::Plain.config("dialling");
    config.seeds = vec![listening.addresses()[0].to_string()];
    let text = shown.clone();
    config.tap = Some(Tap::new(move |passed| *text.lock().expect("no panic") += &format!("{passed}\n")));
    let dialling = Node::start(config).await.expect("it starts");
    let mut listener = dialling.data_accept("Data::stream").await.expect("the name is free");
    let mut events = dialling.events();
    while !matches!(events.recv().await, Some(NodeEvent::Up(_))) {}
    // The other side writes at once, so this may come in one read with its authentication line.
    let asks = async {
        let mut stream = listening.data_connect(dialling.id(), "Data::stream", &()).await.expect("it stands");
        stream.write_all(b"a secret of its own, and no packet").await.expect("it reads");
        stream.shutdown().await.expect("it reads");
    };
    let takes = async {
        let mut text = String::new();
        let (mut stream, _) = listener.accept().await.expect("the node runs");
        stream.read_to_string(&mut text).await.expect("an end in order");
        assert_eq!(text, "a secret of its own, and no packet");
    };
    tokio::join!(asks, takes);
    let shown = shown.lock().expect("no panic");
    assert!(shown.contains("aemp-dataconn;1;dialling;") && !shown.contains("of its own"), "{shown}");
    assert!(!shown.contains("no packet"), "{shown}");
}
