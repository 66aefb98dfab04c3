//! Looks after the code of ports: a panic ends its port only, and code that holds up the node is noticed.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use aemp_proto::actor::{Conduct, Supervisor};

/// What the watchdog sees of a node. Reading a clock for every message would cost more than the message.
struct Pulse {
    /// Odd while code runs, and another number each time.
    turn: AtomicU64,
    /// The turn that the watchdog found to be slow, and for how many microseconds it has seen it.
    slow_turn: AtomicU64,
    seen: AtomicU64,
    /// When code is slow.
    slow: Duration,
    node: String,
}

pub(crate) struct Watchful {
    pulse: Arc<Pulse>,
    turn: Cell<u64>,
}

/// How many looks within the time after which code is slow.
const LOOKS: u32 = 4;

impl Watchful {
    pub(crate) fn new(node: &str, slow: Duration) -> Self {
        let pulse = Arc::new(Pulse {
            turn: AtomicU64::new(0),
            slow_turn: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            slow,
            node: node.to_owned(),
        });
        watch_over(&pulse);
        Watchful { pulse, turn: Cell::new(0) }
    }
}

impl Supervisor for Watchful {
    #[inline]
    fn run(&self, code: &mut dyn FnMut()) -> Conduct {
        let turn = self.turn.get() + 1;
        self.pulse.turn.store(turn, Ordering::Relaxed);
        let ran = catch_unwind(AssertUnwindSafe(code));
        self.turn.set(turn + 1);
        self.pulse.turn.store(turn + 1, Ordering::Relaxed);
        let slow = (self.pulse.slow_turn.load(Ordering::Relaxed) == turn)
            .then(|| Duration::from_micros(self.pulse.seen.load(Ordering::Relaxed)));
        Conduct { panic: ran.err().map(|payload| panic_text(&*payload)), slow }
    }
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it panicked").to_owned()
}

/// Has the watchdog look after a node, until that has ended. There is one for all nodes of the process, begun with the
/// first.
fn watch_over(pulse: &Arc<Pulse>) {
    static WATCHED: OnceLock<Arc<Mutex<Vec<Weak<Pulse>>>>> = OnceLock::new();
    let mut first: Option<Arc<Mutex<Vec<Weak<Pulse>>>>> = None;
    let watched = WATCHED.get_or_init(|| first.insert(Arc::default()).clone());
    watched.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(pulse));
    if let Some(watched) = first {
        // Without a watchdog the nodes run as well; only nobody notices slow code.
        let begun = thread::Builder::new().name("aemp watchdog".into()).spawn(move || watchdog(&watched));
        if let Err(error) = begun {
            tracing::warn!(%error, "there is no thread to look after slow code");
        }
    }
}

fn watchdog(watched: &Mutex<Vec<Weak<Pulse>>>) {
    /// How often it looks when there is no node.
    const IDLE: Duration = Duration::from_millis(200);
    /// The present turn of each node, when it was seen first, and whether it was told to be slow.
    struct Seen {
        pulse: Weak<Pulse>,
        turn: u64,
        since: Instant,
        told: bool,
    }
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        let (mut pause, now) = (IDLE, Instant::now());
        let new = std::mem::take(&mut *watched.lock().unwrap_or_else(PoisonError::into_inner));
        seen.extend(new.into_iter().map(|pulse| Seen { pulse, turn: 0, since: now, told: false }));
        seen.retain_mut(|seen| {
            let Some(pulse) = seen.pulse.upgrade() else { return false };
            pause = pause.min((pulse.slow / LOOKS).max(Duration::from_millis(1)));
            let turn = pulse.turn.load(Ordering::Relaxed);
            if turn != seen.turn {
                (seen.turn, seen.since, seen.told) = (turn, now, false);
            }
            let time = now - seen.since;
            if turn % 2 == 1 && time >= pulse.slow {
                pulse.seen.store(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
                pulse.slow_turn.store(turn, Ordering::Relaxed);
                if !std::mem::replace(&mut seen.told, true) {
                    tracing::warn!(node = pulse.node, "code of a port holds up the node; it is named when it has ended");
                }
            }
            true
        });
        thread::sleep(pause);
    }
}
