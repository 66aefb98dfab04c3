//! How the code of ports is run, when its owner can do more than call it.

use alloc::string::String;
use core::time::Duration;

/// Runs the code of ports, for an owner that can catch panics or watch the time: this crate can do neither.
pub trait Supervisor {
    /// Calls `code` once and returns how it behaved. A panic that it catches must not go on.
    fn run(&self, code: &mut dyn FnMut()) -> Conduct;
}

/// How code behaved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conduct {
    /// The text of its panic, if it panicked: its port ends with `die` and this (`PORT-2`).
    pub panic: Option<String>,
    /// How long it held everything up, if that was too long.
    pub slow: Option<Duration>,
}
