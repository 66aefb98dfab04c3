//! Addresses as people write them, and as other nodes can use them.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpListener, lookup_host};

/// Listens on `HOST:PORT`: at each address of the host. `*`, or no host, stands for all addresses; `*` or no port for any
/// free one.
pub(crate) async fn listen(bind: &str) -> io::Result<Vec<TcpListener>> {
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {bind}: {error}"));
    let (host, port) = split(bind);
    let port = match port {
        None | Some("*") => 0,
        Some(port) => port.parse().map_err(|_| failed(io::Error::other(format!("{port:?} is no port"))))?,
    };
    if host == "*" || host.is_empty() {
        return Ok(vec![everywhere(port).await.map_err(failed)?]);
    }
    let mut listeners = Vec::new();
    for address in lookup_host((host, port)).await.map_err(failed)? {
        listeners.push(TcpListener::bind(address).await.map_err(failed)?);
    }
    if listeners.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(listeners)
}

/// Both families of addresses at once, where the host has both.
async fn everywhere(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => TcpListener::bind(("0.0.0.0", port)).await,
        bound => bound,
    }
}

/// The host and the port, if there is one. An IPv6 address stands in brackets before a port.
fn split(address: &str) -> (&str, Option<&str>) {
    match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match address.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') => (host, Some(port)),
            _ => (address, None),
        },
    }
}

/// The addresses under which a listener can be reached: those of the host's interfaces, if it listens on all.
pub(crate) fn reachable(listener: SocketAddr) -> io::Result<Vec<SocketAddr>> {
    if !listener.ip().is_unspecified() {
        return Ok(vec![listener]);
    }
    let interfaces = if_addrs::get_if_addrs()?;
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        // One that is valid on one link only is of no use without its link.
        IpAddr::V6(ip) => listener.is_ipv6() && !ip.is_unicast_link_local(),
    };
    let all = interfaces.iter().map(if_addrs::Interface::ip).filter(usable);
    let (local, others): (Vec<_>, Vec<_>) = all.partition(IpAddr::is_loopback);
    // A host without a network talks to itself.
    let addresses = if others.is_empty() { local } else { others };
    Ok(addresses.into_iter().map(|ip| SocketAddr::new(ip, listener.port())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for (address, host, port) in [
            ("host:4040", "host", Some("4040")),
            ("host:*", "host", Some("*")),
            ("*:4040", "*", Some("4040")),
            ("*", "*", None),
            (":4040", "", Some("4040")),
            ("host", "host", None),
            ("[::1]:4040", "::1", Some("4040")),
            ("[::1]", "::1", None),
            ("::1", "::1", None),
        ] {
            assert_eq!(split(address), (host, port), "{address}");
        }
    }

    #[tokio::test]
    async fn a_listener_is_reached_under_each_address_that_it_has() {
        for (bind, reached) in [("127.0.0.1:*", "127.0.0.1"), ("[::1]:0", "::1"), ("127.0.0.1", "127.0.0.1")] {
            let [listener] = &listen(bind).await.expect("it is this host")[..] else { panic!("{bind}: one listener") };
            let address = listener.local_addr().expect("it listens");
            assert_eq!((address.ip().to_string().as_str(), address.port() > 0), (reached, true));
            assert_eq!(reachable(address).expect("addresses"), [address]);
        }
        for bind in ["*", "*:*", ":0"] {
            let [everywhere] = &listen(bind).await.expect("it is this host")[..] else { panic!("{bind}: one listener") };
            assert!(everywhere.local_addr().expect("it listens").ip().is_unspecified(), "{bind}");
        }
        let [everywhere] = &listen("*").await.expect("it is this host")[..] else { panic!("one listener") };
        let addresses = reachable(everywhere.local_addr().expect("it listens")).expect("addresses");
        assert!(!addresses.is_empty());
        for address in addresses {
            assert!(!address.ip().is_unspecified());
            tokio::net::TcpStream::connect(address).await.unwrap_or_else(|error| panic!("{address}: {error}"));
        }
        for wrong in ["127.0.0.1:port", "127.0.0.1:99999", "no.such.host.invalid:1"] {
            let error = listen(wrong).await.expect_err("it is nothing to listen on").to_string();
            assert!(error.starts_with(&format!("cannot listen on {wrong}: ")), "{error}");
        }
    }
}
