//! Chapter 7, section 7.5: spawning.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::{Peer, same};
use crate::subject::Feature::Limits;
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of this section.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "spawning/works",
        &["SPAWN-2", "NODE-2"],
        "A port can be spawned, watched and used without waiting for anything; its function gets the values.",
        works,
    )
    .level(Node),
    Case::new(
        "spawning/own-name",
        &["SPAWN-2"],
        "The function runs in the name of the new port, which has the name that the sender chose.",
        own_name,
    )
    .level(Node),
    Case::new(
        "spawning/sends-to-itself",
        &["PORT-4", "SPAWN-2"],
        "What the function sends to the new port itself is handled when the function has come to its end.",
        sends_to_itself,
    )
    .level(Node),
    Case::new(
        "spawning/unknown-function",
        &["SPAWN-3", "NODE-7", "NODE-16"],
        "A function that is not there, or not meant for that, makes no port: a watch finds none.",
        unknown_function,
    )
    .level(Node),
    Case::new(
        "spawning/taken-name",
        &["SPAWN-3"],
        "A name that a port has stays with that port, and the function does not run.",
        taken_name,
    )
    .level(Node),
    Case::new(
        "spawning/bounded",
        &["SPAWN-5", "SPAWN-3"],
        "A node that has spawned as many ports as it may gets no more until one of them has ended; others do.",
        bounded,
    )
    .level(Node)
    .needs(&[Limits]),
    Case::new("spawning/node-port", &["SPAWN-3"], "Nothing is spawned in the place of the node port.", node_port)
        .level(Node),
    Case::new(
        "spawning/failing-function",
        &["SPAWN-4"],
        "A function that fails ends the port with the reason die; whoever watches it later finds none.",
        failing_function,
    )
    .level(Node)
    .allows(&["the watch came before the end", "the watch came after the end"]),
    Case::new(
        "spawning/failing-later",
        &["PORT-2"],
        "A spawned port whose code fails ends with the reason die, and what went wrong.",
        failing_later,
    )
    .level(Node),
    Case::new(
        "spawning/sent",
        &["SPAWN-1"],
        "A node that spawns on another one sends the name, the function and the values, with a new name each time.",
        sent,
    )
    .level(Node),
];

const SPAWN: &str = "AnyEvent::MP::_spawn";

fn works(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("spawned")?;
    peer.send_together(&[
        json!(["", SPAWN, port, "conformance::port", peer.port("came"), "started", ["with", "values"]]),
        json!(["", "mon1", port]),
        json!([port, "echo", "used", peer.port("came")]),
        json!(["", "kil1", port, "ended"]),
    ])?;
    peer.expect("came", &json!(["started", ["with", "values"]]))?;
    peer.expect("came", &json!(["used"])).breaks("NODE-2")?;
    let told = peer.ended_port(&port)?;
    check(json!(told) == json!(["ended"]), json!(["ended"]), json!(told)).breaks("NODE-2")
}

fn own_name(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("spawned")?;
    peer.send(&json!(["", SPAWN, port, "conformance::port"]))?;
    peer.send(&json!([port, "self", peer.port("came")]))?;
    let own = peer.their(&port)?;
    peer.expect("came", &json!([own]))
}

fn sends_to_itself(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("spawned")?;
    peer.send(&json!(["", SPAWN, port, "conformance::port", peer.their(&port)?, "echo", "to myself", peer.port("came")]))?;
    peer.expect("came", &json!(["to myself"]))
}

/// A watch finds no port of this name.
fn no_port(peer: &mut Peer, port: &str) -> Step {
    peer.send(&json!(["", "mon1", port]))?;
    let told = peer.ended_port(port)?;
    let own = peer.their(port)?;
    let right = told.len() == 3 && told[0] == "no_such_port" && told[1].is_string() && same(&told[2], &own);
    check(right, json!(["no_such_port", "cannot monitor nonexistent port", own]), Json::from(told))
}

fn unknown_function(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let others = ["no::such::function", "conformance", "conformance::none", "", "echo", "mon1", "exit", "main::exit"];
    for function in others.into_iter().chain(["conformance::tell"]) {
        let port = unique("spawned")?;
        peer.send(&json!(["", SPAWN, port, function, peer.port("came"), "x"]))?;
        no_port(&mut peer, &port)?;
    }
    peer.nothing_for("came")
}

/// Spawns a port, and says whether it is there.
fn spawns(peer: &mut Peer) -> Step<(String, bool)> {
    let (port, came) = (unique("spawned")?, unique("came")?);
    peer.send(&json!(["", SPAWN, port, "conformance::port", peer.port(&came), "started"]))?;
    let messages = peer.all_messages(&came)?;
    Ok((port, !messages.is_empty()))
}

fn bounded(t: &mut Test<'_>) -> Step {
    const BOUND: usize = 5;
    let subject = t.subject(|start| start.limits.spawned = Some(BOUND as u64))?;
    let mut peer = t.up_at(&subject)?;
    let mut ports = Vec::new();
    for _ in 0..BOUND {
        let (port, is_there) = spawns(&mut peer)?;
        check(is_there, "a new port, within the limit `spawned`", "none").breaks("SPAWN-2")?;
        ports.push(port);
    }
    let (beyond, is_there) = spawns(&mut peer)?;
    t.should("SPAWN-5", !is_there, format!("no port beyond the {BOUND} that `spawned` allows"), "one more port");
    if !is_there {
        no_port(&mut peer, &beyond)?;
    }
    let mut other = t.up_at(&subject)?;
    let (_, is_there) = spawns(&mut other)?;
    check(is_there, "a port for another node, which has spawned none yet", "none").breaks("SPAWN-2")?;
    // One that has ended does not count.
    for port in ports {
        peer.send(&json!(["", "kil1", port]))?;
    }
    let (_, is_there) = spawns(&mut peer)?;
    check(is_there, "a new port, after all others have ended", "none").breaks("SPAWN-2")
}

fn taken_name(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let to = peer.port("came");
    let spawned = unique("spawned")?;
    peer.send(&json!(["", SPAWN, spawned, "conformance::port"]))?;
    let made = peer.new_port("collecting")?;
    for port in [&spawned, &made, "echo"] {
        peer.send(&json!(["", SPAWN, port, "conformance::port", to, "started"]))?;
    }
    peer.nothing_for("came")?;
    peer.send(&json!([made, "x"]))?;
    peer.send(&json!([made, "flush", to]))?;
    let collected = peer.message("came")?;
    check(collected.len() == 1 && same(&collected[0], "1"), "the port that was there, with 1 message", json!(collected))?;
    // A function that fails does not end the port that was there.
    peer.send(&json!(["", "mon1", made]))?;
    peer.send(&json!(["", SPAWN, made, "conformance::failing"]))?;
    let ends = peer.all_ends(&made)?;
    check(ends.is_empty(), "the port that was there to go on", json!(ends))
}

fn node_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.send(&json!(["", SPAWN, "", "conformance::port", peer.port("came"), "started"]))?;
    peer.send(&json!(["", SPAWN, null, "conformance::port", peer.port("came"), "started"]))?;
    peer.nothing_for("came")?;
    t.up()?.settle()
}

fn failing_function(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("spawned")?;
    peer.send_together(&[json!(["", SPAWN, port, "conformance::failing"]), json!(["", "mon1", port])])?;
    let told = peer.ended_port(&port)?;
    match told.first().and_then(Json::as_str) {
        Some("no_such_port") => t.outcome("the watch came after the end"),
        _ => {
            let right = told.len() == 2 && told[0] == "die" && told[1].to_string().contains("no start");
            check(right, "the reasons \"die\" and a text that tells of no start", json!(told))?;
            t.outcome("the watch came before the end");
        }
    }
    no_port(&mut peer, &port)
}

fn failing_later(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("spawned")?;
    peer.send_together(&[
        json!(["", SPAWN, port, "conformance::port"]),
        json!(["", "mon1", port]),
        json!([port, "fail", "went wrong"]),
    ])?;
    let told = peer.ended_port(&port)?;
    let right = told.len() == 2 && told[0] == "die" && told[1].to_string().contains("went wrong");
    check(right, "the reasons \"die\" and something that tells of what went wrong", json!(told))
}

fn sent(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let mut names = BTreeSet::new();
    for number in 0..20 {
        let value = format!("value {number}");
        peer.control(&json!(["spawn", peer.node(), "some::function", peer.port("made"), value, [value]]))?;
        let arguments = peer.request(SPAWN, |_| true)?;
        let right = arguments.get(1..) == Some(&[json!("some::function"), json!(value), json!([value])]);
        check(right, json!(["", SPAWN, "NAME", "some::function", value, [value]]), json!(arguments))?;
        let made = peer.message("made")?;
        let name = made.first().and_then(Json::as_str).and_then(|id| id.strip_prefix(peer.node())?.strip_prefix('#'));
        let name = name.unwrap_or_default().to_owned();
        check(!name.is_empty() && same(&arguments[0], &name), json!([peer.port("NAME")]), json!(made))?;
        check(names.insert(name.clone()), "a name that no other port has had", name)?;
    }
    Ok(())
}
