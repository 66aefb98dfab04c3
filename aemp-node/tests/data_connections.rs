//! Data connections between live nodes.

#[path = "support/certificates.rs"]
mod certificates;

use std::time::Duration;

use aemp_node::proto::auth::Secret;
use aemp_node::proto::names::NodeId;
use aemp_node::{Certificates, Config, DataError, DataListener, DataStream, Message, Node};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How a network authenticates.
#[derive(Clone)]
enum Kind {
    Plain,
    Tls(Certificates),
}

impl Kind {
    fn both() -> [Kind; 2] {
        [Kind::Plain, Kind::Tls(Certificates::shared(certificates::shared().as_bytes()).expect("a certificate"))]
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
        config.binds = vec!["127.0.0.1:0".into()];
        Node::start(config).await.expect("it starts")
    }

    /// A node that does not listen, and knows the other one.
    async fn dialling(&self, id: &str, seed: &Node) -> Node {
        let mut config = self.config(id);
        config.seeds = vec![seed.addresses()[0].to_string()];
        let node = Node::start(config).await.expect("it starts");
        let mut events = node.events();
        while !matches!(events.recv().await, Some(aemp_node::proto::node::NodeEvent::Up(_))) {}
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

async fn accepted(listener: &mut DataListener) -> (DataStream, Message) {
    listener.accept().await.expect("the node runs")
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
