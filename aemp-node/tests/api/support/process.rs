//! Processes that a test starts, and that end with it.

#![allow(dead_code, unreachable_pub, reason = "a module of tests uses its part")]

use std::io::{BufRead, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const SECRET: &str = "swordfish";

pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

pub fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// An address that nobody listens on.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").to_string()
}

/// A program that ends with this.
pub struct Running {
    pub process: Child,
    said: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let said = BufReader::new(process.stdout.take().expect("its output")).lines();
        Running { process, said }
    }

    pub fn line(&mut self) -> String {
        self.said.next().expect("a line").expect("text")
    }

    /// A line of its errors, if they were piped.
    pub fn error_line(&mut self) -> String {
        let errors = self.process.stderr.as_mut().expect("its errors");
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            let mut octet = [0];
            errors.read_exact(&mut octet).expect("a line");
            line.extend(octet);
        }
        String::from_utf8(line).expect("text")
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Ends in time, with this exit code.
    pub fn ends(&mut self) -> Option<i32> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.process.try_wait().expect("it is ours") {
                return status.code();
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        if self.process.kill().is_ok() {
            self.process.wait().expect("it was running");
        }
    }
}
