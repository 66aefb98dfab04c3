//! Real nodes over real sockets, in situations in which messages like to get lost.

use std::process::Stdio;
use std::time::Instant;

use crate::support::{Running, aemp, output, seed, text};
use aemp_node::proto::actor::{NodeEvent, Reasons};
use aemp_node::proto::auth::Secret;
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::{Config, Events, Node};
use tokio::sync::mpsc;

/// Rounds of two nodes that connect to each other at the same time. More with the variable `ROUNDS`.
const ROUNDS: u64 = 1000;

/// Messages that each sends to the other in a round: some before there is a connection, some while it is made.
const MESSAGES: u64 = 50;

async fn start(id: &str) -> (Node, mpsc::UnboundedReceiver<u64>) {
    let mut config = Config::new(NodeId::new(id).expect("a node ID"));
    config.listen = vec!["127.0.0.1:0".into()];
    config.node.link.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    let node = Node::start(config).await.expect("it listens");
    let (got, arrived) = mpsc::unbounded_channel();
    let note = move |context: &mut aemp_node::Context<'_>| {
        context.named_port("in", move |_, elements| got.send(elements.rest()?).map_err(|error| error.to_string().into()))
    };
    node.with(note).await.expect("it runs").expect("the name is free");
    (node, arrived)
}

async fn send_all(from: Node, to: PortId) -> Option<Reasons> {
    let mut watch = from.watch(&to).await.expect("it runs");
    for number in 0..MESSAGES {
        from.send(&to, &number).expect("small");
        if number % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let node_port = to.node().port("");
    tokio::select! {
        fired = &mut watch => Some(fired.expect("it runs")),
        answer = from.call(&node_port, &"snd", None) => {
            answer.expect("the connection lives");
            None
        }
    }
}

/// How often nodes came up and went.
async fn ups_and_downs(mut events: Events, node: Node) -> (usize, usize) {
    drop(node);
    let (mut ups, mut downs) = (0, 0);
    while let Some(event) = events.recv().await {
        match event {
            NodeEvent::Up(_) => ups += 1,
            NodeEvent::Down(..) => downs += 1,
            _ => {}
        }
    }
    (ups, downs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_connect_to_each_other_at_once_lose_and_double_nothing() {
    let rounds = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let mut doubles = 0;
    for round in 0..rounds {
        let ((a, mut at_a), (b, mut at_b)) = tokio::join!(start("a"), start("b"));
        let (events_a, events_b) = (a.events(), b.events());
        a.add_seed(&b.addresses()[0].to_string());
        b.add_seed(&a.addresses()[0].to_string());
        let to = |node: &Node| node.id().port("in");
        let fired = tokio::join!(tokio::spawn(send_all(a.clone(), to(&b))), tokio::spawn(send_all(b.clone(), to(&a))));
        assert_eq!((fired.0.expect("no panic"), fired.1.expect("no panic")), (None, None), "round {round}: a watch fired");
        for arrived in [&mut at_a, &mut at_b] {
            for expected in 0..MESSAGES {
                assert_eq!(arrived.recv().await, Some(expected), "round {round}");
            }
        }
        // A connection that is not needed is gone once both sides have heard of the other one.
        while a.connections().await.expect("it runs") + b.connections().await.expect("it runs") > 2 {
            doubles += 1;
            tokio::task::yield_now().await;
        }
        let (ended_a, ended_b) = tokio::join!(ups_and_downs(events_a, a), ups_and_downs(events_b, b));
        assert_eq!((ended_a.0, ended_b.0), (1, 1), "round {round}: a second connection came up");
        // They are lost to each other when they end.
        assert!(ended_a.1 <= 1 && ended_b.1 <= 1, "round {round}: a connection was lost");
    }
    println!("{rounds} rounds; {doubles} looks at connections that were about to be closed");
}

#[test]
fn a_process_that_stands_still_is_noticed_within_the_configured_time() {
    let (seed, address) = seed("127.0.0.1:0", &[]);
    let mut watching =
        Running::start(aemp(&["mon", "--max-idle-timeout", "2", "--seed", &address, "seed#echo"]).stderr(Stdio::piped()));
    watching.error_line();
    seed.signal("STOP");
    let stopped = Instant::now();
    assert_eq!(watching.line(), r#"["transport_error","seed","no sign of life"]"#);
    println!("noticed after {:?}", stopped.elapsed());
    assert_eq!(watching.ends(), Some(0));
    seed.signal("CONT");
}

#[test]
fn a_node_that_comes_back_while_its_old_connection_seems_to_stand_is_accepted() {
    let (_seed, address) = seed("127.0.0.1:0", &[]);
    let mut first =
        Running::start(aemp(&["mon", "--node-id", "again", "--seed", &address, "seed#echo"]).stderr(Stdio::piped()));
    first.error_line();
    // As if its host had gone: the connection stands, and nobody answers.
    first.signal("STOP");
    let back = Instant::now();
    let call = ["cal", "--node-id", "again", "--timeout", "10", "--seed", &address, "seed#echo", "back"];
    let got = output(&mut aemp(&call));
    assert_eq!((text(&got.stdout), text(&got.stderr)), ("[\"back\"]\n".into(), String::new()));
    println!("accepted and answered after {:?}", back.elapsed());
    first.signal("CONT");
}
