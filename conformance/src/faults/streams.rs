//! The data connections that pass through the front.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;

use super::{Between, Ends, Fault, Way};

/// What a side is sent that has proven nothing yet, where that is the fault.
pub(super) const EARLY: &[u8] = b"early";

/// Octets of a stream, as they are sent on.
pub(super) fn passes(mut octets: Vec<u8>, way: Way, between: &Between, fault: &mut Fault) -> Vec<u8> {
    let change = if way == Way::In { &mut fault.streams.octets_in } else { &mut fault.streams.octets_out };
    if let Some(change) = change {
        change(between, &mut octets);
    }
    octets
}

/// Ends what one direction of a data connection is sent on to, as the direction itself has ended.
pub(super) fn end(from: &TcpStream, to: &TcpStream, way: Way, was_reset: bool, ends: Ends) {
    // Whatever is not open any more needs no end.
    let _ = match ends {
        Ends::Never if way == Way::Out => Ok(()),
        Ends::Together if way == Way::Out => from.shutdown(Shutdown::Both).and(to.shutdown(Shutdown::Both)),
        Ends::EvenIfReset => to.shutdown(Shutdown::Write),
        _ if was_reset => reset(from, to),
        _ => to.shutdown(Shutdown::Write),
    };
}

/// The sockets are reset when they are closed, which is when both directions are at their end.
fn reset(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    for socket in [from, to] {
        SockRef::from(socket).set_linger(Some(Duration::ZERO))?;
        let _ = socket.shutdown(Shutdown::Read);
    }
    Ok(())
}

/// The connections of nodes, where all of one node end with the first one.
#[derive(Default)]
pub(super) struct ByNode(Mutex<Vec<(String, TcpStream)>>);

impl ByNode {
    /// Adds a socket of a connection with a node.
    pub(super) fn add(&self, node: &str, socket: &TcpStream) {
        if let Ok(socket) = socket.try_clone() {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push((node.to_owned(), socket));
        }
    }

    /// One of them has ended.
    pub(super) fn end(&self, node: &str) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, socket) in known.extract_if(.., |(of, _)| of == node) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
