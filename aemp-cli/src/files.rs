//! The service `files`: sends and takes files over data connections. A worked example of [`Node::data_accept`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aemp_node::proto::names::NodeId;
use aemp_node::{DataListener, DataStream, LogRate, Message, Node};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::Failure;
use crate::part::{self, Part};
use crate::pipe::REASONS;
use crate::progress::Progress;

/// Files that are sent or taken at once; others wait.
const AT_ONCE: usize = 64;

/// How many of them one node may have: others have the rest.
const OF_ONE: usize = 4;

/// How many more one node may have wait.
const WAITING: usize = 16;

/// How long the other side may take for a block: who is slower than some 4 KiB/s is given up, so that it keeps no place for
/// hours.
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
    let places = Arc::new(Places::new());
    let get = node.data_accept("Files::get").await.map_err(Failure::refused)?;
    tokio::spawn(each(get, node.clone(), places.clone(), files.clone(), Files::get));
    if takes {
        let swept = files.folder.clone();
        // It may be large: nobody waits for that.
        drop(spawn_blocking(move || part::sweep(&swept)));
        let put = node.data_accept("Files::put").await.map_err(Failure::refused)?;
        tokio::spawn(each(put, node.clone(), places, files, Files::put));
    }
    Ok(())
}

/// Who has how many files under way.
struct Places {
    all: Arc<Semaphore>,
    /// The places of each node that has any, and how many it has taken or waits for.
    of_each: Mutex<BTreeMap<NodeId, (Arc<Semaphore>, usize)>>,
}

impl Places {
    fn new() -> Self {
        Places { all: Arc::new(Semaphore::new(AT_ONCE)), of_each: Mutex::default() }
    }

    /// A claim to a place for this node; none if it has too many already.
    fn claim(self: &Arc<Self>, node: &NodeId) -> Option<Claim> {
        let mut of_each = self.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        let (own, claims) = of_each.entry(node.clone()).or_insert_with(|| (Arc::new(Semaphore::new(OF_ONE)), 0));
        if *claims >= OF_ONE + WAITING {
            return None;
        }
        *claims += 1;
        Some(Claim { own: own.clone(), node: node.clone(), places: self.clone() })
    }
}

/// A place among those of a node, taken or waited for, until this is dropped.
struct Claim {
    own: Arc<Semaphore>,
    node: NodeId,
    places: Arc<Places>,
}

impl Claim {
    /// Waits for a place: first among those of the node, so that a node that has many waits for itself.
    async fn place(&self) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = self.own.clone().acquire_owned().await.ok()?;
        Some([own, self.places.all.clone().acquire_owned().await.ok()?])
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut of_each = self.places.of_each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, claims)) = of_each.get_mut(&self.node) {
            *claims -= 1;
            if *claims == 0 {
                of_each.remove(&self.node);
            }
        }
    }
}

/// Serves each data connection on a thread of its own: files block.
async fn each(
    mut listener: DataListener,
    node: Node,
    places: Arc<Places>,
    files: Files,
    serve: fn(&Files, &Handle, &mut DataStream, &Message) -> io::Result<()>,
) {
    let told = Arc::new(Told { node, rate: LogRate::new() });
    while let Some((mut stream, arguments)) = listener.accept().await {
        let (files, handle, function) = (files.clone(), Handle::current(), listener.function().to_owned());
        let told = told.clone();
        let Some(claim) = places.claim(stream.peer()) else {
            told.refuse(&function, stream, &io::Error::other("this node has too many files under way already"));
            continue;
        };
        tokio::spawn(async move {
            let Some(place) = claim.place().await else { return };
            spawn_blocking(move || {
                let _held = (claim, place);
                if let Err(error) = serve(&files, &handle, &mut stream, &arguments) {
                    told.refuse(&function, stream, &error);
                }
            });
        });
    }
}

/// Says why there is no file: here, and to the node that wants it.
struct Told {
    node: Node,
    rate: LogRate,
}

impl Told {
    fn refuse(&self, function: &str, stream: DataStream, error: &io::Error) {
        let now = Instant::now();
        if let Some(more) = self.rate.left_out(now) {
            tracing::warn!("and {more} more like this: no file");
        }
        if self.rate.take(now) {
            tracing::warn!(function, peer = %stream.peer(), %error, "no file");
        } else {
            tracing::debug!(function, peer = %stream.peer(), %error, "no file");
        }
        // Whoever waits there for the reason has given its port that name. If nobody does, nobody hears it.
        let port = stream.peer().port(REASONS);
        let _nobody_hears = self.node.send(&port, &(function, error.to_string()));
        // So that the other side does not take this for the end of the file.
        stream.reset();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_with_many_files_under_way_leaves_places_to_others() {
        let places = Arc::new(Places::new());
        let [greedy, honest] = ["greedy", "honest"].map(|node| NodeId::new(node).expect("a node ID"));
        let claims: Vec<_> = std::iter::from_fn(|| places.claim(&greedy)).collect();
        assert_eq!(claims.len(), OF_ONE + WAITING);
        let mut held = Vec::new();
        for claim in &claims[..OF_ONE] {
            held.push(claim.place().await.expect("a place"));
        }
        assert!(timeout(Duration::from_millis(10), claims[OF_ONE].place()).await.is_err(), "it waits for itself");
        let claim = places.claim(&honest).expect("it has none yet");
        assert!(claim.place().await.is_some(), "and nobody waits for it");
        assert_eq!(places.all.available_permits(), AT_ONCE - OF_ONE);
        drop((held, claims, claim));
        assert!(places.of_each.lock().expect("no panic").is_empty(), "nothing is left behind");
    }
}
