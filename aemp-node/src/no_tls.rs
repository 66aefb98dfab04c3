//! Stands for `tls` in a build without the feature of that name: there are no certificates, and so no connection inside TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use aemp_proto::auth::Exporter;
use aemp_proto::link::StartTls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The certificates of a node. Without the feature `tls`, there are none.
#[derive(Debug, Clone)]
pub enum Certificates {}

impl Certificates {
    pub(crate) fn with_trust_of(self, _: &Certificates) -> Self {
        match self {}
    }

    pub(crate) fn check(&self, _: &str) -> io::Result<()> {
        match *self {}
    }

    pub(crate) fn own_out_of_date(&self) -> Option<io::Error> {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "it stands for one that waits")]
    pub(crate) async fn start(&self, _: StartTls, _: TcpStream, _: &str) -> io::Result<Secured> {
        match *self {}
    }
}

/// A connection inside TLS.
pub(crate) enum Secured {}

impl Secured {
    pub(crate) fn for_data(self) -> Self {
        match self {}
    }

    pub(crate) fn exporter(&self) -> io::Result<Exporter> {
        match *self {}
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match *self {}
    }
}

impl AsyncRead for Secured {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

impl AsyncWrite for Secured {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}
