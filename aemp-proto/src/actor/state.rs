//! What the actor layer keeps for the engine: the code of ports, functions, and work under tokens. All of its state is in
//! this file.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::supervisor::Supervisor;
use crate::engine::{Core, FunctionId, Outcome, PortKey, Reasons, Token};
use crate::framing::Elements;
use crate::global::{Answer, Changes, FamilyWatch, QuestionId};
use crate::names::NodeId;

/// The node, as code that runs in it sees it. The code runs for a port, or for none.
pub struct Context<'a> {
    pub(super) core: &'a mut Core,
    pub(super) actors: &'a mut Actors,
    pub(super) port: Option<PortKey>,
    pub(super) source: Option<&'a NodeId>,
}

/// Handles the messages of a port. It gets the elements behind the port's name, or behind the tag. It must not block.
pub type Handler = Box<dyn FnMut(&mut Context<'_>, Elements<'_>) -> Outcome>;

/// A function that others may call or spawn ([`Access`](crate::engine::Access)). It gets the arguments.
pub type Function = Rc<dyn Fn(&mut Context<'_>, Elements<'_>) -> Outcome>;

/// Code that runs once.
pub(super) type Task = Box<dyn FnOnce(&mut Context<'_>) -> Outcome>;

/// Code that runs once, when a monitor fires.
pub(super) type Callback = Box<dyn FnOnce(&mut Context<'_>, Reasons) -> Outcome>;

/// Code that runs with each change of a family.
pub(super) type OnChanges = Box<dyn FnMut(&mut Context<'_>, Changes) -> Outcome>;

/// Code that runs once, with an answer from the database.
pub(super) type OnAnswer = Box<dyn FnOnce(&mut Context<'_>, Answer) -> Outcome>;

/// Work that the engine asks for by its token.
pub(super) enum Work {
    Task(Task),
    Callback(Callback),
}

/// The host that is made of closures.
#[derive(Default)]
pub(super) struct Actors {
    /// The code of ports, by slot. A port without code need not be here.
    pub(super) ports: Vec<Option<(PortKey, Code)>>,
    work: Vec<Option<Work>>,
    /// Places in `work` that are free.
    free: Vec<usize>,
    pub(super) functions: BTreeMap<FunctionId, Function>,
    /// Views of families. The code is not here while it runs.
    pub(super) views: BTreeMap<FamilyWatch, Option<OnChanges>>,
    pub(super) questions: BTreeMap<QuestionId, OnAnswer>,
    pub(super) supervisor: Option<Rc<dyn Supervisor>>,
}

impl Actors {
    /// Keeps some work, and returns its token.
    pub(super) fn keep(&mut self, work: Work) -> Token {
        let place = self.free.pop().unwrap_or_else(|| {
            self.work.push(None);
            self.work.len() - 1
        });
        self.work[place] = Some(work);
        Token(place as u64)
    }

    /// Takes the work of a token out, which can be used for other work from then on.
    pub(super) fn take(&mut self, token: Token) -> Option<Work> {
        let place = usize::try_from(token.0).ok()?;
        let work = self.work.get_mut(place)?.take()?;
        self.free.push(place);
        Some(work)
    }

    /// Returns the code of a port that has not ended, which has none at first.
    pub(super) fn code(&mut self, core: &Core, port: PortKey) -> &mut Code {
        if self.ports.len() <= port.slot() {
            self.ports.resize_with(port.slot() + 1, || None);
        }
        let entry = &mut self.ports[port.slot()];
        if entry.as_ref().is_none_or(|(key, _)| *key != port) {
            *entry = None;
        }
        &mut entry.get_or_insert_with(|| (port, Code { is_lenient: core.is_named(port), ..Code::default() })).1
    }
}

/// The code of a port.
#[derive(Default)]
pub(super) struct Code {
    default: Option<Handler>,
    tags: Vec<(Box<str>, Handler)>,
    /// Changes that were made while the code ran; `None` while it does not run.
    running: Option<Vec<Change>>,
    /// The port ignores what it has no code for (`PORT-3`).
    is_lenient: bool,
}

/// A change of the code of a port.
pub(super) enum Change {
    Default(Option<Handler>),
    Tag(Box<str>, Option<Handler>),
}

/// The code of a port, taken out of the table while it runs.
pub(super) struct Running {
    key: PortKey,
    code: Code,
}

/// The result of running the code of a port.
pub(super) enum Ran {
    Done(Outcome),
    /// There was no code for the message, which has this tag.
    Unhandled(String),
}

/// Code that is not needed any more. Dropping it runs code of its author's.
pub(super) enum Discarded {
    Code(#[expect(dead_code, reason = "it is only dropped")] Code),
    Handlers(#[expect(dead_code, reason = "they are only dropped")] Vec<Handler>),
}

impl Code {
    /// Makes a change, or keeps it until the code has run. Returns the code that is not needed any more.
    pub(super) fn change(&mut self, change: Change) -> Option<Handler> {
        if let Some(changes) = &mut self.running {
            changes.push(change);
            return None;
        }
        self.apply(change)
    }

    fn apply(&mut self, change: Change) -> Option<Handler> {
        match change {
            Change::Default(handler) => core::mem::replace(&mut self.default, handler),
            Change::Tag(tag, handler) => {
                let place = self.tags.iter().position(|(other, _)| *other == tag);
                let before = place.map(|place| self.tags.swap_remove(place).1);
                self.tags.extend(handler.map(|handler| (tag, handler)));
                before
            }
        }
    }
}

impl Running {
    /// Takes the code of a port out of the table. Returns `None` if it runs already, or there is none.
    #[inline]
    pub(super) fn take(ports: &mut [Option<(PortKey, Code)>], port: PortKey) -> Option<Self> {
        let (key, code) = ports.get_mut(port.slot())?.as_mut().filter(|(key, _)| *key == port)?;
        if code.running.is_some() {
            return None;
        }
        let code = core::mem::replace(code, Code { running: Some(Vec::new()), ..Code::default() });
        Some(Running { key: *key, code })
    }

    /// Puts the code back, with the changes that were made while it ran. Returns what is not needed any more.
    #[inline]
    pub(super) fn put_back(self, ports: &mut [Option<(PortKey, Code)>]) -> Option<Discarded> {
        let entry = ports.get_mut(self.key.slot()).and_then(Option::as_mut).filter(|(key, _)| *key == self.key);
        let Some((_, code)) = entry else { return Some(Discarded::Code(self.code)) };
        let changes = core::mem::replace(code, self.code).running.unwrap_or_default();
        if changes.is_empty() {
            return None;
        }
        Some(Discarded::Handlers(changes.into_iter().flat_map(|change| code.apply(change)).collect()))
    }

    /// Runs the code that is for the message.
    #[inline]
    pub(super) fn run(&mut self, context: &mut Context<'_>, elements: Elements<'_>) -> Ran {
        if !self.code.tags.is_empty() {
            let mut behind = elements.clone();
            if let Some(tag) = behind.name()
                && let Some((_, handler)) = self.code.tags.iter_mut().find(|(other, _)| **other == *tag)
            {
                return Ran::Done(handler(context, behind));
            }
        }
        match &mut self.code.default {
            Some(handler) => Ran::Done(handler(context, elements)),
            None if self.code.is_lenient => Ran::Done(Ok(())),
            None => Ran::Unhandled(elements.clone().name().unwrap_or_default().into_owned()),
        }
    }
}
