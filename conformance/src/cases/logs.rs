//! Chapter 9: logs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::{Message, Peer};
use crate::subject::Feature::{Logs, Secure};
use crate::subject::Level::Node;
use crate::subject::Subject;
use crate::test::{Test, unique};

/// The cases of this chapter.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "logs/records",
        &["LOG-1", "LOG-2"],
        "A catcher gets the records of its level and of more important ones, in order, each as time, context, level and text.",
        records,
    )
    .level(Node)
    .needs(&[Logs]),
    Case::new("logs/each-level", &["LOG-1"], "Whichever level a catcher asks for, it gets what is as important, and no more.", each_level)
        .level(Node)
        .needs(&[Logs]),
    Case::new("logs/two-catchers", &["LOG-1"], "Each catcher gets the records of the level that it asked for.", two_catchers)
        .level(Node)
        .needs(&[Logs]),
    Case::new(
        "logs/catcher-ends",
        &["LOG-3"],
        "A node watches a catcher, and sends nothing more when that has ended.",
        catcher_ends,
    )
    .level(Node)
    .needs(&[Logs]),
    Case::new(
        "logs/catcher-lost",
        &["LOG-3"],
        "A catcher whose connection was lost gets nothing until it asks again.",
        catcher_lost,
    )
    .level(Node)
    .needs(&[Logs]),
    Case::new(
        "logs/new-level",
        &["LOG-4"],
        "A catcher that asks again gets the records of its new level from then on, each once.",
        new_level,
    )
    .level(Node)
    .needs(&[Logs]),
    Case::new(
        "logs/node-ports",
        &["LOG-5"],
        "Records are sent to no node port, neither of the node itself nor of any other.",
        node_ports,
    )
    .level(Node)
    .needs(&[Logs]),
    Case::new(
        "logs/strange-levels",
        &["LOG-6"],
        "A level above 9 is 9; one below 1, or what is no level, is ignored.",
        strange_levels,
    )
    .level(Node)
    .needs(&[Logs]),
    Case::new(
        "logs/not-of-logging",
        &["LOG-7"],
        "Nothing that a node does to send records makes further records, not even at the level of all details.",
        not_of_logging,
    )
    .level(Node)
    .alone()
    .needs(&[Logs]),
    Case::new(
        "logs/not-reading",
        &["LOG-8", "LOG-9"],
        "Records that a catcher does not take are dropped and counted; its connection stays, and others are not disturbed.",
        not_reading,
    )
    .level(Node)
    .once()
    .alone()
    .needs(&[Logs])
    .allows(&["some were dropped, and counted", "all came"]),
    Case::new("logs/secure", &["NODE-9"], "A node in secure mode does not take a catcher.", secure)
        .level(Node)
        .needs(&[Logs, Secure]),
];

const CONNECT: &str = "AnyEvent::MP::LogCatcher::connect";

/// A node that only these cases use, and a connection to it.
fn logging(t: &mut Test<'_>) -> Step<(Arc<Subject>, Peer)> {
    let subject = t.subject(|start| start.node = "subject-logs".into())?;
    let peer = t.up_at(&subject)?;
    Ok((subject, peer))
}

/// Has the port catch records.
fn catches(peer: &mut Peer, port: &str, level: i32) -> Step {
    peer.send(&json!(["", CONNECT, 0, peer.port(port), level]))
}

/// The levels at which every language logs: 6 is missing in many.
const LEVELS: [u8; 5] = [4, 5, 7, 8, 9];

/// Those of them that are as important as that one, or more.
fn up_to(level: u8) -> Vec<u8> {
    LEVELS.into_iter().filter(|logged| *logged <= level).collect()
}

/// Has the node log the label and the level, at each of these levels.
fn logs(peer: &mut Peer, label: &str, levels: impl IntoIterator<Item = u8>) -> Step {
    for level in levels {
        peer.control(&json!(["log", level, format!("{label} {level}")]))?;
    }
    Ok(())
}

/// A number that may have come as a text.
fn number(value: &Json) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// The level and the text of a record.
fn record(message: &Message) -> Step<(u8, &str)> {
    let right = match &message.elements[1..] {
        [time, context, level, text] => {
            let level = (1..=9).find(|known| number(level) == Some(f64::from(*known)));
            let known = number(time).is_some_and(|time| (1.6e9..1.0e10).contains(&time)) && context.is_string();
            level.zip(text.as_str()).filter(|_| known)
        }
        _ => None,
    };
    right.ok_or_else(|| Failure::wrong("a record: time, context, level 1 to 9, text", message.shown()).breaks("LOG-2"))
}

/// What this side's port has caught up to now, as far as the text contains `label`.
///
/// A node may make other records at any time, and it may take a moment until one is sent. As they are sent in order, all
/// have come when the last one has, which is logged for this at the most important level that there is.
fn caught(peer: &mut Peer, port: &str, label: &str) -> Step<Vec<(u8, String)>> {
    let last = unique("last")?;
    peer.control(&json!(["log", 4, last]))?;
    let is_last = |message: &Message| message.port() == port && message.elements.get(4).is_some_and(|text| *text == last);
    peer.find(&format!("a record {last:?} for the suite's port {port:?}"), is_last).breaks("LOG-1")?;
    let mut records = Vec::new();
    for message in peer.take(|message| message.port() == port) {
        let (level, text) = record(&message)?;
        if text.contains(label) {
            records.push((level, text.to_owned()));
        }
    }
    Ok(records)
}

/// The levels of records that were made by [`logs`] with that label.
fn levels(peer: &mut Peer, port: &str, label: &str) -> Step<Vec<u8>> {
    let records = caught(peer, port, label)?;
    for (level, text) in &records {
        check(*text == format!("{label} {level}"), format!("{:?} at the level {level}", format!("{label} {level}")), text)
            .breaks("LOG-2")?;
    }
    Ok(records.into_iter().map(|(level, _)| level).collect())
}

/// The port `port` has caught nothing with that label when another one has caught all.
fn caught_nothing(peer: &mut Peer, port: &str, label: &str) -> Step {
    catches(peer, "all", 9)?;
    caught(peer, "all", label)?;
    peer.settle()?;
    let came = peer.take(|message| message.port() == port && message.shown().contains(label));
    let came: Vec<_> = came.iter().map(Message::shown).collect();
    check(came.is_empty(), format!("no records for the suite's port {port:?}"), came.join(" "))
}

/// The port `port` catches no more, from some record on: a node may be about to send it something when it learns that the
/// port has ended.
fn catches_no_more(peer: &mut Peer, port: &str) -> Step {
    let until = Instant::now() + peer.patience;
    loop {
        let label = unique("label")?;
        logs(peer, &label, [4, 5])?;
        match caught_nothing(peer, port, &label) {
            Err(failure) if Instant::now() >= until => return Err(failure),
            Err(Failure::Wrong { .. }) => {}
            other => return other,
        }
    }
}

fn records(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = logging(t)?;
    let label = unique("label")?;
    catches(&mut peer, "catcher", 7)?;
    let order = [5, 4, 7, 8, 7, 9, 5, 5, 4];
    logs(&mut peer, &label, order)?;
    let came = levels(&mut peer, "catcher", &label)?;
    let right: Vec<_> = order.into_iter().filter(|level| *level <= 7).collect();
    check(came == right, format!("records of the levels {right:?}"), format!("{came:?}"))?;
    // A text may have line ends in it.
    let text = format!("two\nlines, € ä, \"quoted\" {label}");
    peer.control(&json!(["log", 5, text]))?;
    let came = caught(&mut peer, "catcher", &label)?;
    check(came == [(5, text.clone())], format!("the text {text:?}"), format!("{came:?}")).breaks("LOG-2")
}

fn each_level(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = logging(t)?;
    for level in 1..=9 {
        let (label, port) = (unique("label")?, format!("catcher {level}"));
        catches(&mut peer, &port, level.into())?;
        logs(&mut peer, &label, LEVELS)?;
        if level < 4 {
            caught_nothing(&mut peer, &port, &label)?;
        } else {
            let (came, right) = (levels(&mut peer, &port, &label)?, up_to(level));
            check(came == right, format!("the levels {right:?}, up to {level}"), format!("{came:?}"))?;
        }
        peer.send(&json!(["", "kil0", port]))?;
    }
    Ok(())
}

fn two_catchers(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = logging(t)?;
    let mut other = t.up_at(&subject)?;
    let label = unique("label")?;
    catches(&mut peer, "warnings", 5)?;
    catches(&mut peer, "details", 8)?;
    catches(&mut other, "warnings", 4)?;
    other.settle()?;
    logs(&mut peer, &label, LEVELS)?;
    for (port, level) in [("warnings", 5), ("details", 8)] {
        let (came, right) = (levels(&mut peer, port, &label)?, up_to(level));
        check(came == right, format!("the levels {right:?}, up to {level}"), format!("{came:?}"))?;
    }
    let came = levels(&mut other, "warnings", &label)?;
    check(came == [4], "the level 4", format!("{came:?}"))
}

/// The node asks to watch this port of the suite.
fn watched(peer: &mut Peer, port: &str) -> Step {
    peer.request("mon1", |arguments| arguments.first().is_some_and(|watched| watched == port)).map(|_| ())
}

fn catcher_ends(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = logging(t)?;
    for port in ["first", "second"] {
        catches(&mut peer, port, 7)?;
        watched(&mut peer, port)?;
    }
    peer.send(&json!(["", "kil0", "first", "ended"]))?;
    catches_no_more(&mut peer, "first")?;
    // A port that is not there.
    catches(&mut peer, "third", 7)?;
    watched(&mut peer, "third")?;
    peer.send(&json!(["", "kil0", "third", "no_such_port", "cannot monitor nonexistent port", peer.port("third")]))?;
    catches_no_more(&mut peer, "third")?;
    let label = unique("label")?;
    logs(&mut peer, &label, [5])?;
    let came = levels(&mut peer, "second", &label)?;
    check(came == [5], "the level 5 for the port that has not ended", format!("{came:?}")).breaks("LOG-1")
}

fn catcher_lost(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = logging(t)?;
    let (label, node) = (unique("label")?, peer.node().to_owned());
    catches(&mut peer, "catcher", 7)?;
    logs(&mut peer, &label, [4])?;
    let came = levels(&mut peer, "catcher", &label)?;
    check(came == [4], "the level 4", format!("{came:?}")).breaks("LOG-1")?;
    drop(peer);
    let mut back = t.up_again(&subject, &node)?;
    catches_no_more(&mut back, "catcher")?;
    catches(&mut back, "catcher", 7)?;
    let label = unique("label")?;
    logs(&mut back, &label, [7])?;
    let came = levels(&mut back, "catcher", &label)?;
    check(came == [7], "the level 7, now that it has asked again", format!("{came:?}")).breaks("LOG-1")
}

fn new_level(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = logging(t)?;
    for level in [5, 8, 4, 4, 7, 9] {
        let label = unique("label")?;
        catches(&mut peer, "catcher", level.into())?;
        logs(&mut peer, &label, LEVELS)?;
        let (came, right) = (levels(&mut peer, "catcher", &label)?, up_to(level));
        check(came == right, format!("the levels {right:?}, up to {level}"), format!("{came:?}"))?;
    }
    Ok(())
}

fn node_ports(t: &mut Test<'_>) -> Step {
    let (subject, mut peer) = logging(t)?;
    let mut other = t.up_at(&subject)?;
    let label = unique("label")?;
    let ports =
        [peer.node().to_owned(), peer.port(""), other.node().to_owned(), other.port(""), peer.subject()?, peer.their("")?];
    for port in ports {
        peer.send(&json!(["", CONNECT, 0, port, 7]))?;
    }
    logs(&mut peer, &label, [4, 5])?;
    for peer in [&mut peer, &mut other] {
        caught_nothing(peer, "", &label)?;
    }
    Ok(())
}

fn strange_levels(t: &mut Test<'_>) -> Step {
    let (_, mut peer) = logging(t)?;
    for (level, right) in [
        (json!(12), up_to(9)),
        (json!(1_000_000), up_to(9)),
        (json!("5"), up_to(5)),
        (json!(0), Vec::new()),
        (json!(-1), Vec::new()),
        (json!(-1_000_000), Vec::new()),
        (json!("much"), Vec::new()),
        (json!([5]), Vec::new()),
    ] {
        let (label, port) = (unique("label")?, unique("catcher")?);
        peer.send(&json!(["", CONNECT, 0, peer.port(&port), level]))?;
        logs(&mut peer, &label, LEVELS)?;
        if right.is_empty() {
            caught_nothing(&mut peer, &port, &label).breaks(if level.is_number() { "LOG-6" } else { "NODE-1" })?;
        } else {
            let came = levels(&mut peer, &port, &label)?;
            check(came == right, format!("the levels {right:?} with {level}"), format!("{came:?}"))?;
        }
        peer.send(&json!(["", "kil0", port]))?;
    }
    // One that asks for nothing that there is goes on as it was.
    let label = unique("label")?;
    catches(&mut peer, "catcher", 5)?;
    catches(&mut peer, "catcher", 0)?;
    logs(&mut peer, &label, LEVELS)?;
    let came = levels(&mut peer, "catcher", &label)?;
    check(came == [4, 5], "[4, 5], as connect with the level 0 is ignored", format!("{came:?}"))
}

fn not_of_logging(t: &mut Test<'_>) -> Step {
    // Nobody else makes this one do anything.
    let subject = t.start(|_| {})?;
    let mut peer = t.up_at(&subject)?;
    let label = unique("label")?;
    catches(&mut peer, "first", 9)?;
    catches(&mut peer, "second", 9)?;
    logs(&mut peer, &label, [5])?;
    peer.settle()?;
    let until = Instant::now() + t.patience;
    while peer.hears_within(Duration::from_millis(200))? {
        check(Instant::now() < until, "records to come to an end when nothing is done", "they go on")?;
    }
    for port in ["first", "second"] {
        let came = levels(&mut peer, port, &label)?;
        check(came == [5], "the level 5, once", format!("{came:?}")).breaks("LOG-1")?;
    }
    Ok(())
}

/// Records that are logged while nobody reads, and the octets of each: more than sockets hold.
const MANY: usize = 1600;
const OCTETS: usize = 10_000;

fn not_reading(t: &mut Test<'_>) -> Step {
    // Others must not get so much.
    let subject = t.start(|_| {})?;
    let (mut catcher, mut peer) = (t.up_at(&subject)?, t.up_at(&subject)?);
    let (label, watch) = (unique("label")?, unique("watch")?);
    peer.control(&json!(["watch", watch, catcher.port("catcher"), peer.port("fired")]))?;
    catches(&mut catcher, "catcher", 5)?;
    catcher.settle()?;
    let padding = "x".repeat(OCTETS);
    for item in 0..MANY {
        peer.control(&json!(["log", 5, format!("{label} {item} {padding}")]))?;
        if item % 50 == 0 {
            peer.settle()?;
        }
    }
    peer.settle()?;
    let mut came = Vec::new();
    let mut lost = 0;
    // It may take long; but something has to come all the time.
    let mut until = Instant::now() + t.patience;
    loop {
        let before = came.len() + lost;
        let hears = catcher.hears_within(Duration::from_millis(100))?;
        // What is told to be lost may have records of the node itself in it, so the number says nothing while more comes.
        if !hears && before >= MANY || Instant::now() >= until {
            break;
        }
        catcher.gather()?;
        for message in catcher.take(|message| message.port() == "catcher") {
            let (level, text) = record(&message)?;
            match text.strip_prefix(&label) {
                Some(rest) => came.push(rest.split(' ').nth(1).and_then(|item| item.parse::<usize>().ok())),
                None if level == 5 => lost += how_many(text),
                None => {}
            }
        }
        if came.len() + lost > before {
            until = Instant::now() + t.patience;
        }
    }
    let in_order = came.windows(2).all(|pair| pair[0] < pair[1]);
    check(in_order, "records in their order, each once", format!("{came:?}")).breaks("LOG-1")?;
    let right = came.len() + lost >= MANY && came.len() <= MANY;
    let told = format!("{} came, and {lost} are told to be lost", came.len());
    check(right, format!("{MANY} records, or records of the level 5 that tell how many are missing at least"), told)
        .breaks("LOG-9")?;
    catcher.settle()?;
    peer.nothing_for("fired")?;
    // The catcher is served again.
    logs(&mut peer, &label, [4])?;
    peer.settle()?;
    let again = levels(&mut catcher, "catcher", &label)?;
    check(again == [4], "[4]", format!("{again:?}")).breaks("LOG-1")?;
    t.outcome(if lost == 0 { "all came" } else { "some were dropped, and counted" });
    Ok(())
}

/// The first number in a text: how many records were lost.
fn how_many(text: &str) -> usize {
    let digits = |char: char| char.is_ascii_digit();
    let number = text.split(|char| !digits(char)).find(|part| !part.is_empty());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn secure(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.secure = true)?;
    let mut peer = t.up_at(&subject)?;
    let label = unique("label")?;
    catches(&mut peer, "catcher", 9)?;
    logs(&mut peer, &label, LEVELS)?;
    // There is no other catcher that could tell when a record would have come, so it is given a moment.
    let until = Instant::now() + Duration::from_millis(100);
    while Instant::now() < until {
        peer.nothing_for("catcher")?;
    }
    Ok(())
}
