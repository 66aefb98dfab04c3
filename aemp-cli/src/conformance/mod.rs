//! `aemp run --service conformance`: what a node under test offers to the suite (`conformance/CONTRACT.md`), and how the
//! suite tells it to run (`conformance/PROTOCOL.md`).

mod control;
mod data;
mod functions;
mod start_line;

use std::io::BufRead as _;

use aemp_node::proto::actor::Context;
use aemp_node::{LogLayer, Node};
use tokio::sync::oneshot;

use self::start_line::StartLine;
use crate::{Failure, say};

/// Runs as a line on standard input says, until the input ends.
pub(crate) async fn run(logs: &LogLayer) -> Result<(), Failure> {
    let (line, end) = standard_input();
    let line = line.await.map_err(Failure::usage)?;
    let started = async {
        let config = StartLine::read(&line)?.config()?;
        let node = Node::start_closed(config).await.map_err(|error| error.to_string())?;
        node.offer_logs(logs).await.map_err(|error| error.to_string())?;
        offer(&node).await?;
        node.open();
        Ok::<_, String>(node)
    };
    match started.await {
        Ok(node) => {
            let listen: Vec<_> = node.addresses().iter().map(ToString::to_string).collect();
            say(start_line::ready(&listen))?;
            // Either way the input has ended.
            let _ = end.await;
            node.stop().await;
            Ok(())
        }
        Err(error) => {
            say(start_line::not_ready(&error))?;
            Err(Failure::usage(error))
        }
    }
}

/// Offers everything that the suite needs.
pub(crate) async fn offer(node: &Node) -> Result<(), String> {
    let ports = |context: &mut Context<'_>| {
        context.named_port("echo", aemp_node::echo);
        control::offer(context);
        functions::offer(context);
    };
    node.with(ports).await.map_err(|error| error.to_string())?;
    data::offer(node).await
}

/// The first line of standard input, and its end. A thread waits for both, since nothing can be read without waiting.
fn standard_input() -> (oneshot::Receiver<String>, oneshot::Receiver<()>) {
    let ((line, first_line), (ended, end)) = (oneshot::channel(), oneshot::channel());
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lock().lines().map_while(Result::ok);
        // Whoever waited for either may be gone: then the program ends anyway.
        let _ = line.send(lines.next().unwrap_or_default());
        for _ in lines {}
        let _ = ended.send(());
    });
    (first_line, end)
}
