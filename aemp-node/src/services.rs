//! Ports that are useful everywhere.

use aemp_proto::framing::Elements;
use aemp_proto::names::PortId;
use aemp_proto::node::{Context, Outcome};
use aemp_proto::value::Value;

/// The code of a port that takes the last element of a message as the port to answer, and sends the others back.
///
/// # Errors
///
/// When the answer is too large to send. A message without such a port is nothing to it.
pub fn echo(context: &mut Context<'_>, elements: Elements<'_>) -> Outcome {
    let mut elements: Vec<Value> = elements.rest()?;
    if let Some(Value::Text(port)) = elements.pop()
        && let Ok(port) = port.parse::<PortId>()
    {
        context.send(&port, &elements)?;
    }
    Ok(())
}

/// The code of a port that hands every message to `print`, as a line of JSON.
pub fn log(mut print: impl FnMut(&str)) -> impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome {
    use aemp_proto::framing::{Framing, Limits};
    move |_, elements| {
        let mut line = Vec::new();
        elements.relay(&[], Framing::Json, &Limits::default(), &mut line)?;
        print(&String::from_utf8_lossy(&line));
        Ok(())
    }
}
