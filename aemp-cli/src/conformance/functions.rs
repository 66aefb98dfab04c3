//! Ports of each kind that the suite asks for, and the functions that it may call and spawn.

use std::rc::Rc;

use aemp_node::echo;
use aemp_node::proto::actor::{Access, Context, Failure, Reasons};
use aemp_node::proto::names::PortId;
use aemp_node::proto::value::Value;

/// Makes a port that was not made by name or by spawning.
pub(super) fn new(context: &mut Context<'_>, kind: &str) -> Result<PortId, Failure> {
    let port = context.port_without_code();
    match kind {
        "bare" => {}
        "tagged" => context.receive_tag(&port, "known", echo),
        "echo" => context.receive(&port, echo),
        "failing" => context.receive(&port, |_, _| Err("oops".into())),
        "collecting" => {
            let mut collected = 0_u64;
            context.receive(&port, move |context, elements| {
                let message: Vec<Value> = elements.rest()?;
                match &message[..] {
                    [tag, to] if tag.text().as_deref() == Some("flush") => {
                        if let Some(to) = to.text().and_then(|to| to.parse::<PortId>().ok()) {
                            context.send(&to, &(collected,))?;
                        }
                    }
                    _ => collected += 1,
                }
                Ok(())
            });
        }
        _ => {
            context.end(&port, Reasons::normal());
            return Err(format!("there is no kind of ports {kind}").into());
        }
    }
    Ok(port)
}

/// Registers the functions.
pub(super) fn offer(context: &mut Context<'_>) {
    context.register(
        "conformance::tell",
        Access::CALL,
        Rc::new(|context, mut elements| {
            let to: PortId = elements.next_as().ok_or("nobody to tell")??;
            Ok(context.forward(&to, elements)?)
        }),
    );
    context.register("conformance::failing", Access::SPAWN, Rc::new(|_, _| Err("no start".into())));
    context.register(
        "conformance::port",
        Access::SPAWN,
        Rc::new(|context, mut elements| {
            let own = context.own_port().ok_or("only to be spawned")?;
            context.receive_tag(&own, "echo", echo);
            context.receive_tag(&own, "fail", |_, elements| Err(Failure(elements.rest::<(Value,)>()?.0)));
            let port = own.clone();
            context.receive_tag(&own, "end", move |context, elements| {
                context.end(&port, elements.rest::<Vec<Value>>()?.into());
                Ok(())
            });
            let port = own.clone();
            context.receive_tag(&own, "self", move |context, elements| {
                let (to,): (PortId,) = elements.rest()?;
                Ok(context.send(&to, &(&port,))?)
            });
            match elements.next_as::<PortId>() {
                Some(to) => Ok(context.forward(&to?, elements)?),
                None => Ok(()),
            }
        }),
    );
}
