//! `aemp trace`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::time::Duration;

use aemp_node::Node;
use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use clap::Args;

use crate::ask::json;
use crate::options::Join;
use crate::{Failure, say};

/// How it is printed.
#[derive(Args)]
pub(crate) struct Form {
    /// Prints a graph in the language of Graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    /// Prints a JSON object: each node's connected nodes, or an error
    #[arg(long)]
    json: bool,
}

/// What each node answered: the nodes to which it is connected, or why that is not known.
type Topology = BTreeMap<String, Result<BTreeSet<String>, String>>;

/// The request that nodes of the reference answer so, too (`NODE-11`).
const UP_NODES: &str = "AnyEvent::MP::Kernel::up_nodes";

pub(crate) async fn trace(join: Join, first: Option<&str>, form: Form) -> Result<(), Failure> {
    let (own, seed) = join.join_network().await?;
    let first = match first {
        Some(id) => NodeId::new(id).map_err(|error| Failure::usage(format!("{id}: {error}")))?,
        None => seed,
    };
    let mut topology = Topology::new();
    let mut to_ask = VecDeque::from([first.clone()]);
    while let Some(node) = to_ask.pop_front() {
        if topology.contains_key(node.as_str()) || node == *own.id() {
            continue;
        }
        let connected = connected_nodes(&own, &node).await;
        // This program is a node, too, and it is here only to ask.
        let connected = connected.map(|nodes| nodes.into_iter().filter(|other| other != own.id()).collect::<Vec<_>>());
        to_ask.extend(connected.iter().flatten().cloned());
        topology.insert(node.to_string(), connected.map(|nodes| nodes.iter().map(NodeId::to_string).collect()));
    }
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

async fn connected_nodes(own: &Node, node: &NodeId) -> Result<Vec<NodeId>, String> {
    /// How long a node has to answer, its connection included.
    const PATIENCE: Duration = Duration::from_secs(5);
    let watch = own.watch(&node.port("")).await.map_err(|error| error.to_string())?;
    let (port, request) = (node.port(""), ("eval", UP_NODES));
    let answer = tokio::select! {
        answer = own.call(&port, &request, Some(PATIENCE)) => answer.map_err(|error| error.to_string())?,
        reasons = watch => {
            let reasons = reasons.map_err(|error| error.to_string())?;
            return Err(reasons.values().last().and_then(Value::as_text).unwrap_or("it is lost").to_owned());
        }
    };
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
        lines.push_str(node);
        lines.push_str(" …\n");
        return;
    }
    lines.push_str(node);
    lines.push('\n');
    let connected = match known {
        Some(Ok(connected)) => connected,
        Some(Err(error)) => return lines.push_str(&format!("{indent}└ ({error})\n")),
        None => return,
    };
    for (place, other) in connected.iter().enumerate() {
        let last = place + 1 == connected.len();
        lines.push_str(indent);
        lines.push_str(if last { "└ " } else { "├ " });
        tree(topology, other, &format!("{indent}{}", if last { "  " } else { "│ " }), shown, lines);
    }
}

/// One line for each connection, whichever of its ends told of it.
fn dot(topology: &Topology) -> String {
    let mut graph = String::from("graph {\n");
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut connections = BTreeSet::new();
    for (node, connected) in topology {
        graph.push_str(&format!("  {}{}\n", quoted(node), if connected.is_err() { " [style=dashed]" } else { "" }));
        for other in connected.iter().flatten() {
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
    let about = |(node, connected): (&String, &Result<BTreeSet<String>, String>)| {
        let about = match connected {
            Ok(connected) => ("connected", Value::Array(connected.iter().map(|node| node.as_str().into()).collect())),
            Err(error) => ("error", error.as_str().into()),
        };
        (node.clone(), Value::Map([(about.0.to_owned(), about.1)].into()))
    };
    Value::Map(topology.iter().map(about).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        let nodes = |nodes: &[&str]| Ok(nodes.iter().map(ToString::to_string).collect());
        [
            ("a".to_owned(), nodes(&["b", "c"])),
            ("b".to_owned(), nodes(&["a", "c", "d\"e"])),
            ("c".to_owned(), nodes(&["a", "b"])),
            ("d\"e".to_owned(), Err("connect timeout".to_owned())),
        ]
        .into()
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
