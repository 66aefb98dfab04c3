//! Ready-made port handlers and functions.

use std::rc::Rc;

use aemp_proto::actor::{Access, Context, Outcome};
use aemp_proto::framing::Elements;
use aemp_proto::names::PortId;
use aemp_proto::value::Value;

/// Sends the elements of each message, without the last one, to the port that the last one names. Use this as a port
/// handler.
///
/// Ignores a message whose last element is not a port ID, and logs an answer that cannot be sent. No message ends the
/// port.
///
/// # Errors
///
/// Never returns an error. The return type is that of a port handler.
pub fn echo(context: &mut Context<'_>, elements: Elements<'_>) -> Outcome {
    if let Err(failure) = answer(context, elements) {
        tracing::warn!(node = %context.node(), ?failure, "the port echo cannot answer a message");
    }
    Ok(())
}

fn answer(context: &mut Context<'_>, elements: Elements<'_>) -> Outcome {
    let mut elements: Vec<Value> = elements.rest()?;
    // The element may be text or bytes (`VALUE-7`).
    let to = elements.pop().and_then(|to| to.text()?.parse::<PortId>().ok());
    if let Some(to) = to {
        context.send(&to, &elements)?;
    }
    Ok(())
}

/// Registers the functions `db_set` (family, key, value) and `db_del` (family, keys). With them, other nodes set and
/// delete database entries of this node, as on nodes of the reference implementation.
pub fn serve_database(context: &mut Context<'_>) {
    let set = |context: &mut Context<'_>, elements: Elements<'_>| {
        let (family, key, value): (String, String, Value) = elements.rest()?;
        // Dropping the `DbEntry` does not remove the entry. It stays until it is deleted or this node stops.
        context.db_set(&family, &key, &value).map(drop).map_err(|error| error.to_string().into())
    };
    let delete = |context: &mut Context<'_>, mut elements: Elements<'_>| {
        let Some(family) = elements.name().map(std::borrow::Cow::into_owned) else {
            return Err("there is no family".into());
        };
        let keys: Vec<String> = elements.rest()?;
        context.db_del(&family, keys.iter().map(String::as_str));
        Ok(())
    };
    context.register("db_set", Access::CALL, Rc::new(set));
    context.register("db_del", Access::CALL, Rc::new(delete));
}

/// Creates a port handler that passes every message to `print`, as a line of JSON.
pub fn log(mut print: impl FnMut(&str)) -> impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome {
    use aemp_proto::framing::{Framing, Limits};
    move |_, elements| {
        let mut line = Vec::new();
        elements.relay(&[], Framing::Json, &Limits::default(), &mut line)?;
        print(&String::from_utf8_lossy(&line));
        Ok(())
    }
}
