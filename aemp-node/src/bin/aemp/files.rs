//! The service `files`: sends and takes files over data connections. A worked example of [`Node::data_accept`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aemp_node::{DataListener, DataStream, Message, Node};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::Failure;
use crate::progress::Progress;

/// Files that are sent or taken at once; others wait.
const AT_ONCE: usize = 16;

/// How long the other side may neither read nor write.
const PATIENCE: Duration = Duration::from_secs(60);

/// Octets that are moved at once.
const BLOCK: usize = 256 << 10;

/// What the service may do.
#[derive(Clone)]
struct Files {
    /// The folder, without symbolic links in its path.
    folder: PathBuf,
}

/// Offers the files below a folder, and takes new ones if that is wanted.
pub(crate) async fn serve(node: &Node, folder: &Path, takes: bool) -> Result<(), Failure> {
    let told = |error| Failure::usage(format!("--files {}: {error}", folder.display()));
    let files = Files { folder: fs::canonicalize(folder).map_err(told)? };
    if !files.folder.is_dir() {
        return Err(told(io::Error::other("it is no folder")));
    }
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let get = node.data_accept("Files::get").await.map_err(Failure::refused)?;
    tokio::spawn(each(get, slots.clone(), files.clone(), Files::get));
    if takes {
        let put = node.data_accept("Files::put").await.map_err(Failure::refused)?;
        tokio::spawn(each(put, slots, files, Files::put));
    }
    Ok(())
}

/// Serves each data connection on a thread of its own: files block.
async fn each(
    mut listener: DataListener,
    slots: Arc<Semaphore>,
    files: Files,
    serve: fn(&Files, &Handle, &mut DataStream, &Message) -> io::Result<()>,
) {
    while let Ok(slot) = slots.clone().acquire_owned().await
        && let Some((mut stream, arguments)) = listener.accept().await
    {
        let (files, handle, function) = (files.clone(), Handle::current(), listener.function().to_owned());
        spawn_blocking(move || {
            let _slot = slot;
            if let Err(error) = serve(&files, &handle, &mut stream, &arguments) {
                tracing::warn!(function, peer = %stream.peer(), %error, "no file");
                // So that the other side does not take this for the end of the file.
                stream.reset();
            }
        });
    }
}

/// Waits for the other side, for so long.
fn wait<T>(handle: &Handle, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("nothing has moved for {PATIENCE:?}"));
    handle.block_on(async { timeout(PATIENCE, what).await.map_err(late)? })
}

fn not_allowed(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, text)
}

impl Files {
    /// `Files::get NAME`: the stream is the file.
    fn get(&self, handle: &Handle, stream: &mut DataStream, arguments: &Message) -> io::Result<()> {
        let (name,): (String,) =
            arguments.decode().map_err(|_| not_allowed("one argument is wanted: the name of a file"))?;
        let (mut file, size) = self.open(&name)?;
        let mut progress = Progress::new(format!("{} gets {name:?}", stream.peer()), Some(size));
        let mut block = vec![0; BLOCK];
        loop {
            let length = file.read(&mut block)?;
            if length == 0 {
                break;
            }
            wait(handle, stream.write_all(&block[..length]))?;
            progress.add(length);
        }
        wait(handle, stream.shutdown())?;
        // It ends its direction when it has all.
        while wait(handle, stream.read(&mut block))? > 0 {}
        progress.end("sent");
        Ok(())
    }

    /// `Files::put NAME SIZE`: so many octets of the stream become a new file; then its size is told.
    fn put(&self, handle: &Handle, stream: &mut DataStream, arguments: &Message) -> io::Result<()> {
        let wanted = "two arguments are wanted: the name of a new file, and its size in octets";
        let (name, size): (String, u64) = arguments.decode().map_err(|_| not_allowed(wanted))?;
        let path = self.place(&name)?;
        let mut progress = Progress::new(format!("{} puts {name:?}", stream.peer()), Some(size));
        let mut part = Part::new(&path)?;
        let mut block = vec![0; BLOCK];
        loop {
            let length = wait(handle, stream.read(&mut block))?;
            if length == 0 {
                break;
            }
            progress.add(length);
            if progress.passed() > size {
                break;
            }
            part.file.write_all(&block[..length])?;
        }
        if progress.passed() != size {
            return Err(io::Error::other(format!("{name:?}: {} octets came, or more, not {size}", progress.passed())));
        }
        part.becomes(&path)?;
        let answer = format!("{size}\n");
        wait(handle, stream.write_all(answer.as_bytes()))?;
        wait(handle, stream.shutdown())?;
        progress.end("taken");
        Ok(())
    }

    /// Where a name leads that others have given: below the folder, if it is one that can be.
    fn below(&self, name: &str) -> io::Result<PathBuf> {
        let path = Path::new(name);
        // Neither `..` nor `/` at the beginning.
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !is_plain || name.contains('\0') {
            return Err(not_allowed(&format!("{name:?} is no name below the folder")));
        }
        Ok(self.folder.join(path))
    }

    /// Opens a file that is there, and really below the folder, whatever symbolic links say.
    fn open(&self, name: &str) -> io::Result<(File, u64)> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{name:?}: {error}"));
        let path = fs::canonicalize(self.below(name)?).map_err(told)?;
        let expected = fs::symlink_metadata(&path).map_err(told)?;
        if !path.starts_with(&self.folder) || !expected.is_file() {
            return Err(not_allowed(&format!("{name:?} is no file below the folder")));
        }
        let file = File::open(&path).map_err(told)?;
        let found = file.metadata().map_err(told)?;
        // Nobody has changed it meanwhile.
        if (found.dev(), found.ino()) != (expected.dev(), expected.ino()) {
            return Err(not_allowed(&format!("{name:?} is being changed")));
        }
        Ok((file, found.len()))
    }

    /// Where a new file of that name goes: into a folder that is there, and really below the folder.
    fn place(&self, name: &str) -> io::Result<PathBuf> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{name:?}: {error}"));
        let path = self.below(name)?;
        let (Some(folder), Some(file)) = (path.parent(), path.file_name()) else {
            return Err(not_allowed("a name is missing"));
        };
        let folder = fs::canonicalize(folder).map_err(told)?;
        if !folder.starts_with(&self.folder) {
            return Err(not_allowed(&format!("{name:?} is not below the folder")));
        }
        let path = folder.join(file);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name:?} is there already")));
        }
        Ok(path)
    }
}

/// A file that is not whole yet; it is removed if it never is.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    fn new(path: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = path.with_file_name(format!(".aemp-{:016x}.part", u64::from_ne_bytes(random)));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Part { path, file })
    }

    /// It is whole: gives it its name, unless somebody has taken that meanwhile.
    fn becomes(&mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::hard_link(&self.path, path)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // If that fails, a part is left behind, and its name says so.
        let _left = fs::remove_file(&self.path);
    }
}
