//! One rule for every shape: what is sent can be taken as the same type, alone and as a request, in every framing; or the
//! sender refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use aemp_proto::framing::{DecodeError, EncodeError, Framing, Limits, Packet, Tail};
use aemp_proto::names::PortId;
use aemp_proto::value::Value;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

const FRAMINGS: [Framing; 3] = [Framing::Json, Framing::Cbor, Framing::Storable];
const REPLY: &str = "client#reply";

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Unit;

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Wrapped<T>(T);

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Two(u64, Option<String>);

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Nothing();

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Named {
    a: i64,
    b: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    c: Option<Box<Named>>,
}

#[derive(Serialize, Deserialize, PartialEq, Eq, PartialOrd, Ord, Debug, Clone)]
enum Colour {
    Red,
    Green,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
enum Request {
    Stop,
    Empty(),
    Nil(()),
    Wrap(String),
    List(Vec<u64>),
    Pair(u64, Option<char>),
    Put { key: String, value: Option<ByteBuf> },
    Inner(Box<Request>),
    Maybe(Option<Box<Request>>),
}

/// What serde reads through a buffer of its own holds what every framing has: no conversions are applied there.
#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(tag = "t")]
enum Internal {
    Stop,
    Put { key: String, number: i32, list: Vec<bool> },
    Wrap(Plain),
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Plain {
    x: i32,
    y: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Stop,
    Wrap(u64),
    Pair(String, Vec<u64>),
    Put { key: u64 },
}

/// The shapes of an untagged enum that differ from each other, also as a whole message.
#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
#[serde(untagged)]
enum Untagged {
    Put { key: String, number: i32 },
    Number(i32),
    Text(String),
    Pair(i32, i32),
    Many(Vec<String>),
    Nothing,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct Flat {
    a: u64,
    #[serde(flatten)]
    plain: Plain,
    #[serde(flatten)]
    more: BTreeMap<String, i32>,
}

/// How the elements of a message come to their receiver.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Written for the peer at once.
    Direct,
    /// Written in cbor for the node, and from there to the peer.
    Through,
    /// With a port for the answer as the last element.
    Request,
}

fn packet<T: Serialize + ?Sized>(way: Way, framing: Framing, sent: &T) -> Result<Vec<u8>, EncodeError> {
    let limits = Limits::default();
    let mut out = Vec::new();
    if let Way::Direct = way {
        return framing.encode_message("p", sent, &limits, &mut out).map(|()| out);
    }
    let mut elements = Vec::new();
    Framing::Cbor.encode_elements(sent, &limits, &mut elements)?;
    let elements = Packet::parse(Framing::Cbor, &elements, &limits).expect("a packet").elements();
    let tail: &[Tail<'_>] = if let Way::Request = way { &[Tail::Text(REPLY)] } else { &[] };
    elements.relay_between(&["p"], tail, framing, &limits, &mut out)?;
    Ok(out)
}

fn take<T: DeserializeOwned>(way: Way, framing: Framing, octets: &[u8]) -> Result<T, DecodeError> {
    let packet = Packet::parse(framing, octets, &Limits::default()).expect("a packet");
    let mut elements = packet.elements();
    assert_eq!(elements.name().as_deref(), Some("p"));
    match way {
        Way::Request => elements.request::<T>().map(|(taken, reply)| {
            assert_eq!(reply.to_string(), REPLY);
            taken
        }),
        _ => elements.rest(),
    }
}

/// Sent is taken, each way and in each framing.
#[track_caller]
fn arrives<T: Serialize + DeserializeOwned + PartialEq + Debug>(sent: &T) {
    for framing in FRAMINGS {
        for way in [Way::Direct, Way::Through, Way::Request] {
            let octets = packet(way, framing, sent).unwrap_or_else(|error| panic!("{framing} {way:?} {sent:?}: {error}"));
            assert_eq!(take::<T>(way, framing, &octets).as_ref(), Ok(sent), "{framing} {way:?}");
        }
    }
}

/// The sender refuses, each way and in each framing, and says so in a sentence.
#[track_caller]
fn refused<T: Serialize + Debug>(sent: &T) -> String {
    let errors: BTreeSet<String> = FRAMINGS
        .into_iter()
        .flat_map(|framing| [Way::Direct, Way::Through, Way::Request].map(|way| (way, framing)))
        .map(|(way, framing)| match packet(way, framing, sent) {
            Ok(_) => panic!("{framing} {way:?}: {sent:?} was sent"),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.into_iter().next().expect("one")
}

/// Either of the two, and never another value.
#[track_caller]
fn arrives_or_is_refused<T: Serialize + DeserializeOwned + PartialEq + Debug>(sent: &T) {
    if packet(Way::Direct, Framing::Json, sent).is_ok() { arrives(sent) } else { drop(refused(sent)) }
}

fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![".{0,6}", "-?[0-9]{1,20}", Just(String::new()), Just("null".to_owned()), Just("client#other".to_owned())]
}

fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![any::<u64>(), 0..30u64, Just(u64::MAX), Just(1 << 32)]
}

fn float() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![any::<f64>(), Just(-0.0), Just(1.0), Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
        .prop_filter("NaN is equal to nothing", |float| !float.is_nan())
}

fn list<T: Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(of, 0..4)
}

fn maybe<T: Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::of(of)
}

fn octets() -> impl Strategy<Value = ByteBuf> {
    prop::collection::vec(any::<u8>(), 0..6).prop_map(ByteBuf::from)
}

fn named() -> impl Strategy<Value = Named> {
    let leaf = (any::<i64>(), maybe(float())).prop_map(|(a, b)| Named { a, b, c: None });
    leaf.prop_recursive(3, 4, 1, |inner| {
        (any::<i64>(), maybe(float()), maybe(inner)).prop_map(|(a, b, c)| Named { a, b, c: c.map(Box::new) })
    })
}

fn request() -> impl Strategy<Value = Request> {
    let leaf = prop_oneof![
        Just(Request::Stop),
        Just(Request::Empty()),
        Just(Request::Nil(())),
        text().prop_map(Request::Wrap),
        list(number()).prop_map(Request::List),
        (number(), maybe(any::<char>())).prop_map(|(a, b)| Request::Pair(a, b)),
        (text(), maybe(octets())).prop_map(|(key, value)| Request::Put { key, value }),
    ];
    leaf.prop_recursive(3, 6, 1, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Request::Inner(Box::new(inner))),
            maybe(inner).prop_map(|inner| Request::Maybe(inner.map(Box::new))),
        ]
    })
}

fn plain() -> impl Strategy<Value = Plain> {
    (any::<i32>(), maybe(text())).prop_map(|(x, y)| Plain { x, y })
}

fn internal() -> impl Strategy<Value = Internal> {
    prop_oneof![
        Just(Internal::Stop),
        (text(), any::<i32>(), list(any::<bool>())).prop_map(|(key, number, list)| Internal::Put { key, number, list }),
        plain().prop_map(Internal::Wrap),
    ]
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    prop_oneof![
        Just(Adjacent::Stop),
        number().prop_map(Adjacent::Wrap),
        (text(), list(number())).prop_map(|(a, b)| Adjacent::Pair(a, b)),
        number().prop_map(|key| Adjacent::Put { key }),
    ]
}

fn untagged(shortest: usize) -> impl Strategy<Value = Untagged> {
    prop_oneof![
        (text(), any::<i32>()).prop_map(|(key, number)| Untagged::Put { key, number }),
        any::<i32>().prop_map(Untagged::Number),
        text().prop_map(Untagged::Text),
        any::<(i32, i32)>().prop_map(|(a, b)| Untagged::Pair(a, b)),
        prop::collection::vec(text(), shortest..5).prop_map(Untagged::Many),
        Just(Untagged::Nothing),
    ]
}

macro_rules! shapes_arrive {
    ($($test:ident: $strategy:expr, $check:ident;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

            $(#[test]
            fn $test(sent in $strategy) {
                $check(&sent);
                // As one element among others, every shape is itself.
                arrives_or_is_refused(&("before".to_owned(), sent.clone(), 7));
                arrives_or_is_refused(&vec![sent.clone(), sent.clone()]);
                arrives_or_is_refused(&(sent.clone(),));
                arrives_or_is_refused(&BTreeMap::from([("k".to_owned(), sent.clone())]));
                arrives_or_is_refused(&Some((sent.clone(), 1u8)));
                arrives_or_is_refused(&Ok::<_, String>(sent));
            })*
        }
    };
}

shapes_arrive! {
    whole_numbers_arrive: number(), arrives;
    wide_numbers_arrive: any::<(i128, u128, i8, u16)>(), arrives;
    floats_arrive: float(), arrives;
    small_floats_arrive: any::<f32>().prop_filter("NaN is equal to nothing", |float| !float.is_nan()), arrives;
    bools_arrive: any::<bool>(), arrives;
    chars_arrive: any::<char>(), arrives;
    texts_arrive: text(), arrives;
    octets_arrive: octets(), arrives;
    the_unit_arrives: Just(()), arrives;
    unit_structs_arrive: Just(Unit), arrives;
    empty_tuple_structs_arrive: Just(Nothing()), arrives;
    options_arrive: maybe(number()), arrives;
    options_of_tuples_arrive: maybe((number(), text())), arrives;
    options_of_structs_arrive: maybe(named()), arrives;
    options_of_enums_arrive: maybe(request()), arrives;
    options_of_lists_arrive_or_are_refused: maybe(list(number())), arrives_or_is_refused;
    options_of_options_arrive_or_are_refused: maybe(maybe(number())), arrives_or_is_refused;
    options_of_units_arrive_or_are_refused: maybe(Just(())), arrives_or_is_refused;
    results_arrive: prop_oneof![number().prop_map(Ok), text().prop_map(Err)], arrives;
    results_of_nothing_arrive: prop_oneof![Just(Ok(())), text().prop_map(Err)], arrives;
    tuples_arrive: (number(), text(), maybe(any::<bool>()), list(float()), Just(())), arrives;
    tuple_structs_arrive: (number(), maybe(text())).prop_map(|(a, b)| Two(a, b)), arrives;
    arrays_arrive: any::<[u16; 3]>(), arrives;
    lists_arrive: list(number()), arrives;
    lists_of_lists_arrive: list(list(text())), arrives;
    lists_of_units_arrive: list(Just(())), arrives;
    lists_of_options_arrive: list(maybe(number())), arrives;
    sets_arrive: prop::collection::btree_set(text(), 0..4), arrives;
    newtypes_arrive: number().prop_map(Wrapped), arrives;
    newtypes_of_lists_arrive: list(number()).prop_map(Wrapped), arrives;
    newtypes_of_options_arrive: maybe(text()).prop_map(Wrapped), arrives;
    newtypes_of_enums_arrive: request().prop_map(Wrapped), arrives;
    structs_arrive: named(), arrives;
    lists_of_structs_arrive: list(named()), arrives;
    maps_arrive: prop::collection::btree_map(text(), list(number()), 0..4), arrives;
    maps_by_number_arrive: prop::collection::btree_map(any::<i64>(), float(), 0..4), arrives;
    maps_by_bool_arrive: prop::collection::btree_map(any::<bool>(), text(), 0..3), arrives;
    maps_by_char_arrive: prop::collection::btree_map(any::<char>(), any::<char>(), 0..3), arrives;
    maps_by_variant_arrive:
        prop::collection::btree_map(prop_oneof![Just(Colour::Red), Just(Colour::Green)], request(), 0..3), arrives;
    maps_by_option_arrive_or_are_refused: prop::collection::btree_map(maybe(any::<u8>()), text(), 0..4), arrives_or_is_refused;
    enums_arrive: request(), arrives;
    lists_of_enums_arrive: list(request()), arrives;
    internally_tagged_enums_arrive: internal(), arrives;
    adjacently_tagged_enums_arrive: adjacent(), arrives;
    untagged_enums_arrive: untagged(2), arrives;
    flattened_structs_arrive: (number().prop_map(|a| a >> 33), plain(), prop::collection::btree_map("[k-w]{1,3}", any::<i32>(), 0..3))
        .prop_map(|(a, plain, more)| Flat { a, plain, more }), arrives;
    values_arrive: list(text().prop_map(Value::from)), arrives;
}

#[test]
fn what_could_not_be_told_from_something_else_is_refused_where_it_is_sent() {
    let some_nothing = refused(&Some(()));
    for error in [
        refused(&Some(None::<u64>)),
        refused(&Some(Vec::<u64>::new())),
        refused(&Some(Nothing())),
        refused(&(1, Some(()))),
        refused(&vec![Some(Unit)]),
        refused(&BTreeMap::from([("deep", vec![Some(())])])),
    ] {
        assert_eq!(error, some_nothing);
    }
    let bare = refused(&Value::from(5u64));
    assert_eq!(refused(&Value::Null), bare);
    assert_eq!(refused(&Value::Map(BTreeMap::new())), bare);
    let key = refused(&BTreeMap::from([(None::<u8>, 1)]));
    assert_eq!(refused(&BTreeMap::from([((), 1)])), key);
    assert_eq!(refused(&BTreeMap::from([((1, 2), 1)])), key);
    insta::assert_snapshot!([some_nothing, bare, key].join("\n"), @"
    `Some` of nothing, such as `Some(())` or `Some(None)`, is written as `None` is, and would be taken as that
    a Value that is a whole message must be an array: send the tuple `(value,)`, or a `Vec<Value>`
    a map key must be a text, a number or a bool
    ");
    // Beside them, all is as it was.
    arrives(&Value::Array(vec![5u64.into()]));
    arrives(&(Value::from(5u64), Value::Null));
    arrives(&Some(Vec::<u64>::from([1])));
    arrives(&(Some(Vec::<u64>::new()),));
}

#[test]
fn an_untagged_list_of_less_than_two_elements_is_sent_in_a_tuple() {
    // Alone, nothing tells it from its only element, or from nothing: the types that serde reads so take that.
    for (sent, taken) in
        [(Untagged::Many(vec!["x".into()]), Untagged::Text("x".into())), (Untagged::Many(vec![]), Untagged::Nothing)]
    {
        let octets = packet(Way::Direct, Framing::Cbor, &sent).expect("it is sent");
        assert_eq!(take::<Untagged>(Way::Direct, Framing::Cbor, &octets), Ok(taken));
        arrives(&(sent,));
    }
}

#[test]
fn what_serde_reads_through_a_buffer_of_its_own_is_right_or_an_error() {
    #[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
    #[serde(tag = "t")]
    enum Wide {
        Put { number: u64, ratio: f64 },
    }
    let sent = Wide::Put { number: 1 << 40, ratio: 0.5 };
    for framing in FRAMINGS {
        let octets = packet(Way::Direct, framing, &sent).expect("it is sent");
        let taken = take::<Wide>(Way::Direct, framing, &octets);
        // Storable has neither: both come as texts, and serde applies no conversions in its buffer.
        assert_eq!(taken.is_ok(), framing != Framing::Storable, "{framing}: {taken:?}");
        assert!(taken.is_err() || taken == Ok(sent.clone()));
    }
}

#[test]
fn a_request_that_is_taken_as_a_pair_is_told_how_to_take_it() {
    fn error<S: Serialize, T: DeserializeOwned + Debug>(sent: &S) -> String {
        let octets = packet(Way::Request, Framing::Json, sent).expect("it is sent");
        take::<T>(Way::Direct, Framing::Json, &octets).expect_err("another shape").to_string()
    }
    fn request_error<T: DeserializeOwned + Debug>(octets: &str) -> String {
        take::<T>(Way::Request, Framing::Json, octets.as_bytes()).expect_err("another shape").to_string()
    }
    let put = Request::Put { key: "k".into(), value: None };
    let errors = [
        error::<_, (Request, PortId)>(&put),
        error::<_, (Request, PortId)>(&Request::Wrap("x".into())),
        error::<_, (Request, PortId)>(&Request::Pair(1, None)),
        error::<_, (Two, PortId)>(&Two(1, None)),
        error::<_, (Vec<u64>, PortId)>(&[1u64]),
        error::<_, (Vec<Named>, PortId)>(&[Named { a: 1, b: None, c: None }]),
        error::<_, ((), PortId)>(&()),
        // A plain mismatch has no such hint.
        error::<_, (u64, PortId)>(&"text"),
        error::<_, (Named, PortId)>(&("tag", 1)),
        request_error::<u64>(r#"["p"]"#),
        request_error::<u64>(r#"["p",1]"#),
        request_error::<u64>(r#"["p",1,2,"client#reply"]"#),
        request_error::<u64>(r#"["p",1,"no port;"]"#),
        request_error::<Request>(r#"["p","Pair",1,"client#reply"]"#),
        request_error::<Request>(r#"["p","Stop",1,"client#reply"]"#),
        request_error::<Request>(r#"["p","client#reply"]"#),
    ];
    const HINT: &str = "what is sent as a whole message is spread over its elements: take a request with `request::<T>()`, \
                        and another message as a `T` alone";
    insta::assert_snapshot!(errors.join("\n").replace(HINT, "HINT"), @r#"
    at [0]: the tag "Put" came alone, expected an array of it and what it holds; HINT
    at [0]: the tag "Wrap" came alone, expected an array of it and what it holds; HINT
    at [0]: the tag "Pair" came alone, expected an array of it and what it holds; HINT
    at [0]: invalid type: integer `1`, expected tuple struct Two; HINT
    at [0]: invalid type: integer `1`, expected a sequence; HINT
    at [0]: invalid type: map, expected a sequence; HINT
    at [0]: invalid type: string "client#reply", expected unit; HINT
    at [0]: invalid type: string "text", expected u64
    at [0]: invalid type: string "tag", expected struct Named
    no element came: the last one of a request is the port for the answer
    no element came, expected one
    2 elements came, expected 1
    at [1]: the last element of a request is the port for the answer: a node ID has no ';' in it: neither '#' nor ';' nor control characters [GREET-7]
    invalid length 1, expected tuple variant Request::Pair with 2 elements
    2 elements came, expected 1
    an empty array where a tag was expected
    "#);
    // The unit variants alone would fit both ways.
    let octets = packet(Way::Request, Framing::Json, &Request::Stop).expect("it is sent");
    assert!(take::<(Request, PortId)>(Way::Direct, Framing::Json, &octets).is_ok());
}
