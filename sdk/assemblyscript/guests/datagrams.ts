// datagrams: it writes back every datagram, but for "count", which it answers with how
// many there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the asker
// what comes of it. "join GROUP" and "leave GROUP", and "mhops N", "loop N", "broadcast N" and
// "hops N", which set an option, are answered with "yes" where that was done and with "no"; "shout
// PORT" sends itself to 239.1.2.3 and then to 255.255.255.255. Its state is the count, 4 bytes
// little-endian.
import { Address, DatagramProtocol, openDatagram } from "../datagram";
import { DatagramOption, Factory, Protocol, Reader, Status, Transport, Writer, decode, digits, register } from "../wirehost";
export * from "../exports";
export * from "../datagram_exports";

class Client extends DatagramProtocol {
  constructor(private server: Server, private asker: Address) {
    super();
  }

  startProtocol(): void {
    this.writeText("hello", null);
  }

  datagramReceived(data: Uint8Array, from: Address): void {
    this.server.write(data, this.asker);
    this.transport.loseConnection();
  }

  connectionRefused(): void {
    this.server.writeText("refused", this.asker);
    this.transport.loseConnection();
  }
}

class Server extends DatagramProtocol {
  private count: u32 = 0;

  datagramReceived(data: Uint8Array, from: Address): void {
    this.count++;
    const text = decode(data);
    if (text.startsWith("ask ")) {
      if (openDatagram(text.substring(4), new Client(this, from)) < 0) this.writeText("not allowed", from);
    } else if (text == "count") {
      this.writeText(digits(this.count), from);
    } else {
      this.other(text, data, from);
    }
  }

  private other(text: string, data: Uint8Array, from: Address): void {
    const space = text.indexOf(" ");
    const word = space < 0 ? text : text.substring(0, space);
    const rest = space < 0 ? "" : text.substring(space + 1);
    const port = <u16>parseInt(rest);
    if (word == "shout") {
      this.write(data, Address.v4(239, 1, 2, 3, port));
      this.write(data, Address.v4(255, 255, 255, 255, port));
      return;
    }
    const status = this.does(word, rest);
    if (status > 0) this.write(data, from);
    else this.writeText(status == Status.OK ? "yes" : "no", from);
  }

  // A status; 1 of no word that it knows.
  private does(word: string, rest: string): i32 {
    const value = <i32>parseInt(rest);
    if (word == "join") return this.join(rest);
    if (word == "leave") return this.leave(rest);
    if (word == "mhops") return this.setOption(DatagramOption.MulticastHops, value);
    if (word == "loop") return this.setOption(DatagramOption.MulticastLoop, value);
    if (word == "broadcast") return this.setOption(DatagramOption.Broadcast, value);
    return word == "hops" ? this.setOption(DatagramOption.Hops, value) : 1;
  }

  saveState(): Uint8Array | null {
    const to = new Writer();
    to.u32(this.count);
    return to.state;
  }

  restoreState(version: i32, state: Uint8Array): bool {
    const from = new Reader(state);
    this.count = from.u32();
    return version == 1 && !from.failed;
  }
}

class Datagrams extends Factory {
  logPrefix: string = "datagrams";

  buildProtocol(t: Transport): Protocol | null {
    return null;
  }

  buildDatagramProtocol(t: Transport): Protocol | null {
    return new Server();
  }
}

register(new Datagrams());
