//! Where an attack takes place: a victim, a probe, and what is measured.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use aemp_node::proto::framing::Framing;

use super::member::Member;
use super::probe::{Probe, Seen};
use super::process::{Log, Victim};

/// One attack at a time: they would spoil each other's figures.
static ONE: Mutex<()> = Mutex::new(());

/// A number for ordinary tests, or for the full sizes.
pub(crate) fn size(ordinary: usize, full: usize) -> usize {
    if is_full() { full } else { ordinary }
}

/// Whether the attacks are to be as large as those in `docs/hardening.md`.
pub(crate) fn is_full() -> bool {
    std::env::var("AEMP_HOSTILE").is_ok_and(|value| value == "full")
}

pub(crate) struct Ground {
    what: String,
    pub(crate) victim: RefCell<Victim>,
    probe: Probe,
    /// Octets that attackers have sent since the measurement began.
    sent: Arc<AtomicU64>,
    /// Octets that the node has sent to attackers since then.
    got: Arc<AtomicU64>,
    /// Processor time that the probe causes, in a second.
    idle: Duration,
    begun: RefCell<Begun>,
    /// What the victim may have resident at most, beyond what it had before the attack.
    ceiling: Option<u64>,
    _one: MutexGuard<'static, ()>,
}

struct Begun {
    at: Instant,
    processor_time: Duration,
    resident: u64,
    logged: u64,
    probe: usize,
}

impl Begun {
    fn now(victim: &Victim, probe: &Probe) -> Self {
        Begun {
            at: Instant::now(),
            processor_time: victim.processor_time(),
            resident: victim.resident(),
            logged: victim.logged.load(Ordering::Relaxed),
            probe: probe.sent(),
        }
    }
}

impl Ground {
    /// A victim with these options, and a probe.
    pub(crate) fn new(what: &str, options: &[&str]) -> Self {
        Ground::with_log(what, options, Log::Read)
    }

    pub(crate) fn with_log(what: &str, options: &[&str], log: Log) -> Self {
        let one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let victim = Victim::start(options, log);
        let probe = Probe::start(&victim.address);
        assert!(probe.settled(), "the probe is not answered");
        let (before, begun) = (victim.processor_time(), Instant::now());
        std::thread::sleep(Duration::from_millis(size(200, 2000) as u64));
        let idle = (victim.processor_time() - before).div_f64(begun.elapsed().as_secs_f64());
        let begun = RefCell::new(Begun::now(&victim, &probe));
        let (victim, sent, got) = (RefCell::new(victim), Arc::default(), Arc::default());
        Ground { what: what.into(), victim, probe, sent, got, idle, begun, ceiling: None, _one: one }
    }

    /// The memory that the victim may have resident at most, in octets, beyond what it had before the attack.
    pub(crate) fn ceiling(mut self, octets: u64) -> Self {
        self.ceiling = Some(octets);
        self
    }

    pub(crate) fn address(&self) -> String {
        self.victim.borrow().address.clone()
    }

    /// A member joins.
    pub(crate) fn member(&self, name: &str, framing: Framing) -> Member {
        self.try_member(name, framing).unwrap_or_else(|error| panic!("{name} is not taken: {error}"))
    }

    pub(crate) fn try_member(&self, name: &str, framing: Framing) -> std::io::Result<Member> {
        Member::join(&self.address(), name, framing, self.sent.clone(), self.got.clone())
    }

    /// The octets that attackers have sent, to be added to.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        self.sent.clone()
    }

    /// What is measured begins here: what was before made ready for it.
    pub(crate) fn begin(&self) {
        self.sent.store(0, Ordering::Relaxed);
        self.got.store(0, Ordering::Relaxed);
        *self.begun.borrow_mut() = Begun::now(&self.victim.borrow(), &self.probe);
    }

    /// Prints what was measured, and checks that the probe was not disturbed. The attackers must have left, or be heard.
    pub(crate) fn end(self) -> Seen {
        let begun = self.begun.into_inner();
        let mut victim = self.victim.into_inner();
        let answers = self.probe.settled();
        let (time, used) = (begun.at.elapsed(), victim.processor_time() - begun.processor_time);
        let got = self.got.load(Ordering::Relaxed);
        let (sent, threads) = (self.sent.load(Ordering::Relaxed), victim.threads());
        std::thread::sleep(Duration::from_millis(size(100, 3000) as u64));
        let seen = self.probe.stop(begun.probe);
        let (peak, after) = (victim.peak(), victim.resident());
        let caused = used.saturating_sub(self.idle.mul_f64(time.as_secs_f64()));
        let at =
            |part: usize| seen.times.get((seen.times.len().saturating_sub(1)) * part / 1000).copied().unwrap_or_default();
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
        println!(
            "| {} | {} + {} | {:.0} ms | {:.1} | {:.1} / {:.1} / {:.1} ms | {}/{}, {:.0} ms | {:.0} → {:.0}, {:.0} MiB | {} | {} | {} |",
            self.what,
            sent,
            got,
            millis(caused),
            caused.as_nanos() as f64 / (sent + got).max(1) as f64,
            millis(at(500)),
            millis(at(990)),
            millis(at(1000)),
            seen.admitted,
            seen.newcomers,
            millis(seen.slowest),
            mib(begun.resident),
            mib(peak),
            mib(after),
            victim.logged.load(Ordering::Relaxed) - begun.logged,
            threads,
            seen.lost,
        );
        assert!(victim.runs(), "{}: the node has ended", self.what);
        assert!(!seen.ended, "{}: the probe has lost its connection", self.what);
        assert!(answers, "{}: the probe is not answered any more", self.what);
        assert_eq!(seen.lost, 0, "{}: of {} messages of the probe", self.what, seen.sent);
        assert!(seen.told.is_empty(), "{}: the probe was told {:?}", self.what, seen.told);
        if let Some(ceiling) = self.ceiling {
            let grown = peak.saturating_sub(begun.resident);
            assert!(grown <= ceiling, "{}: it grew by {grown} octets, {ceiling} are allowed", self.what);
        }
        seen
    }
}
