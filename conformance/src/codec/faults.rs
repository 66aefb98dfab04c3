//! Ways to answer wrong, each one a fault that somebody's implementation may have.

use serde_json::{Value as Json, json};

use super::answers::answer;
use super::spoiling::*;

/// A fault of an implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Keeps the CR of CR LF as a part of the line
    CrInLine,
    /// Takes the octets behind the lines that it wants for another line
    ReadsOn,
    /// Sets no limit to a line
    LongLines,
    /// Drops names of methods and framings that it does not know
    DropsUnknownNames,
    /// Takes a greeting of any version
    AnyVersion,
    /// Reads what it has unescaped for escapes again
    UnescapesTwice,
    /// Writes a semicolon in a value as it is
    EscapesOnlyPercent,
    /// Compares node IDs without regard to case
    NodesInAnyCase,
    /// Does not compare nonces
    EqualNonces,
    /// Takes an authentication line without a framing for one in json
    DefaultFraming,
    /// Hashes its own greeting behind the other one
    GreetingsSwapped,
    /// Accepts uppercase digits in tokens
    UppercaseTokens,
    /// Accepts any token that begins right
    ShortTokens,
    /// Chooses the first method and framing of its own list
    OwnOrder,
    /// Names storable as soon as it is offered
    StorableFirst,
    /// Loses the first octet of each piece but the first
    LosesFirstOctet,
    /// Looks at each piece of a stream alone
    PiecesAlone,
    /// Drops the packets before a malformed one
    DropsGoodPackets,
    /// Delivers packets behind a malformed one, and the malformed one as an empty one
    SkipsMalformed,
    /// Delivers a packet that is not complete, without what is missing
    DeliversPartial,
    /// Reads integers through a float
    RoundsIntegers,
    /// Reads -0 in json as an integer
    MinusZeroInteger,
    /// Replaces what is not UTF-8 in json
    ReplacesBadUtf8,
    /// Replaces half a surrogate pair in json
    ReplacesLoneSurrogates,
    /// Takes the first of two equal keys in json
    FirstOfDoubledKey,
    /// Refuses maps with equal keys by closing
    RefusesDoubledKey,
    /// Takes nesting somewhat beyond the limit
    DeeperThanAllowed,
    /// Sets no limit to the number of values
    ManyValues,
    /// Reads bytes in cbor and storable as text in UTF-8
    BytesAsUtf8,
    /// Refuses indefinite lengths in cbor
    DefiniteOnly,
    /// Refuses images of storable in native order
    NetworkOrderOnly,
    /// Reads each bool as an integer
    BoolsAsIntegers,
    /// Converts a text with more than a number in it
    LenientNumbers,
    /// Converts a null to anything
    NullIsAnything,
    /// Passes octets on when it relays, whatever they are
    RelaysOctets,
    /// Writes cbor floats in 64 bits always
    LongFloats,
    /// Writes a space behind each comma in json
    WritesSpaces,
    /// Writes NaN as a number in json
    WritesNan,
    /// Writes a key of a map twice
    WritesKeyTwice,
    /// Writes a tag in cbor that means nothing to anyone
    WritesTags,
    /// Writes a float that is whole as an integer
    WholeFloatsAsIntegers,
    /// Takes a bool for the name of a port
    BoolsAsNames,
    /// Splits port IDs at their last `#`
    LastHash,
    /// Reports one requirement for everything
    OneRequirement,
}

impl Fault {
    /// The answer of a program with this fault.
    pub fn answer(self, request: &Json) -> Json {
        self.answer_of_its_own(request).unwrap_or_else(|| answer(request))
    }

    /// The same, if the fault has anything to do with such a request.
    pub fn answer_of_its_own(self, request: &Json) -> Option<Json> {
        let operation = request["operation"].as_str().unwrap_or_default();
        let framing = request["framing"].as_str().unwrap_or_default();
        Some(match (self, operation) {
            (Fault::CrInLine, "lines") => cr_in_line(request),
            (Fault::ReadsOn, "lines") => answer(&without(request, "take")),
            (Fault::LongLines, "lines") => long_lines(request),
            (Fault::DropsUnknownNames, "greeting") => drops_unknown_names(answer(request)),
            (Fault::AnyVersion, "greeting") => answer(&any_version(request)),
            (Fault::UnescapesTwice, "unescape") => {
                let once = answer(request);
                answer(&json!({"operation": "unescape", "text": once["text"]}))
            }
            (Fault::EscapesOnlyPercent, "escape") => replaced_text(answer(request), "%3b", ";"),
            (Fault::NodesInAnyCase, "decide") => answer(&in_lowercase(request)),
            (Fault::EqualNonces, "decide") => answer(&with_other_nonce(request)),
            (Fault::DefaultFraming, "authentication") => answer(&with_framing(request)),
            (Fault::GreetingsSwapped, "token" | "verify") => answer(&swapped(request)),
            (Fault::UppercaseTokens, "verify") => answer(&token_in_lowercase(request)),
            (Fault::ShortTokens, "verify") => short_tokens(request),
            (Fault::OwnOrder, "choose") => answer(&own_order(request)),
            (Fault::StorableFirst, "choose") => storable_first(request),
            (Fault::LosesFirstOctet, "packets") => answer(&pieces(request, |number, piece| match number {
                0 => piece.to_owned(),
                _ => piece.get(2..).unwrap_or_default().to_owned(),
            })),
            (Fault::PiecesAlone, "packets") => pieces_alone(request),
            (Fault::DropsGoodPackets, "packets") => drops_good_packets(answer(request)),
            (Fault::SkipsMalformed, "packets") => skips_malformed(answer(request)),
            (Fault::DeliversPartial, "packets") => delivers_partial(answer(request)),
            (Fault::RoundsIntegers, "packets" | "convert") => rounded(&answer(request)),
            (Fault::MinusZeroInteger, "packets") if framing == "json" => {
                each_value(&answer(request), &|value| (*value == json!({"float": "-0.0"})).then(|| json!({"integer": "0"})))
            }
            (Fault::ReplacesBadUtf8, "packets") if framing == "json" => {
                let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned().into_bytes();
                answer(&whole(request, text))
            }
            (Fault::ReplacesLoneSurrogates, "packets") if framing == "json" => {
                answer(&whole(request, without_lone_surrogates))
            }
            (Fault::FirstOfDoubledKey, "packets") if framing == "json" => first_of_doubled_key(request),
            (Fault::RefusesDoubledKey, "packets") if framing == "json" => refuses_doubled_key(request),
            (Fault::DeeperThanAllowed, "packets") => answer(&limited(request, "depth", 600)),
            (Fault::ManyValues, "packets") => answer(&limited(request, "values", 10_000_000)),
            (Fault::BytesAsUtf8, "packets" | "convert") if framing != "json" => each_value(&answer(request), &bytes_as_utf8),
            (Fault::DefiniteOnly, "packets") if framing == "cbor" => definite_only(request),
            (Fault::NetworkOrderOnly, "packets") if framing == "storable" => network_order_only(request),
            (Fault::BoolsAsIntegers, "packets") => each_value(&answer(request), &|value| {
                value.as_bool().filter(|_| value.is_boolean()).map(|value| json!({"integer": u8::from(value).to_string()}))
            }),
            (Fault::LenientNumbers, "convert") => answer(&lenient_number(request)),
            (Fault::NullIsAnything, "convert") if request["value"].is_null() => null_is_anything(request),
            (Fault::RelaysOctets, "relay") => json!({"octets": request["packet"]}),
            (Fault::LongFloats, "write") if framing == "cbor" => long_floats(answer(request)),
            (Fault::WritesSpaces, "write") if framing == "json" => octets_replaced(answer(request), b",", b", "),
            (Fault::WritesNan, "write") if framing == "json" => octets_replaced(answer(request), b"\"NaN\"", b"NaN"),
            (Fault::WritesKeyTwice, "write") if framing == "json" => {
                octets_replaced(answer(request), b"{\"a\":", b"{\"a\":null,\"a\":")
            }
            (Fault::WritesTags, "write") if framing == "cbor" => writes_tags(answer(request)),
            (Fault::WholeFloatsAsIntegers, "write") => {
                let packet = each_value(&request["packet"], &whole_float_as_integer);
                let mut request = request.clone();
                request["packet"] = packet;
                answer(&request)
            }
            (Fault::BoolsAsNames, "port") => bools_as_names(answer(request)),
            (Fault::LastHash, "port_id") => last_hash(request),
            (Fault::OneRequirement, _) => one_requirement(answer(request)),
            _ => return None,
        })
    }
}
