//! The stream of a data connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aemp_proto::names::NodeId;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

use crate::early::WithEarly;
use crate::handle::Node;
use crate::host::Watched;
use crate::tls::Secured;

/// A data connection and the check of its host.
pub(crate) struct Transport {
    carrier: Carrier,
    pub(super) watched: Option<Arc<Watched>>,
}

impl From<Carrier> for Transport {
    fn from(carrier: Carrier) -> Self {
        Transport { carrier, watched: None }
    }
}

/// The transport of a data connection.
pub(crate) enum Carrier {
    Plain(WithEarly<TcpStream>),
    Secured(Box<WithEarly<Secured>>),
    /// Both ends are in this process.
    Within(DuplexStream),
}

impl Transport {
    /// Returns the TCP socket, if there is one.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match &self.carrier {
            Carrier::Plain(stream) => Some(stream.get_ref()),
            Carrier::Secured(stream) => Some(stream.get_ref().socket()),
            Carrier::Within(_) => None,
        }
    }

    /// Closes it so that the other side sees an error, and no end (`DATA-27`).
    pub(super) fn reset(self) {
        if let Some(socket) = self.tcp() {
            // If even that fails, the connection has ended already.
            let _ended = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }

    /// What a program hears of its stream: if its host has gone, that, and no end.
    fn heard<T>(&self, result: Poll<io::Result<T>>, is_end: impl FnOnce(&T) -> bool) -> Poll<io::Result<T>> {
        let is_gone = || self.watched.as_ref().is_some_and(|watched| watched.is_gone());
        match &result {
            Poll::Pending => result,
            Poll::Ready(Ok(what)) if !is_end(what) => result,
            Poll::Ready(_) if is_gone() => {
                let text = "the host at the other end of the stream has acknowledged nothing for too long";
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
            }
            Poll::Ready(_) => result,
        }
    }
}

/// A byte stream to and from a program on another node, from [`Node::data_connect`] or [`Node::data_accept`].
///
/// Each direction ends on its own: [`shutdown`](tokio::io::AsyncWriteExt::shutdown) ends the own direction, and the
/// other one continues. A slow reader delays the writer without a time limit. The node closes a stream only if the
/// *host* at the other end acknowledges nothing for [`host_timeout`](crate::Config::host_timeout) (30 seconds by
/// default). Only the buffers of the operating system hold data. The stream is independent of the connection for
/// messages, and stays open when that is lost. It keeps its node alive, and [`Node::stop`] cuts it off.
///
/// Dropping the stream closes it. With TLS, the other side then knows whether the data is complete: a direction that
/// ends without `shutdown` is an [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) error there. **Without TLS, the other
/// side cannot tell** a killed process from a complete stream, so the data itself should mark its end.
/// [`reset`](Self::reset) is an error at the other side in any case.
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

    /// Returns the node at the other end.
    pub fn peer(&self) -> &NodeId {
        &self.peer
    }

    /// Returns whether the stream uses TLS.
    pub fn is_secured(&self) -> bool {
        matches!(self.transport.carrier, Carrier::Secured(_))
    }

    /// Resets the stream, so that the other side reads an error instead of an end. Use it when the data cannot be
    /// completed. Data that is still in transit may be lost.
    pub fn reset(self) {
        self.transport.reset();
    }
}

/// Does the same with whatever carries the stream.
macro_rules! of_transport {
    ($self:expr, $stream:ident => $what:expr) => {
        match &mut $self.transport.carrier {
            Carrier::Plain($stream) => $what,
            Carrier::Secured(stream) => {
                let $stream = &mut **stream;
                $what
            }
            Carrier::Within($stream) => $what,
        }
    };
}

impl AsyncRead for DataStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (this, before) = (self.get_mut(), buffer.filled().len());
        let result = of_transport!(this, stream => Pin::new(stream).poll_read(context, buffer));
        this.transport.heard(result, |()| buffer.filled().len() == before)
    }
}

impl AsyncWrite for DataStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = of_transport!(this, stream => Pin::new(stream).poll_write(context, octets));
        this.transport.heard(result, |_| false)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = of_transport!(this, stream => Pin::new(stream).poll_write_vectored(context, octets));
        this.transport.heard(result, |_| false)
    }

    fn is_write_vectored(&self) -> bool {
        matches!(self.transport.carrier, Carrier::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = of_transport!(this, stream => Pin::new(stream).poll_flush(context));
        this.transport.heard(result, |()| false)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = of_transport!(this, stream => Pin::new(stream).poll_shutdown(context));
        this.transport.heard(result, |()| false)
    }
}
