//! The first line of a side.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, digit0, digit1};
use nom::combinator::{all_consuming, map, opt};
use nom::sequence::preceded;
use nom::{IResult, Parser};

use super::extension::{escape, extensions, name_list};
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::names::NodeId;

/// What the first line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The protocol.
    pub protocol: Protocol,
    /// Who the side says it is; proven by nothing yet (`GREET-20`).
    pub node: NodeId,
    /// The authentication methods that the side accepts, best first, known to us or not.
    pub methods: Vec<String>,
    /// The framings that the side can receive, best first, known to us or not.
    pub framings: Vec<String>,
    /// Further properties, such as `tls` or `mproto`.
    pub keys: BTreeMap<String, String>,
}

/// What is spoken over a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// AEMP itself.
    Aemp,
    /// Another protocol over the same listener: `aemp-` and this word.
    Other(String),
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Protocol::Aemp => f.write_str("aemp"),
            Protocol::Other(word) => write!(f, "aemp-{word}"),
        }
    }
}

impl Greeting {
    /// About the memory that it takes beside its own size, in octets.
    pub(crate) fn cost(&self) -> usize {
        /// A node of a tree of texts.
        const TREE: usize = 640;
        let names = self.methods.iter().chain(&self.framings).map(|name| size_of::<String>() + name.len());
        let keys = self.keys.iter().map(|(key, value)| key.len() + value.len());
        self.node.as_str().len() + 16 + names.chain(keys).sum::<usize>() + self.keys.len().div_ceil(11) * TREE
    }

    /// Reads a first line, without its line end.
    ///
    /// # Errors
    ///
    /// When it is malformed (`GREET-2`), of another protocol (`GREET-4`) or version (`GREET-6`), or when its node ID is
    /// none (`GREET-8`).
    ///
    /// ```
    /// use aemp_proto::line::Greeting;
    /// let greeting = Greeting::parse(b"aemp;1;alice;hmac_sha3_512;cbor,json;provider=example-1").unwrap();
    /// assert_eq!(greeting.node.as_str(), "alice");
    /// assert_eq!(greeting.framings, ["cbor", "json"]);
    /// assert_eq!(greeting.keys["provider"], "example-1");
    /// ```
    pub fn parse(line: &[u8]) -> Result<Self, Error> {
        let malformed = |what| Error::from(PeerMisbehaved::MalformedGreeting { what });
        let line = core::str::from_utf8(line).map_err(|_| malformed("it is not UTF-8"))?;
        let Ok((lists, (protocol_name, version_number, node))) = head(line) else {
            return Err(malformed("it has fewer than five parts"));
        };
        let Ok((_, protocol)) = all_consuming(protocol).parse(protocol_name) else {
            return Err(PeerIncompatible::Protocol { protocol: protocol_name.into() }.into());
        };
        match all_consuming(version).parse(version_number) {
            Ok((_, true)) => {}
            Ok((_, false)) => return Err(PeerIncompatible::Version { version: version_number.into() }.into()),
            Err(_) => return Err(malformed("the version is not a number")),
        }
        let node = NodeId::new(node).map_err(|_| PeerMisbehaved::ForbiddenNodeId { node: node.into() })?;
        let Ok((_, (methods, framings, keys))) = all_consuming(tail).parse(lists) else {
            return Err(malformed("a list or a key has characters that it must not have, or a list is missing"));
        };
        Ok(Greeting { protocol, node, methods, framings, keys })
    }

    /// Whether the side has sent a key such as `mproto`, `gproto` or `arbiter` with the value `1`; any other value says
    /// nothing (`GREET-18`).
    ///
    /// ```
    /// use aemp_proto::line::Greeting;
    /// let greeting = Greeting::parse(b"aemp;1;alice;hmac_sha3_512;json;gproto=1;arbiter=0").unwrap();
    /// assert_eq!(["gproto", "arbiter", "mproto"].map(|key| greeting.says(key)), [true, false, false]);
    /// ```
    pub fn says(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|value| value == "1")
    }

    /// Whether the side wants TLS (`TLS-1`).
    pub fn wants_tls(&self) -> bool {
        self.keys.get("tls").is_some_and(|version| version.starts_with("1."))
    }
}

/// Writes the first line, without a line end.
impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};1;{};{};{}", self.protocol, self.node, self.methods.join(","), self.framings.join(","))?;
        self.keys.iter().try_for_each(|(key, value)| write!(f, ";{key}={}", escape(value)))
    }
}

/// ```abnf
/// greeting-line = protocol ";" version ";" node-id ";" …
/// ```
fn head(input: &str) -> IResult<&str, (&str, &str, &str)> {
    let field = || take_while(|c| c != ';');
    let (rest, (protocol, _, version, _, node, _)) =
        (field(), char(';'), field(), char(';'), field(), char(';')).parse(input)?;
    char(';').parse(rest.trim_start_matches(|c| c != ';'))?;
    Ok((rest, (protocol, version, node)))
}

/// ```abnf
/// protocol = %s"aemp" [ "-" word ]
/// word     = 1*( ALPHA / DIGIT / "_" )
/// ```
fn protocol(input: &str) -> IResult<&str, Protocol> {
    let word = take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_');
    map(preceded(tag("aemp"), opt(preceded(char('-'), word))), |word: Option<&str>| {
        word.map_or(Protocol::Aemp, |word| Protocol::Other(word.to_owned()))
    })
    .parse(input)
}

/// Whether the version, as a number, is 1.
///
/// ```abnf
/// version = 1*DIGIT [ "." *DIGIT ]
/// ```
fn version(input: &str) -> IResult<&str, bool> {
    map((digit1, opt(preceded(char('.'), digit0))), |(whole, fraction): (&str, Option<&str>)| {
        whole.trim_start_matches('0') == "1" && fraction.unwrap_or("").trim_end_matches('0').is_empty()
    })
    .parse(input)
}

/// The methods, the framings and the keys.
type Tail = (Vec<String>, Vec<String>, BTreeMap<String, String>);

/// ```abnf
/// … [ name-list ] ";" [ name-list ] *( ";" extension )
/// ```
fn tail(input: &str) -> IResult<&str, Tail> {
    let (rest, (methods, _, framings, keys)) = (name_list, char(';'), name_list, extensions).parse(input)?;
    Ok((rest, (methods.map(ToOwned::to_owned).collect(), framings.map(ToOwned::to_owned).collect(), keys)))
}
