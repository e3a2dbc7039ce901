// ports: lines. `listen ENDPOINT` opens a port, and is answered with where it is, or "refused";
// `stop` closes it, and any other line is answered with "main". Who comes to a port, and each of
// his lines, gets "passive". The factory's state is the port's handle, 4 bytes little-endian, 0 of
// none; those of connections are empty.
import { Port } from "../port";
import { Factory, LineReceiver, Protocol, Reader, Transport, Writer, decode, register } from "../wirehost";
export * from "../exports";

class Words extends LineReceiver {
  // greeting is for who comes to the port, also for each line; for others it is empty.
  constructor(private greeting: string) {
    super();
  }

  connectionMade(): void {
    if (this.greeting.length > 0) this.sendText(this.greeting);
  }

  lineReceived(line: Uint8Array): void {
    const text = decode(line);
    if (this.greeting.length > 0) {
      this.sendText(this.greeting);
    } else if (text.startsWith("listen ")) {
      this.sendText(port.listen(text.substring(7)) < 0 ? "refused" : port.host);
    } else if (text == "stop") {
      this.sendText(port.stopListening() < 0 ? "refused" : "stopped");
    } else {
      this.sendText("main");
    }
  }

  saveState(): Uint8Array | null {
    return new Uint8Array(0);
  }

  restoreState(version: i32, state: Uint8Array): bool {
    return state.length == 0;
  }
}

class PassivePort extends Port {
  buildProtocol(t: Transport): Protocol | null {
    return new Words("passive");
  }
}

const port = new PassivePort();

class Ports extends Factory {
  logPrefix: string = "ports";

  buildProtocol(t: Transport): Protocol | null {
    return new Words("");
  }

  saveState(): Uint8Array | null {
    const to = new Writer();
    to.u32(port.handle);
    return to.state;
  }

  restoreState(version: i32, state: Uint8Array): bool {
    const from = new Reader(state);
    const handle = from.u32();
    if (handle > 0) port.restore(handle);
    return version == 1 && !from.failed;
  }
}

register(new Ports());
