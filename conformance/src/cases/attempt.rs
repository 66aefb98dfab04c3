//! Handshakes, right and wrong, in both directions: what many cases differ in is one step only.

use std::time::{Duration, Instant};

use aemp_proto::line::Authentication;

use crate::case::{Case, End};
use crate::failure::{Failure, Step};
use crate::peer::Peer;
use crate::subject::{Feature, Level, Start};
use crate::test::{Listener, Test};

/// One handshake that is tried with the node under test, and how it must end.
///
/// It makes a case of its own where the node accepts the connection. Where the node opens it, all of a table are tried in
/// one case, with one process.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    /// The name of the case.
    pub(super) name: &'static str,
    /// What it proves. The first one is what is broken, unless a step says otherwise.
    pub(super) proves: &'static [&'static str],
    /// What is tried.
    pub(super) about: &'static str,
    /// What the suite does on a connection that stands. The greeting of the node has been read, nothing has been sent.
    pub(super) act: fn(&mut Peer) -> Step,
}

/// The cases of a table, where the node accepts.
pub(super) const fn accepting<const N: usize>(
    table: &[Attempt; N],
    level: Level,
    needs: &'static [Feature],
    end: End,
    run: fn(&mut Test<'_>) -> Step,
) -> [Case; N] {
    let mut cases = [Case::new("", &[], "", run).level(level).needs(needs).once(); N];
    let mut at = 0;
    while at < N {
        cases[at].name = table[at].name;
        cases[at].proves = table[at].proves;
        cases[at].about = table[at].about;
        cases[at].end = end;
        at += 1;
    }
    cases
}

/// Does the attempt that has the name of the case. Its connection is the one whose end is judged.
pub(super) fn accepted(t: &mut Test<'_>, table: &[Attempt], change: impl FnOnce(&mut Start)) -> Step {
    let attempt = table.iter().find(|attempt| attempt.name == t.name());
    let attempt = attempt.ok_or_else(|| Failure::Suite("a case without its attempt".into()))?;
    let mut peer = met(t, change)?;
    peer.read_greeting()?;
    (attempt.act)(&mut peer)?;
    t.ends(peer);
    Ok(())
}

/// A connection to a node that listens; or by a node that does not, and is started for it. Nothing is sent yet.
pub(super) fn met(t: &mut Test<'_>, change: impl FnOnce(&mut Start)) -> Step<Peer> {
    let mut start = Start::default();
    change(&mut start);
    let subject = t.subject(|it| *it = start.clone())?;
    if subject.address.is_some() {
        t.dial(&subject)
    } else {
        t.dialled(|it| *it = Start { seeds: it.seeds.clone(), ..start })
    }
}

/// How long each attempt waits after one has failed: whoever does not close once will hardly do so the next time.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// Does all attempts of a table with one node that opens the connections, and remarks on those that end otherwise than they
/// must.
///
/// The node may open them all at once, or one after the other.
pub(super) fn opened(t: &mut Test<'_>, table: &[Attempt], end: End, change: impl FnOnce(&mut Start)) -> Step {
    let mut waiting: Vec<(&Attempt, Listener)> =
        table.iter().map(|attempt| Ok((attempt, t.listener()?))).collect::<Step<_>>()?;
    let seeds = waiting.iter().map(|(_, listener)| listener.address.to_string()).collect();
    t.start(|start| {
        start.seeds = seeds;
        change(start);
    })?;
    // A log for each connection: what passed on the others only hides what went wrong.
    let mut shown = None;
    let started = t.log.clone();
    while !waiting.is_empty() {
        let (at, peer) = next(t, &waiting)?;
        let (attempt, _) = waiting.swap_remove(at);
        if let Err(failure) = one_opened(attempt, end, peer) {
            let Failure::Wrong { requirement, expected, actual } = failure else { return Err(failure) };
            let requirement = requirement.unwrap_or(attempt.proves[0]);
            t.should(requirement, false, format!("{} {expected}", attempt.about), actual);
            shown.get_or_insert_with(|| t.log.clone());
            t.patience = t.patience.min(AFTER_A_FAILURE);
        }
    }
    t.log = shown.unwrap_or(started);
    Ok(())
}

/// The next connection to any of the listeners.
fn next(t: &mut Test<'_>, waiting: &[(&Attempt, Listener)]) -> Step<(usize, Peer)> {
    let until = Instant::now() + t.patience;
    t.log = t.log.anew();
    while Instant::now() < until {
        for (at, (_, listener)) in waiting.iter().enumerate() {
            if let Some(peer) = t.accept_within(listener, Duration::ZERO)? {
                return Ok((at, peer));
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let addresses: Vec<_> = waiting.iter().map(|(_, listener)| listener.address.to_string()).collect();
    Err(Failure::wrong(format!("connections to {}, which `seeds` names", addresses.join(", ")), "no further one came"))
}

fn one_opened(attempt: &Attempt, end: End, mut peer: Peer) -> Step {
    peer.read_greeting()?;
    (attempt.act)(&mut peer)?;
    match end {
        End::Closes => peer.expect_end(),
        End::Stays => peer.probe(),
        End::Free => Ok(()),
    }
}

/// Takes the node's authentication line off what comes, if it sends one before it closes: an acceptor should not [AUTH-4].
pub(super) fn hears_out(peer: &mut Peer) -> Step {
    let until = Instant::now() + peer.patience;
    while !peer.unread().contains(&b'\n') {
        let before = peer.unread().len();
        peer.hears_within(until.saturating_duration_since(Instant::now()))?;
        if peer.unread().len() == before {
            return Ok(());
        }
    }
    let line = peer.unread().split(|octet| *octet == b'\n').next().unwrap_or_default();
    if Authentication::parse(line.strip_suffix(b"\r").unwrap_or(line)).is_ok() {
        peer.read_line("its authentication line")?;
    }
    Ok(())
}
