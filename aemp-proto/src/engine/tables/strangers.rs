//! Who is let in: handshakes that others have begun, a share of them for each address, and what wrong tokens cost.
//!
//! A stranger pays nothing, so all that strangers get is bounded, and nobody can take what others need: when there is no
//! room, the connection that has said nothing for longest gives way.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::keys::ConnectionId;

/// Where a connection comes from: an address without its port. Whoever has an IPv6 network has 2^64 addresses, so those
/// count as one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Origin {
    /// The owner of the node did not say it.
    Unknown,
    V4([u8; 4]),
    V6([u8; 8]),
    /// Something else than an IP address.
    Other(Box<str>),
}

impl Origin {
    pub(in crate::engine) fn of(address: Option<&str>) -> Self {
        /// Octets of an address that is no IP address.
        const LONGEST: usize = 260;
        let Some(address) = address else { return Origin::Unknown };
        match address.parse::<SocketAddr>().map(|address| address.ip().to_canonical()) {
            Ok(IpAddr::V4(ip)) => Origin::V4(ip.octets()),
            Ok(IpAddr::V6(ip)) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Origin::V6([a, b, c, d, e, f, g, h])
            }
            Err(_) => Origin::Other(address.chars().take(LONGEST / 4).collect::<String>().into()),
        }
    }
}

/// How far a handshake has come, as far as it can give way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::engine) enum Stage {
    /// Nothing has been read.
    Silent,
    /// The greeting is not complete.
    Greeting,
    /// It has greeted, and gives way to nobody.
    Greeted,
}

struct Entering {
    origin: Origin,
    stage: Stage,
    since: Duration,
    /// It is not served before this time.
    held: Option<Duration>,
}

#[derive(Default)]
pub(in crate::engine) struct Share {
    pub(in crate::engine) count: usize,
    /// Those of them that can give way, the best first.
    pub(in crate::engine) replaceable: BTreeSet<(Stage, ConnectionId)>,
}

/// The handshakes that others have begun.
#[derive(Default)]
pub(in crate::engine) struct Admission {
    entering: BTreeMap<ConnectionId, Entering>,
    pub(in crate::engine) shares: BTreeMap<Origin, Share>,
    /// All that can give way, the best first.
    pub(in crate::engine) replaceable: BTreeSet<(Stage, ConnectionId)>,
    /// Those that are not served yet, by when they are.
    held: BTreeSet<(Duration, ConnectionId)>,
    /// Addresses that have sent wrong tokens, and until when that counts: each adds a while. When there are too many, the
    /// one goes that is forgiven first.
    wrong: BTreeMap<Origin, Duration>,
}

impl Admission {
    /// Addresses of which wrong tokens are remembered.
    const REMEMBERED: usize = 1_000;
    /// For how long one wrong token counts.
    const FORGIVEN: Duration = Duration::from_secs(12);
    /// Wrong tokens that cost nothing: five in a minute.
    const FREE: u32 = 5;
    /// Wrong tokens that count at most.
    const COUNTED: u32 = 15;
    /// How much later a handshake is served for each wrong token more: a second at most.
    const LATER: Duration = Duration::from_millis(100);

    /// How many there are.
    pub(in crate::engine) fn len(&self) -> usize {
        self.entering.len()
    }

    /// When the next one is to be served that is not yet.
    pub(in crate::engine) fn next(&self) -> Option<Duration> {
        self.held.first().map(|(at, _)| *at)
    }

    /// Whether a connection is not served yet.
    pub(in crate::engine) fn is_held(&self, id: ConnectionId) -> bool {
        !self.held.is_empty() && self.entering.get(&id).is_some_and(|entering| entering.held.is_some())
    }

    pub(in crate::engine) fn insert(&mut self, id: ConnectionId, origin: Origin, now: Duration) {
        let delay = self.delay(&origin, now);
        let held = (delay > Duration::ZERO).then(|| now.saturating_add(delay));
        self.held.extend(held.map(|at| (at, id)));
        let share = self.shares.entry(origin.clone()).or_default();
        share.count += 1;
        share.replaceable.insert((Stage::Silent, id));
        self.replaceable.insert((Stage::Silent, id));
        self.entering.insert(id, Entering { origin, stage: Stage::Silent, since: now, held });
    }

    pub(in crate::engine) fn remove(&mut self, id: ConnectionId) {
        let Some(entering) = self.entering.remove(&id) else { return };
        self.replaceable.remove(&(entering.stage, id));
        if let Some(at) = entering.held {
            self.held.remove(&(at, id));
        }
        if let Some(share) = self.shares.get_mut(&entering.origin) {
            share.replaceable.remove(&(entering.stage, id));
            share.count -= 1;
            if share.count == 0 {
                self.shares.remove(&entering.origin);
            }
        }
    }

    pub(in crate::engine) fn comes_to(&mut self, id: ConnectionId, stage: Stage) {
        let Some(entering) = self.entering.get_mut(&id) else { return };
        if entering.stage >= stage {
            return;
        }
        let before = core::mem::replace(&mut entering.stage, stage);
        let share = self.shares.entry(entering.origin.clone()).or_default();
        for replaceable in [&mut self.replaceable, &mut share.replaceable] {
            replaceable.remove(&(before, id));
            if stage < Stage::Greeted {
                replaceable.insert((stage, id));
            }
        }
    }

    /// Something was read.
    pub(in crate::engine) fn speaks(&mut self, id: ConnectionId) {
        self.comes_to(id, Stage::Greeting);
    }

    /// The greeting is complete.
    pub(in crate::engine) fn greeted(&mut self, id: ConnectionId) {
        self.comes_to(id, Stage::Greeted);
    }

    /// The other side has sent a wrong token.
    pub(in crate::engine) fn wrong_token(&mut self, id: ConnectionId, now: Duration) {
        let Some(origin) = self.entering.get(&id).map(|entering| entering.origin.clone()) else { return };
        if !self.wrong.contains_key(&origin) && self.wrong.len() >= Self::REMEMBERED {
            let first = self.wrong.iter().min_by_key(|(_, until)| **until).map(|(origin, _)| origin.clone());
            first.map(|first| self.wrong.remove(&first));
        }
        let until = self.wrong.entry(origin).or_insert(now);
        *until = (*until).max(now).saturating_add(Self::FORGIVEN).min(now.saturating_add(Self::FORGIVEN * Self::COUNTED));
    }

    /// Addresses from which wrong tokens have come lately.
    pub(in crate::engine) fn wrong_tokens(&self) -> usize {
        self.wrong.len()
    }

    /// Forgets the addresses that are forgiven.
    pub(in crate::engine) fn forgive(&mut self, now: Duration) {
        self.wrong.retain(|_, until| *until > now);
    }

    /// How much later a handshake from there is served (`SEC-11`).
    pub(in crate::engine) fn delay(&self, origin: &Origin, now: Duration) -> Duration {
        let Some(until) = self.wrong.get(origin) else { return Duration::ZERO };
        let counted = until.saturating_sub(now).as_millis().div_ceil(Self::FORGIVEN.as_millis()) as u32;
        Self::LATER * counted.saturating_sub(Self::FREE)
    }

    /// Those that are to be served from now on.
    pub(in crate::engine) fn released(&mut self, now: Duration) -> Vec<ConnectionId> {
        let mut released = Vec::new();
        while let Some(&(at, id)) = self.held.first()
            && at <= now
        {
            self.held.pop_first();
            self.entering.entry(id).and_modify(|entering| entering.held = None);
            released.push(id);
        }
        released
    }

    /// Those that have not greeted within the time.
    pub(in crate::engine) fn late(&self, now: Duration, limit: Duration) -> Vec<ConnectionId> {
        let since = |id: &ConnectionId| self.entering.get(id).map(|entering| entering.since);
        let late = |id: &ConnectionId| since(id).is_some_and(|since| now.saturating_sub(since) >= limit);
        self.replaceable.iter().map(|(_, id)| *id).filter(late).collect()
    }
}
