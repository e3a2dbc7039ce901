"""What a peer of TLS 1.3 can do wrong behind the handshake, and right in ways that are rare.

    cases.py client '{"port": 1, ...}' LAYER             cases for the server that listens there
    cases.py server '{"cert": FILE, "key": FILE}' LAYER  cases for the client that connects to the port told first

Each case is a line of JSON: its name, what it found, what it wanted, and the port of the client's end. LAYER is library
or auto, as reactor.tls_records has it. What is wanted is what the peer sees of the end, and then the reason that the
protocol is told."""

import json
import random
import socket
import sys
import threading
import time

import peer
from peer import ALERT, CCS, DATA, FATAL, HANDSHAKE, WARNING, key_update, message, plain

CASES = []  # name, function, what is wanted by role, arguments of the handshake

ON = "goes on"
UNEXPECTED, MAC, OVERFLOW = "alert unexpected_message", "alert bad_record_mac", "alert record_overflow"
ENDED, LOST, IDLE = "end, TLS failure", "end, connection lost", "close_notify, timed out"
DECODE, ILLEGAL, VERSION = "alert decode_error", "alert illegal_parameter", "alert protocol_version"


def case(name, want, role=None, auto=None, **handshake):
    """Adds a case. auto: what our own record layer does, where that is another thing, and better."""
    def add(f):
        CASES.append((name, f, want, auto, role, handshake))
        return f
    return add


def sends(name, want, make, **more):
    """A case that sends what make gives."""
    case(name, want, **more)(lambda p: p.send(*make(p)))


def meanwhile(p, parts, pause=0):
    """Sends parts, and reads what comes back while it does, from a pause in seconds on."""
    sender = threading.Thread(target=p.send, args=parts)
    sender.start()
    time.sleep(pause)
    p.echoed()
    sender.join()


def mute(p, *parts):
    """Parts that end the connection, where they are judged as they should be."""
    p.mute = not p.goes_on
    return parts


# Sizes and padding.

@case("data of every size to 300, and around 16384", ON)
def sizes(p):
    for n in [*range(1, 301), 1000, 4095, 4096, 4097, 8192, 16368, 16383, 16384]:
        p.send(p.data(random.randbytes(n)))
    p.echoed()


@case("padding of every size", ON)
def paddings(p):
    for n in [*range(0, 300), *range(300, 16300, 61), *range(16300, 16384)]:
        p.send(p.data(b"x", pad=n))
    p.echoed()


for suite in peer.SUITES:
    @case("1 MB in records of random sizes and paddings, " + suite, ON, suite=suite)
    def much(p):
        parts = []
        while sum(map(len, parts)) < 1_000_000:
            n = random.randrange(1, 16385)
            parts.append(p.data(random.randbytes(n), pad=random.randrange(0, 16385 - n)))
        meanwhile(p, parts)

    sends("a wrong tag, " + suite, MAC, lambda p: mute(p, flip(p.record(b"hello"), -1)), suite=suite)
    sends("a key update asked for, " + suite, ON, lambda p: [p.update(1), p.data(b"hello")], suite=suite)

sends("16384 bytes, padded to the largest plain text", ON, lambda p: [p.data(bytes(16384))])
sends("1 byte, padded to the largest plain text", ON, lambda p: [p.data(b"x", pad=16383)])
sends("16385 bytes", OVERFLOW, lambda p: mute(p, p.record(bytes(16385))))
sends("plain text of 16386 bytes with padding", OVERFLOW, lambda p: mute(p, p.record(bytes(16384), pad=1)))
sends("plain text of the largest ciphertext", OVERFLOW, lambda p: mute(p, p.record(b"x", pad=16384 + 256 - 18)))
sends("16385 bytes of nothing", OVERFLOW, lambda p: mute(p, p.record(b"", pad=16385)))
sends("a ciphertext of 16641 bytes", OVERFLOW, lambda p: mute(p, p.record(b"x", pad=16641 - 18)))
sends("a header alone that tells of 16641 bytes", OVERFLOW, lambda p: mute(p, b"\x17\x03\x03\x41\x01"))
sends("a header alone that tells of 65535 bytes", OVERFLOW, lambda p: mute(p, b"\x17\x03\x03\xff\xff"))
for n in [0, 1, 15, 16]:
    sends("a ciphertext of %d bytes" % n, MAC, lambda p, n=n: mute(p, plain(DATA, bytes(n))))

# Records without data.

sends("an empty record", ON, lambda p: [p.record(b""), p.data(b"hello")])
sends("an empty record, padded", ON, lambda p: [p.record(b"", pad=1000), p.data(b"hello")])
sends("an empty record, padded to the largest", ON, lambda p: [p.record(b"", pad=16384), p.data(b"hello")])
sends("16 empty records, twice", ON,
      lambda p: [r for _ in range(2) for r in [*(p.record(b"") for _ in range(16)), p.data(b"x")]])
sends("17 empty records", UNEXPECTED, lambda p: mute(p, *[p.record(b"") for _ in range(17)]))
sends("a flood of empty records", UNEXPECTED, lambda p: mute(p, *[p.record(b"") for _ in range(10000)]))
sends("a flood of empty records with padding", UNEXPECTED,
      lambda p: mute(p, *[p.record(b"", pad=16384) for _ in range(200)]))
sends("1000 empty records, each with data behind it", ON,
      lambda p: [r for _ in range(1000) for r in (p.record(b""), p.data(b"x"))])

# Inner types.

sends("no inner type", ON, lambda p: mute(p, p.out.seal(b"")), auto=UNEXPECTED)  # RFC 8446, 5.4
sends("no inner type, padded", UNEXPECTED, lambda p: mute(p, p.out.seal(bytes(1000))))
sends("no inner type, padded to the largest", UNEXPECTED, lambda p: mute(p, p.out.seal(bytes(16385))))
for t in [1, 19, 24, 25, 127, 255]:
    sends("inner type %d" % t, UNEXPECTED, lambda p, t=t: mute(p, p.record(b"hello", t)))
sends("an encrypted change_cipher_spec", ON, lambda p: mute(p, p.record(b"\x01", CCS)), auto=UNEXPECTED)  # RFC 8446, 5

# What is not authentic.


def flip(record, at, bit=1):
    b = bytearray(record)
    b[at] ^= bit
    return bytes(b)


for at in range(16):
    sends("a tag that is wrong at byte %d" % at, MAC,
          lambda p, at=at: mute(p, flip(p.record(b"hello"), at - 16, 1 << at % 8)))
for at in range(6):
    sends("a ciphertext that is wrong at byte %d" % at, MAC, lambda p, at=at: mute(p, flip(p.record(b"hello"), 5 + at)))
sends("a record that is wrong in the middle of others", MAC,
      lambda p: mute(p, p.data(b"good"), flip(p.record(bytes(1000)), 500), p.record(b"behind it")))
sends("a record one byte short", MAC, lambda p: mute(p, shorten(p.record(b"hello"), 1)))
sends("a record one byte long", MAC, lambda p: mute(p, shorten(p.record(b"hello"), -1)))


def shorten(record, n):
    body = record[5:-n] if n > 0 else record[5:] + bytes(-n)
    return record[:3] + len(body).to_bytes(2, "big") + body


@case("a record again", MAC)
def replayed(p):
    r = p.data(b"hello")
    p.mute = True
    p.send(r, r)


@case("a record again, much later", MAC)
def replayed_later(p):
    r = p.data(b"hello")
    p.send(r, *[p.data(b"x") for _ in range(100)])
    p.echoed()
    p.mute = True
    p.send(r)


@case("two records in the other order", MAC)
def swapped(p):
    a, b = p.record(b"one"), p.record(b"two")
    p.mute = True
    p.send(b, a)


@case("a record left out", MAC)
def dropped(p):
    p.record(b"one")
    p.mute = True
    p.send(p.record(b"two"))


@case("the peer's own record sent back", MAC)
def reflected(p):
    p.send(p.data(b"hello"))
    p.mute = True
    while len(p.buf) < 5 or p.buf[0] != DATA:
        p.buf += p.sock.recv(4096)
    r = p.buf[:5 + int.from_bytes(p.buf[3:5], "big")]
    p.send(r)


# Headers.

for v in [0, 0x0300, 0x0301, 0x0302, 0x0304, 0x0403, 0xffff]:
    sends("a record of version %04x" % v, VERSION, lambda p, v=v: mute(p, p.out.seal(b"hello\x17", version=v)))
for t in [0, 21, 22, 24, 0x80, 255]:
    sends("an encrypted record of outer type %d" % t, UNEXPECTED,
          lambda p, t=t: mute(p, p.out.seal(b"hello\x17", outer=t)))

# What is not encrypted, behind the handshake.

sends("plain text", VERSION, lambda p: mute(p, b"GET / HTTP/1.1\r\n\r\n"))
sends("plain data", MAC, lambda p: mute(p, plain(DATA, b"GET / HTTP/1.1\r\n\r\n")))
sends("a plain close_notify", MAC, lambda p: mute(p, plain(ALERT, b"\x01\x00")), auto=UNEXPECTED)
sends("a plain alert", MAC, lambda p: mute(p, plain(ALERT, b"\x02\x28")), auto=UNEXPECTED)
sends("a plain user_canceled", MAC, lambda p: mute(p, plain(ALERT, b"\x01\x5a")), auto=UNEXPECTED)
sends("a plain key update", MAC, lambda p: mute(p, plain(HANDSHAKE, key_update())), auto=UNEXPECTED)


def client_hello():
    """One that was good once."""
    body = (b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00" +
            b"\x00\x07" + b"\x00\x2b\x00\x03\x02\x03\x04")
    return message(1, body)


sends("a plain client hello", VERSION, lambda p: mute(p, plain(HANDSHAKE, client_hello(), 0x0301)))
sends("a plain client hello of version 0303", MAC, lambda p: mute(p, plain(HANDSHAKE, client_hello())), auto=UNEXPECTED)
sends("a client hello", UNEXPECTED, lambda p: mute(p, p.record(client_hello(), HANDSHAKE)))
sends("a client hello cut in two", UNEXPECTED, lambda p: mute(
      p, p.record(client_hello()[:20], HANDSHAKE), p.record(client_hello()[20:], HANDSHAKE)))

# Messages behind the handshake.

for t, name in {0: "hello_request", 2: "server_hello", 5: "end_of_early_data", 8: "encrypted_extensions",
                11: "certificate", 15: "certificate_verify", 20: "finished", 99: "no message"}.items():
    sends("message %d, %s" % (t, name), UNEXPECTED if t in (2, 20, 99) else DECODE,  # crypto/tls parses what it knows
          lambda p, t=t: mute(p, p.record(message(t, bytes(40)), HANDSHAKE)), auto=UNEXPECTED)
sends("message 13, certificate_request", UNEXPECTED, lambda p: mute(
      p, p.record(message(13, b"\x00\x00\x08\x00\x0d\x00\x04\x00\x02\x04\x03"), HANDSHAKE)))
sends("post-handshake authentication", UNEXPECTED, lambda p: mute(
      p, p.record(message(11, b"\x00\x00\x00\x00") + message(20, bytes(32)), HANDSHAKE)))
sends("message 0, empty", UNEXPECTED, lambda p: mute(p, p.record(message(0), HANDSHAKE)))
sends("a record of the handshake that is empty", UNEXPECTED, lambda p: mute(p, p.record(b"", HANDSHAKE)))
for n in [65537, 0xffffff]:
    sends("a key update of %d bytes" % n, "alert internal_error",
          lambda p, n=n: mute(p, p.record(b"\x18" + n.to_bytes(3, "big"), HANDSHAKE)), auto=DECODE)

# Key updates.

sends("a key update", ON, lambda p: [p.data(b"a"), p.update(0), p.data(b"b")])


@case("a key update asked for is answered once", ON)
def answered(p):
    p.send(p.data(b"a"), p.update(1), p.data(b"b"))
    p.echoed()
    p.send(p.data(b"c"))
    p.echoed()
    if p.updates != 1:
        p.over = "%d key updates came" % p.updates


@case("a key update not asked for is not answered", ON)
def not_answered(p):
    p.send(p.data(b"a"), p.update(0), p.data(b"b"))
    p.echoed()
    if p.updates:
        p.over = "%d key updates came" % p.updates


sends("16 key updates", ON, lambda p: [p.update(0) for _ in range(16)] + [p.data(b"x")])
sends("16 key updates asked for", ON, lambda p: [p.update(1) for _ in range(16)] + [p.data(b"x")])
sends("17 key updates", UNEXPECTED, lambda p: mute(p, *[p.update(0) for _ in range(17)]))
sends("a flood of key updates", UNEXPECTED, lambda p: mute(p, *[p.update(0) for _ in range(2000)]))
sends("a flood of key updates asked for", UNEXPECTED, lambda p: mute(p, *[p.update(1) for _ in range(2000)]))
sends("500 key updates asked for, each with data behind it", ON,
      lambda p: [r for _ in range(500) for r in (p.update(1), p.data(b"x"))])
sends("key updates and empty records", UNEXPECTED,
      lambda p: mute(p, *[r for _ in range(9) for r in (p.update(0), p.record(b""))]))
for v in [2, 3, 255]:
    sends("a key update of value %d" % v, DECODE, lambda p, v=v: mute(p, p.record(key_update(v), HANDSHAKE)),
          auto=ILLEGAL)  # RFC 8446, 4.6.3
sends("a key update without a value", DECODE, lambda p: mute(p, p.record(message(24), HANDSHAKE)))
sends("a key update of two bytes", DECODE, lambda p: mute(p, p.record(message(24, b"\0\0"), HANDSHAKE)))
sends("two key updates in a record", UNEXPECTED, lambda p: mute(p, p.record(2 * key_update(), HANDSHAKE)))
sends("a key update with a byte behind it", UNEXPECTED, lambda p: mute(p, p.record(key_update() + b"\0", HANDSHAKE)))
sends("a key update with half of another behind it", UNEXPECTED,
      lambda p: mute(p, p.record(key_update(1) + key_update(1)[:3], HANDSHAKE)))


@case("a key update with data under the old key", MAC)
def old_key(p):
    b = p.record(key_update(), HANDSHAKE)
    p.mute = True
    p.send(b, p.record(b"hello"))


for at in range(1, 5):
    @case("a key update cut in two at byte %d" % at, ON)
    def split(p, at=at):
        b = [p.record(key_update(1)[:at], HANDSHAKE), p.record(key_update(1)[at:], HANDSHAKE)]
        p.out.update()
        p.send(*b, p.data(b"hello"))
        p.echoed()


@case("a key update in records of one byte", ON)
def crumbs(p):
    b = [p.record(bytes([x]), HANDSHAKE) for x in key_update(1)]
    p.out.update()
    p.send(*b, p.data(b"hello"))


def between(name, what, want=UNEXPECTED):
    sends("a key update cut in two, and between them " + name, want, lambda p: mute(
        p, p.record(key_update()[:2], HANDSHAKE), what(p), p.record(key_update()[2:], HANDSHAKE)))


between("data", lambda p: p.record(b"hello"))
between("an empty record", lambda p: p.record(b""))
between("a warning", lambda p: p.alert(90, WARNING))
between("close_notify", lambda p: p.alert(0, WARNING))
between("a fatal alert", lambda p: p.alert(80))
between("change_cipher_spec", lambda p: plain(CCS, b"\x01"))
between("an empty record of the handshake", lambda p: p.record(b"", HANDSHAKE))

# Alerts.

sends("user_canceled, a warning", ON, lambda p: [p.alert(90, WARNING), p.data(b"hello")])
sends("16 warnings", ON, lambda p: [p.alert(90, WARNING) for _ in range(16)] + [p.data(b"hello")])
sends("17 warnings", UNEXPECTED, lambda p: mute(p, *[p.alert(90, WARNING) for _ in range(17)]))
sends("a flood of warnings", UNEXPECTED, lambda p: mute(p, *[p.alert(90, WARNING) for _ in range(5000)]))
sends("user_canceled, fatal", ON, lambda p: [p.alert(90), p.data(b"hello")])
for code in [10, 20, 40, 47, 80, 100, 255]:
    for level in [WARNING, FATAL]:
        sends("alert %d, level %d" % (code, level), ENDED, lambda p, c=code, l=level: mute(p, p.alert(c, l)))
sends("an alert of level 3", ENDED, lambda p: mute(p, p.alert(80, 3)))
for n in [0, 1, 3]:
    sends("an alert of %d bytes" % n, UNEXPECTED, lambda p, n=n: mute(p, p.record(b"\x02\x28\x28"[:n], ALERT)))
sends("two alerts in a record", UNEXPECTED, lambda p: mute(p, p.record(b"\x01\x5a\x01\x5a", ALERT)))
sends("an alert cut in two", UNEXPECTED, lambda p: mute(p, p.record(b"\x02", ALERT), p.record(b"\x28", ALERT)))
sends("a fatal alert behind data", ENDED, lambda p: mute(p, p.data(b"hello"), p.alert(80)))

# close_notify.

for level in [WARNING, FATAL, 3]:
    @case("close_notify, level %d" % level, "close_notify")
    def closes(p, level=level):
        p.mute = True
        p.send(p.data(b"hello"), p.alert(0, level))


@case("close_notify without FIN, and then data, which is not heeded", "close_notify")
def data_behind(p):
    p.mute = True
    p.send(p.data(b"hello"), p.alert(0, WARNING), p.record(b"not to be seen"))


@case("close_notify, and rubbish behind it", "close_notify")
def rubbish_behind(p):
    p.mute = True
    p.send(p.data(b"hello"), p.alert(0, WARNING), b"\x00" * 100)


@case("close_notify behind a key update asked for", "close_notify")
def update_and_close(p):
    p.mute = True
    p.send(p.data(b"hello"), p.update(1), p.alert(0, WARNING))


@case("close_notify and FIN behind 300 KB that are read only then", "close_notify")
def half_close(p):
    p.mute = True
    p.send(*[p.data(random.randbytes(10_000)) for _ in range(30)], p.alert(0, WARNING))
    p.fin()
    p.echoed()


@case("close_notify alone", "close_notify")
def closes_at_once(p):
    p.mute = True
    p.send(p.alert(0, WARNING))


@case("FIN without close_notify", LOST)
def truncated(p):
    p.mute = True
    p.send(p.data(b"hello"))
    p.echoed()
    p.fin()


@case("FIN within a header", LOST)
def truncated_header(p):
    p.mute = True
    p.send(p.record(b"hello")[:3])
    p.fin()


@case("FIN within a record", LOST)
def truncated_record(p):
    p.mute = True
    p.send(p.record(b"hello")[:15])
    p.fin()


# change_cipher_spec, which crypto/tls drops behind its handshake as well, and we do not (RFC 8446, 5).

sends("change_cipher_spec", ON, lambda p: mute(p, plain(CCS, b"\x01"), p.data(b"hello")), auto=UNEXPECTED)
sends("16 of change_cipher_spec", ON, lambda p: mute(p, 16 * plain(CCS, b"\x01"), p.data(b"hello")), auto=UNEXPECTED)
sends("a flood of change_cipher_spec", UNEXPECTED, lambda p: mute(p, 10000 * plain(CCS, b"\x01")))
for name, content in {"value 2": b"\x02", "two bytes": b"\x01\x01", "no bytes": b""}.items():
    sends("change_cipher_spec of " + name, DECODE, lambda p, c=content: mute(p, plain(CCS, c)), auto=UNEXPECTED)
sends("change_cipher_spec of version 0301", VERSION, lambda p: mute(p, plain(CCS, b"\x01", 0x0301)))

# How bytes come.


@case("a record cut at every byte", ON)
def cut(p):
    n = len(p.record(b"hello, hello"))
    p.out.seq -= 1
    for at in range(1, n):
        r = p.data(b"hello, hello")
        p.send(r[:at])
        time.sleep(0.0005)  # so that the peer reads the first part alone, as a rule
        p.send(r[at:])
        p.echoed()


@case("two records, cut at every byte", ON)
def cut_two(p):
    n = len(p.record(b"hello") + p.record(b"world!"))
    p.out.seq -= 2
    for at in range(1, n):
        r = p.data(b"hello") + p.data(b"world!")
        p.send(r[:at])
        time.sleep(0.0005)
        p.send(r[at:])
    p.echoed()


@case("a key update asked for, byte by byte", ON)
def slow(p):
    for b in p.data(b"hello") + p.update(1) + p.data(b"world"):
        p.send(bytes([b]))
        time.sleep(0.0005)


@case("data and key updates asked for that are read at the end", ON)
def deaf(p):
    parts = []
    for _ in range(100):
        parts += [p.update(1), p.data(random.randbytes(16384))]
    meanwhile(p, parts, 0.05)  # by then the peer can write no more
    if not p.over and not 0 < p.updates <= 100:  # one may answer several (RFC 8446, 4.6.3)
        p.over = "%d key updates came" % p.updates


# Peers that stop. The listener's idle_timeout ends them; theirs is not the fault.

for name, n in {"a header": 3, "a record": -1}.items():
    @case("a peer that stops within " + name, IDLE, role="client", port="idle")
    def stops(p, n=n):
        p.mute = True
        p.send(p.data(b"hello"))
        p.echoed()
        p.send(p.record(b"hello")[:n])


@case("a peer that stops within a key update cut in two", IDLE, role="client", port="idle")
def stops_within_message(p):
    p.mute = True
    p.send(p.record(key_update()[:2], HANDSHAKE))


@case("a peer that stops within its Finished", "end, timed out", role="client", port="hasty", hold=True)
def stops_within_finished(p):
    p.mute = True
    p.held = p.held[:20]
    p.send()


@case("a peer that stops behind its handshake", IDLE, role="client", port="idle")
def stops_at_once(p):
    p.mute = True


# Where the handshake ends: what crypto/tls has not read is the record layer's.


def first(name, want, make, **more):
    """A case of what comes in one piece with the client's Finished."""
    case("right behind Finished: " + name, want, role="client", hold=True, **more)(lambda p: p.send(*make(p)))


first("data", ON, lambda p: [p.data(b"hello")])
first("data under each suite's key: aes256gcm", ON, lambda p: [p.data(b"hello")], suite="aes256gcm")
first("data under each suite's key: chacha20", ON, lambda p: [p.data(b"hello")], suite="chacha20-poly1305")
first("nothing", ON, lambda p: [])
first("half a record, and the rest later", ON, lambda p: halves(p, p.data(b"hello")))
first("a key update asked for, and data", ON, lambda p: [p.update(1), p.data(b"hello")])
first("16 empty records", ON, lambda p: [p.record(b"") for _ in range(16)])
first("300 KB", ON, lambda p: [p.data(bytes(10_000)) for _ in range(30)])
first("10,000 records of a byte", ON, lambda p: [p.data(b"x") for _ in range(10_000)])
first("close_notify", "close_notify", lambda p: mute(p, p.data(b"hello"), p.alert(0, WARNING)))
first("a fatal alert", ENDED, lambda p: mute(p, p.alert(80)))
first("a wrong tag", MAC, lambda p: mute(p, flip(p.record(b"hello"), -1)))
first("a record over the size", OVERFLOW, lambda p: mute(p, p.record(bytes(16385))))
first("plain text", VERSION, lambda p: mute(p, b"GET / HTTP/1.1\r\n\r\n"))
first("a client hello", MAC, lambda p: mute(p, plain(HANDSHAKE, client_hello())), auto=UNEXPECTED)
first("change_cipher_spec", ON, lambda p: mute(p, plain(CCS, b"\x01"), p.data(b"hello")), auto=UNEXPECTED)
first("data after another hello (HelloRetryRequest)", ON, lambda p: [p.data(b"hello")],
      shares=())
first("data, with a certificate", ON, lambda p: [p.data(b"hello")], cert=True, port="ca")
first("a wrong tag, with a certificate", MAC, lambda p: mute(p, flip(p.record(b"hello"), -1)), cert=True, port="ca")
first("no certificate where one is wanted", "alert certificate_required", lambda p: mute(p), port="ca")


for n in [1, 7, 50]:
    first("data, with a handshake in records of %d bytes" % n, ON, lambda p: [p.data(b"hello")], fragment=n)


def halves(p, b):
    p.send(b[:7])
    time.sleep(0.002)
    return [b[7:]]


@case("Finished cut at every byte, with data behind it", ON, role="client", hold=True)
def cut_finished(p):
    b = p.held + p.data(b"hello")
    p.held = b""
    for at in range(len(b)):
        p.send(b[at:at + 1])
        time.sleep(0.0005)


for name, change, want in [
    ("with a message behind it in its record", lambda b: b + key_update(), UNEXPECTED),
    ("with half a message behind it in its record", lambda b: b + key_update()[:2], UNEXPECTED),
    ("twice in its record", lambda b: 2 * b, UNEXPECTED),
    ("that is wrong", lambda b: flip(b, -1), "alert decrypt_error"),
    ("one byte short", lambda b: message(20, b[4:-1]), "alert decrypt_error"),
]:
    case("Finished " + name, want, role="client", hold=True, finished=change)(lambda p: p.send(*mute(p)))


# The server's side alone: tickets.

def ticket(life=7200, nonce=b"\0", label=b"ticket", extensions=b""):
    body = (life.to_bytes(4, "big") + bytes(4) + bytes([len(nonce)]) + nonce + len(label).to_bytes(2, "big") + label +
            len(extensions).to_bytes(2, "big") + extensions)
    return message(peer.NEW_TICKET, body)


def to_client(name, want, make, **more):
    sends(name, want, make, role="server", **more)


to_client("a ticket", ON, lambda p: [p.record(ticket(), HANDSHAKE), p.data(b"hello")])
to_client("two tickets in a record", ON, lambda p: [p.record(2 * ticket(), HANDSHAKE), p.data(b"hello")])
to_client("a ticket cut at each byte", ON, lambda p: [
    r for at in range(1, len(ticket())) for r in (
        p.record(ticket()[:at], HANDSHAKE), p.record(ticket()[at:], HANDSHAKE), p.data(b"x"))])
to_client("16 tickets", ON, lambda p: [p.record(ticket(), HANDSHAKE) for _ in range(16)] + [p.data(b"hello")])
to_client("17 tickets", UNEXPECTED, lambda p: mute(p, *[p.record(ticket(), HANDSHAKE) for _ in range(17)]))
to_client("a ticket and a key update in a record", ON, lambda p: with_update(p, ticket() + key_update(1)))
to_client("a key update and a ticket in a record", UNEXPECTED,
          lambda p: mute(p, p.record(key_update() + ticket(), HANDSHAKE)))
to_client("a ticket of 60 KB", ON, lambda p: [
    p.record(ticket(label=bytes(60_000))[at:at + 16384], HANDSHAKE) for at in range(0, 60_020, 16384)] + [p.data(b"x")])
to_client("a ticket that is cut short", DECODE, lambda p: mute(p, p.record(message(4, ticket()[4:-3]), HANDSHAKE)),
          auto=ON)  # it is dropped unseen
to_client("a ticket of 3 bytes", DECODE, lambda p: mute(p, p.record(message(4, b"abc"), HANDSHAKE)))
to_client("a ticket for 8 days, which nobody keeps", ON, lambda p: [p.record(ticket(life=8 * 86400), HANDSHAKE)])
case("data right behind the server's Finished", ON, role="server", early=b"early")(lambda p: p.send(p.data(b"hello")))
sends("a ticket", UNEXPECTED, lambda p: mute(p, p.record(ticket(), HANDSHAKE)), role="client")


def with_update(p, b):
    r = p.record(b, HANDSHAKE)
    p.out.update()
    return [r, p.data(b"hello")]


def run(role, where, layer):
    listener = None
    if role == "server":
        chain, key = peer.load_certificate(where["cert"], where["key"])
        listener = socket.create_server(("127.0.0.1", 0))
        print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    for name, f, want, auto, only, handshake in CASES:
        if only and only != role or where.get("only", name) != name:
            continue
        handshake = dict(handshake)
        if role == "server":
            handshake.pop("hold", None)
            p = peer.accept(listener, chain, key, **handshake)
        else:
            if handshake.pop("cert", None):
                handshake["cert"] = peer.load_certificate(where["cert"], where["key"])
            p = peer.connect(where[handshake.pop("port", "port")], **handshake)
        want = auto if auto and layer == "auto" else want
        p.goes_on = want == ON
        port = p.sock.getsockname()[1] if role == "client" else p.sock.getpeername()[1]
        try:
            f(p)
            found = p.outcome()
        except Exception as e:  # pylint: disable=broad-except
            found = "%s: %s" % (type(e).__name__, e)
        p.sock.close()
        if "," not in want:
            want += ", TLS failure" if want.startswith("alert") else ", connection done"
        print(json.dumps({"case": name, "found": found, "wanted": want, "port": port}), flush=True)


if __name__ == "__main__":
    run(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3])
