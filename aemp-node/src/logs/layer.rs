//! From `tracing` to the nodes of this program: records wait until their nodes have a turn.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use tokio::sync::Notify;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FormatFields as _;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer;

use super::backlog::{Backlog, Entry};
use super::now;
use super::record::LogLevel;

/// The `tracing` target for records of other nodes that a program writes to its own log. A [`LogLayer`] does not offer
/// such events to other nodes. So two nodes that catch each other's records do not pass them on in a loop.
///
/// ```
/// # let (node, text) = ("worker", "hello");
/// tracing::info!(target: aemp_node::CAUGHT, node, "{text}");
/// ```
pub const CAUGHT: &str = "aemp_node::caught";

/// A `tracing` layer that passes the events of this program to its nodes that [offer](crate::Node::offer_logs) them. It
/// never blocks: it counts the records that a node cannot hold, and the catchers of these records get the number of
/// lost ones.
///
/// A record has the event's time, target, level, message and fields, but nothing of its spans. The layer makes a record
/// only if another node wants its level and the level may be offered: up to [`LogLevel::INFO`], or the level set with
/// [`up_to`](Self::up_to) (`LOG-15`). All clones are the same layer.
#[derive(Clone)]
pub struct LogLayer {
    shared: Arc<Shared>,
}

/// Formats the level that other nodes want.
impl fmt::Debug for LogLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogLayer").field(&LogLevel::new(self.shared.wanted.load(Ordering::Relaxed))).finish()
    }
}

struct Shared {
    /// The least important level that is offered.
    offered: AtomicU8,
    /// The least important level that anyone wants; 0 if nobody wants any.
    wanted: AtomicU8,
    sources: RwLock<Vec<Weak<Source>>>,
}

/// What waits for one node.
pub(super) struct Source {
    wanted: AtomicU8,
    backlog: Mutex<Backlog<LogLevel, Arc<Made>>>,
    /// There is something in it.
    pub(super) more: Notify,
    layer: Arc<Shared>,
}

/// A record as it was made here.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) time: f64,
    pub(super) context: &'static str,
    pub(super) level: LogLevel,
    pub(super) text: String,
}

/// The maximum size of the records that wait for one node, in bytes: some thousand records.
const WAITING: usize = 4 << 20;

/// The maximum size of a record's text, in bytes. Longer text is truncated.
const TEXT: usize = 16 << 10;

thread_local! {
    /// Records are being sent: what that has to say makes no records (`LOG-7`).
    static SENDING: Cell<bool> = const { Cell::new(false) };
}

/// Runs code whose events make no records.
pub(super) fn without_records<R>(code: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SENDING.set(self.0);
        }
    }
    let _restore = Restore(SENDING.replace(true));
    code()
}

impl LogLayer {
    /// Creates a layer that no node offers yet.
    pub fn new() -> Self {
        let shared =
            Shared { offered: AtomicU8::new(LogLevel::INFO.number()), wanted: AtomicU8::new(0), sources: RwLock::default() };
        LogLayer { shared: Arc::new(shared) }
    }

    /// Sets the least important level that the layer offers, whatever other nodes request. Use the level of the
    /// program's own log, so that other nodes see no more than its operator does. The level applies to later requests
    /// of nodes.
    #[must_use]
    pub fn up_to(self, level: LogLevel) -> Self {
        self.shared.offered.store(level.number(), Ordering::Relaxed);
        self
    }

    /// Begins to gather records for a node, once it wants some.
    pub(super) fn source(&self) -> Arc<Source> {
        let source = Arc::new(Source {
            wanted: AtomicU8::new(0),
            backlog: Mutex::new(Backlog::new(WAITING)),
            more: Notify::new(),
            layer: self.shared.clone(),
        });
        self.shared.sources.write().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&source));
        source
    }
}

impl Default for LogLayer {
    fn default() -> Self {
        LogLayer::new()
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let metadata = event.metadata();
        let level = LogLevel::from(*metadata.level());
        if level.number() > self.shared.wanted.load(Ordering::Relaxed) || SENDING.get() || metadata.target() == CAUGHT {
            return;
        }
        let mut text = Bounded::default();
        // Longer text is truncated, and fields that cannot be formatted are omitted.
        let _written = DefaultFields::new().format_fields(Writer::new(&mut text), event);
        let made = Arc::new(Made { time: now(), context: metadata.target(), level, text: text.finish() });
        for source in self.shared.sources.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(source) = source.upgrade() {
                source.take_in(&made);
            }
        }
    }
}

impl Source {
    fn take_in(&self, made: &Arc<Made>) {
        if made.level.number() <= self.wanted.load(Ordering::Relaxed) {
            self.backlog().push(made.level, made.context.len() + made.text.len(), made.clone());
            self.more.notify_one();
        }
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog<LogLevel, Arc<Made>>> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes some of what waits, oldest first.
    pub(super) fn take(&self, most: usize) -> Vec<Entry<LogLevel, Arc<Made>>> {
        let mut backlog = self.backlog();
        std::iter::from_fn(|| backlog.pop()).take(most).collect()
    }

    /// From now on the node wants records up to this level; none, if there is none.
    pub(super) fn want(&self, level: Option<LogLevel>) {
        let offered = self.layer.offered.load(Ordering::Relaxed);
        self.wanted.store(level.map_or(0, LogLevel::number).min(offered), Ordering::Relaxed);
        let mut sources = self.layer.sources.write().unwrap_or_else(PoisonError::into_inner);
        sources.retain(|source| source.strong_count() > 0);
        let all = sources.iter().filter_map(Weak::upgrade).map(|source| source.wanted.load(Ordering::Relaxed));
        self.layer.wanted.store(all.max().unwrap_or(0), Ordering::Relaxed);
    }
}

/// A text that is cut off where it would become too long.
#[derive(Default)]
struct Bounded {
    text: String,
    is_cut: bool,
}

impl Bounded {
    fn finish(mut self) -> String {
        if self.is_cut {
            self.text.push('…');
        }
        self.text
    }
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = if self.is_cut { 0 } else { TEXT - self.text.len() };
        let end = (0..=room.min(more.len())).rev().find(|&end| more.is_char_boundary(end)).unwrap_or(0);
        self.is_cut |= end < more.len();
        self.text.push_str(&more[..end]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn texts(source: &Source) -> Vec<String> {
        let text = |entry| match entry {
            Entry::Kept(made) => Arc::<Made>::into_inner(made).expect("nobody else has it").text,
            Entry::Lost(level, lost) => format!("{level} {lost}"),
        };
        source.take(usize::MAX).into_iter().map(text).collect()
    }

    #[test]
    fn records_are_made_of_what_is_wanted_and_of_nothing_else() {
        let layer = LogLayer::new();
        let source = layer.source();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.clone()), || {
            tracing::error!("nobody wants it");
            source.want(Some(LogLevel::INFO));
            tracing::info!(peer = "w\n1", number = 7, "connected to {}", "it");
            tracing::debug!("nobody wants it");
            tracing::info!(target: CAUGHT, "of another node");
            without_records(|| tracing::error!("a record of a record"));
            tracing::warn!("{}", "ä".repeat(TEXT));
            source.want(None);
            tracing::error!("nobody wants it any more");
        });
        let texts = texts(&source);
        assert_eq!((texts.len(), texts[0].as_str()), (2, r#"connected to it peer="w\n1" number=7"#), "LOG-7: {texts:?}");
        assert_eq!(texts[1], "ä".repeat(TEXT / 2) + "…");
    }

    #[test]
    fn nobody_gets_records_that_the_operator_has_not_asked_for() {
        for (layer, expected) in [(LogLayer::new(), 2), (LogLayer::new().up_to(LogLevel::WARN), 1)] {
            let source = layer.source();
            source.want(Some(LogLevel::TRACE));
            tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.clone()), || {
                tracing::warn!("offered");
                tracing::info!("offered unless less is");
                tracing::debug!("not offered");
                tracing::trace!("not offered");
            });
            assert_eq!(texts(&source).len(), expected, "LOG-15");
        }
    }

    #[test]
    fn nothing_waits_and_nothing_grows_where_no_node_takes_records() {
        let layer = LogLayer::new().up_to(LogLevel::TRACE);
        let source = layer.source();
        source.want(Some(LogLevel::TRACE));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.clone()), || {
            for number in 0..WAITING {
                tracing::debug!(number, "much");
            }
            tracing::warn!("too much");
        });
        let texts = texts(&source);
        let kept = texts.len() - 2;
        assert!(kept > 1000 && kept < WAITING / 128, "{kept}");
        assert_eq!(texts[kept..], ["warn 1".to_owned(), format!("debug {}", WAITING - kept)], "LOG-8, LOG-9");
        drop(source);
        let other = layer.source();
        other.want(None);
        assert_eq!(layer.shared.wanted.load(Ordering::Relaxed), 0, "who has gone wants nothing");
    }
}
