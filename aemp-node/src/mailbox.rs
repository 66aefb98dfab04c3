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

/// How much a mailbox holds, and what happens when more comes. What this node sends to itself has as much room again, of its
/// own: other nodes cannot take that away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capacity {
    /// Messages that may wait, 10,000 by default.
    pub messages: usize,
    /// Octets that may wait, 16 MiB by default.
    pub octets: usize,
    /// What happens when more comes.
    pub overflow: Overflow,
    /// With [`Overflow::Pause`]: the port ends when no message was taken from the full mailbox for so long, 30 seconds by
    /// default.
    pub patience: Duration,
}

/// What happens when a message does not fit into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// The node that has sent it is paused: its connection is not read until the mailbox is half empty. Nothing is lost, and
    /// [`ready`](Node::ready) there waits. All that this node sends waits so, to other ports too, answers to calls and
    /// monitors included; other nodes go on. The one message, of each node, is taken in.
    ///
    /// A task that waits for an answer of that very node while its mailbox is full waits in a circle, and takes nothing: so
    /// the port ends after [`Capacity::patience`], as with [`End`](Self::End), and the connection goes on.
    ///
    /// This node cannot pause itself: where its own messages do not fit, the port ends at once.
    #[default]
    Pause,
    /// The port ends with the reasons `"overflow"` and a text, and whoever watches it knows that something is lost. A sender
    /// is not slowed down: [`ready`](Node::ready) knows nothing of a mailbox. One fast sender ends the port for all.
    End,
    /// The message is dropped, and counted. Nobody is told.
    Drop,
}

impl Default for Capacity {
    fn default() -> Self {
        let patience = Duration::from_secs(30);
        Capacity { messages: 10_000, octets: 16 << 20, overflow: Overflow::Pause, patience }
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

struct Shared {
    capacity: Capacity,
    /// What waits of other nodes, and of this one.
    others: Waiting,
    own: Waiting,
    /// Messages that were taken out, in all.
    taken: AtomicUsize,
    dropped: AtomicUsize,
    /// There are nodes that are paused.
    pausing: AtomicBool,
    paused: Mutex<Vec<NodeId>>,
    /// A timer looks whether anything is taken out.
    timed: AtomicBool,
    ended: OnceLock<Reasons>,
}

#[derive(Default)]
struct Waiting {
    messages: AtomicUsize,
    octets: AtomicUsize,
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

    /// Takes in a message, on the node's thread.
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
        // Only this side adds, so what is there can only be less by the time it is added to.
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
        // If the mailbox is gone, the port is about to end.
        let _nobody_reads = queue.send(message);
        if let Some(peer) = peer.filter(|_| is_full) {
            self.pause(context, own, peer);
        }
        Ok(())
    }

    /// Pauses a node until there is room again.
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
            // Whoever took messages out meanwhile did not know of the pause.
            return self.resume(context);
        }
        if !self.timed.swap(true, Ordering::SeqCst) {
            self.wait(context, own.clone(), self.taken.load(Ordering::SeqCst));
        }
    }

    /// Ends the port if nothing is taken out for too long while nodes are paused.
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

    /// Whether nodes that are paused may go on.
    fn has_room(&self) -> bool {
        self.others.messages.load(Ordering::SeqCst) <= self.capacity.messages / 2
            && self.others.octets.load(Ordering::SeqCst) <= self.capacity.octets / 2
    }

    /// Lets all nodes that are paused go on.
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
    /// The port's ID.
    pub fn id(&self) -> &PortId {
        &self.id
    }

    /// Waits for the next message; `None` when the port has ended and all that had arrived was taken. Nothing is lost when
    /// this is cancelled.
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
            let reasons = closed.unwrap_or_else(|| dropped(shared.unread(), panics));
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
