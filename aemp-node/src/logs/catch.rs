//! Catching the records of other nodes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use aemp_proto::actor::{Context, Outcome, Reasons};
use aemp_proto::framing::Elements;
use aemp_proto::global::Changes;
use aemp_proto::names::{NodeId, PortId};
use aemp_proto::value::Value;
use futures_core::Stream;

use super::backlog::{Backlog, Entry};
use super::record::{LogLevel, Record};
use super::{CONNECT, CONTEXT, lost_text, now};
use crate::handle::{Node, Stopped};
use crate::waiting::{Giver, Taker, waiting};

/// A stream of the records of all other nodes of the network ([`Node::catch_logs`]). The records of one node are in
/// order.
///
/// Records that the task does not read in time are dropped. A record in their place says how many. Dropping this value
/// ends the subscription.
pub struct CaughtLogs {
    node: Node,
    port: PortId,
    records: Taker<Waiting>,
}

type Waiting = Backlog<NodeId, Record>;

/// Octets of records that wait for whoever takes them.
const WAITING: usize = 16 << 20;

impl Node {
    /// Catches the records of this level and of more important ones from all other nodes that offer them, including
    /// nodes that join later.
    ///
    /// This node adds its own records about the others: at level info when it has asked a node for its records, and as
    /// a warning when it has lost a node or cannot reach it. A node that does not listen can be asked only if this node
    /// listens. The level fatal counts as the next one, because the protocol cannot request fatal records only.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Config, LogLayer, LogLevel, Node, proto::{auth::Secret, names::NodeId}};
    /// # use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};
    /// # let logs = LogLayer::new();
    /// # tracing_subscriber::registry().with(logs.clone()).init();
    /// # let config = |id: &str| {
    /// #     let mut config = Config::new(NodeId::new(id).unwrap());
    /// #     config.node.link.secret = Some(Secret::new(b"swordfish").unwrap());
    /// #     config
    /// # };
    /// # let mut worker = config("worker");
    /// # worker.listen = vec!["127.0.0.1:*".into()];
    /// # let worker = Node::start(worker).await.unwrap();
    /// # worker.offer_logs(&logs).await.unwrap();
    /// # let mut watcher = config("watcher");
    /// # watcher.seeds = vec![worker.addresses()[0].to_string()];
    /// # let watcher = Node::start(watcher).await.unwrap();
    /// let mut caught = watcher.catch_logs(LogLevel::INFO).await.unwrap();
    /// let first = caught.next().await.unwrap();
    /// assert_eq!((first.node.as_str(), first.text.as_str()), ("worker", "it was asked for its records"));
    ///
    /// tracing::warn!(disk = "full", "no room left"); // As the worker would do.
    /// let record = caught.next().await.unwrap();
    /// assert_eq!(record.text, r#"no room left disk="full""#);
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn catch_logs(&self, level: LogLevel) -> Result<CaughtLogs, Stopped> {
        let (giver, records) = waiting(Backlog::new(WAITING));
        let level = level.max(LogLevel::ALERT);
        let port = self.with(move |context| Follower::begin(context, level, giver)).await?;
        Ok(CaughtLogs { node: self.clone(), port, records })
    }
}

impl CaughtLogs {
    /// Waits for the next record. Returns `None` when the node has stopped. This function is cancel-safe: if the future
    /// is dropped, no record is lost.
    pub async fn next(&mut self) -> Option<Record> {
        self.records.next(take).await
    }
}

impl Stream for CaughtLogs {
    type Item = Record;

    fn poll_next(self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> Poll<Option<Record>> {
        self.records.poll(context, take)
    }
}

impl Drop for CaughtLogs {
    fn drop(&mut self) {
        self.node.end(&self.port, Reasons::normal());
    }
}

/// A record that tells of a node, and not what it said.
fn of_our_own(node: &NodeId, level: LogLevel, text: String) -> Record {
    Record { node: node.clone(), time: now(), context: CONTEXT.to_owned(), level, text }
}

fn take(waiting: &mut Waiting) -> Option<Record> {
    Some(match waiting.pop()? {
        Entry::Kept(record) => record,
        Entry::Lost(node, lost) => of_our_own(&node, LogLevel::WARN, lost_text(lost)),
    })
}

/// Asks each node of the network for its records, and again whenever it was lost.
struct Follower {
    level: LogLevel,
    port: PortId,
    giver: Giver<Waiting>,
    nodes: RefCell<BTreeMap<NodeId, Followed>>,
    /// Others can connect to this node.
    listens: Cell<bool>,
}

#[derive(Default)]
struct Followed {
    /// It is in the database.
    listed: bool,
    /// With addresses.
    listens: bool,
    /// It was asked, and has not been lost since.
    asked: bool,
    /// It is known to have been asked.
    answered: bool,
    /// How often it was not reached since it last was.
    failures: u32,
}

/// The pause before a node that was lost is asked again, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The family of the database that has the nodes of the network, with their addresses.
const NODES: &str = "'l";

/// The family that has the global nodes.
const GLOBALS: &str = "'g";

impl Follower {
    fn begin(context: &mut Context<'_>, level: LogLevel, giver: Giver<Waiting>) -> PortId {
        let port = context.port_without_code();
        let follower =
            Rc::new(Follower { level, port: port.clone(), giver, nodes: RefCell::default(), listens: Cell::default() });
        let this = follower.clone();
        context.receive(&port, move |context, elements| {
            this.take_in(context, elements);
            Ok(())
        });
        // In the name of the port, so that it goes with that.
        context.run_in(&port, move |context| {
            context.db_watch(NODES, move |context, changes| follower.change(context, &changes));
        });
        port
    }

    /// Takes in a record. What is none is nothing (`LOG-12`).
    fn take_in(&self, context: &Context<'_>, elements: Elements<'_>) {
        if let Some(record) = context.source().and_then(|node| Record::decode(node, elements)) {
            self.tell(record);
        }
    }

    fn change(self: &Rc<Self>, context: &mut Context<'_>, changes: &Changes) -> Outcome {
        for node in changes.deleted.iter().filter_map(|node| NodeId::new(node).ok()) {
            let mut nodes = self.nodes.borrow_mut();
            if let Some(followed) = nodes.get_mut(&node) {
                followed.listed = false;
                if !followed.asked {
                    nodes.remove(&node);
                }
            }
        }
        for (node, addresses) in changes.added.iter().chain(&changes.changed) {
            let Ok(node) = NodeId::new(node) else { continue };
            let listens = matches!(addresses, Value::Array(addresses) if !addresses.is_empty());
            if node == *context.node() {
                self.listens.set(listens);
                continue;
            }
            let mut nodes = self.nodes.borrow_mut();
            let followed = nodes.entry(node.clone()).or_default();
            (followed.listed, followed.listens, followed.failures) = (true, listens, 0);
            drop(nodes);
            self.ask(context, &node)?;
        }
        Ok(())
    }

    /// Asks a node for its records, unless it was asked already or has gone.
    fn ask(self: &Rc<Self>, context: &mut Context<'_>, node: &NodeId) -> Outcome {
        match self.nodes.borrow_mut().get_mut(node) {
            Some(followed) if followed.listed && !followed.asked => followed.asked = true,
            _ => return Ok(()),
        }
        let to = node.port("");
        context.send(&to, &(CONNECT, 0, &self.port, self.level.number()))?;
        let (this, lost) = (self.clone(), node.clone());
        context.watch(&to, move |context, reasons| this.lost(context, lost, &reasons));
        let (this, asked) = (self.clone(), node.clone());
        // An echo comes back when it has seen the request.
        context.call(&to, &"snd", None, move |_, answer| {
            if answer.is_ok() {
                this.answered(&asked);
            }
        })?;
        Ok(())
    }

    fn answered(&self, node: &NodeId) {
        if let Some(followed) = self.nodes.borrow_mut().get_mut(node) {
            (followed.answered, followed.failures) = (true, 0);
            self.note(node, LogLevel::INFO, "it was asked for its records".into());
        }
    }

    fn lost(self: &Rc<Self>, context: &mut Context<'_>, node: NodeId, reasons: &Reasons) -> Outcome {
        let mut nodes = self.nodes.borrow_mut();
        let Some(followed) = nodes.get_mut(&node) else { return Ok(()) };
        followed.asked = false;
        let why = reasons.message().unwrap_or_default();
        // One that does not listen has to connect first.
        let can_connect = !followed.listens && self.listens.get();
        if std::mem::take(&mut followed.answered) {
            self.note(&node, LogLevel::WARN, format!("it is lost, perhaps with records: {why}"));
        } else if followed.listed && followed.failures == u32::from(can_connect) {
            let hint = if followed.listens || self.listens.get() { "" } else { "; it could connect if this node listened" };
            self.note(&node, LogLevel::WARN, format!("it cannot be asked for its records: {why}{hint}"));
        }
        if !followed.listed {
            nodes.remove(&node);
            return Ok(());
        }
        let pause = PAUSE.saturating_mul(1 << followed.failures.min(10)).min(LONGEST_PAUSE);
        followed.failures += 1;
        drop(nodes);
        if can_connect {
            self.have_it_connect(context, &node)?;
        }
        let this = self.clone();
        context.after(pause, move |context| this.ask(context, &node));
        Ok(())
    }

    /// Has a node that does not listen connect to this one: the global node that it is connected with has it send something
    /// here (`NODE-12`).
    fn have_it_connect(&self, context: &mut Context<'_>, node: &NodeId) -> Outcome {
        let request = ("snd", node.port(""), "snd", self.port.clone());
        if let Some(master) = context.master().cloned() {
            context.send(&master.port(""), &request)?;
        }
        context.db_keys(GLOBALS, move |context, globals| {
            for global in globals.map_err(|error| error.to_string())?.iter().filter_map(|global| NodeId::new(global).ok()) {
                if global != *context.node() && Some(&global) != context.master() {
                    context.send(&global.port(""), &request)?;
                }
            }
            Outcome::Ok(())
        });
        Ok(())
    }

    fn tell(&self, record: Record) {
        let octets = record.context.len() + record.text.len();
        self.giver.give(|waiting| waiting.push(record.node.clone(), octets, record));
    }

    fn note(&self, node: &NodeId, level: LogLevel, text: String) {
        if self.level.covers(level) {
            self.tell(of_our_own(node, level, text));
        }
    }
}
