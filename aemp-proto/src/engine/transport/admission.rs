//! Admission: who is let in, and what wrong tokens cost.

use super::super::state::Engine;
use super::super::tables::keys::ConnectionId;
use super::super::tables::refusal::Refusal;
use super::super::tables::strangers::Origin;
use crate::error::{Error, LimitExceeded};

impl Engine {
    /// Lets a connection in that somebody has opened, or says why not.
    ///
    /// # Errors
    ///
    /// When there is no room, and no connection gives way.
    pub(in crate::engine) fn admit(&mut self, id: ConnectionId, from: Option<&str>) -> Result<(), Error> {
        let (limit, of_address) = (self.core.config.handshakes, self.core.config.handshakes_of_address);
        let origin = Origin::of(from);
        let share = self.admission.shares.get(&origin).filter(|_| origin != Origin::Unknown);
        let crowded = share.is_some_and(|share| share.count >= of_address);
        let gives_way = match share {
            Some(share) if crowded => share.replaceable.first().copied(),
            _ => self.admission.replaceable.first().copied(),
        };
        if crowded || self.admission.len() >= limit {
            match gives_way.filter(|_| limit > 0) {
                Some((_, oldest)) => {
                    self.gone(
                        oldest,
                        Refusal::GaveWay,
                        "it did not greet, and another connection needed its place [SEC-10]",
                    );
                }
                None if crowded => return Err(LimitExceeded::HandshakesOfAddress { limit: of_address }.into()),
                None => return Err(LimitExceeded::Handshakes { limit }.into()),
            }
        }
        self.admission.insert(id, origin, self.core.now);
        Ok(())
    }

    /// Serves the connections whose time has come, which were held because of wrong tokens.
    pub(in crate::engine) fn release_held(&mut self) {
        let released = self.admission.released(self.core.now);
        self.writable.extend(released);
    }

    /// Closes the connections that have not greeted in time (`SEC-9`).
    pub(in crate::engine) fn close_silent(&mut self) {
        self.admission.forgive(self.core.now);
        let limit = self.core.config.greeting_timeout;
        for id in self.admission.late(self.core.now, limit) {
            self.failed(id, &LimitExceeded::GreetingTime { limit }.into());
        }
    }

    /// A handshake that somebody has begun has failed.
    pub(in crate::engine) fn entry_failed(&mut self, id: ConnectionId, reason: Refusal) {
        if reason == Refusal::WrongToken {
            self.admission.wrong_token(id, self.core.now);
        }
    }
}
