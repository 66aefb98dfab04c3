"""A node in six lines of its own: cleartext, json, an empty nonce, nothing checked. python3 cleartext.py HOST PORT PORTNAME [ELEMENT...]"""
import json, os, socket, sys

host, port, destination, *elements = sys.argv[1:]
connection = socket.create_connection((host, int(port)))
secret = os.environ["AEMP_SECRET"].encode("latin-1").hex()
lines = f"aemp;1;six-lines;hmac_sha3_512;json\n\ncleartext;{secret};json\n"
connection.sendall((lines + json.dumps([destination, *elements, "six-lines#me"])).encode())
received = b""
while not received.endswith(b"]"):
    received += connection.recv(65536) or sys.exit("it closed the connection")
print(next(line for line in received.decode().replace("][", "]\n[").splitlines() if line.startswith('["me"')))
