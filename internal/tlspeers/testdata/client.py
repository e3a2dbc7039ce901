"""An honest client: client.py ssl|rtls PORT CA. ssl is Python's, over OpenSSL; rtls is the same over rustls."""

import hashlib
import importlib
import random
import socket
import sys

tls = importlib.import_module(sys.argv[1])
port, ca = int(sys.argv[2]), sys.argv[3]
context = tls.create_default_context(cafile=ca)
context.minimum_version = tls.TLSVersion.TLSv1_3


def dial(**more):
    sock = socket.create_connection(("127.0.0.1", port), 20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock, server_hostname="localhost", **more)


def echo(conn, data):
    conn.sendall(data)
    got = b""
    while len(got) < len(data):
        b = conn.recv(65536)
        if not b:
            sys.exit("the end after %d bytes of %d" % (len(got), len(data)))
        got += b
    if got != data:
        sys.exit("other bytes came back: %s" % hashlib.sha256(got).hexdigest())


conn = dial()
if conn.version() != "TLSv1.3":
    sys.exit(conn.version())
for n in [*range(100), 1000, 4096, 16383, 16384, 16385, 32768, 65535, 65536]:
    echo(conn, random.randbytes(n))
if sys.argv[1] == "ssl":
    session = conn.session
    conn.unwrap()  # an error where no close_notify comes
    again = dial(session=session)
    echo(again, b"hello")
    if not again.session_reused:
        sys.exit("the session is not taken up again")
    again.unwrap()
else:
    conn.unwrap()
    for _ in range(2):
        again = dial()
        echo(again, b"hello")
        again.unwrap()
print("well")
