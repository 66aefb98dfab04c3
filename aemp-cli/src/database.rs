//! `aemp nodes` and `aemp db`.

use std::collections::BTreeMap;
use std::time::Duration;

use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use aemp_node::{Escaped, Node};
use clap::Subcommand;
use tokio::time::timeout;

use crate::ask::json;
use crate::options::Join;
use crate::values::Reading;
use crate::{Failure, say, tell};

/// What can be done with the database.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Prints a family as a JSON object, or the value of one key
    Get {
        /// The family
        family: String,
        /// The key; without it, all of the family
        key: Option<String>,
    },
    /// Prints the keys of a family, one a line
    Keys {
        /// The family
        family: String,
    },
    /// Prints the values of a family as JSON, one a line, in the order of their keys
    Values {
        /// The family
        family: String,
    },
    /// Sets an entry: for as long as this runs, or with --node until that node goes
    Set {
        /// The family
        family: String,
        /// The key
        key: String,
        /// The value. `-` is what comes on standard input, and `@FILE` what is in a file: as a text, without its last line
        /// end
        #[arg(allow_negative_numbers = true)]
        value: String,
        #[command(flatten)]
        reading: Reading,
        /// The node in whose name it is set, which must run with `--service database`
        #[arg(long)]
        node: Option<String>,
    },
    /// Deletes entries that a node has set
    Del {
        /// The family
        family: String,
        /// The keys
        #[arg(required = true)]
        keys: Vec<String>,
        /// The node that has set them, which must run with `--service database`
        #[arg(long)]
        node: String,
    },
    /// Prints what is in a family, then each change, one JSON object a line: `added`, `changed`, `deleted`
    Watch {
        /// The family
        family: String,
    },
}

/// How long the master has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

async fn answered<T, E: std::fmt::Display>(answer: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    let answer = timeout(PATIENCE, answer).await;
    answer.map_err(|_| Failure::refused(format!("the master did not answer within {PATIENCE:?}")))?.map_err(Failure::refused)
}

pub(crate) async fn nodes(join: Join, as_json: bool) -> Result<(), Failure> {
    let (own, _) = join.join_network().await?;
    let addresses = answered(own.db_family("'l")).await?;
    let globals = answered(own.db_keys("'g")).await?;
    let others = addresses.into_iter().filter(|(node, _)| *node != own.id().as_str());
    if as_json {
        let about = |(node, addresses): (String, Value)| {
            let is_global = globals.contains(&node);
            (node, Value::Map([("addresses".into(), addresses), ("global".into(), is_global.into())].into()))
        };
        return say(json(&Value::Map(others.map(about).collect()))?);
    }
    for (node, addresses) in others {
        let addresses: Vec<_> = match &addresses {
            Value::Array(addresses) => addresses.iter().filter_map(Value::text).collect(),
            _ => Vec::new(),
        };
        let addresses = if addresses.is_empty() { "does not listen".into() } else { addresses.join(" ") };
        say(format_args!(
            "{}  {}{}",
            Escaped(&node),
            Escaped(addresses),
            if globals.contains(&node) { "  global" } else { "" }
        ))?;
    }
    Ok(())
}

impl Verb {
    pub(crate) async fn run(self, join: Join) -> Result<(), Failure> {
        let (own, _) = join.join_network().await?;
        match self {
            Verb::Get { family, key: None } => say(json(&Value::Map(answered(own.db_family(&family)).await?))?),
            Verb::Get { family, key: Some(key) } => {
                let all = answered(own.db_family(&family)).await?;
                let value = all.get(&key).ok_or_else(|| Failure::refused(format!("there is no {key:?} in {family}")))?;
                say(json(value)?)
            }
            Verb::Keys { family } => answered(own.db_keys(&family)).await?.iter().try_for_each(|key| say(Escaped(key))),
            Verb::Values { family } => {
                answered(own.db_values(&family)).await?.iter().try_for_each(|value| say(json(value)?))
            }
            Verb::Set { family, key, value, reading, node: None } => {
                let entry = own.db_set(&family, &key, &reading.value(&value)?).await.map_err(Failure::usage)?;
                // The answer comes behind the change.
                answered(own.db_keys(&family)).await?;
                tell("set for as long as this runs");
                tokio::signal::ctrl_c().await.map_err(Failure::refused)?;
                drop(entry);
                Ok(())
            }
            Verb::Set { family, key, value, reading, node: Some(node) } => {
                let value = reading.value(&value)?;
                let arguments = vec![family.as_str().into(), key.as_str().into(), value.clone()];
                let node = in_name_of(&own, &node, "db_set", arguments).await?;
                let is_set = |entries: &BTreeMap<_, _>| entries.get(&key).is_some_and(|found| is_like(found, &value));
                until(&own, &family, &node, is_set).await
            }
            Verb::Del { family, keys, node } => {
                let names = std::iter::once(&family).chain(&keys);
                let arguments = names.map(|name| Value::from(name.as_str())).collect();
                let node = in_name_of(&own, &node, "db_del", arguments).await?;
                until(&own, &family, &node, |entries| keys.iter().all(|key| !entries.contains_key(key))).await
            }
            Verb::Watch { family } => watch(&own, &family).await,
        }
    }
}

/// Has another node call a function of the database. It is not asked first whether it has that: a node of the reference says
/// no before the first call.
async fn in_name_of(own: &Node, node: &str, function: &str, mut arguments: Vec<Value>) -> Result<NodeId, Failure> {
    let node = NodeId::new(node).map_err(|error| Failure::usage(format!("--node {node}: {error}")))?;
    let port = node.port("");
    arguments.insert(0, function.into());
    own.with(move |context| context.send(&port, &arguments)).await.map_err(Failure::refused)?.map_err(Failure::refused)?;
    // An echo comes back only when everything before it has arrived.
    own.call(&node.port(""), &"snd", None).await.map_err(Failure::refused)?;
    Ok(node)
}

/// Waits until a family is as another node was asked to make it: nothing else tells that it has.
async fn until(
    own: &Node,
    family: &str,
    node: &NodeId,
    done: impl Fn(&BTreeMap<String, Value>) -> bool,
) -> Result<(), Failure> {
    /// How long the change may take on its way.
    const ON_ITS_WAY: Duration = Duration::from_secs(5);
    let mut changes = own.db_watch(family).await.map_err(Failure::refused)?;
    let mut entries = BTreeMap::new();
    let seen = async {
        while let Some(change) = changes.next().await {
            entries.extend(change.added);
            entries.extend(change.changed);
            change.deleted.iter().for_each(|key| drop(entries.remove(key)));
            if done(&entries) {
                return true;
            }
        }
        false
    };
    if timeout(ON_ITS_WAY, seen).await == Ok(true) {
        return Ok(());
    }
    let way = "a node that runs `aemp` does it with --service database, and changes only entries that it has set";
    Err(Failure::refused(format!("{node} has not done it: {way}")))
}

/// Whether two values are the same to people: some nodes write texts as octets, and numbers as texts.
fn is_like(one: &Value, other: &Value) -> bool {
    one == other || one.text().is_some() && one.text() == other.text() || json(one).ok() == json(other).ok()
}

async fn watch(own: &Node, family: &str) -> Result<(), Failure> {
    let mut changes = own.db_watch(family).await.map_err(Failure::refused)?;
    while let Some(changes) = changes.next().await {
        let deleted = Value::Array(changes.deleted.into_iter().map(Value::from).collect());
        let line: BTreeMap<String, Value> = [
            ("added".to_owned(), Value::Map(changes.added)),
            ("changed".to_owned(), Value::Map(changes.changed)),
            ("deleted".to_owned(), deleted),
        ]
        .into();
        say(json(&Value::Map(line))?)?;
    }
    Err(Failure::refused("the node has ended"))
}
