//! The port `control`: what the suite has the node do.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

use aemp_node::proto::actor::{Context, MonitorHandle, Outcome, Reasons};
use aemp_node::proto::framing::Elements;
use aemp_node::proto::global::FamilyWatch;
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::proto::value::Value;
use serde::Serialize;

use super::functions;

/// The names that the suite has given to watches.
#[derive(Default)]
struct Named {
    watches: BTreeMap<String, MonitorHandle>,
    families: BTreeMap<String, FamilyWatch>,
}

type Shared = Rc<RefCell<Named>>;

const NAME: &str = "control";

/// Has the port do something for a tag. What cannot be done does not end it.
pub(super) fn verb(
    context: &mut Context<'_>,
    tag: &'static str,
    mut does: impl FnMut(&mut Context<'_>, Elements<'_>) -> Outcome + 'static,
) {
    let control = context.node().port(NAME);
    context.receive_tag(&control, tag, move |context, elements| {
        if let Err(failure) = does(context, elements) {
            tracing::warn!(verb = tag, ?failure, "the port control cannot do that");
        }
        Ok(())
    });
}

pub(super) fn offer(context: &mut Context<'_>) {
    if context.named_port(NAME, |_, _| Ok(())).is_none() {
        return;
    }
    let named = Shared::default();
    let mut verb = |tag: &'static str, does: fn(&mut Context<'_>, Elements<'_>, &Shared) -> Outcome| {
        let named = named.clone();
        verb(context, tag, move |context, elements| does(context, elements, &named));
    };
    verb("send", |context, mut elements, _| {
        let to = next(&mut elements)?;
        Ok(context.forward(&to, elements)?)
    });
    verb("flood", flood);
    verb("watch", watch);
    verb("unwatch", |context, mut elements, named| {
        let name: String = next(&mut elements)?;
        if let Some(watch) = named.borrow_mut().watches.remove(&name) {
            context.unwatch(&watch);
        }
        Ok(())
    });
    verb("end", |context, mut elements, _| {
        let port = next(&mut elements)?;
        context.end(&port, elements.rest::<Vec<Value>>()?.into());
        Ok(())
    });
    verb("new", |context, elements, _| {
        let (kind, to): (String, PortId) = elements.rest()?;
        let port = functions::new(context, &kind)?;
        Ok(context.send(&to, &(port,))?)
    });
    verb("spawn", |context, mut elements, _| {
        let node = NodeId::new(&next::<String>(&mut elements)?).map_err(text)?;
        let (function, to): (String, PortId) = (next(&mut elements)?, next(&mut elements)?);
        let port = context.spawn_with(&node, &function, elements)?;
        Ok(context.send(&to, &(port,))?)
    });
    verb("log", log);
    verb("db_set", |context, elements, _| {
        let (family, key, value): (String, String, Value) = elements.rest()?;
        context.db_set(&family, &key, &value).map(drop).map_err(text)
    });
    verb("db_del", |context, mut elements, _| {
        let family: String = next(&mut elements)?;
        let keys: Vec<String> = elements.rest()?;
        context.db_del(&family, keys.iter().map(String::as_str));
        Ok(())
    });
    verb("db_reg", |context, elements, _| {
        let (port, family, value): (PortId, String, Value) = elements.rest()?;
        context.db_reg(&port, &family, &value).map(drop).map_err(text)
    });
    verb("db_family", |context, elements, _| {
        let (family, to): (String, PortId) = elements.rest()?;
        context.db_family(&family, move |context, answer| tell(context, &to, &answer.ok()));
        Ok(())
    });
    verb("db_keys", |context, elements, _| {
        let (family, to): (String, PortId) = elements.rest()?;
        context.db_keys(&family, move |context, answer| tell(context, &to, &answer.ok()));
        Ok(())
    });
    verb("db_values", |context, elements, _| {
        let (family, to): (String, PortId) = elements.rest()?;
        context.db_values(&family, move |context, answer| tell(context, &to, &answer.ok()));
        Ok(())
    });
    verb("db_watch", |context, elements, named| {
        let (name, family, to): (String, String, PortId) = elements.rest()?;
        let tag = name.clone();
        let watch = context.db_watch(&family, move |context, changes| {
            if let Err(error) = context.send(&to, &(&tag, changes.added, changes.changed, changes.deleted)) {
                tracing::warn!(%error, "a change cannot be told");
            }
        });
        named.borrow_mut().families.insert(name, watch);
        Ok(())
    });
    verb("db_unwatch", |context, mut elements, named| {
        let name: String = next(&mut elements)?;
        if let Some(watch) = named.borrow_mut().families.remove(&name) {
            context.db_unwatch(watch);
        }
        Ok(())
    });
}

/// The next element.
pub(super) fn next<'a, T: serde::Deserialize<'a>>(
    elements: &mut Elements<'a>,
) -> Result<T, aemp_node::proto::actor::Failure> {
    Ok(elements.next_as().ok_or("too few elements")??)
}

pub(super) fn text(error: impl Display) -> aemp_node::proto::actor::Failure {
    error.to_string().into()
}

/// Sends an answer as the only element.
fn tell<T: Serialize>(context: &mut Context<'_>, to: &PortId, answer: &T) {
    if let Err(error) = context.send(to, &(answer,)) {
        tracing::warn!(%error, "an answer cannot be told");
    }
}

fn flood(context: &mut Context<'_>, elements: Elements<'_>, _: &Shared) -> Outcome {
    let (to, count, octets): (PortId, u64, usize) = elements.rest()?;
    let padding = "x".repeat(octets);
    for number in 0..count {
        context.send(&to, &(number, &padding))?;
    }
    Ok(())
}

fn watch(context: &mut Context<'_>, elements: Elements<'_>, named: &Shared) -> Outcome {
    let (name, port, to): (String, PortId, PortId) = elements.rest()?;
    let (tag, forget) = (name.clone(), named.clone());
    let watch = context.watch(&port, move |context, reasons: Reasons| {
        forget.borrow_mut().watches.remove(&tag);
        let mut message = vec![Value::from(tag)];
        message.extend_from_slice(reasons.values());
        if let Err(error) = context.send(&to, &message) {
            tracing::warn!(%error, "an end cannot be told");
        }
    });
    named.borrow_mut().watches.insert(name, watch);
    Ok(())
}

fn log(_: &mut Context<'_>, elements: Elements<'_>, _: &Shared) -> Outcome {
    let (level, text): (u8, String) = elements.rest()?;
    match level {
        ..=4 => tracing::error!("{text}"),
        5 => tracing::warn!("{text}"),
        6 | 7 => tracing::info!("{text}"),
        8 => tracing::debug!("{text}"),
        9.. => tracing::trace!("{text}"),
    }
    Ok(())
}
