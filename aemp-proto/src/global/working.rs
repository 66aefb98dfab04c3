//! Working off the jobs, a portion at a time.

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::database::{ADDRESSES, Change, GLOBALS, Name, Room};
use super::jobs::{Job, Portion};
use super::request::{Question, Reply, Request};
use super::shards::TABLE;
use super::{Global, Output};
use crate::names::NodeId;

impl Global {
    /// Sends a request, behind the jobs of that peer.
    pub(super) fn send(&mut self, to: &NodeId, request: Request) {
        let request = Arc::new(request);
        match self.jobs.queues.get_mut(to) {
            Some(queue) => queue.push_back(Job::Send(request)),
            None => self.send_now(to, request),
        }
    }

    /// Sends a request whose place among the others is free.
    pub(super) fn send_now(&mut self, to: &NodeId, request: Arc<Request>) {
        self.outputs.push_back(Output::Send(to.clone(), request));
    }

    /// Adds a job, and does a first portion if there is no other one before it.
    pub(super) fn add_job(&mut self, node: &NodeId, job: Job) {
        let queue = self.jobs.queues.entry(node.clone()).or_default();
        queue.push_back(job);
        if queue.len() == 1 {
            self.step(node);
            if self.jobs.has(node) {
                self.add_turn(node);
            }
        } else {
            self.update_pause(node);
        }
    }

    /// A peer gets turns until nothing of it waits.
    pub(super) fn add_turn(&mut self, node: &NodeId) {
        if !self.jobs.turns.contains(node) {
            self.jobs.turns.push_back(node.clone());
        }
    }

    /// Takes nothing more from a peer, or goes on with that: by what waits for it, and of it.
    pub(super) fn update_pause(&mut self, node: &NodeId) {
        let jobs = self.jobs.queues.get(node).map_or(0, VecDeque::len);
        let is_paused = self.jobs.paused.contains(node);
        let limit = if is_paused { self.limits.jobs / 2 } else { self.limits.jobs };
        let pauses = self.readings.has(node) || jobs > limit;
        if pauses && !is_paused {
            self.jobs.paused.insert(node.clone());
            self.outputs.push_back(Output::Pause(node.clone()));
        } else if is_paused && !pauses {
            self.jobs.paused.remove(node);
            self.outputs.push_back(Output::Resume(node.clone()));
        }
    }

    /// Whether [`run`](Self::run) has something to do.
    pub fn has_work(&self) -> bool {
        self.shards.has_lost() || !self.jobs.turns.is_empty()
    }

    /// Goes on with what takes longer than one turn: a portion for each of some peers that are ready for more, one after the
    /// other. False if there was nothing that could be done.
    pub fn run(&mut self, is_ready: impl Fn(&NodeId) -> bool) -> bool {
        /// So many peers get their turn before others of the node do.
        const PEERS: usize = 4;
        let has_lost = self.shards.has_lost();
        if has_lost {
            self.shards.forget(self.limits.portion as u64);
            self.flush();
        }
        let mut turns = 0;
        for _ in 0..self.jobs.turns.len() {
            let Some(node) = self.jobs.turns.pop_front() else { break };
            // What it has said comes first: that needs no room in what goes to it.
            if self.read_portion(&node) || is_ready(&node) && self.step(&node) {
                turns += 1;
            }
            if self.jobs.has(&node) || self.readings.has(&node) {
                self.jobs.turns.push_back(node);
            }
            if turns == PEERS {
                break;
            }
        }
        has_lost || turns > 0
    }

    /// Does one portion of what is to be sent to a peer; false if it has to wait.
    fn step(&mut self, node: &NodeId) -> bool {
        let Some(mut queue) = self.jobs.queues.remove(node) else { return false };
        let (mut done, mut left) = (false, self.limits.portion);
        while let Some(job) = queue.pop_front() {
            if let Job::Part { to_master: false, .. } = job
                && self.shards.is_forgetting(node)
            {
                // What it has set as a slave is forgotten before it gets the part (`GLOBAL-17`).
                queue.push_front(job);
                break;
            }
            done = true;
            let (rest, spent) = self.portion(node, job, left);
            self.work += spent as u64;
            left = left.saturating_sub(spent);
            if let Some(rest) = rest {
                queue.push_front(rest);
            }
            if left == 0 {
                break;
            }
        }
        if !queue.is_empty() {
            self.jobs.queues.insert(node.clone(), queue);
        }
        self.update_pause(node);
        done
    }

    /// Does a portion of a job; what is left of it, and what that has cost.
    fn portion(&mut self, node: &NodeId, job: Job, most: usize) -> (Option<Job>, usize) {
        match job {
            Job::Part { to_master, cursor, has_begun } => {
                let (part, last, spent) = self.portion_of_part(cursor.as_ref(), most);
                if !has_begun || !part.is_empty() {
                    let request = if to_master { Request::Slave(Some(part)) } else { Request::Set(self.with_own(part)) };
                    self.send_now(node, Arc::new(request));
                }
                (last.map(|cursor| Job::Part { to_master, cursor: Some(cursor), has_begun: true }), spent)
            }
            Job::Contents { family, cursor, has_begun } => {
                let (mut part, mut portion) = (Change::new(&family), Portion::new(most));
                let mut last = None;
                for (key, value) in self.shards.family_behind(&family, cursor.as_ref()) {
                    if portion.is_full() {
                        last = part.set.last().map(|(key, _)| Name::clone(key));
                        break;
                    }
                    portion.add(key, Room::of(value));
                    part.set.push((key.clone(), value.clone()));
                }
                match has_begun {
                    false => self.send_now(node, Arc::new(Request::Contents(part))),
                    true if part.is_empty() => {}
                    true => self.send_now(node, Arc::new(Request::Change(part))),
                }
                (last.map(|cursor| Job::Contents { family, cursor: Some(cursor), has_begun: true }), portion.spent())
            }
            Job::Answer { question, family, id } => {
                let (reply, spent) = self.reply(question, &family, &id);
                self.send_now(node, Arc::new(Request::Reply(id, reply)));
                (None, spent)
            }
            Job::Send(request) => {
                self.send_now(node, request);
                (None, TABLE as usize)
            }
        }
    }

    /// A portion of this node's part behind a place; the place where it ends, unless that is the end of all.
    fn portion_of_part(&self, cursor: Option<&(Name, Name)>, most: usize) -> (Vec<Change>, Option<(Name, Name)>, usize) {
        let (mut part, mut portion): (Vec<Change>, _) = (Vec::new(), Portion::new(most));
        for (family, key, value) in self.shards.contributions_behind(cursor) {
            if portion.is_full() {
                let last = part.last().and_then(|change| Some((change.family.clone(), change.set.last()?.0.clone())));
                return (part, last, portion.spent());
            }
            if part.last().is_none_or(|change| change.family != *family) {
                portion.add(family, Room::default());
                part.push(Change::new(family));
            }
            portion.add(key, Room::of(value));
            if let Some(change) = part.last_mut() {
                change.set.push((key.clone(), value.clone()));
            }
        }
        (part, None, portion.spent())
    }

    /// A part with this node's own addresses: a reference global takes them as deleted if a `g_set` lacks them (`DB-35`).
    fn with_own(&self, mut part: Vec<Change>) -> Vec<Change> {
        let own = self.id.to_string();
        let Some(addresses) = self.shards.contribution(ADDRESSES, &own) else { return part };
        let place = match part.iter().position(|change| *change.family == *ADDRESSES) {
            Some(place) => place,
            None => {
                // Behind `'g`, as it stands in the whole.
                let place = usize::from(part.first().is_some_and(|change| *change.family == *GLOBALS));
                part.insert(place, Change::new(&ADDRESSES.into()));
                place
            }
        };
        let set = &mut part[place].set;
        if let Err(place) = set.binary_search_by(|(key, _)| (**key).cmp(&own)) {
            set.insert(place, (own.into(), addresses.clone()));
        }
        part
    }

    /// The answer to a query, and what it costs. What will not fit is not looked at (`DB-26`).
    fn reply(&self, question: Question, family: &str, id: &str) -> (Reply, usize) {
        let (keys, values) = self.shards.room(family);
        let mut room = match question {
            Question::Family => keys,
            Question::Keys => keys,
            Question::Values => values,
        };
        if question == Question::Family {
            room.add(values);
        }
        /// The packet and its other elements, beside the name of the query.
        const AROUND: usize = 32;
        room.add(Room::of_key(id));
        let limits = &self.limits.answers;
        if room.octets + AROUND > limits.octets || room.values + 4 > limits.values {
            return (Reply::Null, TABLE as usize);
        }
        let entries = self.shards.family(family);
        let reply = match question {
            Question::Family => Reply::Map(entries.map(|(key, value)| (key.clone(), value.clone())).collect()),
            Question::Keys => Reply::Keys(entries.map(|(key, _)| key.clone()).collect()),
            Question::Values => Reply::Array(entries.map(|(_, value)| value.clone()).collect()),
        };
        (reply, room.octets + TABLE as usize * (room.values + 1))
    }
}
