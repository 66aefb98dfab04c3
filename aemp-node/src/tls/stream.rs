//! What is inside TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aemp_proto::auth::Exporter;
use rustls::ConnectionCommon;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::explain;
use crate::early::WithEarly;

/// A connection inside TLS.
pub(crate) struct Secured {
    stream: TlsStream<WithEarly<TcpStream>>,
    /// Who the other side says it is.
    node: String,
    /// It carries data, so it matters whether TLS vouches for its end (`DATA-7`).
    is_data: bool,
}

impl Secured {
    pub(super) fn new(stream: TlsStream<WithEarly<TcpStream>>, node: &str) -> Self {
        Secured { stream, node: node.to_owned(), is_data: false }
    }

    /// The same as a data connection.
    pub(crate) fn for_data(mut self) -> Self {
        self.is_data = true;
        self
    }

    /// What both ends of this TLS connection know, and no other: the channel binding of RFC 9266 (`AUTH-27`).
    ///
    /// # Errors
    ///
    /// When this TLS has none, which no TLS does that is allowed here.
    pub(crate) fn exporter(&self) -> io::Result<Exporter> {
        const LABEL: &[u8] = b"EXPORTER-Channel-Binding";
        let exporter = match &self.stream {
            TlsStream::Client(stream) => stream.get_ref().1.export_keying_material([0; 32], LABEL, Some(&[])),
            TlsStream::Server(stream) => stream.get_ref().1.export_keying_material([0; 32], LABEL, Some(&[])),
        };
        exporter.map_err(io::Error::other)
    }

    /// The socket under it.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.get_ref().0.get_ref()
    }
}

impl AsyncRead for Secured {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_read(context, buffer)) {
            // For the protocol, an end that TLS does not vouch for is an end like any other: the connection is lost.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !self.is_data => Poll::Ready(Ok(())),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let text = format!("{} has cut the connection off before its end", self.node);
                Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, text)))
            }
            Err(error) => Poll::Ready(Err(explain::failure(error, &self.node))),
            Ok(()) => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Tells the other side that this is the end, as far as the socket takes that at once.
impl Drop for Secured {
    fn drop(&mut self) {
        // There it would say that all has been written.
        if self.is_data {
            return;
        }
        match &mut self.stream {
            TlsStream::Client(stream) => {
                let (stream, connection) = stream.get_mut();
                farewell(stream.get_ref(), connection);
            }
            TlsStream::Server(stream) => {
                let (stream, connection) = stream.get_mut();
                farewell(stream.get_ref(), connection);
            }
        }
    }
}

fn farewell<Data>(stream: &TcpStream, connection: &mut ConnectionCommon<Data>) {
    connection.send_close_notify();
    while connection.wants_write() {
        if !matches!(connection.write_tls(&mut AtOnce(stream)), Ok(octets) if octets > 0) {
            return;
        }
    }
}

/// Writes what a socket takes at once.
struct AtOnce<'a>(&'a TcpStream);

impl io::Write for AtOnce<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn write_vectored(&mut self, octets: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
