//! Members who have the node hold things.

use aemp_node::proto::framing::Framing;
use serde_json::{Value, json};

use super::ground::{Ground, size};
use super::member::{Member, encoded};

/// What all peers together may take here, as `--max-memory` says.
const ALL: u64 = 16 << 20;

/// A victim that may grow by what its peers may take, times 1.5: what it counts is what it holds, within that factor.
fn ground(what: &str, more: &[&str]) -> Ground {
    let all = ALL.to_string();
    // A program without the option is asked how it was before.
    let lowered = std::env::var_os("AEMP_HOSTILE_UNLIMITED").is_none();
    let mut options = if lowered { vec!["--max-memory", &all] } else { Vec::new() };
    options.extend(more);
    Ground::new(what, &options).ceiling(ALL + ALL / 2)
}

/// An entry of many small maps.
fn nested(maps: usize) -> Value {
    Value::Array(vec![json!({"a": 1}); maps])
}

fn nested_maps(what: &str, requests: &[&str], set: impl Fn(&mut Member, usize, Value) -> bool) {
    let ground = ground(what, &["--global"]);
    let mut member = ground.member("evil", Framing::Json);
    for request in requests {
        member.send(&json!(["", request]));
    }
    for part in 0..size(60, 500) {
        if !set(&mut member, part, nested(2000)) {
            break;
        }
    }
    member.settled();
    ground.end();
}

#[test]
fn entries_of_small_maps_of_a_slave() {
    nested_maps("entries of small maps, of a slave", &["g_slave"], |member, part, value| {
        member.send(&json!(["", "g_upd", "f", {format!("k{part}"): value}]))
    });
}

#[test]
fn entries_of_small_maps_of_a_global() {
    nested_maps("entries of small maps, after `g_global`", &["g_global"], |member, part, value| {
        member.send(&json!(["", "g_upd", "f", {format!("k{part}"): value}]))
    });
}

#[test]
fn node_ids_of_great_length() {
    let ground = ground("long node IDs in `snd`", &[]);
    let mut member = ground.member("evil", Framing::Json);
    let length = size(50_000, 400_000);
    for number in 0..size(800, 1_000) {
        if !member.send(&json!(["", "snd", format!("{number}{}#p", "x".repeat(length)), 1])) {
            break;
        }
    }
    member.settled();
    ground.end();
}

#[test]
fn spawning_what_is_registered() {
    let ground = ground("spawning a function that is registered", &[]);
    let mut member = ground.member("evil", Framing::Json);
    let name = "n".repeat(1000);
    for number in 0..size(20_000, 200_000) {
        let function = "AnyEvent::MP::LogCatcher::connect";
        if !member.send(&json!(["", "AnyEvent::MP::_spawn", format!("{number}{name}"), function, 0, "evil#c", 5])) {
            break;
        }
    }
    member.settled();
    member.leave();
    ground.end();
}

#[test]
fn addresses_of_nodes_that_are_searched() {
    let ground = ground("addresses in `'l`, then searched", &["--global"]);
    let mut member = ground.member("evil", Framing::Json);
    member.send(&json!(["", "g_slave", {}]));
    for number in 0..size(1_000, 10_000) {
        let addresses: Vec<_> = (0..16).map(|other| format!("{number}.{other}.{}:1", "x".repeat(1000))).collect();
        let node = format!("node{number}");
        if !member.send(&json!(["", "g_upd", "'l", {&node: addresses}]))
            || !member.send(&json!(["", "snd", format!("{node}#p"), 1]))
        {
            break;
        }
    }
    member.settled();
    member.leave();
    ground.end();
}

#[test]
fn data_connections_with_long_ids() {
    let folder = super::others::folder("long-ids");
    let ground = ground("`_expect` with long IDs, under many node IDs", &["--service", "files", "--files", &folder]);
    let length = size(50_000, 3_000_000);
    let mut members: Vec<_> = (0..10).map(|number| ground.member(&format!("evil{number}"), Framing::Json)).collect();
    for (number, member) in members.iter_mut().enumerate() {
        for id in 0..100 {
            let id = format!("{number}-{id}-{}", "x".repeat(length));
            if !member.send(&super::others::expect(&id, &format!("evil{number}#p"), "file")) {
                break;
            }
        }
        member.settled();
    }
    // Others still get theirs.
    let mut honest = ground.member("honest", Framing::Json);
    honest.send(&super::others::expect("id", "honest#p", "file"));
    assert!(honest.settled());
    let refused = honest.messages();
    ground.end();
    assert!(refused.is_empty(), "a data connection for somebody else is refused: {refused:?}");
}

#[test]
fn entries_of_many_node_ids() {
    let ground = ground("entries of 12 node IDs", &["--global"]);
    let text = "x".repeat(10_000);
    let mut members = Vec::new();
    for number in 0..12 {
        let mut member = ground.member(&format!("evil{number}"), Framing::Json);
        member.send(&json!(["", "g_slave", {}]));
        for part in 0..size(5, 120) {
            let entries: serde_json::Map<_, _> =
                (0..50).map(|key| (format!("{number}-{part}-{key}"), json!(text))).collect();
            if !member.send(&json!(["", "g_upd", "f", entries])) {
                break;
            }
        }
        member.settled();
        members.push(member);
    }
    ground.end();
}

#[test]
fn packets_without_end_of_many_node_ids() {
    let ground = ground("unfinished packets of 40 node IDs", &[]);
    let part = "x".repeat(1 << 20);
    let mut members: Vec<_> = (0..40).map(|number| ground.member(&format!("evil{number}"), Framing::Json)).collect();
    for member in &mut members {
        if member.say(br#"["none",""#) {
            (0..size(2, 63)).all(|_| member.say(part.as_bytes()));
        }
    }
    // The node has read what it will read.
    std::thread::sleep(std::time::Duration::from_millis(size(300, 3000) as u64));
    members.into_iter().for_each(Member::leave);
    ground.end();
}

#[test]
fn readers_that_have_stopped() {
    let ground = ground("20 readers that have stopped", &[]);
    let mut members = Vec::new();
    let echo = |name: &str| encoded(Framing::Json, &json!(["", "snd", format!("{name}#x"), "x".repeat(10_000)]));
    for number in 0..20 {
        let name = format!("evil{number}");
        let (mut stream, link) =
            super::member::connect(&ground.address(), &name, Framing::Json, super::member::patience()).expect("it is taken");
        let octets = echo(&name).repeat(10);
        let sent = ground.counter();
        members.push(std::thread::spawn(move || {
            for _ in 0..size(20, 1000) {
                if std::io::Write::write_all(&mut stream, &octets).is_err() {
                    break;
                }
                sent.fetch_add(octets.len() as u64, std::sync::atomic::Ordering::Relaxed);
            }
            (stream, link)
        }));
    }
    let members: Vec<_> = members.into_iter().map(|member| member.join().expect("no panic")).collect();
    drop(members);
    ground.end();
}

#[test]
fn watches_of_families() {
    let ground = ground("watches of many families", &["--global"]);
    let mut member = ground.member("evil", Framing::Json);
    let name = "f".repeat(240);
    for number in 0..size(2_000, 9_000) {
        if !member.send(&json!(["", "g_mon1", format!("{name}{number}")])) {
            break;
        }
    }
    member.settled();
    ground.end();
}
