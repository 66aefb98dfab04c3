//! Data connections that others ask for.

use aemp_proto::actor::Context;
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Arrived, DataStream};
use crate::driver::Driver;
use crate::handle::{Node, Stopped};
use crate::message::Message;

/// Data connections that wait to be taken; one more is closed.
const WAITING: usize = 64;

/// Takes data connections that other nodes ask for under a name. When this is dropped, nobody gets one any more; those that
/// were taken go on.
pub struct DataListener {
    node: Node,
    function: String,
    arrived: mpsc::Receiver<Box<Arrived>>,
}

/// Why no data connections can be taken under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// They are taken already.
    #[error("data connections are taken under that name already")]
    Taken,
    /// The node has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Node {
    /// Takes data connections under a name, from any node that asks for them. In secure mode nobody can (`NODE-9`). Nothing
    /// else of this program can be connected to (`DATA-13`). At most 64 that were not taken wait.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # use aemp_node::{Config, Node};
    /// use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    /// # let node = Node::start(Config::local()).await.unwrap();
    /// let mut listener = node.data_accept("Upper::case").await.unwrap();
    /// tokio::spawn(async move {
    ///     while let Some((mut stream, arguments)) = listener.accept().await {
    ///         let greeting: String = arguments.decode().unwrap();
    ///         let mut text = greeting;
    ///         stream.read_to_string(&mut text).await.unwrap();
    ///         stream.write_all(text.to_uppercase().as_bytes()).await.unwrap();
    ///         stream.shutdown().await.unwrap();
    ///     }
    /// });
    ///
    /// let mut stream = node.data_connect(node.id(), "Upper::case", &"hello, ").await.unwrap();
    /// stream.write_all(b"world").await.unwrap();
    /// stream.shutdown().await.unwrap();
    /// let mut answer = String::new();
    /// stream.read_to_string(&mut answer).await.unwrap();
    /// assert_eq!(answer, "HELLO, WORLD");
    /// # });
    /// ```
    ///
    /// # Errors
    ///
    /// When that is done already under this name, or the node has ended.
    pub async fn data_accept(&self, function: &str) -> Result<DataListener, AcceptError> {
        let (listener, arrived) = mpsc::channel(WAITING);
        let name = function.to_owned();
        let undone = name.clone();
        let begin = move |context: &mut Context<'_>| {
            let is_free = context.data_accept(&name);
            if is_free && let Some(driver) = Driver::current() {
                driver.data.functions.borrow_mut().insert(name, listener);
            }
            is_free
        };
        let undo = move |context: &mut Context<'_>, begun| {
            if begun {
                end(context, &undone);
            }
        };
        if !self.ask_or_undo(begin, undo).await? {
            return Err(AcceptError::Taken);
        }
        Ok(DataListener { node: self.clone(), function: function.to_owned(), arrived })
    }
}

fn end(context: &mut Context<'_>, function: &str) {
    context.data_refuse(function);
    if let Some(driver) = Driver::current() {
        driver.data.functions.borrow_mut().remove(function);
    }
}

impl DataListener {
    /// Waits for the next data connection: the stream, and the arguments, which know the node that asked. `None` when the
    /// node has ended. Nothing is lost when this is cancelled.
    pub async fn accept(&mut self) -> Option<(DataStream, Message)> {
        let Arrived { peer, transport, arguments } = *self.arrived.recv().await?;
        Some((DataStream::new(transport, peer, self.node.clone()), arguments))
    }

    /// The name under which they are taken.
    pub fn function(&self) -> &str {
        &self.function
    }
}

impl Drop for DataListener {
    fn drop(&mut self) {
        // Nobody is to take what is closed now for what ended in order.
        self.arrived.close();
        while let Ok(arrived) = self.arrived.try_recv() {
            arrived.transport.reset();
        }
        let function = std::mem::take(&mut self.function);
        self.node.command(move |driver| driver.with_context(|context| end(context, &function)));
    }
}
