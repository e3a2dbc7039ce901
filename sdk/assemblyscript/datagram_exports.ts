// What the server calls of a plugin that takes datagrams (abi/ABI.md), beside exports.ts: see
// datagram.ts.
import { connectionLost, connectionMade, dataReceived, readConnectionLost } from "./exports";
import { Level, Maker, Transport, attach, factory, find, log, recordLength, setSockets } from "./wirehost";

class Moved extends Maker {
  // Its address says that it is a socket.
  make(t: Transport): bool {
    const host = t.host;
    if (!host.startsWith("udp:") && !host.startsWith("unixgram:")) return false;
    this.made = factory().buildDatagramProtocol(t);
    return true;
  }
}

setSockets(new Moved());

export function startProtocol(sock: i32): void {
  if (!find(sock)) { // else openDatagram has made it
    const t = new Transport(sock);
    const p = factory().buildDatagramProtocol(t);
    if (!p) {
      log(Level.Error, "a socket is closed: no protocol for it");
      t.abortConnection();
      return;
    }
    attach(t, p);
  }
  connectionMade(sock);
}

export function stopProtocol(sock: i32, why: i32): void {
  if (find(sock)) connectionLost(sock, why); // else it had no protocol
}

export function datagramsReceived(sock: i32, ptr: usize, n: i32): void {
  let len = 0;
  for (; n > 0; n--) len += recordLength(load<i32>(ptr + len));
  dataReceived(sock, ptr, len);
}

export function connectionRefused(sock: i32): void {
  readConnectionLost(sock);
}
