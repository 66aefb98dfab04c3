//! TCP: connections set up so that nothing waits to be sent, and made to names and addresses.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout, timeout_at};

/// No delay for small messages; while nothing is under way, a host that answers no probe for so long is given up. While
/// something is, it is looked at ([`host`](crate::host)).
pub(crate) fn prepare(stream: &TcpStream, host_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let longest = Duration::from_secs(32_767);
    let host_timeout = host_timeout.clamp(Duration::from_secs(1), longest);
    let third = (host_timeout / 3).max(Duration::from_secs(1));
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(third).with_interval(third).with_retries(2))
}

/// Looks names up, a few at once: each takes a thread until the system has given up, however long it is waited for.
pub(crate) struct Names {
    /// For names that the operator has given.
    own: Arc<Semaphore>,
    /// For names that other nodes have told of.
    told: Arc<Semaphore>,
}

/// Look-ups at once, for each of the two.
const AT_ONCE: usize = 4;

impl Names {
    pub(crate) fn new() -> Self {
        let semaphore = || Arc::new(Semaphore::new(AT_ONCE));
        Names { own: semaphore(), told: semaphore() }
    }

    /// The addresses that a text `HOST:PORT` stands for. One that is an address asks nobody. Names of the operator's do not
    /// wait for those that others have told of.
    ///
    /// # Errors
    ///
    /// When there are none, or not before that time.
    pub(crate) async fn look_up(&self, address: &str, is_own: bool, until: Instant) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = address.parse() {
            return Ok(vec![address]);
        }
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("the name in {address:?} was not found in time"));
        let semaphore = if is_own { &self.own } else { &self.told };
        let slot = timeout_at(until, semaphore.clone().acquire_owned()).await.map_err(late)?.map_err(io::Error::other)?;
        let name = address.to_owned();
        // It holds its slot for as long as the system has a thread at it.
        let looking = spawn_local(async move {
            let found = lookup_host(name).await.map(Iterator::collect);
            drop(slot);
            found
        });
        timeout_at(until, looking).await.map_err(late)?.map_err(io::Error::other)?
    }
}

/// Connects to the first address of a name that answers, within this time. Each has its part of what is left when the name
/// has been found.
pub(crate) async fn dial(names: &Names, address: &str, is_own: bool, patience: Duration) -> io::Result<TcpStream> {
    let until = Instant::now() + patience;
    let addresses = names.look_up(address, is_own, until).await?;
    let part = until.saturating_duration_since(Instant::now()) / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(part, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} did not answer within {part:?}")),
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn names_wait_for_each_other_and_addresses_for_nobody() {
        let soon = || Instant::now() + Duration::from_millis(10);
        let names = Names::new();
        let all_busy = names.told.clone().acquire_many_owned(AT_ONCE as u32).await.expect("it is open");
        LocalSet::new()
            .run_until(async {
                let address = names.look_up("127.0.0.1:4040", false, soon()).await.expect("nobody is asked");
                assert_eq!(address, ["127.0.0.1:4040".parse().expect("an address")]);
                let error = names.look_up("localhost:4040", false, soon()).await.expect_err("all threads are busy");
                assert_eq!(error.to_string(), "the name in \"localhost:4040\" was not found in time");
                let patience = || Instant::now() + Duration::from_secs(60);
                let found = names.look_up("localhost:4040", true, patience()).await.expect("the operator's own name");
                assert!(found.iter().all(|address| address.ip().is_loopback()), "{found:?}");
                drop(all_busy);
                names.look_up("localhost:4040", false, patience()).await.expect("a thread is free");
                assert_eq!(names.told.available_permits(), AT_ONCE);
            })
            .await;
    }
}
