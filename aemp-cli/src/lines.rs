//! Lines that are printed by a thread of their own: who prints them never waits for who reads them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use aemp_node::Escaped;
use tracing_subscriber::fmt::MakeWriter;

/// Prints lines, one after the other. Those that nobody reads in time are dropped and counted, and the count is printed as
/// soon as a line is.
#[derive(Clone)]
pub(crate) struct Lines {
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    /// Octets of lines that wait.
    waiting: AtomicUsize,
    dropped: AtomicU64,
    limit: usize,
}

enum Job {
    Line(String),
    /// Somebody waits until all lines before this have been printed.
    Flush(mpsc::Sender<()>),
}

/// Octets of lines that may wait; one line more than that always can.
const WAITING: usize = 4 << 20;

/// What a line that waits costs beside its text, in octets.
const COST: usize = 64;

/// Octets of a line of the log; what is longer is cut off.
const LOGGED: usize = 16 << 10;

impl Lines {
    /// Begins to print. `what` names the lines where it is told how many were dropped.
    ///
    /// # Errors
    ///
    /// When there is no thread to be had.
    pub(crate) fn begin(what: &'static str, out: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_limit(what, out, WAITING)
    }

    fn with_limit(what: &'static str, out: impl Write + Send + 'static, limit: usize) -> io::Result<Self> {
        let (jobs, to_do) = mpsc::channel();
        let shared = Arc::new(Shared { waiting: AtomicUsize::new(0), dropped: AtomicU64::new(0), limit });
        let printed = shared.clone();
        thread::Builder::new().name("aemp lines".into()).spawn(move || print(what, out, &to_do, &printed))?;
        Ok(Lines { jobs, shared })
    }

    /// Prints a line, or drops it if too much waits.
    pub(crate) fn line(&self, mut line: String) {
        let octets = line.len() + COST;
        if self.shared.waiting.fetch_add(octets, Ordering::Relaxed) >= self.shared.limit {
            self.shared.waiting.fetch_sub(octets, Ordering::Relaxed);
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        line.push('\n');
        // The thread has ended only if it has panicked; then there is nobody to print it.
        let _printed = self.jobs.send(Job::Line(line));
    }

    /// Waits until all lines have been printed, but no longer than this.
    pub(crate) fn flush(&self, patience: Duration) {
        let (done, is_done) = mpsc::channel();
        let _in_time = self.jobs.send(Job::Flush(done)).is_ok() && is_done.recv_timeout(patience).is_ok();
    }
}

fn print(what: &str, mut out: impl Write, jobs: &mpsc::Receiver<Job>, shared: &Shared) {
    // Once nobody reads any more, lines are thrown away as they come.
    let mut is_read = true;
    let mut put = |text: &str| {
        is_read = is_read && out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
    };
    for job in jobs {
        match job {
            Job::Line(line) => {
                put(&line);
                shared.waiting.fetch_sub(line.len() - 1 + COST, Ordering::Relaxed);
                match shared.dropped.swap(0, Ordering::Relaxed) {
                    0 => {}
                    dropped => put(&format!("aemp: {dropped} {what} were dropped: nobody read them in time\n")),
                }
            }
            // Whoever asked may have given up.
            Job::Flush(done) => drop(done.send(())),
        }
    }
}

/// What the whole program says on standard error goes through this.
pub(crate) fn errors() -> Option<&'static Lines> {
    static ERRORS: OnceLock<Option<Lines>> = OnceLock::new();
    ERRORS.get_or_init(|| Lines::begin("lines of the log", io::stderr()).ok()).as_ref()
}

/// Where the log goes: standard error, each event one line, in which nothing does anything to a terminal.
pub(crate) struct Log;

impl MakeWriter<'_> for Log {
    type Writer = Entry;

    fn make_writer(&self) -> Entry {
        Entry
    }
}

/// Takes one event, which comes as a whole.
pub(crate) struct Entry;

impl Write for Entry {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if let Some(lines) = errors() {
            let text = String::from_utf8_lossy(octets);
            let text = text.trim_end_matches('\n');
            let end = (0..=LOGGED.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
            lines.line(format!("{}{}", Escaped(&text[..end]), if end < text.len() { "…" } else { "" }));
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A text in JSON, in which the characters that do something to a terminal are written as escapes of JSON.
pub(crate) fn escaped_json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if Escaped(character).differs() {
            // They stand within texts only: the rest of JSON has no such characters but the white space that we do not
            // write.
            let units = character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>();
            escaped.push_str(&units);
        } else {
            escaped.push(character);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Takes one line each time that it is let.
    struct Slow(mpsc::Receiver<()>, Arc<Mutex<String>>);

    impl Write for Slow {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.lock().expect("no panic").push_str(std::str::from_utf8(octets).expect("text"));
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_nobody_reads_in_time_is_dropped_and_counted() {
        let (go, goes) = mpsc::channel();
        let printed = Arc::new(Mutex::new(String::new()));
        let lines = Lines::with_limit("lines", Slow(goes, printed.clone()), 2 * (COST + 1)).expect("a thread");
        for line in ["a", "b", "c", "d"] {
            lines.line(line.into());
        }
        lines.flush(Duration::from_millis(1));
        (0..10).for_each(|_| go.send(()).expect("it prints"));
        lines.flush(Duration::from_secs(60));
        lines.line("e".into());
        lines.flush(Duration::from_secs(60));
        let printed = printed.lock().expect("no panic");
        assert_eq!(*printed, "a\naemp: 2 lines were dropped: nobody read them in time\nb\ne\n");
    }

    #[test]
    fn json_stays_json_and_does_nothing_to_a_terminal() {
        let text = "[\"a\u{7f}\u{9b}\u{202e}\u{e0001}ä\"]";
        let escaped = escaped_json(text);
        assert_eq!(escaped, "[\"a\\u007f\\u009b\\u202e\\udb40\\udc01ä\"]");
        let read = |text: &str| serde_json::from_str::<Vec<String>>(text).expect("JSON");
        assert_eq!(read(&escaped), read(text));
    }

    #[test]
    fn a_reader_that_has_gone_costs_nothing() {
        let (go, goes) = mpsc::channel::<()>();
        drop(go);
        let lines = Lines::begin("lines", Slow(goes, Arc::default())).expect("a thread");
        (0..1000).for_each(|_| lines.line("nobody".into()));
        lines.flush(Duration::from_secs(60));
        assert_eq!(lines.shared.waiting.load(Ordering::Relaxed), 0);
    }
}
