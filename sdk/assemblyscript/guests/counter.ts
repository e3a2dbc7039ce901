// counter: it answers each line with how many there were. Its state is the count, 4
// bytes little-endian, and then the half line that is received: the same in every
// language, so that a reload may go from one to another.
import { Factory, LineReceiver, Protocol, Reader, Transport, Writer, digits, register } from "../wirehost";
export * from "../exports";

class Counter extends LineReceiver {
  private count: u32 = 0;

  lineReceived(line: Uint8Array): void {
    this.sendText(digits(++this.count));
  }

  saveState(): Uint8Array | null {
    const to = new Writer();
    to.u32(this.count);
    to.bytes(this.held);
    return to.state;
  }

  restoreState(version: i32, state: Uint8Array): bool {
    const from = new Reader(state);
    this.count = from.u32();
    this.held = from.bytes(-1);
    return version == 1 && !from.failed;
  }
}

class CounterFactory extends Factory {
  logPrefix: string = "counter";

  buildProtocol(t: Transport): Protocol | null {
    return new Counter();
  }
}

register(new CounterFactory());
