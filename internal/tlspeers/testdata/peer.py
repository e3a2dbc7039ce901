"""A TLS 1.3 peer that can be made to do wrong: tlslite-ng shakes hands, and every record behind that is made here."""

import socket
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
from tlslite.messages import ApplicationData, Message
from tlslite.utils.cryptomath import HKDF_expand_label

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23  # types of records (RFC 8446, 5.1)
NEW_TICKET, FINISHED, KEY_UPDATE = 4, 20, 24  # types of messages (RFC 8446, 4)
WARNING, FATAL = 1, 2
PATIENCE = 20  # seconds that an answer may take on a busy machine

SUITES = {  # name: number, hash, bytes of the key, AEAD
    "aes128gcm": (0x1301, "sha256", 16, AESGCM),
    "aes256gcm": (0x1302, "sha384", 32, AESGCM),
    "chacha20-poly1305": (0x1303, "sha256", 32, ChaCha20Poly1305),
}
ALERTS = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 22: "record_overflow", 40: "handshake_failure",
    42: "bad_certificate", 47: "illegal_parameter", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version",
    80: "internal_error", 90: "user_canceled", 109: "missing_extension", 110: "unsupported_extension",
    116: "certificate_required",
}


def message(typ, body=b""):
    """A handshake message."""
    return bytes([typ]) + len(body).to_bytes(3, "big") + body


def key_update(value=0):
    """value 1 asks for the peer's update, too."""
    return message(KEY_UPDATE, bytes([value]))


def plain(typ, content, version=0x0303):
    """A record that is not encrypted."""
    return struct.pack(">BHH", typ, version, len(content)) + content


class Half:
    """The keys of one direction."""

    def __init__(self, suite, secret, seq=0):
        self.suite, self.secret, self.seq = suite, secret, seq
        self._keys()

    def _keys(self):
        _, digest, size, aead = next(s for s in SUITES.values() if s[0] == self.suite)
        self.aead = aead(bytes(HKDF_expand_label(self.secret, b"key", b"", size, digest)))
        self.iv = int.from_bytes(HKDF_expand_label(self.secret, b"iv", b"", 12, digest), "big")

    def update(self):
        """The next key (RFC 8446, 7.2)."""
        digest = next(s[1] for s in SUITES.values() if s[0] == self.suite)
        self.secret = HKDF_expand_label(self.secret, b"traffic upd", b"", len(self.secret), digest)
        self.seq = 0
        self._keys()

    def _nonce(self):
        nonce = (self.iv ^ self.seq).to_bytes(12, "big")
        self.seq += 1
        return nonce

    def seal(self, inner, outer=DATA, version=0x0303):
        """A record of inner, which has its type and its padding already."""
        header = struct.pack(">BHH", outer, version, len(inner) + 16)
        return header + self.aead.encrypt(self._nonce(), inner, header)

    def open(self, record):
        inner = self.aead.decrypt(self._nonce(), record[5:], record[:5]).rstrip(b"\0")
        return inner[-1], inner[:-1]


class OneRecord:
    """A socket from which tlslite-ng reads one record at a time, so that it takes none that comes behind its handshake.
    What it writes is held until it reads; so the last flight stays here."""

    def __init__(self, sock):
        self.sock, self.held = sock, b""
        self.before_sent = None  # called before anything is sent

    def recv(self, _):
        if self.held:
            if self.before_sent:
                self.before_sent()
            held, self.held = self.held, b""
            self.sock.sendall(held)
        header = self._exactly(5)
        return header + self._exactly(int.from_bytes(header[3:], "big"))

    def _exactly(self, n):
        got = b""
        while len(got) < n:
            b = self.sock.recv(n - len(got))
            if not b:
                raise EOFError("the handshake was cut")
            got += b
        return got

    def sendall(self, b):
        self.held += bytes(b)

    def send(self, b):
        self.sendall(b)
        return len(b)

    def __getattr__(self, name):
        return getattr(self.sock, name)


def settings(suite="", shares=("x25519",)):
    s = HandshakeSettings()
    s.minVersion = s.maxVersion = (3, 4)
    s.keyShares, s.eccCurves = list(shares), ["x25519", "secp256r1"]
    s.cipherNames = [suite] if suite else list(SUITES)
    s.certificate_compression_send = s.certificate_compression_receive = []
    s.use_heartbeat_extension, s.ticket_count = False, 0
    return s


class Peer:
    """A connection whose handshake is over."""

    def __init__(self, sock, conn, client, held=b""):
        state, session = conn._recordLayer, conn.session
        ours, theirs = session.cl_app_secret, session.sr_app_secret
        if not client:
            ours, theirs = theirs, ours
        self.sock, self.client, self.held = sock, client, held
        self.out = Half(session.cipherSuite, ours, state._writeState.seqnum)
        self.inp = Half(session.cipherSuite, theirs, state._readState.seqnum)
        self.buf = b""
        self.want, self.got = b"", b""  # what is to come back, and what has
        self.updates = 0  # the peer's
        self.mute = False  # nothing more is sent
        self.goes_on = False  # that is wanted
        self.over = ""  # how the connection ended

    def record(self, content, typ=DATA, pad=0):
        """A record as it should be."""
        return self.out.seal(content + bytes([typ]) + bytes(pad))

    def data(self, content, pad=0):
        """A record of data that is to come back."""
        self.want += content
        return self.record(content, pad=pad)

    def alert(self, code, level=FATAL):
        return self.record(bytes([level, code]), ALERT)

    def update(self, value=0):
        """A key update's record, after which the next key is ours."""
        b = self.record(key_update(value), HANDSHAKE)
        self.out.update()
        return b

    def send(self, *parts):
        try:
            self.sock.sendall(self.held + b"".join(parts))
        except (BrokenPipeError, ConnectionResetError):
            pass  # what has come before it is still to be read
        self.held = b""

    def fin(self):
        self.sock.shutdown(socket.SHUT_WR)

    def read(self):
        """The next record: its type and its content. Or "end", or "silence", as type."""
        try:
            while len(self.buf) < 5 or len(self.buf) < 5 + int.from_bytes(self.buf[3:5], "big"):
                b = self.sock.recv(1 << 16)
                if not b:
                    return "end" + (" within a record" if self.buf else ""), b""
                self.buf += b
        except ConnectionResetError:
            return "end", b""
        except TimeoutError:
            return "silence", b""
        n = 5 + int.from_bytes(self.buf[3:5], "big")
        record, self.buf = self.buf[:n], self.buf[n:]
        if record[0] != DATA or record[1:3] != b"\x03\x03" or n > 5 + 16384 + 256:
            return "a record that is not encrypted: " + record[:20].hex(), b""
        try:
            typ, content = self.inp.open(record)
        except InvalidTag:
            return "a record that can't be opened", b""
        if len(content) > 16384:
            return "a record of %d bytes" % len(content), b""
        return typ, content

    def step(self):
        """Reads a record, and notes what it was. False at the end."""
        typ, content = self.read()
        if typ == DATA:
            self.got += content
        elif typ == HANDSHAKE and content[0] == NEW_TICKET and self.client:
            pass
        elif typ == HANDSHAKE and content[:4] == key_update()[:4] and len(content) == 5:
            self.updates += 1
            self.inp.update()
        elif typ == ALERT:
            self.over = "alert " + ALERTS.get(content[1], str(content[1])) if content[1] else "close_notify"
            after, rest = self.read()
            if after != "end":
                self.over += ", and then %s %r" % (after, rest[:20])
        else:
            self.over = "%d: %r" % (typ, content[:20]) if isinstance(typ, int) else typ
        return not self.over

    def echoed(self):
        """Reads until everything has come back; false where the connection ends before that."""
        while len(self.got) < len(self.want):
            if not self.step():
                return False
        return True

    def outcome(self):
        """What became of it all: the connection goes on, or how it ended."""
        if not self.over and not self.mute:
            self.send(self.data(b"does it go on?"))
        while not self.over and self.step():
            if not self.mute and len(self.got) >= len(self.want):
                break
        if self.got != self.want[:len(self.got)]:
            return "other bytes came back"
        if self.over:
            return self.over + ("" if self.mute or self.got == self.want[:-14] else ", not all came back")
        self.send(self.alert(0, WARNING))
        self.fin()
        while self.step():
            pass
        return "goes on" if self.over == "close_notify" else "goes on, and then: " + self.over


def connect(port, suite="", hold=False, shares=("x25519",), cert=None, finished=None, fragment=0):
    """The client's side. hold: the last flight goes with what is sent first. finished changes that message. fragment is
    how many bytes of the handshake a record has."""
    sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one = OneRecord(sock)
    conn = TLSConnection(one)
    conn._user_record_limit = fragment or 16384
    if finished:
        send = conn._recordLayer.sendRecord

        def changed(msg):
            b = bytes(msg.write())
            is_it = msg.contentType == HANDSHAKE and b[0] == FINISHED
            return send(Message(HANDSHAKE, bytearray(finished(b))) if is_it else msg)

        conn._recordLayer.sendRecord = changed
    chain, key = cert or (None, None)
    conn.handshakeClientCert(chain, key, settings=settings(suite, shares), serverName="localhost")
    p = Peer(sock, conn, True, one.held)
    if not hold:
        p.send()
    return p


def accept(listener, chain, key, early=b"", suite=""):
    """The server's side. early: data that goes right behind the server's Finished."""
    sock, _ = listener.accept()
    sock.settimeout(PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    one = OneRecord(sock)
    conn = TLSConnection(one)

    def behind_finished():  # whose sender has the key for data by then
        for _ in conn._recordLayer.sendRecord(ApplicationData().create(bytearray(early))):
            pass

    if early:
        one.before_sent = behind_finished
    conn.handshakeServer(certChain=chain, privateKey=key, settings=settings(suite))
    p = Peer(sock, conn, False, one.held)
    p.want += early
    return p


def load_certificate(cert, key):
    chain = X509CertChain()
    with open(cert, encoding="ascii") as f:
        chain.parsePemList(f.read())
    with open(key, encoding="ascii") as f:
        return chain, parsePEMKey(f.read(), private=True)
