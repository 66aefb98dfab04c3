//! Whether the host at the other end of a connection still answers.
//!
//! A host that takes nothing for the moment is not gone: a process that is stopped, or a reader that pauses, lets the window
//! of its connection close, and its system goes on to answer the probes of ours. `TCP_USER_TIMEOUT` does not tell the one
//! from the other: Linux ends a connection by it whose window is closed for so long, although each probe was acknowledged.
//! So what the system knows about a connection is looked at now and then: is something under way that was sent after the
//! last acknowledgement came, and has that been so for too long?

use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

/// How often a connection is looked at whose host is given up after this time: a host that has gone is noticed between 5/6
/// and 7/6 of it.
pub(crate) fn pause(host_timeout: Duration) -> Duration {
    (host_timeout / LOOKS).max(Duration::from_millis(10))
}

/// Looks within the time after which a host is given up.
const LOOKS: u32 = 6;

/// What a connection says that was given up.
pub(crate) fn gone(host_timeout: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the host has acknowledged nothing for {host_timeout:?}"))
}

/// What the system says of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Something was sent that the other host should have acknowledged, and has not.
    unanswered: bool,
    /// How long ago the last acknowledgement came.
    acknowledged: Duration,
}

/// What was seen of a connection when it was looked at before.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    before: Mutex<Option<Duration>>,
}

impl Looks {
    /// Looks again; true if the host has not answered for so long.
    pub(crate) fn is_gone(&self, stream: &impl Socket, host_timeout: Duration) -> bool {
        // Where the system does not say, it notices itself, in its own time.
        stream.seen().is_some_and(|seen| self.judge(seen, host_timeout))
    }

    fn judge(&self, seen: Seen, host_timeout: Duration) -> bool {
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        let is_suspect = seen.unanswered && seen.acknowledged >= host_timeout - 2 * host_timeout / LOOKS;
        // An answer may be on its way: what counts is that none has come from one look to the next.
        let none_came = before.is_some_and(|before| seen.acknowledged > before);
        *before = is_suspect.then_some(seen.acknowledged);
        is_suspect && none_came
    }
}

/// A socket of which the system says something.
pub(crate) trait Socket {
    /// What it says now; `None` where it says nothing.
    fn seen(&self) -> Option<Seen>;
}

#[cfg(target_os = "linux")]
impl<S: std::os::fd::AsFd> Socket for S {
    fn seen(&self) -> Option<Seen> {
        let info = linux::tcp_info(self.as_fd()).ok()?;
        let ago = |milliseconds: u32| Duration::from_millis(milliseconds.into());
        let (sent, acknowledged) = (ago(info.tcpi_last_data_sent), ago(info.tcpi_last_ack_recv));
        // Of a closed window two probes in a row: they come minutes apart at last, and one may be lost. Of data, what was
        // sent again counts as sent.
        let unanswered = info.tcpi_probes >= 2 || info.tcpi_unacked > 0 && sent < acknowledged;
        Some(Seen { unanswered, acknowledged })
    }
}

#[cfg(not(target_os = "linux"))]
impl<S> Socket for S {
    fn seen(&self) -> Option<Seen> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::{AsRawFd as _, BorrowedFd};

    /// What Linux knows about a TCP connection.
    #[allow(unsafe_code, reason = "no crate that is in the tree has this call")]
    pub(super) fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<libc::tcp_info> {
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
        // SAFETY: `socket` is open as long as it is borrowed. The system writes no more than `length` octets to `info`,
        // which has as many; `length` lives on this stack. It keeps neither pointer when the call returns.
        let failed = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if failed != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: all fields are integers, for which any octets are a value, and all octets that the system has not written
        // are zero.
        Ok(unsafe { info.assume_init() })
    }
}

/// A stream that programs hold, and whose host is looked after.
pub(crate) struct Watched {
    #[cfg(unix)]
    socket: std::os::fd::OwnedFd,
    looks: Looks,
    is_gone: AtomicBool,
}

impl Watched {
    /// Looks after the host at the other end of this stream.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor for that.
    #[cfg(unix)]
    pub(crate) fn new(stream: &TcpStream) -> io::Result<Self> {
        let socket = std::os::fd::AsFd::as_fd(stream).try_clone_to_owned()?;
        Ok(Watched { socket, looks: Looks::default(), is_gone: AtomicBool::new(false) })
    }

    /// Looks, and ends the stream if its host has gone.
    #[cfg(unix)]
    pub(crate) fn look(&self, host_timeout: Duration) {
        if self.looks.is_gone(&self.socket, host_timeout) && !self.is_gone.swap(true, Ordering::Relaxed) {
            // What reads or writes wakes from that. If it fails, the stream has ended already.
            let _ended = socket2::SockRef::from(&self.socket).shutdown(std::net::Shutdown::Both);
        }
    }

    /// The stream was ended because its host has gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// What comes of looks each five seconds: whether something was unanswered, and for how long no acknowledgement had
    /// come.
    fn judge(looks: &[(bool, u64)]) -> Vec<bool> {
        let before = Looks::default();
        let seen = |(unanswered, seconds): &(bool, u64)| Seen {
            unanswered: *unanswered,
            acknowledged: Duration::from_secs(*seconds),
        };
        looks.iter().map(|look| before.judge(seen(look), LIMIT)).collect()
    }

    #[test]
    fn a_host_is_gone_when_two_looks_find_nothing_answered_for_long_enough() {
        let dead = [(true, 5), (true, 10), (true, 15), (true, 20), (true, 25)];
        assert_eq!(judge(&dead), [false, false, false, false, true]);
        assert_eq!(judge(&[(false, 600), (false, 605)]), [false, false], "nothing is under way");
        assert_eq!(judge(&[(true, 50), (true, 2), (true, 55)]), [false, false, false], "an answer came in between");
        assert_eq!(judge(&[(false, 50), (true, 51), (false, 56), (true, 102)]), [false; 4], "each probe was answered");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_system_says_when_an_acknowledgement_came() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let stream = TcpStream::connect(listener.local_addr().expect("its address")).await.expect("it listens");
        let seen = stream.seen().expect("Linux says so");
        assert!(!seen.unanswered && seen.acknowledged < Duration::from_secs(60), "{seen:?}");
        assert!(std::fs::File::open("/dev/null").expect("it is there").seen().is_none(), "no socket");
    }
}
