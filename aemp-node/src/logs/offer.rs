//! Offering the records of this program to other nodes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use aemp_proto::actor::{Access, Context, Outcome};
use aemp_proto::framing::Elements;
use aemp_proto::names::PortId;
use aemp_proto::value::Value;

use super::backlog::Entry;
use super::layer::{LogLayer, Made, Source, without_records};
use super::record::LogLevel;
use super::{CONNECT, CONTEXT, lost_text, now};
use crate::handle::{Node, Stopped};
use crate::tasks::{ContextExt as _, LocalPort};

/// What a node knows of those who catch its records.
struct Offer {
    source: Arc<Source>,
    catchers: RefCell<BTreeMap<PortId, Catcher>>,
}

/// A port that gets records.
struct Catcher {
    level: LogLevel,
    /// Records that it did not get, and has not been told of.
    lost: u64,
    /// It is told when its node is ready for more.
    waits: bool,
}

/// Ports that get records at once (`LOG-10`).
const CATCHERS: usize = 100;

/// Records that are sent before connections have their turn.
const BATCH: usize = 256;

impl Node {
    /// Lets other nodes catch the records of a layer until this node stops. In secure mode no node can (`NODE-9`).
    ///
    /// Without secure mode, every node of the network can then read the log of this program.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// use aemp_node::{Config, LogLayer, Node};
    /// use tracing_subscriber::layer::SubscriberExt as _;
    /// use tracing_subscriber::util::SubscriberInitExt as _;
    ///
    /// let logs = LogLayer::new();
    /// tracing_subscriber::registry().with(logs.clone()).init();
    /// let node = Node::start(Config::local()).await.unwrap();
    /// node.offer_logs(&logs).await.unwrap();
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn offer_logs(&self, logs: &LogLayer) -> Result<(), Stopped> {
        let source = logs.source();
        self.with(move |context| {
            let offer = Rc::new(Offer { source, catchers: RefCell::default() });
            let asked = offer.clone();
            context.register(CONNECT, Access::CALL, Rc::new(move |context, elements| asked.connect(context, elements)));
            context.run_future(async move |node| offer.send_on(&node).await);
        })
        .await
    }
}

impl Offer {
    /// Somebody asks for records.
    fn connect(self: &Rc<Self>, context: &mut Context<'_>, elements: Elements<'_>) -> Outcome {
        let (_, port, level): (Value, PortId, i64) = elements.rest()?;
        let level = LogLevel::from_wire(level).ok_or("a level of less than 1 covers no records")?;
        if port.port().is_empty() {
            // A node would take records for requests (`LOG-5`).
            return Err("records do not go to a node port".into());
        }
        let mut catchers = self.catchers.borrow_mut();
        if let Some(catcher) = catchers.get_mut(&port) {
            catcher.level = level;
        } else if catchers.len() >= CATCHERS {
            return Err(format!("{CATCHERS} ports get records already").into());
        } else {
            catchers.insert(port.clone(), Catcher { level, lost: 0, waits: false });
            let (this, ended) = (self.clone(), port.clone());
            context.watch(&port, move |_, _| {
                this.catchers.borrow_mut().remove(&ended);
                this.want();
            });
        }
        drop(catchers);
        self.want();
        Ok(())
    }

    fn want(&self) {
        self.source.want(self.catchers.borrow().values().map(|catcher| catcher.level).max());
    }

    /// Sends what comes, for ever.
    async fn send_on(self: Rc<Self>, node: &LocalPort) -> Outcome {
        loop {
            self.source.more.notified().await;
            loop {
                let entries = self.source.take(BATCH);
                if entries.is_empty() {
                    break;
                }
                without_records(|| node.with(|context| self.send(context, &entries)))?;
                tokio::task::yield_now().await;
            }
        }
    }

    fn send(self: &Rc<Self>, context: &mut Context<'_>, entries: &[Entry<LogLevel, Arc<Made>>]) {
        for (port, catcher) in self.catchers.borrow_mut().iter_mut() {
            for entry in entries {
                let (level, records) = match entry {
                    Entry::Kept(made) => (made.level, 1),
                    Entry::Lost(level, lost) => (*level, *lost),
                };
                if !catcher.level.covers(level) {
                    continue;
                }
                match entry {
                    Entry::Kept(made) if self.is_ready(context, port, catcher) && send(context, port, made) => {}
                    _ => catcher.lost += records,
                }
            }
            self.is_ready(context, port, catcher);
        }
    }

    /// Whether a catcher can be sent more: first it is told what it has lost. If it cannot, it is told as soon as it can.
    fn is_ready(self: &Rc<Self>, context: &mut Context<'_>, port: &PortId, catcher: &mut Catcher) -> bool {
        if context.is_ready(port.node()) {
            catcher.tell_lost(context, port);
            return true;
        }
        if !catcher.waits {
            catcher.waits = true;
            let (this, waiting) = (self.clone(), port.clone());
            context.when_ready(port.node(), move |context| {
                if let Some(catcher) = this.catchers.borrow_mut().get_mut(&waiting) {
                    catcher.waits = false;
                    without_records(|| this.is_ready(context, &waiting, catcher));
                }
            });
        }
        false
    }
}

impl Catcher {
    fn tell_lost(&mut self, context: &mut Context<'_>, port: &PortId) {
        if self.lost > 0 {
            let text = lost_text(std::mem::take(&mut self.lost));
            // It may want no warnings, and is told all the same.
            let level = self.level.min(LogLevel::WARN);
            send(context, port, &Made { time: now(), context: CONTEXT, level, text });
        }
    }
}

fn send(context: &mut Context<'_>, port: &PortId, made: &Made) -> bool {
    context.send(port, &(made.time, made.context, made.level.number(), &made.text)).is_ok()
}

/// Nobody gets records from this node any more.
impl Drop for Offer {
    fn drop(&mut self) {
        self.source.want(None);
    }
}
