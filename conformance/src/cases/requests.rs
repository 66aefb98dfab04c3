//! Chapter 7, section 7.2: requests, and port IDs in them (section 6.1).

use serde_json::{Value as Json, json};

use aemp_proto::framing::Framing;
use aemp_proto::value::Value;

use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Message, Peer};
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of this section.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "requests/unusable",
        &["NODE-1", "MSG-6"],
        "Requests that are not known, or whose arguments cannot be used, are ignored one and all.",
        unusable,
    )
    .level(Node),
    Case::new("requests/keepalives", &["MSG-4"], "What serves as a keepalive is answered by nothing.", keepalives)
        .level(Node),
    Case::new(
        "requests/in-order",
        &["NODE-2"],
        "Requests and messages of one connection are handled in the order in which they arrived.",
        in_order,
    )
    .level(Node),
    Case::new(
        "requests/names-as-bytes",
        &["VALUE-7"],
        "The names of requests and of ports may come as bytes.",
        names_as_bytes,
    )
    .level(Node),
    Case::new("requests/null-as-node-port", &["MSG-2"], "Null is the name of the node port, too.", null_as_node_port)
        .level(Node),
    Case::new("requests/can", &["NODE-4"], "A node says which requests it has.", can).level(Node),
    Case::new("requests/time", &["NODE-5"], "A node tells the time in seconds since 1970.", time).level(Node),
    Case::new(
        "requests/eval",
        &["NODE-6"],
        "A node that runs no code answers eval with an error text and without results.",
        eval,
    )
    .level(Node)
    .allows(&["it runs no code", "it runs code"]),
    Case::new(
        "requests/eval-without-to",
        &["NODE-8"],
        "An eval that names nobody to answer is not answered.",
        eval_without_to,
    )
    .level(Node),
    Case::new(
        "requests/up-nodes",
        &["NODE-11"],
        "A node tells the sorted IDs of the nodes to which it has connections that are up, the asking one among them.",
        up_nodes,
    )
    .level(Node),
    Case::new("requests/call", &["NODE-7"], "A function that was registered for that can be called by its name.", call)
        .level(Node),
    Case::new(
        "requests/call-others",
        &["NODE-7", "NODE-1"],
        "What was not registered cannot be called, whichever function has that name.",
        call_others,
    )
    .level(Node),
];

/// What a node sends only because it was asked, or told something.
fn answers(message: &Message) -> bool {
    const NEVER: [&str; 10] =
        ["kil0", "kil1", "mon1", "mon0", "can", "time", "eval", "devnull", "AnyEvent::MP::_spawn", "conformance::tell"];
    !message.port().is_empty() || NEVER.contains(&message.tag())
}

/// After the packet, nothing comes that would be an answer to it.
fn ignored(peer: &mut Peer, packet: &Json) -> Step {
    peer.send(packet)?;
    peer.settle().map_err(|failure| match failure {
        Failure::Wrong { actual, .. } => Failure::wrong(format!("{packet} to be ignored"), actual),
        other => other,
    })?;
    let came = peer.take(answers);
    let shown: Vec<_> = came.iter().map(Message::shown).collect();
    check(came.is_empty(), format!("{packet} to be ignored"), shown.join(" "))
}

fn unusable(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let (mine, port) = (peer.port("mine"), unique("port")?);
    let spawn = "AnyEvent::MP::_spawn";
    let packets = [
        json!(["", "no such request", mine, "x"]),
        json!(["", "no::such::function", mine, "x"]),
        json!(["", "MON1", "never-was"]),
        json!(["", ["mon1"], "never-was"]),
        json!(["", {"mon1": "never-was"}]),
        json!(["", true, "never-was"]),
        json!(["", 5, "never-was"]),
        json!(["", "mon1"]),
        json!(["", "mon1", ["never-was"]]),
        json!(["", "mon1", {"never-was": "x"}]),
        json!(["", "mon0"]),
        json!(["", "mon0", ["never-was"]]),
        json!(["", "mon0", {}]),
        json!(["", "kil0"]),
        json!(["", "kil0", {}]),
        json!(["", "kil1"]),
        json!(["", "kil1", ["echo"], "x"]),
        json!(["", "kil1", {"echo": "x"}]),
        json!(["", "snd"]),
        json!(["", "snd", [mine], "x"]),
        json!(["", "snd", {"to": mine}, "x"]),
        json!(["", "snd", null, "x"]),
        json!(["", "snd", "", "x"]),
        json!(["", "can"]),
        json!(["", "can", "mon1"]),
        json!(["", "can", "mon1", [mine], "x"]),
        json!(["", "can", "mon1", {}]),
        json!(["", "time"]),
        json!(["", "time", [mine], "x"]),
        json!(["", "time", {}]),
        json!(["", "eval"]),
        json!(["", "eval", "AnyEvent::MP::Kernel::up_nodes"]),
        json!(["", "eval", "AnyEvent::MP::Kernel::up_nodes", [mine]]),
        json!(["", "eval", "1+1", {}]),
        json!(["", spawn]),
        json!(["", spawn, port]),
        json!(["", spawn, [port], "conformance::port", mine, "x"]),
        json!(["", spawn, {}, "conformance::port", mine, "x"]),
        json!(["", spawn, port, ["conformance::port"], mine, "x"]),
        json!(["", spawn, port, null, mine, "x"]),
        json!(["", "conformance::tell"]),
        json!(["", "conformance::tell", [mine], "x"]),
        json!(["", "conformance::tell", {}, "x"]),
        json!(["", "devnull", "mon1", "never-was"]),
    ];
    for packet in &packets {
        ignored(&mut peer, packet)?;
    }
    t.ends(peer);
    Ok(())
}

fn keepalives(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let packets = [
        json!([]),
        json!([""]),
        json!([null]),
        json!(["", ""]),
        json!(["", null]),
        json!([null, ""]),
        json!(["", "", "mon1"]),
    ];
    for packet in &packets {
        ignored(&mut peer, packet)?;
    }
    Ok(())
}

fn in_order(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let to = peer.port("order");
    let function = unique("spawned")?;
    let mut packets = Vec::new();
    for round in 0..20 {
        let label = |number: u32| format!("{round}.{number}");
        packets.extend([
            json!(["", "snd", to, label(0)]),
            json!(["echo", label(1), to]),
            json!(["", "can", "mon1", to, label(2)]),
            json!(["control", "send", to, label(3)]),
            json!(["", "time", to, label(4)]),
            json!(["", "eval", "1+1", to, label(5)]),
            json!(["", "conformance::tell", to, label(6)]),
            json!(["", "AnyEvent::MP::_spawn", format!("{function}-{round}"), "conformance::port", to, label(7)]),
            json!([format!("{function}-{round}"), "echo", label(8), to]),
        ]);
    }
    peer.send_together(&packets)?;
    for round in 0..20 {
        for number in 0..9 {
            let (label, answer) = (format!("{round}.{number}"), peer.message("order")?);
            let right = answer.first().is_some_and(|first| *first == label);
            check(right, format!("the answer to what has the label {label}"), Json::from(answer))?;
        }
    }
    Ok(())
}

fn names_as_bytes(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let bytes = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    // There are no bytes in json; there it is the same with texts.
    let name = |text: &str| if peer.sends == Framing::Json { Value::from(text) } else { bytes(text) };
    let (port, to) = (unique("spawned")?, peer.port("came"));
    let packets = [
        vec![name(""), name("AnyEvent::MP::_spawn"), name(&port), name("conformance::port")],
        vec![name(""), name("mon1"), name(&port)],
        vec![name(&port), name("echo"), Value::from("a port"), name(&to)],
        vec![name("echo"), Value::from("echo"), name(&to)],
        vec![name(""), name("snd"), name(&to), Value::from("a request")],
        vec![name(""), name("can"), name("mon1"), name(&to)],
        vec![name(""), name("kil1"), name(&port), Value::from("ended")],
    ];
    for packet in &packets {
        peer.send_values(packet)?;
    }
    for expected in ["a port", "echo", "a request", "1"] {
        peer.expect("came", &json!([expected]))?;
    }
    let told = peer.ended_port(&port)?;
    check(json!(told) == json!(["ended"]), json!(["ended"]), json!(told))
}

fn null_as_node_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let never = unique("never-was")?;
    peer.send(&json!([null, "snd", peer.port("came"), "by null"]))?;
    peer.expect("came", &json!(["by null"]))?;
    peer.send(&json!([null, "mon1", never]))?;
    peer.ended_port(&never).map(|_| ())
}

fn can(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let to = peer.port("can");
    for (name, answer) in [
        ("mon1", "1"),
        ("mon0", "1"),
        ("kil0", "1"),
        ("kil1", "1"),
        ("snd", "1"),
        ("can", "1"),
        ("time", "1"),
        ("eval", "1"),
        ("devnull", "1"),
        ("no such request", ""),
        ("no::such::function", ""),
        ("MON1", ""),
    ] {
        peer.send(&json!(["", "can", name, to, "asked", name]))?;
        peer.expect("can", &json!(["asked", name, answer]))?;
    }
    peer.send(&json!(["", "can", "mon1", to]))?;
    peer.expect("can", &json!(["1"]))
}

fn time(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.send(&json!(["", "time", peer.port("time"), "asked"]))?;
    let answer = peer.message("time")?;
    let seconds = match answer.as_slice() {
        [asked, seconds] if asked == "asked" => match seconds {
            // In storable there are no floats: they are written as texts.
            Json::String(text) if peer.receives == Some(Framing::Storable) => text.parse::<f64>().ok(),
            other => other.as_f64(),
        },
        _ => None,
    };
    // Clocks differ; but not by decades, and milliseconds would be thousands of years away.
    let right = seconds.is_some_and(|seconds| (1.6e9..1.0e10).contains(&seconds));
    check(right, "[\"asked\", the seconds since 1970]", Json::from(answer))
}

fn eval(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.send(&json!(["", "eval", "1+1", peer.port("eval"), "asked"]))?;
    let answer = peer.message("eval")?;
    match answer.as_slice() {
        [asked, error] if asked == "asked" && error.as_str().is_some_and(|text| !text.is_empty()) => {
            t.outcome("it runs no code");
            Ok(())
        }
        [asked, error, _] if asked == "asked" && error == "" => {
            t.outcome("it runs code");
            Ok(())
        }
        _ => Err(Failure::wrong("[\"asked\", an error text], without results", Json::from(answer))),
    }
}

fn eval_without_to(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    ignored(&mut peer, &json!(["", "eval", "1+1"]))?;
    ignored(&mut peer, &json!(["", "eval", "AnyEvent::MP::Kernel::up_nodes"]))
}

/// What it answers to the question which nodes it is connected to.
fn asks_up_nodes(peer: &mut Peer) -> Step<Vec<String>> {
    peer.send(&json!(["", "eval", "AnyEvent::MP::Kernel::up_nodes", peer.port("up"), "asked"]))?;
    let answer = peer.message("up")?;
    let right = answer.len() >= 2 && answer[0] == "asked" && answer[1] == "" && answer[2..].iter().all(Json::is_string);
    check(right, "[\"asked\", \"\", node IDs...]", json!(answer))?;
    Ok(answer[2..].iter().filter_map(Json::as_str).map(str::to_owned).collect())
}

fn up_nodes(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let subject = peer.subject()?;
    let mut others = Vec::new();
    for prefix in ["Z", "a", "Ä", "z", "\u{fffd}", "\u{10000}", "0"] {
        let mut other = t.connect()?;
        other.greets.node = unique(prefix)?;
        other.handshake()?;
        others.push(other);
    }
    // This one is connected, and not up.
    let mut greeted = t.connect()?;
    greeted.greet();
    greeted.read_greeting()?;
    let names = asks_up_nodes(&mut peer)?;
    let mut sorted = names.clone();
    sorted.sort();
    sorted.dedup();
    check(names == sorted, format!("sorted octet by octet, each once: {sorted:?}"), format!("{names:?}"))?;
    for up in others.iter().chain([&peer]) {
        check(names.iter().any(|name| name == up.node()), format!("{:?} among them", up.node()), format!("{names:?}"))?;
    }
    for not_up in [greeted.node(), &subject] {
        check(names.iter().all(|name| name != not_up), format!("{not_up:?} not among them"), format!("{names:?}"))?;
    }
    // One that goes is up no more, once the node knows.
    let goes = others.remove(0);
    let gone = goes.node().to_owned();
    peer.control(&json!(["watch", unique("watch")?, gone, peer.port("gone")]))?;
    peer.settle()?;
    drop(goes);
    peer.message("gone").breaks("MON-8")?;
    let names = asks_up_nodes(&mut peer)?;
    check(!names.contains(&gone), format!("{gone:?} not among them any more"), format!("{names:?}"))
}

fn call(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.send(&json!(["", "conformance::tell", peer.port("told"), "one", ["two", {}], null]))?;
    peer.expect("told", &json!(["one", ["two", {}], null]))?;
    peer.send(&json!(["", "conformance::tell", peer.port("told")]))?;
    peer.expect("told", &json!([]))
}

fn call_others(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let mine = peer.port("mine");
    for name in [
        "echo",
        "control",
        "tell",
        "::tell",
        "conformance::tell ",
        "Conformance::tell",
        "conformance.tell",
        "conformance::none",
        "AnyEvent::MP::snd",
        "exit",
        "::exit",
        "main::exit",
        "CORE::exit",
        "os::_exit",
        "os._exit",
        "process.exit",
        "os.Exit",
        "std::process::exit",
        "system",
        "print",
        "require",
        "__import__",
        "constructor",
        "toString",
        "__proto__",
        "__class__",
    ] {
        ignored(&mut peer, &json!(["", name, mine, "x"]))?;
    }
    t.ends(peer);
    Ok(())
}
