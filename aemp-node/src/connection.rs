//! The task of one connection: from the stream into the node, and from the node to the stream.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use aemp_proto::actor::ConnectionId;
use aemp_proto::link::StartTls;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::data::Carrier;
use crate::driver::{self, Driver};
use crate::early::WithEarly;
use crate::host::{self, Looks};
use crate::tls::Secured;
use crate::wire::Tapped;

/// What others have to do with a connection's task.
pub(crate) struct Wake {
    /// There is something to write, or reading can go on, or TLS is to begin.
    pub(crate) output: Notify,
    /// The node has given it up.
    pub(crate) close: Notify,
    /// TLS is to begin, once what is to be written has been.
    pub(crate) tls: RefCell<Option<StartTls>>,
    /// It is a data connection, and whoever waits for it gets it once what is to be written has been.
    pub(crate) hand_over: Cell<bool>,
    tap: RefCell<Option<Tapped>>,
    /// Something was heard since the connection was looked at.
    pub(crate) heard: Cell<bool>,
    /// Its host is to be looked at.
    pub(crate) look: Notify,
    looks: Looks,
    /// Nothing more is to be sent: the node ends.
    pub(crate) last: Cell<bool>,
}

impl Wake {
    pub(crate) fn new(tap: Option<Tapped>) -> Self {
        Wake {
            output: Notify::new(),
            close: Notify::new(),
            tls: RefCell::default(),
            hand_over: Cell::new(false),
            tap: RefCell::new(tap),
            heard: Cell::new(false),
            look: Notify::new(),
            looks: Looks::default(),
            last: Cell::new(false),
        }
    }

    fn pass(&self, sent: bool, octets: &[u8]) {
        let mut tap = self.tap.borrow_mut();
        // One that panics is not asked again: what it shows is not worth a connection.
        if let Some(tapped) = &mut *tap
            && catch_unwind(AssertUnwindSafe(|| tapped.pass(sent, octets))).is_err()
        {
            *tap = None;
        }
    }
}

pub(crate) async fn run(driver: Rc<Driver>, id: ConnectionId, stream: TcpStream, wake: Rc<Wake>) {
    let mut ending =
        Ending { driver: &driver, id, error: Some(io::Error::other("this program has an error")), known: false };
    tokio::select! {
        ended = live(&driver, id, stream, &wake) => ending.error = ended.err(),
        () = wake.close.notified() => ending.known = true,
    }
}

/// Tells the node that a connection has ended, however its task ends.
struct Ending<'a> {
    driver: &'a Rc<Driver>,
    id: ConnectionId,
    error: Option<io::Error>,
    /// The node has given it up itself.
    known: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.known {
            self.driver.ended(self.id, self.error.as_ref());
        }
    }
}

async fn live(driver: &Rc<Driver>, id: ConnectionId, mut stream: TcpStream, wake: &Wake) -> io::Result<()> {
    let tls = match (Carried { driver, id, wake, unflushed: false }).carry(&mut stream).await? {
        Next::StartTls(tls) => tls,
        Next::HandOver => {
            driver.hand_over(id, |early| Carrier::Plain(WithEarly::new(early, stream)).into());
            return Ok(());
        }
        Next::Ended => return Ok(()),
    };
    let certificates = driver.credentials.borrow().certificates();
    let certificates = certificates.ok_or_else(|| io::Error::other("there are no certificates for TLS"))?;
    let node = driver.node().greeted_as(id).map(ToString::to_string).unwrap_or_default();
    let mut stream = certificates.start(tls, stream, &node).await?;
    if driver.node().is_data(id) {
        stream = stream.for_data();
    }
    let exporter = stream.exporter()?;
    driver.with_node(|node, now| node.tls_established(now, id, Some(&exporter)));
    if let Next::HandOver = (Carried { driver, id, wake, unflushed: false }).carry(&mut stream).await? {
        driver.hand_over(id, |early| Carrier::Secured(WithEarly::new(early, stream).into()).into());
    }
    Ok(())
}

/// A connection whose octets are carried.
struct Carried<'a> {
    driver: &'a Rc<Driver>,
    id: ConnectionId,
    wake: &'a Wake,
    /// Something was written that the stream may still hold.
    unflushed: bool,
}

/// How a connection goes on whose octets are carried no longer.
enum Next {
    StartTls(StartTls),
    HandOver,
    Ended,
}

/// What a turn came to.
enum Turn {
    Moved,
    /// So much was read that there may be more.
    Filled,
    Ended,
}

impl Carried<'_> {
    /// Carries octets both ways until the peer ends the connection, TLS is to begin, or it is to be handed over.
    async fn carry<S: AsyncRead + AsyncWrite + OverTcp + Unpin>(&mut self, stream: &mut S) -> io::Result<Next> {
        let wake = self.wake;
        loop {
            if wake.last.get() && !self.unflushed && self.driver.node().output(self.id).is_empty() {
                return hang_up(stream).await.map(|()| Next::Ended);
            }
            if self.driver.node().output(self.id).is_empty() && !self.unflushed {
                if let Some(tls) = wake.tls.take() {
                    return Ok(Next::StartTls(tls));
                }
                if wake.hand_over.get() {
                    return Ok(Next::HandOver);
                }
            }
            tokio::select! {
                biased;
                turn = poll_fn(|context| self.turn(stream, context)) => {
                    match turn? {
                        Turn::Moved => {}
                        // There is more, and others have waited.
                        Turn::Filled => tokio::task::yield_now().await,
                        Turn::Ended => return Ok(Next::Ended),
                    }
                }
                () = wake.output.notified() => {}
                () = wake.look.notified() => {
                    let host_timeout = self.driver.config.host_timeout;
                    if wake.looks.is_gone(stream.tcp(), host_timeout) {
                        return Err(host::gone(host_timeout));
                    }
                }
            }
        }
    }

    /// Writes and reads what can be now. First what we have to say: a peer that is refused by its greeting still hears who
    /// we are.
    fn turn<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Turn>> {
        if !self.driver.node().output(self.id).is_empty() {
            if let Poll::Ready(written) = self.write(stream, context) {
                return Poll::Ready(written.map(|()| Turn::Moved));
            }
        } else if self.unflushed && Pin::new(&mut *stream).poll_flush(context)?.is_ready() {
            self.unflushed = false;
            return Poll::Ready(Ok(Turn::Moved));
        }
        if self.driver.node().wants_input(self.id) {
            return self.read(stream, context);
        }
        Poll::Pending
    }

    /// Reads what has arrived.
    fn read<S: AsyncRead + Unpin>(&self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<Turn>> {
        let mut buffer = self.driver.buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut buffer);
        // Unlike a readiness that is asked for, this knows after a short read that there is no more.
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        let octets = buffer.filled();
        if octets.is_empty() {
            return Poll::Ready(Ok(Turn::Ended));
        }
        self.wake.heard.set(true);
        self.wake.pass(false, octets);
        self.driver.with_node(|node, now| node.receive(now, self.id, octets));
        Poll::Ready(Ok(if octets.len() >= driver::READ / 2 { Turn::Filled } else { Turn::Moved }))
    }

    /// Writes what has gathered, as far as the stream takes it.
    fn write<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let octets = ready!(Pin::new(stream).poll_write(context, self.driver.node().output(self.id)))?;
        self.unflushed = true;
        self.driver.with_node(|node, _| {
            self.wake.pass(true, &node.output(self.id)[..octets]);
            node.advance_output(self.id, octets);
        });
        Poll::Ready(Ok(()))
    }
}

/// A stream that TCP carries.
trait OverTcp {
    fn tcp(&self) -> &TcpStream;
}

impl OverTcp for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl OverTcp for Secured {
    fn tcp(&self) -> &TcpStream {
        self.socket()
    }
}

/// Says that nothing more comes, and waits until the other side has taken all and ends, too: octets that come to a closed
/// socket would have what is still under way thrown away.
async fn hang_up<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.shutdown().await?;
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await? > 0 {}
    Ok(())
}
