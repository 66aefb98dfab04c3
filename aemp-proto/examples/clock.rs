//! Two nodes with actors under a clock that the program turns: an hour of their life takes a moment, and is the same each
//! time.
//!
//! `cargo run -p aemp-proto --example clock`

use std::time::Duration;

use aemp_proto::actor::{ConnectionId, Context, Node, NodeConfig, Outcome, Output};
use aemp_proto::auth::Secret;
use aemp_proto::link::{Config, Role};
use aemp_proto::names::{NodeId, PortId};

/// The actor: it sends the time to the other node, and then again after ten minutes.
fn tick(context: &mut Context<'_>, to: &PortId) -> Outcome {
    context.send(to, &("tick", context.now().as_secs()))?;
    let to = to.clone();
    context.after(Duration::from_secs(600), move |context| tick(context, &to));
    Ok(())
}

fn node(name: &str, role: Role) -> (Node, ConnectionId) {
    let mut config = Config::new(NodeId::new(name).expect("a node ID"));
    config.secret = Some(Secret::new(b"swordfish").expect("a secret"));
    let mut node = Node::new(NodeConfig::new(config), 1, Duration::ZERO, Duration::ZERO);
    let id = node.open(Duration::ZERO, role, [name.len() as u8; 32], None, None).expect("a connection");
    (node, id)
}

/// Does what a node says, until it has nothing more to do now. Returns what it has written, and when it has something to do
/// again.
fn drive(node: &mut Node, now: Duration) -> (Vec<u8>, Option<Duration>) {
    let mut written = Vec::new();
    loop {
        match node.poll_output() {
            Output::Writable(id) => {
                written.extend_from_slice(node.output(id));
                node.advance_output(id, node.output(id).len());
            }
            Output::Event(event) => println!("{} after {now:?}: {event:?}", node.id()),
            Output::Timeout(Some(at)) if at <= now => node.run(now),
            Output::Timeout(at) => return (written, at),
            other => panic!("there is one connection, without TLS: {other:?}"),
        }
    }
}

fn main() {
    let (mut sender, to_receiver) = node("sender", Role::Opener);
    let (mut receiver, to_sender) = node("receiver", Role::Acceptor);
    let port = receiver.with(Duration::ZERO, |context| {
        context.port(|context, elements| {
            let (tag, seconds): (String, u64) = elements.rest()?;
            println!("receiver after {:?}: {tag} {seconds}", context.now());
            Ok(())
        })
    });
    sender.with(Duration::ZERO, |context| {
        let own = context.port(|_, _| Ok(()));
        context.run_in(&own, move |context| tick(context, &port));
    });
    let mut now = Duration::ZERO;
    while now < Duration::ZERO + Duration::from_secs(3600) {
        let (bytes, sender_at) = drive(&mut sender, now);
        receiver.receive(now, to_sender, &bytes);
        let (answer, receiver_at) = drive(&mut receiver, now);
        sender.receive(now, to_receiver, &answer);
        if bytes.is_empty() && answer.is_empty() {
            // Nothing happens before one of them has something to do.
            now = [sender_at, receiver_at].into_iter().flatten().min().expect("there is a timer");
        }
    }
}
