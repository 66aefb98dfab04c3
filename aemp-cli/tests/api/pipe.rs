//! `aemp pipe` and the service `files`, as a person runs them.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::support::{Running, aemp, output, text};

/// A folder with files, for as long as a test needs it, and how the nodes there authenticate.
struct Scene {
    folder: PathBuf,
    tls: bool,
}

impl Scene {
    fn new(name: &str, tls: bool) -> Self {
        let folder = std::env::temp_dir().join(format!("aemp-pipe-{}-{name}-{tls}", std::process::id()));
        fs::create_dir_all(folder.join("files/sub")).expect("a folder for files that go away");
        let scene = Scene { folder, tls };
        let made = output(scene.program(&["gencert", "shared.pem"]).env_remove("AEMP_SECRET"));
        assert!(made.status.success(), "{}", text(&made.stderr));
        let noise: Vec<u8> = (0..3_000_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(scene.folder.join("files/noise"), noise).expect("there is room");
        fs::write(scene.folder.join("files/sub/small"), "hello\n").expect("there is room");
        fs::write(scene.folder.join("outside"), "not for others").expect("there is room");
        symlink("../outside", scene.folder.join("files/link")).expect("a link");
        symlink("sub/small", scene.folder.join("files/inner")).expect("a link");
        symlink("..", scene.folder.join("files/up")).expect("a link");
        let status = Command::new("mkfifo").arg(scene.folder.join("files/fifo")).status();
        assert!(status.expect("mkfifo runs").success());
        // A file that is longer than anything that waits anywhere, and takes no room.
        let long = File::create(scene.folder.join("files/long")).expect("there is room");
        long.set_len(4 << 30).expect("a hole");
        scene
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = aemp(arguments);
        command.current_dir(&self.folder).stdin(Stdio::null());
        if self.tls && arguments[0] != "gencert" {
            command.args(["--cert", "shared.pem"]).env_remove("AEMP_SECRET");
        }
        command
    }

    /// A node that offers the files, and its address.
    fn seed(&self, more: &[&str]) -> (Running, String) {
        let arguments = ["run", "--node-id", "seed", "--listen", "127.0.0.1:0", "--service", "files", "--files", "files"];
        let mut command = self.program(&[&arguments, more].concat());
        let mut running = Running::start(command.stderr(Stdio::piped()));
        let ready = running.line();
        (running, ready.strip_prefix("ready seed ").expect("it is ready").to_owned())
    }

    fn pipe(&self, seed: &str, arguments: &[&str]) -> Command {
        self.program(&[&["pipe", "--node-id", "client", "--seed", seed, "seed"], arguments].concat())
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).expect("it is there");
    }
}

/// Reads the errors of a program up to a line with this in it.
fn told(running: &mut Running, what: &str) -> String {
    loop {
        let line = running.error_line();
        if line.contains(what) {
            return line;
        }
    }
}

#[test]
fn a_file_comes_and_goes_whole_and_both_sides_say_how_far_it_is() {
    for tls in [false, true] {
        let scene = Scene::new("whole", tls);
        let (mut seed, address) = scene.seed(&["--files-take"]);
        let noise = scene.read("files/noise");
        let got = output(&mut scene.pipe(&address, &["Files::get", "noise", "--progress"]));
        assert!(got.status.success() && got.stdout == noise, "{}", text(&got.stderr));
        assert!(text(&got.stderr).starts_with("seed Files::get: done, 2.9 MiB in "), "{}", text(&got.stderr));
        assert!(told(&mut seed, "gets").starts_with("client gets \"noise\": sent, 2.9 MiB in "));
        // A link that leads to a place below the folder is as good as that.
        assert_eq!(text(&output(&mut scene.pipe(&address, &["Files::get", "inner"])).stdout), "hello\n");

        let mut put = scene.pipe(&address, &["Files::put", "sub/copy", "3000000"]);
        put.stdin(File::open(scene.folder.join("files/noise")).expect("it is there"));
        let got = output(&mut put);
        assert_eq!((text(&got.stdout), text(&got.stderr), got.status.code()), ("3000000\n".into(), String::new(), Some(0)));
        assert!(told(&mut seed, "puts").starts_with("client puts \"sub/copy\": taken, 2.9 MiB in "));
        assert!(scene.read("files/sub/copy") == noise);
    }
}

#[test]
fn only_files_below_the_folder_are_sent_and_only_new_ones_taken() {
    let scene = Scene::new("below", false);
    let (mut seed, address) = scene.seed(&["--files-take", "-vv"]);
    let outside = scene.folder.join("outside").display().to_string();
    let names =
        ["../outside", "sub/../../outside", &outside, "link", "up/outside", "up", "sub", "fifo", "none", "", "/", "."];
    for name in names {
        let got = output(&mut scene.pipe(&address, &["Files::get", name]));
        let why = text(&got.stderr);
        assert!(why.starts_with("aemp: seed: ") && why.contains(&format!("{name:?}")), "{name}: {why}");
        assert_eq!((text(&got.stdout), got.status.code()), (String::new(), Some(1)), "{name}");
        assert!(told(&mut seed, "no file function=\"Files::get\"").contains(&format!("{name:?}")), "{name}");
    }
    let before = fs::read_dir(scene.folder.join("files")).expect("it is there").count();
    let names = [&names[..8], &["", "new/sub", "noise", "sub/small", "up/new"]].concat();
    for (name, size) in names.iter().map(|name| (*name, "6")).chain([("short", "7"), ("long-one", "5"), ("none", "many")]) {
        let mut put = scene.pipe(&address, &["Files::put", name, size]);
        put.stdin(File::open(scene.folder.join("files/sub/small")).expect("it is there"));
        let got = output(&mut put);
        // It may be told by what it writes, or by what it reads.
        assert_eq!((text(&got.stdout), got.status.code()), (String::new(), Some(1)), "{name}");
        assert!(
            told(&mut seed, "no file function=\"Files::put\"").contains(&format!("{name:?}")) || size == "many",
            "{name}"
        );
    }
    assert_eq!(fs::read_dir(scene.folder.join("files")).expect("it is there").count(), before, "nothing is left behind");
    assert_eq!(text(&scene.read("outside")), "not for others");
    assert_eq!(text(&scene.read("files/sub/small")), "hello\n");
    // Without being told so, it takes nothing.
    let (_seed, address) = scene.seed(&[]);
    let got = output(&mut scene.pipe(&address, &["Files::put", "new", "0"]));
    let none = "aemp: seed: Files::put: no function of that name takes data connections here\n";
    assert_eq!((text(&got.stderr), got.status.code()), (none.into(), Some(1)));
}

#[test]
fn who_is_killed_in_the_middle_is_no_end() {
    // DATA-7
    for tls in [false, true] {
        let scene = Scene::new("killed", tls);
        let (seed, address) = scene.seed(&[]);
        let mut pipe = scene.pipe(&address, &["Files::get", "long"]);
        let mut pipe = pipe.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut out = pipe.stdout.take().expect("its output");
        let mut octets = vec![1; 1 << 20];
        out.read_exact(&mut octets).expect("it comes");
        assert!(octets.iter().all(|octet| *octet == 0));
        // It is far from its end: nobody reads on.
        seed.signal("KILL");
        let rest = std::io::copy(&mut out, &mut std::io::sink()).expect("it ends");
        assert!(rest < 1 << 30, "{rest}");
        let got = pipe.wait_with_output().expect("it ends");
        let error = text(&got.stderr);
        assert_eq!(got.status.code(), Some(1), "{error}");
        let meant = ["has cut the connection off", "was lost, so what came may not be all", "has given the stream up"];
        assert!(meant.iter().any(|meant| error.contains(meant)), "{error}");
    }
}

#[test]
fn a_pipe_that_is_killed_is_noticed_and_harms_nobody_else() {
    for tls in [false, true] {
        let scene = Scene::new("client", tls);
        let (mut seed, address) = scene.seed(&["--files-take"]);
        let mut get = scene.pipe(&address, &["Files::get", "long"]);
        let mut get = get.stdout(Stdio::piped()).spawn().expect("the program starts");
        get.stdout.as_mut().expect("its output").read_exact(&mut [0; 1000]).expect("it comes");
        get.kill().expect("it runs");
        get.wait().expect("it has ended");
        told(&mut seed, "no file function=\"Files::get\"");
        let mut put = scene.pipe(&address, &["Files::put", "half", "1000000"]);
        let mut put = put.stdin(Stdio::piped()).spawn().expect("the program starts");
        put.stdin.as_mut().expect("its input").write_all(&[0; 1000]).expect("it reads");
        // It has begun when there is a part of the file.
        let part = |scene: &Scene| {
            let mut names = fs::read_dir(scene.folder.join("files")).expect("it is there");
            names.any(|name| name.expect("a name").file_name().to_string_lossy().ends_with(".part"))
        };
        while !part(&scene) {
            std::thread::yield_now();
        }
        put.kill().expect("it runs");
        put.wait().expect("it has ended");
        told(&mut seed, "no file function=\"Files::put\"");
        assert!(!part(&scene) && !scene.folder.join("files/half").exists());
        assert_eq!(text(&output(&mut scene.pipe(&address, &["Files::get", "sub/small"])).stdout), "hello\n");
    }
}

#[test]
fn what_a_pipe_cannot_do_is_said_in_one_line() {
    let scene = Scene::new("errors", false);
    let (_seed, address) = scene.seed(&[]);
    let arguments = ["run", "--node-id", "quiet", "--seed", &address, "--service", "files", "--files", "files"];
    let mut quiet = Running::start(&mut scene.program(&arguments));
    assert_eq!(quiet.line(), "ready quiet ");
    // It has reached the seed when that can reach it.
    let nodes = ["cal", "--seed", &address, "--timeout", "5", "seed", "eval", "AnyEvent::MP::Kernel::up_nodes"];
    while !text(&output(&mut scene.program(&nodes)).stdout).contains("quiet") {}
    let mut report = String::new();
    let mut run = |what: &str, command: &mut Command| {
        let got = output(command);
        let error = text(&got.stderr).replace(&address, "SEED");
        report += &format!("{what}: {} {}", got.status.code().expect("an exit code"), error);
    };
    let pipe = |arguments: &[&str]| scene.program(&[&["pipe", "--seed", &address], arguments].concat());
    run("no such function", &mut pipe(&["seed", "Files::none"]));
    run("no such node", &mut pipe(&["nobody", "Files::get", "noise"]));
    run("neither node listens", &mut pipe(&["quiet", "Files::get", "noise"]));
    run("no node ID", &mut pipe(&["a;b", "Files::get"]));
    run("no JSON", &mut pipe(&["seed", "Files::get", "[1"]));
    run("the wrong secret", pipe(&["seed", "Files::get"]).env("AEMP_SECRET", "wrong"));
    run("files without a folder", &mut scene.program(&["run", "--service", "files"]));
    run("a folder without files", &mut scene.program(&["run", "--files", "files"]));
    run("a folder that is none", &mut scene.program(&["run", "--service", "files", "--files", "outside"]));
    run("a folder that is not there", &mut scene.program(&["run", "--service", "files", "--files", "none"]));
    insta::assert_snapshot!(report);
}

#[test]
fn help_pipe_teaches() {
    insta::assert_snapshot!("help_pipe", text(&output(&mut aemp(&["pipe", "--help"])).stdout));
}
