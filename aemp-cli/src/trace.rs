//! `aemp trace`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use aemp_node::proto::actor::NoAnswer;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use aemp_node::{CallError, Escaped, Node};
use clap::Args;
use tokio::time::timeout;

use crate::ask::json;
use crate::options::{Join, Reachable};
use crate::{Failure, say};

/// How it is printed.
#[derive(Args)]
pub(crate) struct Form {
    /// Prints a graph in the language of Graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// Prints a JSON object: each node's `connected` nodes, and an `error` if it could not be asked and they are those of
    /// which others tell
    #[arg(long)]
    json: bool,
}

/// What is known of each node.
type Topology = BTreeMap<String, Known>;

struct Known {
    /// The nodes to which it is connected.
    connected: BTreeSet<String>,
    /// Why it could not say so itself.
    error: Option<String>,
}

/// The request that nodes of the reference answer so, too (`NODE-11`).
const UP_NODES: &str = "AnyEvent::MP::Kernel::up_nodes";

/// How long a node has to answer, its connection included.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn trace(join: Join, reachable: Reachable, first: Option<&str>, form: Form) -> Result<(), Failure> {
    let (own, seed) = join.join_reachable(reachable).await?;
    let first = match first {
        Some(id) => NodeId::new(id).map_err(|error| Failure::usage(format!("{id}: {error}")))?,
        None => seed.clone(),
    };
    let mut topology = Topology::new();
    // Each with one that is connected to it.
    let mut to_ask = VecDeque::from([(first.clone(), seed)]);
    while let Some((node, neighbour)) = to_ask.pop_front() {
        if topology.contains_key(node.as_str()) || node == *own.id() {
            continue;
        }
        let mut answer = connected_nodes(&own, &node).await;
        if answer.is_err() && !own.addresses().is_empty() && connects(&own, &node, &neighbour).await {
            answer = connected_nodes(&own, &node).await;
        }
        let (mut connected, error) = match answer {
            Ok(connected) => (connected, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        // This program is a node, too, and it is here only to ask.
        connected.retain(|other| other != own.id());
        to_ask.extend(connected.iter().map(|other| (other.clone(), node.clone())));
        topology.insert(node.to_string(), Known { connected: connected.iter().map(NodeId::to_string).collect(), error });
    }
    complete(&mut topology);
    if form.dot {
        say(dot(&topology))
    } else if form.json {
        say(json(&as_value(&topology))?)
    } else {
        let mut lines = String::new();
        tree(&topology, first.as_str(), "", &mut BTreeSet::new(), &mut lines);
        say(lines.trim_end())
    }
}

/// Has a node connect to this one, by way of one that is connected to it (`NODE-12`); whether it does.
async fn connects(own: &Node, node: &NodeId, neighbour: &NodeId) -> bool {
    let Ok(mut mailbox) = own.mailbox().await else { return false };
    let request = ("snd", node.port(""), "snd", mailbox.id());
    // What it sends comes over a connection that it has made.
    own.send(&neighbour.port(""), &request).is_ok() && matches!(timeout(PATIENCE, mailbox.recv()).await, Ok(Some(_)))
}

/// A connection has two ends: what a node could not say, the others do.
fn complete(topology: &mut Topology) {
    let silent: Vec<_> = topology.iter().filter(|(_, known)| known.error.is_some()).map(|(node, _)| node.clone()).collect();
    for node in silent {
        let others = topology.iter().filter(|(_, known)| known.connected.contains(&node));
        let others = others.map(|(other, _)| other.clone()).collect();
        if let Some(known) = topology.get_mut(&node) {
            known.connected = others;
        }
    }
}

async fn connected_nodes(own: &Node, node: &NodeId) -> Result<Vec<NodeId>, String> {
    let answer = own.call(&node.port(""), &("eval", UP_NODES), Some(PATIENCE)).await.map_err(|error| match error {
        CallError::NoAnswer(NoAnswer::Ended(reasons)) => reasons.message().unwrap_or("it is lost".into()).into_owned(),
        error => error.to_string(),
    })?;
    let answer: Vec<String> = answer.decode().map_err(|error| error.to_string())?;
    match answer.split_first() {
        Some((error, nodes)) if error.is_empty() => Ok(nodes.iter().filter_map(|node| NodeId::new(node).ok()).collect()),
        Some((error, _)) => Err(error.clone()),
        None => Err("it gave an empty answer".into()),
    }
}

/// Each node once with what it is connected to; where it appears again, only its name.
fn tree(topology: &Topology, node: &str, indent: &str, shown: &mut BTreeSet<String>, lines: &mut String) {
    let known = topology.get(node);
    if !shown.insert(node.to_owned()) {
        lines.push_str(&format!("{} …\n", Escaped(node)));
        return;
    }
    lines.push_str(&format!("{}\n", Escaped(node)));
    let Some(known) = known else { return };
    let branch = |last| if last { "└ " } else { "├ " };
    if let Some(error) = &known.error {
        lines.push_str(&format!("{indent}{}({})\n", branch(known.connected.is_empty()), Escaped(error)));
    }
    for (place, other) in known.connected.iter().enumerate() {
        let last = place + 1 == known.connected.len();
        lines.push_str(indent);
        lines.push_str(branch(last));
        tree(topology, other, &format!("{indent}{}", if last { "  " } else { "│ " }), shown, lines);
    }
}

/// One line for each connection, whichever of its ends told of it.
fn dot(topology: &Topology) -> String {
    let mut graph = String::from("graph {\n");
    let quoted = |text: &str| format!("\"{}\"", Escaped(text).to_string().replace('\\', "\\\\").replace('"', "\\\""));
    let mut connections = BTreeSet::new();
    for (node, known) in topology {
        graph.push_str(&format!("  {}{}\n", quoted(node), if known.error.is_some() { " [style=dashed]" } else { "" }));
        for other in &known.connected {
            connections.insert(if node < other { (node, other) } else { (other, node) });
        }
    }
    for (one, other) in connections {
        // Writing to a string does not fail.
        let _written = writeln!(graph, "  {} -- {}", quoted(one), quoted(other));
    }
    graph + "}"
}

fn as_value(topology: &Topology) -> Value {
    let about = |(node, known): (&String, &Known)| {
        let connected = Value::Array(known.connected.iter().map(|node| node.as_str().into()).collect());
        let mut members = BTreeMap::from([("connected".to_owned(), connected)]);
        members.extend(known.error.as_deref().map(|error| ("error".to_owned(), error.into())));
        (node.clone(), Value::Map(members))
    };
    Value::Map(topology.iter().map(about).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        let known = |nodes: &[&str], error: Option<&str>| Known {
            connected: nodes.iter().map(ToString::to_string).collect(),
            error: error.map(str::to_owned),
        };
        let mut topology = Topology::from([
            ("a".to_owned(), known(&["b", "c"], None)),
            ("b".to_owned(), known(&["a", "c", "d\"e"], None)),
            ("c".to_owned(), known(&["a", "b", "d\"e"], None)),
            ("d\"e".to_owned(), known(&[], Some("connect timeout"))),
            ("f".to_owned(), known(&[], Some("no known address"))),
        ]);
        complete(&mut topology);
        topology
    }

    #[test]
    fn a_tree_shows_each_node_with_its_connections_once() {
        let mut lines = String::new();
        tree(&topology(), "a", "", &mut BTreeSet::new(), &mut lines);
        insta::assert_snapshot!(lines);
    }

    #[test]
    fn a_graph_has_each_connection_once() {
        insta::assert_snapshot!(dot(&topology()));
    }
}
