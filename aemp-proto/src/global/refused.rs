//! Entries that are not kept because they are too large: of each the operator hears once.

use alloc::collections::{BTreeSet, VecDeque};
use core::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher};

/// Which entries were told, by a number made from source, family and key.
#[derive(Default)]
pub(super) struct Refused {
    told: BTreeSet<u64>,
    /// Those, the oldest first.
    order: VecDeque<u64>,
}

/// FNV-1a. Two entries with one number are told as one, which does no harm.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl Refused {
    /// So many are remembered.
    const KEPT: usize = 1_000;

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Notes an entry; whether it is new.
    pub(super) fn note(&mut self, entry: impl Hash) -> bool {
        let number = BuildHasherDefault::<Fnv>::default().hash_one(entry);
        if !self.told.insert(number) {
            return false;
        }
        self.order.push_back(number);
        if self.order.len() > Self::KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.told.remove(&oldest);
        }
        true
    }
}
