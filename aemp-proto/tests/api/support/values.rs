//! Strategies for values.

use aemp_proto::value::Value;
use proptest::prelude::*;

/// Any value, with the odd ones well represented.
pub fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![".{0,12}", "[\\x00-\\x1F\"\\\\/é☺😀]{0,6}", "-?[0-9]{1,22}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop_oneof![Just(0u64), Just(23), Just(24), Just(255), Just(256), Just(65535), Just(1 << 32)].prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<f32>().prop_map(|float| Value::from(f64::from(float))),
        prop_oneof![Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(f64::MIN_POSITIVE)]
            .prop_map(Value::from),
        text.clone().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(text.clone(), inner, 0..6).prop_map(Value::Map),
        ]
    })
}

/// Any message: an array.
pub fn any_message() -> impl Strategy<Value = Value> {
    prop::collection::vec(any_value(), 0..6).prop_map(Value::Array)
}
