//! Timers: what is due, in the order in which it is due.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::keys::{DataKey, PortKey, TimerHandle, TimerKey, Token};

/// What happens at a time.
pub(in crate::engine) enum Due {
    /// The host's work, which goes with the port if there is one.
    Task(Option<PortKey>, Token),
    /// The engine gives up waiting for a data connection, after so long.
    Data(DataKey, Duration),
}

/// What is due later.
#[derive(Default)]
pub(in crate::engine) struct Timers {
    due: BTreeMap<TimerKey, Due>,
    last: u64,
}

impl Timers {
    /// Returns how many timers there are.
    pub(in crate::engine) fn len(&self) -> usize {
        self.due.len()
    }

    /// Returns when the next timer is due.
    pub(in crate::engine) fn next(&self) -> Option<Duration> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(in crate::engine) fn insert(&mut self, at: Duration, due: Due) -> TimerHandle {
        self.last += 1;
        let key = (at, self.last);
        self.due.insert(key, due);
        TimerHandle(key)
    }

    pub(in crate::engine) fn remove(&mut self, key: TimerKey) -> Option<Due> {
        self.due.remove(&key)
    }

    /// Takes the first timer that is due by now.
    pub(in crate::engine) fn pop(&mut self, now: Duration) -> Option<(TimerKey, Due)> {
        let timer = self.due.first_entry().filter(|timer| timer.key().0 <= now)?;
        Some(timer.remove_entry())
    }
}
