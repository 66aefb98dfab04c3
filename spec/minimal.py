"""A client of level 0: python3 minimal.py HOST PORT PORTNAME [ELEMENT...], secret in AEMP_SECRET; prints one answer."""
import hashlib, hmac, json, os, secrets, socket, sys

host, port, destination, *elements = sys.argv[1:]
secret = os.environ["AEMP_SECRET"].encode("latin-1")
prove = lambda *lines: hmac.new(secret, b"".join(line + b"\n" for line in lines), hashlib.sha3_512).hexdigest()

connection = socket.create_connection((host, int(port)))
read_line = lambda lines=connection.makefile("rb", buffering=0): lines.readline().rstrip(b"\r\n")
node = "python/" + secrets.token_hex(8)
own = f"aemp;1;{node};hmac_sha3_512;json".encode(), secrets.token_hex(32).encode()
connection.sendall(own[0] + b"\n" + own[1] + b"\n")
other = read_line(), read_line()
connection.sendall(f"hmac_sha3_512;{prove(*own, *other)};json\n".encode())
if not hmac.compare_digest((read_line().split(b";") + [b""])[1], prove(*other, *own).encode()):
    sys.exit("it refused us, or does not know the secret")
connection.sendall(json.dumps([destination, *elements, node + "#me"]).encode())
received, message = b"", []
while message[:1] != ["me"]:
    try:
        text = received.decode().lstrip()
        message, end = json.JSONDecoder().raw_decode(text)
        received = text[end:].encode()
    except ValueError:  # the packet is not complete yet
        received += connection.recv(65536) or sys.exit("it closed the connection")
print(json.dumps(message[1:]))
