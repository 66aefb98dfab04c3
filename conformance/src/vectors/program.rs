//! Talking to a program by lines, without ever waiting for it without an end.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Step};
use crate::subject::{Said, keep_the_end_of};

/// Octets of one line; a program that writes more is given up.
const LONGEST: usize = 16 << 20;
/// Lines that are read ahead.
const AHEAD: usize = 16;

/// A program that is given lines, and writes lines.
pub struct Program {
    child: Child,
    lines: Receiver<Result<String, String>>,
    errors: Said,
    listener: JoinHandle<()>,
    patience: Duration,
}

impl Program {
    /// Starts a program, which is given these lines, and then the end of its input.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(command: &[String], input: Arc<[String]>, from: usize, patience: Duration) -> Step<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::Suite("there is no command to start".into()));
        };
        let mut process = Command::new(program);
        process.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = process.spawn().map_err(|error| Failure::suite(format!("{program} does not start"), &error))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::Suite("a process without standard streams".into()));
        };
        let errors = Said::default();
        let listener = keep_the_end_of(stderr, errors.clone());
        thread::spawn(move || {
            // When it takes no more, what it answers tells why.
            let _ = input[from..].iter().try_for_each(|line| stdin.write_all(line.as_bytes()));
        });
        let (found, lines) = mpsc::sync_channel(AHEAD);
        thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            // None: it has ended. That nobody waits any more is an end, too.
            while let Some(line) = read_line(&mut stdout) {
                let last = line.is_err();
                if found.send(line).is_err() || last {
                    break;
                }
            }
        });
        Ok(Program { child, lines, errors, listener, patience })
    }

    /// The next line.
    ///
    /// # Errors
    ///
    /// What it did instead of writing one.
    pub fn line(&mut self) -> Result<String, String> {
        match self.lines.recv_timeout(self.patience) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => Err(format!("nothing for {:?}", self.patience)),
            Err(RecvTimeoutError::Disconnected) => Err(format!("the end of its output{}", self.status())),
        }
    }

    /// After the last answer, nothing may come but the end.
    ///
    /// # Errors
    ///
    /// What came instead.
    pub fn end(&mut self) -> Result<(), String> {
        match self.lines.recv_timeout(self.patience) {
            Ok(line) => Err(format!("one more line: {:?}", shortened(&line.unwrap_or_else(|what| what)))),
            Err(RecvTimeoutError::Timeout) => Err(format!("it goes on for {:?} when its input has ended", self.patience)),
            Err(RecvTimeoutError::Disconnected) => Ok(()),
        }
    }

    /// How it has ended, if it has.
    fn status(&mut self) -> String {
        // It may close its output a moment before it is gone.
        for _ in 0..20 {
            match self.child.try_wait() {
                Ok(Some(status)) => return format!("; the program has ended ({status})"),
                _ => thread::sleep(Duration::from_millis(5)),
            }
        }
        "; the program still runs".into()
    }

    /// Ends it, and gives the end of what it said on standard error.
    pub fn last_words(mut self) -> String {
        // What it said may still be on its way, and something that it has started may keep the stream open.
        let waiting = Instant::now();
        let _ = self.child.kill();
        while !self.listener.is_finished() && waiting.elapsed() < Duration::from_millis(500) {
            thread::sleep(Duration::from_millis(2));
        }
        self.errors()
    }

    /// The end of what it said on standard error, up to now.
    pub fn errors(&self) -> String {
        self.errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone then, and waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_line(from: &mut impl BufRead) -> Option<Result<String, String>> {
    let mut line = Vec::new();
    match from.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line) {
        Ok(0) => None,
        Ok(_) if line.len() == LONGEST => Some(Err(format!("a line of more than {LONGEST} octets"))),
        Ok(_) => Some(String::from_utf8(line).map_err(|error| {
            format!("a line that is not UTF-8: {:?}", shortened(&String::from_utf8_lossy(error.as_bytes())))
        })),
        Err(error) => Some(Err(format!("an output that cannot be read: {error}"))),
    }
}

/// The beginning of a text, for people.
pub(super) fn shortened(text: &str) -> String {
    const CHARACTERS: usize = 400;
    let text = text.trim_end();
    text.char_indices().nth(CHARACTERS).map_or_else(|| text.to_owned(), |(end, _)| format!("{}…", &text[..end]))
}
