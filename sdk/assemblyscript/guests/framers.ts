// framers shows the receivers of strings, timers and client connections to the SDK's
// test. Each string is answered with a line `<STRING>`; "pause" pauses for a moment,
// and "call ENDPOINT" sends a string there and answers what comes back.
import {
  Asset, ClientService, Config, DelayedCall, Factory, Int16Receiver, Int32Receiver, Int8Receiver, LoopingCall, Metric,
  MetricKind,
  NetstringReceiver, Waiter,
} from "../wirehost";
import {
  Protocol, Reader, Reason, Status, StringReceiver, Transport, Writer, callLater, cancel, connect, decode, digits, find,
  register, time,
} from "../wirehost";
export * from "../exports";

class Resume extends DelayedCall {
  constructor(private t: Transport) {
    super();
  }

  call(): void {
    this.t.writeText("[due]");
    this.t.resumeProducing();
  }
}

/** Calls another and tells one of our own what it heard. */
class Caller extends Protocol {
  constructor(private handle: i32) {
    super();
  }

  private tell(what: string): void {
    const t = find(this.handle);
    if (t) t.writeText(what);
  }

  connectionMade(): void {
    this.transport.writeText("2:hi,");
    this.transport.loseWriteConnection();
  }

  dataReceived(data: Uint8Array): void {
    this.tell("[heard " + decode(data) + "]");
  }

  connectionLost(why: Reason): void {
    this.tell("[lost " + digits(why) + " " + this.transport.reasonText + "]");
  }

  clientConnectionFailed(why: Reason): void {
    this.tell("[failed " + digits(why) + "]");
  }
}

/** Says [tick] three times. */
class Ticks extends LoopingCall {
  private left: i32 = 3;

  constructor(private t: Transport) {
    super();
  }

  loop(): void {
    this.t.writeText("[tick]");
    if (--this.left == 0) this.stop();
  }
}

/** Hears what it is sent, and loses the first connection. */
class Upstream extends ClientService {
  made_: i32 = 0;

  constructor(endpoint: string, private handle: i32) {
    super(endpoint);
    this.initialDelay = 1;
    this.maxDelay = 1;
  }

  buildProtocol(): Protocol {
    return new Caller(this.handle);
  }
}

class Waits extends Waiter {
  constructor(private t: Transport, private service: Upstream) {
    super();
  }

  connected(t: Transport): void {
    this.t.writeText("[connected]");
    if (this.service.made_++ == 0) {
      t.abortConnection();
      this.service.whenConnected(1, this); // it is being aborted: the next is waited for
    } else {
      this.service.stop();
    }
  }

  failed(why: Reason): void {
    this.t.writeText("[waited in vain " + digits(why) + "]");
    this.service.stop();
  }
}

function received(p: StringReceiver, s: Uint8Array): void {
  const t = p.transport;
  const text = decode(s);
  t.writeText("<" + text + ">");
  if (text == "pause") {
    t.pauseProducing();
    cancel(callLater(5, new Resume(t)));
    callLater(10, new Resume(t));
  } else if (text == "later") {
    t.callLater(1);
  } else if (text == "echo") {
    p.sendString(s);
  } else if (text == "close") {
    t.loseConnection();
  } else if (text == "metrics") {
    const tell = (status: i32, t: Transport): void => t.writeText("[" + digits(-status) + "]");
    const counter = new Metric(MetricKind.Counter, "m1");
    tell(counter.record(3), t);
    tell(counter.record(2), t);
    tell(counter.record(-1), t);
    tell(new Metric(MetricKind.Histogram, "m2").record(3), t);
    tell(new Metric(MetricKind.Gauge, "m1").record(1), t);
    tell(new Metric(MetricKind.Gauge, "no name").record(1), t);
  } else if (text == "assets") {
    let names = "";
    for (let n = 0; n < Asset.count; n++) names += new Asset(n).name + ",";
    const found = Asset.find("pages-old"), none = Asset.find("pages");
    if (found == null || none != null) return;
    const part = new Uint8Array(4);
    const n = found.read(7, part) + found.read(10, new Uint8Array(1));
    t.writeText("[" + names + digits(found.size) + "," + decode(found.bytes()) + "," + decode(part.subarray(0, n)) + "]");
  } else if (text == "tls") {
    t.startTLS();
  } else if (text == "date") {
    const now = new Date(Date.now());
    const near = Math.abs(<f64>now.getTime() - time() * 1000) < 60000 && Math.random() < 1;
    t.writeText(near && now.getTime() > Date.UTC(2026) ? "[" + Date.parse("2026-01-01").toISOString() + "]" : "[no]");
  } else if (text == "tick") {
    new Ticks(t).start(2, true);
  } else if (text.startsWith("serve ")) {
    const service = new Upstream(text.substring(6), t.handle);
    const waits = new Waits(t, service);
    const status = service.start();
    if (status < 0) t.writeText("[not served: " + digits(-status) + "]");
    service.whenConnected(1, waits);
  } else if (text.startsWith("call ")) {
    const status = connect(text.substring(5), 0, new Caller(t.handle));
    if (status < 0) t.writeText("[not called: " + digits(-status) + "]");
  }
}

class Netstrings extends NetstringReceiver {
  stringReceived(s: Uint8Array): void {
    received(this, s);
  }

  delayedCall(timer: i32): void {
    if (!find(this.transport.handle)) unreachable(); // it ends with its connection
    this.transport.writeText("[later]");
  }

  saveState(): Uint8Array | null {
    if (this.transport.writeText("saved") != Status.NOT_NOW) unreachable();
    const to = new Writer();
    to.u64(u64.MAX_VALUE - 1);
    to.f64(-0.5);
    to.text("grüße");
    to.sized(Uint8Array.wrap(String.UTF8.encode("12")));
    to.text("");
    this.saveFramer(to);
    return to.state;
  }

  restoreState(version: i32, state: Uint8Array): bool {
    const from = new Reader(state);
    if (from.u64() != u64.MAX_VALUE - 1 || from.f64() != -0.5 || from.text() != "grüße") return false;
    if (decode(from.sized()) != "12" || from.text() != "" || from.failed) return false;
    const short = new Reader(Uint8Array.wrap(String.UTF8.encode("\x05abc"))); // 5 bytes are said to come
    if (short.text() != "" || !short.failed || short.u64() != 0 || short.f64() != 0) return false;
    return this.restoreFramer(from);
  }
}

class Int8s extends Int8Receiver {
  stringReceived(s: Uint8Array): void {
    received(this, s);
  }
}

class Int16s extends Int16Receiver {
  stringReceived(s: Uint8Array): void {
    received(this, s);
  }

  lengthLimitExceeded(length: u32): void {
    this.transport.writeText("[over " + digits(length) + "]");
  }
}

class Int32s extends Int32Receiver {
  stringReceived(s: Uint8Array): void {
    received(this, s);
  }
}

class Framers extends Factory {
  kind: string = "";
  maxLength: i32 = 0;

  startFactory(): bool {
    const config = new Config();
    this.kind = config.text("kind", "netstring");
    this.maxLength = <i32>config.integer("max_length", 99999);
    return config.finish();
  }

  private build(): StringReceiver {
    if (this.kind == "int8") return new Int8s();
    if (this.kind == "int16") return new Int16s();
    if (this.kind == "int32") return new Int32s();
    return new Netstrings();
  }

  buildProtocol(t: Transport): Protocol | null {
    const p = this.build();
    p.maxLength = this.maxLength;
    return p;
  }
}

register(new Framers());
