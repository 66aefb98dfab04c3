//! `aemp snd`, `aemp cal` and `aemp mon`.

use aemp_node::proto::framing::{Framing, Limits, Packet};
use aemp_node::proto::names::PortId;
use aemp_node::proto::value::Value;
use clap::Args;
use serde::Serialize;

use crate::lines::escaped_json;
use crate::options::{Join, seconds};
use crate::{Failure, say, tell};

/// A message for a port.
#[derive(Args)]
pub(crate) struct Message {
    /// The port ID, such as `seed#echo`
    port: String,
    /// The elements; what begins with `[`, `{` or `"` is JSON, all else a text
    elements: Vec<String>,
}

impl Message {
    fn parse(&self) -> Result<(PortId, Vec<Value>), Failure> {
        Ok((port_id(&self.port)?, self.elements.iter().map(|text| element(text)).collect::<Result<_, _>>()?))
    }
}

fn port_id(text: &str) -> Result<PortId, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{text:?} is no port ID: {error}")))
}

pub(crate) fn element(text: &str) -> Result<Value, Failure> {
    if !text.starts_with(['[', '{', '"']) {
        return Ok(text.into());
    }
    // As the only element of a packet, so that it is read as from the wire.
    let packet = format!("[{text}]");
    let packet = Packet::parse(Framing::Json, packet.as_bytes(), &Limits::default())
        .map_err(|error| Failure::usage(format!("{text:?} is no JSON: {error}")))?;
    packet.decode::<(Value,)>().map(|(value,)| value).map_err(|_| Failure::usage(format!("{text:?} is more than one value")))
}

/// A value, or values, as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(values: &T) -> Result<String, Failure> {
    let mut out = Vec::new();
    let unlimited = Limits { octets: usize::MAX, ..Limits::default() };
    // As the only element of a packet, without its brackets.
    Framing::Json.encode(&(values,), &unlimited, &mut out).map_err(Failure::refused)?;
    Ok(escaped_json(&String::from_utf8_lossy(&out[1..out.len() - 1])))
}

pub(crate) async fn snd(join: Join, message: Message) -> Result<(), Failure> {
    let (to, elements) = message.parse()?;
    let node = join.join().await?;
    let port = to.clone();
    node.with(move |context| context.send(&port, &elements)).await.map_err(Failure::refused)?.map_err(Failure::refused)?;
    // An echo comes back only when everything before it has arrived.
    node.call(&to.node().port(""), &"snd", None).await.map(drop).map_err(Failure::refused)
}

pub(crate) async fn cal(join: Join, message: Message, timeout: Option<f64>) -> Result<(), Failure> {
    let (to, elements) = message.parse()?;
    let timeout = timeout.map(|timeout| seconds("--timeout", timeout)).transpose()?;
    let call = async {
        let node = join.join().await?;
        node.call(&to, &elements, timeout).await.map_err(Failure::refused)
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
    let ended = node.watch(&port).await.map_err(Failure::refused)?;
    tell(format_args!("watching {port}"));
    let reasons = ended.await.map_err(Failure::refused)?;
    say(json(reasons.values())?)
}
