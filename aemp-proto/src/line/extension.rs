//! `key=value` at the end of a line, and the escapes in values.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{anychar, char};
use nom::combinator::{map, opt, value};
use nom::multi::{fold_many0, many0};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

/// Writes a value as it stands in a line (`GREET-14`).
///
/// ```
/// assert_eq!(aemp_proto::line::escape("50%; more"), "50%25%3b more");
/// ```
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.contains([';', '%']) { text.replace('%', "%25").replace(';', "%3b").into() } else { text.into() }
}

/// Reads a value as it stands in a line: what is no escape is literal (`GREET-15`).
///
/// ```
/// assert_eq!(aemp_proto::line::unescape("%3B %25 %41 %"), "; % %41 %");
/// ```
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let characters = fold_many0(unescaped_char, String::new, |mut text: String, character| {
        text.push(character);
        text
    });
    let (_, text) = { characters }.parse(text).unwrap_or(("", text.into()));
    text.into()
}

/// ```abnf
/// value-char = escape / "%" / plain-char / "="
/// escape     = "%3b" / "%25"
/// ```
fn unescaped_char(input: &str) -> IResult<&str, char> {
    alt((value(';', alt((tag("%3b"), tag("%3B")))), value('%', tag("%25")), anychar)).parse(input)
}

/// ```abnf
/// plain-char = %x20-24 / %x26-3A / %x3C / %x3E-7E / %xA0-D7FF / %xE000-10FFFF
/// ```
fn is_plain(character: char) -> bool {
    !matches!(character, '%' | ';' | '=') && !character.is_control()
}

/// ```abnf
/// name-list = name *( "," name )
/// name      = *name-char
/// ```
pub(super) fn name_list(input: &str) -> IResult<&str, impl Iterator<Item = &str>> {
    map(take_while(|c| is_name(c) || c == ','), |names: &str| names.split(',').filter(|name| !name.is_empty())).parse(input)
}

/// ```abnf
/// method  = 1*name-char
/// framing = 1*name-char
/// ```
pub(super) fn name(input: &str) -> IResult<&str, &str> {
    take_while1(is_name).parse(input)
}

/// ```abnf
/// name-char = ALPHA / DIGIT / "_" / "-" / "." / ":"
/// ```
fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.' | ':')
}

/// ```abnf
/// value = *value-char
/// ```
pub(super) fn raw_value(input: &str) -> IResult<&str, &str> {
    take_while(|c| is_plain(c) || matches!(c, '%' | '=')).parse(input)
}

/// The extensions at the end of a line; the last one of a key wins (`GREET-17`).
///
/// ```abnf
/// *( ";" extension )
/// extension = [ key "=" ] value
/// ```
pub(super) fn extensions(input: &str) -> IResult<&str, BTreeMap<String, String>> {
    let key = take_while(|c| is_plain(c) || c == '%');
    let extension = (opt(terminated(key, char('='))), raw_value);
    let (rest, extensions) = many0(preceded(char(';'), extension)).parse(input)?;
    let keyed = extensions.into_iter().filter_map(|(key, value)| Some((key?.into(), unescape(value).into_owned())));
    Ok((rest, keyed.collect()))
}
