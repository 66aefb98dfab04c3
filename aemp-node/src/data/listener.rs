//! Accepting data connections from other nodes.

use aemp_proto::actor::Context;
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Arrived, DataStream};
use crate::driver::Driver;
use crate::handle::{Node, Stopped};
use crate::message::Message;

/// The maximum number of data connections that wait to be accepted. The node closes each one above it.
const WAITING: usize = 64;

/// A listener for data connections under a name ([`Node::data_accept`]). Dropping it ends the registration and resets
/// the connections that wait. Accepted streams stay open.
pub struct DataListener {
    node: Node,
    function: String,
    arrived: mpsc::Receiver<Box<Arrived>>,
}

/// The reason why a node cannot accept data connections under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Another [`DataListener`] of this node uses the name.
    #[error("data connections are taken under that name already")]
    Taken,
    /// The node has stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl Node {
    /// Accepts data connections under a name, from any node. In secure mode no node may connect (`NODE-9`). Other nodes
    /// can connect to registered names only (`DATA-13`). At most 64 connections wait to be accepted; the node closes
    /// further ones.
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
    /// Returns [`AcceptError::Taken`] if the name is in use. Returns another error if the node has stopped.
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
    /// Waits for the next data connection. Returns the stream and the arguments, whose [`source`](Message::source) is
    /// the node that asked. Returns `None` when the node has stopped. This function is cancel-safe: if the future is
    /// dropped, no connection is lost.
    pub async fn accept(&mut self) -> Option<(DataStream, Message)> {
        let Arrived { peer, transport, arguments } = *self.arrived.recv().await?;
        Some((DataStream::new(transport, peer, self.node.clone()), arguments))
    }

    /// Returns the name under which this listener accepts connections.
    pub fn function(&self) -> &str {
        &self.function
    }
}

impl Drop for DataListener {
    fn drop(&mut self) {
        // A reset tells the other side that the stream did not end in order.
        self.arrived.close();
        while let Ok(arrived) = self.arrived.try_recv() {
            arrived.transport.reset();
        }
        let function = std::mem::take(&mut self.function);
        self.node.command(move |driver| driver.with_context(|context| end(context, &function)));
    }
}
