//! The task of one connection: from the socket into the node, and from the node to the socket.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use aemp_proto::node::ConnectionId;
use tokio::io::Interest;
use tokio::net::TcpStream;
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

pub(crate) async fn run(driver: Rc<Driver>, id: ConnectionId, stream: TcpStream, wake: Rc<Wake>) {
    let ended = tokio::select! {
        ended = carry(&driver, id, &stream, &wake) => ended,
        // The node has given it up, and knows.
        () = wake.close.notified() => return,
    };
    let error = ended.err().map(|error| error.to_string());
    driver.ended(id, error.as_deref());
}

/// Carries octets both ways until the peer ends the connection.
async fn carry(driver: &Rc<Driver>, id: ConnectionId, stream: &TcpStream, wake: &Wake) -> io::Result<()> {
    loop {
        let (reads, writes) = {
            let node = driver.node();
            (node.wants_input(id), !node.output(id).is_empty())
        };
        let interest = match (reads, writes) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        };
        let Some(interest) = interest else {
            wake.output.notified().await;
            continue;
        };
        let ready = tokio::select! {
            ready = stream.ready(interest) => ready?,
            () = wake.output.notified() => continue,
        };
        // First what we have to say: a peer that is refused by its greeting still hears who we are.
        if ready.is_writable() {
            write(driver, id, stream, wake)?;
        }
        if ready.is_readable() && !read(driver, id, stream, wake)? {
            return Ok(());
        }
    }
}

/// Reads what has arrived; false at the end of the stream.
fn read(driver: &Rc<Driver>, id: ConnectionId, stream: &TcpStream, wake: &Wake) -> io::Result<bool> {
    let mut buffer = driver.buffer.borrow_mut();
    match stream.try_read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(octets) => {
            wake.pass(false, &buffer[..octets]);
            driver.with_node(|node, now| node.receive(now, id, &buffer[..octets]));
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// Writes what has gathered, as far as the socket takes it.
fn write(driver: &Rc<Driver>, id: ConnectionId, stream: &TcpStream, wake: &Wake) -> io::Result<()> {
    let mut node = driver.node();
    while !node.output(id).is_empty() {
        match stream.try_write(node.output(id)) {
            Ok(octets) => {
                wake.pass(true, &node.output(id)[..octets]);
                node.advance_output(id, octets);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
