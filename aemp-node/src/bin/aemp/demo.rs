//! `aemp demo`.

use std::rc::Rc;

use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::{Elements, Framing};
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::proto::node::{Context, NodeEvent};
use aemp_node::{Config, Node};

use crate::{Failure, say};

pub(crate) async fn demo() -> Result<(), Failure> {
    let seed = start("seed", vec!["127.0.0.1:0".into()], Vec::new()).await?;
    let address = seed.addresses()[0].to_string();
    say(format_args!("node seed listens on {address}"))?;
    let worker = start("worker", Vec::new(), vec![address]).await?;
    let mut events = worker.events();
    while let Some(event) = events.recv().await {
        match event {
            NodeEvent::Up(node) => {
                say(format_args!("node worker has greeted {node}, and both have proved that they know the secret"))?;
                break;
            }
            NodeEvent::Refused { error, .. } => return Err(Failure::unreachable(error)),
            _ => {}
        }
    }

    let greeter = seed.with(|context| context.named_port("greeter", greet)).await.map_err(Failure::refused)?;
    let greeter = greeter.ok_or_else(|| Failure::refused("the name is taken"))?;
    say(format_args!("\na message and its answer: worker calls {greeter} with \"Ada\""))?;
    let answer = worker.call(&greeter, vec!["Ada".into()], None).await.map_err(Failure::refused)?;
    say(format_args!("  {answer:?}"))?;

    say(format_args!("\na spawn: worker has seed run Counter::start with 10, and tells the new port to count"))?;
    seed.with(|context| context.register("Counter::start", Rc::new(start_counter))).await.map_err(Failure::refused)?;
    let counter = worker.with(|context| context.spawn(&seed_id(), "Counter::start", &10)).await.map_err(Failure::refused)?;
    let counter = counter.map_err(Failure::refused)?;
    for _ in 0..2 {
        let answer = worker.call(&counter, vec!["count".into()], None).await.map_err(Failure::refused)?;
        say(format_args!("  {answer:?}"))?;
    }

    say(format_args!("\na watch and a typed error: worker watches the counter and tells it to count \"a lot\""))?;
    let ended = worker.watch(&counter).await.map_err(Failure::refused)?;
    let sent = worker.with(move |context| context.send(&counter, &("add", "a lot"))).await.map_err(Failure::refused)?;
    sent.map_err(Failure::refused)?;
    say(format_args!("  {:?}", ended.await.map_err(Failure::refused)?))?;

    say(format_args!("\na lost node: worker watches the node seed, which ends"))?;
    let ended = worker.watch(&seed_id().port("")).await.map_err(Failure::refused)?;
    drop(seed);
    say(format_args!("  {:?}", ended.await.map_err(Failure::refused)?))?;
    Ok(())
}

fn seed_id() -> NodeId {
    NodeId::new("seed").expect("a node ID")
}

async fn start(id: &str, binds: Vec<String>, seeds: Vec<String>) -> Result<Node, Failure> {
    let mut config = Config::new(NodeId::new(id).map_err(Failure::usage)?);
    (config.binds, config.seeds) = (binds, seeds);
    let mut secret = [0; 32];
    secret[..9].copy_from_slice(b"swordfish");
    config.node.link.secret = Some(Secret::new(&secret).map_err(Failure::usage)?);
    config.node.link.framings = vec![Framing::Json];
    Node::start(config).await.map_err(Failure::unreachable)
}

fn greet(context: &mut Context<'_>, elements: Elements<'_>) -> aemp_node::proto::node::Outcome {
    let (name, whom): (String, PortId) = elements.rest()?;
    Ok(context.send(&whom, &format!("hello, {name}"))?)
}

/// Makes a port that counts on from a number.
fn start_counter(context: &mut Context<'_>, elements: Elements<'_>) -> aemp_node::proto::node::Outcome {
    let count = Rc::new(std::cell::Cell::new(elements.rest::<u64>()?));
    let Some(own) = context.own_port() else { return Ok(()) };
    let counted = count.clone();
    context.receive_tag(&own, "count", move |context, elements| {
        counted.set(counted.get() + 1);
        Ok(context.send(&elements.rest::<PortId>()?, &counted.get())?)
    });
    context.receive_tag(&own, "add", move |_, elements| {
        count.set(count.get() + elements.rest::<u64>()?);
        Ok(())
    });
    Ok(())
}
