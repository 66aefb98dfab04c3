#!/usr/bin/env node
// A node of AEMP, level "node", in one file and without dependencies. It was written from spec/ alone.
//
// From the bottom up: values and their conversions; lines and tokens; the framings json and cbor; one connection; the
// node with its ports, peers and requests; logs; and at the end the two programs that the conformance suite runs.
// Each part uses only those above it, but for a connection, which tells its node what happens.
//
// Values of AEMP are these in JavaScript: null, boolean, BigInt (integer), number (float), string (text), Buffer
// (bytes), Array, Map. So integers are exact, and 1 is not 1.0.

import crypto from "node:crypto";
import fs from "node:fs";
import net from "node:net";
import readline from "node:readline";
import tls from "node:tls";

const VERSION = "0.1";

/** What a peer has done wrong, with the requirement that it broke: the text is for the own operator only [ERR-1] [ERR-2]. */
class Fault extends Error {
  constructor(requirement, text) {
    super(`${requirement}: ${text}`);
    this.requirement = requirement;
  }
}

// ## Values

const LINE_LIMIT = 4096; // octets, with the line end [CONN-5]
const NAME_LIMIT = 256; // octets of a node ID [GREET-24]
const INTEGER_MIN = -(2n ** 63n);
const INTEGER_MAX = 2n ** 64n - 1n;

const latin1 = (bytes) => Buffer.from(bytes).toString("latin1");

/** The digits of a float as json has them: always with a fraction or an exponent (section 5.5). */
function floatText(value) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : "-Inf";
  const text = Object.is(value, -0) ? "-0" : String(value);
  return /[.e]/.test(text) ? text : `${text}.0`;
}

/** An integer of a wire, which is the text of its digits where it lies outside of the integers [VALUE-2]. */
const inRange = (integer) => (integer >= INTEGER_MIN && integer <= INTEGER_MAX ? integer : String(integer));

/** The integer that decimal digits stand for, or undefined. More digits than an integer can have are not read at all. */
function parseInteger(text) {
  const [, sign, digits] = /^([-+]?)0*([0-9]+)$/.exec(text) ?? [];
  if (digits === undefined || digits.length > 20) return undefined;
  return sign === "-" ? -BigInt(digits) : BigInt(digits);
}

// The conversions of section 5.6 [VALUE-5]: undefined for whatever cannot be taken for the wanted kind [VALUE-9].

function toText(value) {
  if (typeof value === "string") return value;
  if (Buffer.isBuffer(value)) return latin1(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return floatText(value);
  if (typeof value === "boolean") return value ? "1" : "";
  return undefined;
}

function toBytes(value) {
  if (Buffer.isBuffer(value)) return value;
  const text = toText(value);
  return text === undefined || /[^\0-\xff]/.test(text) ? undefined : Buffer.from(text, "latin1");
}

function toBool(value) {
  if (typeof value === "boolean") return value;
  const text = value === null ? "" : typeof value === "number" ? undefined : toText(value);
  return text === "1" ? true : text === "0" || text === "" ? false : undefined;
}

function toInteger(value, least = INTEGER_MIN, greatest = INTEGER_MAX) {
  let integer;
  if (typeof value === "bigint") integer = value;
  else if (typeof value === "number" && Number.isInteger(value)) integer = BigInt(value);
  else if (typeof value === "string" || Buffer.isBuffer(value)) integer = parseInteger(toText(value));
  return integer !== undefined && integer >= least && integer <= greatest ? integer : undefined;
}

function toFloat(value) {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "string" && !Buffer.isBuffer(value)) return undefined;
  const text = toText(value);
  const [, sign, name] = /^([-+]?)(inf|infinity|nan)$/i.exec(text) ?? [];
  if (name) return name.toLowerCase() === "nan" ? NaN : sign === "-" ? -Infinity : Infinity;
  return /^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[-+]?[0-9]+)?$/i.test(text) ? Number(text) : undefined;
}

/** The text that stands for a key of a map [CBOR-12], or undefined. */
const toKey = (value) => (value === null ? "" : toText(value));

/** A port name: a text, bytes, an integer, or null for the node port [MSG-2] [MSG-3] [VALUE-7]; else undefined [MSG-13]. */
function toPortName(value) {
  if (value === null) return "";
  return typeof value === "string" || typeof value === "bigint" || Buffer.isBuffer(value) ? toText(value) : undefined;
}

/** [GREET-7] [GREET-25] */
const isNodeId = (text) =>
  /^[^\0-\x1f\x7f-\x9f#;]+$/.test(text) && text.isWellFormed() && Buffer.byteLength(text) <= NAME_LIMIT;

/** Splits a port ID at its first `#` [MSG-8] [MSG-9]. Undefined if it is none [MSG-14] [GREET-25]. */
function toPortId(value) {
  const text = toPortName(value);
  if (text === undefined) return undefined;
  const [node] = text.split("#", 1);
  return isNodeId(node) ? { node, port: text.slice(node.length + 1) } : undefined;
}

/** What a packet is for: `{port, elements}`, `{keepalive: true}` [MSG-4] or `{dropped: true}` [MSG-13]. */
function classify([first, ...elements]) {
  if (first === undefined) return { keepalive: true };
  const port = toPortName(first);
  if (port === undefined) return { dropped: true };
  const [tag = null] = elements;
  if (port === "" && (tag === null || toPortName(tag) === "")) return { keepalive: true };
  return { port, elements };
}

// ## Lines

/** Cuts octets into lines [CONN-4] [CONN-9]; what is behind them is kept as it is [CONN-7]. */
class Lines {
  rest = Buffer.alloc(0);

  push(octets) {
    this.rest = Buffer.concat([this.rest, octets]);
  }

  /** The next complete line without its end, or undefined. */
  next() {
    const end = this.rest.subarray(0, LINE_LIMIT).indexOf(0x0a);
    if (end < 0) {
      if (this.rest.length > LINE_LIMIT) throw new Fault("CONN-6", `a line is longer than ${LINE_LIMIT} octets`);
      return undefined;
    }
    const line = this.rest.subarray(0, end > 0 && this.rest[end - 1] === 0x0d ? end - 1 : end);
    if (line.includes(0x0d)) throw new Fault("CONN-8", "a line contains a CR that does not end it");
    this.rest = this.rest.subarray(end + 1);
    return line;
  }

  take() {
    const rest = this.rest;
    this.rest = Buffer.alloc(0);
    return rest;
  }
}

/** A line as text, without taking a byte order mark away; undefined if it is not UTF-8. */
function utf8(octets) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    return undefined;
  }
}

const escape = (text) => text.replace(/%/g, "%25").replace(/;/g, "%3b"); // [GREET-14]
const unescape = (text) => text.replace(/%3b|%25/gi, (found) => (found === "%25" ? "%" : ";")); // [GREET-15]

const isName = (text) => /^[A-Za-z0-9_.:-]+$/.test(text);
const PLAIN = /^[^\0-\x1f\x7f-\x9f]*$/; // the parts were cut at `;` already

/** The keys of a line, of several the last [GREET-13] [GREET-17]. Undefined if a part does not match `extension`. */
function parseKeys(parts) {
  const keys = new Map();
  for (const part of parts) {
    if (!PLAIN.test(part)) return undefined;
    const at = part.indexOf("=");
    if (at >= 0) keys.set(part.slice(0, at), unescape(part.slice(at + 1)));
  }
  return keys;
}

/** Reads a first line, in the order of section 2.2. */
function parseGreeting(octets) {
  const malformed = (text) => new Fault("GREET-2", `the first line of the greeting ${text}`);
  const line = utf8(octets);
  if (line === undefined) throw malformed("is not UTF-8");
  const [protocol, version, node, methods, framings, ...extensions] = line.split(";");
  if (framings === undefined) throw malformed("has fewer than five parts");
  if (!/^aemp(-[A-Za-z0-9_]+)?$/.test(protocol)) throw new Fault("GREET-4", "this is another protocol");
  if (!/^[0-9]+(\.[0-9]*)?$/.test(version)) throw malformed("has a malformed version");
  if (!/^0*1(\.0*)?$/.test(version)) throw new Fault("GREET-6", "the version is not 1");
  if (!isNodeId(node)) throw new Fault("GREET-8", "the node ID is none");
  const names = (list) => {
    const found = list.split(",").filter((name) => name !== "");
    if (!found.every(isName)) throw malformed("has a list with something else than names");
    return found;
  };
  const greeting = { protocol, version, node, methods: names(methods), framings: names(framings), keys: parseKeys(extensions) };
  if (greeting.keys === undefined) throw malformed("has a control character in it");
  return greeting;
}

/** Reads an authentication line [AUTH-2] [AUTH-24]. */
function parseAuthentication(octets) {
  const [method, token, framing, ...extensions] = utf8(octets)?.split(";") ?? [];
  const keys = parseKeys(extensions);
  if (framing === undefined || !isName(method) || !isName(framing) || !PLAIN.test(token) || keys === undefined) {
    throw new Fault("AUTH-2", "the authentication line is malformed");
  }
  return { method, token, framing, keys };
}

/** Whether two greetings, of two lines each, may belong to one connection. */
function decide(own, other) {
  if (own[0].equals(other[0]) && own[1].equals(other[1])) throw new Fault("NONCE-4", "the other side sent the own greeting back");
  if (parseGreeting(own[0]).node === parseGreeting(other[0]).node) throw new Fault("GREET-9", "the other side has the own node ID");
  if (own[1].equals(other[1])) throw new Fault("NONCE-5", "the other side has the same nonce");
}

// ## Authentication

const needsTls = (method) => method.startsWith("tls_");

/** The octets of a secret that is given as text [AUTH-20] [AUTH-23]. */
function secretOctets(text) {
  if (text === "") throw new Error("AUTH-20: the secret is empty");
  if (/[^\0-\xff]/.test(text)) throw new Error("AUTH-23: the secret has a character above U+00FF");
  return Buffer.from(text, "latin1");
}

/** The token of the side that sent `own` and received `other` [AUTH-12]; undefined if there is none [AUTH-19]. */
function makeToken(method, secret, own, other) {
  const transcript = Buffer.concat([...own, ...other].flatMap((line) => [line, Buffer.from("\n")]));
  if (method === "tls_sha3_512") return crypto.createHash("sha3-512").update(transcript).digest("hex");
  if (method === "tls_anon") return "";
  if (!secret?.length) return undefined;
  if (method === "cleartext") return secret.toString("hex");
  const hash = { hmac_sha3_512: "sha3-512", hmac_sha2_256: "sha256" }[method];
  return hash && crypto.createHmac(hash, secret).update(transcript).digest("hex");
}

/** Compares in a time that does not depend on where they differ [AUTH-17]. */
function sameToken(one, two) {
  const [first, second] = [Buffer.from(one), Buffer.from(two)];
  return first.length === second.length && crypto.timingSafeEqual(first, second);
}

/** What this side sends by [AUTH-6] to [AUTH-9] and [AUTH-25]: `offer` is what the other one lists, `able` what this one can. */
function choose(offer, able, tlsStarted) {
  const method = offer.methods.find((name) => able.methods.includes(name) && (tlsStarted || !needsTls(name)));
  if (method === undefined) throw new Fault("AUTH-8", "no method in common");
  const framings = offer.framings.filter((name) => able.framings.includes(name));
  const framing = framings.find((name) => name !== "storable") ?? framings[0]; // [STORABLE-15]
  if (framing === undefined) throw new Fault("AUTH-9", "no framing in common");
  return { method, framing };
}

/** Verifies an authentication line, `offer` being what this side's first line lists: `{method, framing, secret}`. */
function verify(octets, offer, secrets, tlsStarted, own, other) {
  const { method, token, framing } = parseAuthentication(octets);
  if (!offer.methods.includes(method)) throw new Fault("AUTH-14", "the method was not offered");
  if (!offer.framings.includes(framing)) throw new Fault("AUTH-15", "the framing was not offered");
  if (needsTls(method) && !tlsStarted) throw new Fault("AUTH-18", "the method is for TLS only");
  if (!needsTls(method) && secrets.length === 0) throw new Fault("AUTH-19", "there is no secret here");
  for (const secret of needsTls(method) ? [null] : secrets) {
    const expected = makeToken(method, secret, other, own); // the roles are swapped [AUTH-13]
    if (expected !== undefined && sameToken(token, expected)) return { method, framing, secret };
  }
  throw new Fault("AUTH-16", "the token is wrong");
}

// ## Framings

/** Octets that grow as they arrive, whatever was announced [LIMIT-6]. */
class Octets {
  buffer = Buffer.allocUnsafe(64);
  length = 0;

  append(octets) {
    if (this.length + octets.length > this.buffer.length) {
      const grown = Buffer.allocUnsafe(2 * (this.length + octets.length));
      this.buffer.copy(grown, 0, 0, this.length);
      this.buffer = grown;
    }
    this.buffer.set(octets, this.length);
    this.length += octets.length;
  }

  push(octet) {
    if (this.length === this.buffer.length) this.append([octet]);
    else this.buffer[this.length++] = octet;
  }

  /** A copy of what is there; then there is nothing. */
  take() {
    const taken = Buffer.from(this.buffer.subarray(0, this.length));
    if (this.buffer.length > 65536) this.buffer = Buffer.allocUnsafe(64);
    this.length = 0;
    return taken;
  }
}

/** Checks UTF-8 (RFC 3629) octet by octet. */
class Utf8 {
  needs = 0; // octets that have to follow
  low = 0x80; // bounds of the next one
  high = 0xbf;

  accepts(octet) {
    if (this.needs > 0) {
      if (octet < this.low || octet > this.high) return false;
      this.needs--;
      this.low = 0x80;
      this.high = 0xbf;
      return true;
    }
    if (octet < 0x80) return true;
    if (octet < 0xc2 || octet > 0xf4) return false;
    this.needs = octet < 0xe0 ? 1 : octet < 0xf0 ? 2 : 3;
    this.low = octet === 0xe0 ? 0xa0 : octet === 0xf0 ? 0x90 : 0x80;
    this.high = octet === 0xed ? 0x9f : octet === 0xf4 ? 0x8f : 0xbf;
    return true;
  }
}

/**
 * What both readers share: the packet under construction and its limits. Containers lie on a stack, so nothing recurses.
 * `packets(chunk)` yields each packet that is complete, and throws a Fault at the octet that cannot be right, wherever
 * the chunks begin and end [FRAME-3] [FRAME-4] [FRAME-6] [FRAME-9] [FRAME-10].
 */
class Reader {
  constructor(limits) {
    this.limits = limits;
    this.begin();
  }

  begin() {
    this.octets = 0;
    this.values = 0;
    this.stack = []; // of {container, left: how many items are to come, key: the one whose value is next}
    this.packet = undefined;
  }

  /** Whether the octets so far end within a packet [FRAME-7]. */
  get incomplete() {
    return this.octets > 0;
  }

  /** The packet, if its last octet was there; the next one begins then. */
  finished() {
    if (this.packet === undefined || this.stack.length > 0) return undefined;
    const packet = this.packet;
    this.begin();
    return packet;
  }

  tooLong() {
    return new Fault("LIMIT-2", `a packet is longer than ${this.limits.octets} octets`);
  }

  countValue() {
    if (++this.values > this.limits.values) throw new Fault("LIMIT-4", `a packet has more than ${this.limits.values} values`);
  }

  get atKey() {
    const top = this.stack.at(-1);
    return top !== undefined && top.container instanceof Map && top.key === undefined;
  }

  /** Puts a value where the next one belongs. */
  add(value) {
    const top = this.stack.at(-1);
    if (top === undefined) this.packet = value;
    else {
      if (Array.isArray(top.container)) top.container.push(value);
      else if (top.key === undefined) top.key = toKey(value);
      else {
        top.container.set(top.key, value); // of a key that comes twice, the last value [VALUE-4]
        top.key = undefined;
      }
      top.left--;
    }
  }

  open(container, left) {
    if (this.stack.length >= this.limits.depth) throw new Fault("LIMIT-3", `a packet is nested deeper than ${this.limits.depth}`);
    this.add(container);
    this.stack.push({ container, left, key: undefined });
  }
}

const isSpace = (octet) => octet === 0x20 || octet === 0x0a || octet === 0x0d || octet === 0x09;
const isDigit = (octet) => octet >= 0x30 && octet <= 0x39;

// What may follow within a number (RFC 8259), by kind of octet; `ends` says where it can end.
const NUMBER = {
  minus: { zero: "zero", digit: "integer" },
  zero: { point: "point", e: "e", ends: true },
  integer: { zero: "integer", digit: "integer", point: "point", e: "e", ends: true },
  point: { zero: "fraction", digit: "fraction" },
  fraction: { zero: "fraction", digit: "fraction", e: "e", ends: true },
  e: { sign: "sign", zero: "exponent", digit: "exponent" },
  sign: { zero: "exponent", digit: "exponent" },
  exponent: { zero: "exponent", digit: "exponent", ends: true },
};
const NUMBER_OCTETS = new Map([..."0123456789.eE+-"].map((character, index) => [
  character.charCodeAt(0),
  index === 0 ? "zero" : index < 10 ? "digit" : index === 10 ? "point" : index < 13 ? "e" : "sign",
]));
const LITERALS = { t: ["true", true], f: ["false", false], n: ["null", null] };
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };

/** Reads json (section 5.2). Each state is a method that takes one octet. */
class JsonReader extends Reader {
  text = new Octets();
  state = this.start;

  *packets(chunk) {
    for (let at = 0; at < chunk.length; at++) {
      const octet = chunk[at];
      if (this.octets === 0 && isSpace(octet)) continue; // [JSON-2]
      if (++this.octets > this.limits.octets) throw this.tooLong();
      this.state(octet);
      const packet = this.finished();
      if (packet) {
        this.state = this.start;
        yield packet;
      }
    }
  }

  malformed() {
    return new Fault("JSON-4", "a packet is no JSON");
  }

  start(octet) {
    if (octet === 0x5b) this.value(octet);
    else if (isDigit(octet) || '{"-tfn'.includes(String.fromCharCode(octet))) throw new Fault("FRAME-5", "a packet is no array");
    else throw this.malformed();
  }

  value(octet) {
    if (isSpace(octet)) return;
    if (octet === 0x22) this.beginText();
    else if (octet === 0x5b || octet === 0x7b) {
      this.countValue();
      this.open(octet === 0x5b ? [] : new Map(), Infinity);
      this.state = octet === 0x5b ? this.valueOrEnd : this.keyOrEnd;
    } else if (octet === 0x2d || isDigit(octet)) {
      this.countValue();
      this.numberState = octet === 0x2d ? "minus" : octet === 0x30 ? "zero" : "integer";
      this.text.push(octet);
      this.state = this.number;
    } else {
      this.literal = LITERALS[String.fromCharCode(octet)];
      if (!this.literal) throw this.malformed();
      this.countValue();
      this.literalAt = 1;
      this.state = this.inLiteral;
    }
  }

  valueOrEnd(octet) {
    if (octet === 0x5d) this.end();
    else this.value(octet);
  }

  keyOrEnd(octet) {
    if (octet === 0x7d) this.end();
    else this.key(octet);
  }

  key(octet) {
    if (octet === 0x22) this.beginText();
    else if (!isSpace(octet)) throw this.malformed();
  }

  colon(octet) {
    if (octet === 0x3a) this.state = this.value;
    else if (!isSpace(octet)) throw this.malformed();
  }

  afterValue(octet) {
    const isArray = Array.isArray(this.stack.at(-1).container);
    if (octet === 0x2c) this.state = isArray ? this.value : this.key;
    else if (octet === (isArray ? 0x5d : 0x7d)) this.end();
    else if (!isSpace(octet)) throw this.malformed();
  }

  end() {
    this.stack.pop();
    this.state = this.afterValue;
  }

  /** A value, or a key, is complete. */
  put(value) {
    this.state = this.atKey ? this.colon : this.afterValue;
    this.add(value);
  }

  inLiteral(octet) {
    const [word, value] = this.literal;
    if (octet !== word.charCodeAt(this.literalAt++)) throw this.malformed();
    if (this.literalAt === word.length) this.put(value);
  }

  number(octet) {
    const next = NUMBER[this.numberState][NUMBER_OCTETS.get(octet)];
    if (next) {
      this.numberState = next;
      this.text.push(octet);
      return;
    }
    if (!NUMBER[this.numberState].ends) throw this.malformed();
    const digits = this.text.take().toString("latin1");
    const isInteger = (this.numberState === "integer" || this.numberState === "zero") && digits !== "-0";
    const integer = isInteger ? parseInteger(digits) : undefined;
    if (isInteger) this.put(integer === undefined ? digits : inRange(integer)); // [JSON-8] [VALUE-2]
    else this.put(Number(digits)); // [JSON-9]
    this.afterValue(octet);
  }

  beginText() {
    this.countValue();
    this.utf8 = new Utf8();
    this.firstHalf = 0; // of a pair of surrogates
    this.state = this.inText;
  }

  inText(octet) {
    if (this.utf8.needs > 0 || octet >= 0x80) {
      if (!this.utf8.accepts(octet)) throw new Fault("JSON-5", "a packet is not UTF-8");
      this.text.push(octet);
    } else if (octet === 0x22) this.put(this.text.take().toString());
    else if (octet === 0x5c) this.state = this.inEscape;
    else if (octet < 0x20) throw this.malformed();
    else this.text.push(octet);
  }

  inEscape(octet) {
    if (octet === 0x75) {
      this.unit = 0;
      this.digits = 0;
      this.state = this.unicode;
      return;
    }
    const character = ESCAPES[String.fromCharCode(octet)];
    if (character === undefined) throw this.malformed();
    this.text.push(character.charCodeAt(0));
    this.state = this.inText;
  }

  unicode(octet) {
    const digit = octet < 0x80 ? parseInt(String.fromCharCode(octet), 16) : NaN;
    if (Number.isNaN(digit)) throw this.malformed();
    this.unit = 16 * this.unit + digit;
    this.digits++;
    // A second half must follow a first one, and only there: two digits tell [JSON-6] [FRAME-9].
    const isSecond = this.digits === 1 ? this.unit === 0xd : this.unit >> (4 * this.digits - 6) === 0x37;
    if (this.firstHalf ? !isSecond : isSecond && this.digits > 1) throw this.lonely();
    if (this.digits < 4) return;
    if (this.unit >> 10 === 0x36) {
      this.firstHalf = this.unit;
      this.state = this.secondHalf;
      return;
    }
    const code = this.firstHalf ? 0x10000 + ((this.firstHalf - 0xd800) << 10) + (this.unit - 0xdc00) : this.unit;
    this.text.append(Buffer.from(String.fromCodePoint(code)));
    this.firstHalf = 0;
    this.state = this.inText;
  }

  secondHalf(octet) {
    if (octet !== 0x5c) throw this.lonely();
    this.state = this.secondHalfEscape;
  }

  secondHalfEscape(octet) {
    if (octet !== 0x75) throw this.lonely();
    this.inEscape(octet);
  }

  lonely() {
    return new Fault("JSON-6", "a text has one half of a surrogate pair");
  }
}

const REFUSED_TAGS = [2n, 3n, 25n, 29n]; // [CBOR-14]

/** Reads cbor (section 5.3): heads octet by octet, strings as they come. */
class CborReader extends Reader {
  string = new Octets();

  begin() {
    super.begin();
    this.missing = 0; // octets of the argument that are to come
    this.awaited = 0; // octets of a string, or of its chunk, that are to come
    this.chunks = undefined; // the major type of a string of indefinite length
    this.tagged = false;
  }

  *packets(chunk) {
    for (let at = 0; at < chunk.length; ) {
      const room = this.limits.octets - this.octets;
      if (room <= 0) throw this.tooLong();
      const count = this.awaited > 0 ? Math.min(this.awaited, chunk.length - at, room) : 1;
      this.octets += count;
      if (this.awaited > 0) this.stringOctets(chunk.subarray(at, at + count));
      else if (this.missing > 0) this.argumentOctet(chunk[at]);
      else this.head(chunk[at]);
      at += count;
      const packet = this.finished();
      if (packet) yield packet;
    }
  }

  malformed() {
    return new Fault("CBOR-3", "a packet is no well-formed CBOR");
  }

  head(octet) {
    const [major, info] = [octet >> 5, octet & 31];
    if (this.stack.length === 0 && major !== 6 && (octet < 0x80 || octet > 0x9f)) {
      throw new Fault("FRAME-5", "a packet is no array");
    }
    if (info > 27 && info < 31) throw this.malformed();
    if (this.chunks !== undefined && octet !== 0xff && (major !== this.chunks || info === 31)) throw this.malformed();
    if (this.atKey && (major === 4 || major === 5)) throw new Fault("CBOR-13", "a key of a map is an array or a map");
    this.major = major;
    this.info = info;
    if (info === 31) this.indefinite();
    else if (info < 24) this.item(BigInt(info));
    else {
      this.argument = 0n;
      this.missing = 1 << (info - 24);
    }
  }

  argumentOctet(octet) {
    this.argument = (this.argument << 8n) | BigInt(octet);
    if (--this.missing === 0) this.item(this.argument);
  }

  /** A head with its argument is complete. */
  item(argument) {
    if (this.major === 6) {
      if (REFUSED_TAGS.includes(argument)) throw new Fault("CBOR-14", `the tag ${argument} says that this is another value`);
      this.tagged = true; // and ignored [CBOR-5] [CBOR-7]
      return;
    }
    this.tagged = false;
    if (this.chunks === undefined) this.countValue();
    switch (this.major) {
      case 0:
        return this.put(argument);
      case 1:
        return this.put(inRange(-1n - argument)); // [VALUE-2]
      case 2:
      case 3:
        return this.beginString(Number(argument));
      case 4:
      case 5:
        this.open(this.major === 4 ? [] : new Map(), Number(argument) * (this.major - 3));
        return this.settle();
      default:
        return this.put(this.simple(Number(argument)));
    }
  }

  indefinite() {
    if (this.major === 7) return this.stop();
    if (this.major < 2 || this.major === 6) throw this.malformed();
    this.tagged = false;
    this.countValue();
    if (this.major < 4) {
      this.chunks = this.major;
      this.isText = this.major === 3;
    } else this.open(this.major === 4 ? [] : new Map(), Infinity);
  }

  /** The octet `ff` */
  stop() {
    if (this.tagged) throw this.malformed();
    if (this.chunks !== undefined) {
      this.chunks = undefined;
      return this.endString();
    }
    const top = this.stack.at(-1);
    if (top.left !== Infinity || top.key !== undefined) throw this.malformed();
    this.stack.pop();
    this.settle();
  }

  beginString(length) {
    if (this.octets + length > this.limits.octets) throw this.tooLong(); // [LIMIT-8]
    this.isText = this.major === 3;
    this.utf8 = new Utf8();
    this.awaited = length;
    if (length === 0 && this.chunks === undefined) this.endString();
  }

  stringOctets(octets) {
    this.awaited -= octets.length;
    if (this.isText && !(octets.every((octet) => this.utf8.accepts(octet)) && this.utf8.needs <= this.awaited)) {
      throw new Fault("CBOR-4", "a text, or a chunk of one, is not UTF-8");
    }
    this.string.append(octets);
    if (this.awaited === 0 && this.chunks === undefined) this.endString();
  }

  endString() {
    const octets = this.string.take();
    this.put(this.isText ? octets.toString() : octets);
  }

  simple(argument) {
    if (this.info === 25) return halfFloat(argument);
    const octets = Buffer.alloc(8);
    octets.writeBigUInt64BE(this.info > 25 ? this.argument : 0n);
    if (this.info === 26) return octets.readFloatBE(4);
    if (this.info === 27) return octets.readDoubleBE(0);
    if (this.info === 24 && argument < 32) throw this.malformed();
    if (argument < 20 || argument > 23) throw new Fault("CBOR-9", `the simple value ${argument} is unknown`);
    return [false, true, null, null][argument - 20]; // [CBOR-8]
  }

  put(value) {
    this.add(value);
    this.settle();
  }

  /** Ends the containers that have all that was announced. */
  settle() {
    while (this.stack.at(-1)?.left === 0) this.stack.pop();
  }
}

function halfFloat(bits) {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  let value = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
  if (exponent === 31) value = fraction ? NaN : Infinity;
  return bits & 0x8000 ? -value : value;
}

/** A value as json, by the table of section 5.5. */
function jsonText(value) {
  if (value === null || typeof value === "boolean") return String(value);
  if (typeof value === "bigint") return inRange(value) === value ? String(value) : `"${value}"`;
  if (typeof value === "number") return Number.isFinite(value) ? floatText(value) : `"${floatText(value)}"`; // [JSON-7]
  if (typeof value === "string") return JSON.stringify(value.toWellFormed());
  if (Buffer.isBuffer(value)) return JSON.stringify(latin1(value));
  if (Array.isArray(value)) return `[${value.map(jsonText).join(",")}]`;
  return `{${[...value].map(([key, item]) => `${jsonText(key)}:${jsonText(item)}`).join(",")}}`;
}

/** A head of cbor, with its argument in as few octets as it fits in. */
function cborHead(major, argument) {
  const length = [24n, 1n << 8n, 1n << 16n, 1n << 32n].findIndex((bound) => argument < bound);
  if (length === 0) return Buffer.from([(major << 5) | Number(argument)]);
  const octets = Buffer.alloc(9);
  octets.writeBigUInt64BE(argument, 1);
  const size = 1 << ((length < 0 ? 4 : length) - 1);
  octets[8 - size] = (major << 5) | (23 + (length < 0 ? 4 : length));
  return octets.subarray(8 - size);
}

/** Appends a value as cbor, by the table of section 5.5. */
function cborPieces(value, pieces) {
  const string = (major, octets) => pieces.push(cborHead(major, BigInt(octets.length)), octets);
  if (value === null) pieces.push(Buffer.from([0xf6]));
  else if (typeof value === "boolean") pieces.push(Buffer.from([value ? 0xf5 : 0xf4]));
  else if (typeof value === "bigint") {
    if (inRange(value) !== value) cborPieces(String(value), pieces);
    else pieces.push(value < 0n ? cborHead(1, -1n - value) : cborHead(0, value));
  } else if (typeof value === "number") {
    const octets = Buffer.alloc(9);
    const isShort = Number.isNaN(value) || Math.fround(value) === value; // [CBOR-11]
    octets[0] = isShort ? 0xfa : 0xfb;
    if (isShort) octets.writeFloatBE(value, 1);
    else octets.writeDoubleBE(value, 1);
    pieces.push(isShort ? octets.subarray(0, 5) : octets);
  } else if (typeof value === "string") string(3, Buffer.from(value.toWellFormed()));
  else if (Buffer.isBuffer(value)) string(2, value);
  else if (Array.isArray(value)) {
    pieces.push(cborHead(4, BigInt(value.length)));
    for (const item of value) cborPieces(item, pieces);
  } else {
    pieces.push(cborHead(5, BigInt(value.size)));
    for (const [key, item] of value) {
      cborPieces(key, pieces);
      cborPieces(item, pieces);
    }
  }
  return pieces;
}

const FRAMINGS = {
  json: { Reader: JsonReader, write: (packet) => Buffer.from(jsonText(packet)) },
  cbor: { Reader: CborReader, write: (packet) => Buffer.concat(cborPieces(packet, [])) },
};
const LIMITS = { octets: 1 << 20, depth: 512, values: 100_000 }; // [LIMIT-2] [LIMIT-3] [LIMIT-4]

// ## TLS

/** The certificates in a file or in several, as PEM texts. */
function readCertificates(files) {
  const texts = [files ?? []].flat().map((file) => fs.readFileSync(file, "utf8"));
  return texts.flatMap((text) => text.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? []);
}

/** What TLS needs: the own certificate, and whom to trust [TLS-5]. */
function readTls({ certificate, authorities, trust, bind_names: bindNames, plain }) {
  const own = fs.readFileSync(certificate, "utf8");
  const [issuers, direct] = [readCertificates(authorities), readCertificates(trust)];
  if (issuers.length + direct.length === 0) direct.push(readCertificates(certificate)[0]);
  return {
    required: !plain,
    bindNames,
    hasAuthorities: issuers.length > 0,
    trusted: direct.map((pem) => new crypto.X509Certificate(pem).raw),
    context: {
      cert: own,
      key: own,
      ca: issuers.length > 0 ? issuers : direct,
      allowPartialTrustChain: true,
      minVersion: "TLSv1.2", // [TLS-10]
      requestCert: true, // [TLS-9]
      rejectUnauthorized: false, // `checkCertificate` decides
      checkServerIdentity: () => undefined, // names mean nothing (section 3.2)
    },
  };
}

/** The names that a certificate is made out to, as `DNS:name` or `URI:uri` [TLS-12]. */
function certificateNames(certificate) {
  const names = certificate.subjectAltName?.match(/(DNS|URI):("([^"\\]|\\.)*"|[^,]*)/g) ?? [];
  return names.map((name) => (name[4] === '"' ? name.slice(0, 4) + JSON.parse(name.slice(4)) : name));
}

const isInTime = ({ validFrom, validTo }) => Date.parse(validFrom) <= Date.now() && Date.now() <= Date.parse(validTo);

/** Throws unless the other side's certificate is trusted [TLS-5] [TLS-9] [TLS-12]. Returns whether that is in its time. */
function checkCertificate(settings, stream, node) {
  const certificate = stream.getPeerX509Certificate();
  if (certificate === undefined) throw new Fault("TLS-9", "the other side has shown no certificate");
  if (settings.trusted.some((raw) => raw.equals(certificate.raw))) return isInTime(certificate);
  if (!settings.hasAuthorities || !stream.authorized) throw new Fault("TLS-5", "the other side's certificate is not trusted");
  if (!settings.bindNames) return true;
  const octets = [...Buffer.from(node)].map((octet) => String.fromCharCode(octet));
  const uri = octets.map((c) => (/[A-Za-z0-9._~/-]/.test(c) ? c : `%${Buffer.from(c, "latin1").toString("hex").toUpperCase()}`));
  const names = certificateNames(certificate);
  if (!names.includes(`DNS:${node}`) && !names.includes(`URI:aemp:${uri.join("")}`)) {
    throw new Fault("TLS-12", "the other side's certificate is not made out to its node ID");
  }
  return true;
}

// ## Connections

/** Compares texts octet by octet in UTF-8 [GREET-21]. */
const compare = (one, two) => Buffer.compare(Buffer.from(one), Buffer.from(two));

/**
 * One connection, through the states of section 2.5: `greeting`, `held` (greeted or verified, and waiting for the node's
 * decision), `securing`, `authenticating`, `up`, `closed`. It tells the node: `greeted`, `verified`, `received`, `closed`.
 */
class Connection {
  state = "greeting";
  lines = new Lines();
  other = []; // the greeting lines of the other side
  sentLine = false; // whether the own authentication line was sent
  lastOctet = Date.now();
  hasAsked = false; // for a sign of life, since the last octet

  constructor(node, socket, isOpener) {
    this.node = node;
    this.socket = socket;
    this.isOpener = isOpener;
    this.timer = this.after(node.timeouts.handshake, () => this.close(new Fault("LIMIT-1", "the handshake takes too long")));
    this.attach(socket);
    if (isOpener) socket.once("connect", () => this.guard(() => this.greet()));
    else this.guard(() => this.greet());
  }

  after(seconds, action) {
    return setTimeout(() => this.guard(action), seconds * 1000);
  }

  /** Does what an event asks for. What goes wrong closes this connection and nothing else. */
  guard(action) {
    this.node.run(() => {
      try {
        if (this.state !== "closed") action();
      } catch (error) {
        this.close(error);
      }
    });
  }

  attach(stream) {
    this.stream = stream;
    this.onData = (octets) => this.guard(() => this.arrived(octets));
    stream.on("data", this.onData);
    stream.on("drain", () => this.guard(() => this.node.drained(this)));
    stream.on("end", () => this.guard(() => this.ended()));
    stream.on("error", (error) => this.guard(() => this.close(error)));
    stream.on("close", () => this.guard(() => this.close(new Error("the connection has ended"))));
  }

  /** Sends the own two lines [CONN-1]. */
  greet() {
    this.socket.setNoDelay();
    const { remoteAddress, remotePort, remoteFamily } = this.socket;
    const address = remoteFamily === "IPv6" ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
    const nonce = crypto.randomBytes(33).toString("base64"); // [NONCE-1] [SEC-2]
    this.own = [Buffer.from(this.node.firstLine(address)), Buffer.from(nonce)];
    this.write(Buffer.concat(this.own.flatMap((line) => [line, Buffer.from("\n")])));
  }

  arrived(octets) {
    this.lastOctet = Date.now();
    this.hasAsked = false;
    if (this.state === "up") {
      this.node.heard(this);
      return this.packets(octets);
    }
    this.lines.push(octets);
    if (this.state === "greeting") this.readGreeting();
    if (this.state === "authenticating") this.readAuthentication();
  }

  readGreeting() {
    while (this.other.length < 2) {
      const line = this.lines.next();
      if (line === undefined) return;
      this.other.push(Buffer.from(line));
      if (this.other.length === 2) break;
      this.greeting = parseGreeting(line);
      if (this.greeting.protocol !== "aemp") throw new Fault("GREET-4", "this protocol is not spoken here");
      if (this.greeting.node === this.node.id) throw new Fault("GREET-9", "the other side has the own node ID");
    }
    decide(this.own, this.other);
    this.peerId = this.greeting.node; // a claim until the line is verified [GREET-20]
    const version = this.greeting.keys.get("tls");
    const wantsTls = version?.startsWith("1.") ?? false;
    this.usesTls = wantsTls && this.node.tls !== undefined; // [TLS-2]
    if (this.node.tls?.required && !wantsTls) {
      throw new Fault(version === undefined ? "TLS-7" : "TLS-15", "the other side does not want such TLS as is required here");
    }
    this.node.greeted(this);
  }

  /** Reads no more, until `resume` calls `next`. */
  hold(next) {
    this.state = "held";
    this.next = next;
    this.stream.pause(); // so what a stranger sends meanwhile is not kept here [LIMIT-7]
  }

  resume() {
    this.stream.resume();
    this.next();
  }

  /** The node has decided to go on after the greeting. */
  goOn() {
    if (this.usesTls) this.secure();
    else this.authenticate();
  }

  /** Starts TLS; what came behind the nonce line belongs to it [TLS-2] [TLS-3] [TLS-4]. */
  secure() {
    this.state = "securing";
    const { socket } = this;
    const { context } = this.node.tls;
    socket.off("data", this.onData);
    socket.pause();
    const rest = this.lines.take();
    if (rest.length > 0) socket.unshift(rest);
    const failed = (error) => this.guard(() => {
      if (this.state === "securing") this.close(new Fault("TLS-6", `TLS failed: ${error?.message ?? "the connection has ended"}`));
    });
    const secured = (stream) => {
      this.attach(stream);
      this.guard(() => {
        const isInTime = checkCertificate(this.node.tls, stream, this.peerId);
        if (!isInTime) this.node.log(`TLS-14: the time of the certificate of ${JSON.stringify(this.peerId)} is not now`);
        this.authenticate();
      });
    };
    if (Buffer.compare(this.own[1], this.other[1]) < 0) {
      const stream = tls.connect({ ...context, socket }, () => secured(stream)); // without a server name [TLS-13]
      stream.on("error", failed);
      stream.on("close", failed);
    } else {
      const server = tls.createServer(context, secured);
      server.on("tlsClientError", failed);
      server.emit("connection", socket);
    }
  }

  authenticate() {
    this.state = "authenticating";
    this.sends = choose(this.greeting, this.node.able, this.usesTls); // the acceptor looks, too
    if (this.isOpener) this.sendLine(this.node.secrets[0]); // [AUTH-3]
    this.readAuthentication();
  }

  sendLine(secret) {
    const { method, framing } = this.sends;
    this.sentLine = true;
    this.write(`${method};${makeToken(method, secret, this.own, this.other)};${framing}\n`);
  }

  readAuthentication() {
    const line = this.lines.next();
    if (line === undefined) return;
    const { node } = this;
    const right = verify(line, node.able, node.secrets, this.usesTls, this.own, this.other);
    this.secret = right.secret ?? node.secrets[0];
    this.reader = new FRAMINGS[right.framing].Reader(node.limits);
    node.verified(this);
  }

  /** The node has decided that this is the connection to its peer: an acceptor sends its line only now [AUTH-4] [SEC-7]. */
  comeUp() {
    clearTimeout(this.timer);
    if (!this.isOpener) this.sendLine(this.secret);
    this.state = "up";
    this.watchSilence();
    this.node.up(this);
    this.packets(this.lines.take()); // [AUTH-11]
  }

  packets(octets) {
    for (const packet of this.reader.packets(octets)) {
      this.node.received(this.peerId, packet);
      this.node.drain();
      if (this.state !== "up") return;
    }
  }

  /** The other side has ended its direction: what it sent before was delivered already [CONN-10]. */
  ended() {
    const within = this.state === "up" && this.reader.incomplete;
    this.close(within ? new Fault("FRAME-7", "the connection has ended within a packet") : new Error("the connection has ended"));
  }

  /** Sends a packet, and returns whether it is small enough for that. If too much waits, the connection is lost [PEER-3]. */
  send(packet) {
    if (this.state !== "up") return true;
    const octets = FRAMINGS[this.sends.framing].write(packet);
    if (octets.length > Math.max(LIMITS.octets, this.node.limits.octets)) {
      this.node.log(`LIMIT-5: a message of ${octets.length} octets was not sent`);
      return false;
    }
    this.write(octets);
    const limit = this.node.limits.waiting;
    if (this.waiting > limit) this.close(new Fault("PEER-3", `more than ${limit} octets wait`));
    return true;
  }

  /** How many octets wait to be sent. */
  get waiting() {
    return this.stream.writableLength;
  }

  /** Writes, and collects what is written at once into larger pieces. */
  write(octets) {
    if (this.stream.writableCorked === 0) {
      const { stream } = this;
      stream.cork();
      process.nextTick(() => stream.uncork());
    }
    this.stream.write(octets);
  }

  /** Asks for a sign of life [PEER-9] [PEER-10]. */
  askForLife() {
    this.send(["", "snd", this.node.id]);
  }

  /** Gives the connection up when nothing arrives, after having asked [PEER-10]. */
  watchSilence() {
    const silent = (Date.now() - this.lastOctet) / 1000;
    const limit = this.node.timeouts.silence;
    if (silent >= limit && this.hasAsked) return this.close(new Fault("PEER-10", `nothing has arrived for ${limit} seconds`));
    if (silent >= limit / 2 && !this.hasAsked) {
      this.hasAsked = true; // until something arrives
      this.askForLife();
    }
    const wait = (this.hasAsked ? limit : limit / 2) - silent;
    this.timer = this.after(Math.max(wait, 0.01), () => this.watchSilence());
  }

  /** Closes at once, in both directions, and says nothing about why to the other side [ERR-1]. */
  close(reason) {
    if (this.state === "closed") return;
    const before = this.state;
    this.state = "closed";
    clearTimeout(this.timer);
    this.stream.uncork(); // what was sent before the fault may still arrive
    this.stream.destroy();
    this.socket.destroy();
    this.node.closed(this, before, reason);
  }
}

// ## Peers, ports, watches

/** A watch of this node. It fires once at most [MON-7], and never after it was given up [MON-12]. */
class Watch {
  constructor(node, id, action) {
    this.node = node;
    this.id = id;
    this.action = action;
  }

  fire(reasons) {
    const { action } = this;
    this.action = undefined;
    if (action) this.node.attempt(() => action(reasons));
  }

  fireLater(reasons) {
    this.node.later(() => this.fire(reasons));
  }
}

/** Another node: `connecting`, `up`, or `lost` while its watches fire; in no state if `Node.peers` has it not (section 7.6). */
class Peer {
  state = "connecting";
  connection = undefined;
  kept = []; // packets to send when a connection comes up [PEER-1]
  keptOctets = 0;
  watches = new Map(); // own watches: from port names, "" being the node itself, to sets
  watchers = 0; // how many watches it has on ports here [MON-11]
  watchedPorts = new Set(); // the ports that it watches
  doubters = new Set(); // connections that may take the place of this one [PEER-9]

  constructor(id) {
    this.id = id;
  }
}

/**
 * A port (section 7.1). `code` has `tags`, a map from tags to functions of the elements behind the tag, and perhaps `any`,
 * a function of all elements. A function is called with the elements and the port.
 */
class Port {
  ended = false;
  watches = new Set(); // of this node
  watchers = new Map(); // from peers to the number of their watches

  constructor(name, code, ignoresUnknown) {
    this.name = name;
    this.code = code;
    this.ignoresUnknown = ignoresUnknown;
  }

  handle(elements) {
    const tag = toPortName(elements[0] ?? undefined);
    const { tags = {}, any } = this.code;
    if (tag !== undefined && Object.hasOwn(tags, tag)) tags[tag](elements.slice(1), this);
    else if (any) any(elements, this);
    else if (!this.ignoresUnknown) return ["unhandled_message", `no callback found for message '${printable(tag ?? "")}'`];
    return undefined;
  }
}

/** The first 30 characters of a tag, with dots for those that cannot be printed. */
const printable = (text) => [...text].slice(0, 30).join("").replace(/[^\x20-\x7e]/gu, ".");

// ## The node

const PATIENCE = 1.5; // seconds that an old connection has to show that it lives [PEER-9], or a chosen one to come up
const KEPT = 200; // octets that each node without a connection, and each packet that is kept for it, count for beside its own

class Node {
  ports = new Map();
  peers = new Map();
  connections = new Set();
  tasks = [];
  keptOctets = 0; // of packets for nodes without a connection
  spawnedBy = new Map(); // from nodes to the number of ports that they have spawned and that have not ended
  functions = new Map(); // from names to {called, spawned} [NODE-7]

  constructor(settings) {
    if (!isNodeId(settings.node)) throw new Error("GREET-7: this is no node ID");
    this.id = settings.node;
    this.secure = settings.secure ?? false;
    this.timeouts = { handshake: 30, connect: 10, silence: 60, ...known(settings.timeouts) };
    this.limits = { ...LIMITS, waiting: 16 << 20, watches: 100_000, handshakes: 100, spawned: 10_000, ...known(settings.limits) };
    const secrets = [settings.secret, ...(settings.secret == null ? [] : settings.further_secrets ?? [])];
    this.secrets = secrets.filter((text) => text != null).map(secretOctets); // the first is sent [SEC-6]
    this.tls = settings.certificate ? readTls(settings) : undefined;
    const allow = settings.allow ?? [];
    const withSecret = this.secrets.length > 0;
    const methods = [
      [withSecret || this.tls, "tls_sha3_512"], // [AUTH-21]
      [withSecret, "hmac_sha3_512"],
      [withSecret, "hmac_sha2_256"],
      [this.tls && allow.includes("tls_anon"), "tls_anon"], // [AUTH-22]
      [withSecret && allow.includes("cleartext"), "cleartext"],
    ];
    this.able = {
      methods: methods.filter(([isAble]) => isAble).map(([, method]) => method),
      framings: (settings.framings ?? ["cbor", "json"]).filter((name) => Object.hasOwn(FRAMINGS, name)), // [FRAME-8]
    };
    if (this.able.methods.length === 0) throw new Error("AUTH-19: there is neither a secret nor a certificate");
    if (this.able.framings.length === 0) throw new Error("GREET-11: there is no framing to offer");
    this.prefix = `${crypto.randomBytes(9).toString("base64url")}.`; // [MSG-11]
    this.counter = 0;
    this.seeds = (settings.seeds ?? []).map((address) => new Seed(this, address));
    this.drained = () => {}; // called with a connection on which nothing waits any more
    if (Buffer.byteLength(this.firstLine("")) > LINE_LIMIT - 100) throw new Error("CONN-5: the node ID is too long");
    this.make("", {}); // the node port: `deliver` knows what to do with its messages
  }

  firstLine(address) {
    const keys = [`provider=aemp-javascript-${VERSION}`, `peeraddr=${escape(address)}`, "mproto=1", "arbiter=1"];
    if (this.tls) keys.push("tls=1.0"); // [TLS-1]
    return ["aemp", "1", this.id, this.able.methods.join(","), this.able.framings.join(","), ...keys].join(";");
  }

  log(text) {
    process.stderr.write(`${this.id}: ${text}\n`);
  }

  // What is to be done later is done when the present event has come to its end [PORT-4], and before the next one.

  later(task) {
    this.tasks.push(task);
  }

  run(event) {
    this.attempt(event);
    this.drain();
  }

  drain() {
    if (this.draining) return;
    this.draining = true;
    while (this.tasks.length > 0) {
      const { tasks } = this;
      this.tasks = [];
      tasks.forEach((task) => this.attempt(task));
    }
    this.draining = false;
  }

  /** A fault of the program itself is reported, and the node goes on. */
  attempt(action) {
    try {
      action();
    } catch (error) {
      this.log(`this should not happen: ${error.stack}`);
    }
  }

  // Connections

  listen(address) {
    const [host, port] = splitAddress(address);
    const server = net.createServer({ allowHalfOpen: true }, (socket) => this.accept(socket));
    return new Promise((resolve, reject) => {
      server.on("error", (error) => {
        this.log(`listening failed: ${error.message}`);
        reject(error);
      });
      server.listen({ host, port }, () => {
        const bound = server.address();
        resolve([bound.family === "IPv6" ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`]);
      });
    });
  }

  accept(socket) {
    const handshakes = [...this.connections].filter((connection) => !connection.isOpener && connection.state !== "up").length;
    if (handshakes >= this.limits.handshakes) {
      this.log("SEC-5: a connection was refused, since too many handshakes are under way");
      socket.on("error", () => {});
      socket.destroy();
    } else this.connections.add(new Connection(this, socket, false));
  }

  dial(address) {
    const [host, port] = splitAddress(address);
    const connection = new Connection(this, net.connect({ host, port, allowHalfOpen: true }), true);
    this.connections.add(connection);
    return connection;
  }

  /** Others to the same node. */
  rivals(connection) {
    return [...this.connections].filter((other) => other !== connection && other.peerId === connection.peerId);
  }

  /** Whether this node chooses among simultaneous connections [PEER-6]. */
  isArbiter({ greeting, peerId }) {
    return greeting.keys.get("arbiter") !== "1" || compare(this.id, peerId) < 0;
  }

  /** Decides what becomes of a connection whose greeting was read [GREET-19]. */
  greeted(connection) {
    const peer = this.peers.get(connection.peerId);
    if (peer?.state === "up" && !connection.mayReplace) return this.doubt(peer, connection);
    const goesOn = ({ isOpener, state }) => isOpener && (state === "securing" || state === "authenticating");
    const mustWait = connection.isOpener && this.isArbiter(connection) && this.rivals(connection).some(goesOn); // [PEER-7]
    if (mustWait) connection.hold(() => this.greeted(connection));
    else connection.goOn();
  }

  /**
   * Finds out whether the old connection lives, before it decides about the new one [PEER-5] [PEER-9]. If it does not, the
   * new one goes on, and takes its place when it is verified: before that its node ID is a claim of anybody [GREET-20].
   */
  doubt(peer, connection) {
    connection.hold(() => this.greeted(connection));
    peer.doubters.add(connection);
    peer.connection.askForLife();
    connection.after(PATIENCE, () => {
      connection.mayReplace = true;
      if (connection.state === "held") connection.resume();
    });
  }

  /** Something has arrived on a connection that is up: it lives. */
  heard({ peerId }) {
    const { doubters } = this.peers.get(peerId);
    for (const connection of doubters) {
      doubters.delete(connection);
      connection.close(new Fault("GREET-19", "there is a connection to that node already"));
    }
  }

  /** The authentication line of the other side was right. */
  verified(connection) {
    const peer = this.peers.get(connection.peerId);
    if (peer?.state === "up") {
      connection.hold(() => this.verified(connection)); // until the watches have fired
      return peer.connection.close(new Fault("PEER-9", "the node is back, and this connection shows no sign of life"));
    }
    const rivals = this.rivals(connection);
    // An own connection on which the line was sent may be up on the other side already: it comes first, for a while.
    const chosen = rivals.find((rival) => rival.isOpener && rival.sentLine && rival.state === "authenticating");
    if (chosen && !connection.isOpener && this.isArbiter(connection)) {
      connection.hold(() => this.verified(connection)); // [PEER-7]
      chosen.after(PATIENCE, () => {
        const isStalled = chosen.state === "authenticating" && connection.state === "held";
        if (isStalled) chosen.close(new Fault("PEER-7", "another connection was verified meanwhile"));
      });
      return undefined;
    }
    for (const rival of rivals) rival.close(new Fault("PEER-11", "another connection to that node has come up"));
    return connection.comeUp();
  }

  up(connection) {
    const peer = this.peers.get(connection.peerId) ?? new Peer(connection.peerId);
    this.peers.set(peer.id, peer);
    Object.assign(peer, { state: "up", connection });
    this.log(`${JSON.stringify(peer.id)} is up`);
    for (const packet of this.takeKept(peer)) connection.send(packet); // [PEER-2]
  }

  closed(connection, before, reason) {
    this.connections.delete(connection);
    const name = JSON.stringify(connection.peerId ?? connection.greeting?.node ?? "?");
    this.log(`the connection to ${name} was closed: ${JSON.stringify(reason.message)}`);
    const peer = this.peers.get(connection.peerId);
    peer?.doubters.delete(connection);
    if (before === "up" && peer) this.lose(peer, reason.message);
    for (const rival of this.rivals(connection)) {
      if (rival.state === "held") setImmediate(() => rival.guard(() => rival.state === "held" && rival.resume()));
    }
    for (const seed of this.seeds) seed.closed(connection, before === "up");
  }

  /** The connection to a peer is lost, or there will be none: fires all watches on it [MON-8] [MON-9] [MON-10] [PEER-4]. */
  lose(peer, text) {
    if (peer.state === "lost") return;
    this.takeKept(peer);
    peer.state = "lost"; // until all watches fire, in one step, what is sent is lost, too
    for (const name of peer.watchedPorts) this.ports.get(name)?.watchers.delete(peer);
    this.later(() => {
      this.peers.delete(peer.id);
      const watches = [...peer.watches.values()].flatMap((set) => [...set]);
      for (const watch of watches) watch.fire(["transport_error", peer.id, text]);
    });
  }

  /** The IDs of the nodes to which there is a connection that is up. */
  upNodes() {
    const up = [...this.peers.values()].filter(({ state }) => state === "up");
    return up.map(({ id }) => id).sort(compare);
  }

  // Sending

  /** The peer of that ID; if it is unknown, it has until `timeouts.connect` to come up [PEER-1] [MON-10]. */
  peer(id) {
    let peer = this.peers.get(id);
    if (peer === undefined) {
      peer = new Peer(id);
      this.peers.set(id, peer);
      peer.timer = setTimeout(() => this.run(() => this.lose(peer, "the node cannot be reached")), this.timeouts.connect * 1000);
      this.keep(peer, KEPT);
    }
    return peer;
  }

  /** What waits for nodes without a connection is bounded for all of them together [PEER-3]. */
  keep(peer, octets) {
    peer.keptOctets += octets;
    this.keptOctets += octets;
    if (this.keptOctets > this.limits.waiting) this.lose(peer, "too much waits for nodes without a connection");
  }

  takeKept(peer) {
    clearTimeout(peer.timer);
    this.keptOctets -= peer.keptOctets;
    peer.keptOctets = 0;
    return peer.kept.splice(0);
  }

  /** Sends elements to a port, on whichever node that is [MSG-1]. */
  send(to, elements) {
    if (to.node === this.id) this.later(() => this.deliver(this.id, to.port, elements));
    else this.sendPacket(to.node, [to.port, ...elements]);
  }

  sendPacket(id, packet) {
    const peer = this.peer(id);
    if (peer.state === "up") return peer.connection.send(packet);
    if (peer.state === "lost") return undefined;
    peer.kept.push(packet);
    return this.keep(peer, KEPT + FRAMINGS.cbor.write(packet).length);
  }

  // Ports

  newName() {
    return `${this.prefix}${(this.counter++).toString(36)}`;
  }

  /** Makes a port; without a name, one that was not made by name or by spawning [PORT-3]. */
  make(name, code) {
    const port = new Port(name ?? this.newName(), code, name !== undefined);
    this.ports.set(port.name, port);
    return port;
  }

  idOf(port) {
    return `${this.id}#${port.name}`;
  }

  received(from, packet) {
    const { port, elements } = classify(packet);
    if (port !== undefined) this.deliver(from, port, elements);
  }

  /** Gives a message to a port; of one that is not there nothing is said [MSG-5] [PORT-1]. */
  deliver(from, name, elements) {
    if (name === "") return this.request(from, elements);
    const port = this.ports.get(name);
    return port && this.runAs(port, () => port.handle(elements));
  }

  /** Runs code of a port, which ends if that fails, or returns reasons [PORT-2] [PORT-3] [SPAWN-4]. */
  runAs(port, code) {
    let reasons;
    try {
      reasons = code();
    } catch (error) {
      reasons = ["die", error.message];
    }
    if (reasons) this.end(port, reasons);
  }

  /** Ends a port, and tells whoever watches it [MON-1]. The node port never ends [KILL-2]. */
  end(port, reasons) {
    if (port.ended || port.name === "") return;
    port.ended = true;
    this.ports.delete(port.name);
    if (port.spawnedBy !== undefined) {
      const left = this.spawnedBy.get(port.spawnedBy) - 1;
      if (left > 0) this.spawnedBy.set(port.spawnedBy, left);
      else this.spawnedBy.delete(port.spawnedBy);
    }
    for (const [peer, count] of port.watchers) {
      peer.watchers -= count;
      peer.watchedPorts.delete(port.name);
      for (let sent = 0; sent < count; sent++) {
        const isSent = peer.connection.send(["", "kil0", port.name, ...reasons]);
        if (!isSent) peer.connection.send(["", "kil0", port.name, "die", "the reasons are too large for a packet"]); // [MON-1]
      }
    }
    for (const watch of port.watches) watch.fireLater(reasons);
  }

  // Watches of this node

  /** Watches a port, or a node if the name of the port is empty; `action` gets the reasons. */
  watch(id, action) {
    const watch = new Watch(this, id, action);
    if (id.node === this.id) {
      const port = this.ports.get(id.port);
      if (port) port.watches.add(watch);
      else watch.fireLater(noSuchPort(id));
      return watch;
    }
    const peer = this.peer(id.node);
    const watches = peer.watches.get(id.port) ?? new Set();
    peer.watches.set(id.port, watches.add(watch));
    if (watches.size === 1 && id.port !== "") this.sendPacket(peer.id, ["", "mon1", id.port]); // [MON-6]
    return watch;
  }

  unwatch(watch) {
    const { id } = watch;
    watch.action = undefined;
    if (id.node === this.id) this.ports.get(id.port)?.watches.delete(watch);
    const peer = this.peers.get(id.node);
    const watches = peer?.watches.get(id.port);
    if (!watches?.delete(watch) || watches.size > 0) return;
    peer.watches.delete(id.port);
    if (id.port !== "") this.sendPacket(peer.id, ["", "mon0", id.port]); // [MON-6]
  }

  // Requests (section 7.2)

  /** A message to the node port. What is not known, or cannot be used, is ignored [NODE-1]. */
  request(from, [name, ...values]) {
    const text = toText(name);
    if (text === undefined) return;
    if (Object.hasOwn(REQUESTS, text)) REQUESTS[text](this, from, ...values);
    else if (this.actsFor(from)) this.call(text, values);
  }

  /** Whether this node calls and spawns functions, and passes something on, for a node [NODE-9]. */
  actsFor(from) {
    return !this.secure || from === this.id;
  }

  /** Calls a function that was registered for that. What it sends is sent by its own code [NODE-7] [NODE-10]. */
  call(name, values) {
    try {
      this.functions.get(name)?.called?.(values);
    } catch (error) {
      this.log(`the function ${name} failed: ${error.message}`);
    }
  }

  can(name) {
    return Object.hasOwn(REQUESTS, name) || this.functions.has(name);
  }

  /** Sends on behalf of another node, unless that is forbidden [NODE-3] [NODE-9] [NODE-10] [NODE-12]. */
  sendFor(from, to, elements) {
    const [name, target] = elements;
    const isForPort = toPortName(name ?? null) === "snd" && (toPortId(target)?.port ?? "") !== "";
    const mayPass = to.port !== "" || (to.node !== this.id && isForPort);
    if (from === this.id || from === to.node || (mayPass && this.actsFor(from))) this.send(to, elements);
  }

  /** Makes a port for another node, and runs a function in its name [SPAWN-2] [SPAWN-3]. */
  spawnFor(from, name, functionName, values) {
    const spawned = this.actsFor(from) ? this.functions.get(functionName)?.spawned : undefined;
    if (!spawned || name === "" || this.ports.has(name)) return;
    const count = this.spawnedBy.get(from) ?? 0;
    if (count >= this.limits.spawned) return; // [SPAWN-5]
    const port = this.make(name, { tags: {} });
    port.spawnedBy = from;
    this.spawnedBy.set(from, count + 1);
    this.runAs(port, () => void spawned(values, port));
  }

  /** Spawns a port on a node, and returns its ID [SPAWN-1]. */
  spawn(node, functionName, values) {
    const port = this.newName();
    this.send({ node, port: "" }, ["AnyEvent::MP::_spawn", port, functionName, ...values]);
    return `${node}#${port}`;
  }

  /** Ends a port on whichever node it is. */
  kill(id, reasons) {
    if (id.node !== this.id) return this.sendPacket(id.node, ["", "kil1", id.port, ...reasons]);
    const port = this.ports.get(id.port);
    return port && this.end(port, reasons);
  }
}

const noSuchPort = ({ node, port }) => ["no_such_port", "cannot monitor nonexistent port", `${node}#${port}`]; // [MON-2]
const known = (settings) => Object.fromEntries(Object.entries(settings ?? {}).filter(([, value]) => value != null));

/** The host and the port of an address, `HOST:PORT` or `[IP]:PORT`. */
function splitAddress(address) {
  const [, host, port] = /^(.*):([0-9]{1,5})$/.exec(address) ?? [];
  if (port === undefined || Number(port) > 65535) throw new Error(`${JSON.stringify(address)} is no address HOST:PORT`);
  return [host.replace(/^\[(.*)\]$/, "$1"), Number(port)];
}

const PORT_LIMIT = 256; // octets of a port name [LIMIT-10]

/** The port name in an argument, or undefined. A missing one, or one that is too long, is none; null is the node port. */
function portArgument(value) {
  const name = value === undefined ? undefined : toPortName(value);
  return name !== undefined && Buffer.byteLength(name) <= PORT_LIMIT ? name : undefined;
}

/** A request that answers: `to` gets its values and then what `result` says [NODE-4] [NODE-5] [NODE-6]. */
function answer(node, from, to, values, result) {
  const id = toPortId(to);
  if (id) node.sendFor(from, id, [...values, ...result]);
}

const REQUESTS = {
  mon1(node, from, name) {
    const text = portArgument(name);
    const peer = node.peers.get(from);
    if (!text || peer?.state !== "up") return; // a node port never ends
    const port = node.ports.get(text);
    if (!port) return peer.connection.send(["", "kil0", text, ...noSuchPort({ node: node.id, port: text })]);
    port.watchers.set(peer, (port.watchers.get(peer) ?? 0) + 1);
    peer.watchedPorts.add(text);
    if (++peer.watchers > node.limits.watches) {
      peer.connection.close(new Fault("MON-11", `it has more than ${node.limits.watches} watches`));
    }
  },
  mon0(node, from, name) {
    const text = portArgument(name);
    const peer = node.peers.get(from);
    const watchers = node.ports.get(text)?.watchers;
    const count = watchers?.get(peer);
    if (!count) return; // [MON-3]
    peer.watchers--;
    if (count > 1) watchers.set(peer, count - 1);
    else {
      watchers.delete(peer);
      peer.watchedPorts.delete(text);
    }
  },
  kil0(node, from, name, ...reasons) {
    const text = portArgument(name);
    if (!text) return; // a node port never ends
    const watches = node.peers.get(from)?.watches;
    for (const watch of watches?.get(text) ?? []) watch.fireLater(reasons); // [MON-4] [MON-5]
    watches?.delete(text);
  },
  kil1(node, from, name, ...reasons) {
    const port = node.ports.get(portArgument(name));
    if (port) node.end(port, reasons); // [KILL-1] [KILL-2]
  },
  snd: (node, from, to, ...values) => answer(node, from, to, values, []),
  can(node, from, name, to, ...values) {
    const text = portArgument(name);
    if (text !== undefined) answer(node, from, to, values, [node.can(text) ? "1" : ""]);
  },
  time: (node, from, to, ...values) => answer(node, from, to, values, [Date.now() / 1000]),
  devnull() {},
  eval(node, from, text, to, ...values) {
    const isUpNodes = toText(text) === "AnyEvent::MP::Kernel::up_nodes"; // [NODE-11]
    answer(node, from, to, values, isUpNodes ? ["", ...node.upNodes()] : ["this node runs no code"]);
  },
  "AnyEvent::MP::_spawn"(node, from, name, functionName, ...values) {
    const [port, text] = [portArgument(name), toText(functionName)];
    if (port !== undefined && text !== undefined) node.spawnFor(from, port, text, values);
  },
};

const SEED_WAIT = 1.2; // seconds, at least, before the first further try; twice as long at most [GLOBAL-5]
const SEED_LONGEST = 30;
const LOOK_AGAIN = 240; // seconds until a seed whose node is up by another connection is looked at again

/** An address to connect to, again and again, while there is no connection to the node there [GLOBAL-4]. */
class Seed {
  wait = SEED_WAIT;
  lookedAt = 0;

  constructor(node, address) {
    this.node = node;
    this.address = address;
    splitAddress(address); // so that a bad one is found at the start
  }

  get isUp() {
    return this.node.peers.get(this.peerId)?.state === "up";
  }

  dial() {
    if (this.isUp && Date.now() < this.lookedAt + LOOK_AGAIN * 1000) return this.again();
    this.lookedAt = Date.now();
    return this.node.run(() => (this.connection = this.node.dial(this.address)));
  }

  again() {
    if (this.isUp) this.wait = SEED_WAIT;
    setTimeout(() => this.dial(), this.wait * (1 + Math.random()) * 1000);
    this.wait = Math.min(2 * this.wait, SEED_LONGEST);
  }

  closed(connection, wasUp) {
    if (connection !== this.connection) return;
    this.connection = undefined;
    if (connection.greeting?.node === this.node.id) return; // it is this node itself: tried no more [GLOBAL-6]
    this.peerId = connection.peerId ?? this.peerId;
    if (wasUp) this.wait = SEED_WAIT;
    this.again();
  }
}

// ## Logs

const LOG_CATCHERS = 100; // [LOG-10]
const LOG_WAITING = 1 << 20; // octets that may wait for the node of a catcher when a record is to be sent [LOG-8]

/** Offers the records of this node to others (chapter 9). The node's own reports on standard error are no records [LOG-7]. */
class Logs {
  catchers = new Map(); // from port IDs to {id, level, dropped}

  constructor(node) {
    this.node = node;
    node.functions.set("AnyEvent::MP::LogCatcher::connect", { called: ([, catcher, level]) => this.connect(catcher, level) });
    node.drained = () => this.catchers.forEach((catcher) => this.report(catcher));
  }

  connect(catcher, wanted) {
    const id = toPortId(catcher);
    const level = toInteger(wanted, 1n);
    if (id === undefined || id.port === "" || level === undefined) return; // [LOG-5] [LOG-6]
    const key = `${id.node}#${id.port}`;
    const entry = this.catchers.get(key) ?? { id, dropped: 0 };
    if (!this.catchers.has(key)) {
      if (this.catchers.size >= LOG_CATCHERS) return;
      this.catchers.set(key, entry);
      this.node.watch(id, () => this.catchers.delete(key)); // [LOG-3]
    }
    entry.level = level > 9n ? 9n : level; // [LOG-4] [LOG-6]
  }

  record(level, context, text) {
    for (const catcher of this.catchers.values()) {
      if (level > catcher.level) continue;
      this.report(catcher);
      if (catcher.dropped > 0 || !this.hasRoom(catcher)) catcher.dropped++;
      else this.node.send(catcher.id, [Date.now() / 1000, context, level, text]); // [LOG-1] [LOG-2]
    }
  }

  /** Tells how many records were dropped, as soon as there is room for it [LOG-9]. */
  report(catcher) {
    if (catcher.dropped === 0 || !this.hasRoom(catcher)) return;
    const text = `${catcher.dropped} records were lost: more came than could be taken`;
    catcher.dropped = 0;
    this.node.send(catcher.id, [Date.now() / 1000, "logs", catcher.level < 5n ? catcher.level : 5n, text]);
  }

  hasRoom({ id }) {
    const peer = this.node.peers.get(id.node);
    const waiting = peer?.state === "up" ? peer.connection.waiting : peer?.keptOctets ?? 0;
    return waiting < Math.min(LOG_WAITING, this.node.limits.waiting / 2);
  }
}

// ## CONTRACT.md

/** What the conformance suite asks of a node: the ports `echo` and `control`, and some functions. */
function offerContract(node, logs) {
  const watches = new Map();
  const echo = (elements) => {
    const to = toPortId(elements.at(-1));
    if (to) node.send(to, elements.slice(0, -1));
  };
  const fail = (text) => {
    throw new Error(text);
  };
  const needed = (value, what) => value ?? fail(`the function needs ${what}`);

  const collecting = () => {
    let count = 0n;
    return (elements) => {
      const to = elements.length === 2 && toText(elements[0]) === "flush" ? toPortId(elements[1]) : undefined;
      if (to) node.send(to, [count]);
      else count++;
    };
  };
  const kinds = {
    bare: () => ({}),
    tagged: () => ({ tags: { known: echo } }),
    echo: () => ({ any: echo }),
    failing: () => ({ any: () => fail("oops") }),
    collecting: () => ({ any: collecting() }),
  };

  const control = {
    send([port, ...elements]) {
      const id = toPortId(port);
      if (id) node.send(id, elements);
    },
    flood([port, count, octets]) {
      const [id, many, length] = [toPortId(port), toInteger(count), toInteger(octets)];
      if (!id || many === undefined || length === undefined || length < 0n || length > LIMITS.octets || many > 1_000_000n) return;
      const padding = "x".repeat(Number(length));
      for (let index = 0n; index < many && node.peers.get(id.node)?.state !== "lost"; index++) node.send(id, [index, padding]);
    },
    watch([name, port, to]) {
      const [text, id, receiver] = [toText(name), toPortId(port), toPortId(to)];
      if (text === undefined || !id || !receiver) return;
      const watch = node.watch(id, (reasons) => {
        if (watches.get(text) === watch) watches.delete(text);
        node.send(receiver, [text, ...reasons]);
      });
      watches.set(text, watch);
    },
    unwatch([name]) {
      const watch = watches.get(toText(name));
      if (watch) node.unwatch(watch);
      watches.delete(toText(name));
    },
    end([port, ...reasons]) {
      const id = toPortId(port);
      if (id) node.kill(id, reasons);
    },
    new([kind, to]) {
      const [text, id] = [toText(kind), toPortId(to)];
      if (id && Object.hasOwn(kinds, text)) node.send(id, [node.idOf(node.make(undefined, kinds[text]()))]);
    },
    spawn([where, name, to, ...values]) {
      const [place, text, id] = [toText(where), toText(name), toPortId(to)];
      if (text !== undefined && id && isNodeId(place ?? "")) node.send(id, [node.spawn(place, text, values)]);
    },
    log([level, text]) {
      const [number, line] = [toInteger(level, 4n, 9n), toText(text)];
      if (number !== undefined && line !== undefined) logs.record(number, "control", line);
    },
  };
  node.make("echo", { any: echo });
  node.make("control", { tags: control });

  const spawnedTags = {
    echo,
    fail: ([text]) => fail(toText(text) ?? ""),
    end: (reasons, port) => node.end(port, reasons),
    self: ([to], port) => {
      const id = toPortId(to);
      if (id) node.send(id, [node.idOf(port)]);
    },
  };
  node.functions.set("conformance::tell", {
    called: ([to, ...elements]) => node.send(needed(toPortId(to), "a port ID"), elements),
  });
  node.functions.set("conformance::port", {
    spawned(values, port) {
      port.code = { tags: spawnedTags };
      if (values.length > 0) node.send(needed(toPortId(values[0]), "a port ID"), values.slice(1));
    },
  });
  node.functions.set("conformance::failing", { spawned: () => fail("no start") });
}

const FEATURES = ["cbor", "hmac_sha3_512", "hmac_sha2_256", "tls", "listen", "secure", "rotation", "limits", "silence", "arbiter", "logs"];

async function runNode() {
  const input = readline.createInterface({ input: process.stdin });
  const [line] = await new Promise((resolve) => {
    input.once("line", (text) => resolve([text]));
    input.once("close", () => resolve([]));
  });
  if (line === undefined) process.exit(0);
  input.on("close", () => process.exit(0));
  try {
    const settings = JSON.parse(line);
    const node = new Node(settings);
    offerContract(node, new Logs(node));
    const listen = settings.listen ? await node.listen(settings.listen) : [];
    const features = [...FEATURES, ...(node.able.methods.includes("cleartext") ? ["cleartext"] : [])];
    const ready = { ready: true, listen, name: "javascript", version: VERSION, level: "node", features };
    process.stdout.write(`${JSON.stringify(ready)}\n`);
    for (const seed of node.seeds) seed.dial();
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ ready: false, error: error.message })}\n`);
    process.exit(1);
  }
}

// ## The programs

const hex = (octets) => octets.toString("hex");
const unhex = (text) => Buffer.from(text, "hex");

/** A value in the notation of the vectors. */
function notation(value) {
  if (typeof value === "bigint") return { integer: String(value) };
  if (typeof value === "number") return { float: floatText(value) };
  if (Buffer.isBuffer(value)) return { bytes: hex(value) };
  if (Array.isArray(value)) return value.map(notation);
  if (value instanceof Map) return { map: Object.fromEntries([...value].map(([key, item]) => [key, notation(item)])) };
  return value;
}

/** The value that the notation stands for. */
function fromNotation(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(fromNotation);
  if ("integer" in value) return BigInt(value.integer);
  if ("float" in value) return toFloat(value.float);
  if ("bytes" in value) return unhex(value.bytes);
  return new Map(Object.entries(value.map).map(([key, item]) => [key, fromNotation(item)]));
}

class Unimplemented extends Error {}

function framingOf(name) {
  if (!Object.hasOwn(FRAMINGS, name)) throw new Unimplemented();
  return FRAMINGS[name];
}

/** The one packet that these octets are. */
function readPacket(framing, octets) {
  const reader = new (framingOf(framing).Reader)(LIMITS);
  const [packet] = reader.packets(unhex(octets));
  if (packet === undefined) throw new Error("the packet is not complete");
  return packet;
}

/** What is computed, or refused, for each operation of part 1 of PROTOCOL.md. */
const OPERATIONS = {
  lines({ stream, take = Infinity }) {
    const answer = { lines: [] };
    const lines = new Lines();
    lines.push(unhex(stream));
    try {
      for (let line; answer.lines.length < take && (line = lines.next()); ) answer.lines.push(hex(line));
    } catch (fault) {
      answer.error = fault.message;
    }
    return { ...answer, rest: hex(lines.rest) };
  },
  greeting({ line }) {
    const greeting = parseGreeting(unhex(line));
    return { ...greeting, keys: Object.fromEntries(greeting.keys) };
  },
  escape: ({ text }) => ({ text: escape(text) }),
  unescape: ({ text }) => ({ text: unescape(text) }),
  decide({ own, other }) {
    decide(own.map(unhex), other.map(unhex));
    return { goes_on: true };
  },
  authentication({ line }) {
    const parts = parseAuthentication(unhex(line));
    return { ...parts, keys: Object.fromEntries(parts.keys) };
  },
  choose({ methods, framings, sends_methods, sends_framings, tls: tlsStarted }) {
    return choose({ methods, framings }, { methods: sends_methods, framings: sends_framings }, tlsStarted);
  },
  token({ method, secret, own, other }) {
    const token = makeToken(method, secret ? unhex(secret) : null, own.map(unhex), other.map(unhex));
    if (token === undefined) throw new Fault("AUTH-19", "there is no such token");
    return { token };
  },
  verify({ line, own, other, secret, tls: tlsStarted }) {
    const lines = own.map(unhex);
    verify(unhex(line), parseGreeting(lines[0]), secret ? [unhex(secret)] : [], tlsStarted, lines, other.map(unhex));
    return { right: true };
  },
  packets({ framing, pieces, limits, only }) {
    const reader = new (framingOf(framing).Reader)({ ...LIMITS, ...limits });
    const answer = { packets: [] };
    try {
      for (const piece of pieces) {
        for (const packet of reader.packets(unhex(piece))) answer.packets.push(packet);
      }
    } catch (fault) {
      answer.error = fault.message;
    }
    answer.incomplete = answer.error === undefined && reader.incomplete;
    if (only !== "count") return { ...answer, packets: answer.packets.map(notation) };
    return { ...answer, packets: undefined, count: answer.packets.length };
  },
  write: ({ framing, packet }) => ({ octets: hex(framingOf(framing).write(fromNotation(packet))) }),
  convert({ wanted, value }) {
    const convert = { bool: toBool, integer: toInteger, float: toFloat, f64: toFloat, text: toText, bytes: toBytes }[wanted];
    const [, sign, bits] = /^([iu])(8|16|32|64)$/.exec(wanted) ?? [];
    if (!convert && !bits) throw new Unimplemented();
    const range = 2n ** BigInt(bits ?? 0);
    const least = sign === "i" ? -range / 2n : 0n;
    const converted = convert ? convert(fromNotation(value)) : toInteger(fromNotation(value), least, least + range - 1n);
    if (converted === undefined) throw new Fault("VALUE-9", `this stands for no ${wanted}`);
    return { value: notation(converted) };
  },
  relay: ({ from, to, packet }) => ({ octets: hex(framingOf(to).write(readPacket(from, packet))) }),
  port({ framing, packet }) {
    const { elements, ...answer } = classify(readPacket(framing, packet));
    return answer;
  },
  port_id({ port_id }) {
    const id = toPortId(port_id);
    if (id === undefined) throw new Fault("MSG-14", "this is no port ID");
    return id;
  },
};

async function runVectors() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    let answer;
    try {
      if (!Object.hasOwn(OPERATIONS, request.operation)) throw new Unimplemented();
      answer = OPERATIONS[request.operation](request);
    } catch (error) {
      answer = error instanceof Unimplemented ? { unimplemented: true } : { error: error.message };
    }
    process.stdout.write(`${JSON.stringify({ id: request.id, ...answer })}\n`);
  }
}

const PROGRAMS = {
  vectors: runVectors,
  node: runNode,
  gensecret: () => console.log(crypto.randomBytes(32).toString("hex")), // [SEC-3]
};
const program = PROGRAMS[process.argv[2]];
if (program) await program();
else {
  console.error("usage: node aemp.mjs vectors | node | gensecret");
  process.exit(2);
}
