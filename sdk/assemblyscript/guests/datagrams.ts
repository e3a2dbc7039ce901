// datagrams: it writes back every datagram, but for "count", which it answers with how many
// there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the asker
// what comes of it. Its state is the count, 4 bytes little-endian.
import { Address, DatagramProtocol, openDatagram } from "../datagram";
import { Factory, Protocol, Reader, Transport, Writer, decode, digits, register } from "../wirehost";
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
      this.write(data, from);
    }
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
