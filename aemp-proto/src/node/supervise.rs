//! How the code of ports is run, when its owner can do more than call it.

use alloc::rc::Rc;
use alloc::string::String;
use core::time::Duration;

use super::NodeEvent;
use super::core::Core;
use super::port::PortKey;
use super::reasons::Failure;

/// Runs the code of ports, for an owner that can catch panics or watch the time: this crate can do neither.
pub trait Supervisor {
    /// Calls `code` once and tells what became of it. A panic that it catches must not go on.
    fn run(&self, code: &mut dyn FnMut()) -> Conduct;
}

/// How code behaved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conduct {
    /// What it said when it panicked: its port ends with `die` and this (`PORT-2`).
    pub panic: Option<String>,
    /// How long it held everything up, if that was too long.
    pub slow: Option<Duration>,
}

impl Core {
    /// Runs code in the name of a port, or of nobody, under the owner's eyes.
    #[inline]
    pub(super) fn supervised<R>(&mut self, port: Option<PortKey>, code: impl FnOnce(&mut Core) -> R) -> Result<R, Failure> {
        let Some(supervisor) = self.supervisor.clone() else { return Ok(code(self)) };
        let (mut code, mut result) = (Some(code), None);
        let conduct = supervisor.run(&mut || result = code.take().map(|code| code(self)));
        if let Some(time) = conduct.slow {
            let port = match port {
                Some(port) => self.port_id(port),
                None => self.id.port(""),
            };
            self.events.push_back(NodeEvent::Slow { port, time });
        }
        result.ok_or_else(|| Failure::from(conduct.panic.unwrap_or_default()))
    }

    /// Drops what came from the code of ports: that runs code, too.
    pub(super) fn discard<T>(&mut self, thing: T) {
        if core::mem::needs_drop::<T>()
            && let Err(failure) = self.supervised(None, |_| drop(thing))
        {
            self.events.push_back(NodeEvent::TaskFailed(failure));
        }
    }

    pub(super) fn supervise(&mut self, supervisor: Rc<dyn Supervisor>) {
        self.supervisor = Some(supervisor);
    }
}
