//! Chapter 7, section 7.6: one connection between two nodes, and others that want to take its place.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::{Arbiter, Silence};
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of connections that stand.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "connections/to-its-own-node-alone",
        &["MSG-10"],
        "A message for a port of one node goes to that node, and to no other one.",
        to_its_own_node_alone,
    )
    .level(Node),
    Case::new(
        "connections/arbiter-key",
        &["PEER-6"],
        "A node that settles simultaneous connections says so in its greeting.",
        arbiter_key,
    )
    .level(Node)
    .once()
    .needs(&[Arbiter]),
    Case::new(
        "connections/second-while-up",
        &["PEER-5"],
        "A second connection in the name of a node that is up, and lives, is refused, also if it proves itself.",
        second_while_up,
    )
    .level(Node),
    Case::new(
        "connections/strangers-while-up",
        &["PEER-5"],
        "Connections in the name of a node that is up, which stall, end, or do not know the secret, take nothing from it.",
        strangers_while_up,
    )
    .level(Node)
    .stays(),
    Case::new(
        "connections/comes-back",
        &["PEER-9"],
        "A node that comes back while its old connection stands, and does not answer, takes its place when the watches have fired.",
        comes_back,
    )
    .level(Node)
    .once(),
    Case::new(
        "connections/stalled-stranger",
        &["PEER-8", "PEER-11"],
        "Whoever stalls in the name of a node keeps nobody out: another connection comes up, and the stalled one is closed.",
        stalled_stranger,
    )
    .level(Node)
    .once(),
    Case::new(
        "connections/both-at-once",
        &["PEER-11", "PEER-8"],
        "Of two connections of one node that prove themselves at the same time one comes up, and the other one is closed.",
        both_at_once,
    )
    .level(Node)
    .once(),
    Case::new(
        "connections/silent",
        &["PEER-10", "MON-8"],
        "A peer that says nothing is asked for a sign of life, and given up; its watches fire.",
        silent,
    )
    .level(Node)
    .needs(&[Silence]),
    Case::new(
        "connections/says-something",
        &["PEER-10"],
        "A peer that does not answer, but sends octets, or that answers only, is not given up.",
        says_something,
    )
    .level(Node)
    .needs(&[Silence])
    .once()
    .stays(),
];

/// What the watch of this name says when its node is lost.
fn lost(observer: &mut Peer, name: &str) -> Step {
    let fired = observer.find(&format!("[{name:?}, \"transport_error\", …]"), |message| message.tag() == name)?;
    let right = fired.elements.get(2).is_some_and(|error| error == "transport_error");
    check(right, format!("[{name:?}, \"transport_error\", NODE, TEXT]"), fired.shown()).breaks("MON-8")
}

fn to_its_own_node_alone(t: &mut Test<'_>) -> Step {
    let (mut one, mut other) = (t.up()?, t.up()?);
    let port = unique("alone")?;
    one.control(&json!(["send", one.port(&port), "something"]))?;
    let came = one.message(&port)?;
    check(came.len() == 1, "[\"something\"]", json!(came))?;
    other.nothing_for(&port).breaks("MSG-10")
}

fn arbiter_key(t: &mut Test<'_>) -> Step {
    let mut peer = t.connect()?;
    let greeting = peer.read_greeting()?;
    let key = greeting.keys.get("arbiter");
    check(key.is_some_and(|value| value == "1"), "arbiter=1", format!("{key:?}"))
}

fn second_while_up(t: &mut Test<'_>) -> Step {
    let (mut peer, mut observer) = (t.up()?, t.up()?);
    let name = unique("watch")?;
    observer.control(&json!(["watch", name, peer.node(), observer.port("fired")]))?;
    observer.settle()?;
    for round in 0..2 {
        let mut second = t.connect()?;
        second.greets.node = peer.node().to_owned();
        second.greet();
        if second.read_greeting().is_ok() && round == 1 {
            second.authenticate()?;
        }
        // Meanwhile the first one answers, if it is asked whether it lives.
        let until = Instant::now() + t.patience;
        let mut refused = false;
        while !refused && Instant::now() < until {
            peer.probe()?;
            refused = second.ended_within(Duration::from_millis(5))?.is_some();
        }
        t.should("PEER-9", refused, "the second connection to be closed", "it stays");
        peer.settle()?;
    }
    observer.nothing_for("fired")
}

fn strangers_while_up(t: &mut Test<'_>) -> Step {
    let (mut peer, mut observer) = (t.up()?, t.up()?);
    let name = unique("watch")?;
    observer.control(&json!(["watch", name, peer.node(), observer.port("fired")]))?;
    observer.settle()?;
    let mut strangers = Vec::new();
    for round in 0..9 {
        let mut stranger = t.connect()?;
        stranger.greets.node = peer.node().to_owned();
        stranger.secret = Some(b"not the secret".to_vec());
        stranger.greet();
        match round % 3 {
            0 => strangers.push(stranger),
            1 => drop(stranger),
            _ => {
                if stranger.read_greeting().is_ok() {
                    stranger.authenticate()?;
                }
                strangers.push(stranger);
            }
        }
        peer.probe()?;
    }
    peer.settle()?;
    observer.nothing_for("fired")?;
    t.ends(peer);
    Ok(())
}

fn comes_back(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|_| {})?;
    let (mut old, mut observer) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let (node, name) = (old.node().to_owned(), unique("watch")?);
    observer.control(&json!(["watch", name, old.port("mine"), observer.port("fired")]))?;
    observer.control(&json!(["send", old.port("old"), "x"]))?;
    observer.settle()?;
    // From now on nobody reads or answers there.
    let mut back = t.up_again(&subject, &node).map_err(|failure| match failure {
        Failure::Wrong { actual, .. } => {
            Failure::wrong("the old connection to be found dead, and the new one to come up", actual)
        }
        other => other,
    })?;
    back.settle()?;
    lost(&mut observer, &name)?;
    observer.control(&json!(["send", back.port("new"), "here"]))?;
    back.expect("new", &json!(["here"]))?;
    check(old.ended()?.is_some(), "the old connection to be closed", "it stays").breaks("PEER-11")?;
    back.settle()?;
    observer.nothing_for("fired").breaks("MON-7")
}

/// A node ID in front of that of the node under test, and one behind it; with and without the key `arbiter`.
const NODES: [(&str, bool); 4] = [("0", true), ("zz", true), ("0", false), ("zz", false)];

/// A connection of this node that has greeted.
fn greeted(t: &mut Test<'_>, node: &str, arbiter: bool) -> Step<Peer> {
    let mut peer = t.connect()?;
    peer.greets.node = node.to_owned();
    if arbiter {
        peer.greets.keys.push("arbiter=1".into());
    }
    peer.greet();
    peer.read_greeting()?;
    Ok(peer)
}

/// What a node breaks that lets none of several connections come up: that depends on whether it is the arbiter.
fn broken(peer: &Peer, arbiter: bool) -> Step<&'static str> {
    let greeting = peer.greeting.as_ref().ok_or_else(|| Failure::Suite("no greeting was read".into()))?;
    let decides = greeting.keys.contains_key("arbiter") && (!arbiter || greeting.node.as_str() < peer.node());
    Ok(if decides { "PEER-7" } else { "PEER-8" })
}

fn stalled_stranger(t: &mut Test<'_>) -> Step {
    for (prefix, arbiter) in NODES {
        let node = unique(prefix)?;
        let mut strangers = vec![greeted(t, &node, arbiter)?, greeted(t, &node, arbiter)?];
        let mut peer = greeted(t, &node, arbiter)?;
        strangers.push(greeted(t, &node, arbiter)?);
        let broken = broken(&peer, arbiter)?;
        peer.authenticate()?;
        peer.read_authentication().breaks(broken)?;
        peer.settle()?;
        for mut stranger in strangers {
            check(stranger.ended()?.is_some(), "all other connections to be closed", "one stays").breaks("PEER-11")?;
        }
        peer.settle()?;
    }
    Ok(())
}

fn both_at_once(t: &mut Test<'_>) -> Step {
    for (prefix, arbiter) in NODES {
        let node = unique(prefix)?;
        let mut both = [greeted(t, &node, arbiter)?, greeted(t, &node, arbiter)?];
        for peer in &mut both {
            peer.authenticate()?;
        }
        let broken = broken(&both[0], arbiter)?;
        let ended = first_end(&mut both, t.patience)?;
        let other = ended.ok_or_else(|| Failure::wrong("one of the two connections to be closed", "both stay"))?;
        let up = &mut both[1 - other];
        if up.receives.is_none() {
            up.read_authentication().breaks(broken)?;
        }
        up.settle().breaks("PEER-5")?;
    }
    Ok(())
}

/// Which of two connections ends. Meanwhile each that has come up is used, so that it answers if it is asked whether it
/// lives.
fn first_end(both: &mut [Peer; 2], patience: Duration) -> Step<Option<usize>> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        for (number, peer) in both.iter_mut().enumerate() {
            if peer.receives.is_some() {
                peer.probe().breaks("PEER-5")?;
            } else if peer.hears_within(Duration::from_millis(5))? && peer.unread().contains(&b'\n') {
                peer.read_authentication()?;
            } else if peer.ended_within(Duration::ZERO)?.is_some() {
                return Ok(Some(number));
            }
        }
    }
    Ok(None)
}

fn silent(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.silence = Duration::from_millis(600))?;
    let (mut peer, mut observer) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let (own, name) = (peer.subject()?, unique("watch")?);
    observer.control(&json!(["watch", name, peer.node(), observer.port("fired")]))?;
    // The observer answers when it is asked.
    let fired = observer.find("the watch to fire", |message| message.tag() == name).breaks("PEER-10")?;
    let right = fired.elements.get(2).is_some_and(|error| error == "transport_error");
    check(right, format!("[{name:?}, \"transport_error\", NODE, TEXT]"), fired.shown()).breaks("MON-8")?;
    check(peer.ended()?.is_some(), "the connection of a silent peer to be closed", "it stays").breaks("PEER-10")?;
    peer.gather()?;
    let asked = peer.has(|message| {
        message.port().is_empty()
            && message.tag() == "snd"
            && message.elements.get(2).and_then(Json::as_str).is_some_and(|to| to.starts_with(&own))
    });
    t.should("PEER-10", asked, format!("[\"\", \"snd\", {own:?}] before it is given up"), "nothing of that kind");
    Ok(())
}

fn says_something(t: &mut Test<'_>) -> Step {
    const SILENCE: Duration = Duration::from_secs(1);
    let subject = t.subject(|start| start.timeouts.silence = SILENCE)?;
    for _ in 0..5 {
        let (mut sends, mut answers) = (t.up_at(&subject)?, t.up_at(&subject)?);
        // A packet takes longer than the time of silence; nothing that the node asks is answered meanwhile.
        let octets = sends.encode(&json!(["echo", "slowly", sends.port("slow")]))?;
        let whole = SILENCE * 26 / 10;
        let pause = whole / u32::try_from(octets.len()).unwrap_or(1);
        let reading = std::thread::spawn(move || {
            // Reads, and answers what is asked of it, and says nothing else.
            let quiet = answers.find_before(Instant::now() + whole, "nothing", |_| false);
            (answers, quiet.is_err())
        });
        let longest = sends.send_slowly(&octets, pause, "a message");
        let Ok((mut answers, _)) = reading.join() else { return Err(Failure::Suite("a thread panicked".into())) };
        let slow = sends.expect("slow", &json!(["slowly"])).and_then(|()| answers.settle());
        if slow.is_err() && longest > SILENCE / 3 {
            // The suite itself had to wait, and was silent.
            continue;
        }
        slow.map_err(|failure| match failure {
            Failure::Wrong { actual, .. } => Failure::wrong("peers that send octets, or answer, not to be given up", actual),
            other => other,
        })?;
        t.ends(sends);
        return Ok(());
    }
    Err(Failure::Suite("this machine has too much to do for sending an octet in a third of a second".into()))
}
