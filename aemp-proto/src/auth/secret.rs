//! The secret that the nodes of a network share.

use alloc::vec::Vec;
use core::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::line::MAX_LINE;
use crate::requirement::Requirement;

/// The secret that all nodes of a network share. Never printed; wiped when dropped.
///
/// ```
/// use aemp_proto::auth::Secret;
/// let secret = Secret::from_text("pä").unwrap();
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert!(Secret::from_text("").is_err());
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why something cannot be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretError {
    /// It is empty.
    #[error("a secret must not be empty [AUTH-20]")]
    Empty,
    /// Its text has a character that is no octet.
    #[error("a secret is one octet for each character: it cannot have characters above U+00FF [AUTH-23]")]
    NotLatin1,
}

impl SecretError {
    /// The requirement that rules it out.
    pub fn requirement(&self) -> Requirement {
        Requirement::new(match self {
            SecretError::Empty => "AUTH-20",
            SecretError::NotLatin1 => "AUTH-23",
        })
    }
}

impl Secret {
    /// Takes a secret as octets.
    ///
    /// # Errors
    ///
    /// When it is empty (`AUTH-20`).
    pub fn new(octets: &[u8]) -> Result<Self, SecretError> {
        if octets.is_empty() { Err(SecretError::Empty) } else { Ok(Secret(Zeroizing::new(octets.into()))) }
    }

    /// Takes a secret as text, one octet for each character (`AUTH-23`).
    ///
    /// # Errors
    ///
    /// When it is empty, or has a character above U+00FF.
    pub fn from_text(text: &str) -> Result<Self, SecretError> {
        // Sized beforehand, so that no copy of the secret is left behind by growing.
        let mut octets = Zeroizing::new(Vec::with_capacity(text.len()));
        for character in text.chars() {
            octets.push(u8::try_from(character).map_err(|_| SecretError::NotLatin1)?);
        }
        if octets.is_empty() { Err(SecretError::Empty) } else { Ok(Secret(octets)) }
    }

    /// Whether it has fewer octets than this, as one has that can be guessed: a word is found in minutes by whoever has seen
    /// a handshake.
    pub fn is_shorter_than(&self, octets: usize) -> bool {
        self.0.len() < octets
    }

    /// Whether a line can carry the secret itself (`CONN-5`).
    pub(crate) fn fits_cleartext(&self) -> bool {
        /// More octets than the line has beside the token.
        const BESIDE: usize = 64;
        2 * self.0.len() + BESIDE <= MAX_LINE
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
