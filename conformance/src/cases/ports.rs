//! Chapter 7, section 7.1: ports.

use serde_json::json;

use super::greeting::filled;
use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::{Peer, same};
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of this section.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "ports/failing",
        &["PORT-2", "MON-1"],
        "A port whose code fails on a message ends with the reason die, and what went wrong.",
        failing,
    )
    .level(Node),
    Case::new(
        "ports/nothing-after-failing",
        &["PORT-1"],
        "A port that has failed gets no further message, also of those that came along with the fatal one.",
        nothing_after_failing,
    )
    .level(Node),
    Case::new("ports/bare", &["PORT-3"], "A port without any code ends with the reason unhandled_message.", bare)
        .level(Node),
    Case::new(
        "ports/unknown-tag",
        &["PORT-3"],
        "A port with code for one tag handles that one, and ends with the reason unhandled_message on another one.",
        unknown_tag,
    )
    .level(Node),
    Case::new(
        "ports/no-tag",
        &["PORT-3"],
        "A port with code for one tag ends with the reason unhandled_message on a message without elements.",
        no_tag,
    )
    .level(Node),
    Case::new(
        "ports/named",
        &["PORT-3", "MSG-6"],
        "A port that was made by name ignores what it has no code for, and does not end.",
        named,
    )
    .level(Node),
    Case::new(
        "ports/spawned",
        &["PORT-3"],
        "A port that was made by spawning ignores what it has no code for, and does not end.",
        spawned,
    )
    .level(Node),
    Case::new(
        "ports/number-as-name",
        &["MSG-3"],
        "A number in place of the name of a port, in messages and in requests, is its decimal digits.",
        number_as_name,
    )
    .level(Node),
    Case::new(
        "ports/strange-names",
        &["MSG-15", "MSG-8"],
        "Ports can have names of any characters, such as number signs, spaces, line ends, and others beyond ASCII.",
        strange_names,
    )
    .level(Node),
    Case::new(
        "ports/longest-name",
        &["MSG-15", "LIMIT-10"],
        "A port can have a name of 256 octets; one of 257 is the name of nothing, and no port is made under it.",
        longest_name,
    )
    .level(Node)
    .stays(),
    Case::new(
        "ports/order",
        &["MSG-7", "NODE-2"],
        "A port gets the messages of one connection in their order, with none missing.",
        order,
    )
    .level(Node),
    Case::new(
        "ports/names-never-again",
        &["MSG-11", "SPAWN-1"],
        "A node never uses the name of a port again, for its own ports and for those that it spawns, also after a restart.",
        names_never_again,
    )
    .level(Node)
    .once()
    .alone(),
];

/// The first reason is this one, and a text comes behind it.
fn reason_with_text(reasons: &[serde_json::Value], first: &str) -> Step {
    let right = matches!(reasons, [reason, text] if reason == first && text.as_str().is_some_and(|text| !text.is_empty()));
    check(right, format!("the reasons {first:?} and a text"), json!(reasons))
}

fn failing(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("failing")?;
    peer.send(&json!(["", "mon1", port]))?;
    peer.send(&json!([port, "anything"]))?;
    let reasons = peer.ended_port(&port)?;
    let said = reasons.len() == 2 && reasons[0] == "die" && reasons[1].to_string().contains("oops");
    check(said, "the reasons \"die\" and something that tells of oops", json!(reasons))
}

fn nothing_after_failing(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("failing")?;
    // Each message that it still got would make it fail, and be told, once more.
    let message = json!([port, "anything"]);
    let watch = json!(["", "mon1", port]);
    peer.send_together(&[watch.clone(), watch, message.clone(), message.clone(), message])?;
    let ends = peer.all_ends(&port)?;
    check(ends.len() == 2, "one end for each of two watches", json!(ends))?;
    peer.send(&json!(["", "mon1", port]))?;
    let reasons = peer.ended_port(&port)?;
    check(reasons.first().is_some_and(|reason| reason == "no_such_port"), "the port to be gone", json!(reasons))
}

fn bare(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for message in [json!(["hello", "a"]), json!([]), json!([null]), json!([{"a": "b"}])] {
        let port = peer.new_port("bare")?;
        peer.send(&json!(["", "mon1", port]))?;
        peer.send(&crate::peer::to_port(&port, &message))?;
        reason_with_text(&peer.ended_port(&port)?, "unhandled_message")?;
    }
    Ok(())
}

fn unknown_tag(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("tagged")?;
    peer.send(&json!(["", "mon1", port]))?;
    peer.send(&json!([port, "known", "answer", peer.port("known")]))?;
    peer.expect("known", &json!(["answer"]))?;
    peer.send(&json!([port, "unknown", "answer", peer.port("known")]))?;
    reason_with_text(&peer.ended_port(&port)?, "unhandled_message")?;
    peer.nothing_for("known")
}

fn no_tag(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("tagged")?;
    peer.send(&json!(["", "mon1", port]))?;
    peer.send(&json!([port]))?;
    reason_with_text(&peer.ended_port(&port)?, "unhandled_message")
}

/// It is sent what it has no code for, and does not end.
fn ignores(peer: &mut Peer, port: &str, messages: &[serde_json::Value]) -> Step {
    peer.send(&json!(["", "mon1", port]))?;
    for message in messages {
        peer.send(&crate::peer::to_port(port, message))?;
    }
    let ends = peer.all_ends(port)?;
    check(ends.is_empty(), format!("the port {port:?} to go on"), json!(ends))?;
    peer.send(&json!(["", "mon0", port]))
}

fn named(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let unusable = [
        json!([]),
        json!([null]),
        json!(["no such verb"]),
        json!([["send"]]),
        json!([{"send": "x"}]),
        json!(["send"]),
        json!(["send", ["x"], "y"]),
        json!(["new"]),
        json!(["new", "no such kind", "x#y"]),
        json!(["watch", "x"]),
    ];
    ignores(&mut peer, "control", &unusable)?;
    ignores(&mut peer, "echo", &[json!([]), json!([{"a": "b"}]), json!([[]]), json!([null])]).breaks("MSG-6")
}

fn spawned(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("spawned")?;
    peer.send(&json!(["", "AnyEvent::MP::_spawn", port, "conformance::port"]))?;
    ignores(&mut peer, &port, &[json!(["no such tag", "x"]), json!([]), json!([null]), json!([["echo"]])])?;
    peer.send(&json!([port, "echo", "still here", peer.port("answer")]))?;
    peer.expect("answer", &json!(["still here"]))
}

fn number_as_name(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    // Its own for each run, and no more than storable has room for.
    let random = unique("")?;
    let number = u32::from_str_radix(&random[random.len() - 7..], 16).unwrap_or(0) + 1_000_000;
    peer.send(&json!(["", "AnyEvent::MP::_spawn", number, "conformance::port"]))?;
    peer.send(&json!([number, "echo", "by number", peer.port("answer")]))?;
    peer.expect("answer", &json!(["by number"]))?;
    peer.send(&json!([number.to_string(), "echo", "by text", peer.port("answer")]))?;
    peer.expect("answer", &json!(["by text"]))?;
    peer.send(&json!(["", "mon1", number]))?;
    peer.send(&json!(["", "kil1", number, "by number"]))?;
    let reasons = peer.ended_port(&number.to_string())?;
    check(json!(reasons) == json!(["by number"]), json!(["by number"]), json!(reasons))?;
    peer.send(&json!(["", "mon1", number]))?;
    let reasons = peer.ended_port(&number.to_string())?;
    let right = reasons.len() == 3 && same(&reasons[2], &peer.their(&number.to_string())?);
    check(right, format!("the port ID {:?} at the end", peer.their(&number.to_string())?), json!(reasons))
}

fn strange_names(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let long = "l".repeat(100);
    for part in ["#", "a#b#", " ", "\n", "\u{0}", "\"\\", ";%3b", "ä", "€ 𐀀", long.as_str()] {
        let port = format!("{part}{}", unique(part)?);
        peer.send(&json!(["", "AnyEvent::MP::_spawn", port, "conformance::port"]))?;
        peer.send(&json!([port, "self", peer.port(&port)]))?;
        let own = peer.their(&port)?;
        peer.expect(&port, &json!([own]))?;
        peer.send(&json!(["", "mon1", port]))?;
        peer.send(&json!(["", "kil1", port]))?;
        let reasons = peer.ended_port(&port)?;
        check(reasons.is_empty(), "no reasons", json!(reasons))?;
    }
    Ok(())
}

fn longest_name(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    // The last one counts in octets, not in characters.
    let names = [
        (filled(&unique("n")?, 256), true),
        (filled(&unique("n")?, 257), false),
        (unique("n")? + &"\u{e4}".repeat(122), false),
    ];
    for (port, is_taken) in names {
        peer.send(&json!(["", "AnyEvent::MP::_spawn", port, "conformance::port", peer.port("came"), "started"]))?;
        peer.send(&json!([port, "self", peer.port("own")]))?;
        peer.send(&json!(["", "mon1", port]))?;
        if is_taken {
            peer.expect("came", &json!(["started"])).breaks("MSG-15")?;
            let own = peer.their(&port)?;
            peer.expect("own", &json!([own])).breaks("MSG-15")?;
            peer.send(&json!(["", "kil1", port]))?;
            peer.ended_port(&port).breaks("MSG-15")?;
        } else {
            peer.nothing_for("came").breaks("LIMIT-10")?;
            peer.nothing_for("own").breaks("LIMIT-10")?;
            let ends = peer.all_ends(&port)?;
            check(ends.is_empty(), "no answer to a mon1 for a name of nothing", json!(ends)).breaks("LIMIT-10")?;
        }
    }
    t.ends(peer);
    Ok(())
}

fn order(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let collecting = peer.new_port("collecting")?;
    let mut packets = Vec::new();
    for number in 0..500 {
        packets.push(json!(["echo", format!("message {number}"), peer.port("order")]));
        packets.push(json!([collecting, "x"]));
    }
    peer.send_together(&packets)?;
    for number in 0..500 {
        peer.expect("order", &json!([format!("message {number}")]))?;
    }
    peer.send(&json!([collecting, "flush", peer.port("collected")]))?;
    let collected = peer.message("collected")?;
    check(collected.len() == 1 && same(&collected[0], "500"), "500 messages", json!(collected)).breaks("MSG-7")
}

fn names_never_again(t: &mut Test<'_>) -> Step {
    let mut names = std::collections::BTreeSet::new();
    let node = unique("subject")?;
    for _ in 0..3 {
        let subject = t.start(|start| start.node.clone_from(&node))?;
        let mut peer = t.up_at(&subject)?;
        for _ in 0..20 {
            let port = peer.new_port("echo")?;
            check(names.insert(port.clone()), "a name that no other port has had", port)?;
            peer.control(&json!(["spawn", peer.node(), "some::function", peer.port("spawned")]))?;
            let name = peer.request("AnyEvent::MP::_spawn", |arguments| arguments.len() >= 2)?.remove(0);
            let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
            check(names.insert(name.clone()), "a name that no other port has had", name).breaks("SPAWN-1")?;
        }
        subject.kill();
    }
    Ok(())
}
