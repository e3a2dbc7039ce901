// layers: lines, each answered: `state` with the transport's bits, `who` with peer, host, ALPN and
// the sum of the certificate's bytes, `time` with the seconds since 1970, `random N` with N bytes.
// `over NAME` hands the connection over, with "who" as its first line. `connect ENDPOINT` and
// `as ENDPOINT` make a connection, of which "made", "failed" or "lost", with the reason, is told;
// `> LINE` sends a line there, and what comes back is passed on, but for `go NAME`: TLS begins there,
// with who has that name, and "secure" is told. What can't be done is answered with "refused". The
// state is the handle of the other connection, 4 bytes little-endian, 0 of none.
import {
  Factory,
  LineReceiver,
  Protocol,
  Reader,
  Reason,
  Transport,
  Writer,
  connect,
  connectAs,
  decode,
  digits,
  find,
  random,
  register,
  time,
} from "../wirehost";
export * from "../exports";

abstract class Side extends LineReceiver {
  other: i32 = 0;

  // The other one; null: it has ended.
  get that(): Side | null {
    const t = find(this.other);
    return t ? <Side>t.protocol : null;
  }

  say(line: string): bool {
    const to = this.that;
    return to ? to.sendText(line) >= 0 : false;
  }

  saveState(): Uint8Array | null {
    const to = new Writer();
    to.u32(this.other);
    return to.state;
  }

  restoreState(version: i32, state: Uint8Array): bool {
    const from = new Reader(state);
    this.other = from.u32();
    return version == 1 && !from.failed;
  }
}

class Front extends Side {
  lineReceived(line: Uint8Array): void {
    const text = decode(line);
    const space = text.indexOf(" ");
    const word = space < 0 ? text : text.substring(0, space);
    if (!this.does(word, space < 0 ? "" : text.substring(space + 1))) this.sendText("refused");
  }

  does(word: string, rest: string): bool {
    if (word == "state") return this.sendText(digits(this.transport.state())) >= 0;
    if (word == "time") return this.sendText(digits(<u64>time())) >= 0;
    if (word == "who") return this.who();
    if (word == "random") {
      const b = new Uint8Array(<i32>parseInt(rest));
      return random(b) >= 0 && this.transport.write(b) >= 0;
    }
    if (word == "over") return this.transport.handOver(rest, Uint8Array.wrap(String.UTF8.encode("who\r\n"))) >= 0;
    if (word == "connect" || word == "as") {
      const b = new Back();
      b.other = this.transport.handle;
      if ((word == "as" ? connectAs(this.transport, rest, 0, b) : connect(rest, 0, b)) < 0) return false;
      this.other = b.transport.handle;
      return true;
    }
    return word == ">" && this.say(rest);
  }

  who(): bool {
    const t = this.transport;
    const certificate = t.peerCertificate;
    let sum: u64 = 0;
    if (certificate) for (let i = 0; i < certificate.length; i++) sum += certificate[i];
    return this.sendText(t.peer + " " + t.host + " " + t.negotiatedProtocol + " " + digits(sum)) >= 0;
  }

  connectionLost(why: Reason): void {
    const to = this.that;
    if (to) to.transport.loseConnection();
  }
}

class Back extends Side {
  connectionMade(): void {
    this.say("made");
  }

  handshakeCompleted(): void {
    this.say("secure");
  }

  lineReceived(line: Uint8Array): void {
    const text = decode(line);
    if (!text.startsWith("go ")) this.say(text);
    else if (this.transport.startTLSClient(text.substring(3)) < 0) this.say("refused");
  }

  connectionLost(why: Reason): void {
    this.say("lost " + digits(why) + " " + this.transport.reasonText);
  }

  clientConnectionFailed(why: Reason): void {
    this.say("failed " + digits(why) + " " + this.transport.reasonText);
  }
}

class Layers extends Factory {
  logPrefix: string = "layers";

  buildProtocol(t: Transport): Protocol | null {
    return new Front();
  }

  buildClientProtocol(t: Transport): Protocol | null {
    return new Back();
  }
}

register(new Layers());
