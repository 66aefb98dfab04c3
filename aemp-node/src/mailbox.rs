//! A port whose messages an async task reads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use aemp_proto::actor::{Context, Outcome, Reasons};
use aemp_proto::framing::Elements;
use aemp_proto::names::{NodeId, PortId};
use tokio::sync::mpsc;

use crate::handle::{Node, Stopped};
use crate::message::Message;

/// The capacity of a mailbox and its overflow policy. The limits apply twice: once to messages from other nodes, and
/// once to messages from this node. So other nodes cannot use up the capacity that this node needs for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// The maximum number of unread messages. Default: 10,000.
    pub messages: usize,
    /// The maximum size of all unread messages, in bytes. Default: 16 MiB.
    pub octets: usize,
    /// The policy for a message that does not fit. Default: [`Overflow::Pause`].
    pub overflow: Overflow,
    /// The time after which a full mailbox ends its port if the task reads no message ([`Overflow::Pause`] only).
    /// Default: 30 seconds.
    pub patience: Duration,
}

/// The policy of a mailbox for a message that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Pauses the node that sent the message: this node stops reading its connection until the mailbox is half empty.
    /// No message is lost. The mailbox accepts the one message of each node that did not fit. While the node is paused,
    /// [`ready`](Node::ready) waits there, and so do its messages to other ports, its answers to calls and its
    /// monitors. Other nodes are not affected.
    ///
    /// A deadlock is possible: a task that waits for an answer of the paused node does not read its mailbox. To break
    /// it, the port ends after [`Capacity::patience`], as with [`End`](Self::End). The connection then continues.
    ///
    /// This node cannot pause itself. If a message from this node does not fit, the port ends at once.
    #[default]
    Pause,
    /// Ends the port with the reasons `"overflow"` and a text. The monitors of the port report the loss. This policy
    /// does not slow senders down, and [`ready`](Node::ready) does not consider the mailbox. So one fast sender ends
    /// the port for all senders.
    End,
    /// Drops the message and counts it ([`Mailbox::dropped`]). Neither the sender nor a monitor gets a notice.
    Drop,
}

impl Default for Capacity {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Capacity { messages: 10_000, octets: 16 << 20, overflow: Overflow::Pause, patience }
    }
}

/// A port whose messages an async task reads. The port ends together with the mailbox, and its monitors get these
/// reasons:
///
/// | what happens to the mailbox | the reasons |
/// |---|---|
/// | it is closed: [`close`](Self::close) | none: a normal end |
/// | it is closed with reasons: [`close_with`](Self::close_with) | those |
/// | it is dropped, and no message waits in it | none: a normal end |
/// | it is dropped, and messages wait in it | `"unread"`, and a text that says how many |
/// | it is dropped by a panic | `"die"`, and a text that says so, and how many messages waited |
///
/// A task that fails should call `close_with`. The return value of the task does not reach the monitors.
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
    /// The reasons given to `close` or `close_with`.
    closed: Option<Reasons>,
}

struct Shared {
    capacity: Capacity,
    /// Unread messages from other nodes; `own` counts those from this node.
    others: Waiting,
    own: Waiting,
    /// The number of messages that were read since the start.
    taken: AtomicUsize,
    dropped: AtomicUsize,
    /// Whether at least one node is paused.
    pausing: AtomicBool,
    paused: Mutex<Vec<NodeId>>,
    /// Whether a timer checks that the task reads messages.
    timed: AtomicBool,
    ended: OnceLock<Reasons>,
}

#[derive(Default)]
struct Waiting {
    messages: AtomicUsize,
    octets: AtomicUsize,
}

impl Node {
    /// Creates a mailbox with the default [`Capacity`]. If the caller drops the future before the node has created the
    /// port, the node ends the port at once.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn mailbox(&self) -> Result<Mailbox, Stopped> {
        self.mailbox_with(Capacity::default()).await
    }

    /// Creates a mailbox with this capacity. If the caller drops the future before the node has created the port, the
    /// node ends the port at once.
    ///
    /// # Errors
    ///
    /// When the node has ended.
    pub async fn mailbox_with(&self, capacity: Capacity) -> Result<Mailbox, Stopped> {
        let (queue, messages) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(capacity));
        let filled = shared.clone();
        let id = self
            .ask_or_undo(
                move |context| {
                    let id = context.port_without_code();
                    let (own, ended, open) = (id.clone(), filled.clone(), queue.clone());
                    context.receive(&id, move |context, elements| filled.take_in(context, &own, elements, &queue));
                    context.watch(&id, move |context, reasons| {
                        ended.resume(context);
                        let _ended_once = ended.ended.set(reasons);
                        // The queue must close after the reasons are set, because its reader then looks them up.
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
    fn new(capacity: Capacity) -> Self {
        Shared {
            capacity,
            others: Waiting::default(),
            own: Waiting::default(),
            taken: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            pausing: AtomicBool::new(false),
            paused: Mutex::default(),
            timed: AtomicBool::new(false),
            ended: OnceLock::new(),
        }
    }

    fn unread(&self) -> usize {
        self.others.messages.load(Ordering::SeqCst) + self.own.messages.load(Ordering::SeqCst)
    }

    /// Adds a message to the mailbox, on the node's thread.
    fn take_in(
        self: &Arc<Self>,
        context: &mut Context<'_>,
        own: &PortId,
        elements: Elements<'_>,
        queue: &mpsc::UnboundedSender<Message>,
    ) -> Outcome {
        let message = Message::new(context.source(), elements)?;
        let peer = message.source().filter(|source| *source != own.node()).cloned();
        let room = if peer.is_some() { &self.others } else { &self.own };
        // Only this thread adds. Until it does, the counters can only fall.
        let messages = room.messages.load(Ordering::SeqCst) + 1;
        let octets = room.octets.load(Ordering::SeqCst) + message.octets();
        let is_full = messages > self.capacity.messages || octets > self.capacity.octets;
        match (self.capacity.overflow, &peer) {
            _ if !is_full => {}
            (Overflow::Pause, Some(_)) => {}
            (Overflow::Drop, _) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            (Overflow::End | Overflow::Pause, _) => {
                end_full(context, own, messages, octets);
                return Ok(());
            }
        }
        room.messages.fetch_add(1, Ordering::SeqCst);
        room.octets.fetch_add(message.octets(), Ordering::SeqCst);
        // If the mailbox has been dropped, the port is about to end.
        let _nobody_reads = queue.send(message);
        if let Some(peer) = peer.filter(|_| is_full) {
            self.pause(context, own, peer);
        }
        Ok(())
    }

    /// Pauses a node until the mailbox is half empty.
    fn pause(self: &Arc<Self>, context: &mut Context<'_>, own: &PortId, peer: NodeId) {
        {
            let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
            if paused.contains(&peer) {
                return;
            }
            context.pause_peer(&peer);
            paused.push(peer);
        }
        self.pausing.store(true, Ordering::SeqCst);
        if self.has_room() {
            // The task may have read messages before it could see the pause.
            return self.resume(context);
        }
        if !self.timed.swap(true, Ordering::SeqCst) {
            self.wait(context, own.clone(), self.taken.load(Ordering::SeqCst));
        }
    }

    /// Ends the port if nodes are paused and the task reads no message for `patience`.
    fn wait(self: &Arc<Self>, context: &mut Context<'_>, own: PortId, taken: usize) {
        let shared = self.clone();
        context.after(self.capacity.patience, move |context: &mut Context<'_>| {
            if !shared.pausing.load(Ordering::SeqCst) {
                return shared.timed.store(false, Ordering::SeqCst);
            }
            let now = shared.taken.load(Ordering::SeqCst);
            if now == taken {
                let others = &shared.others;
                end_full(context, &own, others.messages.load(Ordering::SeqCst), others.octets.load(Ordering::SeqCst));
            } else {
                shared.wait(context, own, now);
            }
        });
    }

    /// Returns whether paused nodes may continue.
    fn has_room(&self) -> bool {
        self.others.messages.load(Ordering::SeqCst) <= self.capacity.messages / 2
            && self.others.octets.load(Ordering::SeqCst) <= self.capacity.octets / 2
    }

    /// Resumes all paused nodes.
    fn resume(&self, context: &mut Context<'_>) {
        self.pausing.store(false, Ordering::SeqCst);
        let paused = std::mem::take(&mut *self.paused.lock().unwrap_or_else(PoisonError::into_inner));
        paused.iter().for_each(|peer| context.resume_peer(peer));
    }
}

fn end_full(context: &mut Context<'_>, port: &PortId, messages: usize, octets: usize) {
    let text = format!("the mailbox is full: {messages} messages, {octets} octets");
    context.end(port, Reasons::new(["overflow", &text]));
}

impl Mailbox {
    /// Returns the port's ID.
    pub fn id(&self) -> &PortId {
        &self.id
    }

    /// Waits for the next message. Returns `None` when the port has ended and all its messages have been read. This
    /// function is cancel-safe: if the future is dropped, no message is lost.
    pub async fn recv(&mut self) -> Option<Message> {
        let message = self.messages.recv().await?;
        Some(self.taken(message))
    }

    /// Returns the next message if one is queued. `None` does not mean that the port has ended.
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

    /// Updates the counters for a message that was read, and resumes paused nodes when there is room.
    fn taken(&self, message: Message) -> Message {
        let shared = &self.shared;
        let is_own = message.source().is_none_or(|source| source == self.id.node());
        let room = if is_own { &shared.own } else { &shared.others };
        room.messages.fetch_sub(1, Ordering::SeqCst);
        room.octets.fetch_sub(message.octets(), Ordering::SeqCst);
        shared.taken.fetch_add(1, Ordering::SeqCst);
        if shared.pausing.load(Ordering::SeqCst) && shared.has_room() && shared.pausing.swap(false, Ordering::SeqCst) {
            let shared = shared.clone();
            self.node.command(move |driver| driver.with_context(|context| shared.resume(context)));
        }
        message
    }

    /// Returns the number of unread messages.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Returns whether the mailbox has no unread messages.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Ends the port normally, and discards all unread messages.
    pub fn close(self) {
        self.close_with(Reasons::normal());
    }

    /// Ends the port with these reasons, and discards all unread messages.
    pub fn close_with(mut self, reasons: Reasons) {
        self.closed = Some(reasons);
    }

    /// Returns the reasons with which the port has ended, or `None` if it has not ended.
    pub fn ended(&self) -> Option<&Reasons> {
        self.shared.ended.get()
    }

    /// Returns the number of messages that did not fit and were dropped ([`Overflow::Drop`]).
    pub fn dropped(&self) -> usize {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let (id, shared, closed, panics) = (self.id.clone(), self.shared.clone(), self.closed.take(), thread::panicking());
        self.node.command(move |driver| {
            // Messages that arrived between the drop and this command are unread, too.
            let reasons = closed.unwrap_or_else(|| dropped(shared.unread(), panics));
            driver.with_context(|context| context.end(&id, reasons));
        });
    }
}

/// Returns the reasons for a port whose mailbox was dropped.
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
