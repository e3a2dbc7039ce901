// Protocols over datagrams, such as UDP: see wirehost.ts. A plugin of datagrams has in its
// entry file
//
//	export * from "./exports";
//	export * from "./datagram_exports";
//
// with which the server knows that it takes them. It has this beside wirehost.ts because a
// class costs something where nobody uses it, too.
import { DatagramOption, Protocol, RECORD, Reason, aim, openSocket, recordLength } from "./wirehost";

/** Where a datagram comes from or goes to. */
export class Address {
  /** 4, 6, or 1: a Unix socket, which can't be answered. */
  family: u8 = 4;
  port: u16 = 0;
  /** The address: 16 bytes, of family 4 the first four. */
  readonly ip: StaticArray<u8> = new StaticArray<u8>(16);
  /** Of family 6: the interface's index, or 0. */
  zone: u32 = 0;
  /** In datagramReceived: there was more of it than fits a buffer. */
  cut: bool = false;

  static v4(a: u8, b: u8, c: u8, d: u8, port: u16): Address {
    const to = new Address();
    to.ip[0] = a;
    to.ip[1] = b;
    to.ip[2] = c;
    to.ip[3] = d;
    to.port = port;
    return to;
  }

  equals(o: Address): bool {
    return (
      this.family == o.family && this.port == o.port && this.zone == o.zone &&
      memory.compare(changetype<usize>(this.ip), changetype<usize>(o.ip), 16) == 0
    );
  }

  /** Of a record. The SDK calls it, as put. */
  static of(record: usize): Address {
    const a = new Address();
    a.port = load<u16>(record, 4);
    a.family = load<u8>(record, 6);
    a.cut = (load<u8>(record, 7) & 1) != 0;
    memory.copy(changetype<usize>(a.ip), record + 8, 16);
    a.zone = load<u32>(record, 24);
    return a;
  }

  put(record: usize): void {
    store<u16>(record, this.port, 4);
    store<u8>(record, this.family, 6);
    memory.copy(record + 8, changetype<usize>(this.ip), 16);
    store<u32>(record, this.zone, 24);
  }
}

/** One socket's protocol (Twisted's DatagramProtocol): extend it with the callbacks it
 *  needs; delayedCall, saveState and restoreState are a connection's. The transport is the
 *  socket, of which what is of streams is not to be called. */
export abstract class DatagramProtocol extends Protocol {
  private _view: Uint8Array = new Uint8Array(0);

  /** First: the socket is bound, or connected. */
  startProtocol(): void {}

  /** One datagram, valid until it returns, and who sent it. */
  datagramReceived(data: Uint8Array, from: Address): void {}

  /** Nobody listens at the port of a connected socket's peer. The socket goes on. */
  connectionRefused(): void {}

  /** Once, last. */
  stopProtocol(why: Reason): void {}

  /** Queues a datagram; null goes to a connected socket's peer. What a callback writes to one
   *  socket is sent with one call when it returns, or by flush; what the system has no room
   *  for is dropped, as datagrams are, and dropped counts it. 0, or a status: of this one, or
   *  of what an earlier callback wrote. */
  write(data: Uint8Array, to: Address | null): i32 {
    return this._write(data.dataStart, data.byteLength, to);
  }

  /** write of a text, as UTF-8. */
  writeText(text: string, to: Address | null): i32 {
    const b = String.UTF8.encode(text);
    return this._write(changetype<usize>(b), b.byteLength, to);
  }

  private _write(ptr: usize, size: i32, to: Address | null): i32 {
    const status = this.transport.writeRecord(ptr, size);
    if (status == 0 && to) to.put(this.transport.nextRecord - recordLength(size));
    return status;
  }

  /** Sends what was gathered. */
  flush(): i32 {
    return this.transport.flushRecords();
  }

  /** How many of the datagrams that were written the system did not take. */
  get dropped(): i32 {
    return this.transport.dropped;
  }

  /** Has it get what is sent to a multicast group, where the configuration allows it. */
  join(group: string): i32 {
    return this.transport.joinGroup(group);
  }

  leave(group: string): i32 {
    return this.transport.leaveGroup(group);
  }

  setOption(option: DatagramOption, value: i32): i32 {
    return this.transport.setOption(option, value);
  }

  // To the SDK it is the protocol of a connection whose bytes are records.

  connectionMade(): void {
    this.startProtocol();
  }

  dataReceived(records: Uint8Array): void {
    const t = this.transport;
    const base = records.dataStart - changetype<usize>(records.buffer);
    for (let at = 0; at < records.byteLength && !t.disconnecting; ) {
      const record = records.dataStart + at;
      const size = load<i32>(record);
      const data = aim(this._view, records.buffer, <i32>base + at + RECORD, size);
      this.datagramReceived(data, Address.of(record));
      at += recordLength(size);
    }
  }

  readConnectionLost(): void {
    this.connectionRefused();
  }

  connectionLost(why: Reason): void {
    this.stopProtocol(why);
  }
}

/** Makes a socket for p: udp://HOST:PORT is connected to that peer, udp://HOST:0, with an
 *  address of this machine, is bound there and sends to anybody. startProtocol follows, or
 *  stopProtocol where it could not be made. 0, or a status. */
export function openDatagram(endpoint: string, p: DatagramProtocol): i32 {
  return openSocket(endpoint, p);
}
