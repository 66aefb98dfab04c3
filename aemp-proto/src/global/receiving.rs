//! Requests as they arrive: small ones are taken in at once, large ones a portion at a time.

use super::Global;
use super::reading::{Reading, Waiting, kind};
use super::request::Request;
use super::shards::TABLE;
use crate::framing::{Elements, Kept};
use crate::names::NodeId;

impl Global {
    /// A request came from a node that is up: its name, and its arguments as they are. What is large is kept, and goes on
    /// with [`run`](Self::run); nothing may come from that node until [`Output::Resume`](super::Output::Resume), or it
    /// waits, too.
    pub fn receive_packet(&mut self, from: &NodeId, request: &str, arguments: Elements<'_>) {
        let octets = arguments.left();
        self.work += TABLE;
        let is_kept = self.readings.has(from);
        if octets > self.limits.portion
            && self.peers.contains_key(from)
            && let Some(kind) = kind(request)
        {
            if let Some(reading) = Kept::new(arguments).and_then(|kept| Reading::new(kind, kept)) {
                self.work += octets as u64;
                self.readings.push(from, Waiting::Reading(reading));
                if !is_kept {
                    self.add_turn(from);
                }
                self.update_pause(from);
            }
            return;
        }
        let Some(request) = Request::decode(request, arguments) else { return };
        self.work += octets as u64;
        match is_kept {
            true => self.readings.push(from, Waiting::Request(request)),
            false => self.receive(from, request),
        }
    }

    /// Takes in a portion of what a peer has sent; false if nothing waits.
    pub(super) fn read_portion(&mut self, node: &NodeId) -> bool {
        match self.readings.take(node) {
            None => return false,
            Some(Waiting::Request(request)) => {
                self.readings.end(node, 0);
                self.receive(node, request);
            }
            Some(Waiting::Reading(mut reading)) => {
                let octets = reading.kept.len();
                let (request, spent, has_ended) = reading.portion(self.limits.portion);
                self.work += spent as u64;
                match has_ended {
                    true => self.readings.end(node, octets),
                    false => self.readings.put_back(node, Waiting::Reading(reading)),
                }
                if let Some(request) = request {
                    self.receive(node, request);
                }
            }
        }
        self.update_pause(node);
        true
    }
}
