//! The stream of a data connection, as a program holds it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aemp_proto::names::NodeId;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use crate::early::WithEarly;
use crate::handle::Node;
use crate::tls::Secured;

/// What carries a data connection.
pub(crate) enum Transport {
    Plain(WithEarly<TcpStream>),
    Secured(Box<WithEarly<Secured>>),
    /// Both ends are in this process.
    Within(DuplexStream),
}

impl Transport {
    /// Closes it so that the other side sees an error, and no end (`DATA-27`).
    pub(super) fn reset(self) {
        let socket = match &self {
            Transport::Plain(stream) => stream.get_ref(),
            Transport::Secured(stream) => stream.get_ref().socket(),
            Transport::Within(_) => return,
        };
        // If even that fails, the connection has ended already.
        let _ended = SockRef::from(socket).set_linger(Some(Duration::ZERO));
    }
}

/// A stream of octets to and from a program on another node: [`Node::data_connect`], [`Node::data_accept`].
///
/// Each direction ends by itself: [`shutdown`](tokio::io::AsyncWriteExt::shutdown) says that all has been written, and the other direction goes on. A
/// stream that is slow to be read holds up whoever writes; nothing gathers but in the buffers of the system. It is independent of the connection that
/// carries messages, and stays when that is lost. It keeps its node alive, and is cut off when that is [stopped](Node::stop).
///
/// When it is dropped, it is closed. Inside TLS the other side then knows whether all had been written: a direction that ends without `shutdown` is
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) there. **Without TLS it cannot know** what became of a process that was killed, so what is sent should say
/// where it ends; [`reset`](Self::reset) is an error at the other side in any case.
pub struct DataStream {
    transport: Transport,
    peer: NodeId,
    _node: Node,
}

impl std::fmt::Debug for DataStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataStream").field("peer", &self.peer).field("tls", &self.is_secured()).finish_non_exhaustive()
    }
}

impl DataStream {
    pub(super) fn new(transport: Transport, peer: NodeId, node: Node) -> Self {
        DataStream { transport, peer, _node: node }
    }

    /// The node at the other end.
    pub fn peer(&self) -> &NodeId {
        &self.peer
    }

    /// Whether it is inside TLS.
    pub fn is_secured(&self) -> bool {
        matches!(self.transport, Transport::Secured(_))
    }

    /// Gives the stream up so that the other side sees an error, and no end: for when what was being sent cannot be completed. What is under way is lost.
    pub fn reset(self) {
        self.transport.reset();
    }
}

/// Does the same with whatever carries the stream.
macro_rules! of_transport {
    ($self:expr, $stream:ident => $what:expr) => {
        match &mut $self.get_mut().transport {
            Transport::Plain($stream) => $what,
            Transport::Secured(stream) => {
                let $stream = &mut **stream;
                $what
            }
            Transport::Within($stream) => $what,
        }
    };
}

impl AsyncRead for DataStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        of_transport!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for DataStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        of_transport!(self, stream => Pin::new(stream).poll_write(context, octets))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        of_transport!(self, stream => Pin::new(stream).poll_write_vectored(context, octets))
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self.transport, Transport::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_transport!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        of_transport!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
