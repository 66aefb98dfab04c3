//! Members whose requests are small, and would cost much.

use aemp_node::proto::framing::Framing;
use serde_json::json;

use super::ground::{Ground, size};
use super::member::{Member, encoded};

#[test]
fn small_messages() {
    let ground = Ground::new("small messages to a port that there is not, in cbor", &[]);
    let mut member = ground.member("evil", Framing::Cbor);
    member.repeat(&encoded(Framing::Cbor, &("none", "some small message", 12345)), size(100_000, 3_000_000));
    assert!(member.settled());
    ground.end();
}

#[test]
fn echoes() {
    let ground = Ground::new("echoes, in json", &[]);
    let mut member = ground.member("evil", Framing::Json);
    member.repeat(br#"["","snd","evil#x","some small message",12345]"#, size(10_000, 300_000));
    assert!(member.settled());
    ground.end();
}

#[test]
fn watches_on_a_port_that_another_node_watches_many_times() {
    let ground = Ground::new("`mon0` on a port that another node watches often", &[]);
    let mut other = ground.member("other", Framing::Json);
    other.repeat(br#"["","mon1","echo"]"#, size(50_000, 900_000));
    assert!(other.settled());
    let mut member = ground.member("evil", Framing::Json);
    member.repeat(br#"["","mon1","echo"]"#, size(2_000, 20_000));
    assert!(member.settled());
    ground.begin();
    member.repeat(br#"["","mon0","echo"]"#, size(2_000, 20_000));
    assert!(member.settled());
    ground.end();
}

#[test]
fn the_end_of_a_node_that_watches_much() {
    let ground = Ground::new("`mon1` from two nodes, and both leave", &[]);
    let mut members = [ground.member("other", Framing::Json), ground.member("evil", Framing::Json)];
    for member in &mut members {
        member.repeat(br#"["","mon1","echo"]"#, size(50_000, 900_000));
        assert!(member.settled());
    }
    members.into_iter().for_each(Member::leave);
    ground.end();
}

/// A slave has set a family of so many octets, in entries of 1,000.
fn set_family(member: &mut Member, octets: usize) {
    member.send(&json!(["", "g_slave", {}]));
    let text = "x".repeat(1000);
    for part in 0..octets.div_ceil(400_000) {
        let entries: serde_json::Map<_, _> = (0..400).map(|key| (format!("k{part}-{key}"), json!(text))).collect();
        member.send(&json!(["", "g_upd", "large", entries]));
    }
    assert!(member.settled());
}

fn questions_about_a_large_family(question: &str) {
    let ground = Ground::new(&format!("`{question}` of a large family"), &["--global"]);
    let mut member = ground.member("evil", Framing::Json);
    set_family(&mut member, size(2_000_000, 40_000_000));
    ground.begin();
    let times = size(200, 300);
    let asked = match question {
        "g_mon1" => {
            (0..times).all(|_| member.send(&json!(["", "g_mon1", "large"])) && member.send(&json!(["", "g_mon0", "large"])))
        }
        _ => (0..times).all(|number| member.send(&json!(["", question, "large", format!("q{number}")]))),
    };
    assert!(asked, "the node has closed the connection");
    member.settled();
    ground.end();
}

#[test]
fn questions_about_all_of_a_large_family() {
    questions_about_a_large_family("g_db_family");
}

#[test]
fn questions_about_the_keys_of_a_large_family() {
    questions_about_a_large_family("g_db_keys");
}

#[test]
fn questions_about_the_values_of_a_large_family() {
    questions_about_a_large_family("g_db_values");
}

#[test]
fn watches_on_a_large_family() {
    questions_about_a_large_family("g_mon1");
}

/// A request to end a port that there is not, with reasons that double so often.
fn doubling_reasons(times: u32) -> Vec<u8> {
    let mut image = vec![0x05, 0x0B, 0x02];
    image.extend((4 + times).to_be_bytes());
    for text in ["", "kil1", "none"] {
        image.extend([0x17, text.len() as u8]);
        image.extend(text.as_bytes());
    }
    // The array is object 0, the texts are 1 to 3.
    let mut next = 4u32;
    let mut last = None;
    for _ in 0..=times {
        image.extend([0x04, 0x02]);
        image.extend(2u32.to_be_bytes());
        let own = next + 1;
        next += 2;
        for _ in 0..2 {
            match last {
                None => image.push(0x05),
                Some(object) => {
                    image.extend([0x04, 0x00]);
                    image.extend(u32::to_be_bytes(object));
                }
            }
            next += 1;
        }
        last = Some(own);
    }
    let length = image.len();
    let mut packet: Vec<u8> =
        if length < 128 { vec![length as u8] } else { vec![0x80 | (length >> 7) as u8, (length & 0x7F) as u8] };
    packet.append(&mut image);
    packet
}

#[test]
fn reasons_that_double_in_storable() {
    let ground =
        Ground::new("storable: reasons that double, for a port that there is not", &["--framing", "cbor,json,storable"]);
    let mut member = ground.member("evil", Framing::Storable);
    member.repeat(&doubling_reasons(16), size(60, 230));
    member.settled();
    ground.end();
}

#[test]
fn octets_one_by_one() {
    let ground = Ground::new("a packet in single octets", &[]);
    let mut member = ground.member("evil", Framing::Json);
    let packet = format!(r#"["none","{}"]"#, "x".repeat(size(10_000, 1_000_000)));
    packet.as_bytes().chunks(1).all(|octet| member.say(octet));
    assert!(member.settled());
    ground.end();
}

#[test]
fn deep_and_hard_packets() {
    let ground = Ground::new("deep packets, long numbers", &[]);
    let mut member = ground.member("evil", Framing::Json);
    let deep = format!(r#"["none",{}{}]"#, "[".repeat(500), "]".repeat(500));
    member.repeat(deep.as_bytes(), size(1_000, 50_000));
    let long = format!(r#"["","kil1","none",0.{}e-30]"#, "123456789".repeat(100));
    member.repeat(long.as_bytes(), size(1_000, 50_000));
    assert!(member.settled());
    ground.end();
}
