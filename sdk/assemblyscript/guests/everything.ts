// everything calls all that the SDK has, so that a test holds it against the ABI. It is
// not meant to run.
import {
  Asset,
  Config, DatagramOption, DelayedCall, Factory, Int16Receiver, Int32Receiver, Int8Receiver, Level, LineReceiver,
  Metric, MetricKind,
  NetstringReceiver, Protocol, Transport, callLater, cancel, connect, connectAs, find, log, random, register, reset,
  restoreCall, seconds, time,
} from "../wirehost";
import { Port } from "../port";
import { Address, DatagramProtocol, openDatagram } from "../datagram";
export * from "../exports";
export * from "../datagram_exports";

class Datagrams extends DatagramProtocol {
  datagramReceived(data: Uint8Array, from: Address): void {
    this.write(data, from);
    this.flush();
    this.join("239.1.2.3");
    this.leave("239.1.2.3");
    this.setOption(DatagramOption.MulticastHops, this.dropped);
  }
}

class Nobodys extends Port {
  buildProtocol(t: Transport): Protocol | null {
    return null;
  }
}

class Later extends DelayedCall {
  call(): void {}
}

class Lines extends LineReceiver {
  lineReceived(line: Uint8Array): void {
    this.setRawMode();
    this.setLineMode();
    this.clearLineBuffer();
    this.sendLine(line);
    all(this.transport);
  }
}

class Netstrings extends NetstringReceiver {
  stringReceived(s: Uint8Array): void {
    this.sendString(s);
  }
}

class Bytes extends Int8Receiver {
  stringReceived(s: Uint8Array): void {
    this.sendString(s);
  }
}

class Shorts extends Int16Receiver {
  stringReceived(s: Uint8Array): void {
    this.sendString(s);
  }
}

class Longs extends Int32Receiver {
  stringReceived(s: Uint8Array): void {
    this.sendString(s);
  }
}

function all(t: Transport): void {
  t.writeText("x");
  t.flush();
  t.loseWriteConnection();
  t.pauseProducing();
  t.resumeProducing();
  t.registerProducer(true);
  t.unregisterProducer();
  t.setTimeout(t.state());
  log(Level.Info, t.peer + t.host + t.reasonText + t.negotiatedProtocol);
  t.setTcpNoDelay(true);
  t.setTcpKeepAlive(true);
  t.startTLS();
  t.startTLSClient("localhost");
  const port = new Nobodys();
  port.listen("tcp://127.0.0.1:0");
  log(Level.Info, port.host);
  if (t.listener == 0) port.stopListening();
  t.handOver("other", new Uint8Array(1));
  const der = t.peerCertificate;
  if (der) t.write(der);
  t.callLater(1);
  reset(callLater(1, new Later()), 2);
  new Metric(MetricKind.Counter, "everything_total").record(1);
  const asset = Asset.find("a");
  if (asset && asset.number < Asset.count) t.write(asset.bytes());
  cancel(restoreCall(1, new Later()));
  if (time() > 1) random(new Uint8Array(8));
  if (seconds() > 1) connect("tcp://127.0.0.1:1", 1, new Netstrings());
  openDatagram("udp://127.0.0.1:1", new Datagrams());
  if (seconds() > 1) connectAs(t, "plugin://next", 1, new Netstrings());
  if (find(t.handle)) t.abortConnection();
}

class Everything extends Factory {
  startFactory(): bool {
    return new Config().finish();
  }

  buildProtocol(t: Transport): Protocol | null {
    if (t.handle % 4 == 1) return new Bytes();
    if (t.handle % 4 == 2) return new Shorts();
    if (t.handle % 4 == 3) return new Longs();
    return new Lines();
  }

  buildDatagramProtocol(t: Transport): Protocol | null {
    return new Datagrams();
  }

  buildClientProtocol(t: Transport): Protocol | null {
    return new Netstrings();
  }
}

register(new Everything());
