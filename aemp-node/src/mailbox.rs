//! A port whose messages an async task reads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use aemp_proto::framing::Elements;
use aemp_proto::names::PortId;
use aemp_proto::node::{Context, Outcome, Reasons};
use tokio::sync::mpsc;

use crate::handle::{Node, Stopped};
use crate::message::Message;

/// How much a mailbox holds, and what happens when more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// Messages that may wait, 10,000 by default.
    pub messages: usize,
    /// Octets that may wait, 16 MiB by default.
    pub octets: usize,
    /// What happens when more comes.
    pub overflow: Overflow,
}

/// What happens when a message does not fit into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The port ends with the reasons `"overflow"` and a text, and whoever watches it knows that something is lost.
    #[default]
    End,
    /// The message is dropped, and counted. Nobody is told.
    Drop,
}

impl Default for Capacity {
    fn default() -> Self {
        Capacity { messages: 10_000, octets: 16 << 20, overflow: Overflow::End }
    }
}

/// A port whose messages wait for an async task. The port ends with the mailbox, and whoever monitors it hears how:
///
/// | what happens to the mailbox | the reasons |
/// |---|---|
/// | it is closed: [`close`](Self::close) | none: a normal end |
/// | it is closed with reasons: [`close_with`](Self::close_with) | those |
/// | it is dropped, and no message waits in it | none: a normal end |
/// | it is dropped, and messages wait in it | `"unread"`, and a text that says how many |
/// | it is dropped by a panic | `"die"`, and a text that says so, and how many messages waited |
///
/// So a task that fails says why with `close_with`; what it returns, nobody hears.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use aemp_node::{Config, Node, Capacity, Overflow};
/// let node = Node::start(Config::local()).await.unwrap();
/// let mut capacity = Capacity::default();
/// capacity.overflow = Overflow::Drop;
/// let mut jobs = node.mailbox_with(capacity).await.unwrap();
/// node.send(jobs.id(), &("resize", "cat.png", 640)).unwrap();
///
/// let job = jobs.recv().await.unwrap();
/// let (verb, file, width): (&str, &str, u32) = job.decode().unwrap();
/// assert_eq!((verb, file, width), ("resize", "cat.png", 640));
/// # });
/// ```
pub struct Mailbox {
    node: Node,
    id: PortId,
    messages: mpsc::UnboundedReceiver<Message>,
    shared: Arc<Shared>,
    /// How it ends on purpose.
    closed: Option<Reasons>,
}

#[derive(Default)]
struct Shared {
    messages: AtomicUsize,
    octets: AtomicUsize,
    dropped: AtomicUsize,
    ended: OnceLock<Reasons>,
}

impl Node {
    /// Makes a port whose messages wait for you, with the usual capacity.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn mailbox(&self) -> Result<Mailbox, Stopped> {
        self.mailbox_with(Capacity::default()).await
    }

    /// Makes a port whose messages wait for you.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn mailbox_with(&self, capacity: Capacity) -> Result<Mailbox, Stopped> {
        let (queue, messages) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::default());
        let filled = shared.clone();
        let id = self
            .ask_or_undo(
                move |context| {
                    let id = context.port_without_code();
                    let (own, ended, open) = (id.clone(), filled.clone(), queue.clone());
                    context
                        .receive(&id, move |context, elements| filled.take_in(context, &own, elements, &capacity, &queue));
                    context.watch(&id, move |_, reasons| {
                        let _ended_once = ended.ended.set(reasons);
                        // Only now the queue ends: whoever sees its end can see why.
                        drop(open);
                    });
                    id
                },
                |context, id| context.end(&id, Reasons::normal()),
            )
            .await?;
        Ok(Mailbox { node: self.clone(), id, messages, shared, closed: None })
    }
}

impl Shared {
    /// Takes in a message, on the node's thread.
    fn take_in(
        &self,
        context: &mut Context<'_>,
        own: &PortId,
        elements: Elements<'_>,
        capacity: &Capacity,
        queue: &mpsc::UnboundedSender<Message>,
    ) -> Outcome {
        let message = Message::new(context.source(), elements)?;
        // Only this side adds, so what is there can only be less by the time it is added to.
        let (messages, octets) =
            (self.messages.load(Ordering::Relaxed) + 1, self.octets.load(Ordering::Relaxed) + message.octets());
        if messages > capacity.messages || octets > capacity.octets {
            match capacity.overflow {
                Overflow::Drop => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
                Overflow::End => {
                    let text = format!("the mailbox is full: {messages} messages, {octets} octets");
                    context.end(own, Reasons::new(["overflow", &text]));
                }
            }
            return Ok(());
        }
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(message.octets(), Ordering::Relaxed);
        // If the mailbox is gone, the port is about to end.
        let _nobody_reads = queue.send(message);
        Ok(())
    }
}

impl Mailbox {
    /// The port's ID.
    pub fn id(&self) -> &PortId {
        &self.id
    }

    /// Waits for the next message; `None` when the port has ended and all that had arrived was taken. Nothing is lost when this is cancelled.
    pub async fn recv(&mut self) -> Option<Message> {
        let message = self.messages.recv().await?;
        Some(self.taken(message))
    }

    /// Takes the next message, if one waits; `None` says nothing about whether more will come.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Config, Node};
    /// let node = Node::start(Config::local()).await.unwrap();
    /// let mut jobs = node.mailbox().await.unwrap();
    /// node.send(jobs.id(), &"first").unwrap();
    /// node.send(jobs.id(), &"second").unwrap();
    ///
    /// let first = jobs.recv().await.unwrap();
    /// let mut batch = vec![first];
    /// while let Some(job) = jobs.try_recv() {
    ///     batch.push(job);
    /// }
    /// assert!(jobs.is_empty());
    /// jobs.close();
    /// # });
    /// ```
    pub fn try_recv(&mut self) -> Option<Message> {
        let message = self.messages.try_recv().ok()?;
        Some(self.taken(message))
    }

    /// Makes room for what comes next.
    fn taken(&self, message: Message) -> Message {
        self.shared.messages.fetch_sub(1, Ordering::Relaxed);
        self.shared.octets.fetch_sub(message.octets(), Ordering::Relaxed);
        message
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Ends the port normally, whatever waits in it.
    pub fn close(self) {
        self.close_with(Reasons::normal());
    }

    /// Ends the port with these reasons, whatever waits in it.
    pub fn close_with(mut self, reasons: Reasons) {
        self.closed = Some(reasons);
    }

    /// Why the port has ended, if it has.
    pub fn ended(&self) -> Option<&Reasons> {
        self.shared.ended.get()
    }

    /// How many messages were dropped because they did not fit ([`Overflow::Drop`]).
    pub fn dropped(&self) -> usize {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let (id, shared, closed, panics) = (self.id.clone(), self.shared.clone(), self.closed.take(), thread::panicking());
        self.node.command(move |driver| {
            // What has arrived until now was not read either.
            let reasons = closed.unwrap_or_else(|| dropped(shared.messages.load(Ordering::Relaxed), panics));
            driver.with_context(|context| context.end(&id, reasons));
        });
    }
}

/// Why a port ends whose mailbox is gone.
fn dropped(unread: usize, panics: bool) -> Reasons {
    let unread = match unread {
        0 => None,
        1 => Some("1 message in its mailbox was not read".to_owned()),
        unread => Some(format!("{unread} messages in its mailbox were not read")),
    };
    match (panics, unread) {
        (false, None) => Reasons::normal(),
        (false, Some(unread)) => Reasons::new(["unread", &unread]),
        (true, None) => Reasons::die("the task that read its mailbox panicked"),
        (true, Some(unread)) => Reasons::die(format!("the task that read its mailbox panicked, and {unread}")),
    }
}
