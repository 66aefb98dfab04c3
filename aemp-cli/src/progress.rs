//! How far something is that takes a while, on standard error.

use std::time::{Duration, Instant};

use crate::tell;

/// Counts octets, and tells of them now and then.
pub(crate) struct Progress {
    what: String,
    total: Option<u64>,
    passed: u64,
    told: Instant,
    begun: Instant,
}

/// How often it tells.
const PAUSE: Duration = Duration::from_secs(1);

impl Progress {
    /// Of `what`, which has so many octets if that is known.
    pub(crate) fn new(what: String, total: Option<u64>) -> Self {
        let begun = Instant::now();
        Progress { what, total, passed: 0, told: begun, begun }
    }

    /// So many octets more have passed.
    pub(crate) fn add(&mut self, octets: usize) {
        self.passed += octets as u64;
        if self.told.elapsed() >= PAUSE {
            self.told = Instant::now();
            tell(format_args!("{}: {}", self.what, amount(self.passed, self.total)));
        }
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    /// Tells how it ended.
    pub(crate) fn end(&self, how: &str) {
        let seconds = self.begun.elapsed().as_secs_f64();
        tell(format_args!("{}: {how}, {} in {seconds:.1} s", self.what, size(self.passed)));
    }
}

fn amount(passed: u64, total: Option<u64>) -> String {
    match total {
        Some(total) if total > 0 => {
            let percent = (passed as f64 / total as f64 * 100.0).floor();
            format!("{} of {}, {percent} %", size(passed), size(total))
        }
        _ => size(passed),
    }
}

/// A number of octets as people read it.
fn size(octets: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if octets < 1024 {
        return format!("{octets} octets");
    }
    let (mut amount, mut unit) = (octets as f64 / 1024.0, 0);
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_as_people_read_them() {
        assert_eq!(amount(0, None), "0 octets");
        assert_eq!(amount(1023, Some(4096)), "1023 octets of 4.0 KiB, 24 %");
        assert_eq!(amount(4096, Some(4096)), "4.0 KiB of 4.0 KiB, 100 %");
        assert_eq!(amount(3 << 29, None), "1.5 GiB");
        assert_eq!(amount(0, Some(0)), "0 octets");
    }
}
