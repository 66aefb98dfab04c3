//! Telling peers of the ends of ports, and forgetting what lost peers have monitored: in portions, since there may be a
//! million of each.

use alloc::boxed::Box;

use super::super::state::Core;
use super::super::tables::reasons::{Reasons, Told};
use super::super::tables::steps::{Forgetting, OPERATION, Step, Telling};

impl Core {
    /// At how many units of work a portion ends that begins now.
    fn portion_end(&self) -> u64 {
        self.work.saturating_add(self.config.turn_budget)
    }

    /// Tells peers that a port has ended, once for each time that they have asked (`MON-1`). What is more than a portion is
    /// told in a later step.
    pub(in crate::engine) fn tell_end(&mut self, mut telling: Telling) {
        let end = self.portion_end();
        while let Some(mut entry) = telling.peers.first_entry() {
            let (index, asked) = (*entry.key(), entry.get_mut());
            // One that is lost, perhaps by what it is told, is told no more.
            let up = self.peers[index].up().filter(|up| up.connection.0 == asked.run);
            let Some(framing) = up.map(|up| up.framing) else {
                entry.remove();
                self.work += OPERATION;
                continue;
            };
            asked.times -= 1;
            if asked.times == 0 {
                entry.remove();
                self.peers[index].watched.remove(&telling.port);
            }
            self.peers[index].watches_held -= 1;
            if telling.too_large.contains(&framing) || !self.kil0_to(index, &telling.name, &telling.reasons) {
                self.too_large_to(index, &telling.name);
                if !telling.too_large.contains(&framing) {
                    telling.too_large.push(framing);
                }
            }
            if self.work >= end {
                break;
            }
        }
        if !telling.peers.is_empty() {
            self.steps.push_back(Step::Tell(Box::new(telling)));
        }
    }

    /// Tells a peer that a port has ended. False if the reasons are too large to send.
    fn kil0_to(&mut self, index: usize, port: &str, reasons: &Reasons) -> bool {
        self.try_request(index, &Told { request: "kil0", port, reasons: reasons.values() }).is_ok()
    }

    /// Tells a peer that a port has ended for reasons that are too large to send.
    fn too_large_to(&mut self, index: usize, port: &str) {
        self.send_to_node(index, &("kil0", port, "die", "the reasons are too large to send"));
    }

    /// Tells a peer that there is no port of that name (`MON-2`).
    pub(in crate::engine) fn no_such_port(&mut self, index: usize, port: &str) {
        let reasons = Reasons::no_such_port(&self.id.port(port));
        if !self.kil0_to(index, port, &reasons) {
            self.too_large_to(index, port);
        }
    }

    /// Forgets what a lost peer has watched (`MON-9`). What is more than a portion is forgotten in a later step.
    pub(in crate::engine) fn forget_watched(&mut self, mut forgetting: Forgetting) {
        let end = self.portion_end();
        while let Some(port) = forgetting.ports.pop_first() {
            if let Some(observers) = self.ports.get_mut(port).and_then(|port| port.observers.as_mut()) {
                observers.forget(forgetting.peer, forgetting.run);
            }
            self.work += OPERATION;
            if self.work >= end {
                return self.steps.push_back(Step::Forget(Box::new(forgetting)));
            }
        }
    }
}
