//! `aemp demo`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aemp_node::proto::actor::{NodeEvent, Outcome};
use aemp_node::proto::auth::Secret;
use aemp_node::proto::framing::{Elements, Framing};
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::{Access, Config, Context, Node, Tap};

use crate::{Failure, say};

pub(crate) async fn demo() -> Result<(), Failure> {
    let (shows_seed, shows_worker, shows_client) = [false, true, true].map(|shown| Arc::new(Shown::new(shown))).into();
    let seed = start("seed", None, &shows_seed).await?;
    let address = seed.addresses()[0].to_string();
    say(format_args!("Three nodes in this process, on the loopback interface. The node seed listens on {address};"))?;
    say("the node worker connects to it. All that passes on the wire is shown from worker's side:")?;
    say("\n# Greeting, then authentication: both prove that they know the secret, and neither shows it")?;
    let worker = start("worker", Some(&address), &shows_worker).await?;

    say("\n# A message and its answer: worker calls the port seed#greeter with \"Ada\"")?;
    let greeter = seed.with(|context| context.named_port("greeter", greet)).await.map_err(Failure::refused)?;
    let greeter = greeter.ok_or_else(|| Failure::refused("the name is taken"))?;
    let answer = worker.call(&greeter, &"Ada", Some(PATIENCE)).await.map_err(Failure::refused)?;
    say(format_args!("answer: {answer:?}"))?;

    say("\n# A spawn: worker has seed run Counter::start with 10, and tells the new port to count")?;
    seed.register("Counter::start", Access::SPAWN, start_counter).await.map_err(Failure::refused)?;
    let counter = worker.spawn(seed.id(), "Counter::start", &10).await.map_err(Failure::refused)?;
    let watch = worker.watch(&counter).await.map_err(Failure::refused)?;
    let answer = worker.call(&counter, &"count", None).await.map_err(Failure::refused)?;
    say(format_args!("answer: {answer:?}"))?;

    say("\n# A typed error: the counter is told to add \"a lot\", ends of that, and worker's watch fires")?;
    worker.send(&counter, &("add", "a lot")).map_err(Failure::refused)?;
    say(format_args!("reasons: {}", watch.await.map_err(Failure::refused)?))?;

    say("\n# The database: worker registers a port in the family workers")?;
    let port = worker.port(greet).await.map_err(Failure::refused)?;
    let _registered = worker.db_reg(&port, "workers", &"ready").await.map_err(Failure::refused)?;

    say(
        "\n# A third node, client, is told of the seed only; it finds a worker in the database, and then the worker's node (from client's side)",
    )?;
    shows_worker.store(false, Ordering::Relaxed);
    let client = start("client", Some(&address), &shows_client).await?;
    let mut workers = client.db_watch("workers").await.map_err(Failure::refused)?;
    let found = loop {
        let changes = workers.next().await.ok_or_else(|| Failure::refused("the node has ended"))?;
        if let Some(port) = changes.added.keys().next() {
            break port.parse::<PortId>().map_err(Failure::refused)?;
        }
    };
    let answer = client.call(&found, &"Grace", Some(PATIENCE)).await.map_err(Failure::refused)?;
    say(format_args!("answer: {answer:?}"))?;

    say("\n# A lost node: client watches the node seed, which ends")?;
    let watch = client.watch(&seed.id().port("")).await.map_err(Failure::refused)?;
    drop(seed);
    say(format_args!("reasons: {}", watch.await.map_err(Failure::refused)?))
}

/// Whether what a node says and hears is shown.
type Shown = AtomicBool;

/// How long a call may take here.
const PATIENCE: Duration = Duration::from_secs(5);

/// Starts a node; one with a seed has a master when this returns.
async fn start(id: &str, seed: Option<&str>, shown: &Arc<Shown>) -> Result<Node, Failure> {
    let mut config = Config::new(NodeId::new(id).map_err(Failure::usage)?);
    config.listen = vec!["127.0.0.1:*".into()];
    config.seeds.extend(seed.map(str::to_owned));
    let shown = shown.clone();
    config.tap = Some(Tap::new(move |passed| {
        if shown.load(Ordering::Relaxed) {
            // Nobody may be reading any more; then the next heading says so.
            let _shown = say(format_args!("  {passed}"));
        }
    }));
    config.node.link.secret = Some(Secret::new(b"swordfish").map_err(Failure::usage)?);
    config.node.link.framings = vec![Framing::Json];
    let node = Node::start(config).await.map_err(Failure::unreachable)?;
    let mut events = node.events();
    while seed.is_some() {
        match events.recv().await {
            Some(NodeEvent::Master(_)) => break,
            Some(NodeEvent::Refused { error, .. }) => return Err(Failure::unreachable(error)),
            Some(_) => {}
            None => return Err(Failure::refused("the node has ended")),
        }
    }
    Ok(node)
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
