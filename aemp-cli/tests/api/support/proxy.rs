//! A network that can be cut in two: each node is reached through a proxy, which knows from the first greeting who connects.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxies {
    halves: Arc<[BTreeSet<String>; 2]>,
    is_cut: watch::Sender<bool>,
}

impl Proxies {
    pub fn new(halves: &[[&str; 2]; 2]) -> Self {
        let halves = halves.map(|half| half.iter().map(ToString::to_string).collect());
        Proxies { halves: Arc::new(halves), is_cut: watch::Sender::new(false) }
    }

    /// From now on nothing passes between the halves, and nobody is told.
    pub fn cut(&mut self) {
        self.is_cut.send_replace(true);
    }

    pub fn heal(&mut self) {
        self.is_cut.send_replace(false);
    }

    /// Makes a proxy for a node that listens at an address, and gives the proxy's.
    pub async fn add(&mut self, node: &str, address: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("its address").to_string();
        let (node, address) = (node.to_owned(), address.to_owned());
        let (halves, is_cut) = (self.halves.clone(), self.is_cut.subscribe());
        tokio::spawn(async move {
            while let Ok((opener, _)) = listener.accept().await {
                tokio::spawn(carry(opener, node.clone(), address.clone(), halves.clone(), is_cut.clone()));
            }
        });
        own
    }
}

async fn carry(
    mut opener: TcpStream,
    node: String,
    address: String,
    halves: Arc<[BTreeSet<String>; 2]>,
    mut is_cut: watch::Receiver<bool>,
) {
    // Who connects greets first; what it says is passed on once it is known who says it.
    let mut greeting = Vec::new();
    while !greeting.contains(&b'\n') {
        match opener.read_buf(&mut greeting).await {
            Ok(octets) if octets > 0 => {}
            _ => return,
        }
    }
    let from = String::from_utf8_lossy(&greeting).split(';').nth(2).unwrap_or_default().to_owned();
    let crosses = halves.iter().any(|half| half.contains(&from) != half.contains(&node) && half.contains(&from));
    let crosses = crosses && halves.iter().any(|half| half.contains(&node));
    let passable = async |is_cut: &mut watch::Receiver<bool>| {
        if crosses {
            // An error is the end of the test.
            let _ends = is_cut.wait_for(|is_cut| !is_cut).await;
        }
    };
    passable(&mut is_cut).await;
    let Ok(mut acceptor) = TcpStream::connect(&address).await else { return };
    if acceptor.write_all(&greeting).await.is_err() {
        return;
    }
    let (mut left, mut right) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            octets = opener.read(&mut left) => {
                passable(&mut is_cut).await;
                match octets {
                    Ok(octets) if octets > 0 && acceptor.write_all(&left[..octets]).await.is_ok() => {}
                    _ => return,
                }
            }
            octets = acceptor.read(&mut right) => {
                passable(&mut is_cut).await;
                match octets {
                    Ok(octets) if octets > 0 && opener.write_all(&right[..octets]).await.is_ok() => {}
                    _ => return,
                }
            }
        }
    }
}
