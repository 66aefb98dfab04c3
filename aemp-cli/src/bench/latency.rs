//! How long round trips took.

use std::time::Duration;

/// Counts of times, in classes that are 3% wide: memory does not grow with what is counted.
pub(super) struct Latencies {
    counts: Vec<u64>,
    longest: Duration,
}

/// Classes for each power of two.
const STEPS: u64 = 32;

impl Latencies {
    pub(super) fn new() -> Self {
        Latencies { counts: vec![0; class(u64::MAX) + 1], longest: Duration::ZERO }
    }

    pub(super) fn add(&mut self, time: Duration) {
        self.counts[class(nanoseconds(time))] += 1;
        self.longest = self.longest.max(time);
    }

    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// The time within which this share of the round trips was done.
    pub(super) fn within(&self, share: f64) -> Duration {
        let all: u64 = self.counts.iter().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted.max(1)
        });
        found.map_or(Duration::ZERO, |class| Duration::from_nanos(end(class)).min(self.longest))
    }

    /// Both together.
    pub(super) fn with(mut self, other: Self) -> Self {
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count += more);
        self.longest = self.longest.max(other.longest);
        self
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The class of a time: small ones have a class each; behind that `STEPS` classes for each power of two.
fn class(nanoseconds: u64) -> usize {
    let shift = (nanoseconds / STEPS).checked_ilog2().map_or(0, u64::from);
    (shift * STEPS + (nanoseconds >> shift)) as usize
}

/// The longest time of a class.
fn end(class: usize) -> u64 {
    let class = class as u64;
    let shift = (class / STEPS).saturating_sub(1);
    let first = (class - shift * STEPS) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_lies_in_its_class_and_classes_are_narrow() {
        for nanoseconds in (0..5000).chain([1 << 20, (1 << 40) + 12345, u64::MAX - 1, u64::MAX]) {
            let class = class(nanoseconds);
            assert!(end(class) >= nanoseconds, "{nanoseconds}");
            assert!(class == 0 || end(class - 1) < nanoseconds, "{nanoseconds}");
            assert!((end(class) - nanoseconds) as f64 <= nanoseconds as f64 / STEPS as f64, "{nanoseconds}");
        }
    }

    #[test]
    fn shares_are_counted_over_everything_that_was_added() {
        let mut low = Latencies::new();
        let mut high = Latencies::new();
        (1..=90).for_each(|_| low.add(Duration::from_nanos(10)));
        (1..=10).for_each(|_| high.add(Duration::from_micros(7)));
        let both = low.with(high);
        assert_eq!(both.within(0.5), Duration::from_nanos(10));
        assert_eq!(both.within(0.9), Duration::from_nanos(10));
        assert_eq!(both.within(0.91), Duration::from_micros(7));
        assert_eq!(both.longest(), Duration::from_micros(7));
    }
}
