//! What the suite's side of a connection greets with.

use crate::failure::{Failure, Step};
use crate::hex::hex;

/// What a side greets with; any part of it can be made wrong before it is sent.
#[derive(Debug, Clone)]
pub struct Greets {
    /// The protocol.
    pub protocol: String,
    /// The version.
    pub version: String,
    /// The node ID.
    pub node: String,
    /// The methods that this side accepts.
    pub methods: Vec<String>,
    /// The framings that it can receive.
    pub framings: Vec<String>,
    /// Keys and their values, escaped, or parts without a meaning.
    pub keys: Vec<String>,
    /// The second line.
    pub nonce: Vec<u8>,
}

impl Greets {
    /// A right greeting of a node, with a fresh nonce.
    pub fn new(node: &str, methods: &[&str], framings: &[&str]) -> Step<Self> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|error| Failure::Suite(error.to_string()))?;
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Ok(Greets {
            protocol: "aemp".into(),
            version: "1".into(),
            node: node.into(),
            methods: list(methods),
            framings: list(framings),
            keys: vec!["provider=aemp-conformance".into()],
            nonce: hex(&nonce).into_bytes(),
        })
    }

    /// The two lines, without line ends.
    pub fn lines(&self) -> [Vec<u8>; 2] {
        let (methods, framings) = (self.methods.join(","), self.framings.join(","));
        let mut first = format!("{};{};{};{methods};{framings}", self.protocol, self.version, self.node);
        for key in &self.keys {
            first.push(';');
            first.push_str(key);
        }
        [first.into_bytes(), self.nonce.clone()]
    }
}
