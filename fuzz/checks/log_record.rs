//! Records as those take them who catch the log of other nodes.

#![allow(unreachable_pub, reason = "it is a module of two kinds of programs")]

use aemp_node::Record;
use aemp_node::proto::framing::{Framing, Limits, Packet};
use aemp_node::proto::names::NodeId;

/// A packet of any framing is a record or none; a record comes back as it is sent.
pub fn log_record(octets: &[u8]) {
    let Some((&choice, octets)) = octets.split_first() else { return };
    let framing = [Framing::Json, Framing::Cbor, Framing::Storable][usize::from(choice) % 3];
    let Ok(packet) = Packet::parse(framing, octets, &Limits::LEAST) else { return };
    let node = NodeId::new("node").expect("a node ID");
    let Some(record) = Record::decode(&node, packet.elements()) else { return };
    assert!((1..=9).contains(&record.level.number()));
    let sent = (record.time, &record.context, record.level.number(), &record.text);
    for framing in [Framing::Json, Framing::Cbor, Framing::Storable] {
        let mut written = Vec::new();
        framing.encode(&sent, &Limits::default(), &mut written).expect("it is small");
        let packet = Packet::parse(framing, &written, &Limits::default()).expect("it was written here");
        let again = Record::decode(&node, packet.elements()).expect("it was a record");
        let same_time = again.time == record.time || !record.time.is_finite();
        assert!(same_time, "{} {}", again.time, record.time);
        assert_eq!((again.level, again.context, again.text), (record.level, record.context.clone(), record.text.clone()));
    }
}
