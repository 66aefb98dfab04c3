//! Chapter 7, section 7.2: what a node sends on behalf of others, and port IDs in requests (section 6.1).

use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::Secure;
use crate::subject::Level::Node;
use crate::subject::Subject;
use crate::test::{Test, unique};

/// The cases of relays.
pub(super) const CASES: &[Case] = &[
    Case::new("relays/echo", &["NODE-3"], "What is to be sent to a port of the sender comes back as it was.", echo)
        .level(Node),
    Case::new(
        "relays/sign-of-life",
        &["NODE-3", "MSG-9"],
        "To be sent nothing, to the own node port, is answered with a keepalive.",
        sign_of_life,
    )
    .level(Node),
    Case::new("relays/to-another-node", &["NODE-3"], "Elements are passed on to a port of another node.", to_another_node)
        .level(Node),
    Case::new("relays/to-own-port", &["NODE-3"], "Elements are passed on to a port of the node itself.", to_own_port)
        .level(Node),
    Case::new(
        "relays/first-number-sign",
        &["MSG-8"],
        "A port ID is split at its first number sign; others belong to the name of the port.",
        first_number_sign,
    )
    .level(Node),
    Case::new(
        "relays/no-number-sign",
        &["MSG-9"],
        "A text without a number sign is a node, and no port, whatever ports have that name.",
        no_number_sign,
    )
    .level(Node),
    Case::new(
        "relays/no-node-id",
        &["MSG-14"],
        "A text whose part in front of the number sign is no node ID names no port.",
        no_node_id,
    )
    .level(Node),
    Case::new(
        "relays/to-other-node-ports",
        &["NODE-10"],
        "Nothing is sent to the node port of another node on behalf of a third one, by no request.",
        to_other_node_ports,
    )
    .level(Node),
    Case::new(
        "relays/by-way-of-another-node",
        &["NODE-12"],
        "What another node is asked to send to a port, its own or of any node, is passed on to it.",
        by_way_of_another_node,
    )
    .level(Node),
    Case::new(
        "relays/by-way-of-another-node-to-node-ports",
        &["NODE-10"],
        "What another node is asked to send to a node port, or to what is no port, is not passed on to it.",
        to_node_ports_by_way_of_another_node,
    )
    .level(Node),
    Case::new(
        "relays/to-the-own-node-port",
        &["NODE-10"],
        "Nothing is sent to the node's own node port on behalf of another one: no port ends by that, nothing is called.",
        to_the_own_node_port,
    )
    .level(Node),
    Case::new(
        "relays/back-to-the-node-port",
        &["NODE-3", "NODE-4", "MSG-9"],
        "What a node asks to be sent to its own node port comes there.",
        back_to_the_node_port,
    )
    .level(Node),
    Case::new(
        "relays/secure-answers",
        &["NODE-3", "NODE-4", "NODE-5", "NODE-11"],
        "In secure mode, too, a node answers echo, can, time and eval to whoever asks.",
        secure_answers,
    )
    .level(Node)
    .needs(&[Secure]),
    Case::new(
        "relays/secure-refuses",
        &["NODE-9"],
        "In secure mode a node sends nothing on behalf of a node to any other, nor to its own ports.",
        secure_refuses,
    )
    .level(Node)
    .needs(&[Secure]),
    Case::new(
        "relays/secure-functions",
        &["NODE-9", "MON-2"],
        "In secure mode a node calls no functions for others, and to spawn is as if the function did not exist.",
        secure_functions,
    )
    .level(Node)
    .needs(&[Secure]),
    Case::new(
        "relays/secure-ports",
        &["MON-1", "KILL-1"],
        "In secure mode ports can be used, watched and ended.",
        secure_ports,
    )
    .level(Node)
    .needs(&[Secure]),
];

/// What survives every framing and every language.
fn elements() -> Vec<Json> {
    vec![
        json!("text"),
        json!(""),
        json!("ä€𐀀\n\u{0}\""),
        Json::Null,
        json!(["a", [], {}]),
        json!({"key": {"ä": ["b", null]}}),
    ]
}

/// A request with these elements behind it.
fn with(request: Json, more: &[Json]) -> Json {
    let Json::Array(mut packet) = request else { return request };
    packet.extend_from_slice(more);
    packet.into()
}

fn echo(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.send(&with(json!(["", "snd", peer.port("came")]), &elements()))?;
    peer.expect("came", &elements().into())?;
    peer.send(&json!(["", "snd", peer.port("came")]))?;
    peer.expect("came", &json!([]))
}

fn sign_of_life(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.settle()?;
    let nothing = |value: &Json| value.is_null() || value == "";
    peer.take(|message| message.elements.iter().all(nothing));
    for to in [peer.node().to_owned(), peer.port("")] {
        peer.send(&json!(["", "snd", to]))?;
        peer.find("a keepalive", |message| message.elements.iter().all(nothing))?;
    }
    Ok(())
}

fn to_another_node(t: &mut Test<'_>) -> Step {
    let (mut first, mut second) = (t.up()?, t.up()?);
    first.send(&with(json!(["", "snd", second.port("came")]), &elements()))?;
    second.expect("came", &elements().into())?;
    // The other requests that are told whom to answer take anyone, too.
    first.send(&json!(["", "can", "mon1", second.port("came"), "asked"]))?;
    second.expect("came", &json!(["asked", "1"]))?;
    first.send(&json!(["echo", "said", second.port("came")]))?;
    second.expect("came", &json!(["said"]))?;
    first.nothing_for("came")
}

fn to_own_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("failing")?;
    peer.send(&json!(["", "mon1", port]))?;
    peer.send(&json!(["", "snd", peer.their("echo")?, "by way of the node", peer.port("came")]))?;
    peer.expect("came", &json!(["by way of the node"]))?;
    peer.send(&json!(["", "snd", peer.their(&port)?, "fail"]))?;
    let told = peer.ended_port(&port)?;
    check(told.first().is_some_and(|reason| reason == "die"), "the reason \"die\"", json!(told))?;
    // A port that is not there.
    peer.send(&json!(["", "snd", peer.their(&unique("never-was")?)?, "x", peer.port("came")]))?;
    peer.nothing_for("came")
}

fn first_number_sign(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for name in ["a#b", "#", "##a#", "a#"] {
        peer.send(&json!(["", "snd", peer.port(name), "request"]))?;
        peer.expect(name, &json!(["request"]))?;
        peer.send(&json!(["echo", "echo", peer.port(name)]))?;
        peer.expect(name, &json!(["echo"]))?;
        peer.control(&json!(["send", peer.port(name), "send"]))?;
        peer.expect(name, &json!(["send"]))?;
    }
    Ok(())
}

fn no_number_sign(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    // Nodes of these names are not there, but ports are.
    peer.send(&json!(["", "snd", "echo", "x", peer.port("came")]))?;
    peer.send(&json!(["", "snd", "control", "send", peer.port("came"), "x"]))?;
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "snd", port, "x", peer.port("came")]))?;
    peer.nothing_for("came")
}

fn no_node_id(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let subject = peer.subject()?;
    for node in [String::new(), ";".into(), format!("{subject};"), format!("{subject}\n"), format!("\u{1}{subject}")] {
        let to = format!("{node}#echo");
        peer.send(&json!(["", "snd", to, "x", peer.port("came")]))?;
        peer.control(&json!(["send", to, "x", peer.port("came")]))?;
        let own = peer.node().to_owned();
        for to in [format!("{node}#came"), format!("{own};#came"), format!("{own}\n#came")] {
            peer.send(&json!(["", "snd", to, "x"]))?;
            peer.send(&json!(["echo", "x", to]))?;
        }
        peer.control(&json!(["watch", unique("watch")?, to, peer.port("came")]))?;
    }
    peer.nothing_for("came")?;
    let mon1 = peer.take(|message| message.tag() == "mon1");
    check(mon1.is_empty(), "no watch on what is no port", mon1.len())
}

fn to_other_node_ports(t: &mut Test<'_>) -> Step {
    let (mut first, mut second) = (t.up()?, t.up()?);
    let label = unique("label")?;
    for to in [second.node().to_owned(), second.port("")] {
        first.send(&json!(["", "snd", to, "devnull", label]))?;
        first.send(&json!(["", "can", "mon1", to, "devnull", label]))?;
        first.send(&json!(["", "time", to, "devnull", label]))?;
        first.send(&json!(["", "eval", "1+1", to, "devnull", label]))?;
        first.send(&json!(["", "eval", "AnyEvent::MP::Kernel::up_nodes", to, "devnull", label]))?;
    }
    first.settle()?;
    second.settle()?;
    let came = second.take(|message| message.elements.get(2).is_some_and(|element| *element == label));
    let came: Vec<_> = came.iter().map(crate::peer::Message::shown).collect();
    check(came.is_empty(), "nothing at the node port of another node", came.join(" "))
}

fn by_way_of_another_node(t: &mut Test<'_>) -> Step {
    let (mut first, mut second) = (t.up()?, t.up()?);
    let (own, theirs) = (second.node().to_owned(), second.port(""));
    for through in [&own, &theirs] {
        for to in [first.port("came"), second.port("came"), unique("third")? + "#came"] {
            let label = unique("label")?;
            first.send(&json!(["", "snd", through, "snd", to, label, ["x"]]))?;
            first.settle()?;
            let passed = second.request("snd", |arguments| arguments.get(1).is_some_and(|element| *element == label))?;
            check(json!(passed) == json!([to, label, ["x"]]), json!(["", "snd", to, label, ["x"]]), json!(passed))?;
        }
    }
    Ok(())
}

fn to_node_ports_by_way_of_another_node(t: &mut Test<'_>) -> Step {
    let (mut first, mut second) = (t.up()?, t.up()?);
    let label = unique("label")?;
    let through = second.node().to_owned();
    let nodes =
        [first.node().to_owned(), first.port(""), through.clone(), second.port(""), first.subject()?, unique("third")?];
    for to in nodes.into_iter().map(Json::from).chain([json!(""), json!("#came"), json!(["a#b"]), Json::Null]) {
        first.send(&json!(["", "snd", through, "snd", to, "devnull", label]))?;
        first.send(&json!(["", "snd", through, "snd", through, "snd", to, "devnull", label]))?;
    }
    first.send(&json!(["", "snd", through, "kil1", "came", label]))?;
    first.settle()?;
    second.settle()?;
    let came = second.take(|message| message.port().is_empty() && message.elements.contains(&json!(label)));
    let came: Vec<_> = came.iter().map(crate::peer::Message::shown).collect();
    check(came.is_empty(), "nothing of that at the node port of another node", came.join(" "))
}

fn to_the_own_node_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "mon1", port]))?;
    let came = peer.port("came");
    for to in [peer.subject()?, peer.their("")?] {
        for request in [
            json!(["kil1", port, "x"]),
            json!(["snd", came, "x"]),
            json!(["can", "mon1", came]),
            json!(["time", came]),
            json!(["eval", "1+1", came]),
            json!(["conformance::tell", came, "x"]),
            json!(["AnyEvent::MP::_spawn", unique("spawned")?, "conformance::port", came, "x"]),
            json!(["snd", to, "snd", came, "x"]),
        ] {
            peer.send(&with(json!(["", "snd", to]), request.as_array().map_or(&[], Vec::as_slice)))?;
        }
        // Also not in the answer to another request.
        peer.send(&json!(["", "can", "no such request", to, "snd", came, "x"]))?;
        peer.send(&json!(["", "time", to, "snd", came, "x"]))?;
        peer.send(&json!(["", "eval", "1+1", to, "snd", came, "x"]))?;
    }
    peer.nothing_for("came")?;
    let ends = peer.all_ends(&port)?;
    check(ends.is_empty(), "the port to go on", json!(ends))
}

fn back_to_the_node_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for to in [peer.node().to_owned(), peer.port("")] {
        let label = unique("label")?;
        peer.send(&json!(["", "snd", to, "devnull", label, "x"]))?;
        let came = peer.request("devnull", |arguments| arguments.first().is_some_and(|first| *first == label))?;
        check(came[1..] == [json!("x")], json!(["", "devnull", label, "x"]), json!(came))?;
        peer.send(&json!(["", "can", "mon1", to, "devnull", label]))?;
        let came = peer.request("devnull", |arguments| arguments.first().is_some_and(|first| *first == label));
        let came = came.breaks("NODE-4")?;
        check(came[1..] == [json!("1")], json!(["", "devnull", label, "1"]), json!(came)).breaks("NODE-4")?;
    }
    Ok(())
}

fn secure(t: &mut Test<'_>) -> Step<(Arc<Subject>, Peer)> {
    let subject = t.subject(|start| start.secure = true)?;
    let peer = t.up_at(&subject)?;
    Ok((subject, peer))
}

fn secure_answers(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = secure(t)?;
    let to = peer.port("came");
    peer.send(&json!(["", "snd", to, "hello"]))?;
    peer.expect("came", &json!(["hello"]))?;
    peer.send(&json!(["", "can", "mon1", to, "asked"]))?;
    peer.expect("came", &json!(["asked", "1"])).breaks("NODE-4")?;
    peer.send(&json!(["", "time", to, "asked"]))?;
    let answer = peer.message("came").breaks("NODE-5")?;
    check(answer.len() == 2 && answer[0] == "asked", "[\"asked\", the time]", json!(answer)).breaks("NODE-5")?;
    peer.send(&json!(["", "eval", "AnyEvent::MP::Kernel::up_nodes", to, "asked"]))?;
    let answer = peer.message("came").breaks("NODE-11")?;
    let right = answer.starts_with(&[json!("asked"), json!("")]) && answer.contains(&json!(peer.node()));
    check(right, "[\"asked\", \"\", node IDs...]", json!(answer)).breaks("NODE-11")?;
    peer.send(&json!(["", "eval", "1+1", to, "asked"]))?;
    let answer = peer.message("came").breaks("NODE-6")?;
    let right = answer.len() >= 2 && answer[0] == "asked";
    check(right, "[\"asked\", an error text, results...]", json!(answer)).breaks("NODE-6")
}

fn secure_refuses(t: &mut Test<'_>) -> Step {
    let (subject, mut first) = secure(t)?;
    let mut second = t.up_at(&subject)?;
    for to in [second.port("came"), second.node().to_owned()] {
        first.send(&json!(["", "snd", to, "devnull", "secret"]))?;
        first.send(&json!(["", "can", "mon1", to, "devnull", "secret"]))?;
        first.send(&json!(["", "time", to, "devnull", "secret"]))?;
        first.send(&json!(["", "eval", "1+1", to, "devnull", "secret"]))?;
        first.send(&json!(["", "eval", "AnyEvent::MP::Kernel::up_nodes", to, "devnull", "secret"]))?;
    }
    first.send(&json!(["", "snd", first.their("echo")?, "x", first.port("came")]))?;
    first.send(&json!(["", "snd", first.subject()?, "snd", first.port("came"), "x"]))?;
    first.nothing_for("came")?;
    second.nothing_for("came")?;
    let came = second.take(|message| message.tag() == "devnull");
    check(came.is_empty(), "nothing at the node port of another node", came.len())
}

fn secure_functions(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = secure(t)?;
    let port = unique("spawned")?;
    peer.send(&json!(["", "conformance::tell", peer.port("came"), "x"]))?;
    peer.send(&json!(["", "AnyEvent::MP::_spawn", port, "conformance::port", peer.port("came"), "x"]))?;
    peer.nothing_for("came")?;
    peer.send(&json!(["", "mon1", port]))?;
    let told = peer.ended_port(&port).breaks("MON-2")?;
    check(told.first().is_some_and(|reason| reason == "no_such_port"), "the reason \"no_such_port\"", json!(told))
}

fn secure_ports(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = secure(t)?;
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "mon1", port]))?;
    peer.send(&json!([port, "used", peer.port("came")]))?;
    peer.expect("came", &json!(["used"]))?;
    peer.send(&json!(["", "kil1", port, "ended"]))?;
    let told = peer.ended_port(&port)?;
    check(json!(told) == json!(["ended"]), json!(["ended"]), json!(told))
}
