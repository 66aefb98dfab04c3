//! What things are called: nodes, ports, and the two together.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::requirement::Requirement;

/// Octets in UTF-8 that the name of anything may have: the ID of a node, and the names of ports and functions (`LIMIT-9`).
pub const LONGEST: usize = 256;

/// The name of a node, unique in its network (`GREET-7`).
///
/// At least one character, at most 256 octets (`GREET-24`), none of them `#`, `;` or a control character. Compared octet by
/// octet; cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

/// Why a text cannot be a node ID (`GREET-7`, `GREET-8`, `GREET-24`), or a port ID (`LIMIT-9`).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NodeIdError {
    /// There is no character.
    #[error("a node ID has at least one character [GREET-7]")]
    Empty,
    /// There is a character that would end the node ID where it is used.
    #[error("a node ID has no {0:?} in it: neither '#' nor ';' nor control characters [GREET-7]")]
    Forbidden(char),
    /// The node ID is too long.
    #[error("a node ID has at most 256 octets, not {0} [GREET-24]")]
    TooLong(usize),
    /// The name of the port is too long.
    #[error("the name of a port has at most 256 octets, not {0} [LIMIT-9]")]
    PortTooLong(usize),
}

impl NodeIdError {
    /// The requirement that rules out the text.
    pub fn requirement(&self) -> Requirement {
        Requirement::new(match self {
            NodeIdError::Empty | NodeIdError::Forbidden(_) => "GREET-7",
            NodeIdError::TooLong(_) => "GREET-24",
            NodeIdError::PortTooLong(_) => "LIMIT-9",
        })
    }
}

impl NodeId {
    /// Checks and takes a node ID.
    ///
    /// ```
    /// use aemp_proto::names::NodeId;
    /// assert!(NodeId::new("worker/kQ3x9").is_ok());
    /// assert!(NodeId::new("worker#1").is_err());
    /// assert!(NodeId::new(&"x".repeat(257)).is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// When it is empty, has a character that no node ID has, or more than 256 octets.
    pub fn new(id: &str) -> Result<Self, NodeIdError> {
        if id.is_empty() {
            return Err(NodeIdError::Empty);
        }
        if id.len() > LONGEST {
            return Err(NodeIdError::TooLong(id.len()));
        }
        match id.chars().find(|&c| matches!(c, '#' | ';') || c.is_control()) {
            Some(c) => Err(NodeIdError::Forbidden(c)),
            None => Ok(NodeId(id.into())),
        }
    }

    /// The node ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is ASCII. Nodes take any ID from others, but a Perl node cannot be reached from one whose ID is not ASCII.
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }

    /// The port ID of a port of this node. No port has a name of more than 256 octets (`LIMIT-9`): what is sent there is
    /// refused.
    pub fn port(&self, name: &str) -> PortId {
        PortId { node: self.clone(), port: name.into() }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The name of a port in the whole network: `node-id#port-name` (`MSG-8`, `MSG-9`).
///
/// An empty port name is the node port. Serialises as text, which is how port IDs travel inside messages.
///
/// ```
/// use aemp_proto::names::PortId;
/// let id: PortId = "alice#me".parse().unwrap();
/// assert_eq!((id.node().as_str(), id.port()), ("alice", "me"));
/// assert_eq!("alice".parse::<PortId>().unwrap().port(), "");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId {
    node: NodeId,
    port: Arc<str>,
}

impl PortId {
    /// The node that the port is on.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The port's name on its node; empty for the node port.
    pub fn port(&self) -> &str {
        &self.port
    }
}

impl core::str::FromStr for PortId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let (node, port) = text.split_once('#').unwrap_or((text, ""));
        let node = NodeId::new(node)?;
        if port.len() > LONGEST { Err(NodeIdError::PortTooLong(port.len())) } else { Ok(node.port(port)) }
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.node.0)?;
        if !self.port.is_empty() {
            write!(f, "#{}", self.port)?;
        }
        Ok(())
    }
}

impl fmt::Debug for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for PortId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = PortId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a port ID, such as \"node#port\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<PortId, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NodeId::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Makes port names that never repeat on a node, also across its restarts (`MSG-11`), and finds back what they stand for.
///
/// A name is a random prefix of this start of the program and a number of the caller's choice, such as a slot and its
/// generation. The number can be read back from the name, so finding a port needs no table of names.
///
/// ```
/// use aemp_proto::names::PortNames;
/// let names = PortNames::new(0x0123_4567_89ab_cdef);
/// let name = names.name(4711);
/// assert_eq!(names.number(&name), Some(4711));
/// assert_eq!(PortNames::new(1).number(&name), None);
/// ```
#[derive(Debug, Clone)]
pub struct PortNames {
    prefix: [u8; PortNames::PREFIX],
}

impl PortNames {
    /// Characters in the prefix: 62^8, or 47 bits.
    const PREFIX: usize = 8;

    /// Takes the random number that makes this start of the program differ from all others.
    pub fn new(mut random: u64) -> Self {
        let prefix = core::array::from_fn(|_| {
            let digit = DIGITS[(random % 62) as usize];
            random /= 62;
            digit
        });
        PortNames { prefix }
    }

    /// The name that stands for `number`: 9 to 19 letters and digits.
    pub fn name(&self, mut number: u64) -> String {
        let mut digits = [0; 11];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = DIGITS[(number % 62) as usize];
            number /= 62;
            if number == 0 {
                break;
            }
        }
        self.prefix.iter().chain(&digits[first..]).map(|&digit| char::from(digit)).collect()
    }

    /// The number that `name` stands for, if it was made by a generator with this prefix.
    pub fn number(&self, name: &str) -> Option<u64> {
        let digits = name.as_bytes().strip_prefix(&self.prefix)?;
        // One number has one name: no leading zeros, or a name could be spelt in two ways.
        if digits.is_empty() || (digits.len() > 1 && digits[0] == b'0') {
            return None;
        }
        digits.iter().try_fold(0u64, |number, &digit| {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'A'..=b'Z' => digit - b'A' + 10,
                b'a'..=b'z' => digit - b'a' + 36,
                _ => return None,
            };
            number.checked_mul(62)?.checked_add(value.into())
        })
    }
}
