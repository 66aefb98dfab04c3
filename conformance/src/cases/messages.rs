//! Chapter 6: messages, as far as a node of the level *transport* shows them. The cases of chapter 7 show the rest.

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;
use serde_json::json;

use super::echo::packet;
use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Message, same};
use crate::subject::Level::{Node, Simple};
use crate::test::{Test, unique};

/// The cases of messages.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "messages/keepalives",
        &["MSG-4"],
        "Empty packets, and messages to the node port that say nothing, mean nothing.",
        keepalives,
    )
    .level(Simple)
    .in_each_framing()
    .stays(),
    Case::new("messages/unknown-port", &["MSG-5"], "A message for a port that is not there is dropped.", unknown_port)
        .level(Simple)
        .in_each_framing()
        .stays(),
    Case::new(
        "messages/first-element-no-name",
        &["MSG-13"],
        "A packet whose first element can be no name is dropped.",
        first_element_no_name,
    )
    .in_each_framing()
    .stays(),
    Case::new(
        "messages/float-is-no-name",
        &["MSG-13", "MSG-3"],
        "An integer is the name of the port with its digits; a float is no name, also if it is whole.",
        float_is_no_name,
    )
    .level(Node),
    Case::new("messages/odd-elements", &["MSG-6"], "Whatever the elements are, the connection stays.", odd_elements)
        .in_each_framing()
        .stays(),
    Case::new("messages/in-order", &["MSG-7"], "Messages are answered in the order in which they arrived.", in_order)
        .level(Simple)
        .in_each_framing(),
    Case::new(
        "messages/answered-where-asked",
        &["MSG-1", "MSG-8", "MSG-15"],
        "The name of the port is what stands behind the first number sign of a port ID, whatever its characters.",
        answered_where_asked,
    )
    .level(Simple)
    .in_each_framing(),
    Case::new(
        "messages/no-port-id",
        &["MSG-14", "VALUE-6"],
        "A text with nothing in front of its first number sign is no port ID.",
        no_port_id,
    )
    .in_each_framing()
    .stays(),
];

fn keepalives(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for keepalive in
        [json!([]), json!([""]), json!([null]), json!(["", null]), json!(["", ""]), json!([null, ""]), json!([])]
    {
        peer.send(&keepalive)?;
    }
    if t.framing == Framing::Cbor {
        peer.send_octets(b"\x82\x40\x40", "[\"\",\"\"] as bytes");
    }
    // Nobody answers a keepalive by more than a keepalive.
    let came = peer.until_echo()?;
    let more = came.iter().find(|message| !message.port().is_empty());
    check(more.is_none(), "no message because of a keepalive", more.map_or_else(String::new, Message::shown))?;
    t.ends(peer);
    Ok(())
}

fn unknown_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for name in ["nobody", "ech", "echo2", "Echo", "echo ", "subject#echo", "\u{0}", "☺"] {
        let port = unique("unknown")?;
        peer.send(&json!([name, 1, peer.port(&port)]))?;
        let came = peer.until_echo()?;
        let answered = came.iter().any(|message| message.port() == port);
        check(!answered, format!("no answer of a port {name:?}, which is not there"), "one")?;
    }
    peer.send(&json!([4711, "x"]))?;
    t.ends(peer);
    Ok(())
}

fn first_element_no_name(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("odd")?;
    for first in [json!(true), json!(false), json!(1.5), json!([]), json!(["echo"]), json!({}), json!({"echo": "echo"})] {
        peer.send(&json!([first, 1, peer.port(&port)]))?;
    }
    let came = peer.until_echo()?;
    check(!came.iter().any(|message| message.port() == port), "no answer", "one")?;
    t.ends(peer);
    Ok(())
}

fn float_is_no_name(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    // A name of digits that nobody else takes.
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(|error| Failure::Suite(error.to_string()))?;
    let number = u32::from_be_bytes(random);
    peer.send(&json!(["", "AnyEvent::MP::_spawn", number.to_string(), "conformance::port"]))?;
    let (whole, named) = (unique("float")?, unique("integer")?);
    // In storable there is no such float: there, only the integer is looked at.
    if t.framing != Framing::Storable {
        peer.send(&json!([f64::from(number), "echo", 1, peer.port(&whole)]))?;
    }
    peer.send(&json!([number, "echo", 2, peer.port(&named)]))?;
    peer.find("an answer of the port that has these digits for a name", |message| message.port() == named)
        .breaks("MSG-3")?;
    check(!peer.has(|message| message.port() == whole), "no answer to a float in place of a name", "one")
}

fn odd_elements(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for elements in [json!([{}]), json!([[[]]]), json!([null, null]), json!([1.5, {"a": [{}]}]), json!(["", "", ""])] {
        for name in ["echo", "control", "nobody"] {
            let mut packet = vec![json!(name)];
            packet.extend(elements.as_array().into_iter().flatten().cloned());
            peer.send(&packet.into())?;
        }
    }
    t.ends(peer);
    Ok(())
}

/// How many messages are sent at once.
const MANY: u64 = 300;

fn in_order(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("ordered")?;
    let mut octets = Vec::new();
    for number in 0..MANY {
        octets.extend(packet(peer.sends, &["echo".into(), Value::from(number), peer.port(&port).into()])?);
    }
    peer.send_octets(&octets, "many messages to the port echo");
    for number in 0..MANY {
        let came = peer.message(&port)?;
        let right = came.len() == 1 && same(&came[0], &number.to_string());
        check(right, format!("[{number}]"), json!(came))?;
    }
    Ok(())
}

fn answered_where_asked(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let long = "x".repeat(200);
    for part in ["a", "a#b", "#", "##a##", "größe ☺", " ; = % ", "a\nb\u{0}c", "true", &long] {
        let port = unique("named")? + part;
        peer.send(&json!(["echo", 1, peer.port(&port)]))?;
        let shown: String = port.chars().take(60).collect();
        peer.find(&format!("a message to the suite's port {shown:?}"), |message| message.port() == port).breaks("MSG-15")?;
    }
    Ok(())
}

fn no_port_id(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("nowhere")?;
    peer.send(&json!(["echo", 1, format!("#{port}")]))?;
    let came = peer.until_echo()?;
    check(!came.iter().any(|message| message.port() == port), "no message", "one").breaks("MSG-14")?;
    t.ends(peer);
    Ok(())
}
