#!/usr/bin/env python3
"""AEMP, the message protocol of AnyEvent::MP, in one file: a node of level global, with Python's standard library alone.

    python3 aemp.py node       a node under test: conformance/PROTOCOL.md, part 2, and conformance/CONTRACT.md
    python3 aemp.py vectors    the codecs alone: conformance/PROTOCOL.md, part 1

From top to bottom, each part using only those above it: lines and greetings, authentication, values, the two framings, the event loop,
connections, the database, the node, the services of the contract, the codec requests. IDs in brackets are requirements in spec/.
"""
import codecs
import collections
import hashlib
import heapq
import hmac
import itertools
import json
import math
import os
import random
import re
import secrets
import selectors
import socket
import struct
import sys
import threading
import time
import traceback

VERSION = "0.1"
LINE_LIMIT = 4096                                        # octets, with the line end [CONN-5]
PACKET_LIMITS = {"octets": 1 << 20, "depth": 512, "values": 100_000}    # the least that a receiver may have (section 11.1)


class Fault(Exception):
    """What closes a connection: a requirement that the other side has broken, and what to tell one's own operator [ERR-2]."""

    def __init__(self, requirement, text):
        super().__init__(f"{requirement}: {text}")
        self.requirement = requirement


# ---- lines and greetings (chapter 2) ----

class LineReader:
    """Cuts a stream of octets into lines; `rest` is what has arrived behind them [CONN-7]."""

    def __init__(self):
        self.rest = b""

    def take(self):
        """The next line without its end, or None if it is not complete."""
        end = self.rest.find(b"\n", 0, LINE_LIMIT)
        stray = re.compile(rb"\r(?!\n|\Z)").search(self.rest, 0, end + 1 if end >= 0 else LINE_LIMIT)
        if stray:
            raise Fault("CONN-8", "a CR that is not a part of a line end")
        if end < 0:
            if len(self.rest) > LINE_LIMIT:
                raise Fault("CONN-6", "the line is too long")
            return None
        line, self.rest = self.rest[:end], self.rest[end + 1:]
        return line.removesuffix(b"\r")                  # [CONN-4] [CONN-9]


VALUE_PART = re.compile(r"[^\x00-\x1f;\x7f-\x9f\ud800-\udfff]*")
NODE_ID = re.compile(r"[^\x00-\x1f#;\x7f-\x9f\ud800-\udfff]+")       # [GREET-7]
NAME_LIMIT = 256                                                     # octets of a node ID [GREET-24]
NAME = re.compile(r"[A-Za-z0-9_.:-]*")
NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]*))?")


def escape(text):
    """How a value of a key is sent [GREET-14]."""
    return text.replace("%", "%25").replace(";", "%3b")


def unescape(text):
    """How it is read: once, from left to right [GREET-15]."""
    return re.sub("%3[bB]|%25", lambda match: "%" if match[0] == "%25" else ";", text)


def read_keys(parts, requirement):
    """The keys of a first line or an authentication line: the last one of a name counts [GREET-13] [GREET-17] [AUTH-24]."""
    keys = {}
    for part in parts:
        if not VALUE_PART.fullmatch(part):
            raise Fault(requirement, "a key with control characters")
        key, equals, value = part.partition("=")
        if equals:
            keys[key] = unescape(value)
    return keys


class Greeting:
    """A first line, read: `protocol`, `node`, `methods`, `framings`, `keys`."""

    def __init__(self, line):
        try:
            parts = line.decode()
        except UnicodeDecodeError:
            raise Fault("GREET-2", "the first line is not UTF-8") from None
        parts = parts.split(";")
        if len(parts) < 5:
            raise Fault("GREET-2", "the first line has fewer than five parts")
        self.protocol, version, self.node, methods, framings = parts[:5]
        if not re.fullmatch("aemp(-[A-Za-z0-9_]+)?", self.protocol):
            raise Fault("GREET-4", "another protocol")
        number = NUMBER.fullmatch(version)
        if not number:
            raise Fault("GREET-2", "a malformed version")
        if number[1].lstrip("0") != "1" or (number[2] or "").strip("0"):
            raise Fault("GREET-6", "another version")
        if not is_node_id(self.node):
            raise Fault("GREET-8", "a bad node ID")
        for names in (methods, framings):
            if not all(NAME.fullmatch(name) for name in names.split(",")):
                raise Fault("GREET-2", "a malformed list of names")
        self.methods = [name for name in methods.split(",") if name]
        self.framings = [name for name in framings.split(",") if name]
        self.keys = read_keys(parts[5:], "GREET-2")


def greeting_line(node, methods, framings, keys):
    """The first line to send [GREET-1] [GREET-3] [GREET-5]."""
    parts = ["aemp", "1", node, ",".join(methods), ",".join(framings)]
    return ";".join(parts + [f"{key}={escape(value)}" for key, value in keys.items()]).encode()


def decide(own, other):
    """Reads the two lines of the other side, and raises if one may not go on with them (section 2.4)."""
    greeting = Greeting(other[0])
    if other[1] == own[1]:
        raise Fault("NONCE-4" if other[0] == own[0] else "NONCE-5", "the other side has the same nonce")
    if greeting.node == Greeting(own[0]).node:
        raise Fault("GREET-9", "the other side has this node's own ID")
    return greeting


# ---- authentication (chapter 4) ----

SAFE_METHODS = ["tls_sha3_512", "hmac_sha3_512", "hmac_sha2_256"]       # in the order to offer them [AUTH-21]
SECRET_METHODS = ["hmac_sha3_512", "hmac_sha2_256", "cleartext"]        # those that require a secret


class AuthenticationLine:
    """An authentication line, read: `method`, `token`, `framing`, `keys`."""

    def __init__(self, line):
        try:
            parts = line.decode().split(";")
        except UnicodeDecodeError:
            raise Fault("AUTH-2", "the authentication line is not UTF-8") from None
        if len(parts) < 3:
            raise Fault("AUTH-2", "the authentication line has fewer than three parts")
        self.method, self.token, self.framing = parts[:3]
        if not all(name and NAME.fullmatch(name) for name in (self.method, self.framing)) or not VALUE_PART.fullmatch(self.token):
            raise Fault("AUTH-2", "a malformed authentication line")
        self.keys = read_keys(parts[3:], "AUTH-2")


def make_token(method, secret, sender, receiver):
    """The token of a side, from the greeting lines of both; roles as the sender of the token has them (section 4.2)."""
    if method in SECRET_METHODS and not secret:
        raise Fault("AUTH-20" if secret == b"" else "AUTH-19", f"{method} without a secret")
    transcript = b"".join(line + b"\n" for line in (*sender, *receiver))
    if method == "tls_sha3_512":
        return hashlib.sha3_512(transcript).hexdigest()
    if method == "hmac_sha3_512":
        return hmac.new(secret, transcript, hashlib.sha3_512).hexdigest()
    if method == "hmac_sha2_256":
        return hmac.new(secret, transcript, hashlib.sha256).hexdigest()
    if method == "cleartext":
        return secret.hex()
    if method == "tls_anon":
        return ""
    raise Fault("AUTH-8", f"{method} is not known")


def verify(line, own, other, known_secrets, tls=False):
    """Checks the other side's line; returns it, and the secret under which its token was right [SEC-6] [SEC-7]."""
    came, offer = AuthenticationLine(line), Greeting(own[0])
    if came.method not in offer.methods:
        raise Fault("AUTH-14", "a method that was not offered")
    if came.framing not in offer.framings:
        raise Fault("AUTH-15", "a framing that was not offered")
    if came.method.startswith("tls_") and not tls:
        raise Fault("AUTH-18", f"{came.method} without TLS")
    for secret in known_secrets or [None]:
        if hmac.compare_digest(make_token(came.method, secret, other, own).encode(), came.token.encode()):     # [AUTH-17]
            return came, secret
    raise Fault("AUTH-16", "the token is wrong: another secret?")


def choose(methods, framings, sends_methods, sends_framings, tls=False):
    """The method and the framing in which to send, from what the other side offers [AUTH-6] [AUTH-7] [AUTH-25]."""
    method = next((name for name in methods if name in sends_methods and (tls or not name.startswith("tls_"))), None)
    if not method:
        raise Fault("AUTH-8", "no method in common")
    usable = [name for name in framings if name in sends_framings]
    if not usable:
        raise Fault("AUTH-9", "no framing in common")
    return method, next((name for name in usable if name != "storable"), "storable")    # [STORABLE-15]


# ---- values (sections 5.5 and 5.6): None, bool, int, float, str, bytes, list, dict ----

INTEGERS = range(-(1 << 63), 1 << 64)
INTEGER_KINDS = {f"{sign}{bits}": range(-(1 << bits - 1), 1 << bits - 1) if sign == "i" else range(1 << bits)
                 for sign in "iu" for bits in (8, 16, 32, 64)} | {"integer": INTEGERS}
DECIMAL_INTEGER = re.compile(r"([-+]?)0*([0-9]+)")
DECIMAL_NUMBER = re.compile(r"[-+]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]+)?|inf|infinity|nan)", re.I | re.A)


def float_text(number):
    """A float as json writes it, with the fewest digits; the texts for those that json cannot write."""
    return repr(number) if math.isfinite(number) else "NaN" if number != number else "Inf" if number > 0 else "-Inf"


def convert(wanted, value):
    """What `value` stands for where a value of the kind `wanted` is expected [VALUE-5]; ValueError if nothing [VALUE-9]."""
    kind = type(value)
    text = value.decode("latin-1") if kind is bytes else value if kind is str else None
    if wanted == "bool":
        if kind is bool:
            return value
        if value is None or text in ("", "0") or kind is int and value == 0:
            return False
        if text == "1" or kind is int and value == 1:
            return True
    elif wanted in INTEGER_KINDS:
        if text is not None and (digits := DECIMAL_INTEGER.fullmatch(text)) and len(digits[2]) <= 20:
            value = int(digits[1] + digits[2])
        elif kind is float and value.is_integer():
            value = int(value)
        elif kind is not int:
            raise ValueError(wanted)
        if value in INTEGER_KINDS[wanted]:
            return value
    elif wanted in ("float", "f64"):
        if kind in (int, float):
            return float(value)
        if text is not None and DECIMAL_NUMBER.fullmatch(text):
            return float(text)
    elif wanted in ("text", "bytes"):
        if kind is bytes and wanted == "bytes":
            return value
        if kind in (bool, int, float):
            text = ("1" if value else "") if kind is bool else str(value) if kind is int else float_text(value)
        if text is not None:
            return text if wanted == "text" else text.encode("latin-1")          # UnicodeEncodeError is a ValueError
    raise ValueError(wanted)


def name_of(value):
    """A port name, port ID, tag or request as text [VALUE-7] [MSG-3]; None if it can be none [MSG-13]."""
    return convert("text", value) if type(value) in (str, bytes, int) else None


def text_of(value):
    """A value where a text is wanted, or None."""
    try:
        return convert("text", value)
    except ValueError:
        return None


def text_of_kind(value):
    """A text or bytes as text; None for anything else."""
    return name_of(value) if type(value) in (str, bytes) else None


def is_node_id(text):
    """Whether a text is a node ID [GREET-7] [GREET-25]."""
    return bool(NODE_ID.fullmatch(text)) and len(text.encode()) <= NAME_LIMIT


def split_port_id(value):
    """Node and port of a port ID [MSG-8] [MSG-9]; None if it is none [MSG-14]."""
    node, _, port = (name_of(value) or "").partition("#")
    return (node, port) if is_node_id(node) else None


def same(one, other):
    """Whether two values are of the same kind and say the same [DB-5]."""
    if type(one) is not type(other):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(map(same, one, other))
    if type(one) is dict:
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if type(one) is float:
        return float_text(one) == float_text(other)
    return one == other


def walk(value):
    """Yields every value in `value`, itself and the keys of maps included, with how deep it is nested."""
    stack = [(value, 1)]
    while stack:
        value, depth = stack.pop()
        yield value, depth
        if type(value) is dict:
            stack += ((key, 0) for key in value)
        if type(value) in (list, dict):
            stack += ((inner, depth + 1) for inner in (value.values() if type(value) is dict else value))


def size_of(value):
    """The size of a value as section 8.5 counts it; also what is kept for a peer is counted so."""
    total = 0
    for inner, _ in walk(value):
        total += 32
        text = inner.decode("latin-1") if type(inner) is bytes else inner
        if type(text) is str:
            total += len(text.encode()) + len(re.findall(r'["\\]', text)) + 5 * len(re.findall(r"[\x00-\x1f]", text))
    return total


# ---- framings (chapter 5): writing ----

def json_packet(packet):
    """A packet in json [JSON-1] [JSON-3]."""
    def plain(value):
        kind = type(value)
        if kind is list:
            return [plain(inner) for inner in value]
        if kind is dict:
            return {key: plain(inner) for key, inner in value.items()}
        if kind is bytes:
            return value.decode("latin-1")
        if kind is float and not math.isfinite(value):
            return float_text(value)                     # [JSON-7]
        return str(value) if kind is int and value not in INTEGERS else value
    return json.dumps(plain(packet), ensure_ascii=False, separators=(",", ":")).encode()


def cbor_packet(packet):
    """A packet in cbor [CBOR-1] [CBOR-6]."""
    out = bytearray()

    def head(major, argument):
        if argument < 24:
            out.append(major << 5 | argument)
        else:
            width = next(index for index in range(4) if argument < 1 << (8 << index))
            out.append(major << 5 | 24 + width)
            out.extend(argument.to_bytes(1 << width, "big"))

    def write(value):
        kind = type(value)
        if kind is str or kind is int and value not in INTEGERS:
            octets = str(value).encode()
            head(3, len(octets))
            out.extend(octets)
        elif kind is bytes:
            head(2, len(value))
            out.extend(value)
        elif kind is int:
            head(0, value) if value >= 0 else head(1, -1 - value)
        elif kind is list:
            head(4, len(value))
            for inner in value:
                write(inner)
        elif kind is dict:
            head(5, len(value))
            for key, inner in value.items():
                write(key)
                write(inner)
        elif kind is float:
            try:
                short = struct.pack(">f", value)         # [CBOR-11]
            except OverflowError:
                short = b""
            if value != value:
                out.extend(b"\xfa\x7f\xc0\x00\x00")
            elif short and struct.unpack(">f", short)[0] == value:
                out.extend(b"\xfa" + short)
            else:
                out.extend(b"\xfb" + struct.pack(">d", value))
        else:
            out.append({False: 0xf4, True: 0xf5, None: 0xf6}[value])
    write(packet)
    return bytes(out)


# ---- framings: reading ----

class PacketReader:
    """Reads packets from octets as they arrive, however they are split [FRAME-6].

    `packets`, of each framing, is a generator: it yields a packet, or None when it has used up what has arrived, `data[at:end]`. So it
    looks at each octet once, and finds a fault at the first octet that shows it [FRAME-9]. Nothing is allocated by announced lengths [LIMIT-6].
    """

    def __init__(self, limits=PACKET_LIMITS):
        self.limits = {**PACKET_LIMITS, **limits}
        self.data, self.at, self.end, self.begin, self.room = b"", 0, 0, 0, None
        self.parser = self.packets()

    def feed(self, octets):
        """Yields the packets that are complete now; raises a Fault behind the last one that is well-formed [FRAME-10]."""
        if self.room is not None:
            self.room -= self.end - self.begin
        self.data, self.at, self.begin = octets, 0, 0
        self.end = len(octets) if self.room is None else min(len(octets), self.room)
        while (packet := next(self.parser)) is not None:
            yield packet

    @property
    def incomplete(self):
        """Whether the octets so far end within a packet [FRAME-7]."""
        return self.room is not None

    def more(self):
        """Waits for another octet of this packet."""
        while self.at >= self.end:
            if self.end < len(self.data):
                raise Fault("LIMIT-2", "a packet of too many octets")
            yield None

    def start(self):
        """The octet at hand is the first of a packet."""
        self.begin, self.room = self.at, self.limits["octets"]
        self.end = min(len(self.data), self.at + self.room)
        self.values = 0

    def finish(self):
        """What stands before the octet at hand was the last of a packet."""
        self.room, self.end = None, len(self.data)

    def count(self, depth=0):
        """Counts a value or a key, and for arrays and maps their depth."""
        self.values += 1
        if self.values > self.limits["values"]:
            raise Fault("LIMIT-4", "a packet of too many values")
        if depth > self.limits["depth"]:
            raise Fault("LIMIT-3", "a packet that is nested too deep")


class JsonReader(PacketReader):
    SPACE = re.compile(rb"[ \t\r\n]*")
    SIMPLE_STRING = re.compile(rb'"([ !#-\[\]-\x7e]*)"')
    PLAIN = re.compile(rb'[^"\\\x00-\x1f]+')
    DIGITS = re.compile(rb"[0-9]+")
    ESCAPES = dict(zip(b'"\\/bfnrt', '"\\/\b\f\n\r\t'))
    # For each place in a number, what may come next, by kind of octet: where that leads. A number can end in "0", "1", "f" and "x".
    NUMBER = {"": {"-": "-", "0": "0", "1": "1"}, "-": {"0": "0", "1": "1"}, "0": {".": ".", "e": "e"}, "1": {"0": "1", "1": "1", ".": ".", "e": "e"},
              ".": {"0": "f", "1": "f"}, "f": {"0": "f", "1": "f", "e": "e"},
              "e": {"-": "s", "+": "s", "0": "x", "1": "x"}, "s": {"0": "x", "1": "x"}, "x": {"0": "x", "1": "x"}}
    KINDS = {**{octet: "1" for octet in b"123456789"}, 48: "0", 45: "-", 43: "+", 46: ".", 101: "e", 69: "e"}

    def packets(self):
        while True:
            self.at = self.SPACE.match(self.data, self.at, self.end).end()
            if self.at == self.end:
                yield None
                continue
            if (first := self.data[self.at:self.at + 1]) != b"[":
                raise Fault("FRAME-5" if first in b'{"-0123456789tfn' else "JSON-4", "a packet begins with [")
            self.start()
            yield (yield from self.packet())

    def packet(self):
        wanted = "value"                     # what comes next: value, value or ], key, key or }, colon, or comma (or the end)
        stack, keys, top, key = [], [], None, None
        while True:
            self.at = self.SPACE.match(self.data, self.at, self.end).end()
            if self.at >= self.end:
                yield from self.more()
                continue
            octet = self.data[self.at]
            if octet in b"]}" and (wanted == "comma" or wanted.endswith("end")):
                if (octet == 93) != (type(top) is list):
                    raise Fault("JSON-4", "another bracket is open")
                self.at += 1
                if not stack:
                    self.finish()
                    return top
                top, key, wanted = stack.pop(), keys.pop(), "comma"
            elif wanted == "comma" or wanted == "colon":
                if octet != (44 if wanted == "comma" else 58):
                    raise Fault("JSON-4", f"a {wanted} is missing")
                self.at += 1
                wanted = "key" if wanted == "comma" and type(top) is dict else "value"
            elif wanted.startswith("key"):
                if octet != 34:
                    raise Fault("JSON-4", "a key is missing")
                self.count()
                key, wanted = (yield from self.string()), "colon"
            else:
                container = octet in b"[{"
                self.count(len(stack) + 2 if container and top is not None else 0)
                if container:
                    value = [] if octet == 91 else {}
                    self.at += 1
                elif octet == 34:
                    value = yield from self.string()
                elif octet in b"-0123456789":
                    value = yield from self.number()
                else:
                    value = yield from self.literal()
                if type(top) is list:
                    top.append(value)
                elif top is not None:
                    top[key] = value                     # the last one counts [VALUE-4]
                wanted = "comma"
                if container:
                    if top is not None:
                        stack.append(top)
                        keys.append(key)
                    top, wanted = value, "value or end" if octet == 91 else "key or end"

    def literal(self):
        for word, value in ((b"true", True), (b"false", False), (b"null", None)):
            if self.data[self.at] == word[0]:
                for octet in word:
                    yield from self.more()
                    if self.data[self.at] != octet:
                        break
                    self.at += 1
                else:
                    return value
        raise Fault("JSON-4", "no value")

    def number(self):
        text, place = bytearray(), ""
        while True:
            if self.at >= self.end:
                yield from self.more()
            kind = self.KINDS.get(self.data[self.at])
            if kind is None:
                break
            place = self.NUMBER[place].get(kind)
            if place is None:
                raise Fault("JSON-4", "a malformed number")
            until = self.DIGITS.match(self.data, self.at, self.end).end() if place in ("1", "f", "x") else self.at + 1
            text += self.data[self.at:until]
            self.at = until
        if place not in ("0", "1", "f", "x"):
            raise Fault("JSON-4", "a malformed number")
        text = text.decode()
        if place in ("f", "x") or text == "-0" or "." in text or "e" in text.lower():
            return float(text)                           # [JSON-8] [JSON-9]
        return int(text) if len(text) <= 20 and int(text) in INTEGERS else text      # [VALUE-2]

    def string(self):
        if simple := self.SIMPLE_STRING.match(self.data, self.at, self.end):
            self.at = simple.end()
            return simple[1].decode()
        self.at += 1
        pieces, decoder, high = [], codecs.getincrementaldecoder("utf-8")(), None
        while True:
            if self.at >= self.end:
                yield from self.more()
            try:
                plain = self.PLAIN.match(self.data, self.at, self.end)
                text = decoder.decode(plain[0] if plain else b"", final=not plain)
            except UnicodeDecodeError:
                raise Fault("JSON-5", "a text is not UTF-8") from None
            octet = self.data[self.at]
            self.at = plain.end() if plain else self.at + 1
            if plain or octet != 92:
                if high is not None:
                    raise Fault("JSON-6", "half of a surrogate pair")
                if octet == 34:
                    return "".join(pieces)
                if not plain:
                    raise Fault("JSON-4", "a control character in a text")
                pieces.append(text)
                continue
            yield from self.more()
            octet = self.data[self.at]
            self.at += 1
            if octet == 117:                             # \u
                code = yield from self.surrogate(high)
                if high is not None:
                    code, high = 0x10000 + (high - 0xd800 << 10) + code - 0xdc00, None
                elif code in range(0xd800, 0xdc00):
                    high = code
                    continue
                pieces.append(chr(code))
            elif octet not in self.ESCAPES:
                raise Fault("JSON-4", "no such escape")
            elif high is not None:
                raise Fault("JSON-6", "half of a surrogate pair")
            else:
                pieces.append(self.ESCAPES[octet])

    def surrogate(self, high):
        """Four digits behind `\\u`; only the second half of a pair behind the first one, and nowhere else [JSON-6]."""
        digits = ""
        while len(digits) < 4:
            yield from self.more()
            digits += chr(self.data[self.at])
            self.at += 1
            if digits[-1] not in "0123456789abcdefABCDEF":
                raise Fault("JSON-4", "no hexadecimal digit")
            second = "dc" <= digits[:2].lower() <= "df"
            if (len(digits) > 1 and second != (high is not None)) or high is not None and digits[0] not in "dD":
                raise Fault("JSON-6", "half of a surrogate pair")
        return int(digits, 16)


class CborReader(PacketReader):
    BREAK = object()

    def packets(self):
        while True:
            if self.at == self.end:
                yield None
                continue
            self.start()
            packet = yield from self.packet()
            self.finish()
            yield packet

    def octets(self, length):
        """So many octets, a few."""
        taken = b""
        while len(taken) < length:
            yield from self.more()
            part = self.data[self.at:min(self.end, self.at + length - len(taken))]
            taken += part
            self.at += len(part)
        return taken

    def head(self):
        """Major type, argument (None: indefinite length, or break), and the width of the argument, behind any tags."""
        tagged = False
        while True:
            (initial,) = yield from self.octets(1)
            major, information = initial >> 5, initial & 31
            if information in (28, 29, 30) or information == 31 and (major in (0, 1, 6) or major == 7 and tagged and self.values):
                raise Fault("CBOR-3", "reserved additional information")
            if self.values == 0 and major not in (4, 6):
                raise Fault("FRAME-5", "a packet is an array")
            width = 1 << information - 24 if 24 <= information < 28 else 0
            if information == 31:
                argument = None
            else:
                argument = int.from_bytes((yield from self.octets(width)), "big") if width else information
            if major != 6:
                return major, argument, width
            tagged = True
            if argument in (2, 3, 25, 29):
                raise Fault("CBOR-14", f"the tag {argument}")        # all others are ignored [CBOR-5] [CBOR-7]

    def packet(self):
        top, left, key, stack = None, 0, None, []        # left: how many items, None for an indefinite length; key: None, or [key] before its value
        while True:
            while left == 0 and top is not None:
                if not stack:
                    return top
                top, left, key = stack.pop()
            major, argument, width = yield from self.head()
            if major == 7 and argument is None:
                if left is not None or key:
                    raise Fault("CBOR-3", "a break where none can be")
                left = 0
                continue
            is_key = type(top) is dict and key is None
            container = major in (4, 5)
            if container and is_key:
                raise Fault("CBOR-13", "an array or a map as a key")
            self.count(len(stack) + (2 if top is not None else 1) if container else 0)
            if left is not None:
                left -= 1
            if container:
                value = [] if major == 4 else {}
                if argument is not None:
                    argument *= 1 if major == 4 else 2
                    if argument > self.limits["values"] - self.values:
                        raise Fault("LIMIT-4", "a packet that announces too many values")      # [LIMIT-8]
            elif major in (2, 3):
                value = yield from self.string(major, argument)
            elif major == 7:
                value = yield from self.simple(argument, width)
            else:
                value = argument if major == 0 else -1 - argument
                if value not in INTEGERS:
                    value = str(value)                   # [VALUE-2]
            if is_key:
                key = ["" if value is None else convert("text", value)]      # [CBOR-12]
                continue
            if type(top) is list:
                top.append(value)
            elif top is not None:
                top[key[0]], key = value, None           # the last one counts [VALUE-4]
            if container:
                if top is not None:
                    stack.append((top, left, key))
                top, left, key = value, argument, None

    def simple(self, argument, width):
        if width > 1:
            return struct.unpack({2: ">e", 4: ">f", 8: ">d"}[width], argument.to_bytes(width, "big"))[0]
        if width == 1 and argument < 32:
            raise Fault("CBOR-3", "a simple value in too many octets")
        if argument not in (20, 21, 22, 23):
            raise Fault("CBOR-9", "an unassigned simple value")
        return {20: False, 21: True}.get(argument)       # [CBOR-8]
        yield

    def string(self, major, length):
        pieces = []
        if length is not None:
            yield from self.chunk(major, length, pieces)
        while length is None:                            # chunks of a definite length, until a break
            (initial,) = yield from self.octets(1)
            if initial == 0xff:
                break
            if initial >> 5 != major or initial & 31 > 27:
                raise Fault("CBOR-3", "no chunk of such a string")
            width = 1 << (initial & 31) - 24 if initial & 31 >= 24 else 0
            size = int.from_bytes((yield from self.octets(width)), "big") if width else initial & 31
            yield from self.chunk(major, size, pieces)
        return b"".join(pieces) if major == 2 else "".join(pieces)

    def chunk(self, major, length, pieces):
        if length > self.limits["octets"]:
            raise Fault("LIMIT-2", "a packet that announces too many octets")     # [LIMIT-8]
        decoder = codecs.getincrementaldecoder("utf-8")()
        while True:
            part = self.data[self.at:min(self.end, self.at + length)]
            self.at += len(part)
            length -= len(part)
            try:
                pieces.append(part if major == 2 else decoder.decode(part, final=length == 0))
            except UnicodeDecodeError:
                raise Fault("CBOR-4", "a text is not UTF-8") from None
            if length == 0:
                return
            yield from self.more()


READERS = {"json": JsonReader, "cbor": CborReader}
WRITERS = {"json": json_packet, "cbor": cbor_packet}


def fits(packet, octets=None):
    """Whether a packet, of so many octets or in any framing, keeps within the limits that every receiver has [LIMIT-5]."""
    if (max(len(write(packet)) for write in WRITERS.values()) if octets is None else octets) > PACKET_LIMITS["octets"]:
        return False
    values = depth = 0
    for inner, level in walk(packet):
        values += 1
        depth = max(depth, level if type(inner) in (list, dict) else 0)
    return values <= PACKET_LIMITS["values"] and depth <= PACKET_LIMITS["depth"]


def route(packet):
    """The port that a packet is for, and its elements: ("", […]) is the node port; None for a keepalive or what no port can get."""
    if not packet:
        return None                                      # [MSG-4]
    port = "" if packet[0] is None else name_of(packet[0])       # [MSG-2]
    if port == "" and (len(packet) < 2 or packet[1] in (None, "", b"")):
        return None
    return None if port is None else (port, packet[1:])          # [MSG-13]


# ---- the event loop: sockets, timers, and what is to be done, one after the other ----

class Timer:
    def __init__(self, call):
        self.call = call

    def cancel(self):
        self.call = None


class Loop:
    """Everything happens in one thread. `tasks` keeps the order of what arrived and what was sent locally [NODE-2] [PORT-4]."""

    BUSY = 5000                              # with so many tasks waiting, nothing more is read

    def __init__(self):
        self.selector, self.tasks = selectors.DefaultSelector(), collections.deque()
        self.timers, self.order, self.unsent = [], itertools.count(), set()
        self.wake_receiver, self.wake_sender = socket.socketpair()
        self.selector.register(self.wake_receiver, selectors.EVENT_READ, lambda events: self.wake_receiver.recv(4096))

    def later(self, seconds, call):
        timer = Timer(call)
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.order), timer))
        return timer

    def soon(self, call, *arguments):
        self.tasks.append((call, arguments))

    def in_thread(self, work, done):
        """Calls `done` with what `work` returns, which may take its time."""
        def run():
            self.soon(done, work())
            self.wake_sender.send(b".")
        threading.Thread(target=run, daemon=True).start()

    def run(self):
        while True:
            while self.unsent:
                self.safely(self.unsent.pop().flush)
            timeout = 0 if self.tasks else max(0, self.timers[0][0] - time.monotonic()) if self.timers else None
            for key, events in self.selector.select(timeout):
                self.safely(key.data, events)
            while self.timers and self.timers[0][0] <= time.monotonic():
                if call := heapq.heappop(self.timers)[2].call:
                    self.safely(call)
            for _ in range(min(1000, len(self.tasks))):
                call, arguments = self.tasks.popleft()
                self.safely(call, *arguments)

    def safely(self, call, *arguments):
        """Calls something. A fault of this program is reported, and ends neither the node nor its other connections."""
        try:
            call(*arguments)
        except Exception:
            sys.stderr.write(traceback.format_exc())


def report(text):
    """Tells the operator [ERR-2]; what comes from others is shown so that it does nothing to a terminal [LOG-14]."""
    sys.stderr.write("".join(character if character.isprintable() else "?" for character in text[:500]) + "\n")


# ---- connections (chapters 2, 4, 5 and 11): one transport connection, from its first octet to its last ----

class Connection:
    """The state is that of the table in section 2.5; what concerns more than one connection is for the node to decide."""

    def __init__(self, node, transport, opener, dial=None):
        self.node, self.loop, self.transport, self.opener, self.dial = node, node.loop, transport, opener, dial
        self.state, self.greeting, self.lines, self.other, self.known_secret = "opening", None, LineReader(), [], None
        self.sent_line = self.verified = self.broken = False
        self.reader = self.write = None
        self.out, self.unlimited, self.heard, self.asked = bytearray(), 0, time.monotonic(), 0.0
        self.events = selectors.EVENT_WRITE if opener else selectors.EVENT_READ
        self.loop.selector.register(transport, self.events, self.ready)
        self.timer = Timer(None)
        if not opener:
            self.greet()

    def __str__(self):
        return self.greeting.node if self.greeting else "a connection that was " + ("opened" if self.opener else "accepted")

    def greet(self):
        """Sends both lines at once [CONN-1], with a nonce from the operating system [NONCE-1] [SEC-2]."""
        try:
            host, port = self.transport.getpeername()[:2]
        except OSError as error:
            return self.close(error)
        keys = {"provider": f"aemp-python-{VERSION}", "peeraddr": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
                "mproto": "1", "gproto": "1", "arbiter": "1"}
        self.own = [greeting_line(self.node.id, self.node.methods, self.node.framings, keys), secrets.token_urlsafe(48).encode()]
        self.state = "greeting"
        self.timer = self.loop.later(self.node.timeouts["handshake"], lambda: self.close(Fault("LIMIT-1", "the handshake takes too long")))
        self.send_octets(self.own[0] + b"\n" + self.own[1] + b"\n")
        self.watch_events()

    # sockets

    def ready(self, events):
        if self.state == "opening":
            if error := self.transport.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                return self.close(OSError(error, os.strerror(error)))
            self.greet()
        if events & selectors.EVENT_WRITE and self.state != "closed":
            self.flush()
        if events & selectors.EVENT_READ and self.state not in ("opening", "closed", "ending") and len(self.loop.tasks) < Loop.BUSY:
            try:
                octets = self.transport.recv(65536)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                return self.end(error)
            self.heard = time.monotonic()
            if octets and self.state == "up":
                self.node.heard(self)
            try:
                self.arrived(octets)
            except Fault as fault:
                self.end(fault)
            else:
                if not octets:
                    within = self.reader and self.reader.incomplete
                    self.end(Fault("FRAME-7", "the connection ended within a packet") if within else EOFError("the other side has closed"))

    def watch_events(self):
        """Reads unless there is enough to think about [LIMIT-7], and writes if there is something to be written."""
        if self.state in ("opening", "closed", "ending"):
            return
        held = self.state != "up" and len(self.lines.rest) > 65536
        events = (0 if held else selectors.EVENT_READ) | (selectors.EVENT_WRITE if self.out and not self.broken else 0)
        if events != self.events:
            if self.events:
                self.loop.selector.unregister(self.transport)
            if events:
                self.loop.selector.register(self.transport, events, self.ready)
            self.events = events

    def send_octets(self, octets):
        self.out += octets
        self.loop.unsent.add(self)

    def flush(self):
        """Writes what the system takes. After an error nothing more is written, but what has arrived is still read [CONN-10]."""
        try:
            while self.out and not self.broken:
                sent = self.transport.send(memoryview(self.out)[:262144])
                del self.out[:sent]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self.broken = True
        self.unlimited = min(self.unlimited, len(self.out))
        self.watch_events()

    def send(self, packet, unlimited=False):
        """Sends a packet. `unlimited` ones do not count for the limit of what may wait: the database of the node itself [PEER-3]."""
        if self.state not in ("up", "ending") or self.broken:
            return                                       # lost, with the run that has ended [PEER-4]
        octets = self.write(packet)
        if not fits(packet, len(octets)):
            return self.node.log(5, f"a message to {self} is not sent: it is too large [LIMIT-5]")
        self.send_octets(octets)
        self.unlimited += len(octets) if unlimited else 0
        if len(self.out) - self.unlimited > self.node.limits["waiting"]:
            self.flush()
            if len(self.out) - self.unlimited > self.node.limits["waiting"]:
                self.broken = True
                self.end(Fault("PEER-3", "too much waits for this peer"))

    def end(self, why):
        """Closes once all that arrived before has been delivered [CONN-10] [FRAME-10]."""
        if self.state == "up":
            self.loop.selector.unregister(self.transport) if self.events else None
            self.events, self.state = 0, "ending"
            self.loop.soon(self.close, why)
        elif self.state != "ending":
            self.close(why)

    def close(self, why):
        """Ends the transport connection, and tells the node. The peer is told nothing [ERR-1]."""
        if self.state == "closed":
            return
        self.flush()
        before, self.state = self.state, "closed"
        self.timer.cancel()
        if self.events:
            self.loop.selector.unregister(self.transport)
        self.events = 0
        self.out.clear()
        self.transport.close()
        if not isinstance(why, (EOFError, type(None))) and not (before == "opening" and isinstance(why, OSError)):
            self.node.log(5, f"closed {self}: {why}")
        self.node.closed(self, str(why), before in ("up", "ending"))

    # phases

    def arrived(self, octets):
        """Takes octets as the phase wants them, in whatever pieces they come [CONN-7]."""
        if self.state == "up":
            for packet in self.reader.feed(octets):
                self.loop.soon(self.node.packet, self, packet)
            return
        self.lines.rest += octets
        if self.state == "greeting":
            while len(self.other) < 2 and (line := self.lines.take()) is not None:
                self.other.append(line)
                if len(self.other) == 1:
                    Greeting(line)
            if len(self.other) == 2:
                self.greeting = Greeting(self.other[0])
                if self.greeting.protocol != "aemp":
                    raise Fault("GREET-4", "another protocol")
                try:
                    decide(self.own, self.other)
                except Fault as fault:
                    self.node.refused(self, fault)
                    raise
                self.state = "greeted"
                self.node.greeted(self)                  # which calls go_on or close, now or later [GREET-19]
        elif self.state == "authenticating":
            self.authenticate()
        self.watch_events()

    def go_on(self):
        """Leaves the greeting behind; the opener proves itself first [AUTH-3] [AUTH-4]."""
        try:
            self.method, self.framing = choose(self.greeting.methods, self.greeting.framings, self.node.methods, self.node.framings)
            self.state = "authenticating"
            if self.opener:
                self.send_line()
            self.authenticate()
        except Fault as fault:
            self.close(fault)

    def send_line(self):
        token = make_token(self.method, self.known_secret or self.node.secret, self.own, self.other)       # [SEC-7]
        self.sent_line = True
        self.send_octets(f"{self.method};{token};{self.framing}\n".encode())

    def authenticate(self):
        if not self.verified and (line := self.lines.take()) is not None:
            came, self.known_secret = verify(line, self.own, self.other, self.node.secrets)
            self.framing_in, self.verified = came.framing, True
            self.node.verified(self)                     # which calls come_up, now or later

    def come_up(self):
        if not self.sent_line:
            self.send_line()
        self.timer.cancel()
        self.state, self.since = "up", time.monotonic()
        self.reader, self.write = READERS[self.framing_in](self.node.limits), WRITERS[self.framing]
        self.node.up(self)
        behind, self.lines.rest = self.lines.rest, b""   # [AUTH-11]
        self.watch_events()
        self.listen_for_life()
        try:
            self.arrived(behind)
        except Fault as fault:
            self.end(fault)

    def ask_for_life(self):
        self.asked = time.monotonic()
        self.send(["", "snd", self.node.id])

    def listen_for_life(self):
        """Asks a silent peer for a sign of life, and gives it up without one [PEER-10]."""
        if self.state != "up":
            return
        now, half = time.monotonic(), self.node.timeouts["silence"] / 2
        if self.asked <= self.heard and now - self.heard >= half:
            self.ask_for_life()
        elif self.asked > self.heard and now - self.asked >= half:       # a busy node may come here late: the answer has its time still
            return self.end(Fault("PEER-10", "no sign of life"))
        since = self.asked if self.asked > self.heard else self.heard
        self.timer = self.loop.later(since + half - now + 0.01, self.listen_for_life)


class Dial:
    """Tries addresses in turn until a connection to `wanted`, or for a seed (None) to anyone, has greeted; then says `done`, with success or not."""

    PATIENCE = 5.0                           # seconds until the next address is tried, while nothing greets at this one

    def __init__(self, node, addresses, wanted, done, patience=PATIENCE):
        self.node, self.addresses, self.wanted, self.done, self.patience = node, list(addresses), wanted, done, patience
        self.connection = self.timer = None
        self.ended = False
        node.loop.soon(self.next)

    def next(self):
        if self.timer:
            self.timer.cancel()
        if self.ended:
            return
        if not self.addresses:
            return self.stop(False)
        host, colon, port = self.addresses.pop(0).rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        self.timer = self.node.loop.later(self.patience, self.too_slow)
        self.attempt = attempt = object()

        def resolve():
            try:
                return socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
            except (OSError, ValueError, UnicodeError):
                return None
        try:
            socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)
        except (OSError, ValueError, UnicodeError):
            self.node.loop.in_thread(resolve, lambda found: self.open(found, attempt))      # names may take their time
        else:
            self.node.loop.soon(self.open, resolve(), attempt)

    def open(self, found, attempt):
        if self.ended or attempt is not self.attempt:
            return
        try:
            family, kind, protocol, _, address = found or (None,) * 5
            if found is None or address[1] == 0:
                raise OSError("no such address")
            transport = socket.socket(family, kind, protocol)
            try:
                transport.setblocking(False)
                transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                transport.connect_ex(address)
                self.connection = Connection(self.node, transport, True, self)
            except BaseException:
                transport.close()
                raise
        except (OSError, OverflowError):
            self.next()

    def too_slow(self):
        if self.connection and not self.connection.greeting:
            self.connection.close(EOFError("too slow"))
        elif not self.connection:
            self.next()

    def failed(self, connection):
        """The node tells that a connection of this dial has ended before it was up."""
        if connection is self.connection:
            self.connection = None
            self.next()

    def stop(self, success):
        if not self.ended:
            self.ended = True
            if self.timer:
                self.timer.cancel()
            connection, self.connection = self.connection, None
            if connection and not connection.greeting:
                connection.close(EOFError("not wanted any more"))
            self.done(success)


# ---- the database (chapter 8) ----

FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9_:]*|'[A-Za-z]+")
MISSING = object()
ENTRY_SIZE, ENTRY_DEPTH = 524_288, 256                   # of a key with its value [DB-30]
CHUNK_SIZE = 900_000                                     # of the entries in one packet [DB-27]
REQUESTS_OF_GLOBALS = {"g_set", "g_upd", "g_find", "g_db_family", "g_db_keys", "g_db_values", "g_mon1", "g_mon0"}     # [GLOBAL-3]
GLOBAL_REQUESTS = REQUESTS_OF_GLOBALS | {"g_slave", "g_global", "g_found", "g_reply", "g_chg1", "g_chg2"}


def texts(value):
    """The texts in an array of addresses; None if it is none."""
    return [text for text in map(text_of_kind, value) if text] if type(value) is list else None


def is_family(text):
    return text is not None and len(text) <= 256 and bool(FAMILY.fullmatch(text))


def entry_size(key, value):
    """The size of an entry, or None if it is too large."""
    size = size_of(key) + size_of(value)
    deep = any(depth > ENTRY_DEPTH for inner, depth in walk(value) if type(inner) in (list, dict))
    return None if size > ENTRY_SIZE or deep else size


def is_database(value):
    return type(value) is dict and all(type(entries) is dict for entries in value.values())


def read_changes(entries, deleted):
    """What a request sets and deletes, without what is not allowed: {key: value or MISSING} [DB-2] [DB-6] [DB-31]; None if malformed [DB-1]."""
    if type(entries) not in (dict, type(None)) or type(deleted) not in (list, type(None)):
        return None
    changes = {key: MISSING for name in deleted or [] if (key := text_of(name))}
    for key, value in (entries or {}).items():
        if key:
            changes[key] = value if entry_size(key, value) is not None else MISSING
    return changes


def difference(old, changes):
    """Applies changes to a dict of entries; returns what was added, what has another value, and what is gone."""
    added, changed, deleted = {}, {}, []
    for key in sorted(changes):
        before, value = old.get(key, MISSING), changes[key]
        if value is MISSING and before is not MISSING:
            deleted.append(key)
            del old[key]
        elif value is not MISSING and (before is MISSING or not same(before, value)):
            (added if before is MISSING else changed)[key] = value
            old[key] = value
    return added, changed, deleted


def all_changes(old, new):
    """The changes that make `old` into `new`."""
    return {**{key: MISSING for key in old}, **new}


def in_packets(changes):
    """Splits changes of one family so that each part fits into a packet [DB-27]; yields what to set and what to delete."""
    entries, deleted, size = {}, [], 0
    for key, value in sorted(changes.items()):
        more = size_of(key) + (0 if value is MISSING else size_of(value))
        if size + more > CHUNK_SIZE:
            yield entries, deleted
            entries, deleted, size = {}, [], 0
        size += more
        deleted.append(key) if value is MISSING else entries.__setitem__(key, value)
    yield entries, deleted


class Shard:
    """What a global holds from one other node; counted for [DB-28]."""

    def __init__(self):
        self.families, self.entries, self.size = {}, 0, 0

    def put(self, family, key, value):
        entries = self.families.setdefault(family, {})
        for known, sign in ((entries.pop(key, MISSING), -1), (value, 1)):
            if known is not MISSING:
                self.entries += sign
                self.size += sign * (size_of(key) + size_of(known))
        if value is not MISSING:
            entries[key] = value
        if not entries:
            del self.families[family]

    def keys(self):
        return {family: set(entries) for family, entries in self.families.items()}


class Link:
    """What the database knows of a node to which there is a connection."""

    def __init__(self, connection):
        self.speaks = self.can_be_master = connection.greeting.keys.get("gproto") == "1"      # [GLOBAL-2] [GLOBAL-10]
        self.said_global = self.told_global = self.got_part = self.asked = False
        self.watched = set()


class View:
    """What this node knows of a family that it watches."""

    def __init__(self):
        self.watches, self.entries = [], None
        self.heard, self.query, self.gathered = False, None, {}      # from the present master: contents; [DB-32]


class Database:
    """One node's part in the global protocol. `node` sends, searches and dials."""

    QUERIES = 10_000                         # that may wait for an answer [FIND-9]
    REMEMBERED = 1000                        # lost globals at once, with so many addresses each, of so many octets [GLOBAL-22]
    ADDRESSES, ADDRESS_OCTETS = 32, 260
    MEMORY = 600                             # seconds for which one is remembered [GLOBAL-20]

    def __init__(self, node):
        self.node, self.loop = node, node.loop
        self.own = {"'l": {node.id: node.addresses}}     # [DB-4]
        self.links = {}                                  # by node ID
        self.is_global, self.master = False, None
        self.shards, self.part, self.values = {}, {}, {}             # of a global: section 8.5
        self.views, self.queries, self.ids = {}, {}, itertools.count(1)
        self.remembered = {}                             # lost globals: their last addresses, and a timer [GLOBAL-20]

    def send(self, peer, name, *arguments, unlimited=False):
        self.node.send(peer, "", [name, *arguments], unlimited)

    # nodes come and go (sections 8.3 and 8.4)

    def up(self, peer, connection):
        self.links[peer] = Link(connection)
        self.greet(peer)

    def greet(self, peer):
        """Says to a node what it has to know, as soon as it may be spoken to."""
        link = self.links[peer]
        if link.speaks:
            if self.is_global and not link.told_global:
                link.told_global = True
                self.send(peer, "g_global")              # [GLOBAL-15]
            if peer in self.node.seed_nodes() and not link.asked:
                link.asked = True
                self.send(peer, "g_slave")               # [GLOBAL-7]
            self.find_master()

    def seed(self, peer):
        """A seed turns out to be `peer`."""
        if peer == self.node.id:
            return self.become_global()                  # [GLOBAL-6]
        if peer in self.links:
            self.greet(peer)

    def find_master(self):
        if self.is_global or self.master:
            return
        fit = [peer for peer, link in self.links.items() if peer in self.node.seed_nodes() and link.can_be_master]
        self.master = fit[0] if fit else None            # [GLOBAL-9] [GLOBAL-12]
        if self.master:                                  # [GLOBAL-11]
            self.send_database("g_slave", self.master, self.own)
            for family, view in self.views.items():
                view.heard, view.query, view.gathered = False, None, {}
                if is_family(family):
                    self.send(self.master, "g_mon1", family)
                    if view.entries is not None:
                        view.query = self.new_id()
                        self.send(self.master, "g_db_keys", family, view.query)      # [DB-32]
            for query, (kind, family, _) in self.queries.items():
                self.send(self.master, kind, family, query)
            for search in self.node.unanswered():
                self.send(self.master, "g_find", search)

    def down(self, peer):
        link = self.links.pop(peer)
        if peer == self.master:
            self.master = None
            self.find_master()
        if self.is_global:
            if link.said_global:
                self.remember(peer, self.own["'l"].get(peer))
            self.forget(peer, link.said_global)
            self.node.look_after_globals()

    def remember(self, peer, addresses):
        """A global is lost: remembers where it was, if there is anything to try [GLOBAL-20] [GLOBAL-22]."""
        addresses = [text for text in texts(addresses) or [] if len(text.encode()) <= self.ADDRESS_OCTETS][:self.ADDRESSES]
        if addresses:
            self.remembered[peer] = addresses, self.loop.later(self.MEMORY, lambda: self.time_is_over(peer))
        if len(self.remembered) > self.REMEMBERED:
            self.remember_no_more(next(iter(self.remembered)))

    def remember_no_more(self, peer):
        if peer in self.remembered:
            self.remembered.pop(peer)[1].cancel()

    def time_is_over(self, peer):
        self.remember_no_more(peer)                      # [GLOBAL-21]
        self.node.look_after_globals()

    def become_global(self):
        if self.is_global:
            return
        self.is_global, self.master = True, None         # [GLOBAL-14]
        self.own["'g"] = {peer: None for peer in (self.node.id, *(peer for peer, link in self.links.items() if link.said_global))}    # [DB-13]
        self.refresh({family: set(entries) for family, entries in self.own.items()}, quiet=True)
        for family, view in self.views.items():
            self.tell(view, all_changes(view.entries or {}, self.values.get(family, {})))
        for peer in list(self.links):
            self.greet(peer)
        for peer, link in list(self.links.items()):
            if link.said_global:
                self.send_part(peer)                     # [GLOBAL-16]
        waiting, self.queries = self.queries, {}
        for kind, family, done in waiting.values():
            done(self.answer(kind, family))
        for search in self.node.unanswered():
            self.find(search)
        self.node.look_after_globals()

    def send_part(self, peer):
        self.links[peer].got_part = True
        own = {name: value for name, value in self.own.get("'l", {}).items() if name == self.node.id}
        self.send_database("g_set", peer, self.part, {"'l": own} if own else {})

    def send_database(self, request, peer, families, in_each={}):
        """Sends a database in one packet, or in several if it is large, with the entries `in_each` in each of them [DB-35]. It does not count for
        what may wait [PEER-3]."""
        packet, size = {}, 0

        def send():
            for family, entries in in_each.items():
                packet[family] = {**packet.get(family, {}), **entries}
            self.send(peer, request, packet, unlimited=True)

        for family, entries in families.items():
            for part, _ in in_packets(entries):
                more = sum(size_of(key) + size_of(value) for key, value in part.items())
                if packet and size + more > CHUNK_SIZE:
                    send()
                    packet, size = {}, 0
                if part:
                    packet[family] = part
                    size += more + size_of(family)
        if packet:
            send()

    # what a global computes (section 8.5)

    def refresh(self, keys, quiet=False):
        """Computes the part and the values again for these keys {family: {key}}, and tells globals and watchers what has changed."""
        globals_ = sorted([self.node.id, *(peer for peer in self.shards if self.links[peer].said_global)])
        slaves = sorted(peer for peer in self.shards if not self.links[peer].said_global)
        for family, names in keys.items():
            part_changes, value_changes = {}, {}
            held = {peer: shard.families[family] for peer, shard in self.shards.items() if family in shard.families}
            own = self.own.get(family, {})
            for key in names:
                part = next((held[peer][key] for peer in slaves if peer in held and key in held[peer]), own.get(key, MISSING))
                value = MISSING
                for peer in globals_:
                    value = part if peer == self.node.id else held.get(peer, {}).get(key, MISSING)
                    if value is not MISSING:
                        break
                part_changes[key], value_changes[key] = part, value
            for old, changes, tell in ((self.part, part_changes, self.tell_globals), (self.values, value_changes, self.tell_watchers)):
                added, changed, deleted = difference(old.setdefault(family, {}), changes)
                if not old[family]:
                    del old[family]
                if (added or changed or deleted) and not quiet:          # [DB-11]
                    tell(family, {**added, **changed, **{key: MISSING for key in deleted}})

    def tell_globals(self, family, changes):
        for peer, link in list(self.links.items()):
            if link.got_part:
                for entries, deleted in in_packets(changes):
                    self.send(peer, "g_upd", family, entries, deleted)       # [DB-10]

    def tell_watchers(self, family, changes):
        for peer, link in list(self.links.items()):
            if family in link.watched:
                for entries, deleted in in_packets(changes):
                    self.send(peer, "g_chg2", family, entries, deleted)      # [DB-17]
        if family in self.views:
            self.tell(self.views[family], changes)

    def forget(self, peer, was_global):
        """Forgets the shard of a node, and with a global what was mirrored of it [DB-9]."""
        shard = self.shards.pop(peer, None)
        keys = collections.defaultdict(set, shard.keys() if shard else {})
        if was_global:
            for family in ("'g", "'l"):
                self.own[family].pop(peer, None)
                keys[family].add(peer)
        self.refresh(keys)

    def merge(self, peer, database):
        """Puts what a node has sent, {family: {key: value or MISSING}}, into its shard [DB-7]."""
        shard = self.shards.setdefault(peer, Shard())
        here = {node for node, value in database.get("'l", {}).items() if value is not MISSING} - shard.families.get("'l", {}).keys()
        for family, changes in database.items():
            for key, value in changes.items():
                shard.put(family, key, value)
        if shard.entries > self.node.limits["entries"] or shard.size > self.node.limits["entry_octets"]:
            return self.node.close(peer, Fault("DB-28", "too much in the database"))
        keys = {family: set(changes) for family, changes in database.items()}
        if self.links[peer].said_global and peer in database.get("'l", {}):
            addresses = shard.families.get("'l", {}).get(peer, MISSING)      # [DB-14]
            self.own["'l"].pop(peer, None)
            if addresses is not MISSING:
                self.own["'l"][peer] = addresses
        self.refresh(keys)
        for node in here - self.listed_globals():        # it is back, and not global [GLOBAL-21]
            self.remember_no_more(node)
        if "'g" in keys or "'l" in keys:
            self.node.look_after_globals()

    # requests (section 8.2)

    def request(self, peer, name, arguments):
        """A request of a peer; what it cannot use, it ignores [NODE-1]."""
        link = self.links[peer]
        self.remember_no_more(peer)                      # it is back, as a global or not [GLOBAL-21]
        if not link.speaks:
            link.speaks = True                           # [GLOBAL-2]
            self.greet(peer)
        if name in REQUESTS_OF_GLOBALS and not self.is_global:
            return                                       # [GLOBAL-3]
        if name in ("g_chg1", "g_chg2", "g_reply", "g_found") and (self.is_global or peer != self.master):
            return                                       # [GLOBAL-13]
        getattr(self, name)(peer, link, *arguments[:3], *[None] * (3 - len(arguments)))

    def g_slave(self, peer, link, database, *_):
        if database is not None and not is_database(database):
            return
        self.become_global()                             # [GLOBAL-8]
        if database is not None:
            self.g_merge(peer, database)

    def g_set(self, peer, link, database, *_):
        if link.said_global and is_database(database):   # [DB-8]
            self.g_merge(peer, database)

    def g_merge(self, peer, database):
        self.merge(peer, {family: read_changes(entries, None) for family, entries in database.items() if is_family(family)})

    def g_upd(self, peer, link, family, entries, deleted):
        changes = read_changes(entries, deleted)
        if changes is not None and is_family(family := text_of(family)):
            self.merge(peer, {family: changes})

    def g_global(self, peer, link, *_):
        if link.said_global:
            return                                       # [DB-34]
        if not self.is_global:
            link.said_global = True
            return
        link.watched.clear()                             # [GLOBAL-17]
        self.forget(peer, False)
        link.said_global = True
        self.own["'g"][peer] = None
        self.refresh({"'g": {peer}})
        self.send_part(peer)
        self.node.look_after_globals()

    def g_find(self, peer, link, wanted, *_):
        wanted = text_of(wanted)
        if wanted is not None and is_node_id(wanted):
            self.send(peer, "g_found", wanted, self.addresses(wanted))

    def addresses(self, node):
        """The addresses of a node in the database, or None [FIND-2]."""
        return texts(self.values.get("'l", {}).get(node))

    def last_addresses(self, node):
        """Where to try a node: where the database says, or else where a lost global was last [GLOBAL-20]."""
        found = self.addresses(node)
        return self.remembered[node][0] if found is None and node in self.remembered else found

    def g_found(self, peer, link, wanted, addresses, *_):
        if addresses is None or type(addresses) is list:         # [FIND-3]
            self.node.found(text_of(wanted), texts(addresses))

    def g_db(kind):
        def request(self, peer, link, family, query, *_):
            family, query = text_of(family), text_of(query)
            if family is not None and query is not None:
                answer = self.answer(kind, family)
                self.send(peer, "g_reply", query, answer if fits(["", "g_reply", query, answer]) else None)     # [DB-26]
        return request

    g_db_family, g_db_keys, g_db_values = g_db("g_db_family"), g_db("g_db_keys"), g_db("g_db_values")

    def answer(self, kind, family):
        entries = dict(sorted(self.values.get(family, {}).items()))      # [DB-23]
        return entries if kind == "g_db_family" else list(entries) if kind == "g_db_keys" else list(entries.values())

    def g_mon1(self, peer, link, family, *_):
        family = text_of(family)
        if not is_family(family):
            if family is not None:
                self.send(peer, "g_chg1", family, None)          # [DB-33]
            return
        link.watched.add(family)
        if len(link.watched) > self.node.limits["families"]:
            return self.node.close(peer, Fault("DB-29", "too many families watched"))
        first = True
        for entries, _ in in_packets(self.values.get(family, {})):       # [DB-16] [DB-27]
            self.send(peer, *(("g_chg1", family, entries or None) if first else ("g_chg2", family, entries, [])))
            first = False

    def g_mon0(self, peer, link, family, *_):
        link.watched.discard(text_of(family))

    def g_chg1(self, peer, link, family, entries, *_):
        view, changes = self.views.get(text_of(family)), read_changes(entries, None)
        if view and changes is not None:
            view.heard = True
            if view.query:
                view.gathered = {}
                difference(view.gathered, changes)
            else:
                self.tell(view, all_changes(view.entries or {}, changes))

    def g_chg2(self, peer, link, family, entries, deleted):
        view, changes = self.views.get(text_of(family)), read_changes(entries, deleted)
        if view and view.heard and changes is not None:          # [DB-19]
            if view.query:
                difference(view.gathered, changes)
            else:
                self.tell(view, changes)

    def g_reply(self, peer, link, query, result, *_):
        query = text_of(query)
        for view in self.views.values():
            if view.query and view.query == query:
                view.query = None
                return self.tell(view, all_changes(view.entries, view.gathered))     # [DB-21]
        if query in self.queries:
            kind, _, done = self.queries[query]
            if kind == "g_db_keys" and type(result) is list:
                keys = [name_of(key) for key in result]
                result = keys if None not in keys else ""
            if result is None or type(result) is (dict if kind == "g_db_family" else list):      # [DB-25]
                del self.queries[query]
                done(result)

    # what the programs of this node want

    def set(self, family, entries, deleted=()):
        """Sets and deletes entries of this node's own; returns whether that is allowed [DB-3] [DB-30]."""
        if not is_family(family) or family.startswith("'") or not all(entries) or None in map(entry_size, entries, entries.values()):
            return False
        own = self.own.setdefault(family, {})
        added, changed, deleted = difference(own, {**{key: MISSING for key in deleted}, **entries})
        if not own:
            del self.own[family]
        if self.is_global:
            self.refresh({family: {*added, *changed, *deleted}})
        elif self.master and (added or changed or deleted):      # [DB-5]
            self.send(self.master, "g_upd", family, {**added, **changed} or None, *([deleted] if deleted else []))
        return True

    def watch(self, family, told):
        """Calls `told(added, changed, deleted)`: first with all that is there, then with each change [DB-20]."""
        view = self.views.get(family)
        if not view:
            view = self.views[family] = View()
            if self.is_global or not is_family(family):
                view.entries = dict(self.values.get(family, {}))
            elif self.master:
                self.send(self.master, "g_mon1", family)         # [DB-15]
        if view.entries is not None:
            entries = dict(view.entries)
            self.loop.soon(lambda: told in view.watches and told(entries, {}, []))
        view.watches.append(told)

    def unwatch(self, family, told):
        view = self.views[family]
        view.watches.remove(told)
        if not view.watches:
            del self.views[family]
            if self.master and is_family(family):
                self.send(self.master, "g_mon0", family)

    def tell(self, view, changes):
        first = view.entries is None
        view.entries = view.entries or {}
        added, changed, deleted = difference(view.entries, changes)
        if first or added or changed or deleted:
            for told in list(view.watches):
                self.loop.soon(lambda told=told: told in view.watches and told(added, changed, deleted))

    def new_id(self):
        return f"{self.node.prefix}{next(self.ids)}"     # [DB-24]

    def ask(self, kind, family, done):
        """Asks for the entries, keys or values of a family: calls `done` with the answer, None if it failed."""
        if self.is_global or not is_family(family):
            return self.loop.soon(done, self.answer(kind, family))
        if len(self.queries) >= self.QUERIES:
            return self.loop.soon(done, None)
        query = self.new_id()
        self.queries[query] = kind, family, done
        if self.master:
            self.send(self.master, kind, family, query)

    def find(self, wanted):
        """Asks where a node is; the answer goes to `node.found` [FIND-1]."""
        if self.is_global:
            self.loop.soon(self.node.found, wanted, self.last_addresses(wanted))
        elif self.master:
            self.send(self.master, "g_find", wanted)

    def listed_globals(self):
        """The nodes that other nodes have for globals."""
        return {peer for shard in self.shards.values() for peer in shard.families.get("'g", {})} - {self.node.id}

    def wanted_globals(self):
        """The nodes to which a global keeps trying to have a connection [GLOBAL-18] [GLOBAL-20], and those to which it has one."""
        present = {peer for peer, link in self.links.items() if link.said_global}
        return present | self.listed_globals() | self.remembered.keys() if self.is_global else set()


# ---- the node (chapter 7, and the connections that chapter 8 wants) ----

class PortFailure(Exception):
    """Raised by the code of a port, or a function, that fails with a text [PORT-2]."""


class Unhandled(Exception):
    """Raised by the code of a port that has none for such a message [PORT-3]."""


class Port:
    """A destination for messages. `code` gets the elements of each; `lenient` ports were made by name or by spawning [PORT-3]."""

    def __init__(self, code, lenient):
        self.code, self.lenient, self.spawned_by = code, lenient, None
        self.watches, self.watchers = [], collections.Counter()      # here; and how often each peer watches


class Watch:
    """Calls `fired(reasons)` once at most [MON-7] [MON-12]."""

    def __init__(self, node, port, fired):
        self.node, self.port, self.fired = node, port, fired

    def fire(self, reasons):
        fired, self.fired = self.fired, None
        if fired:
            fired(reasons)


class Peer:
    """Another node: what waits for it, its connection if one is up, and those that may come up."""

    def __init__(self):
        self.connection, self.candidates, self.newcomers = None, [], []
        self.kept, self.kept_size = [], 0
        self.watching = 0                    # how many watches it has on ports here [MON-11]


class Search:
    """The search of a node (section 8.7)."""

    def __init__(self, timer):
        self.timer, self.answered, self.dial = timer, False, None
        self.failed = None                   # the text, when it has been given up, but the watches have not fired yet


class Retry:
    """When to try again: after a random time that grows."""

    LONGEST = 30.0

    def __init__(self, first):
        self.first = self.delay = first
        self.timer = self.dial = self.node = None

    def next_delay(self):
        delay, self.delay = self.delay, min(self.delay * 2, self.LONGEST)
        return delay * random.uniform(1, 2)

    def cancel(self):
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if self.dial:
            self.dial.stop(False)


class Catcher:
    """A port, of whichever node, that gets the records of this one up to a level (chapter 9)."""

    def __init__(self, node, port_id, level):
        self.node, self.port_id, self.level, self.dropped = node, port_id, level, 0
        self.watch = node.watch(*port_id, lambda reasons: node.catchers.pop(port_id, None))       # [LOG-3]

    def record(self, context, level, text):
        if level > self.level:
            return
        if self.is_full():
            if not self.dropped:
                self.tell_later()
            self.dropped += 1
        else:
            self.tell()
            self.node.send(*self.port_id, [time.time(), context, level, text])       # [LOG-2]

    def is_full(self):
        peer = self.node.peers.get(self.port_id[0])
        waiting = 0 if not peer else len(peer.connection.out) if peer.connection else peer.kept_size
        return waiting > min(1 << 18, self.node.limits["waiting"] // 2)      # [LOG-8]

    def tell_later(self):
        self.node.loop.later(0.2, self.tell)

    def tell(self):
        """Says how many records were dropped, before anything newer [LOG-9]."""
        if self.dropped and self.node.catchers.get(self.port_id) is self:
            if self.is_full():
                return self.tell_later()
            text, self.dropped = f"{self.dropped} records were lost: more came than could be taken", 0
            self.node.send(*self.port_id, [time.time(), "aemp", min(5, self.level), text])


class Node:
    """A node: ports, watches, requests, and at most one connection to each other node."""

    SEARCHES = 1000                          # at once [FIND-9]
    CATCHERS = 100                           # [LOG-10]
    KEPT = 64 << 20                          # octets, for all nodes together that have no connection [PEER-3]
    PROBE = 2.0                              # seconds in which an old connection must show a sign of life [PEER-9]; less if a handshake has less
    LOOK_AGAIN = 240                         # seconds until a seed that is connected in another way is looked at again [GLOBAL-4]

    def __init__(self, settings):
        self.id, self.loop = settings["node"], Loop()
        if not is_node_id(self.id):
            raise ValueError("the node ID breaks [GREET-7]")
        if len(self.id.encode()) > LINE_LIMIT - 512:
            raise ValueError("the node ID leaves no room in the first line [CONN-5]")
        if settings.get("certificate"):
            raise ValueError("this node has no TLS")     # and must not do without it where it was asked for
        given = [] if settings.get("secret") is None else [settings["secret"], *(settings.get("further_secrets") or [])]
        if "" in given:
            raise ValueError("an empty secret [AUTH-20]")
        try:
            self.secrets = [text.encode("latin-1") for text in given]
        except UnicodeEncodeError:
            raise ValueError("a character above U+00FF in a secret [AUTH-23]") from None
        self.secret = self.secrets[0] if self.secrets else None
        allowed = SAFE_METHODS + [method for method in settings.get("allow") or [] if method == "cleartext"]     # [AUTH-22]
        self.methods = [method for method in allowed if self.secret or method not in SECRET_METHODS]             # [AUTH-19]
        self.framings = [framing for framing in settings.get("framings") or ["cbor", "json"] if framing in READERS]      # [FRAME-8]
        if not self.framings:
            raise ValueError("no framing that this node has")
        self.secure = bool(settings.get("secure"))
        self.timeouts = {"handshake": 30.0, "connect": 2.0, "silence": 60.0}
        self.timeouts |= {name: seconds for name, seconds in (settings.get("timeouts") or {}).items() if seconds}
        self.probe_time = min(self.PROBE, self.timeouts["handshake"] / 2)
        self.limits = {**PACKET_LIMITS, "waiting": 64 << 20, "watches": 100_000, "entries": 1_000_000, "entry_octets": 256 << 20,
                       "families": 10_000, "handshakes": 100, "spawned": 10_000}
        self.limits |= {name: limit for name, limit in (settings.get("limits") or {}).items() if limit is not None}
        self.prefix, self.numbers = secrets.token_urlsafe(8), itertools.count(1)     # of port names [MSG-11]
        self.ports, self.functions, self.spawnable = {}, {"AnyEvent::MP::LogCatcher::connect": self.catch}, {}
        self.spawned = collections.Counter()                # ports that have not ended, by the node that has spawned them
        self.catchers, self.sending_records = {}, False
        self.watches = collections.defaultdict(lambda: collections.defaultdict(list))       # by node and port of others
        self.peers, self.searches, self.handshakes, self.kept_size = {}, {}, set(), 0
        self.listener, self.addresses = None, []
        if settings.get("listen"):
            self.listen(settings["listen"])
        self.seeds = {address: Retry(1.2) for address in settings.get("seeds") or []}        # [GLOBAL-5]
        self.globals = {}                    # those to which a global wants a connection: node ID to Retry [GLOBAL-19]
        self.database = Database(self)
        if settings.get("global"):
            self.database.become_global()

    def start(self):
        for address in self.seeds:
            self.try_seed(address)

    # ports (section 7.1)

    def new_name(self):
        return f"{self.prefix}{next(self.numbers)}"

    def make_port(self, code, name=None, lenient=True):
        name = self.new_name() if name is None else name
        self.ports[name] = Port(code, lenient)
        return name

    def deliver(self, origin, name, elements):
        """A message or request has come to its turn [PORT-1] [MSG-5]."""
        if name == "":
            return self.request(origin, elements)
        if port := self.ports.get(name):
            try:
                port.code(elements)
            except Unhandled:
                if not port.lenient:
                    tag = (name_of(elements[0]) if elements else None) or ""
                    tag = re.sub("[^ -~]", ".", tag[:30])
                    self.end_port(name, ["unhandled_message", f"no callback found for message '{tag}'"])
            except Exception as error:
                self.end_port(name, ["die", str(error)])         # [PORT-2]

    def end_port(self, name, reasons):
        """Ends a port at once, and tells all that watch it [MON-1] [KILL-1]."""
        if port := self.ports.pop(name, None):
            if port.spawned_by is not None:
                self.spawned[port.spawned_by] -= 1
            for watch in port.watches:
                self.loop.soon(watch.fire, reasons)
            for peer, times in port.watchers.items():
                if peer in self.peers:
                    self.peers[peer].watching -= times
                if not fits(["", "kil0", name, *reasons]):
                    reasons = ["die", "the reasons are too large for a packet"]      # [MON-1]
                for _ in range(times):
                    self.send(peer, "", ["kil0", name, *reasons])

    def end(self, node, port, reasons):
        """Ends a port of any node."""
        if node != self.id:
            self.send(node, "", ["kil1", port, *reasons])
        elif port:
            self.end_port(port, reasons)

    def spawn(self, node, function, values):
        """Has a port made on a node; returns its ID [SPAWN-1]."""
        name = f"{self.new_name()}@{self.id}"
        self.send(node, "", ["AnyEvent::MP::_spawn", name, function, *values])
        return f"{node}#{name}"

    # watches (section 7.3)

    def watch(self, node, port, fired):
        watch = Watch(node, port, fired)
        if node != self.id:
            watches = self.watches[node][port]
            watches.append(watch)
            if port and len(watches) == 1:
                self.send(node, "", ["mon1", port])      # [MON-6]
            elif node not in self.searches and not self.is_up(node):
                self.search(node)                        # [MON-10]
        elif port in self.ports:
            self.ports[port].watches.append(watch)
        elif port:
            self.loop.soon(watch.fire, ["no_such_port", "cannot monitor nonexistent port", f"{node}#{port}"])
        return watch

    def unwatch(self, watch):
        watch.fired = None
        if watch.node == self.id:
            if watch.port in self.ports and watch in self.ports[watch.port].watches:
                self.ports[watch.port].watches.remove(watch)
        elif watch in (watches := self.watches.get(watch.node, {}).get(watch.port, [])):
            watches.remove(watch)
            if not watches:
                self.forget_watches(watch.node, watch.port)
                if watch.port:
                    self.send(watch.node, "", ["mon0", watch.port])

    def forget_watches(self, node, port):
        """Takes all watches on a port, or with None on a node and all its ports."""
        of_node = self.watches.pop(node, {}) if port is None else {port: self.watches.get(node, {}).pop(port, [])}
        if port is not None and not self.watches[node]:
            del self.watches[node]
        return [watch for watches in of_node.values() for watch in watches]

    # sending (section 7.6)

    def is_up(self, node):
        return node in self.peers and self.peers[node].connection is not None

    def send(self, node, port, elements, unlimited=False):
        """Sends a message to a port of any node. To its own ports it comes later [PORT-4]."""
        if node == self.id:
            return self.loop.soon(self.deliver, self.id, port, elements)
        if self.is_up(node):
            return self.peers[node].connection.send([port, *elements], unlimited)
        if node not in self.searches and not self.search(node):
            return
        if self.searches[node].failed:
            return                                       # lost already [PEER-4]
        peer = self.peers.setdefault(node, Peer())
        size = size_of(elements) + size_of(port)
        peer.kept.append([port, *elements])              # [PEER-1]
        peer.kept_size += size
        self.kept_size += size
        if peer.kept_size > self.limits["waiting"] or self.kept_size > self.KEPT:
            self.give_up(node, "too much waits for this node")       # [PEER-3]

    def send_to(self, port_id, elements):
        self.send(*port_id, elements)

    def lose(self, node, text):
        """What was to be sent to a node is lost: fires all watches on it before anything else is sent there [MON-8] [PEER-4]."""
        peer = self.peers.get(node)
        if peer:
            self.kept_size -= peer.kept_size
            peer.kept, peer.kept_size = [], 0
        for watch in self.forget_watches(node, None):
            watch.fire(["transport_error", node, text])

    # searching nodes (section 8.7)

    def search(self, node):
        """Begins to search a node, unless too many are searched [FIND-9]; returns whether it is searched now."""
        if len(self.searches) >= self.SEARCHES:
            self.loop.soon(self.lose, node, "too many nodes are searched")
            return False
        self.peers.setdefault(node, Peer())
        self.searches[node] = Search(self.loop.later(self.timeouts["connect"], lambda: self.give_up(node, "connect timeout")))       # [FIND-5]
        self.database.find(node)
        for address, seed in self.seeds.items():
            if seed.node == node and not seed.dial:
                self.try_seed(address)
        return True

    def unanswered(self):
        return [node for node, search in self.searches.items() if not search.answered]

    def found(self, node, addresses):
        """What the master, or the database of a global, knows of a node that is searched."""
        search = self.searches.get(node)
        if not search or search.answered:
            return
        search.answered = True
        seeds = [address for address, seed in self.seeds.items() if seed.node == node]
        may_come = bool(self.peers[node].candidates)
        if addresses is None and not seeds and not may_come:
            self.give_up(node, "no known address")       # [FIND-7]
        elif not addresses and not seeds and not may_come and not self.listener:
            self.give_up(node, "it does not listen")
        elif addresses or seeds:
            tries = [*(addresses or [])[:32], *seeds]    # [FIND-4]
            search.dial = Dial(self, tries, node, lambda success: None, self.timeouts["connect"] / len(tries))

    def end_search(self, node):
        search = self.searches.pop(node, None)
        if search:
            search.timer.cancel()
            if search.dial:
                search.dial.stop(False)

    def give_up(self, node, text):
        """Ends a search without success [FIND-6]. Watches fire later: a port may be sending just now."""
        search = self.searches.get(node)
        if search and not search.failed:
            search.answered, search.failed = True, text
            self.loop.soon(self.gave_up, node, search)

    def gave_up(self, node, search):
        if self.searches.get(node) is search:
            self.end_search(node)
            self.lose(node, search.failed)
            self.forget_peer(node)

    def forget_peer(self, node):
        peer = self.peers.get(node)
        if peer and not (peer.connection or peer.candidates or peer.newcomers or node in self.searches):
            del self.peers[node]

    # connections (section 7.6)

    def listen(self, address):
        host, _, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        family, kind, protocol, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.listener = socket.socket(family, kind, protocol)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(where)
        self.listener.listen(128)
        self.listener.setblocking(False)
        host, port = self.listener.getsockname()[:2]
        hosts = [host] if host not in ("0.0.0.0", "::") else sorted({found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, family)})
        self.addresses = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]
        self.loop.selector.register(self.listener, selectors.EVENT_READ, self.accept)

    def accept(self, _):
        try:
            transport, _ = self.listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as error:                         # no file descriptors left, perhaps: try again later
            self.log(4, f"cannot accept: {error}")
            self.loop.selector.unregister(self.listener)
            self.loop.later(0.5, lambda: self.loop.selector.register(self.listener, selectors.EVENT_READ, self.accept))
            return
        if len(self.handshakes) >= self.limits["handshakes"]:
            return transport.close()                     # [SEC-5]
        transport.setblocking(False)
        try:
            transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass
        self.handshakes.add(Connection(self, transport, False))

    def is_arbiter(self, connection):
        """Whether this node chooses among connections of the two [PEER-6]."""
        return connection.greeting.keys.get("arbiter") != "1" or self.id.encode() < connection.greeting.node.encode()

    def refused(self, connection, fault):
        """A greeting that was no good; at a seed, this node's own makes it global [GLOBAL-6]."""
        if fault.requirement == "GREET-9" and connection.dial and connection.dial.wanted is None:
            self.drop_seed(connection.dial)

    def greeted(self, connection):
        """Both lines of the other side are there: whether to go on, now or later (section 2.4)."""
        node, dial = connection.greeting.node, connection.dial
        if dial and dial.wanted not in (None, node):
            return connection.close(EOFError("another node greets there"))       # [FIND-8]
        if dial and dial.wanted is None:
            self.seed_is(dial, node)
        peer = self.peers.setdefault(node, Peer())
        if not peer.connection:
            return self.consider(connection)
        peer.newcomers.append(connection)                # [PEER-9]
        peer.connection.ask_for_life()
        self.loop.later(self.probe_time, lambda: self.consider_newcomer(connection))

    def heard(self, connection):
        """Something has arrived on a connection that is up: it lives, and no new one takes its place [PEER-5] [PEER-9]."""
        for newcomer in list(self.peers[connection.greeting.node].newcomers):
            newcomer.close(EOFError("there is a connection already"))

    def consider_newcomer(self, connection):
        if connection.state == "greeted":
            self.consider(connection)

    def consider(self, connection):
        """A connection to a node that is not up may go on; an arbiter proves itself on one at a time [PEER-7] [PEER-8]."""
        peer = self.peers.setdefault(connection.greeting.node, Peer())
        if connection not in peer.candidates:
            peer.candidates.append(connection)
        proving = any(other.sent_line for other in peer.candidates if other is not connection)
        if not (connection.opener and self.is_arbiter(connection) and proving):
            connection.go_on()

    def verified(self, connection):
        """The other side has proved itself. The arbiter waits a moment for a connection on which it has proved itself already [PEER-7]."""
        peer = self.peers[connection.greeting.node]
        if peer.connection:                              # it shows no sign of life, and its node is back [PEER-9]
            peer.connection.end(Fault("PEER-9", "no sign of life"))
            return self.loop.soon(lambda: connection.state == "authenticating" and self.verified(connection))
        proving = [other for other in peer.candidates if other.sent_line and other is not connection]
        if self.is_arbiter(connection) and proving:
            def too_slow():
                for other in proving:
                    if not other.verified:
                        other.close(EOFError("no answer, and another connection waits"))
            self.loop.later(self.probe_time, too_slow)
        else:
            connection.come_up()

    def up(self, connection):
        """A connection has come up: it is the only one now [PEER-11]."""
        node = connection.greeting.node
        peer = self.peers[node]
        self.handshakes.discard(connection)
        peer.connection, others, peer.candidates = connection, peer.candidates, []
        for other in others:
            if other is not connection:
                other.close(EOFError("another connection of this node is up"))
        search = self.searches.get(node)
        if search and search.failed:
            self.lose(node, search.failed)
        kept, peer.kept = peer.kept, []
        self.kept_size -= peer.kept_size
        peer.kept_size = 0
        for packet in kept:
            connection.send(packet, unlimited=True)      # [PEER-2]
        self.end_search(node)
        if connection.dial:
            connection.dial.stop(True)
        if node in self.globals:
            self.globals[node].cancel()
        self.database.up(node, connection)

    def close(self, node, fault):
        """Closes the connection to a node, which has broken a limit."""
        self.peers[node].connection.close(fault)

    def closed(self, connection, why, was_up):
        """A connection has ended. If it was up, what it carried is lost [MON-8] [MON-9]."""
        self.handshakes.discard(connection)
        node = connection.greeting.node if connection.greeting else None
        peer = self.peers.get(node)
        if was_up and peer:
            peer.connection = None
            peer.watching = 0
            for port in self.ports.values():
                port.watchers.pop(node, None)
            self.lost_global(node, time.monotonic() - connection.since)
            self.database.down(node)
            self.lose(node, why)
            self.lost_seed(node)
            newcomers, peer.newcomers = peer.newcomers, []
            for newcomer in newcomers:
                self.consider_newcomer(newcomer)
        elif peer:
            for connections in (peer.candidates, peer.newcomers):
                if connection in connections:
                    connections.remove(connection)
            if connection.sent_line and not peer.connection:     # the next one may try
                for other in list(peer.candidates):
                    if other.verified:
                        self.loop.soon(lambda other=other: other.state == "authenticating" and self.verified(other))
                    elif other.state == "greeted":
                        self.loop.soon(self.consider_newcomer, other)
        if connection.dial:
            connection.dial.failed(connection)
        self.forget_peer(node)

    # seeds and globals (sections 8.3 and 8.4)

    def seed_nodes(self):
        return {seed.node for seed in self.seeds.values()}

    def try_seed(self, address):
        seed = self.seeds.get(address)
        if not seed or seed.dial:
            return
        if seed.timer:
            seed.timer.cancel()

        def done(success):
            seed.dial = None
            if address in self.seeds:
                if seed.node and self.is_up(seed.node):
                    seed.delay = seed.first
                    if not success:
                        seed.timer = self.loop.later(self.LOOK_AGAIN, lambda: self.try_seed(address))
                else:
                    seed.timer = self.loop.later(seed.next_delay(), lambda: self.try_seed(address))
        seed.dial = Dial(self, [address], None, done, self.timeouts["handshake"])    # [GLOBAL-4]
        seed.dial.address = address

    def seed_is(self, dial, node):
        self.seeds[dial.address].node = node
        self.database.seed(node)

    def drop_seed(self, dial):
        self.seeds.pop(dial.address, None)
        self.database.seed(self.id)

    def lost_seed(self, node):
        for address, seed in self.seeds.items():
            if seed.node == node and not seed.dial:
                if seed.timer:
                    seed.timer.cancel()
                seed.delay = seed.first                  # it was up [GLOBAL-5]
                seed.timer = self.loop.later(seed.next_delay(), lambda address=address: self.try_seed(address))

    def look_after_globals(self):
        """Tries to have a connection to each global that others list, or that was lost [GLOBAL-18] [GLOBAL-20]."""
        wanted = self.database.wanted_globals()
        for node in self.globals.keys() - wanted:
            self.globals.pop(node).cancel()
        for node in wanted:
            self.try_global(node, self.globals.setdefault(node, Retry(0.6)))

    def lost_global(self, node, stood):
        """A connection that stood for so many seconds is lost: when to try again [GLOBAL-19]."""
        if retry := self.globals.get(node):
            if stood >= 30:
                retry.delay = retry.first
            else:
                self.try_global_later(node, retry)       # or else two nodes that cannot stay connected try all the time

    def try_global_later(self, node, retry):
        def again():
            retry.timer = None
            self.try_global(node, retry)
        retry.timer = self.loop.later(retry.next_delay(), again)

    def try_global(self, node, retry):
        if retry.timer or retry.dial or self.is_up(node):
            return
        if addresses := self.database.last_addresses(node):
            def done(success):
                retry.dial = None
                if self.globals.get(node) is retry and not self.is_up(node):
                    self.try_global_later(node, retry)
            retry.dial = Dial(self, addresses[:32], node, done)

    # logs (chapter 9)

    def log(self, level, text, context="aemp"):
        """Tells the operator, and whoever catches records; but nothing of sending records [LOG-7]."""
        report(f"{self.id}: {text}")
        if not self.sending_records:
            self.sending_records = True
            for catcher in list(self.catchers.values()):
                catcher.record(context, level, text)
            self.sending_records = False

    def catch(self, origin, _, to, level):
        to, level = split_port_id(to), min(convert("integer", level), 9)     # [LOG-6]
        if not to or not to[1] or level < 1:
            return                                       # [LOG-5]
        if to in self.catchers:
            self.catchers[to].level = level              # [LOG-4]
        elif len(self.catchers) < self.CATCHERS:
            self.catchers[to] = Catcher(self, to, level)

    # requests (section 7.2)

    def packet(self, connection, packet):
        """A packet has come to its turn [NODE-2]."""
        if connection.state != "closed" and (routed := route(packet)):
            self.deliver(connection.greeting.node, *routed)

    def request(self, origin, elements):
        """A request to the node port; one that cannot be used is ignored [NODE-1]."""
        name = name_of(elements[0]) if elements else None
        if name in GLOBAL_REQUESTS:
            if origin != self.id:
                self.database.request(origin, name, elements[1:])
        elif name in self.REQUESTS:
            self.REQUESTS[name](self, origin, *elements[1:])
        elif name in self.functions and (not self.secure or origin == self.id):      # [NODE-7] [NODE-9]
            try:
                self.functions[name](origin, *elements[1:])
            except Exception as error:
                self.log(5, f"{name} has failed: {error}")

    def answer(self, origin, to, elements):
        """Sends something on behalf of a node, where that may be [NODE-3] [NODE-9] [NODE-10] [NODE-12]."""
        if to := split_port_id(to):
            to_port = to[1] or to[0] != self.id and self.is_for_a_port(*elements[:2])
            if origin in (self.id, to[0]) or to_port and not self.secure:
                self.send_to(to, elements)

    def is_for_a_port(self, request=None, to=None):
        """Whether a request is a `snd` to a port that is no node port: so much every member may ask of every node."""
        to = split_port_id(to)
        return name_of(request) == "snd" and to is not None and to[1] != ""

    PORT_LIMIT = 256                                     # octets of a port name

    def port_argument(self, value):
        """The port name in an argument; None if it is none, or too long [LIMIT-10]."""
        name = "" if value is None else name_of(value)
        return name if name is not None and len(name.encode()) <= self.PORT_LIMIT else None

    def mon1(self, origin, port=MISSING, *_):
        port = self.port_argument(port)
        if port and port not in self.ports:
            self.send(origin, "", ["kil0", port, "no_such_port", "cannot monitor nonexistent port", f"{self.id}#{port}"])     # [MON-2]
        elif port and origin != self.id:
            self.ports[port].watchers[origin] += 1
            self.peers[origin].watching += 1
            if self.peers[origin].watching > self.limits["watches"]:
                self.close(origin, Fault("MON-11", "too many watches"))

    def mon0(self, origin, port=MISSING, *_):
        port = self.ports.get(self.port_argument(port))
        if port and port.watchers[origin]:
            port.watchers[origin] -= 1                   # [MON-3]
            self.peers[origin].watching -= 1

    def kil0(self, origin, port=MISSING, *reasons):
        if port := self.port_argument(port):
            for watch in self.forget_watches(origin, port):
                watch.fire(list(reasons))                # [MON-4]

    def kil1(self, origin, port=MISSING, *reasons):
        self.end_port(self.port_argument(port), list(reasons))       # [KILL-2]: there is no port with the empty name

    def snd(self, origin, to=None, *elements):
        self.answer(origin, to, elements)

    def can(self, origin, name=None, to=None, *elements):
        known = name_of(name) in self.REQUESTS.keys() | GLOBAL_REQUESTS | self.functions.keys() | self.spawnable.keys()
        self.answer(origin, to, [*elements, "1" if known else ""])   # [NODE-4]

    def time(self, origin, to=None, *elements):
        self.answer(origin, to, [*elements, time.time()])            # [NODE-5]

    def devnull(self, *_):
        pass

    def eval(self, origin, text=None, to=None, *elements):
        if text_of(text) == "AnyEvent::MP::Kernel::up_nodes":
            up = sorted(node for node, peer in self.peers.items() if peer.connection)
            self.answer(origin, to, [*elements, "", *up])            # [NODE-11]
        else:
            self.answer(origin, to, [*elements, "this node runs no code"])       # [NODE-6]

    def _spawn(self, origin, port=None, function=None, *values):
        port, function = self.port_argument(port), self.spawnable.get(name_of(function))
        room = self.spawned[origin] < self.limits["spawned"]         # [SPAWN-5]
        if port and function and room and port not in self.ports and (not self.secure or origin == self.id):     # [SPAWN-3]
            try:
                made = self.ports[port] = Port(None, True)           # [SPAWN-2]
                made.spawned_by = origin
                self.spawned[origin] += 1
                made.code = function(port, *values)
            except Exception as error:
                self.end_port(port, ["die", str(error)])             # [SPAWN-4]

    REQUESTS = {"mon1": mon1, "mon0": mon0, "kil0": kil0, "kil1": kil1, "snd": snd, "can": can, "time": time, "devnull": devnull, "eval": eval,
                "AnyEvent::MP::_spawn": _spawn}


# ---- what a node under test offers (conformance/CONTRACT.md) ----

class Services:
    """The ports `echo` and `control`, and the functions that others may call and spawn."""

    def __init__(self, node):
        self.node, self.watches, self.family_watches = node, {}, {}
        node.make_port(self.echo, "echo")
        node.make_port(self.control, "control")
        node.functions["conformance::tell"] = self.tell
        node.spawnable.update({"conformance::port": self.spawned_port, "conformance::failing": self.failing})

    def port_id(self, value):
        port_id = split_port_id(value)
        if not port_id:
            raise ValueError("this is no port ID")
        return port_id

    def tell(self, origin, to, *elements):
        self.node.send_to(self.port_id(to), list(elements))      # by its own code: on nobody's behalf [NODE-10]

    def echo(self, elements):
        if elements and (to := split_port_id(elements[-1])):
            self.node.send_to(to, elements[:-1])

    def code(self, tags):
        """Code for some tags only."""
        def code(elements):
            tag = name_of(elements[0]) if elements else None
            if tag not in tags:
                raise Unhandled
            tags[tag](*elements[1:])
        return code

    # functions that are spawned: they get the name of the new port and values, and return its code

    def spawned_port(self, port, to=MISSING, *values):
        def fail(text="", *_):
            raise PortFailure(text_of(text) or "")

        def end(*reasons):
            self.node.end_port(port, list(reasons))

        def say_self(to=None, *_):
            if to := split_port_id(to):
                self.node.send_to(to, [f"{self.node.id}#{port}"])
        if to is not MISSING:
            self.node.send_to(self.port_id(to), list(values))
        return self.code({"echo": lambda *elements: self.echo(elements), "fail": fail, "end": end, "self": say_self})

    def failing(self, *_):
        raise PortFailure("no start")

    # kinds of new ports

    def new_bare(self):
        return self.code({})

    def new_tagged(self):
        return self.code({"known": lambda *elements: self.echo(elements)})

    def new_echo(self):
        return self.echo

    def new_failing(self):
        def fail(elements):
            raise PortFailure("oops")
        return fail

    def new_collecting(self):
        count = 0

        def code(elements):
            nonlocal count
            if len(elements) == 2 and name_of(elements[0]) == "flush" and (to := split_port_id(elements[1])):
                self.node.send_to(to, [count])
            else:
                count += 1
        return code

    # the verbs of the port `control`

    def control(self, elements):
        verb = name_of(elements[0]) if elements else None
        if verb in self.VERBS:
            try:
                self.VERBS[verb](self, *elements[1:])
            except (ValueError, TypeError, KeyError) as error:
                self.node.log(7, f"control cannot do {verb}: {error}")

    def send(self, port, *elements):
        self.node.send_to(self.port_id(port), list(elements))

    def flood(self, port, count, octets):
        port, padding = self.port_id(port), "x" * min(convert("u32", octets), PACKET_LIMITS["octets"])
        for index in range(convert("u32", count)):
            self.node.send_to(port, [index, padding])

    def watch(self, name, port, to):
        port, to, key = self.port_id(port), self.port_id(to), convert("text", name)
        self.unwatch(key)
        self.watches[key] = self.node.watch(*port, lambda reasons: self.node.send_to(to, [name, *reasons]))

    def unwatch(self, name):
        if watch := self.watches.pop(convert("text", name), None):
            self.node.unwatch(watch)

    def end(self, port, *reasons):
        self.node.end(*self.port_id(port), list(reasons))

    def new(self, kind, to):
        to, make = self.port_id(to), {"bare": self.new_bare, "tagged": self.new_tagged, "echo": self.new_echo, "failing": self.new_failing,
                                      "collecting": self.new_collecting}[convert("text", kind)]
        self.node.send_to(to, [f"{self.node.id}#{self.node.make_port(make(), lenient=False)}"])

    def spawn(self, node, function, to, *values):
        (node, port), to = self.port_id(node), self.port_id(to)
        if not port:
            self.node.send_to(to, [self.node.spawn(node, convert("text", function), values)])

    def db_set(self, family, key, value):
        self.node.database.set(convert("text", family), {convert("text", key): value})

    def db_del(self, family, *keys):
        self.node.database.set(convert("text", family), {}, [convert("text", key) for key in keys])

    def db_reg(self, port, family, value):
        node, port = self.port_id(port)
        key = f"{node}#{port}"
        if node == self.node.id and port in self.node.ports and self.node.database.set(convert("text", family), {key: value}):
            self.node.watch(node, port, lambda reasons: self.db_del(family, key))

    def db_ask(kind):
        def ask(self, family, to):
            to = self.port_id(to)
            self.node.database.ask(kind, convert("text", family), lambda answer: self.node.send_to(to, [answer]))
        return ask

    def db_watch(self, name, family, to):
        family, to, key = convert("text", family), self.port_id(to), convert("text", name)
        self.db_unwatch(key)

        def told(*changes):
            self.node.send_to(to, [name, *changes])
        self.family_watches[key] = family, told
        self.node.database.watch(family, told)

    def db_unwatch(self, name):
        if watch := self.family_watches.pop(convert("text", name), None):
            self.node.database.unwatch(*watch)

    def log(self, level, text):
        self.node.log(convert("u8", level), convert("text", text), "conformance")

    VERBS = {"log": log, "send": send, "flood": flood, "watch": watch, "unwatch": unwatch, "end": end, "new": new, "spawn": spawn, "db_set": db_set,
             "db_del": db_del, "db_reg": db_reg, "db_family": db_ask("g_db_family"), "db_keys": db_ask("g_db_keys"), "db_values": db_ask("g_db_values"),
             "db_watch": db_watch, "db_unwatch": db_unwatch}


def run_node():
    """Runs a node as conformance/PROTOCOL.md, part 2, says: settings on standard input, until that ends."""
    try:
        node = Node(json.loads(sys.stdin.buffer.readline()))
    except (ValueError, KeyError, OSError) as error:
        print(json.dumps({"ready": False, "error": str(error)}), flush=True)
        return
    Services(node)

    def until_input_ends():
        while sys.stdin.buffer.read(4096):
            pass
        os._exit(0)
    features = ["cbor", "hmac_sha3_512", "hmac_sha2_256", "cleartext", "listen", "secure", "rotation", "limits", "silence", "arbiter", "logs"]
    ready = {"ready": True, "listen": node.addresses, "name": "aemp.py", "version": VERSION, "level": "global", "features": features}
    print(json.dumps(ready), flush=True)
    threading.Thread(target=until_input_ends, daemon=True).start()
    node.start()
    node.loop.run()


# ---- the codec requests of conformance/PROTOCOL.md, part 1 ----

def from_notation(value):
    """A value as the vectors write it."""
    if type(value) is list:
        return [from_notation(inner) for inner in value]
    if type(value) is not dict:
        return value
    (kind, content), = value.items()
    if kind == "map":
        return {key: from_notation(inner) for key, inner in content.items()}
    return {"integer": int, "float": float, "bytes": bytes.fromhex}[kind](content)


def to_notation(value):
    kind = type(value)
    if kind is list:
        return [to_notation(inner) for inner in value]
    if kind is dict:
        return {"map": {key: to_notation(inner) for key, inner in value.items()}}
    if kind in (int, float):
        return {"integer": str(value)} if kind is int else {"float": float_text(value)}
    return {"bytes": value.hex()} if kind is bytes else value


def from_hex(field):
    """Octets, or a list of them, or null."""
    return None if field is None else [bytes.fromhex(text) for text in field] if type(field) is list else bytes.fromhex(field)


class Codecs:
    """Each operation takes the fields of a request, and returns those of its answer; what it raises is an error."""

    def lines(stream, take=math.inf):
        reader, lines, fault = LineReader(), [], {}
        reader.rest = from_hex(stream)
        try:
            while len(lines) < take and (line := reader.take()) is not None:
                lines.append(line.hex())
        except Fault as error:
            fault = {"error": str(error)}
        return {**fault, "lines": lines, "rest": reader.rest.hex()}

    def greeting(line):
        greeting = Greeting(from_hex(line))
        return {field: getattr(greeting, field) for field in ("node", "methods", "framings", "keys")}

    def escape(text):
        return {"text": escape(text)}

    def unescape(text):
        return {"text": unescape(text)}

    def decide(own, other):
        decide(from_hex(own), from_hex(other))
        return {"goes_on": True}

    def authentication(line):
        line = AuthenticationLine(from_hex(line))
        return {field: getattr(line, field) for field in ("method", "token", "framing", "keys")}

    def choose(methods, framings, sends_methods, sends_framings, tls=False):
        method, framing = choose(methods, framings, sends_methods, sends_framings, tls)
        return {"method": method, "framing": framing}

    def token(method, secret, own, other):
        return {"token": make_token(method, from_hex(secret), from_hex(own), from_hex(other))}

    def verify(line, own, other, secret, tls=False):
        verify(from_hex(line), from_hex(own), from_hex(other), [from_hex(secret)], tls)
        return {"right": True}

    def packets(framing, pieces, limits=None, only=None):
        reader, packets, fault = READERS[framing](limits or {}), [], {}
        try:
            for piece in from_hex(pieces):
                packets.extend(reader.feed(piece))
        except Fault as error:
            fault = {"error": str(error)}
        found = {"count": len(packets)} if only == "count" else {"packets": to_notation(packets)}
        return {**fault, **found, "incomplete": reader.incomplete}

    def write(framing, packet):
        return {"octets": WRITERS[framing](from_notation(packet)).hex()}

    def convert(wanted, value):
        try:
            return {"value": to_notation(convert(wanted, from_notation(value)))}
        except ValueError:
            raise Fault("VALUE-9", "this stands for no such value") from None

    def relay(packet, origin, to):
        packet, = READERS[origin]().feed(from_hex(packet))
        return {"octets": WRITERS[to](packet).hex()}

    def port(framing, packet):
        packet, = READERS[framing]().feed(from_hex(packet))
        if (routed := route(packet)) is not None:
            return {"port": routed[0]}
        return {"dropped": True} if packet and packet[0] is not None and name_of(packet[0]) is None else {"keepalive": True}

    def port_id(port_id):
        if (split := split_port_id(port_id)) is None:
            raise Fault("MSG-14", "what stands in front of the # is no node ID")
        return {"node": split[0], "port": split[1]}


def answer_requests():
    """Reads requests, and writes an answer for each."""
    for line in sys.stdin.buffer:
        request = json.loads(line)
        operation = vars(Codecs).get(request["operation"])
        if not operation or "storable" in (request.get("framing"), request.get("from"), request.get("to")):
            answer = {"unimplemented": True}
        else:
            request["origin"] = request.get("from")      # which cannot be the name of a parameter
            wanted = operation.__code__.co_varnames[:operation.__code__.co_argcount]
            try:
                answer = operation(**{field: request[field] for field in wanted if field in request})
            except Exception as error:
                answer = {"error": str(error)}
        print(json.dumps({"id": request["id"], **answer}), flush=True)


def main():
    sys.setrecursionlimit(20_000)            # values may be nested 512 deep, and more if the limits say so
    if sys.argv[1:] == ["vectors"]:
        answer_requests()
    elif sys.argv[1:] == ["node"]:
        run_node()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
