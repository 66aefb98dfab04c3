//! Actors as a host of the engine: running code, supervising it, and dropping what is not needed any more.

use super::state::{Actors, Context, Ran, Running, Work};
use crate::engine::{Core, Failure, FunctionId, Host, NodeEvent, Outcome, PortKey, Reasons, Released, Token};
use crate::framing::Elements;
use crate::global::{Answer, Changes, FamilyWatch, QuestionId};
use crate::names::NodeId;

impl Host for Actors {
    #[inline]
    fn deliver(&mut self, core: &mut Core, port: PortKey, source: &NodeId, elements: Elements<'_>) {
        let Some(mut running) = Running::take(&mut self.ports, port) else {
            return self.deliver_without_code(core, port, &elements);
        };
        let ran = self.supervised(core, Some(port), |actors, core| {
            running.run(&mut Context { core, actors, port: Some(port), source: Some(source) }, elements)
        });
        if let Some(rest) = running.put_back(&mut self.ports) {
            self.discard(core, rest);
        }
        match ran {
            Ok(Ran::Done(Ok(()))) => {}
            Ok(Ran::Done(Err(failure))) | Err(failure) => core.end(port, &Reasons::die(failure.0)),
            Ok(Ran::Unhandled(tag)) => core.end(port, &Reasons::unhandled(&tag)),
        }
        self.release(core);
    }

    fn call(&mut self, core: &mut Core, function: FunctionId, source: &NodeId, elements: Elements<'_>) {
        let Some(function) = self.functions.get(&function).cloned() else { return };
        let ran = self.supervised(core, None, |actors, core| {
            function(&mut Context { core, actors, port: None, source: Some(source) }, elements)
        });
        if let Err(failure) = ran.flatten() {
            core.report(NodeEvent::CallFailed { source: source.clone(), failure });
        }
        self.release(core);
    }

    fn spawned(&mut self, core: &mut Core, port: PortKey, function: FunctionId, source: &NodeId, elements: Elements<'_>) {
        let Some(function) = self.functions.get(&function).cloned() else { return };
        let ran = self.supervised(core, Some(port), |actors, core| {
            function(&mut Context { core, actors, port: Some(port), source: Some(source) }, elements)
        });
        if let Err(failure) = ran.flatten() {
            core.end(port, &Reasons::die(failure.0));
        }
        self.release(core);
    }

    fn resume(&mut self, core: &mut Core, port: Option<PortKey>, token: Token) {
        if let Some(Work::Task(task)) = self.take(token) {
            self.run_code(core, port, None, task);
        }
    }

    fn fired(&mut self, core: &mut Core, port: Option<PortKey>, token: Token, reasons: Reasons) {
        if let Some(Work::Callback(callback)) = self.take(token) {
            self.run_code(core, port, None, |context| callback(context, reasons));
        }
    }

    fn answered(&mut self, core: &mut Core, port: Option<PortKey>, question: QuestionId, answer: Answer) {
        if let Some(callback) = self.questions.remove(&question) {
            self.run_code(core, port, None, |context| callback(context, answer));
        }
    }

    fn changed(&mut self, core: &mut Core, port: Option<PortKey>, view: FamilyWatch, changes: Changes) {
        let Some(mut callback) = self.views.get_mut(&view).and_then(Option::take) else { return };
        self.run_code(core, port, None, |context| callback(context, changes));
        match self.views.get_mut(&view) {
            Some(place) => *place = Some(callback),
            None => self.discard(core, callback),
        }
    }
}

impl Actors {
    #[cold]
    fn deliver_without_code(&mut self, core: &mut Core, port: PortKey, elements: &Elements<'_>) {
        let runs = self.ports.get(port.slot()).and_then(Option::as_ref).is_some_and(|(key, _)| *key == port);
        if !runs && !core.is_named(port) {
            core.end(port, &Reasons::unhandled(&elements.clone().name().unwrap_or_default()));
            self.release(core);
        }
    }

    /// Runs code for a port, if that has not ended. If the code fails, the port ends.
    pub(super) fn run_code(
        &mut self,
        core: &mut Core,
        port: Option<PortKey>,
        source: Option<&NodeId>,
        code: impl FnOnce(&mut Context<'_>) -> Outcome,
    ) {
        if port.is_some_and(|port| !core.has_port(port)) {
            return self.discard(core, code);
        }
        let ran = self.supervised(core, port, |actors, core| code(&mut Context { core, actors, port, source }));
        if let Err(failure) = ran.flatten() {
            match port {
                Some(port) => core.end(port, &Reasons::die(failure.0)),
                None => core.report(NodeEvent::TaskFailed(failure)),
            }
        }
        self.release(core);
    }

    /// Runs code for a port, or for none, under the owner's eyes.
    #[inline]
    fn supervised<R>(
        &mut self,
        core: &mut Core,
        port: Option<PortKey>,
        code: impl FnOnce(&mut Actors, &mut Core) -> R,
    ) -> Result<R, Failure> {
        let Some(supervisor) = self.supervisor.clone() else { return Ok(code(self, core)) };
        let (mut code, mut result) = (Some(code), None);
        let conduct = supervisor.run(&mut || result = code.take().map(|code| code(self, core)));
        if let Some(time) = conduct.slow {
            let port = port.map_or_else(|| core.id().port(""), |port| core.port_id(port));
            core.report(NodeEvent::Slow { port, time });
        }
        result.ok_or_else(|| Failure::from(conduct.panic.unwrap_or_default()))
    }

    /// Drops what came from the code of ports: that runs code, too.
    #[cold]
    pub(super) fn discard<T>(&mut self, core: &mut Core, thing: T) {
        if core::mem::needs_drop::<T>()
            && let Err(failure) = self.supervised(core, None, |_, _| drop(thing))
        {
            core.report(NodeEvent::TaskFailed(failure));
        }
    }

    /// Drops what the engine will not ask for any more.
    #[inline]
    pub(super) fn release(&mut self, core: &mut Core) {
        while let Some(released) = core.poll_released() {
            self.drop_released(core, released);
        }
    }

    #[cold]
    fn drop_released(&mut self, core: &mut Core, released: Released) {
        match released {
            Released::Port(port) => {
                let entry = self.ports.get_mut(port.slot()).and_then(|entry| entry.take_if(|(key, _)| *key == port));
                if let Some(entry) = entry {
                    self.discard(core, entry);
                }
            }
            Released::Token(token) => {
                if let Some(work) = self.take(token) {
                    self.discard(core, work);
                }
            }
            Released::Question(question) => {
                if let Some(callback) = self.questions.remove(&question) {
                    self.discard(core, callback);
                }
            }
            Released::View(view) => {
                if let Some(Some(callback)) = self.views.remove(&view) {
                    self.discard(core, callback);
                }
            }
        }
    }
}
