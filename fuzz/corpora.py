#!/usr/bin/env python3
"""Corpora as text: one input a line, in hexadecimal, in corpora/TARGET.hex; cargo-fuzz wants a folder of files.

    corpora.py unpack    corpora/*.hex, and what the vectors and recordings of the specification have, to corpus/TARGET/
    corpora.py pack      corpus/TARGET/ to corpora/TARGET.hex: do `cargo fuzz cmin TARGET` first
"""
import hashlib, json, pathlib, sys

here = pathlib.Path(__file__).parent
vectors = here.parent / "spec" / "vectors"
targets = ["greeting_line", "authentication_line", "json", "cbor", "storable", "link", "node", "log_record", "suite", "permissions"]
longest = 4200  # octets of an input that is worth trying
longest_kept = 200  # octets of one that is worth keeping for ever


def octets(notation):
    if "text" in notation:
        return notation["text"].encode()
    if "hex" in notation:
        return bytes.fromhex(notation["hex"])
    if "parts" in notation:
        return b"".join(map(octets, notation["parts"]))
    then = notation.get("then", "")
    return bytes.fromhex(notation["repeat"]) * notation["times"] + (bytes.fromhex(then) if isinstance(then, str) else octets(then))


def cases(name):
    return json.loads((vectors / name).read_text())["cases"]


def seeds():
    """Pairs of a target and an input."""
    yield "permissions", (here.parent / "docs" / "permissions.toml").read_bytes()
    for case in cases("greeting-lines.json"):
        yield "greeting_line", octets(case["line"])
    for case in cases("lines.json"):
        yield "greeting_line", octets(case["stream"])
    for case in cases("auth-lines.json"):
        yield "authentication_line", octets(case["line"])
    for framing in "json", "cbor", "storable":
        session = b"aemp;1;peer;hmac_sha3_512;json,cbor\nnonce\ncleartext;73776f726466697368;" + framing.encode() + b"\n"
        secured = b"aemp;1;peer;hmac_sha3_512;cbor;tls=1.0\nnonce\ntls_anon;;" + framing.encode() + b"\n"
        for case in cases(framing + "-streams.json"):
            yield framing, octets(case["stream"])
            yield "link", b"\0" + session + octets(case["stream"])
        streamed = session.replace(b"aemp;1", b"aemp-dataconn;1", 1).replace(b"json,cbor", b"json,cbor;dataconn_id=x", 1)
        for choice in 0, 8, 9:
            yield "link", bytes([choice]) + streamed + octets(case["stream"])
        for choice in range(8):
            yield "link", bytes([choice]) + session + octets(case["stream"])
            yield "link", bytes([choice]) + secured + octets(case["stream"])
    for case in cases("nonces.json"):
        yield "link", b"\1" + b"".join(octets(line) + b"\n" for line in case["other"])
    for path in sorted((vectors / "recordings").glob("*.json")):
        for connection in json.loads(path.read_text())["connections"]:
            for side in "opener", "acceptor":
                sent = b"".join(octets(e) for e in connection["events"] if e["from"] == side and ("text" in e or "hex" in e))
                yield "link", b"\0" + sent
                packets = sent.split(b"\n", 3)[-1]
                if connection[side]["framing"] in ("json", "cbor", "storable"):
                    yield connection[side]["framing"], packets


def write(target, octets):
    folder = here / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    if len(octets) <= longest:
        (folder / hashlib.sha1(octets).hexdigest()).write_bytes(octets)


if sys.argv[1:] == ["unpack"]:
    for target, seed in seeds():
        write(target, seed)
    for target in targets:
        packed = here / "corpora" / (target + ".hex")
        for line in packed.read_text().split() if packed.exists() else []:
            write(target, bytes.fromhex(line))
elif sys.argv[1:] == ["pack"]:
    known = {(target, seed) for target, seed in seeds()}
    for target in targets:
        packed = here / "corpora" / (target + ".hex")
        # What is longer was put there by hand.
        kept = {line for line in packed.read_text().split() if len(line) > 2 * longest_kept} if packed.exists() else set()
        found = {path.read_bytes() for path in (here / "corpus" / target).iterdir()}
        kept |= {o.hex() for o in found if (target, o) not in known and 0 < len(o) <= longest_kept}
        packed.write_text("".join(line + "\n" for line in sorted(kept, key=lambda line: (len(line), line))))
else:
    sys.exit(__doc__)
