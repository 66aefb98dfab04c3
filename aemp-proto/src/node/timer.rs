//! Code that runs at a time.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::time::Duration;

use super::context::Context;
use super::core::Core;
use super::port::PortKey;
use super::reasons::Outcome;

/// Code that runs once.
pub(super) type Task = Box<dyn FnOnce(&mut Context<'_>) -> Outcome>;

/// When, and which of those that are due then.
pub(super) type TimerKey = (Duration, u64);

/// A timer that was set, to give it up. Dropping it does nothing: the timer stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerHandle(TimerKey);

/// What runs later, in the name of whom.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeMap<TimerKey, (Option<PortKey>, Task)>,
    last: u64,
}

impl Timers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.due.len()
    }

    pub(super) fn next(&self) -> Option<Duration> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn remove(&mut self, key: TimerKey) -> Option<(Option<PortKey>, Task)> {
        self.due.remove(&key)
    }
}

impl Core {
    pub(super) fn after(&mut self, time: Duration, port: Option<PortKey>, task: Task) -> TimerHandle {
        self.timers.last += 1;
        let key = (self.now.saturating_add(time), self.timers.last);
        self.timers.due.insert(key, (port, task));
        if let Some(port) = port.and_then(|port| self.ports.get(port)) {
            port.hold().timers.insert(key);
        }
        TimerHandle(key)
    }

    /// Gives a timer up; false if it has run, or is about to.
    pub(super) fn cancel(&mut self, timer: &TimerHandle) -> bool {
        let Some((port, task)) = self.timers.remove(timer.0) else { return false };
        self.forget_timer(port, timer.0);
        self.discard(task);
        true
    }

    pub(super) fn run_timers(&mut self) {
        while let Some(timer) = self.timers.due.first_entry()
            && timer.key().0 <= self.now
        {
            let (key, (port, task)) = timer.remove_entry();
            self.forget_timer(port, key);
            self.later(port, task);
        }
    }

    fn forget_timer(&mut self, port: Option<PortKey>, key: TimerKey) {
        if let Some(held) = port.and_then(|port| self.ports.get(port)?.held.as_mut()) {
            held.timers.remove(&key);
        }
    }
}
