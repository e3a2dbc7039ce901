"""Sends stdin to a server behind deflate, and prints what comes back: client.py HOST PORT."""
import socket
import sys
import threading
import zlib

with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as s:
    def send():
        z = zlib.compressobj()
        while piece := sys.stdin.buffer.read1():
            s.sendall(z.compress(piece) + z.flush(zlib.Z_SYNC_FLUSH))
        s.sendall(z.flush())  # the end of the stream: without it the server resets the connection
        s.shutdown(socket.SHUT_WR)

    sending = threading.Thread(target=send)
    sending.start()
    z = zlib.decompressobj()
    while piece := s.recv(1 << 16):
        sys.stdout.buffer.write(z.decompress(piece))
        sys.stdout.buffer.flush()
    sending.join()
    if not z.eof:
        sys.exit("the stream was cut")
