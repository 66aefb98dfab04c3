//! Our own two lines.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::config::Config;
use crate::error::{ApiMisuse, Error};
use crate::line::{self, Greeting, MAX_LINE, Protocol};

/// The two lines with which a side begins. Not to be used twice, so it cannot be cloned.
pub struct OwnGreeting {
    pub(super) first: Vec<u8>,
    pub(super) second: Vec<u8>,
    pub(super) greeting: Greeting,
}

impl OwnGreeting {
    /// Makes a greeting from a configuration and 32 octets of the operating system's randomness, which must be new for each
    /// link (`NONCE-1`, `NONCE-2`, `SEC-2`). The peer's socket address, if known, is told to it.
    ///
    /// # Errors
    ///
    /// When the line would be too long, or a key cannot stand in it.
    pub fn new(config: &Config, random: [u8; 32], peer_address: Option<&str>) -> Result<Self, Error> {
        Self::speaking(Protocol::Aemp, config.keys.clone(), config, random, peer_address)
    }

    /// The same for an opener of the protocol `aemp-WORD`, with these keys in place of those of the configuration.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), and when the word can be none.
    pub fn of_protocol(
        word: &str,
        keys: BTreeMap<String, String>,
        config: &Config,
        random: [u8; 32],
        peer_address: Option<&str>,
    ) -> Result<Self, Error> {
        Self::speaking(Protocol::Other(word.into()), keys, config, random, peer_address)
    }

    fn speaking(
        protocol: Protocol,
        keys: BTreeMap<String, String>,
        config: &Config,
        random: [u8; 32],
        peer_address: Option<&str>,
    ) -> Result<Self, Error> {
        let reserved = ["tls", "exporter", "peeraddr"].iter().any(|key| keys.contains_key(*key));
        let nonce: Vec<u8> = random
            .iter()
            .flat_map(|octet| [octet >> 4, octet & 15])
            .map(|digit| b"0123456789abcdef"[usize::from(digit)])
            .collect();
        let greeting = config.greeting(protocol, keys, peer_address);
        if reserved {
            return Err(ApiMisuse::OwnGreeting("the keys tls, exporter and peeraddr are not free").into());
        }
        let own = Self::exact(greeting.to_string().as_bytes(), &nonce)?;
        if own.greeting != greeting {
            return Err(ApiMisuse::OwnGreeting("a key has a character that it must not have").into());
        }
        Ok(own)
    }

    /// Takes two lines as they are, without line ends. The links that use them are bound by what the first line offers.
    ///
    /// This is for replaying recordings and for tests: a nonce that is used twice protects nobody.
    ///
    /// # Errors
    ///
    /// When they are no greeting.
    pub fn exact(first: &[u8], second: &[u8]) -> Result<Self, Error> {
        let fits = |text: &[u8]| text.len() < MAX_LINE && !text.contains(&b'\n') && !text.contains(&b'\r');
        if !fits(first) || !fits(second) {
            return Err(ApiMisuse::OwnGreeting("a line is too long or contains a line end").into());
        }
        let greeting = Greeting::parse(first)
            .map_err(|_| ApiMisuse::OwnGreeting("the first line is malformed: look at the node ID and the keys"))?;
        Ok(OwnGreeting { first: first.into(), second: second.into(), greeting })
    }

    pub(super) fn lines(&self) -> [&[u8]; 2] {
        [&self.first, &self.second]
    }

    /// About the memory that it takes beside its own size.
    pub(super) fn cost(&self) -> usize {
        self.first.capacity() + self.second.capacity() + self.greeting.cost()
    }
}

impl fmt::Debug for OwnGreeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.greeting, f)
    }
}

/// The lines of the peer, as far as they have arrived.
#[derive(Debug, Default)]
pub(super) struct PeerGreeting {
    pub(super) first: Vec<u8>,
    pub(super) second: Vec<u8>,
    pub(super) greeting: Option<Greeting>,
}

impl PeerGreeting {
    /// Takes the next line; true if the greeting is complete.
    pub(super) fn take(&mut self, line: line::Line<'_>) -> Result<bool, Error> {
        if self.greeting.is_none() {
            self.greeting = Some(Greeting::parse(line.text)?);
            self.first = line.text.into();
            return Ok(false);
        }
        self.second = line.text.into();
        Ok(true)
    }

    pub(super) fn lines(&self) -> [&[u8]; 2] {
        [&self.first, &self.second]
    }

    /// About the memory that it takes beside its own size.
    pub(super) fn cost(&self) -> usize {
        self.first.capacity() + self.second.capacity() + self.greeting.as_ref().map_or(0, Greeting::cost)
    }
}
