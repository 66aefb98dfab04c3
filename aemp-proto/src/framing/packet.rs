//! A packet that has arrived, still encoded.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde::de::Error as _;

use super::deserialize::{ALL, DecodeError, Next, Rest};
use super::read::{Item, Members, Reader, Scalar};
use super::serialize::EncodeError;
use super::write::Uncommitted;
use super::{Framing, Limits, Scan, Scanner, Tail, cbor, convert, json, relay, storable};
use crate::error::{ApiMisuse, Error};
use crate::names::PortId;

/// A packet that has arrived: well-formed, borrowed from the read buffer, and still encoded.
///
/// ```
/// use aemp_proto::framing::{Framing, Limits, Packet};
/// use aemp_proto::names::PortId;
///
/// let packet = Packet::parse(Framing::Json, br#"["greeter","hello","alice#me",7]"#, &Limits::default()).unwrap();
/// let mut elements = packet.elements();
/// assert_eq!(elements.name().as_deref(), Some("greeter"));
/// assert_eq!(elements.name().as_deref(), Some("hello"));
/// let (whom, times): (PortId, u64) = elements.rest().unwrap();
/// assert_eq!((whom.port(), times), ("me", 7));
/// ```
#[derive(Clone, Copy)]
pub struct Packet<'a> {
    framing: Framing,
    octets: &'a [u8],
    /// Octets of it that come another time.
    copied: usize,
}

impl<'a> Packet<'a> {
    /// Takes octets that a scanner has found to be a packet.
    pub(crate) fn scanned(framing: Framing, octets: &'a [u8]) -> Self {
        Packet { framing, octets, copied: 0 }
    }

    /// Takes octets that a scanner has found to be a packet, in which so many octets come another time.
    #[inline]
    pub(crate) fn with_copied(framing: Framing, octets: &'a [u8], copied: usize) -> Self {
        Packet { framing, octets, copied }
    }

    /// The octets for which the packet stands: its own, and in storable those that come another time as often as they come
    /// (`STORABLE-11`). So many at most are walked over, copied or decoded when something is done with the whole packet.
    #[inline]
    pub fn weight(&self) -> usize {
        self.octets.len() + self.copied
    }

    /// Takes octets that are one whole packet.
    ///
    /// # Errors
    ///
    /// When they are not: malformed, incomplete, or with more behind the packet.
    pub fn parse(framing: Framing, octets: &'a [u8], limits: &Limits) -> Result<Self, Error> {
        let mut scanner = Scanner::new(framing, *limits);
        let Scan::Packet { start, end } = scanner.scan(octets)? else {
            return Err(ApiMisuse::NotOnePacket("it is not complete").into());
        };
        let copied = scanner.copied();
        match scanner.scan(&octets[end..])? {
            Scan::Partial { start: rest } if end + rest == octets.len() => {
                Ok(Packet::with_copied(framing, &octets[start..end], copied))
            }
            _ => Err(ApiMisuse::NotOnePacket("more follows").into()),
        }
    }

    /// The framing that it is encoded in.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The octets, as they arrived.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// A cursor over the elements, the port name first.
    #[inline]
    pub fn elements(&self) -> Elements<'a> {
        let (members, cursor) = match self.framing {
            Framing::Json => {
                let mut reader = json::Reader::new(self.octets);
                (begin(&mut reader), Cursor::Json(reader))
            }
            Framing::Cbor => {
                let mut reader = cbor::Reader::new(self.octets);
                (begin(&mut reader), Cursor::Cbor(reader))
            }
            Framing::Storable => {
                let mut reader = storable::Reader::new(self.octets);
                (begin(&mut reader), Cursor::Storable(reader))
            }
        };
        Elements { cursor, members }
    }

    /// Decodes the whole message, the port name included, into a type of the receiver's own, with the conversions between
    /// languages (`VALUE-5`).
    ///
    /// # Errors
    ///
    /// When the message has another shape than the type (`VALUE-6`): the packet itself is well-formed.
    ///
    /// Types that serde reads through a buffer of its own (`flatten`, `untagged`, `tag`) get values as they came, without
    /// the conversions.
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T, DecodeError> {
        self.elements().rest()
    }

    /// Appends the packet in another framing to `out`, as the table of section 5.5 says.
    ///
    /// # Errors
    ///
    /// When it is beyond the limits in that framing; `out` is as before then.
    ///
    /// ```
    /// use aemp_proto::framing::{Framing, Limits, Packet};
    /// let packet = Packet::parse(Framing::Cbor, b"\x82\x61a\x42\xe4!", &Limits::default()).unwrap();
    /// let mut out = Vec::new();
    /// packet.relay(Framing::Json, &Limits::default(), &mut out).unwrap();
    /// assert_eq!(out, r#"["a","ä!"]"#.as_bytes());
    /// ```
    pub fn relay(&self, framing: Framing, limits: &Limits, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        // Json can be passed on as it is; the others may have come with what must not be sent (`CBOR-6`, `STORABLE-13`).
        if framing != self.framing || framing != Framing::Json {
            return self.elements().relay(&[], framing, limits, out);
        }
        limits.check_octets(self.octets.len()).map_err(EncodeError::Limit)?;
        out.extend_from_slice(self.octets);
        Ok(())
    }
}

/// The beginning of the packet's array.
#[inline]
fn begin<'a>(reader: &mut impl Reader<'a>) -> Members {
    reader.array().unwrap_or_else(|| match reader.item() {
        Ok(Item::Array(members)) => members,
        // No scanner lets anything else pass.
        _ => Members::new(false, Some(0)),
    })
}

/// Shows the packet as json, however it is encoded.
impl fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        let unlimited = Limits { octets: usize::MAX, ..Limits::default() };
        self.relay(Framing::Json, &unlimited, &mut out).map_err(|_| fmt::Error)?;
        f.write_str(core::str::from_utf8(&out).map_err(|_| fmt::Error)?)
    }
}

impl Cursor<'_> {
    /// Octets that were not read.
    pub(super) fn left(&self) -> usize {
        match self {
            Cursor::Json(reader) => reader.rest().len(),
            Cursor::Cbor(reader) => reader.rest().len(),
            Cursor::Storable(reader) => reader.left(),
        }
    }
}

/// Does the same with the reader of any framing.
macro_rules! on {
    ($cursor:expr, $reader:ident => $do:expr) => {
        match $cursor {
            Cursor::Json($reader) => $do,
            Cursor::Cbor($reader) => $do,
            Cursor::Storable($reader) => $do,
        }
    };
}
pub(super) use on;

/// A cursor over the elements of a packet.
#[derive(Debug, Clone)]
pub struct Elements<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) members: Members,
}

/// Where a packet is read, whatever its framing.
#[derive(Debug, Clone)]
pub(super) enum Cursor<'a> {
    Json(json::Reader<'a>),
    Cbor(cbor::Reader<'a>),
    Storable(storable::Reader<'a>),
}

impl<'a> Elements<'a> {
    /// Takes the next element as a name: a port name, a tag, a request (`MSG-2`, `MSG-3`, `VALUE-7`). Null is the empty
    /// name. `None`, and nothing taken, if there is no element or it is no name: a bool, a float, an array or a map.
    #[inline]
    pub fn name(&mut self) -> Option<Cow<'a, str>> {
        match &mut self.cursor {
            Cursor::Json(reader) => name(reader, &mut self.members),
            Cursor::Cbor(reader) => name(reader, &mut self.members),
            Cursor::Storable(reader) => name(reader, &mut self.members),
        }
    }

    /// Whether all elements were taken.
    pub fn is_empty(&self) -> bool {
        let mut members = self.members.clone();
        match &self.cursor {
            Cursor::Json(reader) => !reader.clone().more(&mut members).unwrap_or(false),
            Cursor::Cbor(reader) => !reader.clone().more(&mut members).unwrap_or(false),
            Cursor::Storable(reader) => !reader.clone().more(&mut members).unwrap_or(false),
        }
    }

    /// Decodes the elements that were not taken, as if they were a message of their own: `("ping", 1)` takes the text and
    /// the number. It is the reverse of [`Framing::encode_message`]: what was sent as a `T` is taken as a `T`, as the
    /// [table of shapes](super#one-rule-for-every-shape) says.
    ///
    /// # Errors
    ///
    /// When they have another shape than the type.
    #[inline]
    pub fn rest<T: Deserialize<'a>>(mut self) -> Result<T, DecodeError> {
        match &mut self.cursor {
            Cursor::Json(reader) => T::deserialize(whole(reader, &mut self.members, ALL)),
            Cursor::Cbor(reader) => T::deserialize(whole(reader, &mut self.members, ALL)),
            Cursor::Storable(reader) => T::deserialize(whole(reader, &mut self.members, ALL)),
        }
    }

    /// Decodes a request: the last element is the port for the answer, and those before it are what was given to
    /// [`call`](crate::actor::Context::call), decoded as [`rest`](Self::rest) does it.
    ///
    /// ```
    /// use aemp_proto::framing::{Framing, Limits, Packet};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize, PartialEq, Debug)]
    /// enum Request {
    ///     Put { key: String },
    /// }
    ///
    /// let octets = br#"["store","Put",{"key":"sky"},"client#reply"]"#;
    /// let mut elements = Packet::parse(Framing::Json, octets, &Limits::default()).unwrap().elements();
    /// elements.name();
    /// let (request, reply) = elements.request::<Request>().unwrap();
    /// assert_eq!((request, reply.port()), (Request::Put { key: "sky".into() }, "reply"));
    /// ```
    ///
    /// # Errors
    ///
    /// When the last element is no port ID, or those before it have another shape than the type.
    #[inline]
    pub fn request<T: Deserialize<'a>>(mut self) -> Result<(T, PortId), DecodeError> {
        match &mut self.cursor {
            Cursor::Json(reader) => request(reader, &mut self.members),
            Cursor::Cbor(reader) => request(reader, &mut self.members),
            Cursor::Storable(reader) => request(reader, &mut self.members),
        }
    }

    /// Octets of the packet that were not read.
    pub(crate) fn left(&self) -> usize {
        self.cursor.left()
    }

    /// Takes and decodes the next element; `None` if all were taken.
    ///
    /// # Errors
    ///
    /// When it is of another kind than the type.
    pub fn next_as<T: Deserialize<'a>>(&mut self) -> Option<Result<T, DecodeError>> {
        match &mut self.cursor {
            Cursor::Json(reader) => next(reader, &mut self.members),
            Cursor::Cbor(reader) => next(reader, &mut self.members),
            Cursor::Storable(reader) => next(reader, &mut self.members),
        }
    }

    /// Appends a packet to `out` that has `head` first and then the elements that were not taken.
    ///
    /// # Errors
    ///
    /// When that packet is longer than the limits allow; `out` is as before then.
    pub fn relay(self, head: &[&str], framing: Framing, limits: &Limits, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.relay_between(head, &[], framing, limits, out)
    }

    /// Appends a packet to `out` that has `head` first, then the elements that were not taken, and then `tail`.
    ///
    /// # Errors
    ///
    /// As [`relay`](Self::relay).
    pub fn relay_between(
        self,
        head: &[&str],
        tail: &[Tail<'_>],
        framing: Framing,
        limits: &Limits,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let limits = &limits.within(framing);
        let mut out = Uncommitted::new(out);
        match self.cursor {
            Cursor::Json(reader) => relay_from(reader, self.members, (head, tail), framing, limits, out.buffer())?,
            Cursor::Cbor(reader) => relay_from(reader, self.members, (head, tail), framing, limits, out.buffer())?,
            Cursor::Storable(reader) => relay_from(reader, self.members, (head, tail), framing, limits, out.buffer())?,
        }
        limits.check_octets(out.written()).map_err(EncodeError::Limit)?;
        out.commit();
        Ok(())
    }
}

/// The elements of a message up to a limit.
#[inline]
fn whole<'r, R>(reader: &'r mut R, members: &'r mut Members, limit: usize) -> Rest<'r, R> {
    Rest { reader, members, limit, whole: true }
}

fn request<'a, R: Reader<'a>, T: Deserialize<'a>>(
    reader: &mut R,
    members: &mut Members,
) -> Result<(T, PortId), DecodeError> {
    let (mut ahead, mut later, mut came) = (reader.clone(), members.clone(), 0usize);
    while ahead.more(&mut later)? {
        ahead.skip()?;
        came += 1;
    }
    let Some(limit) = came.checked_sub(1) else {
        return Err(DecodeError::custom("no element came: the last one of a request is the port for the answer"));
    };
    let decoded = T::deserialize(whole(&mut *reader, &mut *members, limit))?;
    // Whatever the type is, it has taken all before the last element.
    reader.more(members)?;
    let reply = PortId::deserialize(Next(reader)).map_err(|error| {
        let what = format_args!("at [{limit}]: the last element of a request is the port for the answer: {error}");
        DecodeError::custom(what)
    })?;
    Ok((decoded, reply))
}

fn relay_from<'a, R: Reader<'a>>(
    mut reader: R,
    mut members: Members,
    (head, tail): (&[&str], &[Tail<'_>]),
    framing: Framing,
    limits: &Limits,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match framing {
        Framing::Json => relay::rest(&mut reader, &mut members, head, tail, limits, &mut json::Writer::new(out)),
        Framing::Cbor => relay::rest(&mut reader, &mut members, head, tail, limits, &mut cbor::Writer::new(out)),
        Framing::Storable => relay::rest(&mut reader, &mut members, head, tail, limits, &mut storable::Writer::new(out)),
    }
}

#[inline]
fn name<'a, R: Reader<'a>>(reader: &mut R, members: &mut Members) -> Option<Cow<'a, str>> {
    let (mut ahead, mut later) = (reader.clone(), members.clone());
    if !ahead.more(&mut later).ok()? {
        return None;
    }
    let name = match ahead.borrowed_text() {
        Some(text) => Cow::Borrowed(text),
        None => other_name(&mut ahead)?,
    };
    (*reader, *members) = (ahead, later);
    Some(name)
}

/// A name that does not stand in the packet as it is.
#[inline(never)]
fn other_name<'a>(reader: &mut impl Reader<'a>) -> Option<Cow<'a, str>> {
    match reader.item().ok()? {
        Item::Scalar(Scalar::Null) => Some(Cow::Borrowed("")),
        Item::Scalar(scalar @ (Scalar::Text(_) | Scalar::Bytes(_) | Scalar::Integer(_))) => convert::to_text(scalar).ok(),
        _ => None,
    }
}

fn next<'a, R: Reader<'a>, T: Deserialize<'a>>(reader: &mut R, members: &mut Members) -> Option<Result<T, DecodeError>> {
    let (mut ahead, mut later) = (reader.clone(), members.clone());
    match ahead.more(&mut later) {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => return Some(Err(error)),
    }
    ahead.prepare();
    // What comes behind is found even if this element cannot be decoded.
    let decoded = T::deserialize(Next(&mut ahead.clone()));
    if let Err(error) = ahead.skip() {
        return Some(Err(error));
    }
    (*reader, *members) = (ahead, later);
    Some(decoded)
}
