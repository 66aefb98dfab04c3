//! A node and its master: what it has to be told, and what it tells. A global is its own master.

use alloc::string::ToString;

use super::asking::{Answer, Heard, QuestionId};
use super::database::{DbError, Entries, Name, is_family};
use super::jobs::Job;
use super::request::{Question, Reply, Request};
use super::watching::{FamilyWatch, Reached};
use super::{Global, Output};
use crate::names::NodeId;

impl Global {
    /// A node that is up is a seed node (`GLOBAL-7`).
    pub fn seed(&mut self, node: &NodeId) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        if core::mem::replace(&mut peer.is_seed, true) {
            return;
        }
        let (greeted, speaks) = (peer.greeted, peer.speaks);
        if speaks {
            self.send(node, Request::Slave(None));
        }
        if !greeted {
            // It is spoken to once it has spoken (`GLOBAL-2`), and is nobody's master (`GLOBAL-10`).
            return;
        }
        self.seeds.push(node.clone());
        if !self.is_global && self.master.is_none() {
            self.choose_master();
            self.outputs.push_back(Output::Master(self.master.clone()));
        }
    }

    /// Takes the first seed node that is up, and tells it all that it has to know (`GLOBAL-11`).
    pub(super) fn choose_master(&mut self) {
        let Some(master) = self.seeds.first().cloned() else { return };
        self.master = Some(master.clone());
        self.add_job(&master, Job::Part { to_master: true, cursor: None, has_begun: false });
        for family in self.views.families().into_iter().filter(|family| is_family(family)) {
            self.send(&master, Request::Watch(family.clone()));
            if self.views.is_known(&family) {
                let id = self.questions.next_name();
                self.send(&master, Request::Ask(Question::Keys, family.clone(), id.clone()));
                self.views.mark(&family, id);
            }
        }
        for (question, family, name) in self.questions.ask_again() {
            self.send(&master, Request::Ask(question, family, name));
        }
        for node in self.searched.clone() {
            self.send(&master, Request::Find(node.to_string()));
        }
    }

    /// What only the present master may say (`GLOBAL-13`).
    pub(super) fn hear_master(&mut self, from: &NodeId, request: Request) {
        if self.master.as_ref() != Some(from) {
            return;
        }
        match request {
            Request::Found(node, addresses) => {
                if let Ok(node) = NodeId::new(&node)
                    && self.searched.remove(&node)
                {
                    self.outputs.push_back(Output::Found(node, addresses));
                }
            }
            Request::Reply(name, reply) => self.hear_reply(from, &name, &reply),
            Request::Contents(contents) => {
                let family = contents.family.clone();
                let told = self.views.tell_contents(&family, contents.set);
                self.tell(told);
                self.check_view(from, &family);
            }
            Request::Change(change) => {
                let family = change.family.clone();
                let told = self.views.change(change);
                self.tell(told);
                self.check_view(from, &family);
            }
            _ => {}
        }
    }

    fn hear_reply(&mut self, master: &NodeId, name: &str, reply: &Reply) {
        match self.views.reach_mark(name) {
            Some(Reached::Told(told)) => return self.tell(told),
            Some(Reached::Fetched(question, family)) => return self.answer_fetched(question, &family),
            None => {}
        }
        match self.questions.answer(name, reply) {
            Some(Heard::Answer(id, answer)) => self.outputs.push_back(Output::Answer(id, answer)),
            Some(Heard::Fetch(id, family)) => {
                // It does not fit into a packet: it comes in parts to who watches it (`DB-38`).
                let mark = self.questions.next_name();
                if self.views.fetch(id, &family, mark.clone()) {
                    self.send(master, Request::Watch(family.clone()));
                }
                self.send(master, Request::Ask(Question::Keys, family, mark));
            }
            None => {}
        }
    }

    /// All of a family has come that was fetched for a question.
    fn answer_fetched(&mut self, id: QuestionId, family: &Name) {
        if let Some(asked) = self.questions.get(id) {
            let answer = Answer::of(asked.question, self.views.contents(family));
            self.outputs.push_back(Output::Answer(id, answer));
        }
        self.questions.give_up(id);
        self.end_fetch(id, family);
    }

    fn end_fetch(&mut self, id: QuestionId, family: &Name) {
        if let Some(family) = self.views.fetched(id, family)
            && let Some(master) = self.master.clone()
        {
            self.send(&master, Request::Unwatch(family));
        }
    }

    fn check_view(&mut self, master: &NodeId, family: &Name) {
        if !self.views.is_over(family, self.limits.global) {
            return self.check_all();
        }
        for id in self.views.fetches(family) {
            self.questions.give_up(id);
            self.outputs.push_back(Output::Answer(id, Answer::TooLarge));
            self.end_fetch(id, family);
        }
        if self.views.is_over(family, self.limits.global) {
            self.outputs.push_back(Output::Broken(master.clone(), "a family that is watched is too large"));
        }
    }

    /// This node has become global: it answers for itself (`GLOBAL-14`).
    pub(super) fn answer_from_own(&mut self) {
        self.views.share();
        for family in self.views.families() {
            let told = self.views.replace(&family, self.contents(&family));
            self.tell(told);
        }
        for (id, asked) in self.questions.take() {
            let answer = Answer::of(asked.question, self.shards.family(&asked.family));
            self.outputs.push_back(Output::Answer(id, answer));
        }
        for node in core::mem::take(&mut self.searched) {
            let addresses = self.addresses(&node);
            self.outputs.push_back(Output::Found(node, addresses));
        }
    }

    // --- watching, asking, finding ---

    /// Watches a family.
    pub fn watch(&mut self, family: &str) -> FamilyWatch {
        let (watch, is_first) = self.views.watch(family);
        // A family that cannot be is empty, for certain.
        if is_first && (self.is_global || !is_family(family)) {
            let told = self.views.replace(family, self.contents(family));
            self.tell(told);
        } else if is_first && let Some(master) = self.master.clone() {
            self.send(&master, Request::Watch(family.into()));
        } else if let Some(beginning) = self.views.beginning(family) {
            self.outputs.push_back(Output::Changes(watch, beginning));
        }
        watch
    }

    /// Gives a watch up.
    pub fn unwatch(&mut self, watch: FamilyWatch) {
        if let Some(family) = self.views.unwatch(watch)
            && is_family(&family)
            && let Some(master) = self.master.clone()
        {
            self.send(&master, Request::Unwatch(family));
        }
        self.outputs.retain(|output| !matches!(output, Output::Changes(other, _) if *other == watch));
    }

    /// Asks about a family; the answer comes as an output, once there is a master.
    ///
    /// # Errors
    ///
    /// When too many questions wait already (`FIND-9`).
    pub fn ask(&mut self, question: Question, family: &str) -> Result<QuestionId, DbError> {
        let limit = self.limits.questions;
        if self.questions.len() >= limit {
            return Err(DbError::TooMany { limit });
        }
        let id = self.questions.next();
        if self.is_global || !is_family(family) {
            let answer = Answer::of(question, self.shards.family(family));
            self.outputs.push_back(Output::Answer(id, answer));
            return Ok(id);
        }
        let family = Name::from(family);
        let name = self.questions.add(id, question, &family);
        if let Some(master) = self.master.clone() {
            self.send(&master, Request::Ask(question, family, name));
        }
        Ok(id)
    }

    /// Gives a question up: it counts no more, and its answer is ignored.
    pub fn give_up(&mut self, question: QuestionId) {
        let family = self.questions.get(question).map(|asked| asked.family.clone());
        self.questions.give_up(question);
        if let Some(family) = family {
            self.end_fetch(question, &family);
        }
    }

    /// The contents of a family, as this node has it.
    fn contents(&self, family: &str) -> Entries {
        self.shards.family(family).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Searches a node; its addresses come as an output, once there is a master. False if too many are searched already
    /// (`FIND-9`).
    pub fn find(&mut self, node: &NodeId) -> bool {
        // A longer name fits into no greeting (`CONN-6`), so nobody has it.
        if self.is_global || node.as_str().len() > 4096 {
            let addresses = self.addresses(node).or_else(|| self.lost.addresses(node));
            self.outputs.push_back(Output::Found(node.clone(), addresses));
            return true;
        }
        if self.searched.len() >= self.limits.searched && !self.searched.contains(node) {
            return false;
        }
        if self.searched.insert(node.clone())
            && let Some(master) = self.master.clone()
        {
            self.send(&master, Request::Find(node.to_string()));
        }
        true
    }

    /// Gives a search up.
    pub fn forget(&mut self, node: &NodeId) {
        self.searched.remove(node);
    }
}
