// starttls: it writes back every line, and begins TLS after "tls", after the raw bytes
// "tls" that follow "raw", and a moment after "pause".
import { Factory, LineReceiver, Protocol, Transport, decode, register } from "../wirehost";
export * from "../exports";

class Lines extends LineReceiver {
  private begin(): void {
    this.sendText("go");
    this.transport.startTLS();
  }

  lineReceived(line: Uint8Array): void {
    const text = decode(line);
    if (text == "tls") {
      this.begin();
    } else if (text == "raw") {
      this.setRawMode();
    } else if (text == "pause") {
      this.transport.pauseProducing();
      this.transport.callLater(1);
    } else {
      this.sendLine(line);
    }
  }

  rawDataReceived(data: Uint8Array): void {
    const extra = data.length - 3;
    this.begin();
    this.setLineMode(extra);
  }

  delayedCall(timer: i32): void {
    this.begin();
  }

  handshakeCompleted(): void {
    this.sendText("up");
    this.transport.resumeProducing();
  }
}

class LinesFactory extends Factory {
  buildProtocol(t: Transport): Protocol | null {
    return new Lines();
  }
}

register(new LinesFactory());
