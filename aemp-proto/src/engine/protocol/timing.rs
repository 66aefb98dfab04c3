//! Work for later: deferred tasks and timers.

use core::time::Duration;

use super::super::state::Core;
use super::super::tables::keys::{DataKey, PortKey, Released, TimerHandle, TimerKey, Token};
use super::super::tables::steps::Step;
use super::super::tables::timers::Due;

impl Core {
    /// Returns the time of what goes on now.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Returns the seconds since 1970.
    pub(in crate::engine) fn unix_time(&self) -> f64 {
        (self.unix + self.now).as_secs_f64()
    }

    /// Has the host [resume](crate::engine::Host::resume) some work after what goes on now, unless the port has ended by
    /// then.
    pub fn defer(&mut self, port: Option<PortKey>, token: Token) {
        self.steps.push_back(Step::Run(port, token));
    }

    /// Has the host [resume](crate::engine::Host::resume) some work after a time, unless the port has ended by then.
    pub fn after(&mut self, time: Duration, port: Option<PortKey>, token: Token) -> TimerHandle {
        let timer = self.timers.insert(self.now.saturating_add(time), Due::Task(port, token));
        if let Some(port) = port.and_then(|port| self.ports.get_mut(port)) {
            port.hold().timers.insert(timer.0);
        }
        timer
    }

    /// Cancels a timer. Returns false if its work is done, or about to be.
    pub fn cancel(&mut self, timer: &TimerHandle) -> bool {
        match self.timers.remove(timer.0) {
            None => false,
            Some(Due::Data(..)) => true,
            Some(Due::Task(port, token)) => {
                self.forget_timer(port, timer.0);
                self.released.push_back(Released::Token(token));
                true
            }
        }
    }

    /// The port has ended that a timer goes with.
    pub(in crate::engine) fn timer_ended(&mut self, key: TimerKey) {
        if let Some(Due::Task(_, token)) = self.timers.remove(key) {
            self.released.push_back(Released::Token(token));
        }
    }

    /// Gives up waiting for a data connection after a time.
    pub(in crate::engine) fn data_timer(&mut self, time: Duration, key: DataKey) -> TimerHandle {
        self.timers.insert(self.now.saturating_add(time), Due::Data(key, time))
    }

    /// Has done in its turn what is due.
    pub(in crate::engine) fn run_timers(&mut self) {
        while let Some((key, due)) = self.timers.pop(self.now) {
            match due {
                Due::Task(port, token) => {
                    self.forget_timer(port, key);
                    self.defer(port, token);
                }
                Due::Data(key, time) => self.steps.push_back(Step::DataLate(alloc::boxed::Box::new(key), time)),
            }
        }
    }

    fn forget_timer(&mut self, port: Option<PortKey>, key: TimerKey) {
        if let Some(held) = port.and_then(|port| self.ports.get_mut(port)?.held.as_mut()) {
            held.timers.remove(&key);
        }
    }
}
