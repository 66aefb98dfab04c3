//! Ports that are useful everywhere.

use std::rc::Rc;

use aemp_proto::actor::{Access, Context, Outcome};
use aemp_proto::framing::Elements;
use aemp_proto::names::PortId;
use aemp_proto::value::Value;

/// The code of a port that sends the elements of each message, but the last, to the port that the last one names.
///
/// A message whose last element is no port ID is ignored. An answer that cannot be sent is logged. No message ends the port.
///
/// # Errors
///
/// Never: it returns an [`Outcome`] because the code of a port does.
pub fn echo(context: &mut Context<'_>, elements: Elements<'_>) -> Outcome {
    if let Err(failure) = answer(context, elements) {
        tracing::warn!(node = %context.node(), ?failure, "the port echo cannot answer a message");
    }
    Ok(())
}

fn answer(context: &mut Context<'_>, elements: Elements<'_>) -> Outcome {
    let mut elements: Vec<Value> = elements.rest()?;
    // As text or bytes (`VALUE-7`).
    let to = elements.pop().and_then(|to| to.text()?.parse::<PortId>().ok());
    if let Some(to) = to {
        context.send(&to, &elements)?;
    }
    Ok(())
}

/// Lets other nodes set and delete entries of the database in the name of this one, with the functions `db_set` (family,
/// key, value) and `db_del` (family, keys), as nodes of the reference do.
pub fn serve_database(context: &mut Context<'_>) {
    let set = |context: &mut Context<'_>, elements: Elements<'_>| {
        let (family, key, value): (String, String, Value) = elements.rest()?;
        // It stays until it is deleted, or this node goes.
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
