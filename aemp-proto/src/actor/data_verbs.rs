//! The database and data connections, as the code of ports uses them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Serialize;

use super::state::{Context, OnAnswer, Work};
use crate::engine::{DbEntry, IntoOutcome, Outcome, Reasons};
use crate::framing::EncodeError;
use crate::global::{Answer, Changes, DbError, Family, FamilyWatch, Question};
use crate::names::{NodeId, PortId};
use crate::value::Value;

impl Context<'_> {
    /// Sets an entry of the database; it is there until it is removed, or this node goes. The last one on this node who sets
    /// a key owns it; if another node has set it, too, the one whose global has the lowest ID wins, and there the lowest
    /// slave.
    ///
    /// # Errors
    ///
    /// When the name of the family is not allowed, the key is empty, key and value are larger than half of what every
    /// receiver takes in a packet, or this node has set as much as it may (`DB-2`, `DB-28`, `DB-30`).
    pub fn db_set<T: Serialize + ?Sized>(&mut self, family: &str, key: &str, value: &T) -> Result<DbEntry, DbError> {
        self.core.db_set(family, key, value)
    }

    /// Sets an entry under the ID of a port; it goes when the port ends, unless [`db_set`](Context::db_set) has set it
    /// since.
    ///
    /// # Errors
    ///
    /// As for [`db_set`](Context::db_set).
    pub fn db_reg<T: Serialize + ?Sized>(&mut self, port: &PortId, family: &str, value: &T) -> Result<DbEntry, DbError> {
        self.core.db_reg(port, family, value)
    }

    /// Removes an entry that was set. Returns false if another one owns it by now, or it is gone.
    pub fn db_remove(&mut self, entry: &DbEntry) -> bool {
        self.core.db_remove(entry)
    }

    /// Deletes entries of this node, no matter who on this node has set them.
    pub fn db_del<'k>(&mut self, family: &str, keys: impl IntoIterator<Item = &'k str>) {
        self.core.db_del(family, keys);
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
        if port.is_some_and(|port| !self.core.has_port(port)) {
            // It has ended: nobody hears the answer.
            return self.actors.discard(self.core, callback);
        }
        match self.core.db_ask(port, question, family) {
            Ok(id) => {
                let callback: OnAnswer = Box::new(move |context, answer| match answer {
                    Answer::TooLarge => callback(context, Err(DbError::TooLarge)),
                    answer => callback(context, Ok(answer)),
                });
                self.actors.questions.insert(id, callback);
            }
            Err(error) => {
                let token = self.actors.keep(Work::Task(Box::new(move |context| callback(context, Err(error)))));
                self.core.defer(port, token);
            }
        }
    }

    /// Runs `callback` with what is in a family, once that is known, and then with each change, until the watch is given up
    /// or the own port ends. The first changes are the present contents, also if there are none.
    pub fn db_watch<O: IntoOutcome>(
        &mut self,
        family: &str,
        mut callback: impl FnMut(&mut Context<'_>, Changes) -> O + 'static,
    ) -> FamilyWatch {
        let view = self.core.open_view(self.port, family);
        let callback = Box::new(move |context: &mut Context<'_>, changes| callback(context, changes).into_outcome());
        self.actors.views.insert(view, Some(callback));
        view
    }

    /// Gives a watch on a family up: its code does not run any more.
    pub fn db_unwatch(&mut self, watch: FamilyWatch) {
        self.core.close_view(watch);
        self.actors.release(self.core);
    }

    /// Takes data connections that other nodes ask for under this name. The owner of the node gets each one
    /// ([`Node::hand_over`](super::Node::hand_over)). Returns false if they are taken already. In secure mode nobody can ask
    /// for any (`NODE-9`).
    pub fn data_accept(&mut self, function: &str) -> bool {
        self.core.data_accept(function)
    }

    /// Takes no more data connections under this name. Returns false if none were taken.
    pub fn data_refuse(&mut self, function: &str) -> bool {
        self.core.data_refuse(function)
    }

    /// Asks for a data connection to a function of another node, with these arguments. It is opened from whichever side can,
    /// and given to the owner of the node ([`Node::hand_over`](super::Node::hand_over)). If that has not come about within
    /// the time, or cannot, `on_failure` runs, in the name of the own port; one of the two always happens, unless the own
    /// port ends before.
    ///
    /// `random` must be new for each and come from the operating system (`DATA-10`).
    ///
    /// Gives the port by which it is known: to end that is to give it up.
    ///
    /// # Errors
    ///
    /// When the arguments cannot be written; `on_failure` does not run then.
    pub fn data_connect<T: Serialize + ?Sized>(
        &mut self,
        random: [u8; 16],
        node: &NodeId,
        function: &str,
        arguments: &T,
        timeout: Duration,
        on_failure: impl FnOnce(&mut Context<'_>, Reasons) + 'static,
    ) -> Result<PortId, EncodeError> {
        let callback = move |context: &mut Context<'_>, reasons| {
            on_failure(context, reasons);
            Ok(())
        };
        let token = self.actors.keep(Work::Callback(Box::new(callback)));
        let asked = self.core.data_connect(self.port, token, random, (node, function), arguments, timeout);
        if asked.is_err() {
            let work = self.actors.take(token);
            self.actors.discard(self.core, work);
        }
        self.actors.release(self.core);
        asked
    }
}
