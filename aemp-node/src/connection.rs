//! The task of one connection: from the socket into the node, and from the node to the socket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use aemp_proto::node::ConnectionId;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::Notify;

use crate::driver::Driver;
use crate::wire::Tapped;

/// What others have to do with a connection's task.
pub(crate) struct Wake {
    /// There is something to write, or reading can go on.
    pub(crate) output: Notify,
    /// The node has given it up.
    pub(crate) close: Notify,
    tap: Option<RefCell<Tapped>>,
}

impl Wake {
    pub(crate) fn new(tap: Option<Tapped>) -> Self {
        Wake { output: Notify::new(), close: Notify::new(), tap: tap.map(RefCell::new) }
    }

    fn pass(&self, sent: bool, octets: &[u8]) {
        if let Some(tap) = &self.tap {
            tap.borrow_mut().pass(sent, octets);
        }
    }
}

pub(crate) async fn run(driver: Rc<Driver>, id: ConnectionId, mut stream: TcpStream, wake: Rc<Wake>) {
    let ended = tokio::select! {
        ended = carry(&driver, id, &mut stream, &wake) => ended,
        // The node has given it up, and knows.
        () = wake.close.notified() => return,
    };
    let error = ended.err().map(|error| error.to_string());
    driver.ended(id, error.as_deref());
}

/// Carries octets both ways until the peer ends the connection.
async fn carry(driver: &Rc<Driver>, id: ConnectionId, stream: &mut TcpStream, wake: &Wake) -> io::Result<()> {
    let (mut reader, mut writer) = stream.split();
    loop {
        let (reads, writes) = {
            let node = driver.node();
            (node.wants_input(id), !node.output(id).is_empty())
        };
        // First what we have to say: a peer that is refused by its greeting still hears who we are.
        tokio::select! {
            biased;
            written = poll_fn(|context| write(driver, id, &mut writer, wake, context)), if writes => written?,
            open = poll_fn(|context| read(driver, id, &mut reader, wake, context)), if reads => {
                if !open? {
                    return Ok(());
                }
            }
            () = wake.output.notified() => {}
        }
    }
}

/// Reads what has arrived; false at the end of the stream.
fn read(
    driver: &Rc<Driver>,
    id: ConnectionId,
    reader: &mut ReadHalf<'_>,
    wake: &Wake,
    context: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    let mut buffer = driver.buffer.borrow_mut();
    let mut buffer = ReadBuf::new(&mut buffer);
    // Unlike a readiness that is asked for, this knows after a short read that there is no more.
    ready!(Pin::new(reader).poll_read(context, &mut buffer))?;
    let octets = buffer.filled();
    if octets.is_empty() {
        return Poll::Ready(Ok(false));
    }
    wake.pass(false, octets);
    driver.with_node(|node, now| node.receive(now, id, octets));
    Poll::Ready(Ok(true))
}

/// Writes what has gathered, as far as the socket takes it.
fn write(
    driver: &Rc<Driver>,
    id: ConnectionId,
    writer: &mut WriteHalf<'_>,
    wake: &Wake,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let octets = ready!(Pin::new(writer).poll_write(context, driver.node().output(id)))?;
    driver.with_node(|node, _| {
        wake.pass(true, &node.output(id)[..octets]);
        node.advance_output(id, octets);
    });
    Poll::Ready(Ok(()))
}
