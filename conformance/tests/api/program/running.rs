//! Running the program, and what came of it.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output, Stdio};

/// A case that `simple.py` passes, and `nasty.py` fails at once.
pub(crate) const CASE: &str = "greeting/parts";

/// A folder for one test, in which the program runs.
pub(crate) struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What has failed stays, to be looked at.
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

impl Place {
    /// An empty one of this name, which no other run of these tests has.
    pub(crate) fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("program").join(format!("{name}-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Place(folder)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), content).expect("a file");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    /// A program, run here without input, terminal, or settings of whoever runs the test.
    pub(crate) fn output(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.0).stdin(Stdio::null()).env_remove("NO_COLOR");
        command.output().expect("a program runs")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::new(&self.output(env!("CARGO_BIN_EXE_aemp-conformance"), arguments))
    }

    /// Tests a node that is right, as far as it goes.
    pub(crate) fn right(&self, options: &[&str]) -> Said {
        self.node(options, &["python3", concat!(env!("CARGO_MANIFEST_DIR"), "/ports/first-steps/simple.py")])
    }

    /// Tests a node that fails whatever it can.
    pub(crate) fn wrong(&self, options: &[&str]) -> Said {
        self.node(options, &["python3", NASTY])
    }

    /// Nobody waits so long: all that is waited for comes, and what does not come is told by an end.
    pub(crate) fn node(&self, options: &[&str], command: &[&str]) -> Said {
        self.run(&[&["node", "--patience", "60", "--starting", "120"], options, &["--"], command].concat())
    }
}

/// See there.
pub(crate) const NASTY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/program/nasty.py");

/// What a program has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn new(output: &Output) -> Self {
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).expect("text in UTF-8");
        Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The names of cases behind this word, in order.
    pub(crate) fn cases(&self, word: &str) -> Vec<&str> {
        self.out.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(": ")).collect()
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (out, err) = (self.out.trim_end(), self.err.trim_end());
        if !out.is_empty() {
            writeln!(f, "{out}")?;
        }
        if !err.is_empty() {
            writeln!(f, "(standard error)\n{err}")?;
        }
        write!(f, "(exit code {})", self.code.map_or("none".into(), |code| code.to_string()))
    }
}
