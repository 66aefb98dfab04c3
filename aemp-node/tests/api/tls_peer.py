"""A peer that has nothing in common with the nodes here: Python's ssl, on its own, over json.

Connects, or listens and says where, greets, runs TLS in the part that the nonces give it, authenticates, and calls a port; prints which
part it played, the version of TLS and the answer.
"""

import argparse
import hashlib
import json
import socket
import ssl
import sys


def greet(stream, nonce):
    own = [b"aemp;1;python;tls_sha3_512;json;tls=1.0", nonce.encode()]
    stream.sendall(b"".join(line + b"\n" for line in own))
    lines = []
    # One octet at a time: what comes behind the second line is TLS's.
    while len(lines) < 2:
        line = b""
        while not line.endswith(b"\n"):
            octet = stream.recv(1)
            if not octet:
                raise SystemExit("it closed within its greeting")
            line += octet
        lines.append(line.rstrip(b"\r\n"))
    return own, lines


def context_of(is_client, arguments):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if is_client else ssl.PROTOCOL_TLS_SERVER)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(arguments.authority)
    if arguments.certificate:
        context.load_cert_chain(arguments.certificate)
    if arguments.version:
        version = getattr(ssl.TLSVersion, arguments.version)
        # Old versions are possible only if their weak signatures are.
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    return context


def stall(stream, context, is_client):
    """Begins TLS, says nothing more than its first words, if the first are its own, and waits until it is closed."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=not is_client)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        stream.sendall(outgoing.read())
    heard = b""
    try:
        while octets := stream.recv(4096):
            heard += octets
    except ConnectionResetError:
        pass
    if heard[:1] not in (b"\x16", b"\x15"):
        raise SystemExit(f"that is no TLS: {heard}")
    return f"stalled after {'handshake' if heard[0] == 0x16 else 'alert'}, was closed"


def token(own, other):
    return hashlib.sha3_512(b"".join(line + b"\n" for line in own + other)).hexdigest()


def talk(stream, port, own, other):
    stream.sendall(f"tls_sha3_512;{token(own, other)};json\n".encode())
    stream.sendall(json.dumps([port, "hello", "python#me"]).encode())
    got = b""
    while b"\n" not in got or b'["me"' not in got:
        octets = stream.recv(4096)
        if not octets:
            raise SystemExit("it closed after TLS")
        got += octets
    line, packets = got.split(b"\n", 1)
    if line != f"tls_sha3_512;{token(other, own)};json".encode():
        raise SystemExit(f"a wrong authentication line: {line}")
    return packets[packets.index(b'["me"') :].decode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connect", help="HOST:PORT; without it, listens")
    parser.add_argument("--nonce", required=True)
    parser.add_argument("--certificate")
    parser.add_argument("--authority", required=True)
    parser.add_argument("--stall", action="store_true", help="says nothing within the TLS handshake")
    parser.add_argument("--version", help="such as TLSv1_2, and no other")
    arguments = parser.parse_args()
    if arguments.connect:
        host, port = arguments.connect.rsplit(":", 1)
        stream = socket.create_connection((host, int(port)), timeout=20)
    else:
        listener = socket.create_server(("127.0.0.1", 0))
        print("%s:%d" % listener.getsockname(), flush=True)
        stream, _ = listener.accept()
        stream.settimeout(20)
    own, other = greet(stream, arguments.nonce)
    is_client = own[1] < other[1]
    part = "client" if is_client else "server"
    context = context_of(is_client, arguments)
    if arguments.stall:
        print(part, stall(stream, context, is_client), flush=True)
        return
    try:
        stream = context.wrap_socket(stream, server_side=not is_client)
        print(part, stream.version(), talk(stream, "echo", own, other), flush=True)
    except ssl.SSLError as error:
        print(part, "failed:", error.reason, flush=True)


if __name__ == "__main__":
    main()
