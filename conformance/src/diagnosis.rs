//! What is usually wrong with a token: the mistakes that people make in their first hour are tried, and the one that fits is
//! named.

use aemp_proto::auth::{Method, Transcript};
use sha2::{Sha256, Sha512};
use sha3::{Digest, Keccak512, Sha3_256, Sha3_512};

use crate::hex::hex;

/// A way to do one step, and how to say that it was this one; nothing is said about the right one.
type Way<T> = (&'static str, T);

/// From a secret and a transcript to a proof.
type Proof = fn(&[u8], &[u8]) -> Vec<u8>;

/// What mistake leads to `token`, if one does, or what can be seen from its form. Not to be asked about a token that is
/// right.
///
/// `transcript` is the one of the side that sent the token.
pub fn of_token(token: &str, method: Method, transcript: &Transcript<'_>, secret: &[u8]) -> Option<String> {
    let mut best: Option<Vec<&str>> = None;
    for (order, text) in transcripts(transcript) {
        for (how, proof) in proofs(method) {
            for (which, key) in secrets(secret) {
                let Some(form) = form(token, &hex(&proof(&key, &text))) else { continue };
                let mistakes: Vec<_> = [order, how, which, form].into_iter().filter(|said| !said.is_empty()).collect();
                if best.as_ref().is_none_or(|best| mistakes.len() < best.len()) {
                    best = Some(mistakes);
                }
            }
        }
    }
    match best {
        Some(mistakes) => Some(format!("it is what comes out when {}", mistakes.join(", and "))),
        None => malformed(token, method),
    }
}

/// What can be seen without knowing how it came about.
fn malformed(token: &str, method: Method) -> Option<String> {
    let digits = match method {
        Method::TlsSha3_512 | Method::HmacSha3_512 => 128,
        Method::HmacSha2_256 => 64,
        _ => return None,
    };
    if !token.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return Some("it is not written in hexadecimal digits".into());
    }
    (token.len() != digits).then(|| format!("it has {} digits, and should have {digits}", token.len()))
}

/// How a token is written, if it is this one.
fn form(token: &str, right: &str) -> Option<&'static str> {
    let reversed = || right.as_bytes().rchunks(2).flatten().copied().eq(token.bytes());
    match token {
        _ if right.is_empty() => None,
        _ if token == right => Some(""),
        _ if token.eq_ignore_ascii_case(right) => Some("its digits are uppercase"),
        _ if token.len() >= 16 && right.starts_with(token) => Some("its end is cut off"),
        _ if right.len() >= 16 && token.starts_with(right) => Some("there is more behind it"),
        _ if token.len() >= 16 && token.strip_prefix("0x") == Some(right) => Some("it begins with 0x"),
        _ if reversed() => Some("its octets are in the opposite order"),
        _ => None,
    }
}

fn transcripts(transcript: &Transcript<'_>) -> Vec<Way<Vec<u8>>> {
    let ([l1, l2], [r1, r2]) = (transcript.own, transcript.other);
    let with = |end: &[u8], lines: &[&[u8]]| -> Vec<u8> { lines.iter().flat_map(|line| [line, end].concat()).collect() };
    vec![
        ("", with(b"\n", &[l1, l2, r1, r2])),
        (
            "the lines of the other side stand before the sender's own (the order for checking a token that came)",
            with(b"\n", &[r1, r2, l1, l2]),
        ),
        ("the line end behind the last line is missing in the transcript", [l1, l2, r1, r2].join(&b'\n')),
        ("the lines of the transcript have no line ends", with(b"", &[l1, l2, r1, r2])),
        ("the lines of the transcript end in CR LF", with(b"\r\n", &[l1, l2, r1, r2])),
        (
            "the CR of the other side's line ends is in the transcript [CONN-9]",
            [with(b"\n", &[l1, l2]), with(b"\r\n", &[r1, r2])].concat(),
        ),
        (
            "the CR of the other side's first line end is in the transcript [CONN-9]",
            [with(b"\n", &[l1, l2]), with(b"\r\n", &[r1]), with(b"\n", &[r2])].concat(),
        ),
        ("the transcript has both first lines before both nonces", with(b"\n", &[l1, r1, l2, r2])),
        ("the transcript has both first lines, the other side's first, before both nonces", with(b"\n", &[r1, l1, r2, l2])),
        ("the transcript has the nonces before the first lines", with(b"\n", &[l2, l1, r2, r1])),
        ("the transcript has the sender's own lines only", with(b"\n", &[l1, l2])),
        ("the transcript has the other side's lines only", with(b"\n", &[r1, r2])),
        ("the transcript has the nonces only", with(b"\n", &[l2, r2])),
        ("the transcript has the nonces only, and no line ends", with(b"", &[l2, r2])),
        ("the transcript has the other side's nonce only", r2.to_vec()),
        ("the transcript is empty", Vec::new()),
    ]
}

fn secrets(secret: &[u8]) -> Vec<Way<Vec<u8>>> {
    let mut ways = vec![
        ("", secret.to_vec()),
        ("the secret has a line end behind it (LF)", [secret, b"\n"].concat()),
        ("the secret has a line end behind it (CR LF)", [secret, b"\r\n"].concat()),
        ("the secret is in quotes", [b"\"", secret, b"\""].concat()),
        ("the secret was written in hexadecimal before", hex(secret).into_bytes()),
        ("the secret is empty", Vec::new()),
    ];
    if !secret.is_ascii() {
        let text: String = secret.iter().map(|octet| char::from(*octet)).collect();
        ways.push(("the secret is in UTF-8, not one octet for each character [AUTH-23]", text.into_bytes()));
    }
    ways
}

fn proofs(method: Method) -> &'static [Way<Proof>] {
    match method {
        Method::HmacSha3_512 => &[
            ("", hmac::<Sha3_512, 72>),
            ("the block of HMAC has 136 octets, not 72", hmac::<Sha3_512, 136>),
            ("the block of HMAC has 128 octets, not 72", hmac::<Sha3_512, 128>),
            ("the block of HMAC has 64 octets, not 72", hmac::<Sha3_512, 64>),
            ("the block of HMAC has 144 octets, not 72", hmac::<Sha3_512, 144>),
            ("Keccak-512 is taken for SHA3-512, whose padding differs", hmac::<Keccak512, 72>),
            ("SHA-512 is taken for SHA3-512", hmac::<Sha512, 128>),
            ("SHA3-256 is taken for SHA3-512", hmac::<Sha3_256, 136>),
            ("the method is hmac_sha2_256", hmac::<Sha256, 64>),
            ("the secret and the transcript change places in HMAC", |secret, text| hmac::<Sha3_512, 72>(text, secret)),
            ("SHA3-512 of the secret and the transcript is taken, without HMAC", hash_behind::<Sha3_512>),
            ("SHA3-512 of the transcript and the secret is taken, without HMAC", hash_before::<Sha3_512>),
            ("SHA3-512 of the transcript is taken, without the secret", hash::<Sha3_512>),
            ("the method is cleartext", |secret, _| secret.to_vec()),
        ],
        Method::HmacSha2_256 => &[
            ("", hmac::<Sha256, 64>),
            ("the block of HMAC has 128 octets, not 64", hmac::<Sha256, 128>),
            ("the block of HMAC has 72 octets, not 64", hmac::<Sha256, 72>),
            ("the block of HMAC has 32 octets, not 64", hmac::<Sha256, 32>),
            ("SHA-512 is taken for SHA-256", hmac::<Sha512, 128>),
            ("SHA3-256 is taken for SHA-256", hmac::<Sha3_256, 136>),
            ("the method is hmac_sha3_512", hmac::<Sha3_512, 72>),
            ("the secret and the transcript change places in HMAC", |secret, text| hmac::<Sha256, 64>(text, secret)),
            ("SHA-256 of the secret and the transcript is taken, without HMAC", hash_behind::<Sha256>),
            ("SHA-256 of the transcript and the secret is taken, without HMAC", hash_before::<Sha256>),
            ("SHA-256 of the transcript is taken, without the secret", hash::<Sha256>),
            ("the method is cleartext", |secret, _| secret.to_vec()),
        ],
        Method::TlsSha3_512 => &[
            ("", hash::<Sha3_512>),
            ("Keccak-512 is taken for SHA3-512, whose padding differs", hash::<Keccak512>),
            ("SHA-512 is taken for SHA3-512", hash::<Sha512>),
            ("SHA3-256 is taken for SHA3-512", hash::<Sha3_256>),
            ("the method is hmac_sha3_512", hmac::<Sha3_512, 72>),
        ],
        _ => &[("", |secret, _| secret.to_vec())],
    }
}

fn hash<H: Digest>(_secret: &[u8], text: &[u8]) -> Vec<u8> {
    H::digest(text).to_vec()
}

fn hash_behind<H: Digest>(secret: &[u8], text: &[u8]) -> Vec<u8> {
    H::new().chain_update(secret).chain_update(text).finalize().to_vec()
}

fn hash_before<H: Digest>(secret: &[u8], text: &[u8]) -> Vec<u8> {
    H::new().chain_update(text).chain_update(secret).finalize().to_vec()
}

/// HMAC with a block of any size, wrong ones included.
fn hmac<H: Digest, const BLOCK: usize>(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = if key.len() > BLOCK { H::digest(key).to_vec() } else { key.to_vec() };
    block.resize(block.len().max(BLOCK), 0);
    let padded = |with: u8| block.iter().map(|octet| octet ^ with).collect::<Vec<u8>>();
    let inner = H::new().chain_update(padded(0x36)).chain_update(text).finalize();
    H::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"swordfish";
    const TRANSCRIPT: Transcript<'static> =
        Transcript { own: [b"aemp;1;alice;hmac_sha3_512;json", b"01"], other: [b"aemp;1;bob;hmac_sha3_512;json", b"02"] };

    fn text_of(transcript: &Transcript<'_>) -> Vec<u8> {
        transcripts(transcript).remove(0).1
    }

    #[test]
    fn what_is_right_here_is_right_there() {
        for method in [Method::HmacSha3_512, Method::HmacSha2_256, Method::TlsSha3_512] {
            let secret = aemp_proto::auth::Secret::new(SECRET).expect("a secret");
            let right = method.token(&TRANSCRIPT, Some(&secret)).expect("a token");
            assert_eq!(hex(&proofs(method)[0].1(SECRET, &text_of(&TRANSCRIPT))), **right, "{method}");
        }
    }

    #[test]
    fn each_mistake_alone_is_found_and_named() {
        for method in [Method::HmacSha3_512, Method::HmacSha2_256, Method::TlsSha3_512] {
            let text = text_of(&TRANSCRIPT);
            let right = proofs(method)[0].1;
            let said = |token: &str| of_token(token, method, &TRANSCRIPT, SECRET).unwrap_or_default();
            for (mistake, text) in &transcripts(&TRANSCRIPT)[1..] {
                assert!(said(&hex(&right(SECRET, text))).ends_with(mistake), "{method}: {mistake}");
            }
            for (mistake, proof) in &proofs(method)[1..] {
                assert!(said(&hex(&proof(SECRET, &text))).ends_with(mistake), "{method}: {mistake}");
            }
            if method.requires_secret() {
                for (mistake, secret) in &secrets(SECRET)[1..] {
                    assert!(said(&hex(&right(secret, &text))).ends_with(mistake), "{method}: {mistake}");
                }
            }
            let token = hex(&right(SECRET, &text));
            assert!(said(&token.to_uppercase()).ends_with("its digits are uppercase"));
            assert!(said(&token[..64.min(token.len() - 2)]).ends_with("its end is cut off"));
            assert!(said(&format!("{token}00")).ends_with("there is more behind it"));
            assert_eq!(said("zz"), "it is not written in hexadecimal digits");
            assert!(said("00").starts_with("it has 2 digits"));
        }
    }

    #[test]
    fn several_mistakes_at_once_are_all_named() {
        let swapped = Transcript { own: TRANSCRIPT.other, other: TRANSCRIPT.own };
        let token = hex(&hmac::<Sha3_512, 136>(b"swordfish\n", &text_of(&swapped)));
        insta::assert_snapshot!(of_token(&token, Method::HmacSha3_512, &TRANSCRIPT, SECRET).unwrap_or_default(), @"it is what comes out when the lines of the other side stand before the sender's own (the order for checking a token that came), and the block of HMAC has 136 octets, not 72, and the secret has a line end behind it (LF)");
    }

    #[test]
    fn a_token_that_nothing_explains_is_left_alone() {
        assert_eq!(of_token(&"0".repeat(128), Method::HmacSha3_512, &TRANSCRIPT, SECRET), None);
    }
}
