//! The program that is attacked, and what the kernel says of it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The program `aemp`: the one of this build, or the one that `AEMP_HOSTILE_PROGRAM` names.
pub(crate) fn program() -> String {
    std::env::var("AEMP_HOSTILE_PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_aemp").into())
}

/// What is done with the log of the victim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// It is read and counted.
    Read,
    /// Nobody reads it, until the end.
    Blocked,
}

/// A node in a process of its own, which ends with this.
pub(crate) struct Victim {
    process: Child,
    pub(crate) address: String,
    /// Octets of its log.
    pub(crate) logged: Arc<AtomicU64>,
    /// Control characters other than line ends in its log.
    pub(crate) raw_controls: Arc<AtomicU64>,
    unread: Option<ChildStderr>,
}

impl Victim {
    pub(crate) fn start(options: &[&str], log: Log) -> Self {
        let mut command = Command::new(program());
        command.args(["run", "--node-id", "victim", "--listen", "127.0.0.1:0", "--service", "echo"]).args(options);
        command.env("AEMP_SECRET", super::member::SECRET).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the program starts");
        let mut errors = process.stderr.take().expect("its log");
        let mut ready = String::new();
        let mut output = BufReader::new(process.stdout.take().expect("its output"));
        output.read_line(&mut ready).expect("a line");
        let Some(address) = ready.trim_end().strip_prefix("ready victim ").map(str::to_owned) else {
            let mut text = String::new();
            errors.read_to_string(&mut text).expect("text");
            panic!("{command:?} is not ready: {ready}{text}");
        };
        let (logged, raw_controls) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let mut unread = Some(errors);
        if log == Log::Read {
            let (mut errors, logged, raw) = (unread.take().expect("it is there"), logged.clone(), raw_controls.clone());
            std::thread::spawn(move || {
                let mut octets = [0; 16 << 10];
                while let Ok(length @ 1..) = errors.read(&mut octets) {
                    let controls = octets[..length].iter().filter(|octet| octet.is_ascii_control() && **octet != b'\n');
                    raw.fetch_add(controls.count() as u64, Ordering::Relaxed);
                    logged.fetch_add(length as u64, Ordering::Relaxed);
                }
            });
        }
        Victim { process, address, logged, raw_controls, unread }
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.process.id())).unwrap_or_default()
    }

    fn status(&self, key: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
    }

    /// Resident octets now.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS") << 10
    }

    /// The most resident octets that there were.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM") << 10
    }

    pub(crate) fn threads(&self) -> u64 {
        self.status("Threads")
    }

    /// The processor time that it has used.
    pub(crate) fn processor_time(&self) -> Duration {
        // In nanoseconds for each thread that lives, in ticks for all that ever did.
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id())).into_iter().flatten().flatten();
        let of_task = |task: fs::DirEntry| -> Option<u64> {
            fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
        };
        let fine: u64 = tasks.filter_map(of_task).sum();
        let stat = self.proc("stat");
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_nanos(fine).max(Duration::from_millis(ticks * 10))
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().is_ok_and(|status| status.is_none())
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "{name} could not be sent");
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        drop(self.unread.take());
        // It may have ended already.
        if self.process.kill().is_ok() {
            drop(self.process.wait());
        }
    }
}
