//! The sending side: nodes whose ports send, and time it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use aemp_node::Node;
use aemp_node::proto::actor::{Context, NodeEvent, Outcome};
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::proto::value::Value;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::latency::Latencies;
use super::options::Arrangement;
use super::receiver::{self, DESK, check};
use super::{Figures, together};
use crate::Failure;

/// The sending node of a pair, which has a connection.
#[derive(Clone)]
pub(super) struct Sender {
    node: Node,
    receiver: NodeId,
    payload: String,
}

/// How many octets a port sends before others have their turn.
const BURST: usize = 32 << 10;

/// Starts the sending nodes, and waits until each has reached its receiver.
pub(super) async fn connect(
    arrangement: &Arrangement,
    secret: &str,
    addresses: &[SocketAddr],
) -> Result<Vec<Sender>, Failure> {
    let mut senders = Vec::new();
    for (pair, address) in addresses.iter().enumerate() {
        let id = NodeId::new(&format!("sender{pair}")).map_err(Failure::usage)?;
        let mut config = receiver::config(id, secret, arrangement)?;
        config.seeds = vec![address.to_string()];
        let node = Node::start(config).await.map_err(Failure::refused)?;
        let mut events = node.events();
        loop {
            match events.recv().await {
                Some(NodeEvent::Up(_)) => break,
                Some(NodeEvent::Refused { error, .. }) => return Err(Failure::unreachable(error)),
                Some(_) => {}
                None => return Err(Failure::refused("the sending node has ended")),
            }
        }
        let payload = "x".repeat(arrangement.size as usize);
        senders.push(Sender { node, receiver: receiver::node_id(pair), payload });
    }
    Ok(senders)
}

/// All pairs at once: messages one way, as fast as they go.
pub(super) async fn one_way(senders: &[Sender], time: Duration) -> Result<Figures, Failure> {
    all(senders, |sender| sender.one_way(time)).await
}

/// All pairs at once: one message to and fro.
pub(super) async fn round_trips(senders: &[Sender], time: Duration) -> Result<Figures, Failure> {
    all(senders, |sender| sender.round_trips(time)).await
}

async fn all<F>(senders: &[Sender], measure: impl Fn(Sender) -> F) -> Result<Figures, Failure>
where
    F: Future<Output = Result<Figures, Failure>> + Send + 'static,
{
    let start = Instant::now();
    let mut running: JoinSet<_> = senders.iter().cloned().map(measure).collect();
    let mut each = Vec::new();
    while let Some(figures) = running.join_next().await {
        each.push(figures.map_err(Failure::refused)??);
    }
    Ok(together(each, start.elapsed()))
}

impl Sender {
    /// Asks the receiver's desk.
    async fn ask(&self, elements: Vec<Value>) -> Result<Value, Failure> {
        let answer = self.node.call(&self.receiver.port(DESK), &elements, None).await.map_err(Failure::refused)?;
        answer.decode().map(|(value,)| value).map_err(Failure::refused)
    }

    /// Has the desk make a port.
    async fn new_port(&self, request: Vec<Value>) -> Result<PortId, Failure> {
        let answer = self.ask(request).await?;
        let port = answer.text().ok_or_else(|| Failure::refused(format!("the receiver answered {answer:?}")))?;
        port.parse().map_err(Failure::refused)
    }

    async fn one_way(self, time: Duration) -> Result<Figures, Failure> {
        let to = self.new_port(vec!["count".into()]).await?;
        let (done, sent) = oneshot::channel();
        let (port, payload) = (to.clone(), self.payload.clone());
        let start = Instant::now();
        let from = self.node.with(move |context| {
            let in_burst = (BURST / (payload.len() + 1)).clamp(1, 1000);
            let mut stream = Some(Stream { to: port, payload, number: 0, in_burst, until: start + time, done });
            let from = context.port(move |context, _| stream.take().map_or(Ok(()), |stream| stream.go_on(context)));
            context.send(&from, &()).map(|()| from)
        });
        let from = from.await.map_err(Failure::refused)?.map_err(Failure::refused)?;
        let sent = self.unless_ended(sent, &from, &to).await?;
        // What was sent before arrives before.
        let arrived = self.ask(vec!["arrived".into()]).await?;
        if arrived != Value::from(sent) {
            return Err(Failure::refused(format!("messages were lost: {sent} were sent, {arrived:?} arrived")));
        }
        Ok(Figures { count: sent, time: start.elapsed(), latencies: None })
    }

    async fn round_trips(self, time: Duration) -> Result<Figures, Failure> {
        #[expect(clippy::redundant_closure_for_method_calls, reason = "the method is for one lifetime only")]
        let back = self.node.with(|context| context.port_without_code()).await.map_err(Failure::refused)?;
        let to = self.new_port(vec!["return".into(), back.to_string().into()]).await?;
        let (done, finished) = oneshot::channel();
        let (from, other, payload) = (back.clone(), to.clone(), self.payload.clone());
        let start = Instant::now();
        let begun = self.node.with(move |context| {
            let mut done = Some((done, Latencies::new()));
            let numbers = Cell::new(0);
            let mut sent = Instant::now();
            let (until, first) = (start + time, context.send(&other, &(0, &payload)));
            context.receive(&from, move |context, elements| {
                check(elements, &numbers)?;
                let now = Instant::now();
                if let Some((_, latencies)) = &mut done {
                    latencies.add(now - sent);
                }
                sent = now;
                if now < until {
                    context.send(&other, &(numbers.get(), &payload))?;
                } else if let Some((done, latencies)) = done.take() {
                    let _nobody_waits = done.send((numbers.get(), latencies));
                }
                Ok(())
            });
            first
        });
        begun.await.map_err(Failure::refused)?.map_err(Failure::refused)?;
        let (count, latencies) = self.unless_ended(finished, &back, &to).await?;
        Ok(Figures { count, time: start.elapsed(), latencies: Some(latencies) })
    }

    /// Waits, unless one of the two ports ends before: its code has found something wrong, or the connection is lost.
    async fn unless_ended<T>(&self, done: oneshot::Receiver<T>, one: &PortId, other: &PortId) -> Result<T, Failure> {
        let one_ended = self.node.watch(one).await.map_err(Failure::refused)?;
        let other_ended = self.node.watch(other).await.map_err(Failure::refused)?;
        let reasons = tokio::select! {
            Ok(done) = done => return Ok(done),
            reasons = one_ended => reasons,
            reasons = other_ended => reasons,
        };
        Err(Failure::refused(format!("it ended early: {:?}", reasons.map_err(Failure::refused)?)))
    }
}

/// A port's messages one way.
struct Stream {
    to: PortId,
    payload: String,
    number: u64,
    in_burst: usize,
    until: Instant,
    done: oneshot::Sender<u64>,
}

impl Stream {
    /// Sends some messages if the node is ready for more, then lets the connection have its turn.
    ///
    /// A message that cannot be sent ends the port, and with it the measurement.
    fn go_on(mut self, context: &mut Context<'_>) -> Outcome {
        for _ in 0..self.in_burst {
            context.send(&self.to, &(self.number, &self.payload))?;
            self.number += 1;
        }
        if Instant::now() >= self.until {
            let _nobody_waits = self.done.send(self.number);
        } else {
            let receiver = self.to.node().clone();
            context.when_ready(&receiver, move |context| self.go_on(context));
        }
        Ok(())
    }
}
