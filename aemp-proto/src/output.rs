//! Octets that wait to be sent.

use alloc::vec::Vec;

use zeroize::Zeroize;

/// A buffer that is filled at one end and taken from at the other.
#[derive(Debug, Default)]
pub(crate) struct Output {
    octets: Vec<u8>,
    /// How much has been taken.
    taken: usize,
}

impl Output {
    /// How much room is kept, in octets, when the buffer is empty.
    const KEPT: usize = 64 << 10;

    #[inline]
    pub(crate) fn pending(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.octets.len() - self.taken
    }

    /// The memory that it takes.
    pub(crate) fn capacity(&self) -> usize {
        self.octets.capacity()
    }

    /// The buffer, to append to.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Takes octets off the front.
    ///
    /// # Panics
    ///
    /// When there are not as many.
    #[inline]
    pub(crate) fn advance(&mut self, octets: usize) {
        assert!(octets <= self.len(), "more octets were sent than there were");
        self.taken += octets;
        if self.taken == self.octets.len() {
            self.octets.clear();
            self.octets.shrink_to(Self::KEPT);
            self.taken = 0;
        } else if self.taken > self.octets.len() / 2 {
            self.octets.drain(..self.taken);
            self.taken = 0;
        }
    }

    /// Forgets everything and wipes it: it may contain a secret.
    pub(crate) fn wipe(&mut self) {
        self.octets.zeroize();
        self.taken = 0;
    }
}
