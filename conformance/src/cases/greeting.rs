//! Chapter 2: connection and greeting.

use crate::case::Case;
use crate::failure::{Step, check};
use crate::subject::Feature::Listen;
use crate::subject::Level::Simple;
use crate::test::Test;

/// The cases of this chapter.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "greeting/echo",
        &["CONN-1", "GREET-1", "AUTH-1", "AUTH-12", "FRAME-1", "MSG-1"],
        "A connection comes up, and a message to the port echo is answered.",
        echo,
    )
    .level(Simple)
    .stays(),
    Case::new(
        "greeting/speaks-first",
        &["CONN-1"],
        "An acceptor greets without waiting for the greeting of the other side.",
        speaks_first,
    )
    .needs(&[Listen]),
    Case::new("greeting/own-node-id", &["GREET-9"], "A peer that greets with the node's own ID is refused.", own_node_id)
        .closes(),
];

fn echo(t: &mut Test<'_>) -> Step {
    let peer = t.up()?;
    t.ends(peer);
    Ok(())
}

fn speaks_first(t: &mut Test<'_>) -> Step {
    let mut peer = t.connect()?;
    let greeting = peer.read_greeting()?;
    check(!greeting.methods.is_empty(), "a list of methods", "none")
}

fn own_node_id(t: &mut Test<'_>) -> Step {
    let mut peer = t.connect()?;
    let greeting = peer.read_greeting()?;
    peer.greets.node = greeting.node.as_str().to_owned();
    peer.greet();
    t.ends(peer);
    Ok(())
}
