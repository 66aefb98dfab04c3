//! TCP, set up so that a dead host is noticed and nothing waits to be sent.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// No delay for small messages; a host that acknowledges nothing for so long is given up.
pub(crate) fn prepare(stream: &TcpStream, host_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    // While nothing is under way the keepalive asks; while something is, the user time-out counts.
    let longest = Duration::from_secs(32_767);
    let host_timeout = host_timeout.clamp(Duration::from_secs(1), longest);
    let third = (host_timeout / 3).max(Duration::from_secs(1));
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(third).with_interval(third).with_retries(2))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(host_timeout))?;
    Ok(())
}

/// Connects to the first address of a name that answers. Each has its part of the time.
pub(crate) async fn dial(address: &str, patience: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host(address).await?.collect();
    let part = patience / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
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
