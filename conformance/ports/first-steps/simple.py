"""A node of level simple: where the first steps of conformance/README.md end. It trusts that its peers send what is right."""
import hashlib, hmac, json, os, secrets, socket, sys, threading

start = json.loads(sys.stdin.readline())
secret = start["secret"].encode("latin-1")
prove = lambda *lines: hmac.new(secret, b"".join(line + b"\n" for line in lines), hashlib.sha3_512).hexdigest().encode()


def talk(connection):
    try:
        converse(connection)
    except OSError:
        pass  # the other side is gone
    connection.close()


def converse(connection):
    own = b"aemp;1;%s;hmac_sha3_512;json" % start["node"].encode(), secrets.token_hex(32).encode()
    connection.sendall(own[0] + b"\n" + own[1] + b"\n")
    stream = connection.makefile("rb")
    read_line = lambda: stream.readline().removesuffix(b"\n").removesuffix(b"\r")
    other = read_line(), read_line()
    connection.sendall(b"hmac_sha3_512;%s;json\n" % prove(*own, *other))
    if not hmac.compare_digest((read_line().split(b";") + [b""])[1], prove(*other, *own)):
        return
    received = b""
    while piece := stream.read1(65536):
        received += piece
        try:
            while received.strip():
                text = received.decode().lstrip()
                message, end = json.JSONDecoder().raw_decode(text)
                received = text[end:].encode()
                if message[:1] == ["echo"] and len(message) > 1:
                    port = message[-1].partition("#")[2]
                    connection.sendall(json.dumps([port] + message[1:-1], separators=(",", ":")).encode())
        except ValueError:
            pass  # the packet is not complete yet


def keep_trying(host, port):
    while True:
        try:
            talk(socket.create_connection((host, int(port))))
        except OSError:
            pass
        threading.Event().wait(1.5)


listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"ready": True, "listen": ["127.0.0.1:%d" % listener.getsockname()[1]], "name": "simple.py", "version": "1",
                  "level": "simple", "features": ["hmac_sha3_512", "listen"]}), flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
for seed in start["seeds"]:
    threading.Thread(target=keep_trying, args=seed.rsplit(":", 1), daemon=True).start()
while True:
    threading.Thread(target=talk, args=listener.accept()[:1], daemon=True).start()
