//! Chapter 7, section 7.7: what arrives is a series of unbroken runs, and every watch fires between two of them.

use std::time::Duration;

use serde_json::json;

use crate::case::Case;
use crate::failure::{Breaks as _, Step, check};
use crate::peer::{Peer, same};
use crate::subject::Level::Node;
use crate::test::{Test, unique};

/// The cases of this section.
pub(super) const CASES: &[Case] = &[
    Case::new(
        "runs/cut-in-a-flood",
        &["MON-8", "PEER-4", "MSG-7"],
        "A connection is cut in the middle of a flood: what came is unbroken, the watch fires once, nothing comes later.",
        cut_in_a_flood,
    )
    .level(Node),
    Case::new(
        "runs/cut-while-sending",
        &["PEER-4", "PEER-1", "MON-7"],
        "While a node sends all the time, connections are cut: each message comes, in order, or its watch fires, once.",
        cut_while_sending,
    )
    .level(Node),
    Case::new(
        "runs/behind-the-watch",
        &["PEER-4", "PEER-2"],
        "What is sent when the watches have fired comes on the next connection, all of it, and nothing older with it.",
        behind_the_watch,
    )
    .level(Node),
    Case::new(
        "runs/end-within-a-packet",
        &["NODE-2", "MSG-7"],
        "When a connection ends within a packet, all whole packets in front of it are handled, in order, and nothing else.",
        end_within_a_packet,
    )
    .level(Node),
];

/// What the watch of this name says when its node is lost.
fn lost(observer: &mut Peer, name: &str) -> Step {
    let fired = observer.find(&format!("[{name:?}, \"transport_error\", …]"), |message| message.tag() == name)?;
    let right = fired.elements.get(2).is_some_and(|error| error == "transport_error");
    check(right, format!("[{name:?}, \"transport_error\", NODE, TEXT]"), fired.shown()).breaks("MON-8")
}

fn cut_in_a_flood(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|_| {})?;
    let mut observer = t.up_at(&subject)?;
    let mut peer = t.up_at(&subject)?;
    let node = peer.node().to_owned();
    for round in 0..4 {
        let (name, port) = (unique("watch")?, format!("flood {round}"));
        observer.control(&json!(["watch", name, peer.port("mine"), observer.port("fired")]))?;
        for _ in 0..4 {
            observer.control(&json!(["flood", peer.port(&port), 1000, 100]))?;
        }
        // In each round the cut is at another place, mostly within a packet.
        while peer.unread().len() < 1000 + round * 70_001 && peer.hears_within(t.patience)? {}
        // What the node is asked for behind the watch would be of the next run.
        observer.settle()?;
        peer.gather()?;
        let came = peer.take(|message| message.port() == port);
        for (number, message) in came.iter().enumerate() {
            let right = message.elements.get(1).is_some_and(|own| same(own, &(number % 1000).to_string()));
            let shown: String = message.shown().chars().take(80).collect();
            check(right, format!("number {} at {port:?}", number % 1000), shown).breaks("MSG-7")?;
        }
        check(!came.is_empty(), "the beginning of a flood", "nothing").breaks("PEER-2")?;
        drop(peer);
        lost(&mut observer, &name)?;
        peer = t.up_again(&subject, &node)?;
        peer.settle()?;
        let old = peer.take(|message| message.port().starts_with("flood"));
        check(old.is_empty(), "nothing of the run that has ended", old.len()).breaks("PEER-4")?;
    }
    observer.nothing_for("fired").breaks("MON-7")
}

fn cut_while_sending(t: &mut Test<'_>) -> Step {
    const EACH: usize = 300;
    let subject = t.subject(|start| start.timeouts.connect = Duration::from_secs(60))?;
    let (mut observer, node) = (t.up_at(&subject)?, unique("cut")?);
    let mut peer = t.up_again(&subject, &node)?;
    let mut came = [0; 12];
    let mut names = Vec::new();
    for round in 0..came.len() {
        let (name, port) = (unique("watch")?, format!("{node}#{round}"));
        observer.send_together(&[
            json!(["control", "watch", name, port, observer.port("fired")]),
            json!(["control", "flood", port, EACH, 100]),
        ])?;
        names.push(name);
        if round % 3 == 2 {
            // Now and then the end comes before all has come, or before the node has begun to send.
            if round % 2 == 0 {
                peer.hears_within(t.patience)?;
            }
            count(&mut peer, &mut came)?;
            drop(peer);
            peer = t.up_again(&subject, &node)?;
        }
    }
    observer.settle()?;
    peer.settle()?;
    count(&mut peer, &mut came)?;
    observer.settle()?;
    let fired = observer.take(|message| message.port() == "fired");
    for (round, name) in names.iter().enumerate() {
        let fired = fired.iter().filter(|message| message.tag() == name).count();
        check(fired <= 1, "a watch to fire once", format!("{fired} times")).breaks("MON-7")?;
        let told = came[round] == EACH || fired == 1;
        check(
            told,
            format!("{EACH} messages, or the watch to fire"),
            format!("{} messages, and it has not fired", came[round]),
        )?;
    }
    Ok(())
}

/// Counts what came for each port, on one connection: without holes, and nothing older behind something newer.
fn count(peer: &mut Peer, counts: &mut [usize]) -> Step {
    peer.gather()?;
    let mut newest = 0;
    let ports = |message: &crate::peer::Message| message.port().parse::<usize>().ok();
    for port in peer.take(|message| ports(message).is_some()).iter().filter_map(|message| {
        let number = message.elements.get(1)?;
        Some((ports(message)?, number.as_u64().or_else(|| number.as_str()?.parse().ok())?))
    }) {
        let (round, number) = port;
        check(round >= newest, format!("nothing for port {round} behind something for {newest}"), number).breaks("MSG-7")?;
        newest = round;
        let next = counts.get_mut(round);
        let right = next.as_ref().is_some_and(|next| **next as u64 == number);
        check(right, format!("number {} at port {round}", next.as_ref().map_or(0, |next| **next)), number)
            .breaks("MSG-7")?;
        if let Some(next) = next {
            *next += 1;
        }
    }
    Ok(())
}

fn behind_the_watch(t: &mut Test<'_>) -> Step {
    let subject = t.subject(|start| start.timeouts.connect = Duration::from_secs(60))?;
    let mut observer = t.up_at(&subject)?;
    let mut peer = t.up_at(&subject)?;
    let node = peer.node().to_owned();
    for round in 0..3 {
        let (to_itself, to_observer) = (unique("watch")?, unique("watch")?);
        observer.control(&json!(["watch", to_itself, peer.port("mine"), peer.port("fired")]))?;
        observer.control(&json!(["watch", to_observer, peer.port("other"), observer.port("fired")]))?;
        observer.control(&json!(["flood", peer.port("old"), 500, 1000]))?;
        observer.settle()?;
        drop(peer);
        lost(&mut observer, &to_observer)?;
        observer.control(&json!(["flood", format!("{node}#new"), 20, 10]))?;
        observer.settle()?;
        peer = t.up_again(&subject, &node)?;
        peer.settle()?;
        let came = peer.take(|message| ["mine", "fired", "old", "new"].contains(&message.port()));
        let old = came.iter().filter(|message| message.port() == "old").count();
        check(old == 0, "nothing of the run that has ended", format!("{old} messages in round {round}")).breaks("PEER-4")?;
        let new = came.iter().filter(|message| message.port() == "new").count();
        check(new == 20, "20 messages that were sent behind the watch", new).breaks("PEER-1")?;
        // What is sent because a watch fires is of the next run, too, whichever fires first.
        let told = came.iter().take_while(|message| message.port() == "fired").filter(|message| message.tag() == to_itself);
        let what = "what was sent because a watch fired, once, in front of what was sent later";
        let again = came.iter().filter(|message| message.port() == "fired").count();
        check(told.count() == 1 && again == 1, what, format!("{again} such messages, or another order")).breaks("PEER-1")?;
    }
    observer.nothing_for("fired").breaks("MON-7")
}

fn end_within_a_packet(t: &mut Test<'_>) -> Step {
    const WHOLE: usize = 300;
    let subject = t.subject(|_| {})?;
    let mut observer = t.up_at(&subject)?;
    let mut peer = t.up_at(&subject)?;
    let (node, watch) = (peer.node().to_owned(), unique("watch")?);
    observer.control(&json!(["watch", watch, node, observer.port("fired")]))?;
    observer.settle()?;
    let message = |number: usize| json!(["echo", format!("message {number}"), observer.port("came")]);
    let mut octets = Vec::new();
    for number in 0..WHOLE {
        octets.extend(peer.encode(&message(number))?);
    }
    let last = peer.encode(&message(WHOLE))?;
    octets.extend(&last[..last.len() - 1]);
    // All is read, so that the end is no reset, which would take back what is on its way.
    peer.settle()?;
    peer.send_octets(&octets, "300 packets, and one without its last octet");
    peer.end_direction();
    peer.ended_within(Duration::from_millis(200))?;
    drop(peer);
    lost(&mut observer, &watch)?;
    observer.settle()?;
    let came = observer.take(|message| message.port() == "came");
    for (number, message) in came.iter().enumerate() {
        let right = message.elements.get(1).is_some_and(|text| *text == format!("message {number}"));
        check(right && number < WHOLE, format!("message {number} of {WHOLE}"), message.shown())?;
    }
    check(came.len() == WHOLE, format!("{WHOLE} messages"), came.len())?;
    Ok(())
}
