//! What carries the octets of a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// A stream in both directions, read with a time-out.
pub trait Stream: Read + Write + Send {
    /// For how long reading waits.
    fn set_patience(&mut self, time: Duration) -> io::Result<()>;

    /// Ends this direction. That it had ended already does not matter.
    fn end_direction(&mut self);

    /// Whether the other side has said inside the stream that nothing more comes, as TLS can.
    fn was_told_of_the_end(&self) -> bool {
        false
    }

    /// Whether this is TLS.
    fn is_tls(&self) -> bool {
        false
    }

    /// What both ends of this TLS connection know, and no other: the exporter of RFC 9266 [AUTH-27]. None without TLS.
    fn exporter(&self) -> Option<[u8; 32]> {
        None
    }

    /// The socket below.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

impl Stream for TcpStream {
    fn set_patience(&mut self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time.max(Duration::from_millis(1))))
    }

    fn end_direction(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }

    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// A stream that is at its end.
pub(super) struct Ended;

impl Read for Ended {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }
}

impl Write for Ended {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Ended {
    fn set_patience(&mut self, _: Duration) -> io::Result<()> {
        Ok(())
    }

    fn end_direction(&mut self) {}
}
