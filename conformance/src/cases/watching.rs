//! Chapter 7, section 7.3: watching. What the loss of a connection means for watches is in `losing`.

use serde_json::{Value as Json, json};

use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::Limits;
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of this section.
pub(super) const CASES: &[Case] = &[
    Case::new("watching/counts", &["MON-1", "MON-3"], "A port that ends is told once for each mon1 without a mon0.", counts)
        .level(Node),
    Case::new(
        "watching/unwatch-of-another",
        &["MON-3"],
        "A mon0 takes away nothing of what another node watches.",
        unwatch_of_another,
    )
    .level(Node),
    Case::new(
        "watching/no-such-port",
        &["MON-2"],
        "A watch on a port that is not there is answered at once, each time, with the whole ID of the port.",
        no_such_port,
    )
    .level(Node),
    Case::new("watching/after-end", &["MON-2"], "A watch on a port that has ended finds no port.", after_end).level(Node),
    Case::new(
        "watching/node-port",
        &["NODE-1"],
        "To watch or unwatch the node port, or to unwatch nothing, does no harm.",
        node_port,
    )
    .level(Node),
    Case::new(
        "watching/ended-there",
        &["MON-4", "MON-6"],
        "A kil0 fires all watches that the node has on that port, with the reasons, though it asked once only.",
        ended_there,
    )
    .level(Node),
    Case::new(
        "watching/fires-once",
        &["MON-7", "MON-5"],
        "A watch that has fired does not fire again, neither by a second kil0 nor when the connection is lost.",
        fires_once,
    )
    .level(Node),
    Case::new(
        "watching/unexpected-end",
        &["MON-5"],
        "A kil0 for a port that the node does not watch, or in a wrong shape, fires nothing.",
        unexpected_end,
    )
    .level(Node),
    Case::new(
        "watching/ended-by-another",
        &["MON-4"],
        "A kil0 fires only watches on ports of its sender, not on a port of the same name elsewhere.",
        ended_by_another,
    )
    .level(Node),
    Case::new(
        "watching/given-up",
        &["MON-12", "MON-6"],
        "A watch that was given up does not fire; the last one given up sends mon0, and a later one mon1 again.",
        given_up,
    )
    .level(Node),
    Case::new("watching/own-port", &["KILL-1"], "A node watches its own ports, too, and fires when they end.", own_port)
        .level(Node),
    Case::new(
        "watching/too-many",
        &["MON-11"],
        "A peer that has more watches than the limit is closed; one that has as many, or gave them up, is not.",
        too_many,
    )
    .level(Node)
    .needs(&[Limits])
    .closes(),
];

/// Whether a request with these arguments is about this port.
fn is_for(arguments: &[Json], port: &str) -> bool {
    arguments.first().is_some_and(|name| name == port)
}

fn watch(peer: &mut Peer, name: &str, port: &str) -> Step {
    peer.control(&json!(["watch", name, port, peer.port("fired")]))
}

fn counts(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for (requests, left) in [
        ("mon1", 1),
        ("mon1 mon1 mon1", 3),
        ("mon1 mon0", 0),
        ("mon1 mon1 mon1 mon0", 2),
        ("mon0 mon0 mon1", 1),
        ("mon1 mon0 mon0 mon1 mon1", 2),
    ] {
        let port = peer.new_port("echo")?;
        let requests: Vec<_> = requests.split(' ').collect();
        for request in &requests {
            peer.send(&json!(["", request, port]))?;
        }
        peer.send(&json!(["", "kil1", port, "ended"]))?;
        for _ in 0..left {
            peer.ended_port(&port).breaks("MON-1")?;
        }
        let more = peer.all_ends(&port)?;
        let broken = if requests.contains(&"mon0") { "MON-3" } else { "MON-1" };
        check(more.is_empty(), format!("{left} times kil0 after {requests:?}"), format!("{} more", more.len()))
            .breaks(broken)?;
    }
    Ok(())
}

fn unwatch_of_another(t: &mut Test<'_>) -> Step {
    let (mut first, mut second) = (t.up()?, t.up()?);
    let port = first.new_port("echo")?;
    first.send(&json!(["", "mon1", port]))?;
    first.settle()?;
    second.send(&json!(["", "mon0", port]))?;
    second.send(&json!(["", "mon0", port]))?;
    second.send(&json!(["", "kil1", port, "ended"]))?;
    second.settle()?;
    let told = first.ended_port(&port)?;
    check(json!(told) == json!(["ended"]), json!(["ended"]), json!(told))
}

fn no_such_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for _ in 0..2 {
        let port = unique("never-was")?;
        let right = json!(["no_such_port", "cannot monitor nonexistent port", peer.their(&port)?]);
        peer.send(&json!(["", "mon1", port]))?;
        peer.send(&json!(["", "mon1", port]))?;
        for _ in 0..2 {
            let told = peer.ended_port(&port)?;
            check(json!(told) == right, &right, json!(told))?;
        }
        let more = peer.all_ends(&port)?;
        check(more.is_empty(), "one answer to each mon1", json!(more))?;
    }
    Ok(())
}

fn after_end(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "mon1", port]))?;
    peer.send(&json!(["", "kil1", port, "ended"]))?;
    peer.ended_port(&port)?;
    peer.send(&json!(["", "mon1", port]))?;
    let told = peer.ended_port(&port)?;
    let right = json!(["no_such_port", "cannot monitor nonexistent port", peer.their(&port)?]);
    check(json!(told) == right, right, json!(told))
}

fn node_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    for request in ["mon1", "mon0"] {
        for name in [json!(""), Json::Null] {
            peer.send(&json!(["", request, name]))?;
        }
    }
    peer.send(&json!(["", "mon0", unique("never-was")?]))?;
    peer.settle()
}

fn ended_there(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let (first, second, mine) = (unique("watch")?, unique("watch")?, peer.port("mine"));
    for name in [&first, &second] {
        watch(&mut peer, name, &mine)?;
    }
    peer.request("mon1", |arguments| is_for(arguments, "mine")).breaks("MON-6")?;
    peer.settle()?;
    let more = peer.take(|message| message.tag() == "mon1" && message.elements[2..] == [json!("mine")]);
    t.should("MON-6", more.is_empty(), "one mon1 for two watches on the same port", format!("{} more", more.len()));
    let reasons = [json!("because"), json!(["of", {"this": null}])];
    peer.send(&json!(["", "kil0", "mine", reasons[0], reasons[1]]))?;
    let mut fired = [peer.message("fired")?, peer.message("fired")?];
    fired.sort_by_key(|message| message.first() != Some(&json!(first)));
    let right = [&first, &second].map(|name| vec![json!(name), reasons[0].clone(), reasons[1].clone()]);
    check(fired == right, json!(right), json!(fired))?;
    // It has forgotten them: the next one is a first watch again.
    watch(&mut peer, &unique("watch")?, &mine)?;
    let again = peer.request("mon1", |arguments| is_for(arguments, "mine"));
    again.map(|_| ())
}

fn fires_once(t: &mut Test<'_>) -> Step {
    let (mut watched, mut observer) = (t.up()?, t.up()?);
    let name = unique("watch")?;
    observer.control(&json!(["watch", name, watched.port("mine"), observer.port("fired")]))?;
    watched.request("mon1", |arguments| is_for(arguments, "mine")).breaks("MON-6")?;
    for reason in ["first", "second"] {
        watched.send(&json!(["", "kil0", "mine", reason]))?;
    }
    watched.settle()?;
    observer.expect("fired", &json!([name, "first"])).breaks("MON-4")?;
    // A second watch tells when the connection is known to be lost.
    let node = watched.node().to_owned();
    let end = unique("watch")?;
    observer.control(&json!(["watch", end, node, observer.port("lost")]))?;
    observer.settle()?;
    drop(watched);
    observer.message("lost").breaks("MON-8")?;
    observer.nothing_for("fired")
}

fn unexpected_end(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let (name, mine) = (unique("watch")?, peer.port("mine"));
    watch(&mut peer, &name, &mine)?;
    peer.request("mon1", |arguments| is_for(arguments, "mine")).breaks("MON-6")?;
    let own = unique("never-was")?;
    for packet in [
        json!(["", "kil0"]),
        json!(["", "kil0", {}, "x"]),
        json!(["", "kil0", ["mine"], "x"]),
        json!(["", "kil0", "other", "x"]),
        json!(["", "kil0", mine, "x"]),
        json!(["", "kil0", "", "x"]),
        json!(["", "kil0", "echo", "x"]),
        json!(["", "kil0", own, "x"]),
    ] {
        peer.send(&packet)?;
    }
    peer.nothing_for("fired")?;
    peer.send(&json!(["", "kil0", "mine", "now"]))?;
    peer.expect("fired", &json!([name, "now"])).breaks("MON-4")
}

fn ended_by_another(t: &mut Test<'_>) -> Step {
    let (mut first, mut second) = (t.up()?, t.up()?);
    let (on_first, on_second) = (unique("watch")?, unique("watch")?);
    let same_name = [first.port("same"), second.port("same")];
    watch(&mut first, &on_first, &same_name[0])?;
    watch(&mut first, &on_second, &same_name[1])?;
    first.settle()?;
    second.request("mon1", |arguments| is_for(arguments, "same")).breaks("MON-6")?;
    second.send(&json!(["", "kil0", "same", "the second"]))?;
    second.settle()?;
    first.expect("fired", &json!([on_second, "the second"]))?;
    first.nothing_for("fired")?;
    first.send(&json!(["", "kil0", "same", "the first"]))?;
    first.expect("fired", &json!([on_first, "the first"]))
}

fn given_up(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let (first, second, mine) = (unique("watch")?, unique("watch")?, peer.port("mine"));
    let is_mine = |arguments: &[Json]| is_for(arguments, "mine");
    watch(&mut peer, &first, &mine)?;
    watch(&mut peer, &second, &mine)?;
    peer.control(&json!(["unwatch", first]))?;
    peer.settle()?;
    let early = peer.take(|message| message.tag() == "mon0" && is_mine(&message.elements[2..])).len();
    t.should("MON-6", early == 0, "no mon0 as long as one of two watches is left", "mon0");
    peer.control(&json!(["unwatch", second]))?;
    peer.settle()?;
    let told = early + peer.take(|message| message.tag() == "mon0" && is_mine(&message.elements[2..])).len();
    t.should("MON-6", told > 0, "mon0 when the last watch is given up", "nothing");
    peer.take(|message| message.tag() == "mon1" && is_mine(&message.elements[2..]));
    peer.send(&json!(["", "kil0", "mine", "too late"]))?;
    peer.nothing_for("fired")?;
    // A watch that is set now is a first one.
    let third = unique("watch")?;
    watch(&mut peer, &third, &mine)?;
    peer.request("mon1", is_mine)?;
    peer.send(&json!(["", "kil0", "mine", "now"]))?;
    peer.expect("fired", &json!([third, "now"])).breaks("MON-4")?;
    peer.nothing_for("fired")
}

fn own_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let (name, port) = (unique("watch")?, peer.new_port("echo")?);
    let id = peer.their(&port)?;
    watch(&mut peer, &name, &id)?;
    peer.send(&json!(["", "kil1", port, "because", "of this"]))?;
    peer.expect("fired", &json!([name, "because", "of this"]))?;
    peer.nothing_for("fired").breaks("MON-7")
}

fn too_many(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.limits.watches = Some(20))?;
    let (mut greedy, mut other) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let port = greedy.new_port("echo")?;
    for _ in 0..5 {
        for request in ["mon1", "mon0"] {
            for _ in 0..20 {
                greedy.send(&json!(["", request, port]))?;
            }
        }
    }
    for _ in 0..20 {
        greedy.send(&json!(["", "mon1", port]))?;
    }
    other.settle()?;
    greedy.settle().map_err(|failure| match failure {
        Failure::Wrong { actual, .. } => Failure::wrong("20 watches to be allowed where the limit is 20", actual),
        other => other,
    })?;
    // Fired watches do not count any more, and there is room for others.
    let second = greedy.new_port("echo")?;
    greedy.send(&json!(["", "kil1", port, "ended"]))?;
    for _ in 0..20 {
        greedy.ended_port(&port).breaks("MON-1")?;
    }
    for _ in 0..20 {
        greedy.send(&json!(["", "mon1", second]))?;
    }
    greedy.settle()?;
    // One more, on a port that is there since the beginning.
    greedy.send(&json!(["", "mon1", "echo"]))?;
    other.settle()?;
    t.ends(greedy);
    Ok(())
}
