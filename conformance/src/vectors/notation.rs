//! How octets and values are written, in the vectors and in the lines between suite and program.

use std::collections::BTreeMap;

use aemp_proto::value::{Integer, Value};
use serde_json::{Map, Value as Json, json};

use crate::hex::hex;

/// Octets of which the notation in hexadecimal is given.
pub fn unhex(digits: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{:?} is not hexadecimal", digits.chars().take(40).collect::<String>());
    let digit = |character: &u8| char::from(*character).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pairs = digits.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Ok(digit(high).ok_or_else(wrong)? << 4 | digit(low).ok_or_else(wrong)?),
        _ => Err(wrong()),
    });
    pairs.collect()
}

/// Octets in one of the notations of the vectors.
pub fn octets(notation: &Json) -> Result<Vec<u8>, String> {
    octets_within(notation, &mut Room(LARGEST))
}

fn octets_within(notation: &Json, room: &mut Room) -> Result<Vec<u8>, String> {
    if let Some(text) = notation["text"].as_str() {
        return Ok(text.into());
    }
    if let Some(digits) = notation["hex"].as_str() {
        return unhex(digits);
    }
    if let Some(digits) = notation["repeat"].as_str() {
        let repeated = unhex(digits)?;
        let mut all = repeated.repeat(room.times(&notation["times"], repeated.len())?);
        match notation.get("then") {
            Some(Json::String(digits)) => all.extend(unhex(digits)?),
            Some(then) => all.extend(octets_within(then, room)?),
            None => {}
        }
        return Ok(all);
    }
    let parts = notation["parts"].as_array().ok_or_else(|| format!("no octets are written so: {notation}"))?;
    Ok(parts.iter().map(|part| octets_within(part, room)).collect::<Result<Vec<_>, _>>()?.concat())
}

/// What all short forms of a notation may come to in memory, in octets: a line of a few octets must not fill the memory.
const LARGEST: usize = 1 << 25;

/// How deep the values of a notation may be nested.
const DEEPEST: usize = 1_000;

/// What the short forms of a notation may still come to, in octets.
struct Room(usize);

impl Room {
    /// A number of times for something of this size, which is taken from what there is.
    fn times(&mut self, times: &Json, size: usize) -> Result<usize, String> {
        let number = times.as_u64().and_then(|times| usize::try_from(times).ok());
        let number = number.ok_or_else(|| format!("{times} is no number of times"))?;
        let left = number.checked_mul(size.max(1)).and_then(|all| self.0.checked_sub(all));
        self.0 = left.ok_or_else(|| format!("{times} times {size} is too large: {LARGEST} is the most for all together"))?;
        Ok(number)
    }
}

/// A value, also in the short forms of the vectors.
pub fn value(notation: &Json) -> Result<Value, String> {
    value_within(notation, &mut Room(LARGEST))
}

fn value_within(notation: &Json, room: &mut Room) -> Result<Value, String> {
    Ok(match notation {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(elements) => {
            let mut values = Vec::new();
            for element in elements {
                match element.get("repeated") {
                    Some(repeated) => {
                        let repeated = value_within(repeated, room)?;
                        values.resize(values.len() + room.times(&element["times"], size(&repeated))?, repeated);
                    }
                    None => values.push(value_within(element, room)?),
                }
            }
            Value::Array(values)
        }
        Json::Object(object) => marked(object, room)?,
        Json::Number(number) => return Err(format!("a bare number, {number}, where a value should be")),
    })
}

fn marked(object: &Map<String, Json>, room: &mut Room) -> Result<Value, String> {
    let text = |key: &str| object.get(key).and_then(Json::as_str);
    if let Some(digits) = text("integer") {
        let number = digits.parse().ok().and_then(|number: i128| Integer::try_from(number).ok());
        return number.map(Value::Integer).ok_or_else(|| format!("{digits:?} is no integer"));
    }
    if let Some(digits) = text("float") {
        return digits.parse().map(Value::Float).map_err(|_| format!("{digits:?} is no float"));
    }
    if let Some(digits) = text("bytes") {
        return unhex(digits).map(Value::Bytes);
    }
    if let (Some(text), Some(number)) = (text("text"), object.get("times")) {
        return Ok(Value::Text(text.repeat(room.times(number, text.len())?)));
    }
    if let Some(Json::Object(members)) = object.get("map") {
        let members = members.iter().map(|(key, member)| Ok((key.clone(), value_within(member, room)?)));
        return members.collect::<Result<_, String>>().map(Value::Map);
    }
    let depth = object.get("nested").ok_or_else(|| format!("no value is written so: {}", Json::from(object.clone())))?;
    let keys = object.get("keys").and_then(Json::as_array).cloned().unwrap_or_else(|| vec![Json::Null]);
    let depth = room.times(depth, size_of::<Value>())?;
    if depth > DEEPEST || keys.is_empty() {
        return Err(format!(
            "{depth} levels with {} keys: {DEEPEST} levels are the most, and one key the least",
            keys.len()
        ));
    }
    nested(depth, &keys)
}

/// What a value comes to in memory, in octets.
fn size(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::Text(text) => text.len(),
            Value::Bytes(octets) => octets.len(),
            Value::Array(values) => values.iter().map(size).sum(),
            Value::Map(members) => members.iter().map(|(key, member)| size_of::<String>() + key.len() + size(member)).sum(),
            _ => 0,
        }
}

fn nested(depth: usize, keys: &[Json]) -> Result<Value, String> {
    let container = |level: usize, member: Option<Value>| match &keys[level % keys.len()] {
        Json::String(key) => Value::Map(member.map(|member| (key.clone(), member)).into_iter().collect()),
        _ => Value::Array(member.into_iter().collect()),
    };
    let outermost = (0..depth).rev().fold(None, |member, level| Some(container(level, member)));
    outermost.ok_or_else(|| "a depth of 0".into())
}

/// Whether there is one of the short forms, which stand for what is large, in a notation.
pub fn is_short_form(notation: &Json) -> bool {
    match notation {
        Json::Array(elements) => elements.iter().any(is_short_form),
        Json::Object(object) => {
            object.contains_key("times") || object.contains_key("nested") || object.values().any(is_short_form)
        }
        _ => false,
    }
}

/// The notation of a value, without the short forms.
pub fn notation(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Integer(integer) => json!({"integer": integer.to_string()}),
        Value::Float(float) => json!({"float": float_digits(*float)}),
        Value::Text(text) => json!(text),
        Value::Bytes(octets) => json!({"bytes": hex(octets)}),
        Value::Array(values) => values.iter().map(notation).collect(),
        Value::Map(members) => {
            let members: BTreeMap<_, _> = members.iter().map(|(key, member)| (key, notation(member))).collect();
            json!({"map": members})
        }
    }
}

fn float_digits(float: f64) -> String {
    match float {
        _ if float.is_nan() => "NaN".into(),
        f64::INFINITY => "Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        _ => format!("{float:?}"),
    }
}

/// Whether two values are the same: floats if their bits are, and any NaN as any other.
pub fn same(left: &Value, right: &Value) -> bool {
    compare(left, right, &|left, right| match (left, right) {
        (Value::Float(left), Value::Float(right)) => left.to_bits() == right.to_bits() || (left.is_nan() && right.is_nan()),
        _ => left == right,
    })
}

/// Whether two values are the same but for what the specification leaves free: the digits of a float in a text or a key, and
/// the sign of a zero.
pub fn alike(left: &Value, right: &Value) -> bool {
    let float = |text: &str| text.parse::<f64>().ok();
    compare(left, right, &|left, right| match (left, right) {
        (Value::Text(left), Value::Text(right)) => left == right || float(left).is_some() && float(left) == float(right),
        _ => left == right || same(left, right),
    })
}

/// Compares containers member by member, and what is in them by `equal`.
fn compare(left: &Value, right: &Value, equal: &impl Fn(&Value, &Value) -> bool) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| compare(left, right, equal))
        }
        (Value::Map(left), Value::Map(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|((key, left), (other, right))| {
                    equal(&Value::Text(key.clone()), &Value::Text(other.clone())) && compare(left, right, equal)
                })
        }
        _ => equal(left, right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_have_one_bound_for_all_of_them_together() {
        let at_most = LARGEST / size_of::<Value>();
        let nulls = |times: usize| json!({"repeated": null, "times": times});
        assert!(value(&json!([nulls(at_most)])).is_ok());
        for too_large in
            [json!([nulls(at_most + 1)]), json!([nulls(at_most), nulls(1)]), json!([[nulls(at_most)], [nulls(1)]])]
        {
            let error = value(&too_large).expect_err("too large");
            assert!(error.ends_with("is too large: 33554432 is the most for all together"), "{error}");
        }
        let zeros = |times: usize| json!({"repeat": "00", "times": times});
        assert_eq!(octets(&zeros(LARGEST)).map(|octets| octets.len()), Ok(LARGEST));
        assert!(octets(&json!({"parts": [zeros(LARGEST), zeros(1)]})).is_err());
    }
}
