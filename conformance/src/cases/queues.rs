//! Chapter 7, section 7.6: what waits for a node to which there is no connection, or that does not read.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Message, Peer, same};
use crate::subject::Feature::Limits;
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of queues.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "queues/before-connecting",
        &["PEER-1", "PEER-2"],
        "What is sent to a node without a connection is kept, and comes first and in order when there is one.",
        before_connecting,
    )
    .level(Node)
    .allows(KEPT),
    Case::new(
        "queues/requests-too",
        &["PEER-1", "PEER-2"],
        "Watches and ends for a node without a connection are kept in their order among the messages.",
        requests_too,
    )
    .level(Node)
    .allows(KEPT),
    Case::new(
        "queues/given-up",
        &["MON-10", "FIND-6"],
        "What was kept for a node that could not be reached in time does not come later, behind the watch that has fired.",
        given_up,
    )
    .level(Node),
    Case::new(
        "queues/too-much-without-connection",
        &["PEER-3", "PEER-4"],
        "When too much is kept for a node without a connection, its watches fire, and what was kept is dropped.",
        too_much_without_connection,
    )
    .level(Node)
    .needs(&[Limits]),
    Case::new(
        "queues/too-much-for-all",
        &["PEER-3"],
        "What is kept for many nodes without a connection is bounded, too, and each loss is told.",
        too_much_for_all,
    )
    .level(Node)
    .once()
    .needs(&[Limits])
    .allows(&["some were given up", "all were kept"]),
    Case::new(
        "queues/not-reading",
        &["PEER-3", "MON-8"],
        "A peer that does not read is lost when too much waits for it; what it got is unbroken, others are not disturbed.",
        not_reading,
    )
    .level(Node)
    .needs(&[Limits]),
];

/// A node may also give up at once when nobody can tell it where the other one is.
const KEPT: &[&str] = &["it is kept", "it is given up at once"];

/// Longer than any case: whatever fires here does so for another reason.
const NEVER: Duration = Duration::from_secs(60);

/// What the watch of this name says when its node is lost.
fn lost(observer: &mut Peer, name: &str) -> Step {
    let fired = observer.find(&format!("[{name:?}, \"transport_error\", …]"), |message| message.tag() == name)?;
    let right = fired.elements.get(2).is_some_and(|error| error == "transport_error");
    check(right, format!("[{name:?}, \"transport_error\", NODE, TEXT]"), fired.shown())
}

/// How many messages of a flood came to the port, one after the other from number 0 on: it must not have holes.
fn unbroken(peer: &mut Peer, port: &str) -> Step<usize> {
    let came = peer.take(|message| message.port() == port);
    for (number, message) in came.iter().enumerate() {
        let right = message.elements.get(1).is_some_and(|own| same(own, &number.to_string()));
        let shown: String = message.shown().chars().take(80).collect();
        check(right, format!("number {number} at {port:?}"), shown).breaks("PEER-2")?;
    }
    Ok(came.len())
}

fn before_connecting(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = NEVER)?;
    let (mut observer, node, name) = (t.up_at(&subject)?, unique("later")?, unique("watch")?);
    observer.control(&json!(["watch", name, node, observer.port("fired")]))?;
    observer.control(&json!(["flood", format!("{node}#first"), 200, 100]))?;
    observer.control(&json!(["send", format!("{node}#first"), "200"]))?;
    observer.settle()?;
    let mut peer = t.up_again(&subject, &node)?;
    observer.control(&json!(["flood", format!("{node}#second"), 50, 10]))?;
    observer.settle()?;
    let given_up = !observer.take(|message| message.tag() == name).is_empty();
    peer.settle()?;
    let all = peer.take(|message| ["first", "second"].contains(&message.port()));
    let shown = |count: usize, port: &str| (0..count).map(|number| format!("{port} {number}")).collect::<Vec<_>>();
    let came: Vec<_> = all
        .iter()
        .map(|message| match message.elements.get(1) {
            Some(Json::String(text)) => format!("{} {text}", message.port()),
            other => format!("{} {}", message.port(), other.unwrap_or(&Json::Null)),
        })
        .collect();
    let newer = shown(50, "second");
    if given_up && came == newer {
        t.outcome("it is given up at once");
        return Ok(());
    }
    let right = [shown(201, "first"), newer].concat();
    let wrong = || {
        let at = came.iter().zip(&right).position(|(came, right)| came != right).unwrap_or(came.len().min(right.len()));
        (right.get(at).map_or("nothing more", String::as_str), came.get(at).map_or("nothing more", String::as_str))
    };
    let order = came.len() == right.len();
    check(came == right, wrong().0, wrong().1).breaks(if order { "PEER-2" } else { "PEER-1" })?;
    check(!given_up, "no watch to fire where nothing was lost", "it fired").breaks("MON-8")?;
    t.outcome("it is kept");
    Ok(())
}

fn requests_too(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = NEVER)?;
    let (mut observer, node) = (t.up_at(&subject)?, unique("later")?);
    let port = format!("{node}#port");
    let (first, second) = (unique("watch")?, unique("watch")?);
    observer.control(&json!(["watch", first, port, observer.port("fired")]))?;
    observer.control(&json!(["send", port, "before"]))?;
    observer.control(&json!(["watch", second, format!("{node}#other"), observer.port("fired")]))?;
    observer.control(&json!(["end", port, "ended"]))?;
    observer.control(&json!(["send", port, "behind"]))?;
    observer.settle()?;
    let mut peer = t.up_again(&subject, &node)?;
    peer.settle()?;
    let came = peer.take(|message| message.port() == "port" || ["mon1", "kil1"].contains(&message.tag()));
    let came: Vec<_> = came.into_iter().map(|message| Json::from(message.elements)).collect();
    observer.settle()?;
    let fired = observer.take(|message| message.port() == "fired");
    if came.is_empty() && fired.len() == 2 {
        t.outcome("it is given up at once");
        return Ok(());
    }
    let right = json!([
        ["", "mon1", "port"],
        ["port", "before"],
        ["", "mon1", "other"],
        ["", "kil1", "port", "ended"],
        ["port", "behind"]
    ]);
    check(json!(came) == right, right, json!(came))?;
    for (name, port) in [(&first, "port"), (&second, "other")] {
        peer.send(&json!(["", "kil0", port, "told"]))?;
        observer.expect("fired", &json!([name, "told"])).breaks("MON-4")?;
    }
    t.outcome("it is kept");
    Ok(())
}

fn given_up(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = Duration::from_millis(400))?;
    let (mut observer, node, name) = (t.up_at(&subject)?, unique("later")?, unique("watch")?);
    observer.control(&json!(["watch", name, format!("{node}#port"), observer.port("fired")]))?;
    observer.control(&json!(["flood", format!("{node}#early"), 20, 10]))?;
    lost(&mut observer, &name)?;
    let mut peer = t.up_again(&subject, &node)?;
    peer.settle()?;
    let early = peer.take(|message| message.port() == "early" || message.tag() == "mon1");
    check(early.is_empty(), "nothing of what was sent before the watch fired", early.len()).breaks("FIND-6")?;
    observer.control(&json!(["flood", peer.port("late"), 20, 10]))?;
    observer.settle()?;
    peer.settle()?;
    let late = unbroken(&mut peer, "late")?;
    check(late == 20, "20 messages that were sent later", late).breaks("PEER-4")
}

fn too_much_without_connection(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| {
        start.timeouts.connect = NEVER;
        start.limits.waiting = Some(100_000);
    })?;
    let (mut observer, node, name) = (t.up_at(&subject)?, unique("later")?, unique("watch")?);
    observer.control(&json!(["watch", name, format!("{node}#port"), observer.port("fired")]))?;
    observer.control(&json!(["flood", format!("{node}#early"), 500, 1000]))?;
    lost(&mut observer, &name)?;
    observer.settle()?;
    let mut peer = t.up_again(&subject, &node)?;
    peer.settle()?;
    // What was sent behind the loss, and after the watch had fired, is a run of its own.
    let early = peer.take(|message| message.port() == "early");
    let number = |message: &Message| {
        let number = message.elements.get(1)?;
        number.as_u64().or_else(|| number.as_str()?.parse().ok())
    };
    let numbers: Vec<Option<u64>> = early.iter().map(number).collect();
    let unbroken_to_the_end =
        numbers.iter().rev().enumerate().all(|(back, number)| *number == 499_u64.checked_sub(back as u64));
    let right = numbers.len() < 500 && unbroken_to_the_end;
    check(right, "nothing, or what came behind the loss", format!("the numbers {numbers:?}"))?;
    observer.control(&json!(["flood", peer.port("late"), 20, 10]))?;
    observer.settle()?;
    peer.settle()?;
    let late = unbroken(&mut peer, "late")?;
    check(late == 20, "20 messages that were sent later", late).breaks("PEER-4")?;
    observer.nothing_for("fired").breaks("MON-7")
}

fn too_much_for_all(t: &mut Test<'_>) -> Step {
    const NODES: usize = 300;
    const EACH: usize = 40;
    let subject = t.start(|start| {
        start.timeouts.connect = NEVER;
        start.limits.waiting = Some(100_000);
    })?;
    let mut observer = t.up_at(&subject)?;
    let nodes: Vec<_> = (0..NODES).map(|_| unique("nobody")).collect::<Step<_>>()?;
    for node in &nodes {
        observer.control(&json!(["watch", node, node, observer.port("fired")]))?;
        observer.control(&json!(["flood", format!("{node}#port"), EACH, 1000]))?;
    }
    observer.settle()?;
    let mut given_up = std::collections::BTreeSet::new();
    for fired in observer.take(|message| message.port() == "fired") {
        let name = fired.tag().to_owned();
        let right = fired.elements.get(2).is_some_and(|error| error == "transport_error");
        check(right && given_up.insert(name), "each watch once, with transport_error", fired.shown()).breaks("MON-7")?;
    }
    // Those that were not told of have lost nothing.
    for node in nodes.iter().filter(|node| !given_up.contains(*node)).step_by(7).take(10) {
        let mut peer = t.up_again(&subject, node)?;
        peer.settle()?;
        let came = unbroken(&mut peer, "port")?;
        check(came == EACH, format!("{EACH} messages, as no watch has fired"), came).breaks("PEER-1")?;
    }
    t.outcome(if given_up.is_empty() { "all were kept" } else { "some were given up" });
    Ok(())
}

fn not_reading(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.limits.waiting = Some(200_000))?;
    let (mut peer, mut observer) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let (node, name) = (peer.node().to_owned(), unique("watch")?);
    observer.control(&json!(["watch", name, peer.port("mine"), observer.port("fired")]))?;
    // Several times what sockets hold by themselves, in portions below the limit.
    let until = Instant::now() + t.patience;
    let mut floods = 0;
    while !observer.has(|message| message.tag() == name) {
        let text = format!("a loss after {floods} floods of 100 kB that nobody reads");
        if floods >= 400 && Instant::now() > until {
            return Err(Failure::wrong(text, "none was told"));
        }
        if floods < 400 {
            observer.control(&json!(["flood", peer.port(&format!("flood {floods}")), 10, 10_000]))?;
            floods += 1;
        }
        observer.settle().breaks("PEER-3")?;
    }
    lost(&mut observer, &name)?;
    check(peer.ended()?.is_some(), "the connection of the one that does not read to be closed", "it stays")
        .breaks("PEER-3")?;
    peer.gather()?;
    let mut whole = true;
    for flood in 0..floods {
        let came = unbroken(&mut peer, &format!("flood {flood}"))?;
        check(whole || came == 0, "nothing behind a hole", format!("{came} messages")).breaks("PEER-4")?;
        whole = came == 10;
    }
    let mut back = t.up_again(&subject, &node)?;
    back.settle()?;
    let old = back.take(|message| message.port().starts_with("flood"));
    check(old.is_empty(), "nothing of the run that has ended", old.len()).breaks("PEER-4")?;
    observer.control(&json!(["flood", back.port("late"), 20, 10]))?;
    observer.settle()?;
    back.settle()?;
    let late = unbroken(&mut back, "late")?;
    check(late == 20, "20 messages that were sent later", late).breaks("PEER-4")?;
    observer.nothing_for("fired").breaks("MON-7")
}
