// linereceiver: it writes back every line followed by the delimiter. See
// plugins/linereceiver for its configuration and its state.
import { Config, Factory, LineReceiver, Protocol, Reader, Transport, Writer, Level, log, register } from "../wirehost";
export * from "../exports";

class Lines extends LineReceiver {
  private left: u64 = 0; // raw bytes still to come

  constructor(private factory: LinesFactory) {
    super();
    this.delimiter = factory.delimiter;
    this.maxLength = factory.maxLength;
  }

  lineReceived(line: Uint8Array): void {
    const n = this.factory.raw ? rawCount(line) : -1;
    if (n < 0) {
      this.sendLine(line);
    } else if (n > 0) {
      this.left = n;
      this.setRawMode();
    }
  }

  rawDataReceived(data: Uint8Array): void {
    const mine = <i32>min(this.left, <u64>data.length);
    this.transport.write(data.subarray(0, mine));
    this.left -= mine;
    if (this.left == 0) this.setLineMode(data.length - mine);
  }

  saveState(): Uint8Array | null {
    const to = new Writer();
    this.saveFramer(to);
    to.leb(this.left);
    return to.state;
  }

  restoreState(version: i32, state: Uint8Array): bool {
    const from = new Reader(state);
    if (version != 1 || !this.restoreFramer(from)) return false;
    this.left = from.leb();
    return !from.failed && from.left == 0 && this.rawMode == this.left > 0;
  }
}

/** Reads a line `raw N`, N in decimal digits; -1 is another line. */
function rawCount(line: Uint8Array): i64 {
  if (line.length < 5 || line.length > 22) return -1;
  for (let i = 0; i < 4; i++) if (line[i] != "raw ".charCodeAt(i)) return -1;
  let n: i64 = 0;
  for (let i = 4; i < line.length; i++) {
    if (line[i] < 48 || line[i] > 57) return -1;
    n = n * 10 + (line[i] - 48);
  }
  return n;
}

class LinesFactory extends Factory {
  logPrefix: string = "linereceiver";
  delimiter: string = "";
  maxLength: i32 = 0;
  raw: bool = false; // a line `raw N` is answered by the next N raw bytes

  startFactory(): bool {
    const config = new Config();
    const longest = config.integer("max_length", 16384);
    this.delimiter = config.text("delimiter", "\r\n");
    this.maxLength = <i32>longest;
    this.raw = config.boolean("raw", false);
    if (this.delimiter.length == 0 || longest < 1 || longest > 1 << 30) {
      log(Level.Error, "config: wanted a delimiter of one byte or more, and a max_length of 1 to 1073741824");
      return false;
    }
    return config.finish();
  }

  buildProtocol(t: Transport): Protocol | null {
    return new Lines(this);
  }
}

register(new LinesFactory());
