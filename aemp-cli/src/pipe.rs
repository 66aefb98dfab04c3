//! `aemp pipe`.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use aemp_node::proto::names::NodeId;
use aemp_node::proto::value::Value;
use aemp_node::{Context, DataError, DataStream, Node, Watch};
use clap::Args;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::task::spawn_blocking;

use crate::options::Join;
use crate::progress::Progress;
use crate::values::Reading;
use crate::{Failure, tell};

/// Joins a function of another node to standard input and output: what comes in is sent there, what it sends is printed
///
/// It ends when both directions have ended; if standard input is a terminal, when the other side has. For example, with a
/// node that runs with `--service files --files DIR`:
///
///   aemp pipe --seed HOST:PORT -n seed Files::get report.pdf > report.pdf
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Pipe {
    #[command(flatten)]
    join: Join,
    /// The node ID
    node: String,
    /// The name under which a program there takes data connections
    function: String,
    /// What it is told first; `@FILE` is what is in a file
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    #[command(flatten)]
    reading: Reading,
    /// Sends nothing, and leaves standard input alone
    #[arg(long, short)]
    no_input: bool,
    /// Tells on standard error how much has come
    #[arg(long)]
    progress: bool,
}

/// The port that hears why the service `files` has given up a stream: the function, and the reason.
pub(crate) const REASONS: &str = "files";

/// Octets that are moved at once.
const BLOCK: usize = 64 << 10;

/// How long the other node has to show that it lives, when its stream has ended.
const PATIENCE: Duration = Duration::from_secs(10);

impl Pipe {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let peer = NodeId::new(&self.node).map_err(|error| Failure::usage(format!("{:?}: {error}", self.node)))?;
        let arguments: Vec<Value> = self.arguments.iter().map(|text| self.reading.value(text)).collect::<Result<_, _>>()?;
        let node = self.join.join().await?;
        // If that is lost before the stream ends, the end may be none.
        let watch = node.watch(&peer.port("")).await.map_err(Failure::refused)?;
        let reasons = reasons(&node).await?;
        let stream = node.data_connect(&peer, &self.function, &arguments).await;
        let stream = stream.map_err(|error| no_stream(&peer, &self.function, &error))?;
        let is_secured = stream.is_secured();
        let is_interactive = !self.no_input && io::stdin().is_terminal();
        let (reading, writing) = tokio::io::split(stream);
        let progress = self.progress.then(|| Progress::new(format!("{peer} {}", self.function), None));
        let came = AtomicU64::new(0);
        let receive = receive(reading, progress, &came);
        let over = Notify::new();
        let send = send(writing, self.no_input, is_secured, over.notified());
        tokio::pin!(receive, send);
        let mut sent = None;
        let received = loop {
            tokio::select! {
                result = &mut send, if sent.is_none() => {
                    if let Err(failure) = sent.insert(result) {
                        // What was to be sent is not whole.
                        return Err(failure.take(&peer, why(&reasons).await));
                    }
                }
                result = &mut receive => break result,
            }
        };
        let stream = match received {
            Ok(stream) => stream,
            Err(failure) => return Err(failure.take(&peer, why(&reasons).await)),
        };
        if sent.is_none() {
            if is_interactive || self.no_input {
                // Nobody waits for what is not typed yet.
                over.notify_one();
            }
            send.await.map_err(|failure| failure.take(&peer, None))?;
        }
        drop(stream);
        if came.load(Ordering::Relaxed) == 0 {
            has_function(&node, &peer, &self.function).await?;
        }
        if is_secured { Ok(()) } else { was_all(&node, &peer, watch).await }
    }
}

/// What people read when there is no stream.
fn no_stream(peer: &NodeId, function: &str, error: &DataError) -> Failure {
    match error {
        DataError::Failed(reasons) if reasons.kind().as_deref() == Some("transport_error") => {
            Failure::unreachable(format!("{error}: `aemp nodes` lists the nodes that can be reached"))
        }
        error => Failure::refused(format!("{peer}: {function}: {error}")),
    }
}

/// Which side failed, when octets were moved.
enum Broken {
    Here(String),
    There(io::Error),
}

impl Broken {
    fn take(&self, peer: &NodeId, why: Option<String>) -> Failure {
        match (self, why) {
            (Broken::There(_), Some(why)) => Failure::refused(format!("{peer}: {why}")),
            (broken, _) => broken.without_reason(peer),
        }
    }

    fn without_reason(&self, peer: &NodeId) -> Failure {
        match self {
            Broken::Here(text) => Failure::refused(text),
            Broken::There(error) if error.kind() == io::ErrorKind::UnexpectedEof => Failure::refused(error),
            Broken::There(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Failure::refused(format!("{peer} has given the stream up; its log says why (`aemp log`)"))
            }
            Broken::There(error) => Failure::refused(format!("the stream to {peer} is broken: {error}")),
        }
    }
}

/// Hears why the other side gives the stream up, if it says so.
async fn reasons(node: &Node) -> Result<Reasons, Failure> {
    let (giver, reasons) = mpsc::channel(1);
    let hear = move |context: &mut Context<'_>| {
        context.named_port(REASONS, move |_, elements| {
            if let Ok((_, why)) = elements.rest::<(String, String)>() {
                // The first one counts.
                let _heard_already = giver.try_send(why);
            }
            Ok(())
        });
    };
    node.with(hear).await.map_err(Failure::refused)?;
    Ok(Mutex::new(reasons))
}

type Reasons = Mutex<mpsc::Receiver<String>>;

/// The reason, which comes over another connection and may be on its way still.
async fn why(reasons: &Reasons) -> Option<String> {
    const ON_ITS_WAY: Duration = Duration::from_secs(1);
    tokio::time::timeout(ON_ITS_WAY, reasons.lock().await.recv()).await.ok()?
}

/// Prints what comes, to its end; gives back what it has read from, since the other direction may go on.
async fn receive(
    mut stream: ReadHalf<DataStream>,
    mut progress: Option<Progress>,
    came: &AtomicU64,
) -> Result<ReadHalf<DataStream>, Broken> {
    let mut block = vec![0; BLOCK];
    loop {
        let length = stream.read(&mut block).await.map_err(Broken::There)?;
        if length == 0 {
            break;
        }
        came.fetch_add(length as u64, Ordering::Relaxed);
        // Whoever reads may be slow, and the other direction is not to wait for that.
        let printed = spawn_blocking(move || {
            let mut out = io::stdout().lock();
            out.write_all(&block[..length]).and_then(|()| out.flush()).map(|()| block)
        });
        let printed = printed.await.map_err(|error| Broken::Here(error.to_string()))?;
        block = printed.map_err(|error| Broken::Here(format!("cannot print: {error}")))?;
        if let Some(progress) = &mut progress {
            progress.add(length);
        }
    }
    if let Some(progress) = &progress {
        progress.end("done");
    }
    Ok(stream)
}

/// Sends what comes in, and its end; or only that once it is over.
async fn send(
    mut stream: WriteHalf<DataStream>,
    nothing: bool,
    is_secured: bool,
    over: impl Future<Output = ()>,
) -> Result<(), Broken> {
    let mut blocks = if nothing { None } else { Some(input()) };
    tokio::pin!(over);
    if nothing && is_secured {
        // Nodes of the reference drop TLS when our direction ends: it stays open until theirs has ended.
        over.as_mut().await;
    }
    while let Some(blocks) = &mut blocks {
        let block = tokio::select! {
            block = blocks.recv() => block,
            () = &mut over => None,
        };
        let Some(block) = block else { break };
        let block = block.map_err(|error| Broken::Here(format!("cannot read standard input: {error}")))?;
        stream.write_all(&block).await.map_err(Broken::There)?;
        stream.flush().await.map_err(Broken::There)?;
    }
    stream.shutdown().await.map_err(Broken::There)
}

/// What comes in on standard input: a thread reads it, which nobody has to wait for at the end.
fn input() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (blocks, read) = mpsc::channel(4);
    thread::spawn(move || {
        let mut input = io::stdin().lock();
        let mut block = vec![0; BLOCK];
        loop {
            let octets = match input.read(&mut block) {
                Ok(0) => return,
                Ok(length) => Ok(block[..length].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            if blocks.blocking_send(octets).is_err() {
                return;
            }
        }
    });
    read
}

/// A node of the reference takes a stream for any function, and only closes it if it has none of that name. It knows that it
/// has one once that was called.
async fn has_function(node: &Node, peer: &NodeId, function: &str) -> Result<(), Failure> {
    let answer = node.call(&peer.port(""), &("can", function), Some(PATIENCE)).await.map_err(Failure::refused)?;
    let (known,): (bool,) = answer.decode().map_err(Failure::refused)?;
    if known {
        Ok(())
    } else {
        Err(Failure::refused(format!("{peer} has closed the stream: it has no function {function}")))
    }
}

/// Without TLS the end of a program that was killed looks like that of one that was done, but for its other connection.
async fn was_all(node: &Node, peer: &NodeId, mut watch: Watch) -> Result<(), Failure> {
    let port = peer.port("");
    let answered = tokio::time::timeout(PATIENCE, node.call(&port, &"snd", None)).await;
    // What was lost before the answer has been told by now.
    let lost = tokio::time::timeout(Duration::ZERO, &mut watch).await;
    if matches!(answered, Ok(Ok(_))) && lost.is_err() {
        return Ok(());
    }
    tell(format_args!("aemp: use TLS (--cert) to be sure of the end of a stream"));
    Err(Failure::refused(format!("{peer} was lost, so what came may not be all")))
}
