"""A node that is wrong at once, and sends what reports have to stand: quotes, markup, control characters, and its own secret."""
import json, os, socket, sys, threading
NASTY = "<script>alert(1)</script> ]]> \"double\" 'single' & \x1b[31mred\x07\x00"
start = json.loads(sys.stdin.readline())
secret = start["secret"]
listener = socket.create_server(("127.0.0.1", 0))
print(NASTY, "\udcff", file=sys.stderr, flush=True)
print(json.dumps({"ready": True, "listen": ["127.0.0.1:%d" % listener.getsockname()[1]], "name": NASTY, "version": "\x1b]0;1\x07",
                  "level": "simple", "features": ["hmac_sha3_512", "listen", "telepathy <b>"]}), flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    connection, _ = listener.accept()
    said = NASTY.replace("\x00", "").encode() + b" " + secret.encode("latin-1") + b" " + secret.encode() + b" " + secret.encode("latin-1").hex().encode()
    try:
        connection.sendall(said + b"\n" + said + b"\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    except OSError:
        pass  # the other side is gone
    connection.close()
