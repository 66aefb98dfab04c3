//! Chapter 7, section 7.6: two nodes that open connections to each other at the same time.

use std::time::{Duration, Instant};

use crate::case::Case;
use crate::failure::{Breaks as _, Failure, Step, check};
use crate::peer::Peer;
use crate::subject::Feature::{Arbiter, Listen};
use crate::subject::Level::Node;
use crate::test::{Listener, Test, unique};

/// An arbiter may insist on its choice, as long as one comes up.
const OUTCOMES: &[&str] = &[COMPLETED, INSISTED];
const COMPLETED: &str = "the connection that was completed came up";
const INSISTED: &str = "the arbiter wanted the other one";

/// What the words of the table mean.
macro_rules! words {
    (Arbiter) => {
        "The node is the arbiter"
    };
    (Alone) => {
        "Only the node follows the rules"
    };
    (Other) => {
        "The suite is the arbiter"
    };
    (ByNode) => {
        "the node's connection"
    };
    (BySuite) => {
        "the suite's connection"
    };
}

/// Cases by who is the arbiter, which connection greets first, and which one is completed.
macro_rules! orders {
    ($($name:literal $shows:literal $role:ident $first:ident $completed:ident)*) => { &[
        $(Case::new(
            $name,
            &[$shows, "PEER-11"],
            concat!(words!($role), "; ", words!($first), " greets first, and ", words!($completed), " is completed."),
            |t| mutual(t, Role::$role, Opened::$first, Opened::$completed),
        ).level(Node).once().alone().needs(&[Listen, Arbiter]).allows(OUTCOMES),)*
    ] };
}

/// The connections of both sides, in all orders.
pub(super) const ORDERS: &[Case] = orders! {
    "mutual/arbiter-own-first-own"     "PEER-7" Arbiter ByNode  ByNode
    "mutual/arbiter-own-first-other"   "PEER-7" Arbiter ByNode  BySuite
    "mutual/arbiter-other-first-own"   "PEER-7" Arbiter BySuite ByNode
    "mutual/arbiter-other-first-other" "PEER-7" Arbiter BySuite BySuite
    "mutual/alone-own-first-own"       "PEER-7" Alone   ByNode  ByNode
    "mutual/alone-own-first-other"     "PEER-7" Alone   ByNode  BySuite
    "mutual/alone-other-first-own"     "PEER-7" Alone   BySuite ByNode
    "mutual/alone-other-first-other"   "PEER-7" Alone   BySuite BySuite
    "mutual/other-own-first-own"       "PEER-8" Other   ByNode  ByNode
    "mutual/other-own-first-other"     "PEER-8" Other   ByNode  BySuite
    "mutual/other-other-first-own"     "PEER-8" Other   BySuite ByNode
    "mutual/other-other-first-other"   "PEER-8" Other   BySuite BySuite
};

/// Several connections that the node under test opened.
pub(super) const SEEDS: &[Case] = &[
    Case::new(
        "mutual/arbiter-sends-one-line",
        &["PEER-7"],
        "An arbiter that has opened two connections to the same node proves itself on one, and on the other only when that one fails.",
        sends_one_line,
    )
    .level(Node)
    .once()
    .alone()
    .needs(&[Arbiter]),
    Case::new(
        "mutual/other-goes-on-with-both",
        &["PEER-8", "PEER-11"],
        "A node that is not the arbiter goes on with both connections that it has opened, until one of them is up.",
        goes_on_with_both,
    )
    .level(Node)
    .once()
    .alone()
    .needs(&[Arbiter]),
];

/// What the node under test is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The arbiter, as its ID is the lower one.
    Arbiter,
    /// The arbiter, as the suite does not send the key.
    Alone,
    /// Not the arbiter.
    Other,
}

impl Role {
    /// What the suite greets with.
    fn node(self) -> Step<String> {
        unique(if self == Role::Other { "0" } else { "zz" })
    }

    fn greets(self, peer: &mut Peer, node: &str) {
        node.clone_into(&mut peer.greets.node);
        if self != Role::Alone {
            peer.greets.keys.push("arbiter=1".into());
        }
    }

    /// What a node breaks that does not let a connection come up.
    fn broken(self) -> &'static str {
        if self == Role::Other { "PEER-8" } else { "PEER-7" }
    }
}

/// Who has opened a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    ByNode,
    BySuite,
}

fn mutual(t: &mut Test<'_>, role: Role, first: Opened, completed: Opened) -> Step {
    let node = role.node()?;
    let listener = t.listener()?;
    let subject = t.start(|start| start.seeds = vec![listener.address.to_string()])?;
    let (mut by_node, mut by_suite) = (t.accept(&listener)?, t.dial(&subject)?);
    for peer in [&mut by_node, &mut by_suite] {
        role.greets(peer, &node);
    }
    let (earlier, later) =
        if first == Opened::ByNode { (&mut by_node, &mut by_suite) } else { (&mut by_suite, &mut by_node) };
    for peer in [earlier, later] {
        peer.greet();
        peer.read_greeting().breaks(role.broken())?;
        // That it has read it cannot be seen from outside. If it has not, this is the other order, and right, too.
        std::thread::sleep(Duration::from_millis(20));
    }
    let (up, other) =
        if completed == Opened::ByNode { (&mut by_node, &mut by_suite) } else { (&mut by_suite, &mut by_node) };
    let (up, other) = match completes(up).breaks(role.broken()) {
        Ok(()) => {
            t.outcome(COMPLETED);
            (up, other)
        }
        Err(failure) if role == Role::Other => return Err(failure),
        Err(_) => {
            t.outcome(INSISTED);
            completes(other).breaks(role.broken())?;
            (other, up)
        }
    };
    check(other.ended()?.is_some(), "the other connection to be closed", "it stays").breaks("PEER-11")?;
    up.settle().breaks("PEER-5")
}

/// Proves itself on this connection, and it comes up.
fn completes(peer: &mut Peer) -> Step {
    peer.authenticate()?;
    peer.read_authentication()?;
    peer.settle()
}

/// A node that was told of two seeds, both of which are the same node: its connections, on which it has greeted.
fn two_seeds(t: &mut Test<'_>, role: Role, node: &str) -> Step<([Listener; 2], [Peer; 2])> {
    let listeners = [t.listener()?, t.listener()?];
    t.start(|start| start.seeds = listeners.each_ref().map(|listener| listener.address.to_string()).to_vec())?;
    let mut both = [t.accept(&listeners[0])?, t.accept(&listeners[1])?];
    for peer in &mut both {
        role.greets(peer, node);
        peer.read_greeting()?;
    }
    Ok((listeners, both))
}

fn sends_one_line(t: &mut Test<'_>) -> Step {
    for role in [Role::Arbiter, Role::Alone] {
        let node = role.node()?;
        let (listeners, [mut first, mut second]) = two_seeds(t, role, &node)?;
        first.greet();
        first.read_authentication()?;
        second.greet();
        second.hears_within(Duration::from_millis(300))?;
        check(
            second.unread().is_empty(),
            "no authentication line on the second connection while the first one stands",
            "one",
        )?;
        drop(first);
        if completes(&mut second).is_err() {
            // It may have closed that one, and try again.
            let (mut accepted, until) = (None, Instant::now() + t.patience);
            while accepted.is_none() && Instant::now() < until {
                for listener in &listeners {
                    accepted = accepted.or(t.accept_within(listener, Duration::from_millis(10))?);
                }
            }
            let mut again =
                accepted.ok_or_else(|| Failure::wrong("another connection, when the first one has failed", "none"))?;
            role.greets(&mut again, &node);
            again.handshake()?;
            again.settle()?;
        }
    }
    Ok(())
}

fn goes_on_with_both(t: &mut Test<'_>) -> Step {
    for completed in [0, 1] {
        let (_listeners, mut both) = two_seeds(t, Role::Other, &Role::Other.node()?)?;
        for peer in &mut both {
            peer.greet();
            peer.read_authentication()?;
        }
        let [first, second] = &mut both;
        let (up, other) = if completed == 0 { (first, second) } else { (second, first) };
        up.authenticate()?;
        up.settle()?;
        check(other.ended()?.is_some(), "the other connection to be closed", "it stays").breaks("PEER-11")?;
        up.settle().breaks("PEER-5")?;
    }
    Ok(())
}
