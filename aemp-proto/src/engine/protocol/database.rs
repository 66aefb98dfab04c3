//! The database, as programs use it: setting, asking, viewing; and what the directory wants done.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::super::event::NodeEvent;
use super::super::state::{Core, Registered, View};
use super::super::tables::keys::{DbEntry, PortKey, Released};
use super::super::tables::monitors::OnEnd;
use super::super::tables::steps::Step;
use crate::framing::{EncodeError, Framing, Limits, Packet};
use crate::global::{DbError, FamilyWatch, Global, Output, Question, QuestionId, Reply, Request};
use crate::names::{NodeId, PortId};
use crate::value::Value;

impl Core {
    /// Tells our part in the global protocol something, and does what comes of it.
    pub(in crate::engine) fn tell_global<R>(&mut self, tell: impl FnOnce(&mut Global) -> R) -> R {
        let before = self.global.work();
        let result = tell(&mut self.global);
        self.work += self.global.work() - before;
        self.database_waits = false;
        self.carry_out();
        result
    }

    /// Whether our part in the global protocol has something to do that need not wait for a peer.
    pub(in crate::engine) fn has_database_work(&self) -> bool {
        !self.database_waits && self.global.has_work()
    }

    /// Goes on with what our part in the global protocol does in portions, for peers that are ready for more.
    pub(in crate::engine) fn run_database(&mut self) {
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
    pub(in crate::engine) fn carry_out(&mut self) {
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
                    if let Some(port) = self.watchers.asking.remove(&question) {
                        if let Some(held) = port.and_then(|port| self.ports.get_mut(port)?.held.as_mut()) {
                            held.questions.remove(&question);
                        }
                        self.steps.push_back(Step::Answer(port, question, Box::new(answer)));
                    }
                }
                Output::Changes(view, delta) => self.steps.push_back(Step::Changes(view, delta)),
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
    pub(in crate::engine) fn give_up_question(&mut self, question: QuestionId) {
        self.global.give_up(question);
        if self.watchers.asking.remove(&question).is_some() {
            self.released.push_back(Released::Question(question));
        }
    }

    /// The port has ended that an entry goes with.
    pub(in crate::engine) fn remove_registered(&mut self, family: String, key: String) {
        let place = (family, key);
        if let Some(Registered { owner, .. }) = self.watchers.registered.remove(&place) {
            self.tell_global(|global| global.remove(&place.0, &place.1, owner));
        }
    }

    /// An entry goes with its port no more.
    fn unregister(&mut self, family: &str, key: &str) {
        if let Some(registered) = self.watchers.registered.remove(&(family.into(), key.into())) {
            self.demonitor(&registered.end);
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

    /// Returns the node's master. A global node has none.
    pub fn master(&self) -> Option<&NodeId> {
        self.global.master()
    }

    /// Sets an entry of the database. It is there until it is removed, or this node goes. The last one on this node who sets
    /// a key owns the entry. If another node has set it, too, the one whose global has the lowest ID wins, and there the
    /// lowest slave.
    ///
    /// # Errors
    ///
    /// When the name of the family is not allowed, the key is empty, key and value are larger than half of what every
    /// receiver takes in a packet, or this node has set as much as it may (`DB-2`, `DB-28`, `DB-30`).
    pub fn db_set<T: Serialize + ?Sized>(&mut self, family: &str, key: &str, value: &T) -> Result<DbEntry, DbError> {
        let entry = self.set_entry(family, key, value)?;
        self.unregister(family, key);
        Ok(entry)
    }

    /// Sets an entry under the ID of a port. The entry goes when the port ends, unless [`db_set`](Self::db_set) has set it
    /// since.
    ///
    /// # Errors
    ///
    /// As for [`db_set`](Self::db_set).
    pub fn db_reg<T: Serialize + ?Sized>(&mut self, port: &PortId, family: &str, value: &T) -> Result<DbEntry, DbError> {
        let entry = self.set_entry(family, &port.to_string(), value)?;
        let place = (entry.family.clone(), entry.key.clone());
        if let Some(registered) = self.watchers.registered.get_mut(&place) {
            registered.owner = entry.owner;
            return Ok(entry);
        }
        let (family, key) = place.clone();
        let end = self.set_monitor(port, OnEnd::RemoveEntry(family, key));
        self.watchers.registered.insert(place, Registered { owner: entry.owner, end });
        Ok(entry)
    }

    /// Removes an entry that was set. Returns false if another one owns it by now, or it is gone.
    pub fn db_remove(&mut self, entry: &DbEntry) -> bool {
        let was_there = self.tell_global(|global| global.remove(&entry.family, &entry.key, entry.owner));
        if was_there {
            self.unregister(&entry.family, &entry.key);
        }
        was_there
    }

    /// Deletes entries of this node, no matter who on this node has set them.
    pub fn db_del<'k>(&mut self, family: &str, keys: impl IntoIterator<Item = &'k str>) {
        let keys: Vec<&str> = keys.into_iter().collect();
        for key in &keys {
            self.unregister(family, key);
        }
        self.tell_global(|global| global.delete(family, keys));
    }

    /// Asks a question about a family. The host gets the [answer](crate::engine::Host::answered) once there is a master,
    /// unless the port has ended by then.
    ///
    /// # Errors
    ///
    /// When the name of the family is not allowed, or too many questions are waiting.
    pub fn db_ask(&mut self, owner: Option<PortKey>, question: Question, family: &str) -> Result<QuestionId, DbError> {
        let id = self.global.ask(question, family)?;
        if let Some(port) = owner.and_then(|port| self.ports.get_mut(port)) {
            port.hold().questions.insert(id);
        }
        self.watchers.asking.insert(id, owner);
        self.carry_out();
        Ok(id)
    }

    /// Opens a view of a family. The host gets what is in it, once that is known, also if there is nothing, and then each
    /// [change](crate::engine::Host::changed), until the view is closed or its port ends.
    pub fn open_view(&mut self, owner: Option<PortKey>, family: &str) -> FamilyWatch {
        let view = self.global.watch(family);
        let port = owner.filter(|port| self.ports.has(*port)).map(|port| self.port_id(port));
        let end = port.map(|port| self.set_monitor(&port, OnEnd::CloseView(view)));
        self.watchers.views.insert(view, View { owner, end });
        self.carry_out();
        view
    }

    /// Closes a view of a family: the host hears of no more changes.
    pub fn close_view(&mut self, view: FamilyWatch) {
        let Some(closed) = self.watchers.views.remove(&view) else { return };
        if let Some(end) = closed.end {
            self.demonitor(&end);
        }
        self.released.push_back(Released::View(view));
        self.tell_global(|global| global.unwatch(view));
    }
}
