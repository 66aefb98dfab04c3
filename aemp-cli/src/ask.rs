//! `aemp snd`, `aemp cal` and `aemp mon`.

use std::time::Duration;

use aemp_node::proto::actor::{NoAnswer, Reasons};
use aemp_node::proto::framing::{Framing, Limits};
use aemp_node::proto::names::PortId;
use aemp_node::proto::value::Value;
use aemp_node::{CallError, Node};
use clap::Args;
use serde::Serialize;

use crate::lines::escaped_json;
use crate::options::Join;
use crate::values::Reading;
use crate::{Failure, say, tell};

/// A message for a port.
#[derive(Args)]
pub(crate) struct Message {
    #[command(flatten)]
    reading: Reading,
    /// The port ID, such as `seed#echo`
    port: String,
    /// The elements. `-` is what comes on standard input, and `@FILE` what is in a file: as a text, without its last line
    /// end
    #[arg(allow_negative_numbers = true)]
    elements: Vec<String>,
}

impl Message {
    fn parse(&self) -> Result<(PortId, Vec<Value>), Failure> {
        let elements = self.elements.iter().map(|text| self.reading.value(text));
        Ok((port_id(&self.port)?, elements.collect::<Result<_, _>>()?))
    }
}

fn port_id(text: &str) -> Result<PortId, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{text:?} is no port ID: {error}")))
}

/// A value, or values, as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(values: &T) -> Result<String, Failure> {
    let mut out = Vec::new();
    let unlimited = Limits { octets: usize::MAX, ..Limits::default() };
    // As the only element of a packet, without its brackets.
    Framing::Json.encode(&(values,), &unlimited, &mut out).map_err(Failure::refused)?;
    Ok(escaped_json(&String::from_utf8_lossy(&out[1..out.len() - 1])))
}

/// What people read when a port does not answer.
fn no_answer(port: &PortId, error: &CallError) -> Failure {
    match error {
        CallError::NoAnswer(NoAnswer::Ended(reasons)) => has_ended(port, reasons),
        error => Failure::refused(error),
    }
}

/// What people read when a port has ended.
fn has_ended(port: &PortId, reasons: &Reasons) -> Failure {
    let texts: Vec<_> = reasons.values().iter().map(|reason| reason.text().unwrap_or_default()).collect();
    match &texts[..] {
        [kind, ..] if kind == "no_such_port" => Failure::refused(format!("there is no port {port}")),
        [kind, node, why] if kind == "transport_error" && why == "no known address" => {
            Failure::unreachable(format!("{node}: {why}: `aemp nodes` lists the nodes that can be reached"))
        }
        [kind, node, why] if kind == "transport_error" => Failure::unreachable(format!("{node}: {why}")),
        _ => Failure::refused(format!("the port has ended: {reasons}")),
    }
}

/// Waits until a node has handled all that was sent to it before: its echo comes back behind that.
async fn arrived(node: &Node, port: &PortId) -> Result<(), Failure> {
    node.call(&port.node().port(""), &"snd", None).await.map(drop).map_err(|error| no_answer(port, &error))
}

/// A message for a node is a request: one that it does not know would be nothing to it, and never be answered.
async fn check_request(node: &Node, to: &PortId, elements: &[Value]) -> Result<(), Failure> {
    if !to.port().is_empty() {
        return Ok(());
    }
    let name = elements.first().and_then(Value::text).unwrap_or_default();
    let is_known = if name.is_empty() {
        false
    } else {
        let answer = node.call(to, &("can", &*name), None).await.map_err(|error| no_answer(to, &error))?;
        answer.decode::<(bool,)>().map_err(Failure::refused)?.0
    };
    if is_known {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{to} is a node, not a port, and has no request {name:?}: write {to}#PORT, such as {to}#echo"
    )))
}

pub(crate) async fn snd(join: Join, message: Message) -> Result<(), Failure> {
    let (to, elements) = message.parse()?;
    let node = join.join().await?;
    check_request(&node, &to, &elements).await?;
    let mut ended = node.watch(&to).await.map_err(Failure::refused)?;
    let port = to.clone();
    node.with(move |context| context.send(&port, &elements)).await.map_err(Failure::refused)?.map_err(Failure::refused)?;
    arrived(&node, &to).await?;
    // If there is no such port, its node has said so before the echo.
    match tokio::time::timeout(Duration::ZERO, &mut ended).await {
        Ok(Ok(reasons)) if !reasons.is_normal() => Err(has_ended(&to, &reasons)),
        _ => Ok(()),
    }
}

pub(crate) async fn cal(join: Join, message: Message, timeout: Option<Duration>) -> Result<(), Failure> {
    let (to, elements) = message.parse()?;
    let call = async {
        let node = join.join().await?;
        check_request(&node, &to, &elements).await?;
        node.call(&to, &elements, timeout).await.map_err(|error| no_answer(&to, &error))
    };
    let answer = match timeout {
        None => call.await?,
        // Joining is part of the time.
        Some(timeout) => match tokio::time::timeout(timeout, call).await {
            Ok(answer) => answer?,
            Err(_) => return Err(Failure::refused(format!("no answer within {timeout:?}"))),
        },
    };
    say(json(&answer.values())?)
}

pub(crate) async fn mon(join: Join, port: &str) -> Result<(), Failure> {
    let port = port_id(port)?;
    let node = join.join().await?;
    let mut ended = node.watch(&port).await.map_err(Failure::refused)?;
    arrived(&node, &port).await?;
    if let Ok(known) = tokio::time::timeout(Duration::ZERO, &mut ended).await {
        // It had ended before anybody watched it, or never was.
        let reasons = known.map_err(Failure::refused)?;
        say(json(reasons.values())?)?;
        return if reasons.is_normal() { Ok(()) } else { Err(has_ended(&port, &reasons)) };
    }
    tell(format_args!("watching {port}"));
    let reasons = ended.await.map_err(Failure::refused)?;
    say(json(reasons.values())?)
}
