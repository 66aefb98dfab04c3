"""A node that does nothing right: where the first steps of conformance/README.md begin."""
import json, socket, sys
start = json.loads(sys.stdin.readline())
listener = socket.create_server(("127.0.0.1", 0))
print(json.dumps({"ready": True, "listen": ["127.0.0.1:%d" % listener.getsockname()[1]], "name": "mine", "version": "0",
                  "level": "simple", "features": ["hmac_sha3_512", "listen"]}), flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(b"hello\n")
