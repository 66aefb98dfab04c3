//! A rate limit for log lines that other nodes can cause.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Limits the log lines of one kind: ten at once, then one each second, with the number of those that were left out.
///
/// ```
/// use std::time::{Duration, Instant};
/// let (rate, start) = (aemp_node::LogRate::new(), Instant::now());
/// assert_eq!((0..1000).filter(|_| rate.take(start)).count(), 10);
/// assert_eq!(rate.left_out(start), None);
/// assert_eq!(rate.left_out(start + Duration::from_secs(1)), Some(990));
/// ```
#[derive(Debug, Default)]
pub struct LogRate {
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// When it began; none if nothing has been told yet.
    since: Option<Instant>,
    told: u32,
    left_out: u64,
}

impl LogRate {
    /// Lines that are told at once.
    pub const AT_ONCE: u32 = 10;

    /// After this time it is told how many lines were left out.
    pub const WINDOW: Duration = Duration::from_secs(1);

    /// Creates a limit with nothing logged so far.
    pub fn new() -> Self {
        LogRate::default()
    }

    /// Returns whether to log a line now. If not, counts the line.
    pub fn take(&self, now: Instant) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = window.since.is_none_or(|since| now.saturating_duration_since(since) >= Self::WINDOW);
        if is_over && window.left_out == 0 {
            (window.since, window.told) = (Some(now), 0);
        }
        if window.told < Self::AT_ONCE {
            window.told += 1;
            return true;
        }
        window.left_out = window.left_out.saturating_add(1);
        false
    }

    /// How many lines were left out, once it is time to tell that. From then on one line is told each second, until nothing
    /// is left out any more.
    pub fn left_out(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let since = window.since?;
        if window.left_out == 0 || now.saturating_duration_since(since) < Self::WINDOW {
            return None;
        }
        (window.since, window.told) = (Some(now), Self::AT_ONCE - 1);
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_ten_lines_and_one_each_second_and_ends_when_it_ends() {
        let (rate, start) = (LogRate::new(), Instant::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let flood = |now| (0..100).filter(|_| rate.take(now)).count();
        assert_eq!((flood(start), rate.left_out(start)), (10, None));
        for second in 1..4 {
            assert_eq!((rate.left_out(at(second)), flood(at(second))), (Some(if second == 1 { 90 } else { 99 }), 1));
        }
        assert_eq!((rate.left_out(at(4)), rate.left_out(at(5))), (Some(99), None));
        assert_eq!(flood(at(6)), 10, "the flood was over");
    }

    #[test]
    fn what_was_left_out_is_told_however_late() {
        let (rate, start) = (LogRate::new(), Instant::now());
        assert_eq!((0..11).filter(|_| rate.take(start)).count(), 10);
        assert!(!rate.take(start + Duration::from_secs(60)), "first it is told how many there were");
        assert_eq!(rate.left_out(start + Duration::from_secs(60)), Some(2));
    }
}
