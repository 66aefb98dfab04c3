//! The database, as the code of ports sees it: setting, watching, asking.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::NodeEvent;
use super::context::Context;
use super::core::Core;
use super::port::PortKey;
use super::reasons::{IntoOutcome, Outcome};
use super::watch::{WatchAction, WatchHandle};
use crate::framing::{EncodeError, Framing, Limits, Packet};
use crate::global::{
    Answer, Changes, DbError, Family, FamilyWatch, Global, Output, Owner, Question, QuestionId, Reply, Request,
};
use crate::names::{NodeId, PortId};
use crate::value::Value;

/// An entry of this node that was set, to remove it.
///
/// Dropping it does nothing: the entry stays.
#[derive(Debug, Clone, PartialEq)]
pub struct DbEntry {
    family: String,
    key: String,
    owner: Owner,
}

impl DbEntry {
    /// The family that it is in.
    pub fn family(&self) -> &str {
        &self.family
    }

    /// Its key.
    pub fn key(&self) -> &str {
        &self.key
    }
}

type OnChanges = Box<dyn FnMut(&mut Context<'_>, Changes) -> Outcome>;
type OnAnswer = Box<dyn FnOnce(&mut Context<'_>, Answer) -> Outcome>;

/// A watch on a family.
struct Watcher {
    port: Option<PortKey>,
    /// None while it runs.
    callback: Option<OnChanges>,
    /// What gives the watch up when its port ends.
    end: Option<WatchHandle>,
}

/// An entry that goes with a port.
struct Registered {
    owner: Owner,
    /// What removes it when the port ends.
    end: WatchHandle,
}

/// Code that waits for what is in the database, and entries that wait for the end of a port.
#[derive(Default)]
pub(super) struct Watchers {
    /// By family and key; only such as `db_reg` has set last.
    registered: BTreeMap<(String, String), Registered>,
    watching: BTreeMap<FamilyWatch, Watcher>,
    asking: BTreeMap<QuestionId, (Option<PortKey>, OnAnswer)>,
}

impl Core {
    /// Tells our part in the global protocol something, and does what comes of it.
    pub(super) fn tell_global<R>(&mut self, tell: impl FnOnce(&mut Global) -> R) -> R {
        let before = self.global.work();
        let result = tell(&mut self.global);
        self.work += self.global.work() - before;
        self.database_waits = false;
        self.carry_out();
        result
    }

    /// Whether our part in the global protocol has something to do that need not wait for a peer.
    pub(super) fn has_database_work(&self) -> bool {
        !self.database_waits && self.global.has_work()
    }

    /// Goes on with what our part in the global protocol does in portions, for peers that are ready for more.
    pub(super) fn run_database(&mut self) {
        if !self.has_database_work() {
            return;
        }
        let before = self.global.work();
        let Core { global, peers, by_node, config, .. } = self;
        // What is sent in portions is never more than the peer may have waiting (`PEER-3`).
        let most = config.ready.min(config.queue / 4).max(1);
        let is_ready = |node: &NodeId| by_node.get(node).is_some_and(|index| peers[*index].waiting() < most);
        self.database_waits = !global.run(is_ready);
        self.work += self.global.work() - before;
        self.carry_out();
    }

    /// Does what our part in the global protocol wants.
    pub(super) fn carry_out(&mut self) {
        while let Some(output) = self.global.poll() {
            match output {
                Output::Send(node, request) => {
                    if let Some(index) = self.known_peer(&node)
                        && self.is_up(&node)
                    {
                        self.send_global(index, &request);
                    }
                }
                Output::Broken(node, text) => {
                    if let Some(index) = self.known_peer(&node) {
                        self.lose_peer(index, text);
                    }
                }
                Output::Answer(question, answer) => {
                    if let Some((port, callback)) = self.watchers.asking.remove(&question) {
                        if let Some(held) = port.and_then(|port| self.ports.get(port)?.held.as_mut()) {
                            held.questions.remove(&question);
                        }
                        self.later(port, Box::new(move |context| callback(context, answer)));
                    }
                }
                Output::Changes(watch, delta) => {
                    let port = self.watchers.watching.get(&watch).and_then(|watcher| watcher.port);
                    self.later(port, Box::new(move |context| context.tell_watch(watch, delta.changes())));
                }
                Output::Refused { node, family, key, octets } => {
                    self.events.push_back(NodeEvent::EntryRefused { node, family, key, octets });
                }
                Output::Pause(node) => self.pause_peer(&node),
                Output::Resume(node) => self.resume_peer(&node),
                Output::Denied(node, family) => self.denied_family(&node, &family),
                Output::BecameGlobal => self.events.push_back(NodeEvent::BecameGlobal),
                Output::Master(master) => self.events.push_back(NodeEvent::Master(master)),
                Output::Found(..) | Output::Keep(_) | Output::LetGo(_) => self.discovered.push_back(output),
            }
        }
    }

    /// The port that has asked has ended.
    pub(super) fn give_up_question(&mut self, question: QuestionId) {
        self.global.give_up(question);
        let asking = self.watchers.asking.remove(&question);
        self.discard(asking);
    }

    /// An entry goes with its port no more.
    fn unregister(&mut self, family: &str, key: &str) {
        if let Some(registered) = self.watchers.registered.remove(&(family.into(), key.into())) {
            self.unwatch(&registered.end);
        }
    }

    fn send_global(&mut self, index: usize, request: &Request) {
        let is_part = matches!(request, Request::Set(_) | Request::Slave(Some(_)));
        if is_part && let Some(up) = self.peers[index].up() {
            up.part = usize::MAX;
        }
        let written = self.try_global(index, request);
        if is_part && let Some(up) = self.peers[index].up() {
            up.part = up.output.len();
        }
        if written.is_ok() {
            return;
        }
        match request {
            // Whoever asked is told if the answer does not fit (`DB-26`).
            Request::Reply(name, answer) if *answer != Reply::Null => {
                self.send_global(index, &Request::Reply(name.clone(), Reply::Null));
            }
            // The name that the other node has chosen leaves no room for an answer.
            Request::Reply(..) | Request::Found(..) | Request::Contents(..) => {}
            _ => self.lose_peer(index, "a request to it cannot be written"),
        }
    }

    /// What is held fits into what every receiver takes (`DB-30`), so less is no use.
    fn try_global(&mut self, index: usize, request: &Request) -> Result<(), EncodeError> {
        let limits = self.limits_of(index).at_least(&Limits::LEAST);
        self.write_to(index, |framing, out| framing.encode_message("", request, &limits, out))
    }

    fn set_entry<T: Serialize + ?Sized>(&mut self, family: &str, key: &str, value: &T) -> Result<DbEntry, DbError> {
        let value = self.value(value)?;
        let owner = self.tell_global(|global| global.set(family, key, &value))?;
        Ok(DbEntry { family: family.into(), key: key.into(), owner })
    }

    /// A value of the program's own type, as it is sent.
    fn value<T: Serialize + ?Sized>(&self, value: &T) -> Result<Value, DbError> {
        let mut octets = Vec::new();
        Framing::Cbor.encode_elements(&(value,), &Limits::LEAST, &mut octets)?;
        let mut elements = Packet::scanned(Framing::Cbor, &octets).elements();
        Ok(elements.next_as().and_then(Result::ok).unwrap_or_default())
    }
}

impl Context<'_> {
    /// Sets an entry of the database; it is there until it is removed, or this node goes. The last one on this node who sets a key owns
    /// it; if another node has set it, too, the one whose global has the lowest ID wins, and there the lowest slave.
    ///
    /// # Errors
    ///
    /// When the name of the family is not allowed, the key is empty, key and value are larger than half of what every receiver takes in
    /// a packet, or this node has set as much as it may (`DB-2`, `DB-28`, `DB-30`).
    pub fn db_set<T: Serialize + ?Sized>(&mut self, family: &str, key: &str, value: &T) -> Result<DbEntry, DbError> {
        let entry = self.core.set_entry(family, key, value)?;
        self.core.unregister(family, key);
        Ok(entry)
    }

    /// Sets an entry under the ID of a port; it goes when the port ends, unless [`db_set`](Context::db_set) has set it since.
    ///
    /// # Errors
    ///
    /// As for [`db_set`](Context::db_set).
    pub fn db_reg<T: Serialize + ?Sized>(&mut self, port: &PortId, family: &str, value: &T) -> Result<DbEntry, DbError> {
        let entry = self.core.set_entry(family, &port.to_string(), value)?;
        let place = (entry.family.clone(), entry.key.clone());
        if let Some(registered) = self.core.watchers.registered.get_mut(&place) {
            registered.owner = entry.owner;
            return Ok(entry);
        }
        let (family, key) = place.clone();
        let remove = move |context: &mut Context<'_>, _| {
            if let Some(Registered { owner, .. }) = context.core.watchers.registered.remove(&(family.clone(), key.clone())) {
                context.core.tell_global(|global| global.remove(&family, &key, owner));
            }
            Ok(())
        };
        let end = self.core.watch(port, WatchAction::Call(None, Box::new(remove)));
        self.core.watchers.registered.insert(place, Registered { owner: entry.owner, end });
        Ok(entry)
    }

    /// Removes an entry that was set; false if another one owns it by now, or it is gone.
    pub fn db_remove(&mut self, entry: &DbEntry) -> bool {
        let was_there = self.core.tell_global(|global| global.remove(&entry.family, &entry.key, entry.owner));
        if was_there {
            self.core.unregister(&entry.family, &entry.key);
        }
        was_there
    }

    /// Deletes entries of this node, whoever here has set them.
    pub fn db_del<'k>(&mut self, family: &str, keys: impl IntoIterator<Item = &'k str>) {
        let keys: Vec<&str> = keys.into_iter().collect();
        for key in &keys {
            self.core.unregister(family, key);
        }
        self.core.tell_global(|global| global.delete(family, keys));
    }

    /// Asks for all of a family. The answer comes once there is a master, in the name of the own port.
    pub fn db_family<O: IntoOutcome>(
        &mut self,
        family: &str,
        callback: impl FnOnce(&mut Context<'_>, Result<Family, DbError>) -> O + 'static,
    ) {
        self.ask(Question::Family, family, |context, answer| {
            callback(context, answer.map(|answer| if let Answer::Family(family) = answer { family } else { Family::new() }))
                .into_outcome()
        });
    }

    /// Asks for the keys of a family, which come in order.
    pub fn db_keys<O: IntoOutcome>(
        &mut self,
        family: &str,
        callback: impl FnOnce(&mut Context<'_>, Result<Vec<String>, DbError>) -> O + 'static,
    ) {
        self.ask(Question::Keys, family, |context, answer| {
            callback(context, answer.map(|answer| if let Answer::Keys(keys) = answer { keys } else { Vec::new() }))
                .into_outcome()
        });
    }

    /// Asks for the values of a family, which come in the order of their keys.
    pub fn db_values<O: IntoOutcome>(
        &mut self,
        family: &str,
        callback: impl FnOnce(&mut Context<'_>, Result<Vec<Value>, DbError>) -> O + 'static,
    ) {
        self.ask(Question::Values, family, |context, answer| {
            callback(context, answer.map(|answer| if let Answer::Values(values) = answer { values } else { Vec::new() }))
                .into_outcome()
        });
    }

    fn ask(
        &mut self,
        question: Question,
        family: &str,
        callback: impl FnOnce(&mut Context<'_>, Result<Answer, DbError>) -> Outcome + 'static,
    ) {
        let port = self.port;
        if port.is_some_and(|port| self.core.ports.get(port).is_none()) {
            // It has ended: nobody hears the answer.
            return self.core.discard(callback);
        }
        match self.core.global.ask(question, family) {
            Ok(id) => {
                if let Some(port) = port.and_then(|port| self.core.ports.get(port)) {
                    port.hold().questions.insert(id);
                }
                let callback: OnAnswer = Box::new(move |context, answer| match answer {
                    Answer::TooLarge => callback(context, Err(DbError::TooLarge)),
                    answer => callback(context, Ok(answer)),
                });
                self.core.watchers.asking.insert(id, (port, callback));
                self.core.carry_out();
            }
            Err(error) => self.core.later(port, Box::new(move |context| callback(context, Err(error)))),
        }
    }

    /// Runs `callback` with what is in a family, once that is known, and then with each change, until the watch is given up or the own
    /// port ends. The first changes are the present contents, also if there are none.
    pub fn db_watch<O: IntoOutcome>(
        &mut self,
        family: &str,
        mut callback: impl FnMut(&mut Context<'_>, Changes) -> O + 'static,
    ) -> FamilyWatch {
        let watch = self.core.global.watch(family);
        let own = self.own_port();
        let end = own.map(|own| {
            let action = WatchAction::Call(
                None,
                Box::new(move |context, _| {
                    context.db_unwatch(watch);
                    Ok(())
                }),
            );
            self.core.watch(&own, action)
        });
        let watcher = Watcher {
            port: self.port,
            callback: Some(Box::new(move |context, changes| callback(context, changes).into_outcome())),
            end,
        };
        self.core.watchers.watching.insert(watch, watcher);
        self.core.carry_out();
        watch
    }

    /// Gives a watch on a family up: its code does not run any more.
    pub fn db_unwatch(&mut self, watch: FamilyWatch) {
        let Some(watcher) = self.core.watchers.watching.remove(&watch) else { return };
        if let Some(end) = watcher.end {
            self.core.unwatch(&end);
        }
        self.core.tell_global(|global| global.unwatch(watch));
    }

    fn tell_watch(&mut self, watch: FamilyWatch, changes: Changes) -> Outcome {
        let taken = self.core.watchers.watching.get_mut(&watch).and_then(|watcher| watcher.callback.take());
        let Some(mut callback) = taken else { return Ok(()) };
        let outcome = callback(self, changes);
        if let Some(watcher) = self.core.watchers.watching.get_mut(&watch) {
            watcher.callback = Some(callback);
        }
        outcome
    }
}
