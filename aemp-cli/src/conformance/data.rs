//! Data connections: those that the suite has the node ask for, and the functions that take them.

use std::future::Future;
use std::io;

use aemp_node::proto::actor::{Context, Outcome};
use aemp_node::proto::framing::Elements;
use aemp_node::proto::names::{NodeId, PortId};
use aemp_node::proto::value::Value;
use aemp_node::{DataError, DataListener, DataStream, Message, Node};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;

use super::control;

/// Takes data connections, and has `control` ask for them.
pub(super) async fn offer(node: &Node) -> Result<(), String> {
    let accept = async |function: &str| node.data_accept(function).await.map_err(|error| error.to_string());
    tokio::spawn(serve(accept("conformance::source").await?, source));
    tokio::spawn(serve(accept("conformance::mirror").await?, mirror));
    let (asks, runtime) = (node.clone(), Handle::current());
    let verb = move |context: &mut Context<'_>| {
        control::verb(context, "data_connect", move |_, elements| connect(&asks, &runtime, elements));
    };
    node.with(verb).await.map_err(|error| error.to_string())
}

async fn serve<T>(mut listener: DataListener, does: fn(DataStream, Message) -> T)
where
    T: Future<Output = io::Result<()>> + Send + 'static,
{
    while let Some((stream, arguments)) = listener.accept().await {
        let (function, does) = (listener.function().to_owned(), does(stream, arguments));
        tokio::spawn(async move {
            if let Err(error) = does.await {
                tracing::warn!(function, %error, "a data connection did not come to its end");
            }
        });
    }
}

/// What is read or written at once, in octets.
const PIECE: usize = 16 << 10;

/// Writes so many octets, and reads whatever comes.
async fn source(mut stream: DataStream, arguments: Message) -> io::Result<()> {
    let Ok((count,)) = arguments.decode::<(u64,)>() else {
        stream.reset();
        return Err(io::Error::other("it was not told how many octets to write"));
    };
    let mut octets = (0..count).map(|number| (number % 251) as u8);
    loop {
        let piece: Vec<u8> = octets.by_ref().take(PIECE).collect();
        if piece.is_empty() {
            break;
        }
        stream.write_all(&piece).await?;
    }
    stream.shutdown().await?;
    read_all(&mut stream).await.map(drop)
}

/// Writes what it reads.
async fn mirror(mut stream: DataStream, _: Message) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => return stream.shutdown().await,
            Ok(length) => stream.write_all(&piece[..length]).await?,
            Err(error) => {
                // Nobody is to take what was written for all of it.
                stream.reset();
                return Err(error);
            }
        }
        stream.flush().await?;
    }
}

/// Reads to the end: how many octets came.
async fn read_all(stream: &mut DataStream) -> io::Result<u64> {
    let (mut count, mut piece) = (0, vec![0; PIECE]);
    loop {
        match stream.read(&mut piece).await? {
            0 => return Ok(count),
            length => count += length as u64,
        }
    }
}

/// The verb `data_connect`.
fn connect(node: &Node, runtime: &Handle, mut elements: Elements<'_>) -> Outcome {
    let peer = NodeId::new(&control::next::<String>(&mut elements)?).map_err(control::text)?;
    let (function, to): (String, PortId) = (control::next(&mut elements)?, control::next(&mut elements)?);
    let (node, values): (_, Vec<Value>) = (node.clone(), elements.rest()?);
    runtime.spawn(async move {
        let told = match asked(&node, &peer, &function, &values).await {
            Ok(octets) => vec![Value::from("open"), octets.into()],
            Err(reasons) => [vec![Value::from("failed")], reasons].concat(),
        };
        if let Err(error) = node.send(&to, &told) {
            tracing::warn!(%error, "what came of a data connection cannot be told");
        }
    });
    Ok(())
}

/// How many octets came over a data connection to which nothing is written; or why there was none, or no end of it.
async fn asked(node: &Node, peer: &NodeId, function: &str, values: &[Value]) -> Result<u64, Vec<Value>> {
    let mut stream = node.data_connect(peer, function, values).await.map_err(|error| match error {
        DataError::Failed(reasons) => reasons.values().to_vec(),
        other => vec![other.to_string().into()],
    })?;
    let read = async {
        stream.shutdown().await?;
        read_all(&mut stream).await
    };
    read.await.map_err(|error| vec![error.to_string().into()])
}
