//! `aemp demo`.

use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::{Elements, Framing};
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::proto::node::{NodeEvent, Outcome, Reasons};
use aemp_node::{Config, Context, Node, Tap};

use crate::{Failure, say};

pub(crate) async fn demo() -> Result<(), Failure> {
    let seed = start("seed", None).await?;
    let address = seed.addresses()[0].to_string();
    say(format_args!("Two nodes in this process, on the loopback interface. The node seed listens on {address};"))?;
    say("the node worker connects to it. All that passes on the wire is shown from worker's side:")?;
    say("\n# Greeting, then authentication: both prove that they know the secret, and neither shows it")?;
    let worker = start("worker", Some(address)).await?;
    let mut events = worker.events();
    loop {
        match events.recv().await {
            Some(NodeEvent::Up(_)) => break,
            Some(NodeEvent::Refused { error, .. }) => return Err(Failure::unreachable(error)),
            Some(_) => {}
            None => return Err(Failure::refused("the node has ended")),
        }
    }

    say("\n# A message and its answer: worker calls the port seed#greeter with \"Ada\"")?;
    let greeter = seed.with(|context| context.named_port("greeter", greet)).await.map_err(Failure::refused)?;
    let greeter = greeter.ok_or_else(|| Failure::refused("the name is taken"))?;
    let answer = worker.call(&greeter, &"Ada", Some(std::time::Duration::from_secs(5))).await.map_err(Failure::refused)?;
    say(format_args!("answer: {answer:?}"))?;

    say("\n# A spawn: worker has seed run Counter::start with 10, and tells the new port to count")?;
    seed.register("Counter::start", start_counter).await.map_err(Failure::refused)?;
    let counter = worker.spawn(seed.id(), "Counter::start", &10).await.map_err(Failure::refused)?;
    let watch = worker.watch(&counter).await.map_err(Failure::refused)?;
    let answer = worker.call(&counter, &"count", None).await.map_err(Failure::refused)?;
    say(format_args!("answer: {answer:?}"))?;

    say("\n# A typed error: the counter is told to add \"a lot\", ends of that, and worker's watch fires")?;
    worker.send(&counter, &("add", "a lot")).map_err(Failure::refused)?;
    told(&watch.await.map_err(Failure::refused)?)?;

    say("\n# A lost node: worker watches the node seed, which ends")?;
    let watch = worker.watch(&seed.id().port("")).await.map_err(Failure::refused)?;
    drop(seed);
    told(&watch.await.map_err(Failure::refused)?)
}

fn told(reasons: &Reasons) -> Result<(), Failure> {
    say(format_args!("reasons: {}", crate::ask::json(reasons.values())?))
}

async fn start(id: &str, seed: Option<String>) -> Result<Node, Failure> {
    let mut config = Config::new(NodeId::new(id).map_err(Failure::usage)?);
    match seed {
        Some(seed) => {
            config.seeds = vec![seed];
            config.tap = Some(Tap::new(|passed| drop(say(format_args!("  {passed}")))));
        }
        None => config.binds = vec!["127.0.0.1:0".into()],
    }
    config.node.link.secret = Some(Secret::new(b"swordfish").map_err(Failure::usage)?);
    config.node.link.framings = vec![Framing::Json];
    Node::start(config).await.map_err(Failure::unreachable)
}

fn greet(context: &mut Context<'_>, elements: Elements<'_>) -> Outcome {
    let (name, whom): (String, PortId) = elements.rest()?;
    Ok(context.send(&whom, &format!("hello, {name}"))?)
}

/// Makes a port that counts on from a number.
fn start_counter(context: &mut Context<'_>, elements: Elements<'_>) -> Outcome {
    let mut count: u64 = elements.rest()?;
    let Some(own) = context.own_port() else { return Ok(()) };
    context.receive_tag(&own, "count", move |context, elements| {
        count += 1;
        Ok(context.send(&elements.rest::<PortId>()?, &("counted", count))?)
    });
    context.receive_tag(&own, "add", |_, elements| elements.rest::<u64>().map(drop).map_err(Into::into));
    Ok(())
}
