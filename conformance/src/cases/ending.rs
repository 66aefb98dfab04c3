//! Chapter 7, section 7.4: ending ports from afar.

use serde_json::{Value as Json, json};

use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of this section.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "ending/with-reasons",
        &["KILL-1", "MON-1"],
        "A port that is ended from afar ends with the reasons that came, whatever values they are.",
        with_reasons,
    )
    .level(Node),
    Case::new(
        "ending/normally",
        &["KILL-1", "MON-1"],
        "A port that is ended without reasons ends without reasons.",
        normally,
    )
    .level(Node),
    Case::new(
        "ending/before-what-follows",
        &["KILL-1", "PORT-1"],
        "Messages in front of a kil1 in the same read reach the port, those behind it do not.",
        before_what_follows,
    )
    .level(Node),
    Case::new(
        "ending/watch-behind-it",
        &["KILL-1", "MON-2"],
        "A mon1 right behind the kil1 of the same port finds no port.",
        watch_behind_it,
    )
    .level(Node),
    Case::new("ending/twice", &["KILL-2"], "A kil1 for a port that is not there, or not any more, does nothing.", twice)
        .level(Node),
    Case::new("ending/node-port", &["KILL-2"], "The node port cannot be ended, whichever way it is named.", node_port)
        .level(Node),
    Case::new(
        "ending/by-another-node",
        &["KILL-1", "MON-1"],
        "A port that one node ends is ended for all others, too: whoever watches it is told the reasons.",
        by_another_node,
    )
    .level(Node),
    Case::new(
        "ending/by-itself",
        &["MON-1", "PORT-1"],
        "A port that ends itself tells who watches it, and gets nothing of what came behind that.",
        by_itself,
    )
    .level(Node),
    Case::new(
        "ending/sent",
        &["PEER-1"],
        "A node that is to end a port of another node sends kil1 with the name of the port and the reasons.",
        sent,
    )
    .level(Node),
];

/// Reasons that every language can say.
fn reasons() -> Vec<Json> {
    vec![json!("because"), json!(["of", ["this"], {}]), Json::Null, json!({"key ä": ["value €"]}), json!("")]
}

fn with_reasons(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "mon1", port]))?;
    peer.send(&["", "kil1", &port].into_iter().map(Json::from).chain(reasons()).collect())?;
    let told = peer.ended_port(&port)?;
    check(told == reasons(), Json::from(reasons()), json!(told))
}

fn normally(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "mon1", port]))?;
    peer.send(&json!(["", "kil1", port]))?;
    let told = peer.ended_port(&port)?;
    check(told.is_empty(), "no reasons", json!(told))
}

fn before_what_follows(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("echo")?;
    let to = peer.port("came");
    let message = |text: &str| json!([port, text, to]);
    peer.send_together(&[
        message("one"),
        message("two"),
        json!(["", "kil1", port, "enough"]),
        message("three"),
        message("four"),
    ])?;
    let came = peer.all_messages("came")?;
    check(json!(came) == json!([["one"], ["two"]]), json!([["one"], ["two"]]), json!(came))
}

fn watch_behind_it(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("echo")?;
    peer.send_together(&[json!(["", "kil1", port, "enough"]), json!(["", "mon1", port])])?;
    let told = peer.ended_port(&port)?;
    check(told.first().is_some_and(|reason| reason == "no_such_port"), "the reason \"no_such_port\"", json!(told))
}

fn twice(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = peer.new_port("echo")?;
    peer.send(&json!(["", "mon1", port]))?;
    for reason in ["first", "second"] {
        peer.send(&json!(["", "kil1", port, reason]))?;
    }
    peer.send(&json!(["", "kil1", unique("never-was")?, "x"]))?;
    let told = peer.all_ends(&port)?;
    check(json!(told) == json!([["first"]]), json!([["first"]]), json!(told))?;
    t.ends(peer);
    Ok(())
}

fn node_port(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    peer.send(&json!(["", "kil1", "", "x"]))?;
    peer.send(&json!(["", "kil1", null, "x"]))?;
    peer.send(&json!([null, "kil1", ""]))?;
    peer.settle()?;
    // Nor has it ended for others.
    let mut other = t.up()?;
    other.settle()
}

fn by_another_node(t: &mut Test<'_>) -> Step {
    let (mut first, mut second) = (t.up()?, t.up()?);
    let port = first.new_port("echo")?;
    first.send(&json!(["", "mon1", port]))?;
    first.settle()?;
    second.send(&json!(["", "mon1", port]))?;
    second.send(&json!(["", "kil1", port, "by the second"]))?;
    for peer in [&mut first, &mut second] {
        let told = peer.ended_port(&port)?;
        check(json!(told) == json!(["by the second"]), json!(["by the second"]), json!(told))?;
    }
    first.send(&json!([port, "anybody there?", first.port("came")]))?;
    first.nothing_for("came").breaks("PORT-1")
}

fn by_itself(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let port = unique("spawned")?;
    peer.send_together(&[
        json!(["", "AnyEvent::MP::_spawn", port, "conformance::port"]),
        json!(["", "mon1", port]),
        json!([port, "end", "my own", "reasons"]),
        json!([port, "echo", "too late", peer.port("came")]),
    ])?;
    let told = peer.ended_port(&port)?;
    check(json!(told) == json!(["my own", "reasons"]), json!(["my own", "reasons"]), json!(told))?;
    peer.nothing_for("came").breaks("PORT-1")
}

fn sent(t: &mut Test<'_>) -> Step {
    let mut peer = t.up()?;
    let end = |reasons: Vec<Json>, port: String| ["end".into(), port.into()].into_iter().chain(reasons).collect::<Json>();
    peer.control(&end(reasons(), peer.port("mine")))?;
    peer.control(&end(Vec::new(), peer.port("mine")))?;
    for expected in [reasons(), Vec::new()] {
        let told = peer.request("kil1", |arguments| arguments.first().is_some_and(|port| port == "mine"))?;
        check(told[1..] == expected, Json::from(expected), json!(told))?;
    }
    Ok(())
}
