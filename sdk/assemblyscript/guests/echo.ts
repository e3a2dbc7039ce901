// echo: it writes back every byte.
import { Factory, Protocol, Transport, register } from "../wirehost";
export * from "../exports";

class Echo extends Protocol {
  dataReceived(data: Uint8Array): void {
    this.transport.write(data); // what the server answers, connectionLost tells too
  }

  // It has no state of its own, so a reload moves it as it is.
  saveState(): Uint8Array | null {
    return new Uint8Array(0);
  }

  restoreState(version: i32, state: Uint8Array): bool {
    return true;
  }
}

class EchoFactory extends Factory {
  logPrefix: string = "echo";

  buildProtocol(t: Transport): Protocol | null {
    return new Echo();
  }
}

register(new EchoFactory());
