//! What waits to be taken, within bounds. What does not fit is counted, and the count stands where it would have stood.

use std::collections::{BTreeMap, VecDeque};

/// Things that wait; those that do not fit are counted by a key.
pub(super) struct Backlog<K, T> {
    entries: VecDeque<(usize, Entry<K, T>)>,
    octets: usize,
    limit: usize,
    lost: BTreeMap<K, u64>,
}

/// What comes out.
#[derive(Debug, PartialEq)]
pub(super) enum Entry<K, T> {
    Kept(T),
    /// So many of this key would have come here.
    Lost(K, u64),
}

/// About what an entry costs by itself, in octets.
const COST: usize = 128;

impl<K: Ord, T> Backlog<K, T> {
    /// Holds so many octets, with what the entries cost themselves.
    pub(super) fn new(limit: usize) -> Self {
        Backlog { entries: VecDeque::new(), octets: 0, limit, lost: BTreeMap::new() }
    }

    /// Takes something in that has so many octets, or counts it.
    pub(super) fn push(&mut self, key: K, octets: usize, thing: T) {
        let cost = COST * (1 + self.lost.len()) + octets;
        if self.octets + cost > self.limit {
            let lost = self.lost.entry(key).or_default();
            *lost = lost.saturating_add(1);
            return;
        }
        for (key, lost) in std::mem::take(&mut self.lost) {
            self.append(0, Entry::Lost(key, lost));
        }
        self.append(octets, Entry::Kept(thing));
    }

    fn append(&mut self, octets: usize, entry: Entry<K, T>) {
        self.octets += COST + octets;
        self.entries.push_back((octets, entry));
    }

    /// Takes out what has waited longest.
    pub(super) fn pop(&mut self) -> Option<Entry<K, T>> {
        match self.entries.pop_front() {
            Some((octets, entry)) => {
                self.octets -= COST + octets;
                Some(entry)
            }
            None => self.lost.pop_first().map(|(key, lost)| Entry::Lost(key, lost)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_where_it_would_have_stood() {
        let mut backlog = Backlog::new(2 * COST + 10);
        backlog.push('a', 5, 1);
        backlog.push('a', 5, 2);
        backlog.push('b', 0, 3);
        backlog.push('a', 0, 4);
        backlog.push('b', 0, 5);
        assert_eq!(backlog.pop(), Some(Entry::Kept(1)));
        // What was lost needs room, too.
        backlog.push('b', 0, 6);
        assert_eq!(backlog.pop(), Some(Entry::Kept(2)));
        assert_eq!(backlog.pop(), Some(Entry::Lost('a', 1)));
        backlog.push('b', 9, 7);
        assert_eq!(backlog.pop(), Some(Entry::Lost('b', 3)));
        assert_eq!(backlog.pop(), Some(Entry::Kept(7)));
        assert_eq!(backlog.pop(), None);
        assert_eq!(backlog.octets, 0);
        backlog.push('a', 1000, 8);
        assert_eq!((backlog.pop(), backlog.pop()), (Some(Entry::Lost('a', 1)), None));
    }
}
